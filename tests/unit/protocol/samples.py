"""Facts and records over a small world, so that every combination can be tried."""

from __future__ import annotations

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import (
    SINK,
    ZERO_HASH,
    DecisionFacts,
    DecisionRecord,
    DestinationRecord,
    DestinationState,
    FinalFacts,
    IssueDecisionRecord,
    IssueFacts,
    IssueReceiptFacts,
    IssueRecord,
    IssueState,
    Kind,
    LockFacts,
    OpenTransfer,
    Outcome,
    PrepareFacts,
    ReadyFacts,
    ReasonFacts,
    RefuseFacts,
    SourceRecord,
    SourceState,
    TransferKey,
    TransferView,
)

SHANGHAI = "region/310000"
SHENZHEN = "region/440300"
YUNNAN = "region/530000"
KEY = TransferKey(SHANGHAI, b"t" * 16)
SERIES = "310000:P:plant:2025:1"
BLOCK = UnitBlock(SERIES, 0, 1000)
FROZEN = (reason("FROZEN", what="pair", document="order 1"),)


def digest(name: str) -> bytes:
    """Give 32 bytes that stand for the hash of the message so named."""
    return name.encode().ljust(32, b".")


LOCK = digest("lock")
OTHER_LOCK = digest("other lock")
PREPARE = digest("prepare")
OTHER_PREPARE = digest("other prepare")
READY = digest("ready")
OTHER_READY = digest("other ready")
REFUSE = digest("refuse")
COMMIT = digest("commit")
ABORT = digest("abort")
FINAL = digest("final")
OTHER_FINAL = digest("other final")
ISSUE = digest("issue")
OTHER_ISSUE = digest("other issue")
RECEIPT = digest("receipt")
OTHER_RECEIPT = digest("other receipt")
ISSUE_ID = b"i" * 16


def lock_facts(
    message_hash: bytes = LOCK, kind: Kind = Kind.TRANSFER, destination: str = SHENZHEN
) -> LockFacts:
    return LockFacts(
        KEY,
        message_hash,
        kind,
        destination if kind is Kind.TRANSFER else SINK,
        (BLOCK,),
        key_id=b"lock key",
    )


def prepare_facts(message_hash: bytes = PREPARE, lock_hash: bytes = LOCK) -> PrepareFacts:
    return PrepareFacts(KEY, message_hash, lock_facts(lock_hash), "2026-03-02")


def ready_facts(
    message_hash: bytes = READY,
    sender: str = SHENZHEN,
    prepare_hash: bytes = PREPARE,
    lock_hash: bytes = LOCK,
) -> ReadyFacts:
    return ReadyFacts(KEY, message_hash, sender, prepare_hash, lock_hash, b"ready key")


def refuse_facts(
    message_hash: bytes = REFUSE,
    sender: str = SHENZHEN,
    prepare_hash: bytes = PREPARE,
    lock_hash: bytes = LOCK,
    reasons: tuple[ReasonFacts, ...] = (reason("ADDRESS_UNKNOWN", address="x"),),
) -> RefuseFacts:
    return RefuseFacts(KEY, message_hash, sender, prepare_hash, lock_hash, reasons)


def decision_facts(
    outcome: Outcome = Outcome.COMMIT,
    lock_hash: bytes = LOCK,
    ready_hash: bytes = READY,
    message_hash: bytes | None = None,
) -> DecisionFacts:
    if message_hash is None:
        message_hash = COMMIT if outcome is Outcome.COMMIT else ABORT
    return DecisionFacts(KEY, message_hash, outcome, lock_hash, ready_hash, 7)


def source_record(
    state: SourceState,
    kind: Kind = Kind.TRANSFER,
    *,
    lock_hash: bytes = LOCK,
    withdrawn: bool = False,
    decision_hash: bytes = b"",
) -> SourceRecord:
    destination = SHENZHEN if kind is Kind.TRANSFER else SINK
    return SourceRecord(KEY, kind, state, lock_hash, destination, (BLOCK,), withdrawn, decision_hash)


def destination_record(
    state: DestinationState,
    *,
    lock_hash: bytes = LOCK,
    answer_hash: bytes = READY,
    decision_hash: bytes = b"",
) -> DestinationRecord:
    return DestinationRecord(KEY, state, lock_hash, PREPARE, (BLOCK,), answer_hash, decision_hash)


def open_view(
    kind: Kind = Kind.TRANSFER,
    *,
    lock_hash: bytes = LOCK,
    prepare_hash: bytes = PREPARE,
    ready: bool = False,
    answer_hash: bytes = b"",
    ready_key_id: bytes = b"",
) -> TransferView:
    return TransferView(
        OpenTransfer(
            KEY,
            kind,
            lock_hash,
            SHENZHEN if kind is Kind.TRANSFER else SINK,
            (BLOCK,),
            1000,
            "2026-03-02",
            "",
            prepare_hash,
            ready,
            answer_hash,
            b"lock key",
            ready_key_id,
        )
    )


def decided_view(
    outcome: Outcome = Outcome.COMMIT,
    kind: Kind = Kind.TRANSFER,
    *,
    lock_hash: bytes = LOCK,
    answer_hash: bytes = READY,
    source_final_hash: bytes = b"",
    destination_final_hash: bytes = b"",
) -> TransferView:
    transfer = kind is Kind.TRANSFER
    return TransferView(
        None,
        DecisionRecord(
            KEY,
            kind,
            SHENZHEN if transfer else SINK,
            outcome,
            lock_hash,
            READY if transfer and outcome is Outcome.COMMIT else ZERO_HASH,
            COMMIT if outcome is Outcome.COMMIT else ABORT,
            7,
            answer_hash if transfer else b"",
            source_final_hash,
            destination_final_hash,
        ),
    )


def final_facts(
    state: SourceState | DestinationState,
    sender: str = SHANGHAI,
    decision_hash: bytes = COMMIT,
    message_hash: bytes = FINAL,
) -> FinalFacts:
    return FinalFacts(KEY, message_hash, sender, decision_hash, state)


def issue_facts(message_hash: bytes = ISSUE) -> IssueFacts:
    return IssueFacts(SHANGHAI, ISSUE_ID, message_hash, BLOCK)


def receipt_facts(
    *, accepted: bool = True, issue_hash: bytes = ISSUE, message_hash: bytes = RECEIPT
) -> IssueReceiptFacts:
    return IssueReceiptFacts(ISSUE_ID, message_hash, issue_hash, accepted, 8)


def issue_record(state: IssueState, receipt_hash: bytes = b"") -> IssueRecord:
    return IssueRecord(ISSUE_ID, state, ISSUE, BLOCK, receipt_hash)


def issue_decision(*, accepted: bool) -> IssueDecisionRecord:
    return IssueDecisionRecord(SHANGHAI, ISSUE_ID, ISSUE, BLOCK, accepted, RECEIPT)
