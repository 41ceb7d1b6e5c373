"""A bridge that was restored takes back what the regions stored of it (PROTOCOL section 6).

Decisions, receipts of Issues and claims, and records of an epoch before are appended with their old bytes at
new indexes, in the order in which they were made: the leaf's index counts, not the one in the message. A
COMMIT whose units are not where it needs them waits for the report of what led there, and every decision
waits for the promises that it names. Until a region has reported, nothing from or to it is decided either
way.

Indexes of old come back only from mirrors, before the epoch begins (`rebuilding`): here every leaf is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest, OutboxMessage
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.recovery import RecoveringBridge
from tanqiao.protocol.types import DecisionFacts, Kind, LockFacts, TransferKey
from tanqiao.rpc.protocol_facts import block_of
from tanqiao.signing.approvals import CORRECTION_TYPE, FREEZE_TYPE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application import directory_records, evidence
from tanqiao_bridge.application.adopting_claims import CLAIM_RECEIPT, adopt_claim, in_order_of_life
from tanqiao_bridge.application.adopting_orders import (
    ORDER_TYPES,
    adopt_correction,
    adopt_freezes,
    blocks_awaited,
)
from tanqiao_bridge.application.adopting_papers import Promises, is_settled, load_promises, rests_of
from tanqiao_bridge.application.adopting_records import in_order, superseding_index
from tanqiao_bridge.application.adopting_units import (
    ADOPTED_TYPE,
    AdoptedDecision,
    AdoptedIssue,
    adopt_decision,
    adopt_issue,
    notice_of,
)
from tanqiao_bridge.application.commands import Answer, SubmitKeyRecord, SubmitRecognition
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.numbered import take_finals
from tanqiao_bridge.application.reported import OpenedItem, ReportOpener
from tanqiao_bridge.application.sending_again import send_again
from tanqiao_bridge.application.transfers import load_views
from tanqiao_bridge.storage import recovery
from tanqiao_bridge.storage.decisions import insert_messages

KEY_RECORD: Final = payload_type_of(messages_pb2.KeyRecord)
RECOGNITION: Final = payload_type_of(messages_pb2.RecognitionRecord)
ISSUE_RECEIPT: Final = payload_type_of(messages_pb2.IssueReceipt)
CONTRADICTS: Final = "reported decision contradicts the log"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TakeReport:
    """A page of a region's report, verified as far as its main messages go."""

    party: str
    epoch: int
    items: tuple[recovery.Item, ...]
    is_complete: bool
    applied_size: int = 0
    papers: tuple[recovery.Paper, ...] = ()


def take_report(group: Group, command: object) -> Answer:
    """Keep a page; with the last one adopt everything that can be adopted now."""
    if not isinstance(command, TakeReport):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="report")
    if command.epoch != group.context.epoch:
        raise DomainError("INCARNATION_STALE", incarnation=command.epoch, expected=group.context.epoch)
    answer = Answer()
    if recovery.continues_from(group.connection) is None:
        return answer  # the first epoch continues from nothing: there is nothing to take back
    answer.received_number = recovery.insert_items(group.connection, command.epoch, command.items)
    answer.received_number += recovery.insert_papers(group.connection, command.epoch, command.papers)
    if command.is_complete:
        recovery.note_report(group.connection, command.epoch, command.party, group.now)
        send_again(group, command.party, command.applied_size)
        _adopt_all(group)
        _log.warning(
            "region_reported",
            region=command.party,
            missing=sorted(_state(group).missing),
            epoch=command.epoch,
        )
    group.recovery = _state(group)
    _forget_papers(group, group.recovery)
    return answer


def adopt_after_correction(group: Group) -> None:
    """Look again at what waits, after a Correction: it may have settled a transfer (PROTOCOL row 14)."""
    if not group.context.recovery.is_over:
        _adopt_all(group)
        group.recovery = _state(group)
        _forget_papers(group, group.recovery)


def _forget_papers(group: Group, state: RecoveringBridge) -> None:
    """Forget promises on which nothing rests any more; while a region is missing it may report what does."""
    if not state.missing:
        recovery.forget_papers(group.connection, group.context.epoch, state.awaited)


def load_state(connection: object, epoch: int, opener: ReportOpener) -> RecoveringBridge:
    """Give what the bridge still waits for, as its tables say."""
    missing = recovery.missing_regions(connection, epoch)  # type: ignore[arg-type]  # a connection
    waiting = recovery.waiting_items(connection, epoch)  # type: ignore[arg-type]  # as above
    blocks: list[UnitBlock] = []
    awaited: set[TransferKey] = set()
    for item in waiting:
        if item.kind in ORDER_TYPES:
            blocks.extend(blocks_awaited(item))
            continue
        opened = opener.open(item)
        blocks.extend(_blocks_of(opened))
        if opened.decision is not None:
            awaited.add(opened.decision.key)
    unsettled = frozenset(item.region for item in waiting if item.kind not in ORDER_TYPES)
    return RecoveringBridge(missing, tuple(dict.fromkeys(blocks)), unsettled, frozenset(awaited))


def _state(group: Group) -> RecoveringBridge:
    return load_state(group.connection, group.context.epoch, ReportOpener(group.context))


def _blocks_of(item: OpenedItem) -> Sequence[UnitBlock]:
    if item.lock is not None:
        return item.lock[0].blocks
    if item.issue is not None:
        return (block_of(item.issue.message.block),)
    return ()


@dataclass(slots=True)
class _Pass:
    """What one pass over the waiting items has done."""

    adopted: list[tuple[bytes, str, int]] = field(default_factory=list)

    def note(self, items: Sequence[OpenedItem], log_index: int) -> None:
        self.adopted.extend((item.row.message_hash, item.row.region, log_index) for item in items)


def _adopt_all(group: Group) -> None:
    """Adopt in the order of the epoch before; what stands in the way of nothing waits for the next report."""
    opener = ReportOpener(group.context)
    rows = recovery.waiting_items(group.connection, group.context.epoch)
    items = [opener.open(row) for row in rows if row.kind not in ORDER_TYPES]
    done = _Pass()
    _adopt_records(group, [item for item in items if item.row.kind in (KEY_RECORD, RECOGNITION)], done)
    by_message: dict[bytes, list[OpenedItem]] = {}
    for item in items:
        if item.row.kind not in (KEY_RECORD, RECOGNITION):
            by_message.setdefault(item.row.message_hash, []).append(item)
    load_views(
        group,
        [item.decision.key for same in by_message.values() for item in same if item.decision is not None],
    )
    promises = load_promises(group, opener, items)
    corrections = [row for row in rows if row.kind == CORRECTION_TYPE]
    by_index = list(by_message.values())
    for at_index, same in zip(by_index, in_order_of_life(by_index), strict=True):
        _adopt_corrections(group, corrections, at_index[0].row.old_index, done)
        log_index = _adopt(group, same, promises)
        if log_index is not None:
            done.note(same, log_index)
    _adopt_corrections(group, corrections, None, done)
    done.adopted.extend(adopt_freezes(group, [row for row in rows if row.kind == FREEZE_TYPE]))
    insert_messages(group.connection, group.messages)
    group.messages.clear()
    recovery.note_adopted(group.connection, group.context.epoch, done.adopted)


def _adopt_corrections(
    group: Group, rows: list[recovery.Item], before_index: int | None, done: _Pass
) -> None:
    """Adopt those of the epoch before that were taken before an index, None: all; they are in its order."""
    while rows and (before_index is None or rows[0].old_index < before_index):
        row = rows.pop(0)
        log_index = adopt_correction(group, row)
        if log_index is not None:
            done.adopted.append((row.message_hash, row.region, log_index))


def _adopt_records(group: Group, items: Sequence[OpenedItem], done: _Pass) -> None:
    for item in in_order(items):
        if item.row.kind == KEY_RECORD:
            index = superseding_index(group, item.opened.message)
            if index is not None:
                done.note([item], index)
                continue
        request = ClientRequest(item.row.region, f"recovery-{item.row.message_hash.hex()[:40]}", b"")
        envelope, signers = item.envelope, tuple(one.key_id for one in item.opened.signed_by)
        message, message_hash = item.opened.message, item.row.message_hash
        try:
            if item.row.kind == KEY_RECORD:
                key = SubmitKeyRecord(message, envelope, message_hash, signers, request)
                answer = directory_records.submit_key_record(group, key)
            else:
                agreement = SubmitRecognition(message, envelope, message_hash, signers, request)
                answer = directory_records.submit_recognition(group, agreement)
        except DomainError as refusal:
            _log.warning("record_not_adopted", region=item.row.region, reason=refusal.symbol)
            done.note([item], recovery.REFUSED)
            continue
        group.forget_policy()
        done.note([item], answer.log_index)


def _adopt(group: Group, same: Sequence[OpenedItem], promises: Promises) -> int | None:
    """Adopt one message that one or several regions reported; its index, or None if it waits."""
    first = same[0]
    if first.row.kind == CLAIM_RECEIPT:
        return adopt_claim(group, first)
    if first.row.kind == ISSUE_RECEIPT:
        return adopt_issue(group, AdoptedIssue(first.row.region, first)) if first.issue is not None else None
    if first.decision is None:
        return recovery.REFUSED
    return _adopt_decision(group, first.decision, same, promises)


def _adopt_decision(
    group: Group, facts: DecisionFacts, same: Sequence[OpenedItem], promises: Promises
) -> int | None:
    known = group.decisions.get(facts.key)
    if known is not None:
        if known.decision_hash == facts.message_hash:
            _keep_papers(group, facts.key, same)
            return known.log_index
        evidence.keep_unacceptable(group, "bridge", same[0].envelope, facts.message_hash)
        _log.error(CONTRADICTS, transfer_id=facts.key.transfer_id.hex())
        return recovery.REFUSED
    if is_settled(group, facts, same):
        _log.warning("settled_by_a_correction", transfer_id=facts.key.transfer_id.hex())
        return recovery.REFUSED
    rests = rests_of(facts, same, promises)
    if rests is None:
        return None
    lock = rests.lock[0]
    adopted = adopt_decision(group, AdoptedDecision(facts, lock, rests.answer, same))
    if adopted is not None:
        group.keep_message(rests.lock[1], facts.key)
        if rests.answer is not None:
            group.keep_message(rests.answer, facts.key)
        _tell(group, facts, lock, same[0].envelope, adopted)
        take_finals(group, [one.final for one in promises.get(facts.key, ()) if one.final is not None])
    return adopted


def _keep_papers(group: Group, key: TransferKey, same: Sequence[OpenedItem]) -> None:
    for item in same:
        for material in (item.lock[1] if item.lock is not None else None, item.ready):
            if material is not None:
                group.keep_message(material, key)


def _tell(
    group: Group, facts: DecisionFacts, lock: LockFacts, envelope: envelope_pb2.Envelope, log_index: int
) -> None:
    """Tell both parties at which index the old bytes count now; who has them already changes nothing."""
    parties = [facts.key.source] + ([lock.destination] if lock.kind is Kind.TRANSFER else [])
    known = group.known_regions()
    for party in parties:
        if party in known:
            notice = notice_of(group, party, facts.key, envelope, log_index)
            group.numbered.append(OutboxMessage(party, ADOPTED_TYPE, notice))
            group.wake.add(party)
