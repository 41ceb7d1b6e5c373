"""Every combination of record and facts over the small world, with the guards that hold in each.

The guards are said here in their own words, not with the code that they check: a row of the table agrees with
a machine only if two people would have to be wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tanqiao.protocol import destination, issuance, notary, source
from tanqiao.protocol.decision import ALL_CHECKS_HOLD, DecisionChecks, decide, decided
from tanqiao.protocol.effects import Decide, Effects, Transition
from tanqiao.protocol.notary import Admission
from tanqiao.protocol.types import (
    NOTHING_KNOWN,
    SINK,
    ZERO_HASH,
    DecisionRecord,
    DestinationRecord,
    DestinationState,
    IssueDecisionRecord,
    IssueRecord,
    IssueState,
    Kind,
    LockFacts,
    OpenTransfer,
    Outcome,
    PrepareFacts,
    ReadyFacts,
    RefuseFacts,
    SourceRecord,
    SourceState,
    TransferView,
    WithdrawFacts,
)
from tests.unit.protocol.samples import (
    ABORT,
    BLOCK,
    COMMIT,
    FINAL,
    FROZEN,
    ISSUE,
    KEY,
    LOCK,
    OTHER_FINAL,
    OTHER_ISSUE,
    OTHER_LOCK,
    OTHER_PREPARE,
    OTHER_READY,
    OTHER_RECEIPT,
    PREPARE,
    READY,
    RECEIPT,
    REFUSE,
    SHANGHAI,
    SHENZHEN,
    YUNNAN,
    decided_view,
    decision_facts,
    destination_record,
    digest,
    final_facts,
    issue_decision,
    issue_facts,
    issue_record,
    lock_facts,
    open_view,
    prepare_facts,
    ready_facts,
    receipt_facts,
    refuse_facts,
    source_record,
)

WOULD_CREDIT = {"COMMIT, names this Ready and its lock", "COMMIT, own forgotten Ready beside it"}
USES = (Kind.RETIRE, Kind.CANCEL)


@dataclass(frozen=True)
class Situation:
    """One call of a machine and what the table must say of it."""

    event: str
    state: str
    guard: str
    after: str
    effects: Effects


def _situation(event: str, before: object, transition: Transition[object], guard: str) -> Situation:
    return Situation(event, state_name(before), guard, state_name(transition.record), transition.effects)


def state_name(record: object) -> str:
    if isinstance(record, TransferView):
        return "–" if record.state is None else record.state.name
    if isinstance(record, IssueDecisionRecord):
        return "ACCEPTED" if record.accepted else "REFUSED"
    if isinstance(record, SourceRecord | DestinationRecord | IssueRecord):
        return record.state.name
    assert record is None
    return "–"


def source_records() -> Iterator[SourceRecord | None]:
    yield None
    for withdrawn in (False, True):
        yield source_record(SourceState.LOCKED, withdrawn=withdrawn)
    yield source_record(SourceState.MOVED, decision_hash=COMMIT)
    yield source_record(SourceState.RELEASED, decision_hash=ABORT)
    for kind, state in ((Kind.RETIRE, SourceState.USED), (Kind.CANCEL, SourceState.CANCELLED)):
        yield source_record(SourceState.RETIRING, kind)
        yield source_record(state, kind, decision_hash=COMMIT)
        yield source_record(SourceState.RELEASED, kind, decision_hash=ABORT)


def source_situations() -> Iterator[Situation]:
    for record, kind, message_hash in product(source_records(), Kind, (LOCK, OTHER_LOCK)):
        after = source.on_lock_requested(record, lock_facts(message_hash, kind))
        if record is None:
            guard = "for a transfer" if kind is Kind.TRANSFER else "for a Use"
        else:
            guard = "the same promise" if message_hash == LOCK else "another promise"
        yield _situation("lock requested", record, after, guard)
    for record in source_records():
        if record is not None:
            guard = ""
            if record.state is SourceState.LOCKED:
                guard = "withdrawn before" if record.withdrawn else "not withdrawn before"
            yield _situation("withdraw requested", record, source.on_withdraw_requested(record), guard)
    own_locks = (None, *(lock_facts(h, kind) for h in (LOCK, OTHER_LOCK) for kind in Kind))
    hashes = ((LOCK, OTHER_LOCK), (READY, ZERO_HASH), (COMMIT, ABORT, digest("third decision")))
    for record, outcome, named, own_lock in product(source_records(), Outcome, product(*hashes), own_locks):
        facts = decision_facts(outcome, *named)
        after = source.on_decision(record, facts, own_lock)
        guard = _source_decision_guard(record, outcome, named, own_lock)
        yield _situation("decision", record, after, guard)
        if record is not None and own_lock is None and guard.split(",")[-1] in ACTED_ON:
            gone = source.on_decision(record, facts, not_here=record.blocks)
            guard = "names this lock or Use, but its units are not where it put them"
            yield _situation("decision", record, gone, guard)


ACTED_ON = (
    " names this lock and a Ready",
    " names this retirement and no Ready",
    " names this cancellation and no Ready",
    " names this lock or Use",
)


def _source_decision_guard(
    record: SourceRecord | None, outcome: Outcome, named: tuple[bytes, ...], own_lock: LockFacts | None
) -> str:
    lock_hash, ready_hash, message_hash = named
    if record is not None and record.decision_hash:
        return "the same decision" if record.decision_hash == message_hash else "another decision"
    kind = record.kind if record else own_lock.kind if own_lock else None
    signed_here = record.lock_hash if record else own_lock.message_hash if own_lock else None
    fits = outcome is Outcome.ABORT or (kind is Kind.TRANSFER) == (ready_hash != ZERO_HASH)
    if signed_here != lock_hash or not fits:
        if record is None:
            return "void: names no lock signed here"
        return "void: names another lock, or a COMMIT whose Ready does not fit"
    if record is None:
        if outcome is Outcome.ABORT:
            return "ABORT, own forgotten lock or Use beside it"
        return {
            Kind.TRANSFER: "COMMIT of a transfer, own forgotten lock beside it",
            Kind.RETIRE: "COMMIT of a retirement, own forgotten Use beside it",
            Kind.CANCEL: "COMMIT of a cancellation, own forgotten Use beside it",
        }[kind or Kind.TRANSFER]
    if outcome is Outcome.ABORT:
        return "ABORT, names this lock or Use"
    return {
        Kind.TRANSFER: "COMMIT, names this lock and a Ready",
        Kind.RETIRE: "COMMIT, names this retirement and no Ready",
        Kind.CANCEL: "COMMIT, names this cancellation and no Ready",
    }[record.kind]


def destination_records() -> Iterator[DestinationRecord | None]:
    yield None
    yield destination_record(DestinationState.READY)
    yield destination_record(DestinationState.REFUSED, answer_hash=REFUSE)
    yield destination_record(DestinationState.CREDITED, decision_hash=COMMIT)
    for answer_hash in (READY, REFUSE, b""):
        yield destination_record(DestinationState.DROPPED, answer_hash=answer_hash, decision_hash=ABORT)


def destination_situations() -> Iterator[Situation]:
    prepares = product((PREPARE, OTHER_PREPARE), (LOCK, OTHER_LOCK))
    for record, hashes, reasons in product(destination_records(), prepares, ((), FROZEN)):
        after = destination.on_prepare(record, prepare_facts(*hashes), reasons)
        if record is None:
            guard = "a check fails" if reasons else "every check holds"
        elif not record.answer_hash:
            guard = "never answered"
        else:
            same = "the same" if hashes[1] == LOCK else "another"
            guard = f"answered before, {same} lock inside"
        yield _situation("Prepare", record, after, guard)
    readies = (
        None,
        ready_facts(),
        ready_facts(prepare_hash=OTHER_PREPARE),
        ready_facts(lock_hash=OTHER_LOCK),
    )
    own_prepares = (None, prepare_facts())
    hashes3 = product((LOCK, OTHER_LOCK), (READY, OTHER_READY, ZERO_HASH), (COMMIT, ABORT))
    for record, outcome, named, own_ready, own_prepare, here in product(
        destination_records(), Outcome, hashes3, readies, own_prepares, ((), (BLOCK,))
    ):
        facts = decision_facts(outcome, *named)
        after = destination.on_decision(record, facts, own_ready, own_prepare, here)
        guard = _destination_decision_guard(record, outcome, named, own_ready, own_prepare)
        if here and guard in WOULD_CREDIT:
            guard = "COMMIT, names this Ready, but units of it are here already"
        yield _situation("decision", record, after, guard)


def _destination_decision_guard(
    record: DestinationRecord | None,
    outcome: Outcome,
    named: tuple[bytes, ...],
    own_ready: ReadyFacts | None,
    own_prepare: PrepareFacts | None,
) -> str:
    lock_hash, ready_hash, message_hash = named
    commit = outcome is Outcome.COMMIT
    if record is not None and record.decision_hash:
        return "the same decision" if record.decision_hash == message_hash else "another decision"
    if record is not None and record.state is DestinationState.REFUSED:
        return "COMMIT: void, no Ready was signed" if commit else "ABORT"
    if record is None:
        if own_ready != ready_facts() or own_prepare is None:
            return "void: names a lock or Ready not known here" if commit else "ABORT, no Ready beside it"
        if lock_hash != LOCK or (commit and ready_hash != READY):
            return "void: names a lock or Ready not known here"
        return f"{outcome.name}, own forgotten Ready beside it"
    if lock_hash != LOCK or (commit and ready_hash != READY):
        return "void: names another lock or Ready"
    if commit:
        return "COMMIT, names this Ready and its lock"
    return "ABORT, names the lock that the Ready answers"


def views() -> Iterator[TransferView]:
    yield NOTHING_KNOWN
    yield open_view()
    yield open_view(ready=True, answer_hash=READY, ready_key_id=b"ready key")
    yield open_view(answer_hash=REFUSE)
    for kind in USES:
        yield open_view(kind)
    finals = (b"", FINAL)
    for outcome, answer_hash, first, second in product(Outcome, (READY, REFUSE, b""), finals, finals):
        if outcome is Outcome.ABORT or answer_hash == READY:
            yield decided_view(
                outcome, answer_hash=answer_hash, source_final_hash=first, destination_final_hash=second
            )
    for outcome, kind, first in product(Outcome, USES, finals):
        yield decided_view(outcome, kind, source_final_hash=first)


def _known(view: TransferView) -> OpenTransfer | DecisionRecord | None:
    return view.decision or view.open


def _admissions() -> Iterator[Admission]:
    for room, reasons in product((True, False), ((), FROZEN)):
        yield Admission(0, "2026-03-02", room=room, reasons=reasons)


def notary_situations() -> Iterator[Situation]:
    yield from _lock_situations()
    yield from _answer_situations()
    yield from _returned_situations()
    yield from _other_situations()
    yield from _decide_situations()
    yield from _final_situations()


def _lock_guard(view: TransferView, facts: LockFacts, admission: Admission) -> str:
    known = _known(view)
    if known is None:
        if not admission.room:
            return "no room"
        if admission.reasons:
            return "a check fails already"
        return "a lock" if facts.kind is Kind.TRANSFER else "a Use"
    if known.lock_hash == facts.message_hash:
        return "the same promise"
    if SINK in {facts.destination, known.destination}:
        return "another Use promised, or of a Use"
    return "another lock promised"


def _lock_situations() -> Iterator[Situation]:
    for view, kind, lock_hash, admission in product(views(), Kind, (LOCK, OTHER_LOCK), _admissions()):
        facts = lock_facts(lock_hash, kind)
        guard = _lock_guard(view, facts, admission)
        yield _situation("lock or Use", view, notary.on_lock(view, facts, admission), guard)
        asked = {
            "no room": "evidence, no room",
            "a check fails already": "evidence, a check fails already",
            "a lock": "evidence: a lock",
            "a Use": "evidence: a Use",
            "the same promise": "no evidence, or the same promise",
            "another Use promised, or of a Use": "evidence of another Use, or of a Use",
            "another lock promised": "evidence of another lock",
        }[guard]
        yield _situation("GetOutcome", view, notary.on_get_outcome(view, facts, admission), asked)
    for view, admission in product(views(), _admissions()):
        guard = "no evidence" if _known(view) is None else "no evidence, or the same promise"
        yield _situation("GetOutcome", view, notary.on_get_outcome(view, None, admission), guard)


def _answers() -> Iterator[ReadyFacts | RefuseFacts]:
    senders = (SHENZHEN, YUNNAN)
    for sender, prepare_hash, lock_hash in product(senders, (PREPARE, OTHER_PREPARE), (LOCK, OTHER_LOCK)):
        for message_hash in (READY, OTHER_READY):
            yield ready_facts(message_hash, sender, prepare_hash, lock_hash)
        yield refuse_facts(REFUSE, sender, prepare_hash, lock_hash)


def _answer_guard(view: TransferView, facts: ReadyFacts | RefuseFacts) -> str:
    known = _known(view)
    if known is None:
        return ""
    if facts.sender != known.destination:
        return "not from the destination"
    if known.answer_hash:
        return "the same answer" if known.answer_hash == facts.message_hash else "another answer was given"
    if view.decision is None and isinstance(facts, ReadyFacts):
        if facts.prepare_hash != PREPARE:
            return "first, answers another Prepare"
        right = facts.lock_hash == LOCK
        return (
            "first, answers the Prepare and its lock"
            if right
            else "first, names another lock than the Prepare"
        )
    return "first, names the lock" if facts.lock_hash == LOCK else "first, names another lock"


def _answer_situations() -> Iterator[Situation]:
    for view, facts in product(views(), _answers()):
        guard = _answer_guard(view, facts)
        if isinstance(facts, ReadyFacts):
            yield _situation("Ready", view, notary.on_ready(view, facts), guard)
        else:
            yield _situation("Refuse", view, notary.on_refuse(view, facts), guard)


def _returned_guard(
    view: TransferView, prepare: PrepareFacts, answer: ReadyFacts | RefuseFacts, admission: Admission
) -> str:
    known = _known(view)
    if known is None:
        if not admission.room:
            return "no room"
        if admission.reasons:
            return "a check fails already"
        right = answer.sender == prepare.lock.destination
        return "answered by the destination" if right else "not from the destination"
    if known.lock_hash != prepare.lock.message_hash:
        return "another lock inside"
    if answer.sender != known.destination:
        return "not from the destination"
    lock = "the lock that is open" if view.decision is None else "the lock decided"
    if not known.answer_hash:
        return f"{lock}, first answer"
    same = known.answer_hash == answer.message_hash
    return f"{lock}, same answer" if same else f"{lock}, another answer was given"


def _returned_situations() -> Iterator[Situation]:
    # The shell has checked that the answer names the Prepare and the lock in it; a lock of a transfer has no
    # place in a Use, so that views of Uses see another lock.
    for view, answer, admission in product(views(), _answers(), _admissions()):
        known = _known(view)
        if known is not None and known.destination == SINK:
            continue
        prepare = prepare_facts(answer.prepare_hash, answer.lock_hash)
        guard = _returned_guard(view, prepare, answer, admission)
        after = notary.on_returned_prepare(view, prepare, answer, admission)
        yield _situation("returned Prepare", view, after, guard)


def _other_situations() -> Iterator[Situation]:
    for view in views():
        opened = view.open
        for lock_hash in (LOCK, OTHER_LOCK):
            guard = ""
            if opened is not None:
                if lock_hash != LOCK:
                    guard = "names another lock"
                else:
                    guard = "names the lock of a transfer" if opened.kind is Kind.TRANSFER else "names a Use"
            facts = WithdrawFacts(KEY, digest("withdraw"), lock_hash)
            yield _situation("Withdraw", view, notary.on_withdraw(view, facts), guard)
        for now_ms in (999, 1000, 1001):
            due = opened is not None and now_ms >= 1000 and not opened.answer_hash
            guard = "" if opened is None else "passed without an answer" if due else "not passed, or answered"
            yield _situation("deadline", view, notary.on_deadline(view, now_ms), guard)
        for party in (SHANGHAI, SHENZHEN, YUNNAN):
            asked = opened is not None and party == opened.destination and not opened.answer_hash
            guard = "by the destination, no answer yet" if asked else "by another, or answered"
            after = notary.on_session_opened(view, party)
            yield _situation("session opened", view, after, guard if opened else "")
        for key_id in (b"lock key", b"ready key", b"stranger"):
            rests = opened is not None and key_id in {opened.lock_key_id, opened.ready_key_id}
            guard = "the transfer rests on it" if rests else "the transfer does not rest on it"
            yield _situation(
                "key revoked", view, notary.on_key_revoked(view, key_id), guard if opened else ""
            )
        for reasons in ((), FROZEN):
            guard = "touches the transfer" if reasons else "does not touch it"
            yield _situation("freeze", view, notary.on_frozen(view, reasons), guard if opened else "")


def _decide_situations() -> Iterator[Situation]:
    all_checks = (
        ALL_CHECKS_HOLD,
        DecisionChecks(),
        DecisionChecks(not_at_source=(BLOCK,)),
        DecisionChecks(frozen=FROZEN),
        DecisionChecks(series_unknown=("x",)),
        DecisionChecks(cases=FROZEN),
        DecisionChecks(agreement=FROZEN),
        DecisionChecks(revoked_key_ids=(b"k",)),
    )
    for view, outcome, checks in product(views(), Outcome, all_checks):
        opened = view.open
        if opened is None:
            continue
        if outcome is Outcome.COMMIT and opened.kind is Kind.TRANSFER and not opened.ready:
            continue
        result = decide(view, Decide(outcome, FROZEN if outcome is Outcome.ABORT else ()), checks)
        after = decided(view, result, COMMIT, 7)
        if outcome is Outcome.ABORT:
            guard = "wish ABORT"
        elif checks in (ALL_CHECKS_HOLD, DecisionChecks()):
            guard = "wish COMMIT, every check of §5 holds"
        else:
            guard = "wish COMMIT, a check fails"
        yield _situation("decide", view, Transition(after, result.effects), guard)


def _final_situations() -> Iterator[Situation]:
    states = (*SourceState, *DestinationState)
    senders = (SHANGHAI, SHENZHEN, YUNNAN)
    for view, state, sender, decision_hash, message_hash in product(
        views(), states, senders, (COMMIT, ABORT), (FINAL, OTHER_FINAL)
    ):
        facts = final_facts(state, sender, decision_hash, message_hash)
        for event, run in (
            ("SourceFinal", notary.on_source_final),
            ("DestFinal", notary.on_destination_final),
        ):
            yield _situation(event, view, run(view, facts), _final_guard(event, view, *_named(facts)))


def _named(facts: object) -> tuple[str, bytes, bytes, SourceState | DestinationState]:
    assert hasattr(facts, "sender")
    return facts.sender, facts.decision_hash, facts.message_hash, facts.state  # type: ignore[attr-defined]


def _final_guard(
    event: str,
    view: TransferView,
    sender: str,
    decision_hash: bytes,
    message_hash: bytes,
    state: SourceState | DestinationState,
) -> str:
    decision = view.decision
    if decision is None:
        return ""
    at_source = event == "SourceFinal"
    if sender != (SHANGHAI if at_source else decision.destination):
        return "not from this party"
    stored = decision.source_final_hash if at_source else decision.destination_final_hash
    other = decision.destination_final_hash if at_source else decision.source_final_hash
    transfer = decision.kind is Kind.TRANSFER
    if stored:
        if stored == message_hash:
            return "the same receipt"
        return (
            "another receipt was given, of a transfer" if transfer else "another receipt was given, of a Use"
        )
    if decision.outcome is Outcome.ABORT:
        right = state is (SourceState.RELEASED if at_source else DestinationState.DROPPED)
    elif at_source:
        right = (
            state
            is {
                Kind.TRANSFER: SourceState.MOVED,
                Kind.RETIRE: SourceState.USED,
                Kind.CANCEL: SourceState.CANCELLED,
            }[decision.kind]
        )
    else:
        right = state is DestinationState.CREDITED
    if not right or decision_hash != decision.decision_hash:
        return "first, contradicts the decision"
    last = not transfer or bool(other)
    return "fits the decision, last receipt" if last else "fits the decision, another receipt is missing"


def issuer_situations() -> Iterator[Situation]:
    records = (
        None,
        issue_record(IssueState.ISSUING),
        issue_record(IssueState.HELD, RECEIPT),
        issue_record(IssueState.REFUSED, RECEIPT),
    )
    for record, message_hash in product(records, (ISSUE, OTHER_ISSUE)):
        after = issuance.on_issue_requested(record, issue_facts(message_hash))
        same = "the same promise" if message_hash == ISSUE else "another promise"
        yield _situation("issue requested", record, after, "" if record is None else same)
    own_issues = (None, issue_facts(), issue_facts(OTHER_ISSUE))
    hashes = product((ISSUE, OTHER_ISSUE), (RECEIPT, OTHER_RECEIPT))
    for record, accepted, named, own_issue in product(records, (True, False), hashes, own_issues):
        facts = receipt_facts(accepted=accepted, issue_hash=named[0], message_hash=named[1])
        after = issuance.on_receipt(record, facts, own_issue)
        said = "accepted" if accepted else "refused"
        if record is None:
            signed = own_issue is not None and own_issue.message_hash == named[0]
            guard = f"{said}, own forgotten Issue beside it" if signed else "void: names no Issue signed here"
        elif record.receipt_hash:
            guard = "the same receipt" if named[1] == RECEIPT else "another receipt"
        else:
            guard = f"{said}, names this Issue" if named[0] == ISSUE else "void: names another Issue"
        yield _situation("receipt", record, after, guard)


def registrar_situations() -> Iterator[Situation]:
    records = (None, issue_decision(accepted=True), issue_decision(accepted=False))
    for record, message_hash, reasons in product(records, (ISSUE, OTHER_ISSUE), ((), FROZEN)):
        after = issuance.on_issue(record, issue_facts(message_hash), reasons)
        if record is None:
            guard = "a check fails" if reasons else "every check holds"
        else:
            guard = "the same promise" if message_hash == ISSUE else "another promise"
        yield _situation("Issue", record, after, guard)
