"""Payload types of signed messages: ``application/vnd.tanqiao.<message>.v1+protobuf`` (PROTOCOL section 2).

The table is read from the generated modules: every message whose first field is a `Header` can be signed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tanqiao.api.bridge.v1 import (
    cases_pb2,
    claim_queries_pb2,
    claims_pb2,
    conflicts_pb2,
    coordination_pb2,
    messages_pb2,
    reconcile_pb2,
    recovery_pb2,
    sync_pb2,
)
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import certificates_pb2, clawbacks_pb2, decisions_pb2, reserve_pb2
from tanqiao.kernel.errors import require

BATCH_PAYLOAD_TYPE: Final = "application/vnd.tanqiao.batch.v1"
SIGNED_FILES: Final[tuple[FileDescriptor, ...]] = (
    messages_pb2.DESCRIPTOR,
    sync_pb2.DESCRIPTOR,
    claims_pb2.DESCRIPTOR,
    cases_pb2.DESCRIPTOR,
    coordination_pb2.DESCRIPTOR,
    claim_queries_pb2.DESCRIPTOR,
    conflicts_pb2.DESCRIPTOR,
    recovery_pb2.DESCRIPTOR,
    reconcile_pb2.DESCRIPTOR,
    certificates_pb2.DESCRIPTOR,
    reserve_pb2.DESCRIPTOR,
    clawbacks_pb2.DESCRIPTOR,
    decisions_pb2.DESCRIPTOR,
)

_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


def type_name(message_name: str) -> str:
    """Give the payload type of a message name; of ``LockAssertion`` the message is ``lock-assertion``."""
    return f"application/vnd.tanqiao.{_WORD_START.sub('-', message_name).lower()}.v1+protobuf"


def is_signed(descriptor: Descriptor) -> bool:
    """Whether messages of this type are signed: their first field is a Header called header."""
    header = descriptor.fields_by_number.get(1)
    return (
        header is not None
        and header.name == "header"
        and header.message_type is envelope_pb2.Header.DESCRIPTOR
    )


def _read_table() -> Mapping[str, type[Message]]:
    table: dict[str, type[Message]] = {}
    for file in SIGNED_FILES:
        for descriptor in file.message_types_by_name.values():
            if is_signed(descriptor):
                name = type_name(descriptor.name)
                require(name not in table, f"two messages share the payload type {name}")
                table[name] = GetMessageClass(descriptor)
    return MappingProxyType(table)


PAYLOAD_TYPES: Final[Mapping[str, type[Message]]] = _read_table()
_BY_NAME: Final = {cls.DESCRIPTOR.full_name: name for name, cls in PAYLOAD_TYPES.items()}


def payload_type_of(message: type[Message] | Message) -> str:
    """Give the payload type of a signed message or its class; any other breaks an invariant."""
    name = _BY_NAME.get(message.DESCRIPTOR.full_name)
    require(name is not None, f"{message.DESCRIPTOR.full_name} is not a signed message")
    return str(name)
