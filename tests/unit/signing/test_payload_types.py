from __future__ import annotations

import pytest

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import InvariantBroken
from tanqiao.signing import PAYLOAD_TYPES, payload_type_of
from tanqiao.signing.pae import require_payload_type

SIGNED = {
    "LockAssertion",
    "Prepare",
    "Ready",
    "Refuse",
    "Decision",
    "SourceFinal",
    "DestFinal",
    "Use",
    "Issue",
    "IssueReceipt",
    "Withdraw",
    "Freeze",
    "Correction",
    "HomeNotice",
    "Nack",
    "KeyRecord",
    "RecognitionRecord",
    "Hello",
}


def test_every_message_of_the_protocol_can_be_signed() -> None:
    names = {message_class.DESCRIPTOR.name for message_class in PAYLOAD_TYPES.values()}
    assert names >= SIGNED


def test_a_payload_type_names_its_message() -> None:
    lock_type = payload_type_of(messages_pb2.LockAssertion)
    assert lock_type == "application/vnd.tanqiao.lock-assertion.v1+protobuf"
    assert payload_type_of(messages_pb2.Use()) == "application/vnd.tanqiao.use.v1+protobuf"
    assert PAYLOAD_TYPES[lock_type] is messages_pb2.LockAssertion


def test_every_message_with_a_header_is_in_the_table_and_begins_with_it() -> None:
    in_the_table = {message_class.DESCRIPTOR.full_name for message_class in PAYLOAD_TYPES.values()}
    for file in (messages_pb2, sync_pb2, claims_pb2):
        for descriptor in file.DESCRIPTOR.message_types_by_name.values():
            headers = [one for one in descriptor.fields if one.message_type is envelope_pb2.Header.DESCRIPTOR]
            assert [(one.number, one.name) for one in headers] in ([], [(1, "header")]), descriptor.name
            assert bool(headers) == (descriptor.full_name in in_the_table), descriptor.name


def test_payload_types_are_short_ascii() -> None:
    for payload_type in PAYLOAD_TYPES:
        require_payload_type(payload_type)


def test_what_is_not_signed_has_no_payload_type() -> None:
    with pytest.raises(InvariantBroken):
        payload_type_of(messages_pb2.Openings)
