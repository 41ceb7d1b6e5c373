"""Messages of the hot path: their bytes, of which most are alike for all messages of a batch.

What is not said here of a message stands in PROTOCOL section 4; every one is byte for byte what
protobuf makes of the same fields, which a test compares.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.protocol.decision import DecisionResult
from tanqiao.protocol.types import OpenTransfer
from tanqiao.rpc.protocol_facts import date_message, refusal_messages
from tanqiao.signing.forms import (
    FIRST_HASH,
    ID_BYTES,
    MESSAGE_ID,
    PREV_HASH,
    SECOND_HASH,
    TRANSFER_ID,
    Form,
    Sender,
    bytes_field,
    number_field,
)
from tanqiao_bridge.application.context import BridgeContext

FORMS_KEPT_MAX: Final = 1_024
_LOG_INDEX: Final = messages_pb2.Decision.LOG_INDEX_FIELD_NUMBER
_LOCK: Final = messages_pb2.Prepare.LOCK_FIELD_NUMBER
_SERIES: Final = messages_pb2.Prepare.SERIES_FIELD_NUMBER


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _prepare_form(sender: Sender, source: str, destination: str, legal_date: str) -> Form:
    message = messages_pb2.Prepare(
        header=sender.header((destination,), source, prev_hash=PREV_HASH),
        legal_date=date_message(legal_date),
    )
    return Form.of(message, (MESSAGE_ID, TRANSFER_ID, PREV_HASH))


def prepare_payload(
    context: BridgeContext, transfer: OpenTransfer, lock: bytes, series: list[bytes]
) -> bytes:
    """Give the bytes of a Prepare (row 2).

    Args:
        context: of the bridge.
        transfer: that was opened.
        lock: the envelope of the source's lock, serialised.
        series: those of its blocks that are known, serialised.
    """
    key = transfer.key
    form = _prepare_form(Sender.of(context), key.source, transfer.destination, transfer.legal_date)
    filled = form.fill(context.random_bytes(ID_BYTES), key.transfer_id, transfer.lock_hash)
    return b"".join([filled, bytes_field(_LOCK, lock), *[bytes_field(_SERIES, one) for one in series]])


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _decision_form(
    sender: Sender,
    audience: tuple[str, ...],
    source: str,
    outcome: int,
    legal_date: str,
    decided_at: int,
    epoch: int,
) -> tuple[Form, bytes]:
    """Give the form of what stands before the log index and the reasons, and what stands behind them."""
    before = messages_pb2.Decision(
        header=sender.header(audience, source, prev_hash=PREV_HASH),
        outcome=outcome,  # type: ignore[arg-type]  # the core's numbers are the wire's
        lock_hash=FIRST_HASH,
        ready_hash=SECOND_HASH,
    )
    behind = messages_pb2.Decision(
        legal_date=date_message(legal_date),
        decision_time=Timestamp(seconds=decided_at),
        bridge_epoch=epoch,
    )
    places = (MESSAGE_ID, TRANSFER_ID, PREV_HASH, FIRST_HASH, SECOND_HASH)
    return Form.of(before, places), behind.SerializeToString()


def decision_payload(
    context: BridgeContext,
    transfer: OpenTransfer,
    result: DecisionResult,
    audience: tuple[str, ...],
    *,
    log_index: int,
    legal_date: str,
    decided_at: int,
) -> bytes:
    """Give the bytes of a Decision (row 4); `decided_at` in epoch seconds."""
    key = transfer.key
    before, behind = _decision_form(
        Sender.of(context), audience, key.source, result.outcome, legal_date, decided_at, context.epoch
    )
    filled = before.fill(
        context.random_bytes(ID_BYTES), key.transfer_id, result.lock_hash, result.lock_hash, result.ready_hash
    )
    reasons = b""
    if result.reasons:
        reasons = messages_pb2.Decision(reasons=refusal_messages(result.reasons)).SerializeToString()
    return b"".join([filled, number_field(_LOG_INDEX, log_index), reasons, behind])
