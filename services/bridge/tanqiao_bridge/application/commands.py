"""What the bridge's one writer is asked to do, and what a group of commands leaves to be sent.

Every command is handled in the writer's thread, many in one transaction; the memory of open transfers is
touched by that thread alone, and only after the commit (PROTOCOL R1, R6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.record import record
from tanqiao.protocol.types import IssueFacts, LockFacts, PrepareFacts, ReadyFacts, RefuseFacts
from tanqiao.signing.verify import Opened

CallerRequest = ClientRequest
"""Who calls, under which request id, with which body: how servicers name a mutating call."""


@record
class Material:
    """A verified message with the batch or envelope that it came in, and what travelled beside it."""

    opened: Opened
    batch: envelope_pb2.EnvelopeBatch | None
    envelope: envelope_pb2.Envelope | None
    companion: bytes = b""


@record
class OfferLocks:
    """LockAssertions or Uses of one region, in the order sent."""

    party: str
    items: tuple[tuple[Material, LockFacts], ...]


@record
class OfferAnswers:
    """Ready or Refuse messages of one region."""

    party: str
    items: tuple[tuple[Material, ReadyFacts | RefuseFacts], ...]


@record
class ReturnPrepare:
    """A Prepare that its destination returned with its answer, after the bridge lost its memory."""

    party: str
    prepare: Material
    lock: Material
    answer: Material
    prepare_facts: PrepareFacts
    answer_facts: ReadyFacts | RefuseFacts


@record
class OfferWithdrawals:
    """Withdraw messages of one region."""

    party: str
    items: tuple[Material, ...]


@record
class OfferIssues:
    """Issue messages of one region."""

    party: str
    items: tuple[tuple[Material, IssueFacts], ...]


@record
class Unacceptable:
    """A numbered item under a valid signature that cannot be accepted, and why (PROTOCOL section 3)."""

    envelope: envelope_pb2.Envelope
    message_hash: bytes
    refusal: DomainError


@record
class TakeNumbered:
    """A numbered batch of a region.

    Receipts, and whatever else it numbers. Items that cannot be accepted are kept as evidence.
    """

    party: str
    incarnation: int
    first_number: int
    items: tuple[Material | Unacceptable, ...]


@record
class TakeAcknowledgement:
    """A region has made everything up to a number durable."""

    party: str
    incarnation: int
    up_to_number: int


@record
class OpenSession:
    """A region's Hello: the newest session number fences the older ones."""

    party: str
    hello: sync_pb2.Hello


@record
class OfferAgain:
    """A region was too busy for some Prepares: offer those that it may take now.

    Attributes:
        transfer_ids: of the transfers; None: of all that are open towards the region.
    """

    party: str
    transfer_ids: tuple[bytes, ...] | None


@record
class PassDeadlines:
    """Time passed: decide what has no answer in time; `now_ms` is the monotonic clock."""

    now_ms: int


@record
class AskOutcome:
    """GetOutcome with or without evidence that verified."""

    source: str
    transfer_id: bytes
    evidence: tuple[Material, LockFacts] | None


@record
class SubmitKeyRecord:
    """A KeyRecord signed by the root of its owner's authority."""

    record: messages_pb2.KeyRecord
    envelope: envelope_pb2.Envelope
    message_hash: bytes
    signer_key_ids: tuple[bytes, ...]
    request: CallerRequest


@record
class SubmitRecognition:
    """A RecognitionRecord signed by the roots of both regions."""

    record: messages_pb2.RecognitionRecord
    envelope: envelope_pb2.Envelope
    message_hash: bytes
    signer_key_ids: tuple[bytes, ...]
    request: CallerRequest


@dataclass(slots=True)
class Outgoing:
    """What a command leaves to be sent after the commit: to whom, of which type, which payloads."""

    party: str
    payload_type: str
    payloads: list[bytes] = field(default_factory=list)
    companions: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    """What a command's caller gets once everything is durable.

    `busy` names transfers to be offered again later, `need_prepare` those whose Prepare the bridge wants
    back, `refused` the offers that could not open anything, `stored` the answers of replays.
    """

    busy: list[bytes] = field(default_factory=list)
    need_prepare: dict[str, list[bytes]] = field(default_factory=dict)
    refused: list[sync_pb2.OfferRefused] = field(default_factory=list)
    stored: list[tuple[str, bytes]] = field(default_factory=list)
    outcome: str = ""
    log_index: int = -1
    received_number: int = 0
    last_number: int = 0
    acknowledged_number: int = 0
    finals: tuple[bool, bool] = (False, False)


Command = (
    OfferLocks
    | OfferAnswers
    | ReturnPrepare
    | OfferWithdrawals
    | OfferIssues
    | TakeNumbered
    | TakeAcknowledgement
    | OpenSession
    | OfferAgain
    | PassDeadlines
    | AskOutcome
    | SubmitKeyRecord
    | SubmitRecognition
)

Payloads = Sequence[bytes]
