"""Between the wire and the protocol core: an opened message becomes facts, facts become payload fields.

Nothing is decided here. What a message states is checked for shape only (lengths, ranges, names of parties);
the core decides what it means. A payload is made once and signed as bytes; nobody encodes a received message
again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import CATALOGUE, Retry
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import (
    HASH_LENGTH,
    SINK,
    ZERO_HASH,
    DecisionFacts,
    DestinationState,
    FinalFacts,
    IssueFacts,
    IssueReceiptFacts,
    Kind,
    LockFacts,
    Outcome,
    PrepareFacts,
    ReadyFacts,
    ReasonFacts,
    Reasons,
    RefuseFacts,
    SourceState,
    TransferKey,
    WithdrawFacts,
)
from tanqiao.rpc.validation import require_party
from tanqiao.signing.forms import bytes_field, number_field
from tanqiao.signing.verify import Opened

BLOCKS_PER_MESSAGE_MAX: Final = 1000
TRANSFER_ID_LENGTH: Final = 16
REASONS_PER_MESSAGE_MAX: Final = 64
LOG_INDEX_MAX: Final = 2**62
"""No log grows so long; the size that lies behind an index must fit its field too."""

SERIES_KEPT_MAX: Final = 8_192
_SERIES_ID: Final = values_pb2.UnitBlock.SERIES_ID_FIELD_NUMBER
_START_SERIAL: Final = values_pb2.UnitBlock.START_SERIAL_FIELD_NUMBER
_END_SERIAL: Final = values_pb2.UnitBlock.END_SERIAL_FIELD_NUMBER

RETRY_CLASS: Final = {
    Retry.NEVER: values_pb2.RETRY_CLASS_NEVER,
    Retry.SAME_BYTES: values_pb2.RETRY_CLASS_SAME_BYTES,
    Retry.AFTER_FIX: values_pb2.RETRY_CLASS_AFTER_FIX,
    Retry.WAIT: values_pb2.RETRY_CLASS_WAIT,
}
USE_KINDS: Final = {
    messages_pb2.USE_KIND_RETIRE: Kind.RETIRE,
    messages_pb2.USE_KIND_CANCEL: Kind.CANCEL,
}


# -- values --------------------------------------------------------------------------------------------------


def block_message(block: UnitBlock) -> values_pb2.UnitBlock:
    """Give the wire form of a block."""
    return values_pb2.UnitBlock(series_id=block.series_id, start_serial=block.start, end_serial=block.end)


def block_messages(blocks: Iterable[UnitBlock]) -> list[values_pb2.UnitBlock]:
    """Give the wire form of blocks, in order."""
    return [block_message(block) for block in blocks]


def block_bytes(block: UnitBlock) -> bytes:
    """Give the wire form of a block, serialised: a third of what it costs as a message."""
    return b"%b%b%b" % (
        _series_id_field(block.series_id),
        number_field(_START_SERIAL, block.start),
        number_field(_END_SERIAL, block.end),
    )


@lru_cache(maxsize=SERIES_KEPT_MAX)
def _series_id_field(series_id: str) -> bytes:
    return bytes_field(_SERIES_ID, series_id.encode())


def block_of(message: values_pb2.UnitBlock) -> UnitBlock:
    """Read one block; RANGE_REVERSED or FIELD_INVALID where it is none."""
    return UnitBlock(message.series_id, message.start_serial, message.end_serial)


def blocks_of(messages: Sequence[values_pb2.UnitBlock]) -> tuple[UnitBlock, ...]:
    """Read the blocks of a message.

    Raises:
        DomainError: FIELD_MISSING if there is none, BATCH_TOO_LARGE above `BLOCKS_PER_MESSAGE_MAX`,
            RANGE_REVERSED, FIELD_INVALID, RANGE_OVERLAP if a serial occurs twice.
    """
    if not messages:
        raise DomainError("FIELD_MISSING", field="blocks")
    if len(messages) > BLOCKS_PER_MESSAGE_MAX:
        raise DomainError("BATCH_TOO_LARGE", limit=BLOCKS_PER_MESSAGE_MAX, count=len(messages))
    blocks = tuple(block_of(message) for message in messages)
    if len(blocks) > 1:
        ordered = sorted(blocks)
        for first, second in pairwise(ordered):
            if first.series_id == second.series_id and second.start < first.end:
                raise DomainError("RANGE_OVERLAP", field="blocks", first=first, second=second)
    return blocks


def log_index_of(value: int, field: str = "log_index") -> int:
    """Read a place in the bridge's log; FIELD_INVALID for one that no log has."""
    if not 0 <= value <= LOG_INDEX_MAX:
        raise DomainError("FIELD_INVALID", field=field, detail=str(value))
    return value


def date_message(day: date | str) -> values_pb2.Date:
    """Give the wire form of a legal date."""
    value = date.fromisoformat(day) if isinstance(day, str) else day
    return values_pb2.Date(year=value.year, month=value.month, day=value.day)


def date_of(message: values_pb2.Date, field: str = "date") -> date:
    """Read a legal date; FIELD_INVALID with the field where it is none."""
    try:
        return date(message.year, message.month, message.day)
    except ValueError:
        raise DomainError(
            "FIELD_INVALID", field=field, detail=f"{message.year}-{message.month}-{message.day}"
        ) from None


# -- reasons -------------------------------------------------------------------------------------------------


def refusal_message(facts: ReasonFacts) -> values_pb2.Refusal:
    """Give the wire form of a failing check, with its sentences filled."""
    error = DomainError(facts.symbol, **dict(facts.metadata))
    return values_pb2.Refusal(
        reason=facts.symbol,
        reason_number=error.reason.number,
        sentence_zh=error.sentence("zh"),
        sentence_en=error.sentence("en"),
        article=facts.metadata.get("article", "") or error.article or "",
        metadata=dict(facts.metadata),
        blocks=block_messages(facts.blocks),
        retry_class=RETRY_CLASS[error.reason.retry],
    )


def refusal_messages(reasons: Reasons) -> list[values_pb2.Refusal]:
    """Give the wire form of all failing checks, bounded."""
    return [refusal_message(facts) for facts in reasons[:REASONS_PER_MESSAGE_MAX]]


def reasons_of(messages: Iterable[values_pb2.Refusal]) -> Reasons:
    """Read failing checks; a symbol that the catalogue does not know is kept as INTERNAL with its name."""
    return tuple(_reason_of(message) for message in messages)


def _reason_of(message: values_pb2.Refusal) -> ReasonFacts:
    blocks = tuple(block_of(block) for block in message.blocks)
    if message.reason in CATALOGUE:
        return ReasonFacts(message.reason, dict(message.metadata), blocks)
    return ReasonFacts("INTERNAL", {"reason": message.reason[:64]}, blocks)


def reason_of_error(error: DomainError) -> ReasonFacts:
    """Give a refusal as the facts of a failing check; an article of a rule pack travels in the metadata."""
    metadata = dict(error.metadata)
    if error.article:
        metadata.setdefault("article", error.article)
    if error.field:
        metadata.setdefault("field", error.field)
    return ReasonFacts(error.symbol, metadata)


# -- messages ------------------------------------------------------------------------------------------------


def _key_of(opened: Opened) -> TransferKey:
    if len(opened.header.transfer_id) != TRANSFER_ID_LENGTH:
        raise DomainError(
            "MESSAGE_MALFORMED", field="header.transfer_id", detail="transfer_id has not 16 bytes"
        )
    source = require_party(opened.header.source, "header.source", ("region",)).path
    return TransferKey(source, opened.header.transfer_id)


def _require_hash(value: bytes, field: str) -> bytes:
    if len(value) != HASH_LENGTH:
        raise DomainError("MESSAGE_MALFORMED", field=field, detail=f"{field} has not 32 bytes")
    return value


def lock_facts(opened: Opened) -> LockFacts:
    """Read a LockAssertion (row 1) or a Use (row 8)."""
    message = opened.message
    key = _key_of(opened)
    if key.source != opened.header.sender:
        raise DomainError("SENDER_MISMATCH", sender=opened.header.sender, owner=key.source)
    blocks = blocks_of(message.blocks)
    if message.quantity_kg != sum(block.end - block.start for block in blocks):
        raise DomainError("FIELD_INVALID", field="quantity_kg", detail=str(message.quantity_kg))
    if isinstance(message, messages_pb2.Use):
        if message.kind not in USE_KINDS:
            raise DomainError("FIELD_MISSING", field="kind")
        kind, destination = USE_KINDS[message.kind], SINK
    else:
        kind, destination = Kind.TRANSFER, message.destination
        _require_hash(message.receiving_address_commitment, "receiving_address_commitment")
        if require_party(destination, "destination", ("region",)).path == key.source:
            raise DomainError("FIELD_INVALID", field="destination", detail=destination)
    _require_hash(message.owner_commitment, "owner_commitment")
    return LockFacts(key, opened.message_hash, kind, destination, blocks, message.purpose, opened.key_id)


def prepare_facts(opened: Opened, lock: LockFacts) -> PrepareFacts:
    """Read a Prepare (row 2), given the facts of the embedded LockAssertion that the caller opened."""
    if _key_of(opened) != lock.key:
        raise DomainError(
            "MESSAGE_MALFORMED", field="header.transfer_id", detail="the lock is of another transfer"
        )
    day = date_of(opened.message.legal_date, "legal_date")
    return PrepareFacts(lock.key, opened.message_hash, lock, day.isoformat())


def ready_facts(opened: Opened) -> ReadyFacts:
    """Read a Ready (row 3)."""
    return ReadyFacts(
        _key_of(opened),
        opened.message_hash,
        opened.header.sender,
        _require_hash(opened.header.prev_hash, "header.prev_hash"),
        _require_hash(opened.message.lock_hash, "lock_hash"),
        opened.key_id,
    )


def refuse_facts(opened: Opened) -> RefuseFacts:
    """Read a Refuse (row 3)."""
    return RefuseFacts(
        _key_of(opened),
        opened.message_hash,
        opened.header.sender,
        _require_hash(opened.header.prev_hash, "header.prev_hash"),
        _require_hash(opened.message.lock_hash, "lock_hash"),
        reasons_of(opened.message.reasons),
    )


def decision_facts(opened: Opened) -> DecisionFacts:
    """Read a Decision (row 4)."""
    message = opened.message
    if message.outcome not in (messages_pb2.OUTCOME_COMMIT, messages_pb2.OUTCOME_ABORT):
        raise DomainError("FIELD_MISSING", field="outcome")
    return DecisionFacts(
        _key_of(opened),
        opened.message_hash,
        Outcome(message.outcome),
        _require_hash(message.lock_hash, "lock_hash"),
        _require_hash(message.ready_hash or ZERO_HASH, "ready_hash"),
        log_index_of(message.log_index),
        reasons_of(message.reasons),
    )


def final_facts(opened: Opened) -> FinalFacts:
    """Read a SourceFinal or DestFinal (row 5)."""
    message = opened.message
    states: type[SourceState | DestinationState] = (
        SourceState if isinstance(message, messages_pb2.SourceFinal) else DestinationState
    )
    if message.state == 0:
        raise DomainError("FIELD_MISSING", field="state")
    return FinalFacts(
        _key_of(opened),
        opened.message_hash,
        opened.header.sender,
        _require_hash(message.decision_hash, "decision_hash"),
        states(message.state),
    )


def withdraw_facts(opened: Opened) -> WithdrawFacts:
    """Read a Withdraw (row 13): the wish of the source's holder, which nobody else may utter."""
    key = _key_of(opened)
    if key.source != opened.header.sender:
        raise DomainError("SENDER_MISMATCH", sender=opened.header.sender, owner=key.source)
    return WithdrawFacts(key, opened.message_hash, _require_hash(opened.message.lock_hash, "lock_hash"))


def issue_facts(opened: Opened) -> IssueFacts:
    """Read an Issue (row 9)."""
    message = opened.message
    if len(message.issue_id) != TRANSFER_ID_LENGTH:
        raise DomainError("MESSAGE_MALFORMED", field="issue_id", detail="issue_id has not 16 bytes")
    block = block_of(message.block)
    if message.quantity_kg != block.quantity_kg:
        raise DomainError("FIELD_INVALID", field="quantity_kg", detail=str(message.quantity_kg))
    if message.series.series_id != block.series_id:
        raise DomainError("FIELD_INVALID", field="block.series_id", detail=block.series_id)
    return IssueFacts(opened.header.sender, message.issue_id, opened.message_hash, block)


def receipt_facts(opened: Opened) -> IssueReceiptFacts:
    """Read an IssueReceipt."""
    message = opened.message
    if len(message.issue_id) != TRANSFER_ID_LENGTH:
        raise DomainError("MESSAGE_MALFORMED", field="issue_id", detail="issue_id has not 16 bytes")
    return IssueReceiptFacts(
        message.issue_id,
        opened.message_hash,
        _require_hash(message.issue_hash, "issue_hash"),
        message.accepted,
        log_index_of(message.log_index),
        reasons_of(message.reasons),
    )
