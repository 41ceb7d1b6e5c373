"""Issuance (PROTOCOL row 9): no receipt, no units; refused serials are never used again.

At the region ``- -> ISSUING -> HELD | REFUSED``. At the bridge an Issue is answered once, with a receipt that
is a promise: the region must create the units.
"""

from __future__ import annotations

from tanqiao.protocol.effects import (
    Answer,
    CreateUnits,
    EvidenceKind,
    FreezeSender,
    Ignore,
    Ignored,
    OfferAgain,
    OfferKind,
    OpenCase,
    RefuseCommand,
    RegisterLocation,
    ReserveSerials,
    SendNack,
    SendStored,
    SetIssueState,
    StoreEvidence,
    StoreReceipt,
    Transition,
)
from tanqiao.protocol.refusals import equivocation, not_current, reason
from tanqiao.protocol.types import (
    IssueDecisionRecord,
    IssueFacts,
    IssueReceiptFacts,
    IssueRecord,
    IssueState,
    Reasons,
)

IssueTransition = Transition[IssueRecord | None]
IssueDecisionTransition = Transition[IssueDecisionRecord]


def on_issue_requested(record: IssueRecord | None, facts: IssueFacts) -> IssueTransition:
    """Reserve the serials and offer the Issue, which is durable with its signature (R1)."""
    if record is not None:
        if record.issue_hash == facts.message_hash:
            return Transition(record, (SendStored(Answer.ISSUE),))
        return Transition(record, (RefuseCommand((reason("REQUEST_ID_REUSED"),)),))
    return Transition(
        _issuing(facts),
        (
            SetIssueState(IssueState.ISSUING),
            ReserveSerials(facts.block),
            OfferAgain(OfferKind.ISSUE),
        ),
    )


def on_receipt(
    record: IssueRecord | None, facts: IssueReceiptFacts, own_issue: IssueFacts | None = None
) -> IssueTransition:
    """Create the units or give the serials up, as the bridge's receipt says.

    `own_issue` is the Issue that the bridge sent beside the receipt, if this region's own key signed it: it
    was forgotten in a restore and is honoured (section 6).
    """
    if record is None:
        if own_issue is None or own_issue.message_hash != facts.issue_hash:
            return _void(None, facts)
        if own_issue.issue_id != facts.issue_id:
            return _void(None, facts)
        record = _issuing(own_issue)
        after = _apply(record, facts)
        return Transition(after.record, (ReserveSerials(own_issue.block), *after.effects))
    if record.receipt_hash:
        if record.receipt_hash == facts.message_hash:
            return Transition(record, (Ignore(Ignored.DUPLICATE),))
        return Transition(
            record,
            (
                StoreEvidence(EvidenceKind.RECEIPT_EQUIVOCATION, (record.receipt_hash, facts.message_hash)),
                SendNack(equivocation("bridge", facts.issue_id)),
                OpenCase(EvidenceKind.RECEIPT_EQUIVOCATION),
            ),
        )
    if record.issue_hash != facts.issue_hash:
        return _void(record, facts)
    return _apply(record, facts)


def on_issue(
    record: IssueDecisionRecord | None, facts: IssueFacts, reasons: Reasons
) -> IssueDecisionTransition:
    """Answer an Issue at the bridge, once, in the transaction that registers the block.

    `reasons` are all claim, freeze, series and serial checks that failed; read only at the first time. The
    shell makes the receipt that `StoreReceipt` asks for and notes its hash with `with_receipt`.
    """
    if record is not None:
        if record.issue_hash == facts.message_hash:  # R4
            return Transition(record, (SendStored(Answer.RECEIPT),))
        return Transition(
            record,
            (
                StoreEvidence(EvidenceKind.ISSUE_EQUIVOCATION, (record.issue_hash, facts.message_hash)),
                FreezeSender(facts.region),
                SendNack(equivocation(facts.region, facts.issue_id)),
                OpenCase(EvidenceKind.ISSUE_EQUIVOCATION),
            ),
        )
    after = IssueDecisionRecord(facts.region, facts.issue_id, facts.message_hash, facts.block, not reasons)
    if reasons:
        return Transition(after, (StoreReceipt(accepted=False, reasons=reasons),))
    return Transition(after, (RegisterLocation(facts.block, facts.region), StoreReceipt(accepted=True)))


def is_undecided(record: IssueRecord) -> bool:
    """Whether the Issue is still offered at every session."""
    return record.state is IssueState.ISSUING


def _issuing(facts: IssueFacts) -> IssueRecord:
    return IssueRecord(facts.issue_id, IssueState.ISSUING, facts.message_hash, facts.block)


def _apply(record: IssueRecord, facts: IssueReceiptFacts) -> IssueTransition:
    state = IssueState.HELD if facts.accepted else IssueState.REFUSED
    after = IssueRecord(record.issue_id, state, record.issue_hash, record.block, facts.message_hash)
    if facts.accepted:
        return Transition(after, (SetIssueState(state), CreateUnits(record.block)))
    return Transition(after, (SetIssueState(state),))


def _void(record: IssueRecord | None, facts: IssueReceiptFacts) -> IssueTransition:
    return Transition(
        record,
        (
            StoreEvidence(EvidenceKind.RECEIPT_VOID, (facts.message_hash,)),
            SendNack(not_current(facts.message_hash)),
            OpenCase(EvidenceKind.RECEIPT_VOID),
        ),
    )
