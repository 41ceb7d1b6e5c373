"""Decisions and receipts of Issues of an epoch before, with their old bytes at new indexes of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.signatures import store_envelope
from tanqiao.protocol.types import (
    DecisionFacts,
    DecisionRecord,
    Kind,
    LockFacts,
    OpenTransfer,
    Outcome,
    TransferKey,
)
from tanqiao.rpc.protocol_facts import block_of, date_of
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import Leaf, make_leaf
from tanqiao_bridge.application.commands import Material
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.deciding import DECISION_TYPE, check_agreement
from tanqiao_bridge.application.decision_leaves import BLOCKS_IN_LEAF_MAX
from tanqiao_bridge.application.issues import register_series
from tanqiao_bridge.application.judging import read_stored
from tanqiao_bridge.application.placing import Place, Placing
from tanqiao_bridge.application.registry_ordering import cancel_for_issues
from tanqiao_bridge.application.reported import OpenedItem
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import locations, log, policy, recovery
from tanqiao_bridge.storage.decisions import DecisionRow, MessageRow, insert_decisions
from tanqiao_bridge.storage.tables import issue, signature

ADOPTED_TYPE: Final = payload_type_of(recovery_pb2.AdoptedNotice)
_USED: Final = {Kind.RETIRE: locations.USED, Kind.CANCEL: locations.CANCELLED}


@dataclass(frozen=True, slots=True)
class AdoptedDecision:
    """A Decision of an epoch before, the lock and the answer that it rests on, and who reported it."""

    facts: DecisionFacts
    lock: LockFacts
    answer: Material | None
    items: Sequence[OpenedItem]


@dataclass(frozen=True, slots=True)
class AdoptedIssue:
    """An IssueReceipt of an epoch before with its Issue."""

    region: str
    item: OpenedItem


def adopt_decision(group: Group, adopted: AdoptedDecision) -> int | None:
    """Write a decision with its leaf, and move the units of a COMMIT; None if they are not at the source."""
    facts, lock = adopted.facts, adopted.lock
    commits = facts.outcome is Outcome.COMMIT
    if commits and not _can_move(group, lock):
        return None
    item = adopted.items[0]
    message: messages_pb2.Decision = item.opened.message
    answer = adopted.answer
    log_index = log.append_leaves(group.connection, [_leaf(group, adopted, message)], recorded_at=group.now)
    if commits:
        _move(group, lock, log_index, date_of(message.legal_date, "legal_date").isoformat())
    insert_decisions(
        group.connection,
        [
            DecisionRow(
                facts.key,
                lock.kind,
                lock.destination,
                facts.outcome,
                facts.lock_hash,
                facts.ready_hash,
                answer.opened.message_hash if answer is not None else b"",
                log_index,
                date_of(message.legal_date, "legal_date").isoformat(),
                message.decision_time.seconds,
                item.opened.payload,
                facts.message_hash,
                lock.purpose,
                lock.blocks,
            )
        ],
    )
    group.messages.append(
        MessageRow(
            facts.message_hash,
            DECISION_TYPE,
            "bridge",
            facts.key,
            item.opened.payload,
            store_envelope(group.connection, signature, item.envelope),
            0,
            None,
        )
    )
    group.decisions[facts.key] = DecisionRecord(
        facts.key,
        lock.kind,
        lock.destination,
        facts.outcome,
        facts.lock_hash,
        facts.ready_hash,
        facts.message_hash,
        log_index,
        answer.opened.message_hash if answer is not None else b"",
    )
    group.undecided.discard(facts.key)
    return log_index


def _leaf(group: Group, adopted: AdoptedDecision, message: messages_pb2.Decision) -> Leaf:
    facts, lock, answer = adopted.facts, adopted.lock, adopted.answer
    signers = [lock.key_id] if lock.key_id else []
    hashes = [facts.lock_hash]
    if answer is not None:
        hashes.append(answer.opened.message_hash)
        signers.append(answer.opened.key_id)
    hashes.append(facts.message_hash)
    return make_leaf(
        "decision",
        message_hashes=hashes,
        signer_key_ids=[*signers, adopted.items[0].opened.key_id],
        public={
            "adopted_index": str(facts.log_index).encode(),
            "blocks": "\n".join(map(str, lock.blocks[:BLOCKS_IN_LEAF_MAX])).encode(),
            "bridge_epoch": str(group.context.epoch).encode(),
            "destination": lock.destination.encode(),
            "kind": lock.kind.name.encode(),
            "legal_date": date_of(message.legal_date, "legal_date").isoformat().encode(),
            "outcome": facts.outcome.name.encode(),
            "source": facts.key.source.encode(),
            "transfer_id": facts.key.transfer_id,
        },
    )


def _can_move(group: Group, lock: LockFacts) -> bool:
    return not Placing.of(group, lock.blocks).book.elsewhere(lock.blocks, (lock.key.source, locations.HELD))


def _move(group: Group, lock: LockFacts, log_index: int, legal_date: str) -> None:
    placing = Placing.of(group, lock.blocks)
    here: Place = (lock.key.source, locations.HELD)
    there: Place = (
        (lock.destination, locations.HELD)
        if lock.kind is Kind.TRANSFER
        else (lock.key.source, _USED[lock.kind])
    )
    placing.book.move(lock.blocks, here, there)
    placing.write(log_index)
    if lock.kind is Kind.TRANSFER:
        _count_use(group, lock, legal_date)


def _count_use(group: Group, lock: LockFacts, legal_date: str) -> None:
    """Move the counter of the agreement that covers the transfer; what was decided stays decided without."""
    transfer = OpenTransfer(
        lock.key, lock.kind, lock.message_hash, lock.destination, lock.blocks, 0, legal_date, lock.purpose
    )
    series = policy.load_series(group.connection, {block.series_id for block in lock.blocks})
    pair = (lock.key.source, lock.destination)
    _, agreement_id = check_agreement(group.agreements_of([pair]), series, {}, transfer)
    if agreement_id:
        quantity_kg = sum(block.quantity_kg for block in lock.blocks)
        policy.add_agreement_use(group.connection, {agreement_id: quantity_kg})


def notice_of(
    group: Group, party: str, key: TransferKey, envelope: envelope_pb2.Envelope, log_index: int
) -> bytes:
    """Make the notice that names old bytes at their new index."""
    return recovery_pb2.AdoptedNotice(
        header=group.context.header((party,), source=key.source, transfer_id=key.transfer_id),
        message=envelope,
        log_index=log_index,
        bridge_epoch=group.context.epoch,
    ).SerializeToString()


def adopt_issue(group: Group, adopted: AdoptedIssue) -> int | None:
    """Write a receipt of an Issue with its leaf, and register the units of one that was accepted."""
    item, connection = adopted.item, group.connection
    receipt: messages_pb2.IssueReceipt = item.opened.message
    stated: messages_pb2.Issue = item.issue.message  # type: ignore[union-attr]  # asked before
    block = block_of(stated.block)
    known = connection.execute(
        sa.select(issue.c.log_index, issue.c.receipt_hash).where(
            issue.c.region == adopted.region, issue.c.issue_id == receipt.issue_id
        )
    ).first()
    if known is not None:
        same = bytes(known.receipt_hash) == item.row.message_hash
        return int(known.log_index) if same else recovery.REFUSED
    placing = Placing.of(group, [block])
    if receipt.accepted and placing.book.occupied([block]):
        return None
    leaf = make_leaf(
        "issue",
        message_hashes=[item.issue.message_hash, item.row.message_hash],  # type: ignore[union-attr]
        signer_key_ids=[item.issue.key_id, item.opened.key_id],  # type: ignore[union-attr]
        public={
            "accepted": b"1" if receipt.accepted else b"0",
            "adopted_index": str(receipt.log_index).encode(),
            "block": str(block).encode(),
            "claim_id": stated.claim_id.encode(),
            "issue_id": receipt.issue_id,
            "region": adopted.region.encode(),
        },
    )
    log_index = log.append_leaves(connection, [leaf], recorded_at=group.now)
    if receipt.accepted:
        register_series(group, stated, adopted.region, log_index)
        placing.book.register([block], (adopted.region, locations.HELD))
        placing.write(log_index)
        row = claim_rows.load_claims(connection, [stated.claim_id]).get(stated.claim_id)
        if row is not None:
            claim_rows.set_status(connection, [(stated.claim_id, claims_pb2.CLAIM_STATUS_ISSUED)])
            issue_hash = item.issue.message_hash  # type: ignore[union-attr]
            cancel_for_issues(group, [(read_stored(row), issue_hash, log_index)])
    material = Material(item.issue, None, item.papers.issue)  # type: ignore[arg-type]
    insert_rows(
        connection,
        issue,
        [
            (
                adopted.region,
                receipt.issue_id,
                material.opened.message_hash,
                material.opened.payload,
                item.opened.payload,
                item.row.message_hash,
                receipt.accepted,
                block.series_id,
                block.start,
                block.end,
                stated.claim_id,
                log_index,
                store_envelope(connection, signature, item.envelope),
                0,
            )
        ],
    )
    group.keep_message(material, TransferKey(adopted.region, receipt.issue_id))
    return log_index
