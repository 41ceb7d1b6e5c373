"""Signatures of bodies and of second approvers, by keys of their own (ADR 0031).

A decision that two bodies take together is handed in as it was signed and kept as evidence; it counts as long
as its keys do and its signers let it. A request that needs a second approver carries its approval.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import Message

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import (
    certificates_pb2,
    decisions_pb2,
    ledger_pb2,
    parameters_pb2,
    registers_pb2,
)
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.signing.body_decisions import HANDS, Decided, content_of, open_body_decision, to_sign
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import parse_party
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.storage import body_decisions as store
from tanqiao_region.storage.body_decisions import SignatureRow, StatementRow

Request = (
    parameters_pb2.SetParameterRequest
    | registers_pb2.IssueUnitsRequest
    | ledger_pb2.CancelUnitsRequest
    | certificates_pb2.TakeCertificateStepRequest
)
"""What a second approver signs with who asks for it."""
OBJECT = Bilingual("所涉对象", "another object")
CONTENT = Bilingual("决定内容", "another content")
VERSION = Bilingual("档案或规则包已有变动", "the file or the rule pack has changed")
KIND = Bilingual("决定种类", "another kind of decision")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be decided: its kind, its object, and what is signed of it."""

    kind: decisions_pb2.BodyDecisionKind.ValueType
    object_id: str
    content: Message


def unsigned(group: Group, asked: Asked, digest: bytes) -> decisions_pb2.BodyDecision:
    """Give what each body signs; its header is still empty."""
    content = asked.content.SerializeToString(deterministic=True)
    at = datetime.fromtimestamp(group.now, UTC)
    return to_sign(asked.kind, asked.object_id, content, digest, at)


def take_statement(
    group: Group, envelope: envelope_pb2.Envelope, asked: Asked, digest: bytes
) -> tuple[acts.Signature, ...]:
    """Verify a decision that one body or both have signed, and keep it; whose signatures count now.

    Raises:
        DomainError: what `open_body_decision` raises; FIELD_MISSING without a statement; DECISION_DIFFERS
            where something else was signed; DECISION_EXPIRED.
    """
    if not envelope.payload:
        raise DomainError("FIELD_MISSING", field="statement")
    keep(group, envelope, verified(group, envelope, asked, digest))
    return signatures_over(group, digest)


def verified(group: Group, envelope: envelope_pb2.Envelope, asked: Asked, digest: bytes | None) -> Decided:
    """Open a decision that is about what is asked and has not expired; raises as `take_statement`.

    Without a digest, what is decided is the content alone.
    """
    decided = open_body_decision(
        envelope,
        group.context.network_id,
        _directory(group),
        at_index=max(0, group.applied_log_index),
        audience=group.context.party,
    )
    _require_about(decided, asked, digest or hashlib.sha256(decided.message.content).digest())
    if decided.expires_at is not None and int(decided.expires_at.timestamp()) <= group.now:
        raise DomainError("DECISION_EXPIRED", until=decided.expires_at.isoformat())
    return decided


def keep(group: Group, envelope: envelope_pb2.Envelope, decided: Decided) -> None:
    """Keep the bytes that were signed and each signature: the evidence of the decision."""
    message = decided.message
    statement = StatementRow(
        decided.message_hash,
        int(message.kind),
        message.object_id,
        message.decision_digest,
        envelope.payload,
        0 if decided.expires_at is None else int(decided.expires_at.timestamp()),
        max(0, group.applied_log_index),
        group.now,
    )
    signatures = [
        SignatureRow(
            message.decision_digest,
            hand.key_id,
            decided.message_hash,
            signed.signature,
            hand.owner,
            hand.holder,
        )
        for hand, signed in zip(decided.hands, envelope.signatures, strict=True)
    ]
    store.insert_statement(group.connection, statement, signatures)


def signatures_over(group: Group, digest: bytes, *, begun: bool = False) -> tuple[acts.Signature, ...]:
    """Give whose signatures over a decision count: not expired, and by keys that are valid now.

    One signature of each body: a second officer of the same one adds nothing.

    Args:
        group: the transaction.
        digest: what was decided.
        begun: the decision was taken and waits for the bridge alone: what counted then counts.
    """
    directory, index = _directory(group), max(0, group.applied_log_index)
    found: dict[str, acts.Signature] = {}
    for one in store.signatures_over(group.connection, digest, at=0 if begun else group.now):
        entry = directory.get(one.key_id)
        if begun or (entry is not None and not entry.revoked and entry.valid_at(index)):
            role = parse_party(one.party).role
            found[one.party] = acts.Signature(role=role, subject_id=one.party, decision_digest=digest.hex())
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved a request beside the body that brings it.

    Args:
        approver: party of the other body; of another officer of the same one with the officer's name.
        role: role of that party.
        decided: what was signed; None where it was kept before.
    """

    approver: str
    role: str
    decided: Decided | None = None


def approval_of(
    group: Group,
    by: By,
    request: Request,
    kind: decisions_pb2.BodyDecisionKind.ValueType,
    object_id: str,
) -> Approval | None:
    """Verify the approval that a request carries; None where it carries none. It is not kept yet.

    A value is published for a day once, a period is issued once, a certificate is revoked once; of a
    cancellation `require_fresh` sees to it that its approval counts once.

    Raises:
        DomainError: as `take_statement`; APPROVERS_MISSING unless an officer of the caller's body and another
            one have signed.
    """
    envelope = request.approval
    if not envelope.payload:
        return None
    content = type(request).FromString(content_of(request))
    decided = verified(group, envelope, Asked(kind, object_id, content), None)
    return _approval(by, [(one.owner, one.holder) for one in decided.hands], decided)


def approval_begun(group: Group, by: By, request: Request) -> Approval | None:
    """Give the approval of a request that was begun with it, as it was kept then."""
    envelope = request.approval
    if not envelope.payload:
        return None
    rows = store.signatures_under(group.connection, message_hash(envelope.payload_type, envelope.payload))
    return _approval(by, [(one.party, one.holder) for one in rows], None)


def approver_of(request: Request) -> str | None:
    """Say for the rules whether a request carries an approval; by whom, is asked after whose act it is."""
    return "approval" if request.approval.payload else None


def named(request: Request) -> dict[str, str]:
    """Give the detail by which a journal entry names the approval of its request; none without one."""
    envelope = request.approval
    if not envelope.payload:
        return {}
    return {"approval": message_hash(envelope.payload_type, envelope.payload).hex()}


def require_fresh(group: Group, approval: Approval | None) -> None:
    """Refuse an approval under which something was done before.

    Raises:
        DomainError: ALREADY_EXISTS.
    """
    if approval is None or approval.decided is None:
        return
    message = approval.decided.message_hash
    if store.is_known(group.connection, message):
        raise DomainError("ALREADY_EXISTS", field="approval", what="核准 approval", id=message.hex())


def keep_approval(group: Group, request: Request, approval: Approval | None) -> None:
    """Keep the approval of a request that is taken."""
    if approval is not None and approval.decided is not None:
        keep(group, request.approval, approval.decided)


def _approval(by: By, hands: list[tuple[str, str]], decided: Decided | None) -> Approval:
    own = [one for one in hands if one[0] == by.party]
    others = [one for one in hands if one not in own[:1]]
    if not own or not others:
        raise DomainError(
            "APPROVERS_MISSING", field="approval", needed=HANDS, have=len(hands), missing=[by.party]
        )
    owner, holder = others[0]
    return Approval(owner if owner != by.party else f"{owner}/{holder}", parse_party(owner).role, decided)


def _directory(group: Group) -> KeyDirectory:
    return group.aftermath.directory or group.context.directory


def _require_about(decided: Decided, asked: Asked, digest: bytes) -> None:
    message = decided.message
    for same, what in (
        (message.kind == asked.kind, KIND),
        (message.object_id == asked.object_id, OBJECT),
        (decided.content == asked.content, CONTENT),
        (message.decision_digest == digest, VERSION),
    ):
        if not same:
            raise DomainError("DECISION_DIFFERS", field="statement", what=what)
