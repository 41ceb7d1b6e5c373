"""Certificates of carbon neutrality: asked for, recognised, signed, revoked, on both databases."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.region.v1 import certificates_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import Kind
from tanqiao.rpc.validation import wire_date
from tanqiao.signing.verify import Verifier, allow
from tanqiao_region.application.certificate_fsck import check_certificates
from tanqiao_region.application.certificates import Certificates
from tanqiao_region.application.claim_steps import Ask, submit_to
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.fsck import Report, _rebuild
from tanqiao_region.storage.accounts import KIND_PERSON
from tanqiao_region.storage.certificate_tables import certificate
from tests.contract.region.conftest import MakeNode
from tests.contract.region.fake_bridge import FakeBridge, Peer
from tests.contract.region.harness import HOLDERS, SERIES, SHANGHAI, SHENZHEN, Node, block
from tests.contract.region.test_disclosure import read
from tests.contract.region.test_rule_parameters import BUREAU, OPERATOR, OWN, publish
from tests.contract.region_registers.approvals import approve_revocation

HOLDER = HOLDERS[SHENZHEN]
STRANGER = By("holder/440300/sz.holder/other", "sz.holder")
OFFICER = (BUREAU.party, 1)
OTHER = ("operator/440300/sz.counterpart_department", 1)
_numbers = itertools.count(1)


def ask(by: By) -> Ask:
    number = next(_numbers)
    return Ask(ClientRequest(by.party, f"c{number}", number.to_bytes(32, "big")), by, b"")


@dataclass
class Desk:
    """Shenzhen on the line, with a body that recognises, and a holder with a thousand kilograms."""

    node: Node
    service: Certificates
    account: str
    bridge: FakeBridge

    def retire(self, start: int, end: int, **fields: Any) -> str:
        done = len(self.bridge.finals)
        answer = self.node.retire(
            fields.pop("account", self.account),
            Selection(blocks=(block(start, end, fields.pop("series", OWN.series_id)),)),
            by=fields.pop("by", HOLDER),
            **fields,
        )
        assert not isinstance(answer, DomainError), answer
        self.bridge.wait_until(lambda: len(self.bridge.finals) > done)
        self.node.orders.wait_ended([answer], 30.0)
        return str(answer.transfer_id.hex())

    def request(self, retirement_id: str, by: By = HOLDER, **fields: Any) -> Any:
        request = certificates_pb2.RequestCertificateRequest(retirement_id=retirement_id, **fields)
        return self.service.request(ask(by), request).certificate

    def step(self, number: str, event: str, by: By = BUREAU, **fields: Any) -> Any:
        hands = fields.pop("hands", ((by.party, 1), (by.party, 2)) if event == "revoke" else ())
        request = certificates_pb2.TakeCertificateStepRequest(number=number, event=event, **fields)
        if hands:
            approve_revocation(self.node.network, request, *hands)
        return self.service.take_step(ask(by), request).certificate

    def signed(self, start: int = 0, end: int = 100, **fields: Any) -> Any:
        asked = self.request(self.retire(start, end), **fields)
        self.step(asked.number, "recognise")
        return self.step(asked.number, "sign", OPERATOR)

    def findings(self) -> list[str]:
        report = Report()
        with self.node.region.database.reading() as connection:
            books = _rebuild(connection, report)
            check_certificates(connection, books.outgoing, report.note)
        return report.findings


def online(peer: Peer) -> bool:
    return peer.frames is not None


def named(node: Node) -> None:
    """Say who recognises, and by which standard; the text names nobody."""
    for key, value in (("recogniser", '"sz.bureau"'), ("standard", '"虚构认定标准 2026"')):
        publish(node, key=f"sz.certificate.{key}", value_json=value)


@pytest.fixture
def desk(make_node: MakeNode, bridge: FakeBridge) -> Desk:
    assert bridge.server is not None
    node = make_node(SHENZHEN, bridge.server.address)
    named(node)
    account = node.open_account("虚构会展公司 invented").account_id
    node.give(account, block(0, 1000, OWN.series_id), series=OWN)
    node.region.start()
    bridge.wait_until(lambda: bridge.peer(node.party).frames is not None)
    service = Certificates(node.context, node.region.database, submit_to(node.region.writer))
    return Desk(node, service, account, bridge)


def test_a_certificate_is_recognised_signed_and_names_who_agreed(desk: Desk) -> None:
    made = desk.signed(occasion="虚构大会 2026 invented", name_beneficiary=True)
    assert made.state == "CERTIFIED"
    assert made.number.startswith("440300-CN-2026-")
    assert (made.beneficiary_name, made.recognised_by_role) == ("虚构会展公司 invented", "sz.bureau")
    assert "26" in made.article
    region = desk.node.party
    opened = Verifier(desk.node.context.network_id, region).open_envelope(
        made.envelope,
        desk.node.context.directory,
        allowed=allow(
            certificates_pb2.NeutralityCertificate,
            senders=(region,),
            audience=region,
            index_field="signed_at_index",
        ),
        peer=None,
        at_index=0,
    )
    told = opened.message
    assert (told.number, told.quantity_kg, told.occasion) == (made.number, 100, "虚构大会 2026 invented")
    assert told.header.transfer_id.hex() == made.retirement_id
    assert told.signed_at_index > told.decision_log_index
    assert read(desk.node, "certificates") == [
        {
            "number": made.number,
            "valid": "yes",
            "beneficiary": "虚构会展公司 invented",
            "quantity_kg": "100",
        }
    ]
    history = desk.service.steps(made.number, STRANGER, 0, 10)
    assert [step.event for step in history] == ["request", "recognise", "sign"]
    assert all("SZ-26b" in step.rule_ids for step in history)
    assert desk.findings() == []


def test_one_retirement_backs_one_certificate_until_it_is_revoked(desk: Desk) -> None:
    made = desk.signed()
    with pytest.raises(DomainError) as refused:
        desk.request(made.retirement_id)
    assert refused.value.symbol == "CERTIFICATE_UNITS_ALREADY_USED"
    assert made.number in refused.value.sentence("zh")
    assert refused.value.article
    unfit: tuple[tuple[dict[str, Any], str], ...] = (
        ({"reason": "受益人有误"}, "REASON_REQUIRED"),
        ({"reason": "受益人有误", "document_reference": "案 9", "hands": ()}, "REASON_REQUIRED"),
        ({"reason": "受益人有误", "document_reference": "案 9", "hands": (OFFICER,)}, "APPROVERS_MISSING"),
        ({"reason": "受益人有误", "document_reference": "案 9", "hands": (OTHER,)}, "APPROVERS_MISSING"),
    )
    for fields, symbol in unfit:
        with pytest.raises(DomainError, match=symbol):
            desk.step(made.number, "revoke", **fields)
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        desk.step(made.number, "revoke", OPERATOR, hands=(), reason="受益人有误")
    revoked = desk.step(
        made.number,
        "revoke",
        reason="受益人有误",
        document_reference="案 9",
        hands=(OFFICER, OTHER),
    )
    assert (revoked.state, revoked.state_reason, revoked.document_reference) == (
        "REVOKED",
        "受益人有误",
        "案 9",
    )
    assert read(desk.node, "certificates")[0]["valid"] == "revoked 2026-03-02"
    assert desk.request(made.retirement_id).state == "REQUESTED"
    assert desk.findings() == []


def test_what_was_not_retired_voluntarily_backs_none(desk: Desk, network: Any) -> None:
    publish(desk.node)
    cancelled = desk.retire(
        0,
        10,
        kind=Kind.CANCEL,
        by=BUREAU,
        purpose="",
        purpose_text="虚构更正",
        document_reference="X-1",
    )
    surrendered = desk.retire(10, 20, purpose="compliance", compliance_year=2026)
    for retirement_id in (cancelled, surrendered):
        with pytest.raises(DomainError) as refused:
            desk.request(retirement_id)
        assert refused.value.symbol == "CERTIFICATE_UNITS_NOT_RETIRED"
        assert refused.value.article
    desk.node.recognise(network)
    desk.node.give(desk.account, block(0, 10), series=SERIES)
    foreign = desk.retire(0, 10, series=SERIES.series_id)
    with pytest.raises(DomainError, match="FOREIGN_UNIT_STAYS_FOREIGN"):
        desk.request(foreign)
    with pytest.raises(DomainError, match="NOT_FOUND"):
        desk.request("ab" * 16)
    assert desk.findings() == []


def test_who_may_do_what(desk: Desk) -> None:
    retirement_id = desk.retire(0, 100)
    with pytest.raises(DomainError, match="ACCOUNT_OF_ANOTHER"):
        desk.request(retirement_id, STRANGER)
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        desk.request(retirement_id, OPERATOR)
    number = desk.request(retirement_id).number
    with pytest.raises(DomainError) as refused:
        desk.step(number, "recognise", OPERATOR)
    assert refused.value.symbol == "ROLE_NOT_PERMITTED"
    with pytest.raises(DomainError, match="STATE_NOT_ALLOWED"):
        desk.step(number, "refuse", reason="早了") and desk.step(number, "recognise")
    with pytest.raises(DomainError, match="NOT_FOUND"):
        desk.service.find(number, STRANGER)
    assert desk.service.find(number, HOLDER).account_id == desk.account
    assert desk.service.page("", STRANGER, "", 10) == []
    assert desk.service.page("REFUSED", STRANGER, "", 10) == []
    assert [one.number for one in desk.service.page("", BUREAU, "", 10)] == [number]
    again = desk.request(retirement_id)
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        desk.step(again.number, "withdraw", BUREAU, reason="误提")
    assert desk.step(again.number, "withdraw", HOLDER, reason="误提").state == "WITHDRAWN"
    with pytest.raises(DomainError, match="FIELD_INVALID"):
        desk.step(again.number, "sign!", OPERATOR)
    with pytest.raises(DomainError, match="FIELD_MISSING"):
        desk.step(again.number, "refuse")
    signed = desk.signed(100, 200)
    assert desk.service.find(signed.number, STRANGER).account_id == ""
    assert desk.findings() == []


def test_it_is_signed_only_after_the_named_body_has_recognised_it(desk: Desk) -> None:
    number = desk.request(desk.retire(0, 100)).number
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        desk.step(number, "sign", OPERATOR)
    desk.step(number, "recognise")
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        desk.step(number, "sign", BUREAU)
    assert desk.step(number, "sign", OPERATOR).state == "CERTIFIED"


def test_a_retirement_that_is_undecided_waits(desk: Desk) -> None:
    desk.bridge.on_use = desk.bridge.hold
    answer = desk.node.retire(desk.account, Selection(blocks=(block(0, 10, OWN.series_id),)), by=HOLDER)
    with pytest.raises(DomainError) as refused:
        desk.request(answer.transfer_id.hex())
    assert refused.value.symbol == "DECISION_PENDING"


def test_a_persons_certificate_names_neither_person_nor_occasion(desk: Desk) -> None:
    operator = desk.node.open_account("虚构平台 invented", 6).account_id
    person = desk.node.open_account(
        "", KIND_PERSON, uscc="", operator_account_id=operator, operator_reference="u-1", holder_party=""
    ).account_id
    desk.node.give(person, block(2000, 2010, OWN.series_id), series=OWN)
    retirement_id = desk.retire(2000, 2010, account=person, purpose="personal_neutrality")
    for fields in ({"occasion": "婚礼"}, {"name_beneficiary": True}):
        with pytest.raises(DomainError, match="FIELD_INVALID"):
            desk.request(retirement_id, **fields)
    made = desk.request(retirement_id)
    assert (made.beneficiary_name, made.occasion, made.beneficiary_opening) == ("", "", b"")


def test_without_a_recogniser_there_is_no_certificate_and_elsewhere_no_article(
    make_node: MakeNode, bridge: FakeBridge
) -> None:
    assert bridge.server is not None
    shenzhen = make_node(SHENZHEN, bridge.server.address)
    shanghai = make_node(SHANGHAI, bridge.server.address)
    for node, series in ((shenzhen, OWN), (shanghai, SERIES)):
        account = node.open_account("虚构公司 invented").account_id
        node.give(account, block(0, 100, series.series_id), series=series)
        node.region.start()
        peer = bridge.peer(node.party)
        bridge.wait_until(partial(online, peer))
        service = Certificates(node.context, node.region.database, submit_to(node.region.writer))
        desk = Desk(node, service, account, bridge)
        holder = HOLDERS[node.party]
        retirement_id = desk.retire(0, 10, series=series.series_id, by=holder)
        with pytest.raises(DomainError) as refused:
            desk.request(retirement_id, holder)
        expected = "PARAMETER_NOT_SET" if node is shenzhen else "ROLE_NOT_PERMITTED"
        assert refused.value.symbol == expected
        assert refused.value.article
        assert refused.value.sentence("zh") != refused.value.sentence("en")


def test_fsck_finds_a_certificate_that_was_changed(desk: Desk) -> None:
    made = desk.signed()
    changed = certificates_pb2.Certificate()
    changed.CopyFrom(made)
    changed.quantity_kg = 900
    changed.state = "REVOKED"
    content = changed.SerializeToString(deterministic=True)
    desk.node.run(lambda group: group.connection.execute(sa.update(certificate).values(content=content)))
    found = " ".join(desk.findings())
    assert "another state" in found
    assert "not what was signed" in found


def test_the_day_of_a_value_counts(desk: Desk) -> None:
    later: dict[str, Any] = {
        "start_date": wire_date(date(2026, 4, 1)),
        "value_json": '"sz.platform_operator"',
    }
    publish(desk.node, key="sz.certificate.recogniser", **later)
    assert desk.signed().recognised_by_role == "sz.bureau"
