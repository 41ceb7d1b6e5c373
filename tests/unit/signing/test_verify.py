"""Opening envelopes in the order of checks of PROTOCOL section 2: what is accepted, and each refusal."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing import (
    KeyDirectory,
    KeyRole,
    Limits,
    Opened,
    Verifier,
    add_signature,
    allow,
    message_hash,
    payload_type_of,
    require_signers,
    sign_envelope,
)
from tanqiao.signing.provision import build_recognition_record
from tanqiao.testing.network import (
    BRIDGE,
    NETWORK_ID,
    SHANGHAI,
    SHENZHEN,
    NetworkOfTest,
    lock_assertion,
)

ALLOWED = allow(messages_pb2.LockAssertion, messages_pb2.Use, messages_pb2.Ready, senders=("region/*",))
LOCK_TYPE = payload_type_of(messages_pb2.LockAssertion)


def opening(net: NetworkOfTest, envelope: envelope_pb2.Envelope, **settings: object) -> Opened:
    arguments = {"allowed": ALLOWED, "peer": SHANGHAI, "at_index": 0} | settings
    directory = arguments.pop("directory", net.directory)
    verifier = arguments.pop("verifier", Verifier(NETWORK_ID, BRIDGE))
    return verifier.open_envelope(envelope, directory, **arguments)  # type: ignore[attr-defined,no-any-return] # settings of one test


def refused(net: NetworkOfTest, envelope: envelope_pb2.Envelope, **settings: object) -> str:
    with pytest.raises(DomainError) as refusal:
        opening(net, envelope, **settings)
    assert refusal.value.sentence("zh")
    assert "{" not in refusal.value.sentence("en")
    return refusal.value.symbol


def signed_lock(
    net: NetworkOfTest, change: Callable[[messages_pb2.LockAssertion], None] | None = None
) -> envelope_pb2.Envelope:
    """Give a lock that Shanghai signed after the change."""
    signer = net.signer(SHANGHAI)
    lock = net.complete(lock_assertion(), signer)
    if change is not None:
        change(lock)
    return sign_envelope(signer, LOCK_TYPE, lock.SerializeToString())


def test_a_signed_message_is_opened_with_what_it_is(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    opened = opening(net, envelope)
    assert opened.payload == envelope.payload
    assert opened.message.SerializeToString() == envelope.payload
    assert opened.header.sender == SHANGHAI
    assert opened.message_hash == message_hash(LOCK_TYPE, envelope.payload)
    assert opened.key_id == net.signer(SHANGHAI).key_id
    assert [one.owner for one in opened.signed_by] == [SHANGHAI]
    assert not opened.key_revoked


def test_opening_twice_gives_the_same(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    assert opening(net, envelope) == opening(net, envelope)


def test_the_envelope_is_not_changed_by_opening_it(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    before = envelope.SerializeToString()
    opening(net, envelope)
    assert envelope.SerializeToString() == before


# -- 1: size


def test_a_payload_above_the_limit_is_refused_before_its_key_is_looked_for(net: NetworkOfTest) -> None:
    verifier = Verifier(NETWORK_ID, BRIDGE, Limits(payload_bytes_max=100))
    assert refused(net, signed_lock(net), verifier=verifier, directory=KeyDirectory()) == "MESSAGE_TOO_LARGE"


def test_a_payload_at_the_limit_is_opened(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    verifier = Verifier(NETWORK_ID, BRIDGE, Limits(payload_bytes_max=len(envelope.payload)))
    assert opening(net, envelope, verifier=verifier).header.sender == SHANGHAI


@pytest.mark.parametrize("payload_type", ["", "x" * 129, "application/\n", "类型", "a\x7f"])
def test_a_payload_type_that_is_none_is_malformed(net: NetworkOfTest, payload_type: str) -> None:
    envelope = signed_lock(net)
    envelope.payload_type = payload_type
    assert refused(net, envelope) == "MESSAGE_MALFORMED"


def test_an_unsigned_message_is_refused(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    del envelope.signatures[:]
    assert refused(net, envelope) == "SIGNATURE_MISSING"


def test_more_signatures_than_the_bound_are_refused(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    envelope.signatures.extend([envelope.signatures[0]] * 8)
    assert refused(net, envelope) == "MESSAGE_MALFORMED"


# -- 2 and 3: key, signature


@pytest.mark.parametrize("key_id", [b"", bytes(16), bytes(1000)], ids=["none", "other", "long"])
def test_an_unknown_key_is_refused(net: NetworkOfTest, key_id: bytes) -> None:
    envelope = signed_lock(net)
    envelope.signatures[0].key_id = key_id
    assert refused(net, envelope) == "KEY_UNKNOWN"


def test_a_key_of_another_network_is_unknown(net: NetworkOfTest, other_net: NetworkOfTest) -> None:
    assert refused(net, other_net.envelope(lock_assertion(), SHANGHAI)) == "KEY_UNKNOWN"


def test_a_signature_with_another_known_key_under_this_name_is_refused(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    envelope.signatures[0].key_id = net.signer(SHENZHEN).key_id
    assert refused(net, envelope) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("length", [0, 1, 63, 65, 1000])
def test_a_signature_of_another_length_is_refused(net: NetworkOfTest, length: int) -> None:
    envelope = signed_lock(net)
    envelope.signatures[0].signature = (envelope.signatures[0].signature * 16)[:length]
    assert refused(net, envelope) == "SIGNATURE_INVALID"


def test_every_byte_of_payload_and_signature_changed_is_refused(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    for position in range(len(envelope.payload)):
        copy = envelope_pb2.Envelope()
        copy.CopyFrom(envelope)
        payload = bytearray(envelope.payload)
        payload[position] ^= 1 << position % 8
        copy.payload = bytes(payload)
        assert refused(net, copy) == "SIGNATURE_INVALID"
    for position in range(64):
        copy = envelope_pb2.Envelope()
        copy.CopyFrom(envelope)
        signature = bytearray(envelope.signatures[0].signature)
        signature[position] ^= 0x10
        copy.signatures[0].signature = bytes(signature)
        assert refused(net, copy) == "SIGNATURE_INVALID"


def test_every_truncation_of_the_payload_is_refused(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    whole = envelope.payload
    for length in range(len(whole)):
        envelope.payload = whole[:length]
        assert refused(net, envelope) == "SIGNATURE_INVALID"


def test_bytes_behind_the_payload_are_refused(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    envelope.payload += b"\0"
    assert refused(net, envelope) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("message_class", [messages_pb2.Use, messages_pb2.Ready])
def test_a_message_under_another_type_is_refused(net: NetworkOfTest, message_class: type[Message]) -> None:
    envelope = signed_lock(net)
    envelope.payload_type = payload_type_of(message_class)
    assert refused(net, envelope) == "SIGNATURE_INVALID"


def test_the_same_content_encoded_anew_is_not_the_signed_bytes(net: NetworkOfTest) -> None:
    signer = net.signer(SHANGHAI)
    lock = net.complete(lock_assertion(), signer)
    quantity_first = (
        b"\x38\xe8\x07"
        + messages_pb2.LockAssertion(
            header=lock.header, blocks=lock.blocks, destination=lock.destination
        ).SerializeToString()
    )
    envelope = sign_envelope(signer, LOCK_TYPE, quantity_first)
    opened = opening(net, envelope)
    assert opened.message.quantity_kg == 1000
    envelope.payload = opened.message.SerializeToString()
    assert envelope.payload != quantity_first
    assert refused(net, envelope) == "SIGNATURE_INVALID"


def test_two_signatures_of_one_key_are_malformed(net: NetworkOfTest) -> None:
    envelope = signed_lock(net)
    envelope.signatures.append(envelope.signatures[0])
    assert refused(net, envelope) == "MESSAGE_MALFORMED"


def test_one_good_and_one_bad_signature_are_refused(net: NetworkOfTest) -> None:
    envelope = add_signature(signed_lock(net), net.signer(SHENZHEN))
    envelope.signatures[1].signature = envelope.signatures[0].signature
    assert refused(net, envelope) == "SIGNATURE_INVALID"


def test_a_second_signature_where_one_is_due_is_malformed(net: NetworkOfTest) -> None:
    envelope = add_signature(signed_lock(net), net.signer(SHENZHEN))
    assert refused(net, envelope) == "MESSAGE_MALFORMED"


# -- 4 and 5: parse, nothing unknown


def test_signed_junk_is_malformed(net: NetworkOfTest) -> None:
    assert refused(net, sign_envelope(net.signer(SHANGHAI), LOCK_TYPE, b"\xff" * 40)) == "MESSAGE_MALFORMED"


def test_a_signed_unknown_field_is_refused(net: NetworkOfTest) -> None:
    payload = signed_lock(net).payload + b"\xf8\x3f\x01"
    assert refused(net, sign_envelope(net.signer(SHANGHAI), LOCK_TYPE, payload)) == "UNKNOWN_FIELD"


def test_a_signed_unknown_enum_value_is_refused(net: NetworkOfTest) -> None:
    use = messages_pb2.Use(kind=99)  # type: ignore[arg-type] # the point of the test
    assert refused(net, net.envelope(use, SHANGHAI)) == "ENUM_UNKNOWN"


def test_a_message_without_a_header_is_refused_as_of_nobody(net: NetworkOfTest) -> None:
    assert refused(net, signed_lock(net, lambda lock: lock.ClearField("header"))) == "SENDER_MISMATCH"


# -- 6: owner, role, epoch, validity


@pytest.mark.parametrize(
    "sender", ["", "bridge", SHENZHEN, "region/310000/", "REGION/310000", "region/3100001"]
)
def test_a_sender_that_does_not_own_the_key_is_refused(net: NetworkOfTest, sender: str) -> None:
    def change(lock: messages_pb2.LockAssertion) -> None:
        lock.header.sender = sender

    assert refused(net, signed_lock(net, change)) == "SENDER_MISMATCH"


def test_a_key_of_another_role_is_refused(net: NetworkOfTest) -> None:
    root = net.network.root("authority/310000").signer
    lock = net.complete(lock_assertion(), root)
    envelope = sign_envelope(root, LOCK_TYPE, lock.SerializeToString())
    allowed = allow(messages_pb2.LockAssertion, senders=("**",))
    assert refused(net, envelope, allowed=allowed, peer=None) == "KEY_ROLE_WRONG"


@pytest.mark.parametrize("epoch", [0, 2, -1, 2**62])
def test_another_key_epoch_is_refused(net: NetworkOfTest, epoch: int) -> None:
    def change(lock: messages_pb2.LockAssertion) -> None:
        lock.header.key_epoch = epoch

    assert refused(net, signed_lock(net, change)) == "KEY_EPOCH_WRONG"


def with_key(net: NetworkOfTest, party: str, **changes: object) -> KeyDirectory:
    """Give the directory with the party's message key changed."""
    return KeyDirectory.of(
        replace(entry, **changes) if entry.key_id == net.signer(party).key_id else entry  # type: ignore[arg-type] # of one test
        for entry in net.directory
    )


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "index", "good"),
    [
        (5, None, 4, False),
        (5, None, 5, True),
        (5, 9, 8, True),
        (5, 9, 9, False),
        (0, None, 2**62, True),
    ],
)
def test_a_key_counts_from_its_first_index_to_before_its_last(
    net: NetworkOfTest, valid_from: int, valid_to: int | None, index: int, good: bool
) -> None:
    directory = with_key(net, SHANGHAI, valid_from_index=valid_from, valid_to_index=valid_to)
    envelope = signed_lock(net)
    if good:
        assert opening(net, envelope, directory=directory, at_index=index).header.sender == SHANGHAI
    else:
        assert refused(net, envelope, directory=directory, at_index=index) == "KEY_NOT_VALID_AT_INDEX"


def test_a_revoked_key_is_refused(net: NetworkOfTest) -> None:
    directory = with_key(net, SHANGHAI, revoked=True)
    assert refused(net, signed_lock(net), directory=directory) == "KEY_REVOKED"


def test_a_revoked_key_is_marked_where_it_must_be_answered(net: NetworkOfTest) -> None:
    allowed = allow(messages_pb2.LockAssertion, senders=("region/*",), revoked_allowed=True)
    directory = with_key(net, SHANGHAI, revoked=True)
    assert opening(net, signed_lock(net), directory=directory, allowed=allowed).key_revoked


def test_a_revoked_key_does_not_make_a_false_signature_true(net: NetworkOfTest) -> None:
    allowed = allow(messages_pb2.LockAssertion, senders=("region/*",), revoked_allowed=True)
    envelope = signed_lock(net)
    envelope.payload += b"\0"
    directory = with_key(net, SHANGHAI, revoked=True)
    assert refused(net, envelope, directory=directory, allowed=allowed) == "SIGNATURE_INVALID"


# -- 7: who is on the line


def test_another_peer_may_not_bring_the_message(net: NetworkOfTest) -> None:
    assert refused(net, signed_lock(net), peer=SHENZHEN) == "PEER_NOT_SENDER"


def test_an_embedded_message_is_opened_for_the_audience_that_it_names(net: NetworkOfTest) -> None:
    destination = Verifier(NETWORK_ID, SHENZHEN)
    envelope = signed_lock(net)
    assert refused(net, envelope, verifier=destination, peer=None) == "AUDIENCE_MISMATCH"
    embedded = allow(messages_pb2.LockAssertion, senders=("region/*",), audience=BRIDGE)
    opened = opening(net, envelope, verifier=destination, peer=None, allowed=embedded)
    assert opened.header.sender == SHANGHAI


# -- 8: network, audience, type


@pytest.mark.parametrize("network_id", ["", "test-other", "TEST-LOCAL", "test-local "])
def test_a_message_of_another_network_is_refused(net: NetworkOfTest, network_id: str) -> None:
    def change(lock: messages_pb2.LockAssertion) -> None:
        lock.header.network_id = network_id

    assert refused(net, signed_lock(net, change)) == "NETWORK_MISMATCH"


@pytest.mark.parametrize("audience", [[], [SHENZHEN], ["Bridge"], ["bridge/"], ["*"], [""]])
def test_a_message_for_another_audience_is_refused(net: NetworkOfTest, audience: list[str]) -> None:
    assert refused(net, net.envelope(lock_assertion(), SHANGHAI, audience)) == "AUDIENCE_MISMATCH"


def test_a_message_for_many_is_opened_by_each(net: NetworkOfTest) -> None:
    envelope = net.envelope(lock_assertion(), SHANGHAI, [SHENZHEN, BRIDGE])
    for party in (SHENZHEN, BRIDGE):
        assert opening(net, envelope, verifier=Verifier(NETWORK_ID, party)).header.sender == SHANGHAI


def test_a_type_that_may_not_arrive_is_refused(net: NetworkOfTest) -> None:
    assert refused(net, net.envelope(messages_pb2.Withdraw(), SHANGHAI)) == "PAYLOAD_TYPE_NOT_ALLOWED"


def test_a_type_that_nobody_knows_is_refused(net: NetworkOfTest) -> None:
    envelope = sign_envelope(net.signer(SHANGHAI), "application/x", b"")
    assert refused(net, envelope) == "PAYLOAD_TYPE_NOT_ALLOWED"


def test_a_sender_that_may_not_send_the_type_is_refused(net: NetworkOfTest) -> None:
    envelope = net.envelope(lock_assertion(), "gateway/ccer")
    assert refused(net, envelope, peer="gateway/ccer") == "PAYLOAD_TYPE_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message_id", b""),
        ("message_id", bytes(15)),
        ("message_id", bytes(17)),
        ("transfer_id", bytes(15)),
        ("transfer_id", bytes(32)),
        ("prev_hash", bytes(31)),
        ("prev_hash", bytes(64)),
        ("rules_digest", bytes(1)),
    ],
)
def test_an_id_or_hash_of_another_length_is_malformed(net: NetworkOfTest, field: str, value: bytes) -> None:
    envelope = signed_lock(net, lambda lock: setattr(lock.header, field, value))
    with pytest.raises(DomainError) as refusal:
        opening(net, envelope)
    assert refusal.value.symbol == "MESSAGE_MALFORMED"
    assert refusal.value.field == f"header.{field}"


def test_an_audience_without_end_is_malformed(net: NetworkOfTest) -> None:
    envelope = net.envelope(lock_assertion(), SHANGHAI, [BRIDGE, *(f"region/{n}" for n in range(100))])
    assert refused(net, envelope) == "MESSAGE_MALFORMED"


# -- several signers


def recognition(net: NetworkOfTest) -> envelope_pb2.Envelope:
    record = messages_pb2.RecognitionRecord(agreement_id="a-1", from_region=SHANGHAI, to_region=SHENZHEN)
    roots = [net.network.root("authority/310000"), net.network.root("authority/440300")]
    return build_recognition_record(NETWORK_ID, record, roots)


RECOGNITION = allow(
    messages_pb2.RecognitionRecord, senders=("authority/*",), role=KeyRole.ROOT, signatures_max=2
)
BOTH_ROOTS = ["authority/310000", "authority/440300"]


def test_a_recognition_record_is_signed_by_both_roots(net: NetworkOfTest) -> None:
    opened = opening(net, recognition(net), allowed=RECOGNITION, peer=None)
    require_signers(opened, BOTH_ROOTS, KeyRole.ROOT)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_recognition_record_of_one_root_lacks_the_other(net: NetworkOfTest, kept: int) -> None:
    envelope = recognition(net)
    del envelope.signatures[1 - kept]
    if kept == 1:  # then the first signature is not the sender's
        assert refused(net, envelope, allowed=RECOGNITION, peer=None) == "SENDER_MISMATCH"
        return
    opened = opening(net, envelope, allowed=RECOGNITION, peer=None)
    with pytest.raises(DomainError) as refusal:
        require_signers(opened, BOTH_ROOTS, KeyRole.ROOT)
    assert refusal.value.symbol == "SIGNATURE_MISSING"
    assert refusal.value.metadata["missing"] == "authority/440300"


def test_a_recognition_record_signed_with_a_message_key_is_refused(net: NetworkOfTest) -> None:
    envelope = recognition(net)
    del envelope.signatures[1]
    envelope = add_signature(envelope, net.signer(SHENZHEN))
    assert refused(net, envelope, allowed=RECOGNITION, peer=None) == "KEY_ROLE_WRONG"


def freeze(net: NetworkOfTest, signers: int) -> envelope_pb2.Envelope:
    approvers = [key.signer for key in net.network.approvers("authority/310000")]
    order = net.complete(messages_pb2.Freeze(order_id=secrets.token_bytes(16)), approvers[0])
    return sign_envelope(approvers[:signers], payload_type_of(order), order.SerializeToString())


FREEZE = allow(messages_pb2.Freeze, senders=("authority/*",), role=KeyRole.APPROVER, signatures_max=4)


def test_a_freeze_is_signed_by_two_approvers_of_one_authority(net: NetworkOfTest) -> None:
    opened = opening(net, freeze(net, 2), allowed=FREEZE, peer=None)
    require_signers(opened, ["authority/310000"] * 2, KeyRole.APPROVER)


def test_a_freeze_of_one_approver_lacks_the_second(net: NetworkOfTest) -> None:
    opened = opening(net, freeze(net, 1), allowed=FREEZE, peer=None)
    with pytest.raises(DomainError) as refusal:
        require_signers(opened, ["authority/310000"] * 2, KeyRole.APPROVER)
    assert refusal.value.symbol == "APPROVERS_MISSING"
    assert (refusal.value.metadata["needed"], refusal.value.metadata["have"]) == ("2", "1")


def test_one_approver_twice_is_not_two(net: NetworkOfTest) -> None:
    envelope = freeze(net, 1)
    envelope.signatures.append(envelope.signatures[0])
    assert refused(net, envelope, allowed=FREEZE, peer=None) == "MESSAGE_MALFORMED"


def test_approvers_of_another_authority_do_not_count(net: NetworkOfTest) -> None:
    opened = opening(net, freeze(net, 2), allowed=FREEZE, peer=None)
    with pytest.raises(DomainError) as refusal:
        require_signers(opened, ["authority/440300"] * 2, KeyRole.APPROVER)
    assert refusal.value.symbol == "APPROVERS_MISSING"
