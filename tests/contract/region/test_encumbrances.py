"""Encumbered units stay where they are until both sides have signed their release, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.region.v1 import encumbrances_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.protocol.types import Kind
from tanqiao.signing.certificates import CertificateAuthority, TlsFiles
from tanqiao.signing.certified import Certified, read_certificate, sign_certified, signer_of
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.claim_steps import Ask, submit_to
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.encumbrance_fsck import check_encumbrances
from tanqiao_region.application.encumbrances import Encumbrances
from tanqiao_region.application.fsck import Report, _rebuild
from tanqiao_region.application.release_statements import RELEASE_TYPE, Certifying
from tanqiao_region.storage import encumbrances as store
from tanqiao_region.storage.encumbrance_tables import encumbered_block, release_statement
from tests.contract.region.harness import CENTRE, HOLDER, Node, block, spoil

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

    def statement(self, encumbrance_id: str, document: str) -> bytes:
        """What both sides sign."""
        made = self.service.find(encumbrance_id, CENTRE)
        return encumbrances_pb2.ReleaseStatement(
            network_id=self.node.network.network_id,
            region=self.node.party,
            encumbrance_id=encumbrance_id,
            agreement_digest=made.agreement_digest,
            document_reference=document,
        ).SerializeToString()

    def release(
        self, encumbrance_id: str, by: By, document: str = "虚构解除书 1", signer: str = "", **fields: Any
    ) -> Any:
        payload = fields.get("statement", self.statement(encumbrance_id, document))
        signed = sign_certified(certificate_of(self.node.network, signer or by.party), RELEASE_TYPE, payload)
        values = {
            "statement": payload,
            "signature": signed.signature,
            "certificate": signed.certificate_pem,
            **fields,
        }
        request = encumbrances_pb2.ReleaseEncumbranceRequest(
            encumbrance_id=encumbrance_id, document_reference=document, **values
        )
        return self.service.release(ask(by), request).encumbrance

    def findings(self) -> list[str]:
        report = Report()
        with self.node.region.database.reading() as connection:
            books = _rebuild(connection, report)
            check_encumbrances(connection, books.holdings, report.note)
        return report.findings


def certificate_of(network: NetworkOfTest, party: str, home: Path | None = None) -> TlsFiles:
    """A certificate of the network's CA for any party; with `home` of a CA that nobody knows."""
    ca = CertificateAuthority.create(
        home or network.network.home / "network", network.network_id, now=datetime.now(UTC)
    )
    folder = (home or network.network.home) / "certified" / party.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    files = TlsFiles.of(folder)
    ca.issue(files, network.network_id, party, now=datetime.now(UTC))
    return files


def certifying(node: Node, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Certifying:
    ca = node.network.network.home / "network" / "ca.pem"
    return Certifying(node.network.network_id, node.party, lambda: read_certificate(ca), now)


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
    service = Encumbrances(
        node.context, node.region.database, submit_to(node.region.writer), certifying(node)
    )
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


def test_a_release_is_signed_with_the_key_of_the_sides_own_certificate(
    pledge: Pledge, tmp_path: Path
) -> None:
    made = pledge.encumber()
    other = pledge.encumber(Selection(blocks=(block(0, 10),)))
    foreign = sign_certified(
        certificate_of(pledge.node.network, HOLDER.party, tmp_path),
        RELEASE_TYPE,
        pledge.statement(made.encumbrance_id, "虚构解除书 1"),
    )
    deed = {"statement": pledge.statement(other.encumbrance_id, "虚构解除书 1")}
    paper = {"statement": pledge.statement(made.encumbrance_id, "虚构解除书 2")}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"signature": b""}, "SIGNATURE_MISSING"),
        ({"certificate": b""}, "SIGNATURE_MISSING"),
        ({"signer": STRANGER.party}, "PEER_NOT_SENDER"),
        ({"signature": foreign.signature}, "SIGNATURE_INVALID"),
        ({"certificate": foreign.certificate_pem, "signature": foreign.signature}, "CERTIFICATE_INVALID"),
        ({"certificate": b"none"}, "CERTIFICATE_INVALID"),
        ({"certificate": bytes(20_000)}, "FIELD_INVALID"),
        (deed, "DECISION_DIFFERS"),
        (paper, "DECISION_DIFFERS"),
    ]
    for fields, symbol in cases:
        with pytest.raises(DomainError, match=symbol):
            pledge.release(made.encumbrance_id, HOLDER, **fields)
    later = datetime.now(UTC) + timedelta(days=500)
    node = pledge.node
    aged = Encumbrances(
        node.context, node.region.database, submit_to(node.region.writer), certifying(node, lambda: later)
    )
    with pytest.raises(DomainError, match="CERTIFICATE_EXPIRED"):
        Pledge(node, aged, pledge.debtor, pledge.creditor).release(made.encumbrance_id, HOLDER)
    assert not pledge.service.find(made.encumbrance_id, CENTRE).signatures


def test_a_third_party_checks_a_release_with_the_ca_alone(pledge: Pledge) -> None:
    made = pledge.encumber()
    pledge.release(made.encumbrance_id, HOLDER)
    pledge.release(made.encumbrance_id, CREDITOR)
    shown = pledge.service.find(made.encumbrance_id, CENTRE)
    authority = (pledge.node.network.network.home / "network" / "ca.pem").read_bytes()
    signers = {
        signer_of(
            Certified(one.certificate, one.signature),
            RELEASE_TYPE,
            one.statement,
            authority_pem=authority,
            network_id=pledge.node.network.network_id,
            at=datetime.fromtimestamp(one.judge_time.seconds, UTC),
        )
        for one in shown.signatures
    }
    assert signers == {HOLDER.party, CREDITOR.party}
    assert len({one.statement for one in shown.signatures}) == 1
    message = encumbrances_pb2.ReleaseStatement.FromString(shown.signatures[0].statement)
    assert (message.encumbrance_id, message.document_reference) == (made.encumbrance_id, "虚构解除书 1")
    assert message.agreement_digest == shown.agreement_digest
    assert pledge.findings() == []


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("signature", b"0\x00", "does not hold (SIGNATURE_INVALID)"),
        ("statement", b"", "about something else"),
        ("judged_at", 0, "does not hold (CERTIFICATE_EXPIRED)"),
        ("certificate", b"none", "does not hold (CERTIFICATE_INVALID)"),
    ],
)
def test_fsck_finds_a_release_whose_signatures_do_not_hold(
    pledge: Pledge, column: str, value: object, finding: str
) -> None:
    made = pledge.encumber()
    pledge.release(made.encumbrance_id, HOLDER)
    pledge.release(made.encumbrance_id, CREDITOR)
    spoil(
        pledge.node, sa.update(release_statement).where(release_statement.c.side == 1).values({column: value})
    )
    found = pledge.findings()
    assert any(made.encumbrance_id in one and finding in one for one in found), found


def test_fsck_finds_a_release_of_which_one_side_has_signed_nothing(pledge: Pledge) -> None:
    made = pledge.encumber()
    pledge.release(made.encumbrance_id, HOLDER)
    pledge.release(made.encumbrance_id, CREDITOR)
    spoil(pledge.node, sa.delete(release_statement).where(release_statement.c.side == 1))
    assert pledge.findings() == [
        f"encumbrance {made.encumbrance_id}: a side of a release has signed nothing that is kept"
    ]


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
