"""What two bodies decide together counts by signatures of their own keys alone (RULES section 7.3)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import sqlalchemy as sa
from google.protobuf.json_format import MessageToJson

from tanqiao.api.region.v1 import decisions_pb2, registers_pb2, scenes_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.body_decisions import PARAMETER
from tanqiao.signing.decision_evidence import check_evidence, check_kept, read_evidence
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.envelope import add_signature, build_header, sign_envelope
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import sign_key_record
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application import fsck
from tanqiao_region.application.commands import By
from tanqiao_region.application.decision_evidence import DecisionEvidence
from tanqiao_region.application.records import take_keys
from tanqiao_region.storage.decision_tables import body_signature, body_statement
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, spoil
from tests.contract.region_registers import scene_office as scene
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import BUREAU, Office, ask, request_id

CENTRE: Final = "operator/310000/sh.centre"
EXCHANGE: Final = "operator/310000/sh.exchange"
BODY: Final = By("operator/310000/sh.scene_body", "sh.scene_body")
ASSESS: Final = scene.decision("ASSESS", passed=True)


class Desk:
    """A submitted scene, and what is done about its assessment; the bodies' keys are those of the network."""

    def __init__(self, office: Office, network: NetworkOfTest) -> None:
        self.office, self.network, self.node = office, network, office.node
        office.publish_methodology(
            BUREAU,
            methodology_id=scene.METRO,
            kind=2,
            unit_class="II",
            quantification="travel",
        )
        request = scene.submit_request(office.owner)
        office.office.registers.submit_project(ask(request, BODY), request)

    def _sign(self, by: str, **values: Any) -> Any:
        request = scenes_pb2.SignSceneDecisionRequest(
            request_id=request_id(), **{"decision": ASSESS, **values}
        )
        return self.office.office.scene_office.scenes.sign(ask(request, _by(by)), request)

    def to_sign(self, by: str = CENTRE, **values: Any) -> Any:
        """What is to be signed."""
        return self._sign(by, validate_only=True, **values).to_sign

    def hand_in(self, statement: Any, by: str = CENTRE, **values: Any) -> list[str]:
        """Hand a statement in; whose signatures count then."""
        return list(self._sign(by, statement=statement, **values).signed_by)

    def signed(
        self, *hands: tuple[str, int], change: Callable[[Any], None] | None = None, **header: Any
    ) -> Any:
        """The decision as these officers sign it, changed before."""
        unsigned = self.to_sign()
        if change is not None:
            change(unsigned)
        return self.network.decision(unsigned, *hands, **header)

    def assess(self, by: str = CENTRE) -> Any:
        """Take the decision."""
        request = registers_pb2.AssessProjectRequest(
            request_id=request_id(), project_id=scene.SCENE, passed=True
        )
        return self.office.office.registers.assess_project(ask(request, _by(by)), request).project

    def rows(self) -> tuple[int, int]:
        """How many decisions and signatures are kept."""
        with self.node.region.database.reading() as connection:
            return tuple(  # type: ignore[return-value]  # two tables
                connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in (body_statement, body_signature)
            )

    def record_key(self, entry: KeyEntry) -> None:
        """Have the authority's root sign a key record, and the node take it."""
        root = self.network.network.root("authority/310000")
        envelope = sign_key_record(self.network.network_id, root, entry)
        self.node.run(lambda group: take_keys(group, [envelope]))


def _by(party: str) -> By:
    return By(party, party.rpartition("/")[2])


@pytest.fixture
def desk(make_node: MakeNode, bridge: ClaimBridge, network: NetworkOfTest) -> Desk:
    """Shanghai's node with a scene that waits for its assessment."""
    assert bridge.server is not None
    node = make_node(SHANGHAI, bridge.server.address)
    return Desk(Office(node, node.open_account().account_id), network)


def refused(symbol: str, act: Callable[[], Any]) -> DomainError:
    """Demand a refusal."""
    with pytest.raises(DomainError) as caught:
        act()
    assert caught.value.symbol == symbol, str(caught.value)
    return caught.value


def test_SH_13a_one_envelope_with_both_signatures_or_one_from_each(desk: Desk) -> None:
    assert desk.hand_in(desk.signed((EXCHANGE, 1)), by=EXCHANGE) == ["sh.exchange"]
    missing = refused("SECOND_SIGNATURE_MISSING", desk.assess)
    assert "第十三条" in missing.sentence_with_article("zh")
    both = desk.signed((CENTRE, 2), (EXCHANGE, 2))
    assert desk.hand_in(both) == ["sh.centre", "sh.exchange"]
    assert desk.hand_in(both) == ["sh.centre", "sh.exchange"]
    assert desk.rows() == (2, 3)
    assessed = desk.assess()
    assert list(assessed.history[-1].signed_by) == ["sh.centre", "sh.exchange"]
    assert fsck.check_database(desk.node.region.database, desk.network.network.federation).clean


def test_one_file_goes_from_hand_to_hand(desk: Desk) -> None:
    first = desk.signed((EXCHANGE, 1))
    assert desk.hand_in(first, by=EXCHANGE) == ["sh.exchange"]
    second = add_signature(first, desk.network.network.officer(CENTRE).signer)
    assert desk.hand_in(second) == ["sh.centre", "sh.exchange"]
    assert desk.rows() == (1, 2)
    assert fsck.check_database(desk.node.region.database, desk.network.network.federation).clean
    desk.assess()


def test_who_brings_a_decision_signs_nothing_by_bringing_it(desk: Desk) -> None:
    assert desk.hand_in(desk.signed((EXCHANGE, 1)), by=CENTRE) == ["sh.exchange"]
    refused("SECOND_SIGNATURE_MISSING", desk.assess)


def test_two_officers_of_one_body_are_one_body(desk: Desk) -> None:
    assert desk.hand_in(desk.signed((CENTRE, 1), (CENTRE, 2))) == ["sh.centre"]
    refused("SECOND_SIGNATURE_MISSING", desk.assess)


def test_a_body_that_has_no_say_adds_nothing(desk: Desk) -> None:
    bureau = ("operator/310000/sh.bureau", 1)
    assert desk.hand_in(desk.signed((CENTRE, 1), bureau)) == ["sh.bureau", "sh.centre"]
    refused("SECOND_SIGNATURE_MISSING", desk.assess)


def _other_object(message: Any) -> None:
    message.object_id = "ANOTHER"


def _other_content(message: Any) -> None:
    message.content = scene.decision("ASSESS", passed=False).SerializeToString()


def _other_version(message: Any) -> None:
    message.decision_digest = bytes(32)


def _other_kind(message: Any) -> None:
    message.kind = 2
    message.content = b""


def _without_time(message: Any) -> None:
    message.ClearField("decide_time")


def _no_kind(message: Any) -> None:
    message.kind = 0


@pytest.mark.parametrize(
    ("change", "symbol"),
    [
        (_other_object, "DECISION_DIFFERS"),
        (_other_content, "DECISION_DIFFERS"),
        (_other_version, "DECISION_DIFFERS"),
        (_other_kind, "DECISION_DIFFERS"),
        (_without_time, "FIELD_MISSING"),
        (_no_kind, "FIELD_MISSING"),
    ],
)
def test_a_signature_over_something_else_is_refused(
    desk: Desk, change: Callable[[Any], None], symbol: str
) -> None:
    statement = desk.signed((CENTRE, 1), (EXCHANGE, 1), change=change)
    refusal = refused(symbol, lambda: desk.hand_in(statement))
    assert refusal.sentence("zh") != refusal.sentence("en")
    assert desk.rows() == (0, 0)


def test_another_decision_about_the_same_scene_is_refused(desk: Desk) -> None:
    statement = desk.signed((CENTRE, 1), (EXCHANGE, 1))
    failed = scene.decision("ASSESS", passed=False)
    refused("DECISION_DIFFERS", lambda: desk.hand_in(statement, decision=failed))


def test_the_envelope_is_for_this_network_and_this_node(desk: Desk) -> None:
    hands = ((CENTRE, 1), (EXCHANGE, 1))
    refused("NETWORK_MISMATCH", lambda: desk.hand_in(desk.signed(*hands, network_id="test-other")))
    refused("KEY_EPOCH_WRONG", lambda: desk.hand_in(desk.signed(*hands, key_epoch=7)))
    unsigned = desk.to_sign()
    signer = desk.network.network.officer(CENTRE).signer
    unsigned.header.CopyFrom(
        build_header(
            signer, network_id=desk.network.network_id, audience=("region/440300",), message_id=bytes(16)
        )
    )
    elsewhere = sign_envelope(signer, payload_type_of(unsigned), unsigned.SerializeToString())
    refused("AUDIENCE_MISMATCH", lambda: desk.hand_in(elsewhere))
    refused("FIELD_MISSING", lambda: desk.hand_in(None))
    tampered = desk.signed(*hands)
    tampered.payload += b"\x00"
    refused("SIGNATURE_INVALID", lambda: desk.hand_in(tampered))
    assert desk.rows() == (0, 0)


def test_keys_of_another_region_of_another_role_and_of_nobody_are_refused(desk: Desk) -> None:
    foreign = desk.network.network.officer("operator/440300/sz.bureau").signer
    unsigned = desk.to_sign()
    header: dict[str, Any] = {"network_id": desk.network.network_id, "audience": (SHANGHAI,)}
    unsigned.header.CopyFrom(build_header(foreign, message_id=secrets.token_bytes(16), **header))
    payload = (payload_type_of(unsigned), unsigned.SerializeToString())
    refused("REGION_SCOPE_MISMATCH", lambda: desk.hand_in(sign_envelope(foreign, *payload)))
    own = desk.network.network.officer(CENTRE).signer
    unsigned.header.CopyFrom(build_header(own, message_id=secrets.token_bytes(16), **header))
    payload = (payload_type_of(unsigned), unsigned.SerializeToString())
    refused("REGION_SCOPE_MISMATCH", lambda: desk.hand_in(sign_envelope((own, foreign), *payload)))
    approver = desk.network.network.approvers("authority/310000")[0].signer
    refused("KEY_ROLE_WRONG", lambda: desk.hand_in(sign_envelope((own, approver), *payload)))
    unknown = replace(own, key_id=bytes(16))
    refused("KEY_UNKNOWN", lambda: desk.hand_in(sign_envelope((own, unknown), *payload)))


def test_a_revoked_key_counts_neither_then_nor_for_what_waits(desk: Desk, tmp_path: Any) -> None:
    # A key of its own, for the network's are the other tests' too.
    Keyring.create(tmp_path / "officer-3", EXCHANGE)
    key = Keyring.add_key(tmp_path / "officer-3", KeyRole.BODY)
    entry = replace(key.entry(), holder="officer-3")
    desk.record_key(entry)
    unsigned = desk.to_sign()
    unsigned.header.CopyFrom(
        build_header(
            key.signer, network_id=desk.network.network_id, audience=(SHANGHAI,), message_id=bytes(16)
        )
    )
    statement = sign_envelope(key.signer, payload_type_of(unsigned), unsigned.SerializeToString())
    assert desk.hand_in(statement) == ["sh.exchange"]
    desk.record_key(replace(entry, revoked=True))
    refused("KEY_REVOKED", lambda: desk.hand_in(statement))
    assert desk.hand_in(desk.signed((CENTRE, 1))) == ["sh.centre"]
    refused("SECOND_SIGNATURE_MISSING", desk.assess)
    # What was signed while the key counted stays sound evidence, and who checks it is told of the revocation.
    _, evidence = _evidence(desk)
    told = desk.network.network.federation.directory().with_entries([replace(entry, revoked=True)])
    (checked,) = [
        one
        for kept in evidence.decisions
        if (one := check_kept(kept, desk.network.network_id, told)).hands[0].endswith("officer-3")
    ]
    assert checked.revoked == checked.hands == (f"{EXCHANGE}/officer-3",)
    assert fsck.check_database(desk.node.region.database, desk.network.network.federation).clean


def test_a_bodys_key_says_whose_hand_it_is_in_and_two_keys_of_one_hand_are_one(
    desk: Desk, tmp_path: Any
) -> None:
    Keyring.create(tmp_path / "ring", CENTRE)
    key = Keyring.add_key(tmp_path / "ring", KeyRole.BODY)
    refused("FIELD_INVALID", lambda: desk.record_key(key.entry()))
    desk.record_key(replace(key.entry(), holder="officer-1"))
    first = desk.network.network.officer(CENTRE).signer
    unsigned = desk.to_sign()
    unsigned.header.CopyFrom(
        build_header(first, network_id=desk.network.network_id, audience=(SHANGHAI,), message_id=bytes(16))
    )
    payload = (payload_type_of(unsigned), unsigned.SerializeToString())
    refused("SELF_APPROVAL_FORBIDDEN", lambda: desk.hand_in(sign_envelope((first, key.signer), *payload)))


def test_a_signature_ends_when_its_signer_said(desk: Desk) -> None:
    now: datetime = desk.node.context.now()

    def until(moment: datetime) -> Callable[[Any], None]:
        return lambda message: message.expire_time.FromDatetime(moment)

    past = desk.signed((CENTRE, 1), change=until(now - timedelta(seconds=1)))
    refusal = refused("DECISION_EXPIRED", lambda: desk.hand_in(past))
    assert str(now.year) in refusal.sentence("en")
    hour = desk.signed((EXCHANGE, 1), change=until(now + timedelta(hours=1)))
    assert desk.hand_in(hour) == ["sh.exchange"]
    desk.node.context.clock.advance_to(now.astimezone(UTC) + timedelta(hours=2))
    assert desk.hand_in(desk.signed((CENTRE, 1))) == ["sh.centre"]
    refused("SECOND_SIGNATURE_MISSING", desk.assess)


def test_fsck_finds_a_decision_that_was_altered(desk: Desk) -> None:
    desk.hand_in(desk.signed((CENTRE, 1), (EXCHANGE, 1)))
    other = desk.signed((CENTRE, 2))
    with desk.node.region.database.reading() as connection:
        row = connection.execute(sa.select(body_statement)).one()
    database = desk.node.region.database
    with database.writing() as connection:
        values = {**row._mapping, "message_hash": bytes(32), "payload": other.payload}
        connection.execute(sa.insert(body_statement).values(**values))
        connection.commit()
    report = fsck.check_database(database, desk.network.network.federation)
    assert any("decision" in finding for finding in report.findings)


def _spoiled(desk: Desk, statement: Any) -> list[str]:
    """What fsck says after somebody who owns the database has taken the guards away and changed it."""
    spoil(desk.node, statement)
    return fsck.check_database(desk.node.region.database, desk.network.network.federation).findings


def test_fsck_finds_a_joint_step_that_one_body_has_not_signed(desk: Desk) -> None:
    desk.hand_in(desk.signed((CENTRE, 1)))
    desk.hand_in(desk.signed((EXCHANGE, 1)), by=EXCHANGE)
    desk.assess()
    clean = fsck.check_database(desk.node.region.database, desk.network.network.federation)
    assert (clean.checked["decisions"], clean.findings) == (2, [])
    found = _spoiled(desk, sa.delete(body_signature).where(body_signature.c.party == EXCHANGE))
    assert any("was decided together, and sh.exchange has not signed it" in one for one in found), found


def test_fsck_finds_a_key_that_was_not_valid_then(desk: Desk) -> None:
    desk.hand_in(desk.signed((CENTRE, 1), (EXCHANGE, 1)))
    found = _spoiled(desk, sa.update(body_statement).values(log_index=-1))
    assert any("was not valid at log index -1" in one for one in found), found


def _evidence(desk: Desk) -> tuple[DecisionEvidence, decisions_pb2.DecisionEvidence]:
    reads = DecisionEvidence(desk.node.context, desk.node.region.database)
    kept = reads.page(scene.SCENE, 0, _by(CENTRE), (-1, b""), 10)
    return reads, decisions_pb2.DecisionEvidence(network_id=desk.network.network_id, decisions=kept)


def test_a_third_party_checks_what_was_signed_with_the_roots_alone(desk: Desk, tmp_path: Any) -> None:
    desk.hand_in(desk.signed((CENTRE, 1)))
    desk.hand_in(desk.signed((EXCHANGE, 2)), by=EXCHANGE)
    desk.assess()
    reads, evidence = _evidence(desk)
    federation = desk.network.network.federation
    path = tmp_path / "evidence.json"
    path.write_text(MessageToJson(evidence), encoding="utf-8")
    checked = check_evidence(read_evidence(path), federation)
    assert sorted(hand for one in checked for hand in one.hands) == [
        f"{CENTRE}/officer-1",
        f"{EXCHANGE}/officer-2",
    ]
    assert {one.object_id for one in checked} == {scene.SCENE}
    assert len({one.message.decision_digest for one in checked}) == 1
    first = reads.page(scene.SCENE, 0, _by(CENTRE), (-1, b""), 1)[0]
    after = (first.take_time.seconds, first.message_hash)
    assert reads.page(scene.SCENE, 0, _by(CENTRE), after, 10) == list(evidence.decisions[1:])
    assert reads.page(scene.SCENE, PARAMETER, _by(CENTRE), (-1, b""), 10) == []
    refused("ROLE_NOT_PERMITTED", lambda: reads.page(scene.SCENE, 0, BODY, (-1, b""), 10))


def _payload(one: decisions_pb2.DecisionEvidence) -> None:
    one.decisions[0].statement.payload += b"\x08\x01"


def _name(one: decisions_pb2.DecisionEvidence) -> None:
    one.decisions[0].message_hash = bytes(32)


def _signature(one: decisions_pb2.DecisionEvidence) -> None:
    one.decisions[0].statement.signatures[0].signature = bytes(64)


def _nobody(one: decisions_pb2.DecisionEvidence) -> None:
    one.decisions[0].statement.signatures[0].key_id = bytes(16)


def _never(one: decisions_pb2.DecisionEvidence) -> None:
    one.decisions[0].log_index = -1


def _elsewhere(one: decisions_pb2.DecisionEvidence) -> None:
    one.network_id = "test-elsewhere"


@pytest.mark.parametrize(
    ("change", "symbol"),
    [
        (_payload, "UNKNOWN_FIELD"),
        (_name, "MESSAGE_MALFORMED"),
        (_signature, "SIGNATURE_INVALID"),
        (_nobody, "KEY_UNKNOWN"),
        (_never, "KEY_NOT_VALID_AT_INDEX"),
        (_elsewhere, "NETWORK_MISMATCH"),
    ],
)
def test_evidence_that_was_altered_does_not_pass(
    desk: Desk, change: Callable[[decisions_pb2.DecisionEvidence], None], symbol: str
) -> None:
    desk.hand_in(desk.signed((CENTRE, 1), (EXCHANGE, 1)))
    _, evidence = _evidence(desk)
    change(evidence)
    refused(symbol, lambda: check_evidence(evidence, desk.network.network.federation))
