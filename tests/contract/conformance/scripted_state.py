"""What a scripted region keeps, and the tables that it decides by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import allow

BRIDGE: Final = "bridge"
FROM_BRIDGE: Final = (BRIDGE,)
COMMIT: Final = messages_pb2.OUTCOME_COMMIT
READY: Final = payload_type_of(messages_pb2.Ready)
NACK: Final = payload_type_of(messages_pb2.Nack)
NUMBERED: Final = allow(
    messages_pb2.Decision,
    messages_pb2.IssueReceipt,
    messages_pb2.RecordNotice,
    messages_pb2.HomeNotice,
    recovery_pb2.AdoptedNotice,
    messages_pb2.Nack,
    senders=FROM_BRIDGE,
)
OFFERED: Final = allow(messages_pb2.Prepare, senders=FROM_BRIDGE)
LOCK: Final = allow(messages_pb2.LockAssertion, senders=("region/*",), audience=BRIDGE)
PASSED_OVER: Final = {
    "signature": "SIGNATURE_INVALID",
    "payload-exact": "SIGNATURE_INVALID",
    "key-unknown": "KEY_UNKNOWN",
    "key-of-another": "SENDER_MISMATCH",
    "unknown-field": "UNKNOWN_FIELD",
    "unknown-enum": "ENUM_UNKNOWN",
    "sender": "SENDER_MISMATCH",
    "epoch": "KEY_EPOCH_WRONG",
    "network": "NETWORK_MISMATCH",
    "audience": "AUDIENCE_MISMATCH",
}
"""Fault → the refusal of section 2 that it passes over."""
STATES: Final = {
    "MOVED": messages_pb2.SOURCE_STATE_MOVED,
    "RELEASED": messages_pb2.SOURCE_STATE_RELEASED,
    "USED": messages_pb2.SOURCE_STATE_USED,
    "CREDITED": messages_pb2.DESTINATION_STATE_CREDITED,
    "DROPPED": messages_pb2.DESTINATION_STATE_DROPPED,
}
QUANTITY_KG: Final = 1000
OWN_SERIES: Final = "440300:SZ_PHCER:INVENTED:2026:1"
IMPATIENCE_SECONDS: Final = 0.2


def void(transfer_id: bytes) -> DomainError:
    """Why a decision has no effect (R9)."""
    return DomainError("DECISION_VOID", transfer_id=transfer_id.hex(), source="")


@dataclass
class Outgoing:
    """A transfer or a use of this region."""

    payload_type: str
    payload: bytes
    companion: bytes
    state: str
    withdraw: bytes = b""
    decision_hash: bytes = b""

    @property
    def hash(self) -> bytes:
        return message_hash(self.payload_type, self.payload)


@dataclass
class Arriving:
    """A transfer to this region."""

    state: str
    address: str = ""
    lock_hash: bytes = b""
    answer_type: str = ""
    answer: bytes = b""
    prepare: Any = None
    companion: bytes = b""
    decision_hash: bytes = b""

    @property
    def hash(self) -> bytes:
        return message_hash(self.answer_type, self.answer) if self.answer else b""
