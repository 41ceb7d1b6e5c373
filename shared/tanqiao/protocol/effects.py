"""The closed set of effects: what the shell does for a transition, and nothing else.

Effects of one transition, and those of a whole group, are carried out in one transaction, in order; what
leaves the process (`LEAVES_PROCESS`) leaves after the commit of that transaction (R1) and before no hook
(R6). `PROMISES_NOTHING` may leave without one, as R1 exempts them.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Generic, TypeVar

from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import (
    DestinationState,
    IssueState,
    NotaryState,
    Outcome,
    Reasons,
    SourceState,
)

RecordT_co = TypeVar("RecordT_co", covariant=True)


class Answer(Enum):
    """Which stored bytes are sent again, unchanged (R4)."""

    LOCK = "lock"
    ANSWER = "answer"
    DECISION = "decision"
    FINAL = "final"
    ISSUE = "issue"
    RECEIPT = "receipt"


class EvidenceKind(Enum):
    """What two signed messages, or one that cannot be accepted, show."""

    LOCK_EQUIVOCATION = "lock equivocation"
    """Two LockAssertions or Uses of one source for one id."""
    ANSWER_EQUIVOCATION = "answer equivocation"
    """Two answers (Ready, Refuse) of one destination for one transfer."""
    DECISION_EQUIVOCATION = "decision equivocation"
    """Two decisions of the bridge for one transfer."""
    DECISION_VOID = "decision void"
    """A decision that names a lock or a Ready which this party did not sign (R9)."""
    CREDIT_CONFLICT = "credit conflict"
    """A COMMIT would credit units that this region has already: the bridge broke the order, or lies."""
    HOLDING_CONFLICT = "holding conflict"
    """A decision about units that are not in the state in which this source locked them."""
    FINAL_EQUIVOCATION = "final equivocation"
    """Two receipts of one party for one transfer."""
    FINAL_CONTRADICTS_DECISION = "final contradicts decision"
    """A receipt of a state that the decision does not lead to."""
    ISSUE_EQUIVOCATION = "issue equivocation"
    RECEIPT_EQUIVOCATION = "receipt equivocation"
    RECEIPT_VOID = "receipt void"
    """A receipt for an Issue that this region did not sign."""


class OfferKind(Enum):
    """Offered traffic of PROTOCOL section 3 that stands in a region's state."""

    LOCK = "lock"
    USE = "use"
    WITHDRAW = "withdraw"
    READY = "ready"
    REFUSE = "refuse"
    ISSUE = "issue"


class Ignored(Enum):
    """Why a message has no effect at all."""

    DUPLICATE = "duplicate"
    """The same bytes are in hand already and what follows from them is under way."""
    NOT_DUE = "not due"
    """The deadline has not come, or the answer is in."""
    NOT_OPEN = "not open"
    """What it refers to is not in memory; its sender will offer that again."""
    NOT_CONCERNED = "not concerned"
    """The key, party or freeze does not touch this transfer."""
    DECIDED = "decided"
    """The decision was made before; its numbered message is on its way."""


# ----------------------------------------------------------------------------------------------------
# At a region, as source.


@record
class SetSourceState:
    """Store the transition's record; its state is this one."""

    state: SourceState


@record
class LockBlocks:
    """HELD becomes LOCKED or RETIRING for these blocks; also when an own forgotten lock is honoured."""

    blocks: tuple[UnitBlock, ...]
    state: SourceState


@record
class ReleaseBlocks:
    """LOCKED or RETIRING becomes HELD, in suspense if the account closed since (R7)."""

    blocks: tuple[UnitBlock, ...]


@record
class MoveBlocksOut:
    """LOCKED blocks leave this region's holdings."""

    blocks: tuple[UnitBlock, ...]


@record
class UseBlocks:
    """RETIRING blocks become USED or CANCELLED; certificates may be made."""

    blocks: tuple[UnitBlock, ...]
    state: SourceState


@record
class SendFinal:
    """Make, store and number the SourceFinal or DestFinal of this state."""

    state: SourceState | DestinationState


@record
class OfferAgain:
    """Put this offer on the line now if a session is up; the state offers it again at every session."""

    offer: OfferKind


@record
class RefuseCommand:
    """Refuse the local command with these reasons; nothing changes."""

    reasons: Reasons


# ----------------------------------------------------------------------------------------------------
# At a region, as destination.


@record
class SetDestinationState:
    """Store the transition's record; its state is this one."""

    state: DestinationState


@record
class StoreReady:
    """Make and store the Ready, and the Prepare that it answers with its openings; reserve the account."""


@record
class StoreRefuse:
    """Make and store the Refuse with these reasons."""

    reasons: Reasons


@record
class CreditBlocks:
    """Credit the blocks, to suspense if the account has closed since (R7); frozen if frozen since."""

    blocks: tuple[UnitBlock, ...]


@record
class DropReady:
    """Give up what the Ready reserved."""


# ----------------------------------------------------------------------------------------------------
# At a region, issuance.


@record
class SetIssueState:
    """Store the transition's record; its state is this one."""

    state: IssueState


@record
class ReserveSerials:
    """Take the serials out of the numbers that may be issued, for ever."""

    block: UnitBlock


@record
class CreateUnits:
    """Create the units of the block in the account that the issuance names."""

    block: UnitBlock


# ----------------------------------------------------------------------------------------------------
# At the bridge.


@record
class SendPrepare:
    """Make a Prepare unless the transfer has one, note its hash (`with_prepare`) and offer it."""


@record
class NeedPrepare:
    """Ask the destination for the Prepare that its answer names."""


@record
class Decide:
    """Decide now, in this transaction, with `tanqiao.protocol.notary.decide`.

    COMMIT is a wish that the checks of section 5 may turn into ABORT; ABORT stands, for these reasons.
    """

    outcome: Outcome
    reasons: Reasons = ()


@record
class StoreAnswerHash:
    """Note the hash of a destination's answer that came after the decision."""

    message_hash: bytes


@record
class StoreFinal:
    """Store a side's receipt beside the decision; the state is then this one."""

    message_hash: bytes
    state: NotaryState


@record
class FreezePair:
    """Freeze both directions between two regions on the stored evidence, with a leaf (R4, row 10)."""

    first: str
    second: str


@record
class FreezeSender:
    """Freeze a region on the stored evidence, with a leaf (R4, row 10)."""

    party: str


@record
class StoreReceipt:
    """Make, store and number the IssueReceipt, with its leaf."""

    accepted: bool
    reasons: Reasons = ()


@record
class RegisterLocation:
    """Register the block at the issuing region."""

    block: UnitBlock
    region: str


@record
class MoveLocation:
    """Move the blocks from one place to the next, compare-and-set; `to_party` is `SINK` for a Use."""

    blocks: tuple[UnitBlock, ...]
    from_party: str
    to_party: str


@record
class StoreDecision:
    """Make the Decision, store its row and leaf, and number it for these parties."""

    outcome: Outcome
    parties: tuple[str, ...]


@record
class SendBusy:
    """Answer BUSY: the offer is to be made again later."""


@record
class SendPending:
    """Answer PENDING to a GetOutcome."""


@record
class SendUnknown:
    """Answer UNKNOWN to a GetOutcome; nothing is written, nobody acts on it."""


# ----------------------------------------------------------------------------------------------------
# At every party.


@record
class SendStored:
    """Send stored bytes again, unchanged (R4).

    A Decision keeps its number: a region takes Decisions in the order of their numbers only, also when it
    has asked for one; else units that come back could arrive before the COMMIT that let them go.
    """

    answer: Answer


@record
class StoreEvidence:
    """Keep the envelopes of these message hashes for ever."""

    kind: EvidenceKind
    hashes: tuple[bytes, ...]


@record
class SendNack:
    """Answer a message that cannot be accepted with a signed Nack; the stream goes on."""

    reasons: Reasons


@record
class OpenCase:
    """Open a case for people to settle, on the evidence stored beside it."""

    kind: EvidenceKind


@record
class Ignore:
    """Do nothing."""

    reason: Ignored


Effect = (
    SetSourceState
    | LockBlocks
    | ReleaseBlocks
    | MoveBlocksOut
    | UseBlocks
    | SendFinal
    | OfferAgain
    | RefuseCommand
    | SetDestinationState
    | StoreReady
    | StoreRefuse
    | CreditBlocks
    | DropReady
    | SetIssueState
    | ReserveSerials
    | CreateUnits
    | SendPrepare
    | NeedPrepare
    | Decide
    | StoreAnswerHash
    | StoreFinal
    | FreezePair
    | FreezeSender
    | StoreReceipt
    | RegisterLocation
    | MoveLocation
    | StoreDecision
    | SendBusy
    | SendPending
    | SendUnknown
    | SendStored
    | StoreEvidence
    | SendNack
    | OpenCase
    | Ignore
)
Effects = tuple[Effect, ...]

PROMISES_NOTHING: Final[tuple[type, ...]] = (
    SendPrepare,
    NeedPrepare,
    SendBusy,
    SendPending,
    SendUnknown,
)
"""Exempt from R1: these may be sent without a commit and can be made again."""
LEAVES_PROCESS: Final[tuple[type, ...]] = (
    *PROMISES_NOTHING,
    SendFinal,
    OfferAgain,
    StoreReady,
    StoreRefuse,
    StoreReceipt,
    StoreDecision,
    SendStored,
    SendNack,
)
"""Effects by which a message leaves: after the commit of the transaction that carries them out (R1)."""


@record
class Transition(Generic[RecordT_co]):
    """The record after the event, the same object if nothing changed, and the effects in order."""

    record: RecordT_co
    effects: Effects
