"""No order overtakes another, none is starved, and nothing is issued over what may be free (虚构)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Queue
from threading import Event

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.testing.network import SHANGHAI
from tanqiao_bridge.application.lapsing import LapseClaims
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.remote import courier as couriers
from tanqiao_bridge.remote.gateways import Gateways
from tanqiao_bridge.storage import registry_orders
from tanqiao_bridge.storage.tables import registry_order
from tests.contract.bridge.case_office import ALLOW as STANDS
from tests.contract.bridge.case_office import advance_days, cases_of, resolve
from tests.contract.bridge.claims_office import (
    ALLOW,
    CANCELLED,
    FREEZE_OTHER,
    GEC,
    HOLD,
    NOTICE,
    PROJECT,
    UNSOLD,
    WITHDRAWN_STATUS,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import WAIT_SECONDS, claim_of, declare, issue_message
from tests.contract.bridge.lists import certificates
from tests.contract.bridge.notice_office import ACKNOWLEDGED
from tests.contract.bridge.test_regional_freezes import (
    CANCEL,
    FREEZE,
    PLANT,
    RELEASE,
    Desk,
    desk,
    hold_and_reject,
    instalment,
    project,
    require_all_clean,
    stands_over_a_refused_release,
)

__all__ = ["desk", "lists", "office"]

OTHER_PLANT = "310000:project:2"
OTHER_CODE = "99310000000000788"
MONTH = "310000:instalment:1"
LAPSED = claims_pb2.CLAIM_STATUS_LAPSED


def received(desk: Desk) -> set[int]:
    """What kinds of order have arrived at the certificates' registry."""
    return {int(one.order.kind) for one in desk.notice.received()}


def test_an_issue_cancels_though_the_bridge_has_not_heard_that_its_freeze_was_confirmed(desk: Desk) -> None:
    desk.office.declared(project())
    desk.office.move(PLANT, NOTICE)
    freeze = desk.newest().order.order_id
    desk.notice.wait_for(freeze, PLANT, ACKNOWLEDGED)
    desk.office.running.bridge.courier.stop()  # what is decided from here on the bridge hears of later
    desk.notice.decide(freeze)
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    assert declared.receipt.verdict.verdict == ALLOW, (
        "the registry itself says that it is frozen for this plant"
    )
    assert desk.issue(MONTH, 0, declared) == []
    assert desk.kinds() == [FREEZE, CANCEL]


def test_a_release_waits_until_the_registry_has_the_cancellation_before_it(desk: Desk) -> None:
    desk.registered()
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    courier = desk.office.running.bridge.courier
    courier.stop()
    assert desk.issue(MONTH, 0, declared) == []
    cancel = desk.newest().order.order_id
    desk.office.move(PLANT, CANCELLED)
    assert desk.kinds() == [FREEZE, CANCEL, RELEASE]
    courier._stopping.clear()
    courier._pauses[cancel] = (time.monotonic() + 600, 600)  # as after a registry that was silent for a while
    courier._round()
    assert received(desk) == {FREEZE}
    courier._pauses.clear()
    courier._round()
    assert received(desk) == {FREEZE, CANCEL}
    courier._round()
    assert received(desk) == {FREEZE, CANCEL, RELEASE}


def test_orders_that_wait_for_a_person_hold_up_none(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "ORDERS_PER_ROUND_MAX", 1)
    desk.registered()
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    assert desk.issue(MONTH, 0, declared) == []
    desk.notice.wait_for(desk.newest().order.order_id, PLANT, ACKNOWLEDGED)
    desk.office.lists["gec"].load([*GEC, certificates("GEC-2", OTHER_CODE)])
    other = claim_of(OTHER_PLANT, kind=PROJECT, filing_code=OTHER_CODE, end="2027-01-01", project_id="P-0002")
    other.gec_freeze_consent = True
    desk.office.declared(other)
    desk.office.move(OTHER_PLANT, NOTICE)
    (freeze,) = desk.notice.orders(OTHER_PLANT)
    desk.notice.wait_for(freeze.order.order_id, OTHER_PLANT, ACKNOWLEDGED)


def test_an_instalment_stands_again_only_when_the_release_of_its_project_is_decided(desk: Desk) -> None:
    desk.registered()
    desk.office.move(PLANT, CANCELLED)
    declared = declare(desk.office.running, SHANGHAI, instalment(1))
    assert declared.receipt.verdict.verdict == HOLD
    (case,) = [one for one in cases_of(desk.office.running) if one.state == "open"]
    refused = refusal(resolve, desk.office.running, int(case.case_id), STANDS)
    assert refused.symbol == "EXTERNAL_REGISTRY_SILENT"
    desk.confirmed()


def test_an_instalment_moves_on_only_when_the_release_of_its_project_is_decided(desk: Desk) -> None:
    desk.registered()
    assert declare(desk.office.running, SHANGHAI, instalment(1)).receipt.verdict.verdict == ALLOW
    desk.office.move(PLANT, CANCELLED)
    assert refusal(desk.office.move, MONTH, NOTICE).symbol == "EXTERNAL_REGISTRY_SILENT"
    assert desk.office.move(MONTH, WITHDRAWN_STATUS).status == WITHDRAWN_STATUS


@dataclass
class LateAnswers:
    """The registries' next answer about each instalment stays on its way until all are let go."""

    arrived: Queue[str] = field(default_factory=Queue)
    let_go: Event = field(default_factory=Event)
    held: set[str] = field(default_factory=set)

    def hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        look_up = Gateways.look_up

        def late(gateways: Gateways, claims: Sequence[claims_pb2.Claim]) -> Answers:
            answers = look_up(gateways, claims)
            claim_id = claims[0].claim_id
            if ":instalment:" in claim_id and claim_id not in self.held:
                self.held.add(claim_id)
                self.arrived.put(claim_id)
                assert self.let_go.wait(WAIT_SECONDS)
            return answers

        monkeypatch.setattr(Gateways, "look_up", late)


def test_no_verdict_rests_on_what_the_registry_said_before_a_release_that_was_decided_since(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = desk.office.running
    desk.opened()
    days = ("2026-01-01", "2026-01-11", "2026-01-21", "2026-02-01")
    periods = list(itertools.pairwise(days))
    new, moved, revived = (
        instalment(number, start=start, end=end) for number, (start, end) in enumerate(periods, start=1)
    )
    declared = {moved.claim_id: declare(running, SHANGHAI, moved)}
    project_case = hold_and_reject(desk)
    declared[revived.claim_id] = declare(running, SHANGHAI, revived)
    assert declared[revived.claim_id].receipt.verdict.verdict == HOLD, "its project has ended"
    (case,) = [one.case_id for one in cases_of(running) if revived.claim_id in one.claim_ids]
    late = LateAnswers()
    late.hold(monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        declaring = pool.submit(declare, running, SHANGHAI, new)
        moving = pool.submit(desk.office.move, moved.claim_id, NOTICE)
        resolving = pool.submit(resolve, running, case, STANDS)
        try:
            assert len({late.arrived.get(timeout=WAIT_SECONDS) for _ in periods}) == len(periods)
            assert desk.notice.certificates(UNSOLD) == {"FROZEN": 240}
            desk.confirmed()
            resolve(running, project_case, STANDS)
            assert desk.notice.certificates(UNSOLD) == {"UNFROZEN": 240}
        finally:
            late.let_go.set()
        declared[new.claim_id] = declaring.result(WAIT_SECONDS)
        moving.result(WAIT_SECONDS)
        resolving.result(WAIT_SECONDS)
    for number, (claim, period) in enumerate(zip((new, moved, revived), periods, strict=True)):
        response = declared[claim.claim_id]
        issue = issue_message(desk.region, response, claim.claim_id, number * 1_000_000, 100_000, period)
        assert desk.offered(issue) == ["EXTERNAL_REGISTRY_SILENT"], claim.claim_id
        request = claims_pb2.GetClaimRequest(claim_id=claim.claim_id)
        newest = desk.office.stub(SHANGHAI).GetClaim(request, timeout=WAIT_SECONDS).receipts[-1]
        receipt = claims_pb2.ClaimReceipt.FromString(newest.payload)
        assert receipt.verdict.verdict == FREEZE_OTHER, "the registries were asked again"
    assert desk.kinds() == [FREEZE, RELEASE], "nothing is cancelled: nothing was issued"
    require_all_clean(desk)


def test_a_project_that_lapses_has_released_what_was_frozen_for_it(desk: Desk) -> None:
    stands_over_a_refused_release(desk)
    bridge = desk.office.running.bridge
    advance_days(desk.office.running, bridge.settings.claim_lease_days + 200)
    bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
    assert desk.office.status_of(PLANT) == LAPSED
    assert desk.kinds() == [FREEZE, RELEASE, RELEASE]
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"UNFROZEN": 240}
    require_all_clean(desk)


def test_the_newest_orders_of_a_claim_are_found_by_their_index_however_many_it_has(desk: Desk) -> None:
    columns = registry_orders.COLUMNS
    empty = dict.fromkeys(("statement_hash", "order_hash", "payload", "envelope"), b"")
    database = desk.office.running.bridge.database

    def fill(unit: UnitOfWork) -> None:
        rows = [
            {
                **empty,
                "order_id": number.to_bytes(16, "big"),
                "registry": "elsewhere",
                "claim_id": PLANT if number % 2 else OTHER_PLANT,
                "kind": CANCEL if number > 1 else FREEZE,
                "ordered_at": number,
                "log_index": number,
            }
            for number in range(6_000)
        ]
        insert_rows(
            unit.connection, registry_order, [tuple(row[name] for name in columns) for row in rows], columns
        )
        unit.commit()

    run_in_transaction(database, fill)
    asked: list[tuple[str, object]] = []
    with database.reading() as connection:
        sa.event.listen(
            connection,
            "before_cursor_execute",
            lambda _c, _cursor, statement, values, _context, _many: asked.append((statement, values)),
        )
        newest = registry_orders.list_orders(connection, claim_id=PLANT, before=0, limit=1, kinds=(FREEZE,))
        assert [row.log_index for row in newest] == [1]
        assert registry_orders.newest_of(connection, PLANT, (FREEZE, RELEASE)) == {(FREEZE, None): 1}
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        for statement, values in tuple(asked):
            found = connection.exec_driver_sql(explain + statement, values)  # type: ignore[arg-type]
            plan = "\n".join(str(row[-1]) for row in found)
            assert "ix_registry_order_claim_id_kind_log_index" in plan, plan
            assert "ix_registry_order_log_index" not in plan, plan
