"""Claims at the bridge: signed statements out, verified receipts in, one family of errors.

A receipt counts only if the bridge's own key signed it, if it answers the very statement that was sent, and
if it names the claim. A refusal of the bridge comes back as the same `DomainError`. Where nobody knows
whether the statement took effect, because no receipt came or what came does not verify, `OutcomeUnknownError`
says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import allow
from tanqiao_region.application.context import BRIDGE, RegionContext
from tanqiao_region.application.tokens import TokenBook, is_personal

DECLARE_TYPE: Final = payload_type_of(claims_pb2.DeclareStatement)
STATEMENT_TYPE: Final = payload_type_of(claims_pb2.ClaimStatement)
VERDICTS: Final = allow(claims_pb2.Verdict, senders=(BRIDGE,))
RECEIPTS: Final = allow(claims_pb2.ClaimReceipt, senders=(BRIDGE,))


class OutcomeUnknownError(Exception):
    """The statement may have taken effect: the same bytes are to be sent again.

    Args:
        refusal: what the caller is told meanwhile.
    """

    def __init__(self, refusal: DomainError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Verb(IntEnum):
    """Which method takes a statement."""

    DECLARE = 1
    REGISTER = 2
    RELEASE = 3


@dataclass(frozen=True, slots=True)
class Receipt:
    """The bridge's verified answer.

    Args:
        message: as parsed from the bytes that the bridge signed.
        envelope: those bytes with signature and proof.
        receipt_hash: message hash by which an Issue names it.
    """

    message: claims_pb2.ClaimReceipt
    envelope: envelope_pb2.Envelope
    receipt_hash: bytes


class BridgeClaims(Protocol):
    """The bridge's claim service as the registers need it."""

    def require_reachable(self) -> None:
        """Refuse with PEER_UNREACHABLE if nobody listens: asked before anything is written."""
        ...  # pragma: no cover - a protocol has no body

    def check(self, claim: claims_pb2.Claim) -> claims_pb2.Verdict:
        """Ask how a claim would be judged; nothing is stored."""
        ...  # pragma: no cover - a protocol has no body

    def send(self, envelope: envelope_pb2.Envelope) -> Receipt:
        """Send a signed statement; the same one again gets the receipt that was given first.

        Raises:
            DomainError: the bridge's refusal: nothing took effect.
            OutcomeUnknownError: no receipt that counts came.
        """
        ...  # pragma: no cover - a protocol has no body


def sign_statement(context: RegionContext, statement: Message) -> envelope_pb2.Envelope:
    """Complete a DeclareStatement or ClaimStatement with this node's header and sign it.

    A declared claim leaves with tokens in place of the identifiers of persons, households and vehicles.

    Raises:
        DomainError: TokensNeededError, where they have not been made.
    """
    complete = type(statement)()
    complete.CopyFrom(statement)
    if isinstance(complete, claims_pb2.DeclareStatement) and is_personal(complete.claim):
        complete.claim.CopyFrom(token_book(context).known(complete.claim))
    complete.MergeFrom(type(statement)(header=context.header((BRIDGE,))))
    return sign_envelope(context.signer, payload_type_of(statement), complete.SerializeToString())


def token_book(context: RegionContext) -> TokenBook:
    """Give what makes tokens; NOT_FOUND on a node that was built without it."""
    if context.tokens is None:
        raise DomainError("NOT_FOUND", what="token key", id=BRIDGE)
    return context.tokens


def verb_of(envelope: envelope_pb2.Envelope) -> Verb:
    """Give the method that takes a statement of this node."""
    if envelope.payload_type == DECLARE_TYPE:
        return Verb.DECLARE
    statement = claims_pb2.ClaimStatement.FromString(envelope.payload)
    ends = (claims_pb2.CLAIM_STATUS_WITHDRAWN, claims_pb2.CLAIM_STATUS_REJECTED)
    return Verb.RELEASE if statement.status in ends else Verb.REGISTER


def claim_id_of(envelope: envelope_pb2.Envelope) -> str:
    """Give the claim that a statement of this node is about."""
    if envelope.payload_type == DECLARE_TYPE:
        return claims_pb2.DeclareStatement.FromString(envelope.payload).claim.claim_id
    return claims_pb2.ClaimStatement.FromString(envelope.payload).claim_id


def open_receipt(
    context: RegionContext, statement: envelope_pb2.Envelope, answer: envelope_pb2.Envelope
) -> Receipt:
    """Verify the bridge's answer to a statement.

    Raises:
        DomainError: a reason of family 1 for what does not verify; MESSAGE_MALFORMED for a receipt of another
            statement or claim.
    """
    opened = context.verifier.open_envelope(
        answer,
        context.directory,
        allowed=RECEIPTS,
        peer=BRIDGE,
        at_index=context.known_index,
    )
    receipt: claims_pb2.ClaimReceipt = opened.message
    if opened.header.prev_hash != message_hash(statement.payload_type, statement.payload):
        raise DomainError(
            "MESSAGE_MALFORMED",
            field="receipt.header.prev_hash",
            detail="the receipt answers another statement",
        )
    if receipt.claim_id != claim_id_of(statement):
        raise DomainError(
            "MESSAGE_MALFORMED", field="receipt.claim_id", detail="the receipt is of another claim"
        )
    return Receipt(receipt, answer, opened.message_hash)


def open_verdict(context: RegionContext, answer: envelope_pb2.Envelope) -> claims_pb2.Verdict:
    """Verify a verdict of a check that stored nothing."""
    opened = context.verifier.open_envelope(
        answer, context.directory, allowed=VERDICTS, peer=BRIDGE, at_index=context.known_index
    )
    verdict: claims_pb2.Verdict = opened.message
    return verdict
