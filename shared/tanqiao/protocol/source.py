"""The source S: locks, waits, and acts on the bridge's decision alone.

States (PROTOCOL section 5): ``HELD -> LOCKED -> MOVED`` on COMMIT, ``-> HELD`` (RELEASED) on ABORT;
``HELD -> RETIRING -> USED | CANCELLED``, ``-> HELD`` (RELEASED) on ABORT. There is no event of time: a source
that hears nothing stays LOCKED (R2, R3). Whether the blocks are free to be locked is the caller's check.
"""

from __future__ import annotations

from dataclasses import replace

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.effects import (
    Answer,
    EvidenceKind,
    LockBlocks,
    MoveBlocksOut,
    OfferAgain,
    OfferKind,
    OpenCase,
    RefuseCommand,
    ReleaseBlocks,
    SendFinal,
    SendNack,
    SendStored,
    SetSourceState,
    StoreEvidence,
    Transition,
    UseBlocks,
)
from tanqiao.protocol.refusals import decision_void, equivocation, of_transfer, reason
from tanqiao.protocol.types import (
    SOURCE_UNDECIDED,
    ZERO_HASH,
    DecisionFacts,
    Kind,
    LockFacts,
    Outcome,
    SourceRecord,
    SourceState,
)

SourceTransition = Transition[SourceRecord | None]

COMMITTED_STATE = {
    Kind.TRANSFER: SourceState.MOVED,
    Kind.RETIRE: SourceState.USED,
    Kind.CANCEL: SourceState.CANCELLED,
}
"""Where a COMMIT leads, by kind."""


def on_lock_requested(record: SourceRecord | None, facts: LockFacts) -> SourceTransition:
    """Lock blocks for a transfer (row 1) or a Use (row 8).

    The LockAssertion or Use of `facts` must be durable with its signature in the same transaction (R1). The
    same promise again offers the stored bytes; another one under this id is never signed (R4).
    """
    if record is not None:
        if record.lock_hash == facts.message_hash:
            return Transition(record, (SendStored(Answer.LOCK),))
        return Transition(record, (RefuseCommand((reason("REQUEST_ID_REUSED"),)),))
    locked = _locked(facts)
    offer = OfferKind.LOCK if facts.kind is Kind.TRANSFER else OfferKind.USE
    return Transition(
        locked,
        (SetSourceState(locked.state), LockBlocks(facts.blocks, locked.state), OfferAgain(offer)),
    )


def on_withdraw_requested(record: SourceRecord) -> SourceTransition:
    """Note the holder's wish to withdraw (row 13); only the bridge's ABORT releases the blocks (R3)."""
    if record.state is SourceState.LOCKED:
        if record.withdrawn:
            return Transition(record, (OfferAgain(OfferKind.WITHDRAW),))
        return Transition(
            replace(record, withdrawn=True),
            (SetSourceState(SourceState.LOCKED), OfferAgain(OfferKind.WITHDRAW)),
        )
    if record.kind is not Kind.TRANSFER:  # row 8: the holder cannot withdraw a Use
        return Transition(record, (RefuseCommand(of_transfer("WITHDRAW_NOT_POSSIBLE", record.key)),))
    outcome = Outcome.COMMIT if record.state is SourceState.MOVED else Outcome.ABORT
    return Transition(
        record,
        (
            RefuseCommand(
                (
                    reason(
                        "ALREADY_DECIDED",
                        transfer_id=record.key.transfer_id.hex(),
                        outcome=outcome.name,
                    ),
                )
            ),
        ),
    )


def on_decision(
    record: SourceRecord | None,
    facts: DecisionFacts,
    own_lock: LockFacts | None = None,
    not_here: tuple[UnitBlock, ...] = (),
) -> SourceTransition:
    """Act on the bridge's decision (row 4; R3, R9).

    Args:
        record: what this source keeps of the transfer, None if nothing.
        facts: the decision, signed by the bridge.
        own_lock: the LockAssertion or Use that the bridge sent beside the decision, if this source's own key
            signed it: it was forgotten in a restore and is honoured (R9).
        not_here: parts of the record's blocks that are not where the lock put them: the books of this source
            are broken there. Nothing is guessed: the decision is kept, a case opened, the line goes on.
    """
    if record is None:
        # R9: a lock forgotten in a restore comes back from B beside the decision.
        if own_lock is None or own_lock.message_hash != facts.lock_hash or own_lock.key != facts.key:
            return _void(None, facts)
        record = _locked(own_lock)
        if not _is_whole(record.kind, facts):
            return _void(None, facts)
        after = _decide(record, facts)
        return Transition(after.record, (LockBlocks(record.blocks, record.state), *after.effects))
    if record.decision_hash:
        if record.decision_hash == facts.message_hash:  # R4: the same bytes again, the stored answer
            return Transition(record, (SendStored(Answer.FINAL),))
        return _contradiction(record, facts)  # I4: a second decision is B's fraud and changes nothing
    # R9: S acts only if the first hash is that of a lock that its key signed.
    if record.lock_hash != facts.lock_hash or not _is_whole(record.kind, facts):
        return _void(record, facts)
    if not_here:
        return Transition(
            record,
            (
                StoreEvidence(EvidenceKind.HOLDING_CONFLICT, (facts.message_hash,)),
                SendNack((reason("LOCATION_CONFLICT", not_here),)),
                OpenCase(EvidenceKind.HOLDING_CONFLICT),
            ),
        )
    return _decide(record, facts)


def _decide(record: SourceRecord, facts: DecisionFacts) -> SourceTransition:
    """R3: release on ABORT, extinguish on COMMIT."""
    if facts.outcome is Outcome.ABORT:
        after = _with_decision(record, SourceState.RELEASED, facts)
        return Transition(
            after,
            (
                SetSourceState(SourceState.RELEASED),
                ReleaseBlocks(record.blocks),
                SendFinal(SourceState.RELEASED),
            ),
        )
    state = COMMITTED_STATE[record.kind]
    after = _with_decision(record, state, facts)
    if record.kind is Kind.TRANSFER:
        return Transition(after, (SetSourceState(state), MoveBlocksOut(record.blocks), SendFinal(state)))
    return Transition(after, (SetSourceState(state), UseBlocks(record.blocks, state), SendFinal(state)))


def _is_whole(kind: Kind, facts: DecisionFacts) -> bool:
    """R9: a COMMIT names a Ready for a transfer and zero bytes for a Use; another form decides nothing."""
    return facts.outcome is Outcome.ABORT or (facts.ready_hash == ZERO_HASH) == (kind is not Kind.TRANSFER)


def _locked(facts: LockFacts) -> SourceRecord:
    state = SourceState.LOCKED if facts.kind is Kind.TRANSFER else SourceState.RETIRING
    return SourceRecord(facts.key, facts.kind, state, facts.message_hash, facts.destination, facts.blocks)


def _with_decision(record: SourceRecord, state: SourceState, facts: DecisionFacts) -> SourceRecord:
    # Written out: `dataclasses.replace` costs three times as much, and this is the hot path.
    return SourceRecord(
        record.key,
        record.kind,
        state,
        record.lock_hash,
        record.destination,
        record.blocks,
        record.withdrawn,
        facts.message_hash,
    )


def _void(record: SourceRecord | None, facts: DecisionFacts) -> SourceTransition:
    """R9: void, kept as evidence and reported."""
    return Transition(
        record,
        (
            StoreEvidence(EvidenceKind.DECISION_VOID, (facts.message_hash,)),
            SendNack(decision_void(facts.key)),
            OpenCase(EvidenceKind.DECISION_VOID),
        ),
    )


def _contradiction(record: SourceRecord, facts: DecisionFacts) -> SourceTransition:
    """R4: two decisions for one transfer; both envelopes are the proof."""
    return Transition(
        record,
        (
            StoreEvidence(EvidenceKind.DECISION_EQUIVOCATION, (record.decision_hash, facts.message_hash)),
            SendNack(equivocation("bridge", facts.key.transfer_id)),
            OpenCase(EvidenceKind.DECISION_EQUIVOCATION),
        ),
    )


def is_undecided(record: SourceRecord) -> bool:
    """Whether the lock is still offered at every session."""
    return record.state in SOURCE_UNDECIDED
