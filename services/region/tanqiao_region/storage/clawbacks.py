"""Clawbacks, the cancellations that belong to them, and the units that they stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao.db.direct import Prepared
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.frozen import FrozenRow, Scope
from tanqiao_region.storage.clawback_tables import clawback, clawback_use, clawed_block
from tanqiao_region.storage.packing import pack_blocks, unpack_blocks
from tanqiao_region.storage.tables import frozen

ORDERED_BY: Final = "clawback"


class ClawbackRow(NamedTuple):
    """A clawback as stored; `due_date` is empty where nothing was to be replaced."""

    clawback_id: bytes
    issuance_id: str
    account_id: str
    blocks: tuple[UnitBlock, ...]
    state: str
    due_date: str
    calendar_version: str
    steps: int
    payload: bytes
    envelope: bytes


def _row(values: Sequence[Any]) -> ClawbackRow:
    row = ClawbackRow(*values)
    return row._replace(
        clawback_id=bytes(row.clawback_id),
        blocks=unpack_blocks(bytes(values[3])),
        payload=bytes(row.payload),
        envelope=bytes(row.envelope),
    )


def insert_clawback(connection: sa.Connection, row: ClawbackRow) -> None:
    """Keep an order."""
    insert_rows(connection, clawback, [(*row[:3], pack_blocks(row.blocks), *row[4:])])


def load_clawback(connection: sa.Connection, clawback_id: bytes) -> ClawbackRow | None:
    """Give a clawback, or None."""
    rows = rows_by_key(connection, clawback, ("clawback_id",), [(clawback_id,)])
    return _row(rows[0]) if rows else None


def set_state(connection: sa.Connection, row: ClawbackRow) -> None:
    """Note its state and how many steps it has taken."""
    update_by_key(
        connection, clawback, ("clawback_id",), ("state", "steps"), [(row.clawback_id, row.state, row.steps)]
    )


def list_clawbacks(connection: sa.Connection, *, after: bytes, limit: int) -> list[ClawbackRow]:
    """Give a page of clawbacks in the order of their ids."""
    rows = connection.execute(
        sa.select(clawback)
        .where(clawback.c.clawback_id > after)
        .order_by(clawback.c.clawback_id)
        .limit(limit)
    )
    return [_row(tuple(row)) for row in rows]


def all_clawbacks(connection: sa.Connection) -> Iterator[ClawbackRow]:
    """Walk over every clawback."""
    for row in connection.execute(sa.select(clawback)):
        yield _row(tuple(row))


def insert_use(
    connection: sa.Connection, clawback_id: bytes, transfer_id: bytes, *, is_replacement: bool
) -> None:
    """Note that a cancellation belongs to a clawback."""
    insert_rows(connection, clawback_use, [(transfer_id, clawback_id, is_replacement)])


def uses_of(connection: sa.Connection, clawback_id: bytes) -> dict[bytes, bool]:
    """Give the cancellations of a clawback, and whether each is a replacement."""
    rows = rows_by_key(
        connection, clawback_use, ("clawback_id",), [(clawback_id,)], ("transfer_id", "is_replacement")
    )
    return {bytes(row[0]): bool(row[1]) for row in rows}


def stop_blocks(
    connection: sa.Connection, clawback_id: bytes, document: str, blocks: Sequence[UnitBlock]
) -> None:
    """Let exactly these units of a clawback move no more."""
    connection.execute(sa.delete(clawed_block).where(clawed_block.c.clawback_id == clawback_id))
    insert_rows(
        connection,
        clawed_block,
        [(one.series_id, one.start, one.end, clawback_id, document) for one in blocks],
    )


def stopped_blocks(connection: sa.Connection, series_id: str) -> list[tuple[UnitBlock, bytes]]:
    """Give the units of a series that clawbacks stop, and which."""
    rows = rows_by_key(
        connection,
        clawed_block,
        ("series_id",),
        [(series_id,)],
        ("series_id", "start_serial", "end_serial", "clawback_id"),
    )
    return [(UnitBlock(row[0], row[1], row[2]), bytes(row[3])) for row in rows]


_EMPTY: Final = sa.literal(b"", sa.LargeBinary)
_NOTHING: Final = sa.literal("", sa.String)
_STOPPED: Final = Prepared(
    sa.union_all(
        sa.select(
            frozen.c.scope,
            frozen.c.series_id,
            frozen.c.start_serial,
            frozen.c.end_serial,
            frozen.c.pseudonym,
            frozen.c.region,
            frozen.c.other_region,
            frozen.c.document,
            frozen.c.order_id,
            frozen.c.ordered_by,
        ),
        sa.select(
            sa.literal(int(Scope.BLOCK), sa.Integer),
            clawed_block.c.series_id,
            clawed_block.c.start_serial,
            clawed_block.c.end_serial,
            _EMPTY,
            _NOTHING,
            _NOTHING,
            clawed_block.c.document,
            clawed_block.c.clawback_id,
            sa.literal(ORDERED_BY, sa.String),
        ),
    )
)


def load_stopped(connection: sa.Connection) -> list[FrozenRow]:
    """Give everything that moves no more here: what orders froze, and what clawbacks stop."""
    return [
        FrozenRow(
            row[0], row[1], row[2], row[3], bytes(row[4]), row[5], row[6], row[7], bytes(row[8]), row[9]
        )
        for row in _STOPPED.rows(connection)
    ]
