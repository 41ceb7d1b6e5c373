"""The notary B: remembers what is open, lets time decide before its decision only, and decides once.

States (PROTOCOL section 5): ``- -> (memory only: OPEN) -> COMMITTED | ABORTED -> + receipts -> CLOSED``.
What is open is lost in a crash and made again from what S and D offer. While a party of a transfer is
RECOVERING the shell answers BUSY and asks this core nothing about it (section 6).

An effect `Decide` is followed, in the same transaction, by `tanqiao.protocol.decision.decide` on the checks
of section 5 and by `decided` once the Decision is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from tanqiao.kernel.invariants import require
from tanqiao.kernel.record import record
from tanqiao.protocol.effects import (
    Answer,
    Decide,
    Effect,
    Effects,
    EvidenceKind,
    FreezePair,
    FreezeSender,
    Ignore,
    Ignored,
    NeedPrepare,
    OpenCase,
    SendBusy,
    SendNack,
    SendPending,
    SendPrepare,
    SendStored,
    SendUnknown,
    StoreAnswerHash,
    StoreEvidence,
    StoreFinal,
    Transition,
)
from tanqiao.protocol.refusals import equivocation, not_current, of_transfer, out_of_place, reason
from tanqiao.protocol.source import COMMITTED_STATE
from tanqiao.protocol.types import (
    SINK,
    DecisionRecord,
    DestinationState,
    FinalFacts,
    Kind,
    LockFacts,
    NotaryState,
    OpenTransfer,
    Outcome,
    PrepareFacts,
    ReadyFacts,
    Reasons,
    RefuseFacts,
    SourceState,
    TransferKey,
    TransferView,
    WithdrawFacts,
)

NotaryTransition = Transition[TransferView]

DECIDE_BY_MS_DEFAULT: Final = 30_000
"""Time that a destination has for its answer, in milliseconds of the bridge's monotonic clock."""
DECIDE_BY_MS_MAX: Final = 24 * 60 * 60 * 1000
"""Hard cap on it."""

_STORED_DECISION: Effects = (SendStored(Answer.DECISION),)
_COMMIT: Final = Decide(Outcome.COMMIT)
_DUPLICATE: Effects = (Ignore(Ignored.DUPLICATE),)


@record
class Admission:
    """What the shell knows when a lock arrives.

    Attributes:
        now_ms: the bridge's monotonic clock.
        legal_date: the day of the bridge's wall clock in Asia/Shanghai, ISO form.
        decide_by_ms: time for the destination's answer; at most `DECIDE_BY_MS_MAX`.
        room: whether one more transfer may be open; BUSY otherwise.
        reasons: checks of section 5 that fail already now, or a revoked key: the transfer is aborted at once.
    """

    now_ms: int
    legal_date: str
    decide_by_ms: int = DECIDE_BY_MS_DEFAULT
    room: bool = True
    reasons: Reasons = ()


def on_lock(view: TransferView, facts: LockFacts, admission: Admission) -> NotaryTransition:
    """Open the transfer that a LockAssertion (row 1) or a Use (row 8) offers, or answer from the record."""
    if view.decision is not None:
        if view.decision.lock_hash == facts.message_hash:  # R4
            return Transition(view, _STORED_DECISION)
        return _lock_equivocation(view, view.decision.lock_hash, facts)
    if view.open is not None:
        if view.open.lock_hash == facts.message_hash:
            return Transition(view, _DUPLICATE)
        return _lock_equivocation(view, view.open.lock_hash, facts)
    if not admission.room:
        return Transition(view, (SendBusy(),))
    return _open(facts, admission)


def on_ready(view: TransferView, facts: ReadyFacts) -> NotaryTransition:
    """Take the destination's promise (row 3) as a wish to COMMIT."""
    if view.decision is not None:
        return _answer_after_decision(view, view.decision, facts)
    transfer = view.open
    if transfer is None:  # section 3: B rebuilt its memory and holds no Prepare
        return Transition(view, (NeedPrepare(),))
    if facts.sender != transfer.destination:
        return _nack(view, out_of_place(facts.key.transfer_id, NotaryState.OPEN.name, "Ready"))
    if transfer.answer_hash:
        return _second_answer(view, transfer.answer_hash, facts)
    if facts.prepare_hash != transfer.prepare_hash:
        return Transition(view, (NeedPrepare(),))
    if facts.lock_hash != transfer.lock_hash:
        return _nack(view, not_current(facts.message_hash))
    answered = OpenTransfer(  # written out: `dataclasses.replace` costs three times as much on this hot path
        transfer.key,
        transfer.kind,
        transfer.lock_hash,
        transfer.destination,
        transfer.blocks,
        transfer.deadline_ms,
        transfer.legal_date,
        transfer.purpose,
        transfer.prepare_hash,
        True,  # noqa: FBT003 - by position: the field `ready`
        facts.message_hash,
        transfer.lock_key_id,
        facts.key_id,
    )
    return Transition(TransferView(answered), (_COMMIT,))


def on_refuse(view: TransferView, facts: RefuseFacts) -> NotaryTransition:
    """Abort for the destination's reasons (row 3)."""
    if view.decision is not None:
        return _answer_after_decision(view, view.decision, facts)
    transfer = view.open
    if transfer is None:
        return Transition(view, (NeedPrepare(),))
    if facts.sender != transfer.destination:
        return _nack(view, out_of_place(facts.key.transfer_id, NotaryState.OPEN.name, "Refuse"))
    if transfer.answer_hash:
        return _second_answer(view, transfer.answer_hash, facts)
    if facts.lock_hash != transfer.lock_hash:  # returned Prepare and its lock tell which of S and D lies
        return Transition(view, (NeedPrepare(),))
    answered = replace(transfer, answer_hash=facts.message_hash)
    return Transition(TransferView(answered), (Decide(Outcome.ABORT, facts.reasons),))


def on_returned_prepare(
    view: TransferView, prepare: PrepareFacts, answer: ReadyFacts | RefuseFacts, admission: Admission
) -> NotaryTransition:
    """Take the answer with the Prepare that it answers, returned by the destination (section 3).

    The shell has verified B's own signature on the Prepare and S's on the lock in it, and that the answer's
    prev_hash is the Prepare's hash and its transfer the lock's. The legal date is the one in that Prepare
    (section 5).
    """
    require(answer.prepare_hash == prepare.message_hash, "the answer names another Prepare")
    require(answer.key == prepare.lock.key, "the answer is about another transfer")
    known_lock_hash = _known_lock_hash(view)
    if known_lock_hash and known_lock_hash != prepare.lock.message_hash:
        return _lock_equivocation(view, known_lock_hash, prepare.lock)
    effects: tuple[Effect, ...] = ()
    if known_lock_hash is None:
        if not admission.room:
            return Transition(view, (SendBusy(),))
        opened = _open(prepare.lock, admission)
        view = opened.record
        if admission.reasons:
            return opened
    if view.decision is None:
        transfer = view.open
        require(transfer is not None, "a transfer without a decision is open here")
        if transfer is not None and not transfer.answer_hash:
            view = TransferView(
                replace(transfer, prepare_hash=prepare.message_hash, legal_date=prepare.legal_date)
            )
    after = on_ready(view, answer) if isinstance(answer, ReadyFacts) else on_refuse(view, answer)
    return Transition(after.record, effects + after.effects)


def on_withdraw(view: TransferView, facts: WithdrawFacts) -> NotaryTransition:
    """Abort at the holder's wish, unless decided (row 13)."""
    if view.decision is not None:
        return Transition(view, _STORED_DECISION)
    transfer = view.open
    if transfer is None:  # offered behind its lock, which is offered again
        return Transition(view, (Ignore(Ignored.NOT_OPEN),))
    if facts.lock_hash != transfer.lock_hash:
        return _nack(view, not_current(facts.message_hash))
    if transfer.kind is not Kind.TRANSFER:  # row 8
        return _nack(view, of_transfer("WITHDRAW_NOT_POSSIBLE", facts.key))
    return Transition(view, (Decide(Outcome.ABORT, of_transfer("WITHDRAWN", facts.key)),))


def on_deadline(view: TransferView, now_ms: int) -> NotaryTransition:
    """R2: abort what has no answer when its time is over; `now_ms` is the bridge's monotonic clock."""
    if view.decision is not None:
        return Transition(view, (Ignore(Ignored.DECIDED),))
    transfer = view.open
    if transfer is None:
        return Transition(view, (Ignore(Ignored.NOT_OPEN),))
    if now_ms < transfer.deadline_ms or transfer.answer_hash:
        return Transition(view, (Ignore(Ignored.NOT_DUE),))
    return Transition(view, (Decide(Outcome.ABORT, of_transfer("DECIDE_BY_PASSED", transfer.key)),))


def on_get_outcome(view: TransferView, evidence: LockFacts | None, admission: Admission) -> NotaryTransition:
    """Answer a question (row 7): the decision, PENDING, or UNKNOWN.

    `evidence` is S's LockAssertion or Use, verified, or None. Without it nothing is ever written.
    """
    if evidence is None:
        if view.decision is not None:
            return Transition(view, _STORED_DECISION)
        return Transition(view, (SendPending() if view.open is not None else SendUnknown(),))
    after = on_lock(view, evidence, admission)
    if after.effects == _DUPLICATE:
        return Transition(after.record, (SendPending(),))
    if after.record is view:
        return after
    return Transition(after.record, (*after.effects, SendPending()))


def on_session_opened(view: TransferView, party: str) -> NotaryTransition:
    """Offer the Prepare again when its destination opens a session (section 3)."""
    transfer = view.open
    if transfer is None or view.decision is not None:
        return Transition(view, (Ignore(Ignored.NOT_OPEN),))
    if transfer.destination != party or transfer.answer_hash:
        return Transition(view, (Ignore(Ignored.NOT_CONCERNED),))
    return Transition(view, (SendPrepare(),))


def on_key_revoked(view: TransferView, key_id: bytes) -> NotaryTransition:
    """Abort what rests on a revoked key and is undecided (section 2)."""
    transfer = view.open
    if transfer is None or view.decision is not None:
        return Transition(view, (Ignore(Ignored.NOT_OPEN),))
    if key_id not in (transfer.lock_key_id, transfer.ready_key_id):
        return Transition(view, (Ignore(Ignored.NOT_CONCERNED),))
    return Transition(view, (Decide(Outcome.ABORT, (reason("KEY_REVOKED", key_id=key_id.hex()),)),))


def on_frozen(view: TransferView, reasons: Reasons) -> NotaryTransition:
    """Abort an undecided transfer that a freeze touches (row 10); no reasons: it does not touch it."""
    if view.open is None or view.decision is not None:
        return Transition(view, (Ignore(Ignored.NOT_OPEN),))
    if not reasons:
        return Transition(view, (Ignore(Ignored.NOT_CONCERNED),))
    return Transition(view, (Decide(Outcome.ABORT, reasons),))


def on_source_final(view: TransferView, facts: FinalFacts) -> NotaryTransition:
    """Store the source's receipt (row 5)."""
    decision = view.decision
    if decision is None or facts.sender != decision.key.source:
        return _final_out_of_place(view, facts, "SourceFinal")
    committed = decision.outcome is Outcome.COMMIT
    expected = COMMITTED_STATE[decision.kind] if committed else SourceState.RELEASED
    refused = _check_final(view, decision, facts, decision.source_final_hash, expected)
    if refused is not None:
        return refused
    after = _with_finals(decision, facts.message_hash, decision.destination_final_hash)
    return Transition(TransferView(None, after), (StoreFinal(facts.message_hash, after.state),))


def on_destination_final(view: TransferView, facts: FinalFacts) -> NotaryTransition:
    """Store the destination's receipt (row 5); a Use has none."""
    decision = view.decision
    if decision is None or decision.destination == SINK or facts.sender != decision.destination:
        return _final_out_of_place(view, facts, "DestFinal")
    committed = decision.outcome is Outcome.COMMIT
    expected = DestinationState.CREDITED if committed else DestinationState.DROPPED
    refused = _check_final(view, decision, facts, decision.destination_final_hash, expected)
    if refused is not None:
        return refused
    after = _with_finals(decision, decision.source_final_hash, facts.message_hash)
    return Transition(TransferView(None, after), (StoreFinal(facts.message_hash, after.state),))


def _with_finals(decision: DecisionRecord, source_hash: bytes, destination_hash: bytes) -> DecisionRecord:
    # Written out, as in `on_ready`.
    return DecisionRecord(
        decision.key,
        decision.kind,
        decision.destination,
        decision.outcome,
        decision.lock_hash,
        decision.ready_hash,
        decision.decision_hash,
        decision.log_index,
        decision.answer_hash,
        source_hash,
        destination_hash,
    )


def due(transfers: Iterable[OpenTransfer], now_ms: int) -> tuple[TransferKey, ...]:
    """Name the open transfers whose time is over, for `on_deadline`."""
    return tuple(
        transfer.key for transfer in transfers if now_ms >= transfer.deadline_ms and not transfer.answer_hash
    )


def _open(facts: LockFacts, admission: Admission) -> NotaryTransition:
    require(0 < admission.decide_by_ms <= DECIDE_BY_MS_MAX, "decide_by lies within its hard cap")
    transfer = OpenTransfer(
        facts.key,
        facts.kind,
        facts.message_hash,
        facts.destination,
        facts.blocks,
        admission.now_ms + admission.decide_by_ms,
        admission.legal_date,
        facts.purpose,
        b"",
        False,  # noqa: FBT003 - by position: this is the hot path
        b"",
        facts.key_id,
    )
    view = TransferView(transfer)
    if admission.reasons:
        return Transition(view, (Decide(Outcome.ABORT, admission.reasons),))
    if facts.kind is Kind.TRANSFER:
        return Transition(view, (SendPrepare(),))
    return Transition(view, (_COMMIT,))  # row 8: the sink promises nothing, B decides at once


def _answer_after_decision(
    view: TransferView, decision: DecisionRecord, facts: ReadyFacts | RefuseFacts
) -> NotaryTransition:
    if facts.sender != decision.destination:
        return _nack(view, out_of_place(facts.key.transfer_id, decision.state.name, "answer"))
    if decision.answer_hash == facts.message_hash:
        return Transition(view, _STORED_DECISION)
    if decision.answer_hash:
        return _second_answer(view, decision.answer_hash, facts)
    if facts.lock_hash != decision.lock_hash:  # the Prepare it returns shows which of S and D lies
        return Transition(view, (NeedPrepare(),))
    return Transition(
        TransferView(None, replace(decision, answer_hash=facts.message_hash)),
        (StoreAnswerHash(facts.message_hash), SendStored(Answer.DECISION)),
    )


def _second_answer(
    view: TransferView, first_hash: bytes, facts: ReadyFacts | RefuseFacts
) -> NotaryTransition:
    """R4: Ready and Refuse count as one type."""
    if first_hash == facts.message_hash:
        return Transition(view, _DUPLICATE)
    return _equivocation(
        view,
        EvidenceKind.ANSWER_EQUIVOCATION,
        (first_hash, facts.message_hash),
        FreezePair(facts.key.source, facts.sender),
        equivocation(facts.sender, facts.key.transfer_id),
    )


def _lock_equivocation(view: TransferView, first_hash: bytes, facts: LockFacts) -> NotaryTransition:
    """R4: LockAssertion and Use count as one type."""
    first = view.decision or view.open
    uses = facts.destination == SINK or (first is not None and first.destination == SINK)
    source = facts.key.source
    return _equivocation(
        view,
        EvidenceKind.LOCK_EQUIVOCATION,
        (first_hash, facts.message_hash),
        FreezeSender(source) if uses else FreezePair(source, facts.destination),
        equivocation(source, facts.key.transfer_id),
    )


def _equivocation(
    view: TransferView,
    kind: EvidenceKind,
    hashes: tuple[bytes, bytes],
    freeze: FreezePair | FreezeSender,
    reasons: Reasons,
) -> NotaryTransition:
    effects: Effects = (StoreEvidence(kind, hashes), freeze, SendNack(reasons), OpenCase(kind))
    if view.decision is None:  # row 10: the freeze touches this transfer itself
        effects = (*effects, Decide(Outcome.ABORT, reasons))
    return Transition(view, effects)


def _check_final(
    view: TransferView,
    decision: DecisionRecord,
    facts: FinalFacts,
    stored_hash: bytes,
    expected: SourceState | DestinationState,
) -> NotaryTransition | None:
    if stored_hash == facts.message_hash:
        return Transition(view, _DUPLICATE)
    if stored_hash:
        return _keep(view, EvidenceKind.FINAL_EQUIVOCATION, (stored_hash, facts.message_hash), facts)
    if facts.decision_hash != decision.decision_hash or facts.state is not expected:
        hashes = (decision.decision_hash, facts.message_hash)
        return _keep(view, EvidenceKind.FINAL_CONTRADICTS_DECISION, hashes, facts)
    return None


def _keep(
    view: TransferView, kind: EvidenceKind, hashes: tuple[bytes, ...], facts: FinalFacts
) -> NotaryTransition:
    reasons = (
        equivocation(facts.sender, facts.key.transfer_id)
        if kind is EvidenceKind.FINAL_EQUIVOCATION
        else not_current(facts.message_hash)
    )
    decision = view.decision
    effects: tuple[Effect, ...] = (StoreEvidence(kind, hashes), SendNack(reasons), OpenCase(kind))
    if kind is EvidenceKind.FINAL_EQUIVOCATION and decision is not None:
        uses = decision.kind is not Kind.TRANSFER
        source = decision.key.source
        effects = (*effects, FreezeSender(source) if uses else FreezePair(source, decision.destination))
    return Transition(view, effects)


def _final_out_of_place(view: TransferView, facts: FinalFacts, message: str) -> NotaryTransition:
    state = view.state
    name = "UNKNOWN" if state is None else state.name
    return _nack(view, out_of_place(facts.key.transfer_id, name, message))


def _nack(view: TransferView, reasons: Reasons) -> NotaryTransition:
    return Transition(view, (SendNack(reasons),))


def _known_lock_hash(view: TransferView) -> bytes | None:
    if view.decision is not None:
        return view.decision.lock_hash
    return None if view.open is None else view.open.lock_hash
