"""Transfers and uses that leave, transfers that come in, and what the uses were for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import (
    DestinationRecord,
    DestinationState,
    Kind,
    SourceRecord,
    SourceState,
    TransferKey,
)
from tanqiao_region.storage.packing import pack_blocks, unpack_blocks
from tanqiao_region.storage.tables import incoming_transfer, outgoing_transfer, retirement

TRANSFER_KIND: Final = int(Kind.TRANSFER)


class NewOutgoing(NamedTuple):
    """A transfer or use as it begins: its promise is signed and stored with it."""

    record: SourceRecord
    account_id: str
    quantity_kg: int
    payload: bytes
    companion: bytes
    created_at: int


class OutgoingRow(NamedTuple):
    """A transfer or use as stored, without its payloads."""

    record: SourceRecord
    account_id: str
    quantity_kg: int
    created_at: int


@dataclass(frozen=True, slots=True)
class RetirementRow:
    """What a use was for."""

    transfer_id: bytes
    kind: int
    purpose: str
    purpose_text: str
    beneficiary_name: str
    beneficiary_uscc: str
    pseudonymous: bool
    beneficiary_salt: bytes
    document_reference: str
    article: str
    compliance_year: int
    retiring_date: str
    decision_date: str
    rule_pack_id: str
    rule_pack_version: str
    requested_by: str


class NewIncoming(NamedTuple):
    """An incoming transfer with the answer that was made to its Prepare."""

    record: DestinationRecord
    account_id: str
    receiving_address: str
    quantity_kg: int
    prepare_payload: bytes
    prepare_companion: bytes
    prepare_signature_id: int | None
    prepare_item_index: int | None
    answer_type: str
    answer_payload: bytes
    legal_date: str
    created_at: int
    decision_payload: bytes = b""
    decision_signature_id: int | None = None
    decision_item_index: int | None = None
    ended_at: int | None = None


class IncomingRow(NamedTuple):
    """An incoming transfer as stored, without its payloads."""

    record: DestinationRecord
    account_id: str
    quantity_kg: int
    created_at: int


class DecisionUpdate(NamedTuple):
    """The end of a transfer: its record after the decision, and the decision as it came."""

    record: SourceRecord | DestinationRecord
    payload: bytes
    signature_id: int
    item_index: int
    ended_at: int


_OUTGOING: Final = (
    "transfer_id",
    "kind",
    "state",
    "message_hash",
    "destination",
    "blocks",
    "withdraw_payload",
    "decision_hash",
    "account_id",
    "quantity_kg",
    "created_at",
)
_INCOMING: Final = (
    "source",
    "transfer_id",
    "state",
    "lock_hash",
    "prepare_hash",
    "blocks",
    "answer_hash",
    "decision_hash",
    "account_id",
    "quantity_kg",
    "created_at",
)


def load_outgoing(
    connection: sa.Connection, source: str, transfer_ids: Iterable[bytes]
) -> dict[bytes, OutgoingRow]:
    """Give what this node keeps of its own transfers and uses; `source` is its party."""
    wanted = [(transfer_id,) for transfer_id in dict.fromkeys(transfer_ids)]
    rows = rows_by_key(connection, outgoing_transfer, ("transfer_id",), wanted, _OUTGOING)
    return {bytes(row[0]): _outgoing(source, row) for row in rows}


def _outgoing(source: str, row: Sequence[Any]) -> OutgoingRow:
    record = SourceRecord(
        TransferKey(source, bytes(row[0])),
        Kind(row[1]),
        SourceState(row[2]),
        bytes(row[3]),
        row[4],
        unpack_blocks(row[5]),
        bool(row[6]),
        bytes(row[7]),
    )
    return OutgoingRow(record, row[8], row[9], row[10])


def insert_outgoing(connection: sa.Connection, rows: Sequence[NewOutgoing], signature_id: int) -> None:
    """Keep new transfers and uses, whose promises are the items of one signed batch, in order."""
    insert_rows(
        connection,
        outgoing_transfer,
        [
            (
                row.record.key.transfer_id,
                int(row.record.kind),
                int(row.record.state),
                row.record.destination,
                row.account_id,
                row.quantity_kg,
                pack_blocks(row.record.blocks),
                row.payload,
                row.companion,
                row.record.lock_hash,
                signature_id,
                position,
                b"",
                b"",
                b"",
                row.created_at,
            )
            for position, row in enumerate(rows)
        ],
        (
            "transfer_id",
            "kind",
            "state",
            "destination",
            "account_id",
            "quantity_kg",
            "blocks",
            "payload",
            "companion",
            "message_hash",
            "signature_id",
            "item_index",
            "withdraw_payload",
            "decision_payload",
            "decision_hash",
            "created_at",
        ),
    )


def blocks_credited_from(
    connection: sa.Connection, account_ids: Sequence[str], source: str
) -> list[UnitBlock]:
    """Give the blocks that were credited by transfers of a region promised to these accounts."""
    columns = incoming_transfer.c
    rows = connection.execute(
        sa.select(columns.blocks).where(
            columns.account_id.in_(account_ids),
            columns.source == source,
            columns.state == int(DestinationState.CREDITED),
        )
    )
    return [block for row in rows for block in unpack_blocks(bytes(row.blocks))]


def store_withdraw(connection: sa.Connection, transfer_id: bytes, payload: bytes) -> None:
    """Keep the holder's wish."""
    update_by_key(
        connection, outgoing_transfer, ("transfer_id",), ("withdraw_payload",), [(transfer_id, payload)]
    )


def end_outgoing(connection: sa.Connection, rows: Sequence[DecisionUpdate]) -> int:
    """Note the decisions of transfers and uses; the number of rows that were there."""
    return update_by_key(
        connection,
        outgoing_transfer,
        ("transfer_id",),
        (
            "state",
            "decision_hash",
            "decision_payload",
            "decision_signature_id",
            "decision_item_index",
            "ended_at",
        ),
        [
            (
                row.record.key.transfer_id,
                int(row.record.state),
                row.record.decision_hash,
                row.payload,
                row.signature_id,
                row.item_index,
                row.ended_at,
            )
            for row in rows
        ],
    )


def insert_retirements(connection: sa.Connection, rows: Sequence[RetirementRow]) -> None:
    """Keep what uses are for."""
    names = tuple(RetirementRow.__dataclass_fields__)
    insert_rows(connection, retirement, [tuple(getattr(row, name) for name in names) for row in rows], names)


def set_decision_dates(connection: sa.Connection, rows: Sequence[tuple[bytes, str]]) -> None:
    """Note the decision day of uses: (transfer id, date)."""
    update_by_key(connection, retirement, ("transfer_id",), ("decision_date",), rows)


def used_for_purpose_kg(connection: sa.Connection, purpose: str, year: int) -> dict[str, int]:
    """Give kilograms used or being used for a purpose in a compliance year, by account."""
    transfers, uses = outgoing_transfer.c, retirement.c
    rows = connection.execute(
        sa.select(transfers.account_id, sa.func.sum(transfers.quantity_kg))
        .join(retirement, uses.transfer_id == transfers.transfer_id)
        .where(
            uses.purpose == purpose,
            uses.compliance_year == year,
            transfers.state.in_((int(SourceState.RETIRING), int(SourceState.USED))),
        )
        .group_by(transfers.account_id)
    )
    return {row[0]: int(row[1]) for row in rows}


def load_incoming(connection: sa.Connection, keys: Iterable[TransferKey]) -> dict[TransferKey, IncomingRow]:
    """Give what this node keeps of transfers to it."""
    wanted = [(key.source, key.transfer_id) for key in dict.fromkeys(keys)]
    rows = rows_by_key(connection, incoming_transfer, ("source", "transfer_id"), wanted, _INCOMING)
    return {TransferKey(row[0], bytes(row[1])): _incoming(row) for row in rows}


def _incoming(row: Sequence[Any]) -> IncomingRow:
    record = DestinationRecord(
        TransferKey(row[0], bytes(row[1])),
        DestinationState(row[2]),
        bytes(row[3]),
        bytes(row[4]),
        unpack_blocks(row[5]),
        bytes(row[6]),
        bytes(row[7]),
    )
    return IncomingRow(record, row[8], row[9], row[10])


_NEW_INCOMING: Final = (
    "source",
    "transfer_id",
    "state",
    "account_id",
    "receiving_address",
    "quantity_kg",
    "blocks",
    "lock_hash",
    "prepare_hash",
    "prepare_payload",
    "prepare_companion",
    "prepare_signature_id",
    "prepare_item_index",
    "answer_type",
    "answer_payload",
    "answer_hash",
    "answer_signature_id",
    "answer_item_index",
    "decision_payload",
    "decision_hash",
    "decision_signature_id",
    "decision_item_index",
    "legal_date",
    "created_at",
    "ended_at",
)


def insert_incoming(connection: sa.Connection, rows: Sequence[NewIncoming], signature_id: int | None) -> None:
    """Keep new incoming transfers; their answers are the items of one signed batch, None: there are none."""
    insert_rows(
        connection,
        incoming_transfer,
        [
            _new_incoming(row, signature_id, None if signature_id is None else position)
            for position, row in enumerate(rows)
        ],
        _NEW_INCOMING,
    )


def _new_incoming(row: NewIncoming, signature_id: int | None, item_index: int | None) -> tuple[Any, ...]:
    record = row.record
    return (
        record.key.source,
        record.key.transfer_id,
        int(record.state),
        row.account_id,
        row.receiving_address,
        row.quantity_kg,
        pack_blocks(record.blocks),
        record.lock_hash,
        record.prepare_hash,
        row.prepare_payload,
        row.prepare_companion,
        row.prepare_signature_id,
        row.prepare_item_index,
        row.answer_type,
        row.answer_payload,
        record.answer_hash,
        signature_id,
        item_index,
        row.decision_payload,
        record.decision_hash,
        row.decision_signature_id,
        row.decision_item_index,
        row.legal_date,
        row.created_at,
        row.ended_at,
    )


_ANSWERED: Final = (
    "lock_hash",
    "prepare_hash",
    "prepare_payload",
    "prepare_companion",
    "prepare_signature_id",
    "prepare_item_index",
    "answer_type",
    "answer_payload",
    "answer_hash",
    "answer_signature_id",
    "answer_item_index",
    "legal_date",
)


def answer_incoming(connection: sa.Connection, rows: Sequence[NewIncoming], signature_id: int | None) -> None:
    """Note the refusal of a Prepare that came after its ABORT (R9)."""
    update_by_key(
        connection,
        incoming_transfer,
        ("source", "transfer_id"),
        _ANSWERED,
        [
            (
                row.record.key.source,
                row.record.key.transfer_id,
                row.record.lock_hash,
                row.record.prepare_hash,
                row.prepare_payload,
                row.prepare_companion,
                row.prepare_signature_id,
                row.prepare_item_index,
                row.answer_type,
                row.answer_payload,
                row.record.answer_hash,
                signature_id,
                position,
                row.legal_date,
            )
            for position, row in enumerate(rows)
        ],
    )


def end_incoming(connection: sa.Connection, rows: Sequence[DecisionUpdate]) -> int:
    """Note the decisions of incoming transfers; the number of rows that were there."""
    return update_by_key(
        connection,
        incoming_transfer,
        ("source", "transfer_id"),
        (
            "state",
            "decision_hash",
            "decision_payload",
            "decision_signature_id",
            "decision_item_index",
            "ended_at",
        ),
        [
            (
                row.record.key.source,
                row.record.key.transfer_id,
                int(row.record.state),
                row.record.decision_hash,
                row.payload,
                row.signature_id,
                row.item_index,
                row.ended_at,
            )
            for row in rows
        ],
    )


def blocks_of_open(connection: sa.Connection) -> list[tuple[bytes, str, tuple[UnitBlock, ...]]]:
    """Give (transfer id, state, blocks) of everything that is locked, retiring or promised."""
    out = connection.execute(
        sa.select(outgoing_transfer.c.transfer_id, outgoing_transfer.c.state, outgoing_transfer.c.blocks)
        .where(
            outgoing_transfer.c.state.in_((int(SourceState.LOCKED), int(SourceState.RETIRING))),
            outgoing_transfer.c.ended_at.is_(None),
        )
        .order_by(outgoing_transfer.c.created_at, outgoing_transfer.c.transfer_id)
    )
    found = [(bytes(row[0]), SourceState(row[1]).name, unpack_blocks(row[2])) for row in out]
    incoming = connection.execute(
        sa.select(incoming_transfer.c.transfer_id, incoming_transfer.c.blocks)
        .where(
            incoming_transfer.c.state == int(DestinationState.READY), incoming_transfer.c.ended_at.is_(None)
        )
        .order_by(incoming_transfer.c.created_at, incoming_transfer.c.transfer_id)
    )
    return found + [(bytes(row[0]), DestinationState.READY.name, unpack_blocks(row[1])) for row in incoming]
