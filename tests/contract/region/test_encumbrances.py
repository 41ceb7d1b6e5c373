"""Encumbered units stay where they are until both sides have signed their release, on both databases."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.region.v1 import encumbrances_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.protocol.types import Kind
from tanqiao_region.application.claim_steps import Ask, submit_to
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.encumbrance_fsck import check_encumbrances
from tanqiao_region.application.encumbrances import Encumbrances
from tanqiao_region.application.fsck import Report, _rebuild
from tanqiao_region.storage import encumbrances as store
from tanqiao_region.storage.encumbrance_tables import encumbered_block
from tests.contract.region.harness import CENTRE, HOLDER, Node, block

CREDITOR = By("holder/310000/sh.holder/bank", "sh.holder")
STRANGER = By("holder/310000/sh.holder/other", "sh.holder")
ALL = Selection(blocks=(block(200, 500),))
ELSEWHERE = By("operator/310000/sh.exchange", "sh.exchange")
_numbers = itertools.count(1)


@dataclass
class Pledge:
    """A debtor with a thousand kilograms and a creditor."""

    node: Node
    service: Encumbrances
    debtor: str
    creditor: str

    def encumber(self, selection: Selection = ALL, by: By = HOLDER, **fields: Any) -> Any:
        request = encumbrances_pb2.EncumberUnitsRequest(
            **{
                "account_id": self.debtor,
                "creditor_account_id": self.creditor,
                "document_reference": "虚构质押合同 1",
                **fields,
            }
        )
        return self.service.encumber(ask(by), request, selection).encumbrance

    def release(self, encumbrance_id: str, by: By, document: str = "虚构解除书 1") -> Any:
        request = encumbrances_pb2.ReleaseEncumbranceRequest(
            encumbrance_id=encumbrance_id, document_reference=document
        )
        return self.service.release(ask(by), request).encumbrance

    def findings(self) -> list[str]:
        report = Report()
        with self.node.region.database.reading() as connection:
            books = _rebuild(connection, report)
            check_encumbrances(connection, books.holdings, report.note)
        return report.findings


def ask(by: By) -> Ask:
    number = next(_numbers)
    return Ask(ClientRequest(by.party, f"e{number}", bytes(31) + bytes([number])), by, b"")


@pytest.fixture
def pledge(node: Node) -> Pledge:
    debtor = node.open_account("虚构借款公司 invented").account_id
    creditor = node.open_account(
        "虚构银行 invented", uscc="91310000MA1FL00157", holder_party=CREDITOR.party
    ).account_id
    node.give(debtor, block(0, 1000))
    service = Encumbrances(node.context, node.region.database, submit_to(node.region.writer))
    return Pledge(node, service, debtor, creditor)


def refused(answer: Any) -> DomainError:
    assert isinstance(answer, DomainError), answer
    return answer


def test_encumbered_units_are_neither_moved_sent_used_nor_cancelled(pledge: Pledge) -> None:
    node = pledge.node
    other = node.open_account("虚构买方 invented").account_id
    pledge.encumber()
    mixed = Selection(blocks=(block(100, 300),))
    refusals = [
        node.move(pledge.debtor, other, mixed),
        node.transfer(pledge.debtor, ADDRESS, mixed),
        node.retire(pledge.debtor, mixed),
        node.retire(
            pledge.debtor,
            mixed,
            kind=Kind.CANCEL,
            by=CENTRE,
            purpose="",
            purpose_text="更正",
            document_reference="D-1",
            second_approver="operator/310000/sh.bureau",
        ),
    ]
    for answer in refusals:
        refusal = refused(answer)
        assert refusal.symbol in {"UNIT_ENCUMBERED", "RECOGNITION_NOT_IN_FORCE"}
        named = f"{refusal.metadata['ranges']} {refusal.metadata.get('other_refusals', '')}"
        assert refusal.symbol == "UNIT_ENCUMBERED" or "UNIT_ENCUMBERED" in named
        assert refusal.article
        assert refusal.metadata["article_zh"]
    assert refused(refusals[0]).metadata["ranges"] == str(block(200, 300))
    assert node.held(pledge.debtor) == [(0, 1000, 1)]
    assert pledge.findings() == []


def test_a_quantity_is_taken_from_what_is_free_and_names_what_is_not(pledge: Pledge) -> None:
    pledge.encumber()
    assert pledge.node.retire(pledge.debtor, Selection(quantity_kg=600)).blocks == (
        block(0, 200),
        block(500, 900),
    )
    refusal = refused(pledge.node.retire(pledge.debtor, Selection(quantity_kg=101)))
    assert (refusal.symbol, refusal.metadata["ranges"]) == ("UNIT_ENCUMBERED", str(block(200, 500)))
    assert refused(pledge.node.retire(pledge.debtor, Selection(quantity_kg=401))).symbol == (
        "UNITS_INSUFFICIENT"
    )
    balance = pledge.node.queries.balance(pledge.debtor, CENTRE)
    assert (balance.held_kg, balance.encumbered_kg) == (400, 300)


def test_both_sides_release_over_one_deed_and_neither_alone(pledge: Pledge) -> None:
    made = pledge.encumber()
    with pytest.raises(DomainError, match="ACCOUNT_OF_ANOTHER"):
        pledge.release(made.encumbrance_id, STRANGER)
    first = pledge.release(made.encumbrance_id, HOLDER)
    assert pledge.release(made.encumbrance_id, HOLDER) == first
    other_deed = pledge.release(made.encumbrance_id, CREDITOR, "虚构解除书 2")
    assert other_deed.state == store.IN_FORCE
    assert refused(pledge.node.retire(pledge.debtor, ALL)).symbol == "UNIT_ENCUMBERED"
    released = pledge.release(made.encumbrance_id, CREDITOR)
    assert released.state == store.RELEASED
    assert {(one.side, one.party) for one in released.signatures} == {
        (store.HOLDER, HOLDER.party),
        (store.CREDITOR, CREDITOR.party),
    }
    with pytest.raises(DomainError, match="STATE_NOT_ALLOWED"):
        pledge.release(made.encumbrance_id, CREDITOR)
    assert pledge.node.retire(pledge.debtor, ALL).blocks == ALL.blocks
    assert pledge.findings() == []


def test_what_cannot_be_encumbered_is_refused(pledge: Pledge) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"creditor_account_id": "A" + "X" * 16}, "ACCOUNT_UNKNOWN"),
        ({"document_reference": ""}, "FIELD_MISSING"),
        ({"document_digest": b"short"}, "FIELD_INVALID"),
        ({"by": CREDITOR}, "ACCOUNT_OF_ANOTHER"),
        ({"by": CENTRE}, "ROLE_NOT_PERMITTED"),
        ({"selection": Selection(blocks=(block(900, 1001),))}, "NOT_HELD"),
    ]
    for fields, symbol in cases:
        with pytest.raises(DomainError, match=symbol):
            pledge.encumber(**fields)
    assert pledge.service.page("", CENTRE, 0, 10) == []


def test_units_are_encumbered_once_and_never_in_favour_of_the_holder(pledge: Pledge) -> None:
    node = pledge.node
    own = node.open_account("虚构借款公司二户 invented").account_id
    with pytest.raises(DomainError, match="creditor_account_id"):
        pledge.encumber(creditor_account_id=own)
    pledge.encumber()
    with pytest.raises(DomainError, match="UNIT_ENCUMBERED"):
        pledge.encumber(Selection(blocks=(block(499, 501),)))
    pledge.encumber(Selection(blocks=(block(500, 501),)))
    assert pledge.findings() == []


def test_its_sides_and_the_offices_see_it_and_nobody_else(pledge: Pledge) -> None:
    assert pledge.encumber(validate_only=True).encumbrance_id == ""
    made = pledge.encumber()
    for by in (HOLDER, CREDITOR, CENTRE):
        assert pledge.service.find(made.encumbrance_id, by) == made
    with pytest.raises(DomainError, match="NOT_FOUND"):
        pledge.service.find(made.encumbrance_id, STRANGER)
    assert pledge.service.page(pledge.creditor, CREDITOR, 0, 10) == [made]
    assert pledge.service.page("", CENTRE, 0, 10) == [made]
    for account_id, by in ((pledge.debtor, CREDITOR), ("", CREDITOR)):
        with pytest.raises(DomainError, match="ACCOUNT_OF_ANOTHER"):
            pledge.service.page(account_id, by, 0, 10)


def test_fsck_finds_units_that_were_freed_behind_the_journal(pledge: Pledge) -> None:
    made = pledge.encumber()

    def tamper(group: Any) -> None:
        group.connection.execute(sa.delete(encumbered_block))

    pledge.node.run(tamper)
    assert any(made.encumbrance_id in finding for finding in pledge.findings())


ADDRESS = make_address(RegionCode("440300"), bytes(range(10)))
