"""Each signed message of the protocol, with every field filled: what holds for one holds for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing import (
    PAYLOAD_TYPES,
    KeyDirectory,
    Opened,
    Verifier,
    allow,
    item_envelope,
    sign_batch,
    sign_envelope,
)
from tanqiao.signing.strict import is_map
from tanqiao.testing.network import BRIDGE, NETWORK_ID, SHANGHAI, NetworkOfTest

DEPTH_MAX = 4
EVERY = sorted(PAYLOAD_TYPES)
ALLOWED = allow(*PAYLOAD_TYPES.values(), senders=("region/*",))
TEXT = "值-1"


def value_of(descriptor: FieldDescriptor) -> Any:
    if descriptor.enum_type is not None:
        return descriptor.enum_type.values[-1].number
    kinds: dict[int, Any] = {
        FieldDescriptor.CPPTYPE_STRING: b"\x01\x02"
        if descriptor.type == FieldDescriptor.TYPE_BYTES
        else TEXT,
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: 1.5,
        FieldDescriptor.CPPTYPE_FLOAT: 1.5,
    }
    return kinds.get(descriptor.cpp_type, 7)


def fill(message: Message, depth: int = 0) -> None:
    """Set every field of the message and of those below it, each repeated one twice; of a oneof the last."""
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    for descriptor in fields:
        if descriptor.message_type is None:
            if descriptor.is_repeated:
                getattr(message, descriptor.name).extend([value_of(descriptor)] * 2)
            else:
                setattr(message, descriptor.name, value_of(descriptor))
        elif is_map(descriptor):
            getattr(message, descriptor.name)[TEXT] = TEXT
        elif depth < DEPTH_MAX:
            field = getattr(message, descriptor.name)
            for child in (field.add(), field.add()) if descriptor.is_repeated else (field,):
                fill(child, depth + 1)


def filled(net: NetworkOfTest, payload_type: str) -> Message:
    message = PAYLOAD_TYPES[payload_type]()
    fill(message)
    message.ClearField("header")
    return net.complete(message, net.signer(SHANGHAI))


def messages_below(message: Message) -> Iterator[Message]:
    """Give the message and every one below it."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or is_map(descriptor):
            continue
        for child in value if descriptor.is_repeated else [value]:
            yield from messages_below(child)


def open_signed(net: NetworkOfTest, payload_type: str, payload: bytes) -> Opened:
    envelope = sign_envelope(net.signer(SHANGHAI), payload_type, payload)
    return open_envelope(net, envelope)


def open_envelope(net: NetworkOfTest, envelope: envelope_pb2.Envelope) -> Opened:
    return Verifier(NETWORK_ID, BRIDGE).open_envelope(
        envelope, net.directory, allowed=ALLOWED, peer=SHANGHAI, at_index=0
    )


def refused(net: NetworkOfTest, envelope: envelope_pb2.Envelope) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        open_envelope(net, envelope)
    return refusal.value


@pytest.mark.parametrize("payload_type", EVERY)
def test_a_message_with_every_field_is_opened(net: NetworkOfTest, payload_type: str) -> None:
    message = filled(net, payload_type)
    opened = open_signed(net, payload_type, message.SerializeToString())
    assert opened.message == message


@pytest.mark.parametrize("payload_type", EVERY)
def test_a_message_with_every_field_is_opened_in_a_batch(net: NetworkOfTest, payload_type: str) -> None:
    payload = filled(net, payload_type).SerializeToString()
    batch = sign_batch(net.signer(SHANGHAI), payload_type, [payload, payload])
    assert open_envelope(net, item_envelope(batch, 1)).payload == payload


@pytest.mark.parametrize("payload_type", EVERY)
def test_every_field_that_is_lost_after_signing_is_noticed(net: NetworkOfTest, payload_type: str) -> None:
    message = filled(net, payload_type)
    envelope = sign_envelope(net.signer(SHANGHAI), payload_type, message.SerializeToString())
    lost = 0
    for place, part in enumerate(messages_below(message)):
        for descriptor, _ in part.ListFields():
            copy = type(message).FromString(envelope.payload)
            list(messages_below(copy))[place].ClearField(descriptor.name)
            changed = envelope_pb2.Envelope()
            changed.CopyFrom(envelope)
            changed.payload = copy.SerializeToString()
            assert refused(net, changed).symbol == "SIGNATURE_INVALID", descriptor.full_name
            lost += 1
    assert lost >= len(message.DESCRIPTOR.fields)


@pytest.mark.parametrize("payload_type", EVERY)
def test_an_unknown_field_anywhere_below_is_refused(net: NetworkOfTest, payload_type: str) -> None:
    message = filled(net, payload_type)
    for place, part in enumerate(messages_below(message)):
        copy = type(message).FromString(message.SerializeToString())
        list(messages_below(copy))[place].MergeFromString(b"\xf8\x3f\x01")
        envelope = sign_envelope(net.signer(SHANGHAI), payload_type, copy.SerializeToString())
        refusal = refused(net, envelope)
        assert refusal.symbol == "UNKNOWN_FIELD", part.DESCRIPTOR.full_name
        assert str(refusal.field).endswith("#1023")


@pytest.mark.parametrize("payload_type", EVERY)
def test_an_unknown_enum_value_anywhere_below_is_refused(net: NetworkOfTest, payload_type: str) -> None:
    message = filled(net, payload_type)
    for place, part in enumerate(messages_below(message)):
        for descriptor in part.DESCRIPTOR.fields:
            if descriptor.enum_type is None:
                continue
            copy = type(message).FromString(message.SerializeToString())
            target = list(messages_below(copy))[place]
            if descriptor.is_repeated:
                getattr(target, descriptor.name).append(999)
            else:
                setattr(target, descriptor.name, 999)
            envelope = sign_envelope(net.signer(SHANGHAI), payload_type, copy.SerializeToString())
            refusal = refused(net, envelope)
            assert refusal.symbol == "ENUM_UNKNOWN"
            assert descriptor.name in str(refusal.field)


@pytest.mark.parametrize("payload_type", EVERY)
def test_a_message_under_every_other_type_is_refused(net: NetworkOfTest, payload_type: str) -> None:
    message = filled(net, payload_type)
    envelope = sign_envelope(net.signer(SHANGHAI), payload_type, message.SerializeToString())
    for other in EVERY:
        if other != payload_type:
            envelope.payload_type = other
            assert refused(net, envelope).symbol == "SIGNATURE_INVALID"


@given(data=st.binary(max_size=300))
def test_any_signed_bytes_are_opened_or_refused_and_nothing_else(net: NetworkOfTest, data: bytes) -> None:
    for payload_type in EVERY[::5]:
        assert refused(net, sign_envelope(net.signer(SHANGHAI), payload_type, data)).symbol in (
            "MESSAGE_MALFORMED",
            "UNKNOWN_FIELD",
            "ENUM_UNKNOWN",
            "SENDER_MISMATCH",
        )


@given(data=st.data())
def test_any_envelope_is_refused_and_nothing_else(net: NetworkOfTest, data: st.DataObject) -> None:
    key_ids = st.one_of(st.binary(max_size=20), st.sampled_from([entry.key_id for entry in net.directory]))
    signatures = st.builds(envelope_pb2.Signature, key_id=key_ids, signature=st.binary(max_size=70))
    proofs = st.builds(
        envelope_pb2.BatchProof,
        size=st.integers(-(2**31), 2**31 - 1),
        index=st.integers(-(2**31), 2**31 - 1),
        path=st.lists(st.one_of(st.binary(max_size=40), st.just(bytes(32))), max_size=5),
    )
    types = st.one_of(st.sampled_from(EVERY), st.text(max_size=20))
    envelope = envelope_pb2.Envelope(
        payload=data.draw(st.binary(max_size=60)),
        payload_type=data.draw(types),
        signatures=data.draw(st.lists(signatures, max_size=3)),
        batch_proof=data.draw(st.one_of(st.none(), proofs)),
    )
    assert refused(net, envelope).reason.family == 1
    batch = envelope_pb2.EnvelopeBatch(
        payload_type=envelope.payload_type,
        payloads=data.draw(st.lists(st.binary(max_size=20), max_size=3)),
        signatures=envelope.signatures,
        companions=data.draw(st.lists(st.binary(max_size=3), max_size=3)),
    )
    with pytest.raises(DomainError) as refusal:
        Verifier(NETWORK_ID, BRIDGE).open_batch(
            batch, net.directory, allowed=ALLOWED, peer=SHANGHAI, at_index=0
        )
    assert refusal.value.reason.family in (1, 2)


def test_an_empty_directory_knows_no_key(net: NetworkOfTest) -> None:
    envelope = sign_envelope(net.signer(SHANGHAI), EVERY[0], b"")
    with pytest.raises(DomainError) as refusal:
        Verifier(NETWORK_ID, BRIDGE).open_envelope(
            envelope, KeyDirectory(), allowed=ALLOWED, peer=None, at_index=0
        )
    assert refusal.value.symbol == "KEY_UNKNOWN"
