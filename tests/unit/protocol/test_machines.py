"""What the effects carry, and histories of more than one event; which effects there are is in test_tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.kernel.reasons import CATALOGUE
from tanqiao.protocol import destination, issuance, notary, source
from tanqiao.protocol.decision import ALL_CHECKS_HOLD, DecisionChecks, decide, decided
from tanqiao.protocol.effects import (
    Answer,
    CreditBlocks,
    Decide,
    EvidenceKind,
    FreezePair,
    FreezeSender,
    LockBlocks,
    MoveBlocksOut,
    MoveLocation,
    OfferKind,
    RefuseCommand,
    ReleaseBlocks,
    SendFinal,
    SendNack,
    SendStored,
    StoreDecision,
    StoreEvidence,
    StoreRefuse,
    UseBlocks,
)
from tanqiao.protocol.notary import DECIDE_BY_MS_MAX, Admission
from tanqiao.protocol.offers import offers_of
from tanqiao.protocol.types import (
    NOTHING_KNOWN,
    SINK,
    ZERO_HASH,
    DecisionFacts,
    DestinationRecord,
    DestinationState,
    IssueState,
    Kind,
    Outcome,
    SourceRecord,
    SourceState,
    TransferKey,
    with_answer,
    with_prepare,
    with_receipt,
)
from tests.unit.protocol.samples import (
    ABORT,
    BLOCK,
    COMMIT,
    FROZEN,
    ISSUE,
    ISSUE_ID,
    KEY,
    LOCK,
    OTHER_LOCK,
    OTHER_PREPARE,
    OTHER_READY,
    PREPARE,
    READY,
    RECEIPT,
    REFUSE,
    SHANGHAI,
    SHENZHEN,
    decided_view,
    decision_facts,
    destination_record,
    digest,
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
from tests.unit.protocol.situations import (
    destination_situations,
    issuer_situations,
    notary_situations,
    registrar_situations,
    source_situations,
)

ADMITTED = Admission(5_000, "2026-03-02", decide_by_ms=1_000)


def test_every_reason_given_is_of_the_catalogue_and_fills_its_sentence() -> None:
    seen = set()
    for situations in (
        source_situations,
        destination_situations,
        notary_situations,
        issuer_situations,
        registrar_situations,
    ):
        for situation in situations():
            for effect in situation.effects:
                for given_reason in getattr(effect, "reasons", ()):
                    if given_reason in FROZEN:
                        continue
                    seen.add(given_reason.symbol)
                    assert given_reason.metadata.keys() >= CATALOGUE[given_reason.symbol].placeholders
    assert {"EQUIVOCATION", "DECISION_VOID", "WITHDRAWN", "DECIDE_BY_PASSED", "KEY_REVOKED"} <= seen


def test_a_transfer_goes_from_lock_to_two_receipts() -> None:
    at_source = source.on_lock_requested(None, lock_facts()).record
    opened = notary.on_lock(NOTHING_KNOWN, lock_facts(), ADMITTED).record
    assert opened.open is not None
    assert opened.open.deadline_ms == 6_000
    view = type(opened)(with_prepare(opened.open, PREPARE))
    answered = destination.on_prepare(None, prepare_facts(), ()).record
    assert answered is not None
    at_destination = with_answer(answered, READY)
    ready = notary.on_ready(view, ready_facts())
    result = decide(ready.record, Decide(Outcome.COMMIT), ALL_CHECKS_HOLD)
    assert result.effects == (
        MoveLocation((BLOCK,), SHANGHAI, SHENZHEN),
        StoreDecision(Outcome.COMMIT, (SHANGHAI, SHENZHEN)),
    )
    made = decided(ready.record, result, COMMIT, 7).decision
    assert made is not None
    assert (made.lock_hash, made.ready_hash, made.decision_hash) == (LOCK, READY, COMMIT)
    facts = decision_facts(lock_hash=made.lock_hash, ready_hash=made.ready_hash)
    assert source.on_decision(at_source, facts).effects[1:] == (
        MoveBlocksOut((BLOCK,)),
        SendFinal(SourceState.MOVED),
    )
    assert destination.on_decision(at_destination, facts).effects[1:] == (
        CreditBlocks((BLOCK,)),
        SendFinal(DestinationState.CREDITED),
    )


@pytest.mark.parametrize(
    ("kind", "state"), [(Kind.RETIRE, SourceState.USED), (Kind.CANCEL, SourceState.CANCELLED)]
)
def test_a_use_is_decided_at_once_for_the_sink_and_names_the_zero_hash(
    kind: Kind, state: SourceState
) -> None:
    opened = notary.on_lock(NOTHING_KNOWN, lock_facts(kind=kind), ADMITTED)
    assert opened.effects == (Decide(Outcome.COMMIT),)
    result = decide(opened.record, Decide(Outcome.COMMIT), ALL_CHECKS_HOLD)
    assert result.ready_hash == ZERO_HASH
    assert result.effects == (
        MoveLocation((BLOCK,), SHANGHAI, SINK),
        StoreDecision(Outcome.COMMIT, (SHANGHAI,)),
    )
    record = source_record(SourceState.RETIRING, kind)
    after = source.on_decision(record, decision_facts(ready_hash=ZERO_HASH))
    assert UseBlocks((BLOCK,), state) in after.effects


def test_an_abort_gives_back_every_block_with_its_reasons() -> None:
    for kind, state in ((Kind.TRANSFER, SourceState.LOCKED), (Kind.RETIRE, SourceState.RETIRING)):
        after = source.on_decision(source_record(state, kind), decision_facts(Outcome.ABORT))
        assert ReleaseBlocks((BLOCK,)) in after.effects
        assert SendFinal(SourceState.RELEASED) in after.effects


def test_a_lock_forgotten_in_a_restore_is_locked_again_and_honoured() -> None:
    after = source.on_decision(None, decision_facts(), lock_facts())
    assert after.effects[0] == LockBlocks((BLOCK,), SourceState.LOCKED)
    assert after.record is not None
    assert after.record.decision_hash == COMMIT
    other_key = TransferKey(SHANGHAI, b"u" * 16)
    stranger = source.on_decision(None, decision_facts(), replace(lock_facts(), key=other_key))
    assert stranger.record is None


def test_a_commit_of_a_transfer_without_a_ready_moves_nothing() -> None:
    record = source_record(SourceState.LOCKED)
    after = source.on_decision(record, decision_facts(ready_hash=ZERO_HASH))
    assert after.record is record
    assert StoreEvidence(EvidenceKind.DECISION_VOID, (COMMIT,)) in after.effects


def test_a_second_decision_is_evidence_with_both_hashes_and_changes_nothing() -> None:
    at_source = source_record(SourceState.RELEASED, decision_hash=ABORT)
    at_destination = destination_record(DestinationState.CREDITED, decision_hash=COMMIT)
    evidence = StoreEvidence(EvidenceKind.DECISION_EQUIVOCATION, (ABORT, COMMIT))
    assert evidence in source.on_decision(at_source, decision_facts()).effects
    after = destination.on_decision(at_destination, decision_facts(Outcome.ABORT))
    assert StoreEvidence(EvidenceKind.DECISION_EQUIVOCATION, (COMMIT, ABORT)) in after.effects
    assert after.record is at_destination


def test_a_request_id_cannot_sign_a_second_lock() -> None:
    record = source_record(SourceState.LOCKED)
    after = source.on_lock_requested(record, lock_facts(OTHER_LOCK))
    assert [type(effect) for effect in after.effects] == [RefuseCommand]
    assert after.record is record


def test_an_id_once_refused_stays_refused_even_if_the_checks_now_hold() -> None:
    refused = destination.on_prepare(None, prepare_facts(), FROZEN)
    assert refused.effects[1] == StoreRefuse(FROZEN)
    assert refused.record is not None
    record = with_answer(refused.record, REFUSE)
    again = destination.on_prepare(record, prepare_facts(OTHER_PREPARE), ())
    assert again.record is record
    assert again.effects == (SendStored(Answer.ANSWER),)


def test_an_abort_before_any_prepare_refuses_the_prepare_that_comes_later() -> None:
    dropped = destination.on_decision(None, decision_facts(Outcome.ABORT)).record
    after = destination.on_prepare(dropped, prepare_facts(), ())
    assert after.record is not None
    assert after.record.state is DestinationState.DROPPED
    assert isinstance(after.effects[1], StoreRefuse)
    assert after.effects[1].reasons[0].symbol == "TRANSFER_DROPPED"
    answered = with_answer(after.record, REFUSE)
    assert destination.on_prepare(answered, prepare_facts(), ()).effects == (SendStored(Answer.ANSWER),)


def test_two_locks_under_one_id_freeze_the_pair_at_the_destination_and_keep_its_promise() -> None:
    record = destination_record(DestinationState.READY)
    after = destination.on_prepare(record, prepare_facts(lock_hash=OTHER_LOCK), ())
    assert after.record is record
    assert StoreEvidence(EvidenceKind.LOCK_EQUIVOCATION, (LOCK, OTHER_LOCK)) in after.effects
    assert FreezePair(SHANGHAI, SHENZHEN) in after.effects


def test_two_uses_under_one_id_freeze_the_sender() -> None:
    after = notary.on_lock(open_view(Kind.RETIRE), lock_facts(OTHER_LOCK, Kind.RETIRE), ADMITTED)
    assert FreezeSender(SHANGHAI) in after.effects
    assert isinstance(after.effects[-1], Decide)
    assert after.effects[-1].outcome is Outcome.ABORT


def test_ready_and_refuse_count_as_one_promise() -> None:
    view = open_view(ready=True, answer_hash=READY)
    after = notary.on_refuse(view, refuse_facts())
    assert StoreEvidence(EvidenceKind.ANSWER_EQUIVOCATION, (READY, REFUSE)) in after.effects


def test_a_late_ready_after_an_abort_is_noted_and_a_second_one_shows_two_faces() -> None:
    view = decided_view(Outcome.ABORT, answer_hash=b"")
    noted = notary.on_ready(view, ready_facts())
    assert noted.record.decision is not None
    assert noted.record.decision.answer_hash == READY
    second = notary.on_ready(noted.record, ready_facts(OTHER_READY))
    assert FreezePair(SHANGHAI, SHENZHEN) in second.effects


def test_a_returned_prepare_brings_its_own_legal_date() -> None:
    returned = prepare_facts(OTHER_PREPARE)
    answer = ready_facts(prepare_hash=OTHER_PREPARE)
    later = Admission(9_000, "2026-03-03")
    for view in (NOTHING_KNOWN, open_view()):
        after = notary.on_returned_prepare(view, returned, answer, later)
        assert after.effects == (Decide(Outcome.COMMIT),)
        assert after.record.open is not None
        assert after.record.open.legal_date == "2026-03-02"
        assert after.record.open.prepare_hash == OTHER_PREPARE


def test_a_returned_prepare_must_be_the_one_that_the_answer_names() -> None:
    with pytest.raises(InvariantBroken):
        notary.on_returned_prepare(NOTHING_KNOWN, prepare_facts(), ready_facts(prepare_hash=READY), ADMITTED)


def test_an_answer_beside_a_returned_prepare_is_about_the_transfer_of_its_lock() -> None:
    elsewhere = replace(ready_facts(), key=TransferKey(SHENZHEN, ready_facts().key.transfer_id))
    with pytest.raises(InvariantBroken):
        notary.on_returned_prepare(NOTHING_KNOWN, prepare_facts(), elsewhere, ADMITTED)


def test_all_failing_checks_are_named_not_the_first() -> None:
    view = open_view(ready=True, answer_hash=READY)
    checks = DecisionChecks(
        not_at_source=(BLOCK,),
        frozen=FROZEN,
        series_unknown=("s1", "s2"),
        cases=FROZEN,
        agreement=FROZEN,
        revoked_key_ids=(b"k", b"k"),
    )
    result = decide(view, Decide(Outcome.COMMIT), checks)
    assert result.outcome is Outcome.ABORT
    assert [entry.symbol for entry in result.reasons] == [
        "UNIT_NOT_AT_SOURCE",
        "FROZEN",
        "SERIES_UNKNOWN",
        "SERIES_UNKNOWN",
        "FROZEN",
        "FROZEN",
        "KEY_REVOKED",
    ]
    assert result.reasons[0].blocks == (BLOCK,)
    assert result.ready_hash == READY  # the Ready that was given is named in the ABORT too


def test_nothing_is_decided_twice_or_without_a_promise() -> None:
    with pytest.raises(InvariantBroken):
        decide(decided_view(), Decide(Outcome.ABORT), ALL_CHECKS_HOLD)
    with pytest.raises(InvariantBroken):
        decide(NOTHING_KNOWN, Decide(Outcome.ABORT), ALL_CHECKS_HOLD)
    with pytest.raises(InvariantBroken):
        decide(open_view(), Decide(Outcome.COMMIT), ALL_CHECKS_HOLD)


def test_decide_by_lies_within_its_hard_cap() -> None:
    for decide_by_ms in (0, DECIDE_BY_MS_MAX + 1):
        with pytest.raises(InvariantBroken):
            notary.on_lock(NOTHING_KNOWN, lock_facts(), Admission(0, "2026-03-02", decide_by_ms=decide_by_ms))


def test_what_is_due_is_what_has_no_answer_and_no_time_left() -> None:
    waiting, answered = open_view().open, open_view(ready=True, answer_hash=READY).open
    assert waiting is not None
    assert answered is not None
    assert notary.due([waiting, answered], 999) == ()
    assert notary.due([waiting, answered], 1000) == (KEY,)


def test_offers_stand_until_the_decision_and_the_withdraw_stands_behind_its_lock() -> None:
    sources = [
        source_record(SourceState.LOCKED, withdrawn=True),
        source_record(SourceState.RETIRING, Kind.RETIRE),
        source_record(SourceState.MOVED, decision_hash=COMMIT),
        source_record(SourceState.RELEASED, withdrawn=True, decision_hash=ABORT),
    ]
    destinations = [destination_record(state) for state in DestinationState]
    issues = [issue_record(state) for state in IssueState]
    assert [offer.kind for offer in offers_of(sources, destinations, issues)] == [
        OfferKind.ISSUE,
        OfferKind.LOCK,
        OfferKind.WITHDRAW,
        OfferKind.USE,
        OfferKind.READY,
        OfferKind.REFUSE,
    ]


def test_an_issue_is_answered_once_and_a_second_under_its_id_freezes_the_region() -> None:
    first = issuance.on_issue(None, issue_facts(), ()).record
    record = with_receipt(first, RECEIPT)
    assert issuance.on_issue(record, issue_facts(), FROZEN).effects == (SendStored(Answer.RECEIPT),)
    after = issuance.on_issue(record, issue_facts(OTHER_LOCK), ())
    assert FreezeSender(SHANGHAI) in after.effects
    assert after.record is record


def test_a_receipt_for_a_foreign_issue_creates_nothing() -> None:
    after = issuance.on_receipt(issue_record(IssueState.ISSUING), receipt_facts(issue_hash=digest("foreign")))
    assert after.record == issue_record(IssueState.ISSUING)
    assert any(isinstance(effect, SendNack) for effect in after.effects)
    assert issuance.on_receipt(None, receipt_facts(issue_hash=ISSUE)).record is None
    assert issue_facts().issue_id == ISSUE_ID


decisions = st.builds(
    lambda outcome, lock_hash, ready_hash, name: decision_facts(outcome, lock_hash, ready_hash, digest(name)),
    st.sampled_from(Outcome),
    st.sampled_from((LOCK, OTHER_LOCK)),
    st.sampled_from((READY, OTHER_READY, ZERO_HASH)),
    st.sampled_from(("d1", "d2", "d3")),
)


@given(st.lists(decisions, max_size=12))
def test_no_history_of_decisions_moves_a_source_or_a_destination_twice(history: list[DecisionFacts]) -> None:
    at_source: SourceRecord | None = source_record(SourceState.LOCKED)
    at_destination: DestinationRecord | None = destination_record(DestinationState.READY)
    moves: list[object] = []
    for facts in history:
        after_source = source.on_decision(at_source, facts)
        after_destination = destination.on_decision(at_destination, facts)
        at_source, at_destination = after_source.record, after_destination.record
        moves += [
            effect for effect in after_source.effects if isinstance(effect, MoveBlocksOut | ReleaseBlocks)
        ]
        moves += [effect for effect in after_destination.effects if isinstance(effect, CreditBlocks)]
    assert sum(isinstance(move, MoveBlocksOut | ReleaseBlocks) for move in moves) <= 1
    assert sum(isinstance(move, CreditBlocks) for move in moves) <= 1
