"""Decisions of bodies: what law or register wants from two, each signs with a key of its own (ADR 0031).

The key is of role BODY, of an officer of a region's body (``operator/310000/sh.centre``); the root of the
region's authority signs its record, which stands in the key directory like every other. One envelope carries
the signature of one body or of both; who brings it plays no part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import (
    certificates_pb2,
    decisions_pb2,
    dossiers_pb2,
    ledger_pb2,
    parameters_pb2,
    registers_pb2,
    scenes_pb2,
)
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.parties import parse_party
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.verify import SignedBy, Verifier, allow

HANDS: Final = 2
"""Most signatures under one decision, and what it takes."""
DECISION_TYPE: Final = payload_type_of(decisions_pb2.BodyDecision)
SCENE: Final = decisions_pb2.BODY_DECISION_KIND_SCENE
DOSSIER: Final = decisions_pb2.BODY_DECISION_KIND_DOSSIER
PARAMETER: Final = decisions_pb2.BODY_DECISION_KIND_PARAMETER
ISSUANCE: Final = decisions_pb2.BODY_DECISION_KIND_ISSUANCE
CANCELLATION: Final = decisions_pb2.BODY_DECISION_KIND_CANCELLATION
CERTIFICATE: Final = decisions_pb2.BODY_DECISION_KIND_CERTIFICATE
CONTENT: Final[dict[int, type[Message]]] = {
    SCENE: scenes_pb2.SceneDecision,
    DOSSIER: dossiers_pb2.SignStepRequest,
    PARAMETER: parameters_pb2.SetParameterRequest,
    ISSUANCE: registers_pb2.IssueUnitsRequest,
    CANCELLATION: ledger_pb2.CancelUnitsRequest,
    CERTIFICATE: certificates_pb2.TakeCertificateStepRequest,
}
"""What the content of each kind is."""
CARRIED: Final = ("request_id", "approval", "second_approver", "validate_only", "wait_ms")
"""Fields of a request that are of its way here, and no part of what is decided."""
_ALLOWED: Final = allow(
    decisions_pb2.BodyDecision, senders=("operator/*/*",), role=KeyRole.BODY, signatures_max=HANDS
)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision whose signatures hold.

    Args:
        message: what was signed.
        content: its content, parsed.
        hands: whose signatures hold; owner and holder tell two hands apart.
        message_hash: 32 bytes that name it.
        expires_at: when it ceases to count; None: never.
    """

    message: decisions_pb2.BodyDecision
    content: Message
    hands: tuple[SignedBy, ...]
    message_hash: bytes
    expires_at: datetime | None


def open_body_decision(
    envelope: envelope_pb2.Envelope, network_id: str, directory: KeyDirectory, *, at_index: int, audience: str
) -> Decided:
    """Open a decision that officers of bodies of one region have signed.

    Args:
        envelope: as received.
        network_id: network that it must be for.
        directory: keys that are known.
        at_index: log index at which the keys are judged.
        audience: the region's node, ``region/310000``.

    Raises:
        DomainError: what `Verifier.open_envelope` raises; REGION_SCOPE_MISMATCH for a body of another region;
            SELF_APPROVAL_FORBIDDEN for two keys of one hand; FIELD_MISSING, ENUM_UNKNOWN, FIELD_INVALID for
            what it does not say.
    """
    if envelope.HasField("batch_proof"):
        raise DomainError("MESSAGE_MALFORMED", detail="a decision is signed alone, not in a batch")
    opened = Verifier(network_id, audience).open_envelope(
        envelope, directory, allowed=_ALLOWED, peer=None, at_index=at_index
    )
    for one in opened.signed_by:
        code = parse_party(one.owner).region_code
        if f"region/{code}" != audience:
            raise DomainError("REGION_SCOPE_MISMATCH", field="statement", region=code)
    if len({(one.owner, one.holder) for one in opened.signed_by}) < len(opened.signed_by):
        raise DomainError("SELF_APPROVAL_FORBIDDEN", field="statement")
    message: decisions_pb2.BodyDecision = opened.message
    content_class = CONTENT.get(int(message.kind))
    if content_class is None:
        raise DomainError("FIELD_MISSING", field="statement.kind")
    if not message.HasField("decide_time"):
        raise DomainError("FIELD_MISSING", field="statement.decide_time")
    _moment(message.decide_time, "statement.decide_time")
    expires_at = (
        _moment(message.expire_time, "statement.expire_time") if message.HasField("expire_time") else None
    )
    content = parse_strict(content_class, message.content)
    return Decided(message, content, opened.signed_by, opened.message_hash, expires_at)


def content_of(request: Message) -> bytes:
    """Give the content that a request is signed as: without its id and its approval."""
    cleaned = type(request)()
    cleaned.CopyFrom(request)
    for name in CARRIED:
        if name in cleaned.DESCRIPTOR.fields_by_name:
            cleaned.ClearField(name)
    return cleaned.SerializeToString(deterministic=True)


def of_request(
    kind: decisions_pb2.BodyDecisionKind.ValueType, object_id: str, request: Message, at: datetime
) -> decisions_pb2.BodyDecision:
    """Give what two persons sign so that a request is taken; its header is still empty."""
    content = content_of(request)
    return to_sign(kind, object_id, content, hashlib.sha256(content).digest(), at)


def to_sign(
    kind: decisions_pb2.BodyDecisionKind.ValueType,
    object_id: str,
    content: bytes,
    decision_digest: bytes,
    at: datetime,
) -> decisions_pb2.BodyDecision:
    """Give a decision that nobody has signed yet; its header is still empty."""
    made = decisions_pb2.BodyDecision(
        kind=kind, object_id=object_id, content=content, decision_digest=decision_digest
    )
    made.decide_time.FromDatetime(at)
    return made


def _moment(value: Timestamp, field: str) -> datetime:
    try:
        return value.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise DomainError("FIELD_INVALID", field=field, detail="not a moment") from error
