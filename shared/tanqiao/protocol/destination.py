"""The destination D: checks, promises or refuses, and acts on the bridge's decision alone.

States (PROTOCOL section 5): ``- -> READY -> CREDITED | DROPPED``, ``- -> REFUSED``,
``- or REFUSED -> DROPPED`` on ABORT. There is no event of time (R2, R3): a READY waits for its decision.
"""

from __future__ import annotations

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.effects import (
    Answer,
    CreditBlocks,
    DropReady,
    Effects,
    EvidenceKind,
    FreezePair,
    OpenCase,
    SendFinal,
    SendNack,
    SendStored,
    SetDestinationState,
    StoreEvidence,
    StoreReady,
    StoreRefuse,
    Transition,
)
from tanqiao.protocol.refusals import decision_void, equivocation, of_transfer, reason
from tanqiao.protocol.types import (
    DESTINATION_UNDECIDED,
    DecisionFacts,
    DestinationRecord,
    DestinationState,
    Outcome,
    PrepareFacts,
    ReadyFacts,
    Reasons,
)

DestinationTransition = Transition[DestinationRecord | None]

_STORED_ANSWER: Effects = (SendStored(Answer.ANSWER),)
_STORED_FINAL: Effects = (SendStored(Answer.FINAL),)
_READY: Effects = (SetDestinationState(DestinationState.READY), StoreReady())
_DROPPED: Effects = (
    SetDestinationState(DestinationState.DROPPED),
    SendFinal(DestinationState.DROPPED),
)
_DROPPED_READY: Effects = (
    SetDestinationState(DestinationState.DROPPED),
    DropReady(),
    SendFinal(DestinationState.DROPPED),
)


def on_prepare(
    record: DestinationRecord | None, facts: PrepareFacts, reasons: Reasons
) -> DestinationTransition:
    """Answer a Prepare (row 2) with READY or REFUSED (row 3).

    Args:
        record: what this destination keeps of the transfer, None if nothing.
        facts: the bridge's Prepare with the source's LockAssertion in it, both verified.
        reasons: every check that failed here; empty if the units can be credited. Read only where there is
            no record yet.

    The shell makes the answer that an effect asks for and stores its hash with `with_answer`.
    """
    if record is None:
        if reasons:  # presumed abort: nothing but the refusal is kept (R5)
            return Transition(
                _first(facts, DestinationState.REFUSED),
                (SetDestinationState(DestinationState.REFUSED), StoreRefuse(reasons)),
            )
        return Transition(_first(facts, DestinationState.READY), _READY)
    # R4: two Prepares are compared by the hash of the LockAssertion inside. A record without an answer holds
    # only the hash that an ABORT named, which is not a lock that this party has seen.
    if record.answer_hash and record.lock_hash != facts.lock.message_hash:
        return Transition(
            record,
            (
                StoreEvidence(EvidenceKind.LOCK_EQUIVOCATION, (record.lock_hash, facts.lock.message_hash)),
                FreezePair(facts.key.source, facts.lock.destination),
                SendNack(equivocation(facts.key.source, facts.key.transfer_id)),
                OpenCase(EvidenceKind.LOCK_EQUIVOCATION),
            ),
        )
    if record.answer_hash:  # R4, R5: the stored answer, also after the decision
        return Transition(record, _STORED_ANSWER)
    # R9: DROPPED without an answer refuses a later Prepare; the Refuse is a promise like any other.
    return Transition(
        _copy(record, record.state, facts.lock.message_hash, facts.message_hash, record.decision_hash),
        (
            SetDestinationState(record.state),
            StoreRefuse(of_transfer("TRANSFER_DROPPED", facts.key)),
        ),
    )


def on_decision(
    record: DestinationRecord | None,
    facts: DecisionFacts,
    own_ready: ReadyFacts | None = None,
    own_prepare: PrepareFacts | None = None,
    already_here: tuple[UnitBlock, ...] = (),
) -> DestinationTransition:
    """Act on the bridge's decision (row 4; R3, R7, R9).

    Args:
        record: what this destination keeps of the transfer, None if nothing.
        facts: the decision, signed by the bridge.
        own_ready: the Ready that the bridge sent beside the decision, if this destination's own key signed
            it: it was forgotten in a restore and is honoured.
        own_prepare: the Prepare that this Ready answers, sent beside it.
        already_here: parts of the blocks that this region has in any state but used up; read on a COMMIT
            only. An honest bridge whose Decisions are taken in order never lets that happen.
    """
    if record is None:
        record = _forgotten(facts, own_ready, own_prepare)
        if record is None:
            return _without_ready(None, facts)
        after = _with_ready(record, facts, already_here)
        return after if after.record is not record else Transition(None, after.effects)
    if record.decision_hash:
        if record.decision_hash == facts.message_hash:  # R4: the same bytes again, the stored answer
            return Transition(record, _STORED_FINAL)
        return _contradiction(record, facts)  # I4: a second decision is B's fraud and changes nothing
    if record.state is DestinationState.READY:
        return _with_ready(record, facts, already_here)
    return _without_ready(record, facts)


def _with_ready(
    record: DestinationRecord, facts: DecisionFacts, already_here: tuple[UnitBlock, ...]
) -> DestinationTransition:
    # R9 asks for the Ready's hash on COMMIT and for the lock's on ABORT. A COMMIT that names this Ready
    # beside another lock than the Ready does decides nothing either: S would not act on it.
    if facts.lock_hash != record.lock_hash:
        return _void(record, facts)
    if facts.outcome is Outcome.ABORT:
        return Transition(_decided(record, DestinationState.DROPPED, facts), _DROPPED_READY)
    if not record.answer_hash or facts.ready_hash != record.answer_hash:
        return _void(record, facts)
    if already_here:  # I2: a serial is at one place; the promise stands and waits for what lets the units go
        return Transition(
            record,
            (
                StoreEvidence(EvidenceKind.CREDIT_CONFLICT, (facts.message_hash,)),
                SendNack((reason("LOCATION_CONFLICT", already_here),)),
                OpenCase(EvidenceKind.CREDIT_CONFLICT),
            ),
        )
    return Transition(
        _decided(record, DestinationState.CREDITED, facts),
        (
            SetDestinationState(DestinationState.CREDITED),
            CreditBlocks(record.blocks),
            SendFinal(DestinationState.CREDITED),
        ),
    )


def _without_ready(record: DestinationRecord | None, facts: DecisionFacts) -> DestinationTransition:
    """R9: no COMMIT without an own Ready; an ABORT is stored, so that a later Prepare is refused."""
    if facts.outcome is Outcome.COMMIT:
        return _void(record, facts)
    if record is None:
        return Transition(
            DestinationRecord(
                facts.key, DestinationState.DROPPED, facts.lock_hash, b"", (), b"", facts.message_hash
            ),
            _DROPPED,
        )
    return Transition(_decided(record, DestinationState.DROPPED, facts), _DROPPED)


def _forgotten(
    facts: DecisionFacts, ready: ReadyFacts | None, prepare: PrepareFacts | None
) -> DestinationRecord | None:
    """Rebuild the READY that a restore forgot, if the papers beside the decision hang together."""
    if ready is None or prepare is None:
        return None
    if not (facts.key == ready.key == prepare.key):
        return None
    if ready.prepare_hash != prepare.message_hash or ready.lock_hash != prepare.lock.message_hash:
        return None
    return _copy(
        _first(prepare, DestinationState.READY),
        DestinationState.READY,
        ready.lock_hash,
        prepare.message_hash,
        b"",
        ready.message_hash,
    )


def _first(facts: PrepareFacts, state: DestinationState) -> DestinationRecord:
    return DestinationRecord(facts.key, state, facts.lock.message_hash, facts.message_hash, facts.lock.blocks)


def _decided(record: DestinationRecord, state: DestinationState, facts: DecisionFacts) -> DestinationRecord:
    return _copy(record, state, record.lock_hash, record.prepare_hash, facts.message_hash)


def _copy(
    record: DestinationRecord,
    state: DestinationState,
    lock_hash: bytes,
    prepare_hash: bytes,
    decision_hash: bytes,
    answer_hash: bytes | None = None,
) -> DestinationRecord:
    # Written out: `dataclasses.replace` costs three times as much, and this is the hot path.
    return DestinationRecord(
        record.key,
        state,
        lock_hash,
        prepare_hash,
        record.blocks,
        record.answer_hash if answer_hash is None else answer_hash,
        decision_hash,
    )


def _void(record: DestinationRecord | None, facts: DecisionFacts) -> DestinationTransition:
    """R9: void, kept as evidence and reported."""
    return Transition(
        record,
        (
            StoreEvidence(EvidenceKind.DECISION_VOID, (facts.message_hash,)),
            SendNack(decision_void(facts.key)),
            OpenCase(EvidenceKind.DECISION_VOID),
        ),
    )


def _contradiction(record: DestinationRecord, facts: DecisionFacts) -> DestinationTransition:
    """R4: two decisions for one transfer; both envelopes are the proof."""
    return Transition(
        record,
        (
            StoreEvidence(EvidenceKind.DECISION_EQUIVOCATION, (record.decision_hash, facts.message_hash)),
            SendNack(equivocation("bridge", facts.key.transfer_id)),
            OpenCase(EvidenceKind.DECISION_EQUIVOCATION),
        ),
    )


def is_undecided(record: DestinationRecord) -> bool:
    """Whether the answer is still offered at every session."""
    return record.state in DESTINATION_UNDECIDED
