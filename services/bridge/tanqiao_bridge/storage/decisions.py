"""Decisions, the messages they rest on, their receipts: set-based reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_missing, insert_rows, rows_by_key
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import DecisionRecord, Kind, Outcome, TransferKey
from tanqiao_bridge.storage.tables import decision, decision_block, late_answer, message, transfer_final

SOURCE_SIDE = 1
DESTINATION_SIDE = 2

Key = tuple[str, bytes]


class DecisionRow(NamedTuple):
    """What is written once for a transfer."""

    key: TransferKey
    kind: Kind
    destination: str
    outcome: Outcome
    lock_hash: bytes
    ready_hash: bytes
    answer_hash: bytes
    log_index: int
    legal_date: str
    decided_at: int
    payload: bytes
    decision_hash: bytes
    purpose: str
    blocks: tuple[UnitBlock, ...]


class MessageRow(NamedTuple):
    """A signed message as received or made, with its signature's row and what travelled beside it."""

    message_hash: bytes
    payload_type: str
    sender: str
    key: TransferKey
    payload: bytes
    signature_id: int
    item_index: int
    companion: bytes | None


def load_decisions(
    connection: sa.Connection, keys: Iterable[TransferKey]
) -> dict[TransferKey, DecisionRecord]:
    """Give the decisions that exist for the keys, with the receipts that are in."""
    wanted = [(key.source, key.transfer_id) for key in dict.fromkeys(keys)]
    columns = (
        "source",
        "transfer_id",
        "kind",
        "destination",
        "outcome",
        "lock_hash",
        "ready_hash",
        "decision_hash",
        "log_index",
        "answer_hash",
    )
    found = rows_by_key(connection, decision, ("source", "transfer_id"), wanted, columns)
    if not found:
        return {}
    decided = [(row[0], bytes(row[1])) for row in found]
    finals = {
        (row[0], bytes(row[1]), row[2]): bytes(row[3])
        for row in rows_by_key(
            connection,
            transfer_final,
            ("source", "transfer_id"),
            decided,
            ("source", "transfer_id", "side", "message_hash"),
        )
    }
    late = {
        (row[0], bytes(row[1])): bytes(row[2])
        for row in rows_by_key(
            connection,
            late_answer,
            ("source", "transfer_id"),
            decided,
            ("source", "transfer_id", "message_hash"),
        )
    }
    records: dict[TransferKey, DecisionRecord] = {}
    for row in found:
        source, transfer_id = row[0], bytes(row[1])
        key = TransferKey(source, transfer_id)
        records[key] = DecisionRecord(
            key,
            Kind(row[2]),
            row[3],
            Outcome(row[4]),
            bytes(row[5]),
            bytes(row[6]),
            bytes(row[7]),
            row[8],
            bytes(row[9]) or late.get((source, transfer_id), b""),
            finals.get((source, transfer_id, SOURCE_SIDE), b""),
            finals.get((source, transfer_id, DESTINATION_SIDE), b""),
        )
    return records


def load_payloads(connection: sa.Connection, keys: Iterable[TransferKey]) -> dict[TransferKey, bytes]:
    """Give the Decision bytes of the keys that are decided."""
    wanted = [(key.source, key.transfer_id) for key in dict.fromkeys(keys)]
    found = rows_by_key(
        connection, decision, ("source", "transfer_id"), wanted, ("source", "transfer_id", "payload")
    )
    return {TransferKey(row[0], bytes(row[1])): bytes(row[2]) for row in found}


def insert_decisions(connection: sa.Connection, rows: Sequence[DecisionRow]) -> None:
    """Write decisions and, of those that commit, the blocks by series."""
    insert_rows(
        connection,
        decision,
        [
            (
                row.key.source,
                row.key.transfer_id,
                int(row.kind),
                row.destination,
                int(row.outcome),
                row.lock_hash,
                row.ready_hash,
                row.log_index,
                row.legal_date,
                row.decided_at,
                row.payload,
                row.decision_hash,
                row.purpose,
                sum(block.end - block.start for block in row.blocks),
                row.answer_hash,
            )
            for row in rows
        ],
        (
            "source",
            "transfer_id",
            "kind",
            "destination",
            "outcome",
            "lock_hash",
            "ready_hash",
            "log_index",
            "legal_date",
            "decided_at",
            "payload",
            "decision_hash",
            "purpose",
            "quantity_kg",
            "answer_hash",
        ),
    )
    insert_rows(
        connection,
        decision_block,
        [
            (block.series_id, row.log_index, block.start, block.end)
            for row in rows
            if row.outcome is Outcome.COMMIT
            for block in row.blocks
        ],
    )


def insert_messages(connection: sa.Connection, rows: Sequence[MessageRow]) -> None:
    """Keep signed messages; one that is there already (the same hash) stays as it is."""
    insert_missing(
        connection,
        message,
        [
            (
                row.message_hash,
                row.payload_type,
                row.sender,
                row.key.source,
                row.key.transfer_id,
                row.payload,
                row.signature_id,
                row.item_index,
                row.companion,
            )
            for row in rows
        ],
    )


def insert_finals(
    connection: sa.Connection, rows: Sequence[tuple[TransferKey, int, bytes, int, int]]
) -> None:
    """Write receipts: key, side, message hash, state, journal index at the region."""
    insert_rows(
        connection,
        transfer_final,
        [
            (key.source, key.transfer_id, side, message_hash, state, journal_index)
            for key, side, message_hash, state, journal_index in rows
        ],
    )


def insert_late_answers(connection: sa.Connection, rows: Sequence[tuple[TransferKey, bytes]]) -> None:
    """Note answers that came after the decision."""
    insert_rows(
        connection, late_answer, [(key.source, key.transfer_id, message_hash) for key, message_hash in rows]
    )
