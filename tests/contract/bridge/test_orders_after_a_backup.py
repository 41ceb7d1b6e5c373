"""Orders that a bridge gave and forgot: it was restored from a backup of before them (虚构)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2, recovery_pb2, recovery_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.batch import item_envelopes
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tanqiao_bridge.bootstrap import restore_from
from tanqiao_bridge.storage import policy
from tanqiao_gateway.application.fsck import check_database
from tests.contract.bridge.case_office import advance_days
from tests.contract.bridge.claims_office import (
    ALLOW,
    CANCELLED,
    NOTICE,
    PROJECT,
    REGISTERED,
    UNSOLD,
    Office,
    lists,
    office,
)
from tests.contract.bridge.conftest import _migrated
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    PlayedRegion,
    claim_of,
    issue_message,
    run_bridge,
    settings_of,
)
from tests.contract.bridge.notice_office import CONFIRMED, REFUSED, REGISTER, WITHDRAW, NoticeOffice, project
from tests.contract.bridge.test_coordination import FARM, _issue, notice
from tests.contract.bridge.test_regional_freezes import (
    CANCEL,
    FREEZE,
    PLANT,
    RELEASE,
    Desk,
    desk,
    instalment,
    require_orders_in_the_mirror,
)
from tests.contract.bridge.test_regional_freezes import project as regional_project

__all__ = ["desk", "lists", "notice", "office"]

MONTH = "310000:instalment:1"


def _report(office: Office, epoch: int, items: Sequence[recovery_pb2.ReportItem]) -> None:
    """Have Shanghai say what it has above the backup, and every other region that it has nothing."""
    with office.running.bridge.database.reading() as connection:
        regions = sorted(policy.known_regions(connection))
    assert regions
    for region in regions:
        with office.running.channel(region) as channel:
            stub = recovery_pb2_grpc.RecoveryServiceStub(channel)
            own = items if region == SHANGHAI else ()
            request = recovery_pb2.SubmitReportRequest(bridge_epoch=epoch, complete=True, items=own)
            stub.SubmitReport(request, timeout=WAIT_SECONDS)


def _restored_from_the_first_day(
    notice: NoticeOffice,
    url: str,
    owner_url: str,
    items: Sequence[recovery_pb2.ReportItem] = (),
    epoch: int | None = None,
) -> None:
    """Lose the bridge, and go on with a database in which nothing had happened yet."""
    office, network = notice.office, notice.network
    office.close_channels()
    office.running.bridge.stop()
    run_bridge(network, url, owner_url).bridge.stop()
    root = network.network.home / "authorities" / "bridge" / "root"
    begun = restore_from(settings_of(network, url, owner_url), None, root, None, epoch)
    addresses = {name: one.address for name, one in office.lists.items()}
    office.running = run_bridge(network, url, owner_url, gateways=addresses)
    office.stub(SHENZHEN)
    _report(office, begun.epoch, items)


def test_an_order_that_was_forgotten_is_given_again_and_done_once(
    notice: NoticeOffice, database_kind: str, database_maker: DatabaseMaker
) -> None:
    office = notice.office
    gec = office.lists["gec"].gateway
    statement = notice.signed(REGISTER, project("ccer:farm", FARM))
    first = notice.submit(statement)
    notice.decide(first.order_id)
    notice.wait_for(first.order_id, "ccer:farm", CONFIRMED)
    backup = database_maker.make(database_kind, _migrated, "bridge")
    _restored_from_the_first_day(notice, backup.url, backup.owner_url)
    assert notice.orders("ccer:farm") == []

    again = notice.submit(statement)
    assert (again.receipt.status, again.order_id) == (NOTICE, first.order_id)
    notice.wait_for(first.order_id, "ccer:farm", CONFIRMED)
    assert office.status_of("ccer:farm") == REGISTERED
    assert notice.certificates(FARM) == {"FROZEN": 240}
    assert len(notice.received()) == 1, "the registry was ordered once"

    issued = _issue(notice, "ccer:farm:1", FARM, 200)
    order_id = issued.order_id  # type: ignore[attr-defined]
    assert notice.decide(order_id).confirmed_quantity_mwh == 200
    notice.wait_for(order_id, "ccer:farm", CONFIRMED)
    gone = notice.step(WITHDRAW, claims_pb2.Claim(claim_id="ccer:farm"))
    assert gone.receipt.status == CANCELLED
    assert notice.decide(gone.order_id).confirmed_quantity_mwh == 40
    notice.wait_for(gone.order_id, "ccer:farm", CONFIRMED)
    assert notice.certificates(FARM) == {"CANCELLED": 200, "UNFROZEN": 40}
    assert check_database(gec.database).clean
    office.require_clean()
    assert office.running.bridge.context.epoch == 2, BRIDGE


class _Kept:
    """What Shanghai keeps of its claims and Issues, as a node does: both sides' signed messages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.items: list[recovery_pb2.ReportItem] = []

    def _keep(self, statement: envelope_pb2.Envelope, response: Any) -> Any:
        item = recovery_pb2.ReportItem(message=response.envelope, statement=statement)
        self.items.append(item)
        return response

    def declared(self, claim: claims_pb2.Claim) -> Any:
        statement = self._desk.office.network.envelope(claims_pb2.DeclareStatement(claim=claim), SHANGHAI)
        request = claims_pb2.DeclareClaimRequest(envelope=statement)
        stub = self._desk.office.stub(SHANGHAI)
        return self._keep(statement, stub.DeclareClaim(request, timeout=WAIT_SECONDS))

    def moved(self, claim_id: str, status: int) -> Any:
        wish = claims_pb2.ClaimStatement(claim_id=claim_id, status=status, reason="test")  # type: ignore[arg-type]
        statement = self._desk.office.network.envelope(wish, SHANGHAI)
        stub = self._desk.office.stub(SHANGHAI)
        if status == CANCELLED:
            gone = claims_pb2.ReleaseClaimRequest(envelope=statement)
            return self._keep(statement, stub.ReleaseClaim(gone, timeout=WAIT_SECONDS))
        request = claims_pb2.RegisterClaimRequest(envelope=statement)
        return self._keep(statement, stub.RegisterClaim(request, timeout=WAIT_SECONDS))

    def issued(self, declared: claims_pb2.DeclareClaimResponse) -> None:
        region = self._desk.region
        issue = issue_message(region, declared, MONTH, 0, 100_000)
        assert self._desk.offered(issue) == []
        wanted = payload_type_of(messages_pb2.IssueReceipt)
        batches = [frame.numbered.batch for frame in region.frames if frame.WhichOneof("frame") == "numbered"]
        (receipt,) = [
            one for batch in batches if batch.payload_type == wanted for one in item_envelopes(batch)
        ]
        signer = self._desk.office.network.signer(SHANGHAI)
        signed = sign_envelope(signer, payload_type_of(issue), issue.SerializeToString())
        papers = recovery_pb2.Papers(issue=signed, series=[issue.series])
        self.items.append(recovery_pb2.ReportItem(message=receipt, papers=papers))


def _as_the_registry_has_them(desk: Desk) -> None:
    """Demand that the bridge has every order of the plant that its registry has, and what became of it."""
    theirs = {bytes(one.order.order_id): one.answer.state for one in desk.notice.received()}
    for order_id, state in theirs.items():
        desk.notice.wait_for(order_id, PLANT, state)
    assert {bytes(one.order.order_id) for one in desk.notice.orders(PLANT)} == theirs.keys()


@pytest.mark.parametrize("ended", [False, True])
def test_what_regions_report_causes_its_orders_again_and_nothing_is_done_twice(
    desk: Desk, database_kind: str, database_maker: DatabaseMaker, ended: bool
) -> None:
    kept = _Kept(desk)
    kept.declared(regional_project())
    kept.moved(PLANT, NOTICE)
    desk.confirmed()
    kept.moved(PLANT, NOTICE)
    kept.moved(PLANT, REGISTERED)
    month = instalment(1)
    month.activity_quantity = 100
    declared = kept.declared(month)
    assert declared.receipt.verdict.verdict == ALLOW
    kept.issued(declared)
    desk.confirmed()
    if ended:
        kept.moved(PLANT, CANCELLED)
        desk.confirmed()
    frozen = {"UNFROZEN": 140} if ended else {"FROZEN": 140}
    assert desk.notice.certificates(UNSOLD) == {"CANCELLED": 100, **frozen}

    desk.region.disconnect()
    backup = database_maker.make(database_kind, _migrated, "bridge")
    _restored_from_the_first_day(desk.notice, backup.url, backup.owner_url, kept.items)
    _as_the_registry_has_them(desk)
    assert desk.kinds() == [FREEZE, CANCEL, *([RELEASE] if ended else [])]
    assert desk.notice.certificates(UNSOLD) == {"CANCELLED": 100, **frozen}
    if not ended:
        desk.region = PlayedRegion(desk.office.running, SHANGHAI)
        assert desk.office.move(PLANT, CANCELLED).status == CANCELLED
        desk.confirmed()
        assert desk.kinds() == [FREEZE, CANCEL, RELEASE]
        assert desk.notice.certificates(UNSOLD) == {"CANCELLED": 100, "UNFROZEN": 140}
    assert check_database(desk.office.lists["gec"].gateway.database).clean
    desk.office.require_clean()


@pytest.mark.long
def test_what_may_be_frozen_by_a_request_that_was_forgotten_is_cancelled_and_released(
    desk: Desk, database_kind: str, database_maker: DatabaseMaker
) -> None:
    kept = _Kept(desk)
    kept.declared(regional_project())
    kept.moved(PLANT, NOTICE)
    first = desk.newest().order.order_id
    desk.notice.decide(first, refuse=True, reason="业主另有安排（虚构）")
    desk.notice.wait_for(first, PLANT, REFUSED)
    kept.moved(PLANT, NOTICE)
    desk.confirmed()
    kept.moved(PLANT, REGISTERED)
    assert desk.kinds() == [FREEZE, FREEZE]

    desk.region.disconnect()
    backup = database_maker.make(database_kind, _migrated, "bridge")
    _restored_from_the_first_day(desk.notice, backup.url, backup.owner_url, kept.items)
    desk.notice.wait_for(first, PLANT, REFUSED)
    assert desk.kinds() == [FREEZE], "the second one was asked for only because the first was refused"
    desk.region = PlayedRegion(desk.office.running, SHANGHAI).connect()
    month = instalment(1)
    month.activity_quantity = 100
    kept.issued(kept.declared(month))
    assert desk.kinds() == [FREEZE, CANCEL]
    desk.confirmed()
    assert desk.office.move(PLANT, CANCELLED).status == CANCELLED
    assert desk.kinds() == [FREEZE, CANCEL, RELEASE]
    desk.confirmed()
    assert desk.notice.certificates(UNSOLD) == {"CANCELLED": 100, "UNFROZEN": 140}
    assert check_database(desk.office.lists["gec"].gateway.database).clean
    require_orders_in_the_mirror(desk.office)
    desk.office.require_clean()


@pytest.mark.long
def test_what_two_epochs_said_of_a_claim_is_taken_back_in_the_order_of_its_life(
    desk: Desk, database_kind: str, database_maker: DatabaseMaker
) -> None:
    kept = _Kept(desk)
    for number in range(8):  # of a region that will have nothing to report: the second log is shorter
        kind = claim_of(f"440300:project:{number}", kind=PROJECT, region=SHENZHEN, project_id=f"P-{number}")
        desk.office.declared(kind)
    kept.declared(regional_project())
    kept.moved(PLANT, NOTICE)
    desk.confirmed()
    kept.moved(PLANT, NOTICE)
    kept.moved(PLANT, REGISTERED)
    desk.region.disconnect()
    first = database_maker.make(database_kind, _migrated, "bridge")
    _restored_from_the_first_day(desk.notice, first.url, first.owner_url, kept.items)
    _as_the_registry_has_them(desk)
    advance_days(desk.office.running, 1)
    kept.moved(PLANT, CANCELLED)
    desk.confirmed()
    receipts = [claims_pb2.ClaimReceipt.FromString(one.message.payload) for one in kept.items]
    assert receipts[-1].log_index < receipts[1].log_index

    # What follows was forgotten once more, the declaration was not.
    second = database_maker.make(database_kind, _migrated, "bridge")
    _restored_from_the_first_day(desk.notice, second.url, second.owner_url, kept.items[:1], epoch=3)
    _report(desk.office, 3, kept.items)
    assert desk.office.status_of(PLANT) == CANCELLED
    assert desk.kinds() == [FREEZE, RELEASE]
    _as_the_registry_has_them(desk)
    desk.office.require_clean()
