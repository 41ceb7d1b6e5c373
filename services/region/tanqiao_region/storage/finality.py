"""Which decisions wait for their quorum of witnesses, and the bundles of those that have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import TransferKey
from tanqiao_region.storage.packing import pack_blocks, unpack_blocks
from tanqiao_region.storage.tables import transfer_finality

PENDING_AT_START_MAX: Final = 1_000_000
_COLUMNS: Final = (
    "source",
    "transfer_id",
    "log_index",
    "decision_hash",
    "account_id",
    "blocks",
    "decided_at_ms",
)


class PendingRow(NamedTuple):
    """A decision that is not final yet; `blocks` are the units that it credited here."""

    key: TransferKey
    log_index: int
    decision_hash: bytes
    account_id: str
    blocks: tuple[UnitBlock, ...]
    decided_at_ms: int


def insert_pending(connection: sa.Connection, rows: Sequence[PendingRow]) -> None:
    """Note decisions that wait for their quorum."""
    insert_rows(
        connection,
        transfer_finality,
        [
            (
                row.key.source,
                row.key.transfer_id,
                row.log_index,
                row.decision_hash,
                row.account_id,
                pack_blocks(row.blocks),
                row.decided_at_ms,
                None,
                b"",
            )
            for row in rows
        ],
    )


def load_pending(connection: sa.Connection, keys: Sequence[TransferKey]) -> dict[TransferKey, PendingRow]:
    """Give those of these decisions that are pending."""
    rows = rows_by_key(
        connection,
        transfer_finality,
        ("source", "transfer_id"),
        [(key.source, key.transfer_id) for key in dict.fromkeys(keys)],
        (*_COLUMNS, "final_at_ms"),
    )
    return {row.key: row for row in (_row(one) for one in rows if one[-1] is None)}


def all_pending(connection: sa.Connection) -> list[PendingRow]:
    """Give everything that is pending: what a node begins with."""
    columns = transfer_finality.c
    rows = connection.execute(
        sa.select(*(columns[name] for name in _COLUMNS))
        .where(columns.final_at_ms.is_(None))
        .limit(PENDING_AT_START_MAX)
    )
    return [_row(tuple(row)) for row in rows]


def set_final(
    connection: sa.Connection, bundles: Sequence[tuple[TransferKey, bytes]], *, final_at_ms: int
) -> None:
    """Note that decisions are final, with the bundles that prove it."""
    update_by_key(
        connection,
        transfer_finality,
        ("source", "transfer_id"),
        ("final_at_ms", "bundle"),
        [(key.source, key.transfer_id, final_at_ms, data) for key, data in bundles],
    )


def load_bundle(connection: sa.Connection, key: TransferKey) -> bytes:
    """Give the bundle of a decision; empty while it is pending or where there is none."""
    columns = transfer_finality.c
    found = connection.execute(
        sa.select(columns.bundle).where(columns.source == key.source, columns.transfer_id == key.transfer_id)
    ).scalar()
    return b"" if found is None else bytes(found)


def _row(values: Sequence[Any]) -> PendingRow:
    return PendingRow(
        TransferKey(values[0], bytes(values[1])),
        values[2],
        bytes(values[3]),
        values[4],
        tuple(unpack_blocks(bytes(values[5]))),
        values[6],
    )
