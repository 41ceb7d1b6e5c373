"""Receipts that do not come: every one that is owed is named in the end, and an outage is nobody's delay."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.db.engine import open_engine
from tanqiao.db.node_state import ClockOffsets, get_state, set_state
from tanqiao.kernel.clock import Clock
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, NetworkOfTest
from tanqiao_bridge.application import outages, overdue
from tanqiao_bridge.application.outages import Outage, load_outages, moment_before, note_outage
from tanqiao_bridge.application.overdue import KIND, WatchFinals
from tanqiao_bridge.storage.tables import conflict_case, node_state
from tests.contract.bridge.case_office import advance_days
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    issue_units,
    run_bridge,
)

DAY_SECONDS = 86_400
_numbers = itertools.count(1)


@dataclass
class Ahead:
    """A clock that is two days ahead of another."""

    clock: Clock

    def now(self) -> datetime:
        return self.clock.now() + timedelta(days=2)


def look(running: Running) -> int:
    """Let the bridge look until nothing is left; how many decisions it looked at."""
    seen = 0
    while found := int(running.bridge.writer.submit(WatchFinals()).result(WAIT_SECONDS)):
        seen += found
    return seen


def named(running: Running) -> list[tuple[str, bytes]]:
    """Give region and transfer of the open alarms, oldest first."""
    look(running)
    table = conflict_case.c
    statement = sa.select(table.details).where(table.kind == KIND, table.state == "open")
    with running.bridge.database.reading() as connection:
        details = connection.execute(statement.order_by(table.case_id)).scalars().all()
    return [(one["party"], bytes.fromhex(one["transfer_id"])) for one in map(json.loads, details)]


def used(region: PlayedRegion, count: int) -> list[messages_pb2.Decision]:
    """Have a region use some of its units, so often; the decisions."""
    uses = [region.use(at, at + 10) for at in itertools.islice(map((10).__mul__, _numbers), count)]
    for use in uses:  # one after the other: their order in the log is known
        region.offer([use])
        region.outcome(use.header.transfer_id)
    return [region.outcome(use.header.transfer_id) for use in uses]


def answered(region: PlayedRegion, decisions: list[messages_pb2.Decision]) -> None:
    """Send the receipts of the source, and wait until they are taken."""

    def acknowledged() -> int:
        return sum(frame.HasField("acknowledge") for frame in region.frames)

    for made in decisions:
        before = acknowledged()
        final: Any = messages_pb2.SourceFinal(
            header=region.header(transfer_id=made.header.transfer_id, source=region.party),
            decision_hash=message_hash(payload_type_of(made), made.SerializeToString()),
            state=messages_pb2.SOURCE_STATE_USED,
            journal_index=next(_numbers),
        )
        region.number([final])
        region.wait(lambda before=before: acknowledged() > before)  # type: ignore[misc]  # bound now


def ids(region: str, decisions: list[messages_pb2.Decision]) -> list[tuple[str, bytes]]:
    return [(region, made.header.transfer_id) for made in decisions]


@pytest.mark.parametrize("per_round", [2, 1_000])
def test_whoever_owes_more_than_is_named_is_named_with_the_rest_as_its_receipts_come(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    monkeypatch: pytest.MonkeyPatch,
    per_round: int,
) -> None:
    monkeypatch.setattr(overdue, "CASES_OF_ONE_MAX", 2)
    monkeypatch.setattr(overdue, "DECISIONS_PER_ROUND_MAX", per_round)
    running.recognise()
    assert issue_units(running, shanghai).accepted
    owed = used(shanghai, 5)
    (moved,) = shanghai.offer_locks([shanghai.lock(50_000, 50_010)])
    transfer = shanghai.outcome(moved)
    advance_days(running, 2)
    assert sorted(named(running)) == sorted([*ids(SHANGHAI, owed[:2]), (SHENZHEN, moved)])
    assert look(running) == 0, "a region without room for a case costs nothing"
    # One that is decided meanwhile waits behind those that are older.
    owed += used(shanghai, 1)
    advance_days(running, 4)
    assert sorted(named(running)) == sorted([*ids(SHANGHAI, owed[:2]), (SHENZHEN, moved)])
    answered(shanghai, owed[1:3])
    assert [one for one in named(running) if one[0] == SHANGHAI] == ids(SHANGHAI, [owed[0], owed[3]])
    answered(shanghai, owed[:1])
    assert [one for one in named(running) if one[0] == SHANGHAI] == ids(SHANGHAI, owed[3:5])
    answered(shanghai, owed[3:5])
    assert [one for one in named(running) if one[0] == SHANGHAI] == ids(SHANGHAI, [transfer, owed[5]])
    answered(shanghai, owed[5:])
    assert sorted(named(running)) == sorted([(SHANGHAI, moved), (SHENZHEN, moved)])
    assert look(running) == 0


def test_nothing_behind_a_decision_that_is_too_young_is_passed(
    running: Running, shanghai: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted
    context = running.bridge.context
    clock, context.clock = context.clock, Ahead(context.clock)
    first = used(shanghai, 1)
    context.clock = clock
    second = used(shanghai, 1)
    advance_days(running, 2)
    assert named(running) == [], "the second is not looked at before the first is due"
    advance_days(running, 4)
    assert named(running) == ids(SHANGHAI, first + second)


def test_an_outage_of_the_bridge_is_nobodys_delay(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest
) -> None:
    running = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    shanghai = PlayedRegion(running, SHANGHAI).connect()
    assert issue_units(running, shanghai).accepted
    (owed,) = used(shanghai, 1)
    running.bridge.writer.submit(WatchFinals()).result(WAIT_SECONDS)
    shanghai.disconnect()
    running.bridge.stop()
    database = open_engine(bridge_database.url, role="writer")
    offsets = ClockOffsets(database, node_state)
    stopped_at = offsets.load() or timedelta()
    offsets.save(stopped_at + timedelta(days=3))
    database.close()

    again = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    try:
        assert named(again) == [], "it ran for some seconds in all"
        with again.bridge.database.reading() as connection:
            (outage,) = load_outages(connection)
        assert abs(outage.seconds - 3 * DAY_SECONDS) < 120
        advance_days(again, 5)
        assert named(again) == ids(SHANGHAI, [owed])
    finally:
        again.bridge.stop()


NOW = 10 * DAY_SECONDS


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ([], 9 * DAY_SECONDS),
        ([Outage(NOW, 600)], 9 * DAY_SECONDS - 600),
        ([Outage(NOW - 5, 2 * DAY_SECONDS)], 7 * DAY_SECONDS),
        # Each shifts the moment before others, and those behind it change nothing.
        ([Outage(100, 50), Outage(NOW - DAY_SECONDS - 10, 100), Outage(NOW - 30, 20)], 9 * DAY_SECONDS - 120),
        ([Outage(NOW - DAY_SECONDS - 10, 100), Outage(NOW - 30, 10)], 9 * DAY_SECONDS - 10),
        ([Outage(NOW - DAY_SECONDS, 100)], 9 * DAY_SECONDS),
    ],
)
def test_running_time_is_counted_without_the_outages(known: list[Outage], wanted: int) -> None:
    assert moment_before(known, NOW, DAY_SECONDS) == wanted


def test_outages_are_dropped_once_no_term_begins_before_them_and_their_number_is_bounded(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "OUTAGES_MAX", 3)
    with running.bridge.database.writing() as connection:
        set_state(connection, node_state, "outages", "[]")
        note_outage(connection, 1_000, 0)
        assert load_outages(connection) == []
        for end in (1_000, 2_000, 3_000, 4_000):
            note_outage(connection, end, 10)
        # The two oldest count as one that ended with the later: no term is shorter for it.
        assert load_outages(connection) == [Outage(2_000, 20), Outage(3_000, 10), Outage(4_000, 10)]
        far = 4_000 + outages.REMEMBERED_SECONDS
        note_outage(connection, far, 10)
        assert load_outages(connection) == [Outage(4_000, 10), Outage(far, 10)]
        note_outage(connection, far + 20, 5)
        assert [one.ended_at for one in load_outages(connection)] == [far, far + 20]
        assert get_state(connection, node_state, "outages") == f"[[{far}, 10], [{far + 20}, 5]]"
