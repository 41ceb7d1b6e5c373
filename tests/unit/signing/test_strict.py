"""Strict reading: unknown fields and enum values are refused at any depth, other forms of the same read."""

from __future__ import annotations

import pytest
from google.protobuf import struct_pb2
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.api.region.v1 import accounts_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.strict import DETAIL_FIELDS_MAX, enum_plan, parse_strict

UNKNOWN_VARINT = b"\xf8\x3f\x01"  # field 1023, varint 1
UNKNOWN_NUMBER = 1023


def refusal_of(message_class: type[Message], data: bytes) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        parse_strict(message_class, data)
    return refusal.value


def nested(number: int, data: bytes) -> bytes:
    """Give a length-delimited field; for numbers up to 15 and data below 128 bytes."""
    return bytes([number << 3 | 2, len(data)]) + data


def test_a_plain_message_is_read() -> None:
    block = values_pb2.UnitBlock(series_id="s", start_serial=1, end_serial=2)
    assert parse_strict(values_pb2.UnitBlock, block.SerializeToString()) == block


def test_an_empty_message_is_read() -> None:
    assert parse_strict(values_pb2.UnitBlock, b"") == values_pb2.UnitBlock()


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (UNKNOWN_VARINT, "#1023"),
        (b"\x7a\x03abc", "#15"),
        (b"\x7d\x00\x00\x00\x00", "#15"),
        (b"\x79\x00\x00\x00\x00\x00\x00\x00\x00", "#15"),
        (nested(1, UNKNOWN_VARINT), "header.#1023"),
        (nested(2, b"") + nested(2, UNKNOWN_VARINT), "blocks[1].#1023"),
        (b"\x18\x05", "#3"),  # destination is text; a number in its place is another field
        (b"\x3a\x01x", "#7"),  # quantity_kg is a number; text in its place is another field
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else value,
)
def test_an_unknown_field_is_refused_with_its_path(data: bytes, path: str) -> None:
    refusal = refusal_of(messages_pb2.LockAssertion, data)
    assert refusal.symbol == "UNKNOWN_FIELD"
    assert refusal.field == path
    assert refusal.metadata["detail"] == path


def test_an_unknown_group_is_refused() -> None:
    assert refusal_of(messages_pb2.LockAssertion, b"\x7b\x08\x01\x7c").symbol == "UNKNOWN_FIELD"


def test_an_unknown_field_inside_a_map_entry_is_refused() -> None:
    entry = b"\x0a\x01k\x12\x01v\x18\x05"
    assert refusal_of(values_pb2.Refusal, nested(6, entry)).symbol == "UNKNOWN_FIELD"
    assert refusal_of(messages_pb2.Decision, nested(6, nested(6, entry))).symbol == "UNKNOWN_FIELD"


def test_only_some_unknown_fields_are_named() -> None:
    data = b"".join(bytes([0x80 | (number << 3 & 0x7F), number >> 4, 1]) for number in range(100, 140))
    refusal = refusal_of(messages_pb2.LockAssertion, data)
    assert len(refusal.metadata["detail"].split(", ")) == DETAIL_FIELDS_MAX


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",  # a length is missing
        b"\x0a\x05ab",  # shorter than its length
        b"\x38\xff",  # a number without an end
        b"\x38" + b"\xff" * 11,  # a number too long
        b"\x1a\x01\xff",  # text that is not UTF-8
        b"\x00\x00",  # field 0
        b"\x7c",  # the end of a group that was not begun
        b"\x0e\x00",  # wire type 6
        nested(1, b"\x0a\x02\xc3\x28"),  # text below that is not UTF-8
    ],
    ids=bytes.hex,
)
def test_what_is_no_message_is_malformed(data: bytes) -> None:
    refusal = refusal_of(messages_pb2.LockAssertion, data)
    assert refusal.symbol == "MESSAGE_MALFORMED"
    assert "LockAssertion" in refusal.sentence("en")


def test_every_truncation_is_malformed_or_another_message() -> None:
    lock = messages_pb2.LockAssertion(
        header=envelope_pb2.Header(network_id="n", sender="region/310000", message_id=bytes(16)),
        blocks=[values_pb2.UnitBlock(series_id="s", start_serial=1, end_serial=300)],
        destination="region/440300",
        quantity_kg=299,
    )
    data, symbols = lock.SerializeToString(), set()
    for length in range(len(data)):
        try:
            read = parse_strict(messages_pb2.LockAssertion, data[:length])
        except DomainError as refusal:
            symbols.add(refusal.symbol)
        else:
            assert read != lock
    assert symbols == {"MESSAGE_MALFORMED"}


@pytest.mark.parametrize(
    "data",
    [
        b"\x18\x02\x10\x01\x0a\x01s",  # fields in another order
        b"\x0a\x01x\x0a\x01s\x10\x01\x18\x02",  # a field twice: the last counts
        b"\x0a\x81\x00s\x10\x81\x80\x00\x18\x02",  # numbers longer than needed
    ],
    ids=bytes.hex,
)
def test_another_form_of_the_same_message_is_read(data: bytes) -> None:
    expected = values_pb2.UnitBlock(series_id="s", start_serial=1, end_serial=2)
    assert parse_strict(values_pb2.UnitBlock, data) == expected


def test_packed_and_unpacked_numbers_are_read() -> None:
    expected = sync_pb2.Hello(message_versions=[1, 2])
    assert parse_strict(sync_pb2.Hello, b"\x42\x02\x01\x02") == expected
    assert parse_strict(sync_pb2.Hello, b"\x40\x01\x40\x02") == expected


def test_an_explicit_zero_is_read() -> None:
    assert parse_strict(values_pb2.UnitBlock, b"\x10\x00") == values_pb2.UnitBlock()


@pytest.mark.parametrize("value", [99, -1, 2**31 - 1])
@pytest.mark.parametrize(
    ("message_class", "field"),
    [
        (messages_pb2.Use, "kind"),
        (messages_pb2.Decision, "outcome"),
        (messages_pb2.KeyRecord, "role"),
        (messages_pb2.KeyRecord, "suite"),
        (messages_pb2.Freeze, "scope"),
        (accounts_pb2.OpenAccountRequest, "kind"),
    ],
)
def test_an_unknown_enum_value_is_refused_with_its_path(
    message_class: type[Message], field: str, value: int
) -> None:
    if field not in message_class.DESCRIPTOR.fields_by_name:
        pytest.fail(f"{message_class.DESCRIPTOR.name} has no field {field}")
    message = message_class(**{field: value})
    refusal = refusal_of(message_class, message.SerializeToString())
    assert refusal.symbol == "ENUM_UNKNOWN"
    assert refusal.field == field
    assert refusal.metadata["value"] == str(value)


def test_an_unknown_enum_value_below_is_refused_with_its_path() -> None:
    reasons = [values_pb2.Refusal(retry_class=values_pb2.RETRY_CLASS_WAIT), values_pb2.Refusal()]
    decision = messages_pb2.Decision(reasons=reasons)
    data = decision.SerializeToString() + nested(6, b"\x40\x63")
    refusal = refusal_of(messages_pb2.Decision, data)
    assert refusal.symbol == "ENUM_UNKNOWN"
    assert refusal.field == "reasons[2].retry_class"


@pytest.mark.parametrize("kind", messages_pb2.UseKind.values())
def test_a_known_enum_value_is_read(kind: messages_pb2.UseKind.ValueType) -> None:
    use = messages_pb2.Use(kind=kind)
    assert parse_strict(messages_pb2.Use, use.SerializeToString()) == use


def test_a_message_without_enums_has_no_plan_and_one_with_them_has() -> None:
    assert enum_plan(messages_pb2.LockAssertion.DESCRIPTOR) is None
    assert enum_plan(values_pb2.UnitBlock.DESCRIPTOR) is None
    plan = enum_plan(messages_pb2.Decision.DESCRIPTOR)
    assert plan is not None
    assert [field.name for field, _ in plan.enums] == ["outcome"]
    assert [field.name for field in plan.children] == ["reasons"]


def test_a_message_nested_too_deep_is_malformed() -> None:
    data = b""
    for _ in range(150):
        data = b"\x32" + _length(data) + data  # Value.list_value
        data = b"\x0a" + _length(data) + data  # ListValue.values
    assert refusal_of(struct_pb2.ListValue, data).symbol == "MESSAGE_MALFORMED"


def _length(data: bytes) -> bytes:
    length, out = len(data), bytearray()
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*out, length])
