"""What a look for used-up claims reads: what was used since the last one, and nothing else (虚构)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2
from tanqiao.db import spans
from tanqiao.testing.network import SHANGHAI
from tanqiao_bridge.application import retiring
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.application.retiring import RetireClaims
from tanqiao_bridge.storage import claims, locations
from tanqiao_bridge.storage.tables import claim, decision_block, issue
from tests.contract.bridge.harness import (
    SERIES,
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    claim_of,
    declare,
    issue_message,
)

ISSUED = claims_pb2.CLAIM_STATUS_ISSUED
RETIRED = claims_pb2.CLAIM_STATUS_RETIRED
UNITS = 1_000


def issued(running: Running, region: PlayedRegion, numbers: range) -> None:
    """Issue instalments of one project, each with a thousand units behind those of the one before."""
    for number in numbers:
        start = date(2026, 1, 1) + timedelta(days=10 * number)
        period = (start.isoformat(), (start + timedelta(days=10)).isoformat())
        claim_id = f"310000:instalment:{number}"
        declared = declare(running, SHANGHAI, claim_of(claim_id, start=period[0], end=period[1]))
        message = issue_message(region, declared, claim_id, number * UNITS, UNITS, period)
        region.offer([message])
        region.wait(lambda message=message: message.issue_id in region.receipts)  # type: ignore[misc] # bound now
        assert region.receipts[message.issue_id].accepted, region.receipts[message.issue_id]


def used(region: PlayedRegion, start: int, end: int) -> None:
    use = region.use(start, end)
    region.offer([use])
    assert region.outcome(use.header.transfer_id).outcome == messages_pb2.OUTCOME_COMMIT


def statuses(running: Running) -> dict[int, int]:
    """Let the bridge look; the status of each instalment by its number."""
    running.bridge.writer.submit(RetireClaims()).result(WAIT_SECONDS)
    with running.bridge.database.reading() as connection:
        rows = connection.execute(sa.select(claim.c.claim_id, claim.c.status)).all()
    return {int(row.claim_id.rpartition(":")[2]): row.status for row in rows}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note what is read, by function, and how many rows of each."""
    seen: list[tuple[str, int]] = []

    def noting(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            found = work(*arguments, **named)
            seen.append((name, found if isinstance(found, bool) else len(found)))
            return found

        return noted

    for module, name in (
        (retiring, "rows_within"),
        (retiring, "rows_by_key"),
        (retiring, "_has"),
        (locations, "load_touched"),
        (claims, "load_claims"),
    ):
        monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    return seen


def test_a_look_costs_what_was_used_since_the_last_one_and_not_what_was_ever_issued(
    running: Running, shanghai: PlayedRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counted(monkeypatch)

    def cost() -> list[tuple[str, int]]:
        seen.clear()
        statuses(running)
        return [one for one in seen if one[1]]

    issued(running, shanghai, range(2))
    used(shanghai, 100, 200)
    cost()
    used(shanghai, 200, 300)
    of_two = cost()
    assert ("rows_within", 1) in of_two
    assert cost() == [], "nothing was used"
    issued(running, shanghai, range(2, 9))
    assert cost() == []
    used(shanghai, 300, 400)
    assert cost() == of_two, "as with two claims, and with less of them used"
    # A claim that is used up is read as a whole, the others are not.
    used(shanghai, 3_000, 4_000)
    seen.clear()
    assert statuses(running) == {number: RETIRED if number == 3 else ISSUED for number in range(9)}
    assert ("rows_within", 1) in seen
    assert sum(rows for name, rows in seen if name == "load_claims") <= 2
    assert cost() == []
    report = check_database(running.bridge.database)
    assert report.clean, report.as_text()


def test_units_used_side_by_side_retire_the_claims_that_they_end_and_no_other(
    running: Running, shanghai: PlayedRegion
) -> None:
    issued(running, shanghai, range(5))
    # Of one look: the end of the first, the whole of the second, the beginning of the third.
    used(shanghai, 0, 900)
    assert set(statuses(running).values()) == {ISSUED}
    used(shanghai, 900, 2_500)
    used(shanghai, 4_999, 5_000)
    wanted = {0: RETIRED, 1: RETIRED, 2: ISSUED, 3: ISSUED, 4: ISSUED}
    assert statuses(running) == wanted
    # Nothing held is beside the last use: the claim is read, and what is held is found far away.
    used(shanghai, 4_000, 4_500)
    used(shanghai, 4_600, 4_999)
    assert statuses(running) == wanted
    used(shanghai, 4_500, 4_600)
    assert statuses(running) == {**wanted, 4: RETIRED}
    used(shanghai, 2_500, 4_000)
    assert set(statuses(running).values()) == {RETIRED}
    report = check_database(running.bridge.database)
    assert report.clean, report.as_text()


def test_what_a_look_reads_is_found_by_indexes(running: Running) -> None:
    columns = ("series_id", "start_serial", "end_serial", "claim_id")
    form = spans._WITHIN.replace("{only}", "accepted")
    blocks = sa.select(decision_block.c.series_id).where(decision_block.c.log_index == 7)
    wanted: list[tuple[str, Any]] = [(str(blocks.compile(compile_kwargs={"literal_binds": True})), ())]
    with running.bridge.database.reading() as connection:
        if connection.dialect.name == "sqlite":
            explain = "EXPLAIN QUERY PLAN "
            wanted.append((spans._sqlite(form, issue, columns, 1), (SERIES, 0, 10)))
        else:
            explain = "EXPLAIN "
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # of tables so small, all are read
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
            wanted.append((spans._postgres(form, issue, columns), ([SERIES], [0], [10])))
        plans = [
            "\n".join(
                str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters or None)
            )
            for statement, parameters in wanted
        ]
    assert "ix_decision_block_log_index" in plans[0], plans[0]
    # Within the span, the last before it, and the row of that start.
    assert plans[1].count("ix_issue_units") == 3, plans[1]
    assert "SCAN issue" not in plans[1]
    assert "Seq Scan" not in plans[1]
