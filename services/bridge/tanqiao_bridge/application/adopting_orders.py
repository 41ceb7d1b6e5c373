"""Freezes and corrections that a bridge forgot come back from the regions that were told of them.

Each proves itself by the signatures of its approvers, or of the bridge alone, and takes effect as if it were
brought again: with a leaf at a new index, and a notice to the regions concerned, which know it already. They
are opened when they are adopted, after the records that may state their approvers' keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import blocks_of
from tanqiao.signing.approvals import (
    CORRECTION_TYPE,
    FREEZE_TYPE,
    open_correction,
    open_freeze,
    open_freeze_alone,
)
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.pae import message_hash
from tanqiao.signing.verify import Opened
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.corrections import SubmitCorrection, submit_correction
from tanqiao_bridge.application.freezes import SubmitFreeze, freeze_again, submit_freeze
from tanqiao_bridge.storage import recovery

ORDER_TYPES: Final = frozenset({FREEZE_TYPE, CORRECTION_TYPE})
_WAITS_FOR: Final = frozenset({"CORRECTION_NOT_POSSIBLE", "NOT_FROZEN", "SERIES_UNKNOWN"})
"""What another region's report may still bring."""

Adopted = tuple[bytes, str, int]
"""Message hash, region that reported it, index of the log."""

_log = structlog.get_logger(__name__)


def order_item(party: str, item: recovery_pb2.ReportItem) -> recovery.Item:
    """Give the row that keeps a reported order until it is adopted."""
    envelope = item.message
    value = message_hash(envelope.payload_type, envelope.payload)
    return recovery.Item(value, party, envelope.payload_type, item.place, item.SerializeToString())


def adopt_correction(group: Group, row: recovery.Item) -> int | None:
    """Write a correction that was reported; its index, or None while its units are elsewhere."""
    return _adopt(group, row)


def adopt_freezes(group: Group, rows: Sequence[recovery.Item]) -> list[Adopted]:
    """Put reported freezes in force and lift what was lifted, in the order in which each region took them."""
    adopted = []
    for row in sorted(rows, key=lambda one: (one.region, one.old_index)):
        log_index = _adopt(group, row)
        if log_index is not None:
            adopted.append((row.message_hash, row.region, log_index))
    return adopted


def blocks_awaited(row: recovery.Item) -> Sequence[UnitBlock]:
    """Name the units of a correction that waits: nothing else may move them meanwhile."""
    if row.kind != CORRECTION_TYPE:
        return ()
    envelope = recovery_pb2.ReportItem.FromString(row.item).message
    try:
        return blocks_of(messages_pb2.Correction.FromString(envelope.payload).blocks)
    except (ValueError, DomainError):
        return ()


def _adopt(group: Group, row: recovery.Item) -> int | None:
    envelope = recovery_pb2.ReportItem.FromString(row.item).message
    try:
        return _take(group, row, envelope)
    except DomainError as refusal:
        waits = refusal.symbol in _WAITS_FOR and recovery.missing_regions(
            group.connection, group.context.epoch
        )
        _log.warning("order_not_adopted", region=row.region, reason=refusal.symbol, waits=bool(waits))
        return None if waits else recovery.REFUSED


def _take(group: Group, row: recovery.Item, envelope: envelope_pb2.Envelope) -> int:
    request = ClientRequest(row.region, f"recovery-{row.message_hash.hex()[:40]}", b"")
    opened = _opened(group, envelope)
    signers = tuple(one.key_id for one in opened.signed_by)
    sender = opened.header.sender
    if row.kind == CORRECTION_TYPE:
        correction = SubmitCorrection(opened.message, sender, envelope, opened.message_hash, signers, request)
        return submit_correction(group, correction).log_index
    if opened.signed_by[0].role is KeyRole.MESSAGE:
        return freeze_again(group, opened.message, envelope, signers)
    order = SubmitFreeze(opened.message, sender, envelope, opened.message_hash, signers, request)
    return submit_freeze(group, order).log_index


def _opened(group: Group, envelope: envelope_pb2.Envelope) -> Opened:
    context = group.context
    directory = group.directory or context.directory
    signer = directory.get(envelope.signatures[0].key_id) if envelope.signatures else None
    if envelope.payload_type == CORRECTION_TYPE:
        opening = open_correction
    elif signer is not None and signer.role is KeyRole.MESSAGE:
        opening = open_freeze_alone
    else:
        opening = open_freeze
    return opening(envelope, context.network_id, directory, at_index=context.log_size)
