"""What was wrongly issued is cancelled where it is held and replaced where it is gone, on both databases."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import certificates_pb2, clawbacks_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.claim_steps import submit_to
from tanqiao_region.application.clawback_fsck import check_clawbacks
from tanqiao_region.application.clawbacks import Clawbacks
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.fsck import Report, _compare_holdings, _rebuild
from tanqiao_region.application.working_calendar import published_calendar
from tanqiao_region.storage.certificates import CertificateRow, insert_certificate, update_certificate
from tests.contract.region.harness import CENTRE, HOLDER
from tests.contract.region.test_orders import SHENZHEN_AUTHORITY, signed
from tests.contract.region.test_rule_parameters import publish
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import Office, ask, month

BUREAU = By("operator/310000/sh.bureau", "sh.bureau")
STRANGER = By("holder/310000/sh.holder/other", "sh.holder")
EXCHANGE = By("operator/310000/sh.exchange", "sh.exchange")
TERM = "sh.clawback_term_working_days"
USE = "application/vnd.tanqiao.use.v1+protobuf"


@dataclass
class Desk:
    """Shanghai with an issuance of ten tonnes that was wrong."""

    office: Office
    network: NetworkOfTest
    bridge: ClaimBridge
    service: Clawbacks
    issuance: Any

    @property
    def node(self) -> Any:
        return self.office.node

    def units(self, start: int, end: int) -> UnitBlock:
        return UnitBlock(self.issuance.series.series_id, start, end)

    def order(self, *blocks: UnitBlock, authority: str = "authority/310000", **fields: Any) -> Any:
        order = clawbacks_pb2.ClawbackOrder(
            **{
                "clawback_id": secrets.token_bytes(16),
                "issuance_id": self.issuance.issuance_id,
                "blocks": block_messages(blocks),
                "reason": "电表重复读数 the meter was read twice",
                "document": "虚构案 7",
                **fields,
            }
        )
        return signed(self.network, order, authority, audience=self.node.party)

    def submit(self, envelope: Any, by: By = CENTRE) -> Any:
        request = clawbacks_pb2.SubmitClawbackRequest(request_id=secrets.token_hex(8), order=envelope)
        return self.service.submit(ask(request, by), envelope).clawback

    def replace(self, clawback_id: str, quantity_kg: int, by: By = HOLDER, *blocks: UnitBlock) -> Any:
        selection = Selection(blocks=blocks) if blocks else Selection(quantity_kg=quantity_kg)
        request = clawbacks_pb2.ReplaceClawedUnitsRequest(
            request_id=secrets.token_hex(8), clawback_id=clawback_id
        )
        return self.service.replace(ask(request, by), clawback_id, selection).clawback

    def settle(self, clawback_id: str, by: By = CENTRE) -> Any:
        request = clawbacks_pb2.SettleClawbackRequest(
            request_id=secrets.token_hex(8), clawback_id=clawback_id
        )
        return self.service.settle(ask(request, by), clawback_id).clawback

    def use(self, start: int, end: int) -> bytes:
        done = len(self.bridge.finals)
        answer = self.node.retire(self.office.owner, Selection(blocks=(self.units(start, end),)))
        assert not isinstance(answer, DomainError), answer
        self.decided(done + 1)
        return bytes(answer.transfer_id)

    def decided(self, count: int) -> None:
        self.bridge.wait_until(lambda: len(self.bridge.finals) >= count)

    def events(self, clawback_id: str) -> list[str]:
        return [step.event for step in self.service.steps(clawback_id, CENTRE, 0, 50)]

    def findings(self) -> list[str]:
        report = Report()
        with self.node.region.database.reading() as connection:
            books = _rebuild(connection, report)
            _compare_holdings(connection, books, report)
            check_clawbacks(connection, books.outgoing, report.note)
        return report.findings


@pytest.fixture
def desk(on_the_line: Office, network: NetworkOfTest, bridge: ClaimBridge) -> Desk:
    office = on_the_line
    publish(office.node, BUREAU, key=TERM, value_json="10")
    office.published()
    office.meter(month("2026-01", 24_000_000))
    issuance = office.issue()
    assert issuance.quantity_kg == 10_000, issuance
    node = office.node
    service = Clawbacks(node.context, node.region.database, submit_to(node.region.writer), published_calendar)
    return Desk(office, network, bridge, service, issuance)


def test_what_is_still_held_is_cancelled_and_its_claim_superseded(desk: Desk) -> None:
    made = desk.submit(desk.order())
    assert (made.state, made.quantity_kg, made.HasField("due_date")) == ("OPEN", 10_000, False)
    desk.decided(1)
    assert desk.service.find(made.clawback_id, CENTRE).outstanding_kg == 0
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        desk.settle(made.clawback_id, EXCHANGE)
    done = desk.settle(made.clawback_id)
    assert (done.state, done.cancelled_kg, done.replaced_kg) == ("COMPLETED", 10_000, 0)
    with pytest.raises(DomainError, match="STATE_NOT_ALLOWED"):
        desk.settle(made.clawback_id)
    desk.office.office.steps.resume()
    status = desk.bridge.claims.status[done.claim_id]
    assert status == claims_pb2.CLAIM_STATUS_SUPERSEDED
    assert desk.events(made.clawback_id) == ["decide", "complete"]
    assert desk.node.held(desk.office.owner) == []
    assert desk.findings() == []


def test_what_was_used_is_replaced_within_the_term(desk: Desk) -> None:
    desk.use(0, 3_000)
    made = desk.submit(desk.order(desk.units(0, 5_000)))
    # Tuesday 2026-03-10; ten working days that do not count it end on the second Tuesday.
    assert (made.due_date.month, made.due_date.day) == (3, 24)
    desk.decided(2)
    open_one = desk.service.find(made.clawback_id, STRANGER)
    assert (open_one.cancelled_kg, open_one.outstanding_kg, open_one.account_id) == (2_000, 3_000, "")
    with pytest.raises(DomainError, match="ACCOUNT_OF_ANOTHER"):
        desk.replace(made.clawback_id, 1_000, STRANGER)
    with pytest.raises(DomainError) as caught:
        desk.replace(made.clawback_id, 4_000)
    assert (caught.value.symbol, caught.value.field) == ("FIELD_INVALID", "units.quantity_kg")
    desk.replace(made.clawback_id, 1_000)
    desk.decided(3)
    assert desk.settle(made.clawback_id).outstanding_kg == 2_000
    desk.office.turn_to(date(2026, 3, 25))
    assert desk.settle(made.clawback_id).state == "OVERDUE"
    desk.replace(made.clawback_id, 2_000)
    desk.decided(4)
    done = desk.settle(made.clawback_id)
    assert (done.state, done.cancelled_kg, done.replaced_kg) == ("COMPLETED", 2_000, 3_000)
    assert desk.events(made.clawback_id) == ["decide", "replace", "fall_due", "replace", "complete"]
    assert desk.bridge.claims.status[done.claim_id] != claims_pb2.CLAIM_STATUS_SUPERSEDED
    assert desk.node.held(desk.office.owner) == [(8_000, 10_000, 1)]
    assert desk.findings() == []


def test_a_certificate_on_its_way_is_named_to_offices_and_its_applicant_alone(desk: Desk) -> None:
    transfer_id = desk.use(0, 3_000)
    message = certificates_pb2.Certificate(
        number="310000-CN-2026-1", state="REQUESTED", account_id=desk.office.owner
    )
    row = CertificateRow(message, transfer_id, STRANGER.party, 1, 1)
    desk.node.run(lambda group: insert_certificate(group.connection, row))
    made = desk.submit(desk.order(desk.units(0, 5_000)))
    desk.decided(2)

    def named(by: By) -> list[list[str]]:
        (listed,) = desk.service.page(by, b"", 10)
        found = desk.service.find(made.clawback_id, by)
        return [list(one.certificate_numbers) for one in (listed, found)]

    number = [message.number]
    assert named(CENTRE) == named(STRANGER) == [number, number]
    assert named(HOLDER) == [[], []]
    assert list(desk.replace(made.clawback_id, 1_000).certificate_numbers) == []
    message.state = "CERTIFIED"
    desk.node.run(lambda group: update_certificate(group.connection, row))
    assert named(HOLDER) == [number, number]


def test_units_that_come_back_move_no_more_and_are_cancelled(desk: Desk) -> None:
    desk.bridge.on_use = desk.bridge.hold
    held_back = desk.node.retire(desk.office.owner, Selection(blocks=(desk.units(0, 1_000),)))
    made = desk.submit(desk.order(desk.units(0, 1_000)))
    assert (made.outstanding_kg, made.HasField("due_date")) == (1_000, True)
    desk.bridge.abort_uses(desk.bridge.seen_of(USE))
    desk.decided(1)
    assert held_back.transfer_id
    answer = desk.node.retire(desk.office.owner, Selection(blocks=(desk.units(0, 500),)))
    assert isinstance(answer, DomainError)
    assert answer.symbol == "FROZEN"
    assert "虚构案 7" in answer.sentence("zh")
    other = desk.node.open_account("虚构买方 invented").account_id
    moved = desk.node.move(desk.office.owner, other, Selection(quantity_kg=9_000))
    assert moved.blocks == (desk.units(1_000, 10_000),)
    desk.bridge.on_use = desk.bridge.commit_uses
    assert desk.settle(made.clawback_id).state == "OPEN"
    desk.decided(2)
    assert desk.settle(made.clawback_id).state == "COMPLETED"
    assert desk.events(made.clawback_id) == ["decide", "cancel", "complete"]
    assert desk.findings() == []


def test_what_comes_back_while_it_is_being_replaced_is_not_cancelled_too(desk: Desk) -> None:
    desk.bridge.on_use = desk.bridge.hold
    desk.node.retire(desk.office.owner, Selection(blocks=(desk.units(0, 1_000),)))
    made = desk.submit(desk.order(desk.units(0, 1_000)))
    (first,) = desk.bridge.seen_of(USE)
    desk.replace(made.clawback_id, 1_000)
    desk.bridge.wait_until(lambda: len(desk.bridge.seen_of(USE)) == 2)
    desk.bridge.abort_uses([first])
    desk.decided(1)
    open_one = desk.settle(made.clawback_id)
    assert (open_one.outstanding_kg, open_one.pending_kg) == (1_000, 1_000)
    desk.bridge.commit_uses(desk.bridge.seen_of(USE)[1:])
    desk.decided(2)
    done = desk.settle(made.clawback_id)
    assert (done.state, done.cancelled_kg, done.replaced_kg) == ("COMPLETED", 0, 1_000)
    assert desk.node.held(desk.office.owner) == [(0, 1_000, 1), (2_000, 10_000, 1)]
    assert desk.findings() == []


def test_two_approvers_of_the_own_authority_decide_and_nobody_else(desk: Desk) -> None:
    for envelope in (
        desk.order(authority=SHENZHEN_AUTHORITY),
        signed_by_one(desk),
    ):
        with pytest.raises(DomainError, match="APPROVERS_MISSING"):
            desk.submit(envelope)
    with pytest.raises(DomainError, match="FIELD_INVALID"):
        desk.submit(desk.order(desk.units(9_000, 11_000)))
    with pytest.raises(DomainError, match="NOT_FOUND"):
        desk.submit(desk.order(issuance_id="ab" * 16))
    with pytest.raises(DomainError) as caught:
        desk.submit(desk.order(), EXCHANGE)
    assert caught.value.symbol == "ROLE_NOT_PERMITTED"
    assert caught.value.article
    envelope = desk.order(desk.units(0, 100))
    first = desk.submit(envelope)
    assert desk.submit(envelope).clawback_id == first.clawback_id
    clash = desk.order(desk.units(0, 200), clawback_id=bytes.fromhex(first.clawback_id))
    with pytest.raises(DomainError, match="EQUIVOCATION"):
        desk.submit(clash)
    with pytest.raises(DomainError, match="FROZEN"):
        desk.submit(desk.order(desk.units(50, 60)))
    assert [one.clawback_id for one in desk.service.page(CENTRE, b"", 10)] == [first.clawback_id]
    desk.decided(1)
    assert desk.findings() == []


def signed_by_one(desk: Desk) -> Any:
    envelope = desk.order()
    del envelope.signatures[1]
    return envelope


def test_without_a_term_nothing_that_is_gone_is_clawed_back(
    on_the_line: Office, network: NetworkOfTest, bridge: ClaimBridge
) -> None:
    office = on_the_line
    office.published()
    office.meter(month("2026-01", 24_000_000))
    issuance, node = office.issue(), office.node
    service = Clawbacks(node.context, node.region.database, submit_to(node.region.writer), published_calendar)
    desk = Desk(office, network, bridge, service, issuance)
    desk.use(0, 10)
    with pytest.raises(DomainError) as caught:
        desk.submit(desk.order())
    assert (caught.value.symbol, caught.value.metadata["parameter"]) == ("PARAMETER_NOT_SET", TERM)
    assert caught.value.article
    assert node.held(office.owner) == [(10, 10_000, 1)]
