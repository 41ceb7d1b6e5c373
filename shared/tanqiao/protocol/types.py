"""Facts and records of the transfer protocol: what the state machines read and what they keep.

Facts are what a signed message states, after the shell has verified it (PROTOCOL section 2); they carry
hashes and never bytes. Records are what a party keeps of a transfer. Nothing here knows protobuf, a
database, a clock or a key. Numbers of the enumerations are those of the wire contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock

HASH_LENGTH: Final = 32
"""Bytes of a message hash."""
ZERO_HASH: Final = bytes(HASH_LENGTH)
"""Stands in a Decision where there is no Ready: in a Use, and in an ABORT without one (R9)."""
SINK: Final = "sink"
"""Destination of a Use: a place that never sends (PROTOCOL section 4, row 8)."""


class Kind(IntEnum):
    """What a transfer is for: another region, or one of the two ends of a unit's life."""

    TRANSFER = 1
    RETIRE = 2
    CANCEL = 3


class Outcome(IntEnum):
    """The bridge's decision."""

    COMMIT = 1
    ABORT = 2


class SourceState(IntEnum):
    """State of a transfer or a Use at its source."""

    LOCKED = 1
    MOVED = 2
    RELEASED = 3
    RETIRING = 4
    USED = 5
    CANCELLED = 6


class DestinationState(IntEnum):
    """State of a transfer at its destination."""

    READY = 1
    REFUSED = 2
    CREDITED = 3
    DROPPED = 4


class NotaryState(IntEnum):
    """State of a transfer at the bridge; only OPEN is memory, the others are durable."""

    OPEN = 1
    COMMITTED = 2
    ABORTED = 3
    CLOSED = 4


class IssueState(IntEnum):
    """State of an issuance at its region."""

    ISSUING = 1
    HELD = 2
    REFUSED = 3


SOURCE_UNDECIDED: Final = frozenset({SourceState.LOCKED, SourceState.RETIRING})
DESTINATION_UNDECIDED: Final = frozenset({DestinationState.READY, DestinationState.REFUSED})


class TransferKey(NamedTuple):
    """Names a transfer: the source's party name and 16 random bytes made by it.

    A tuple: it is looked up a dozen times for each transfer, and a tuple's hash is the interpreter's own.
    """

    source: str
    transfer_id: bytes


@record
class ReasonFacts:
    """One failing check: a symbol of the catalogue, the values of its sentence, and the blocks concerned."""

    symbol: str
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    blocks: tuple[UnitBlock, ...] = ()


Reasons = tuple[ReasonFacts, ...]


# ----------------------------------------------------------------------------------------------------
# Facts of messages.


@record
class LockFacts:
    """A LockAssertion (row 1) or a Use (row 8); of a Use the destination is `SINK`."""

    key: TransferKey
    message_hash: bytes
    kind: Kind
    destination: str
    blocks: tuple[UnitBlock, ...]
    purpose: str = ""
    key_id: bytes = b""


@record
class PrepareFacts:
    """A Prepare (row 2) with what its embedded LockAssertion states; the hash of the latter identifies it."""

    key: TransferKey
    message_hash: bytes
    lock: LockFacts
    legal_date: str


@record
class ReadyFacts:
    """A Ready (row 3): the promise of R7. `prepare_hash` is the header's prev_hash."""

    key: TransferKey
    message_hash: bytes
    sender: str
    prepare_hash: bytes
    lock_hash: bytes
    key_id: bytes = b""


@record
class RefuseFacts:
    """A Refuse (row 3): every check that failed at the destination."""

    key: TransferKey
    message_hash: bytes
    sender: str
    prepare_hash: bytes
    lock_hash: bytes
    reasons: Reasons


@record
class DecisionFacts:
    """A Decision (row 4)."""

    key: TransferKey
    message_hash: bytes
    outcome: Outcome
    lock_hash: bytes
    ready_hash: bytes
    log_index: int
    reasons: Reasons = ()


@record
class FinalFacts:
    """A SourceFinal or DestFinal (row 5)."""

    key: TransferKey
    message_hash: bytes
    sender: str
    decision_hash: bytes
    state: SourceState | DestinationState


@record
class WithdrawFacts:
    """A Withdraw (row 13): the holder's wish."""

    key: TransferKey
    message_hash: bytes
    lock_hash: bytes


@record
class IssueFacts:
    """An Issue (row 9): serials that the region has reserved."""

    region: str
    issue_id: bytes
    message_hash: bytes
    block: UnitBlock


@record
class IssueReceiptFacts:
    """The bridge's answer to an Issue (row 9): a promise that the region must honour."""

    issue_id: bytes
    message_hash: bytes
    issue_hash: bytes
    accepted: bool
    log_index: int
    reasons: Reasons = ()


# ----------------------------------------------------------------------------------------------------
# Records.


@record
class SourceRecord:
    """What a source keeps of a transfer or Use that it locked; `decision_hash` is empty until decided."""

    key: TransferKey
    kind: Kind
    state: SourceState
    lock_hash: bytes
    destination: str
    blocks: tuple[UnitBlock, ...]
    withdrawn: bool = False
    decision_hash: bytes = b""


@record
class DestinationRecord:
    """What a destination keeps of a transfer to it.

    `answer_hash` is the message hash of its Ready or Refuse and is set by `with_answer` in the transaction
    that stores the answer; empty where there is none. `prepare_hash` is that of the Prepare which it answers.
    """

    key: TransferKey
    state: DestinationState
    lock_hash: bytes
    prepare_hash: bytes
    blocks: tuple[UnitBlock, ...]
    answer_hash: bytes = b""
    decision_hash: bytes = b""


@record
class OpenTransfer:
    """What the bridge remembers of an undecided transfer; lost in a crash, made again from the offers.

    `prepare_hash` is set by `with_prepare` when the Prepare is made. `answer_hash` is that of the Ready or
    Refuse received. `deadline_ms` is on the bridge's monotonic clock.
    """

    key: TransferKey
    kind: Kind
    lock_hash: bytes
    destination: str
    blocks: tuple[UnitBlock, ...]
    deadline_ms: int
    legal_date: str = ""
    purpose: str = ""
    prepare_hash: bytes = b""
    ready: bool = False
    answer_hash: bytes = b""
    lock_key_id: bytes = b""
    ready_key_id: bytes = b""


@record
class DecisionRecord:
    """The decision row, and beside it the hashes of the answer and of the two receipts as they come in.

    `ready_hash` is the one that the Decision names; `answer_hash` that of whatever the destination
    answered, empty if nothing was seen. The last three fields are kept outside the immutable row.
    """

    key: TransferKey
    kind: Kind
    destination: str
    outcome: Outcome
    lock_hash: bytes
    ready_hash: bytes
    decision_hash: bytes
    log_index: int
    answer_hash: bytes = b""
    source_final_hash: bytes = b""
    destination_final_hash: bytes = b""

    @property
    def state(self) -> NotaryState:
        """COMMITTED or ABORTED, and CLOSED when every receipt is in (a Use has none of a destination)."""
        if self.source_final_hash and (self.kind is not Kind.TRANSFER or self.destination_final_hash):
            return NotaryState.CLOSED
        return NotaryState.COMMITTED if self.outcome is Outcome.COMMIT else NotaryState.ABORTED


@record
class TransferView:
    """All that the bridge knows of one transfer: its memory and its decision row; a decision wins."""

    open: OpenTransfer | None = None
    decision: DecisionRecord | None = None

    @property
    def state(self) -> NotaryState | None:
        """State of PROTOCOL section 5; None where nothing is known."""
        if self.decision is not None:
            return self.decision.state
        return NotaryState.OPEN if self.open is not None else None


NOTHING_KNOWN: Final = TransferView()


@record
class IssueRecord:
    """What a region keeps of an issuance; `receipt_hash` is empty until the receipt came."""

    issue_id: bytes
    state: IssueState
    issue_hash: bytes
    block: UnitBlock
    receipt_hash: bytes = b""


@record
class IssueDecisionRecord:
    """What the bridge keeps of an Issue: whether it was accepted, and the receipt that it answered with.

    `receipt_hash` is set by `with_receipt` in the transaction that stores the receipt.
    """

    region: str
    issue_id: bytes
    issue_hash: bytes
    block: UnitBlock
    accepted: bool
    receipt_hash: bytes = b""


def with_answer(record: DestinationRecord, answer_hash: bytes) -> DestinationRecord:
    """Note the message hash of the Ready or Refuse that `StoreReady` or `StoreRefuse` asked for."""
    # Written out: `dataclasses.replace` costs five times as much, and this is the hot path.
    return DestinationRecord(
        record.key,
        record.state,
        record.lock_hash,
        record.prepare_hash,
        record.blocks,
        answer_hash,
        record.decision_hash,
    )


def with_prepare(transfer: OpenTransfer, prepare_hash: bytes) -> OpenTransfer:
    """Note the message hash of the Prepare that `SendPrepare` asked for."""
    # Written out, as in `with_answer`.
    return OpenTransfer(
        transfer.key,
        transfer.kind,
        transfer.lock_hash,
        transfer.destination,
        transfer.blocks,
        transfer.deadline_ms,
        transfer.legal_date,
        transfer.purpose,
        prepare_hash,
        transfer.ready,
        transfer.answer_hash,
        transfer.lock_key_id,
        transfer.ready_key_id,
    )


def with_receipt(record: IssueDecisionRecord, receipt_hash: bytes) -> IssueDecisionRecord:
    """Note the message hash of the receipt that `StoreReceipt` asked for."""
    return replace(record, receipt_hash=receipt_hash)
