"""Freezes, what is frozen by them now, and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.db.direct import Prepared
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.frozen import FrozenRow
from tanqiao_bridge.storage.tables import correction, correction_block, freeze_order, frozen

_FROZEN_COLUMNS = (
    "scope",
    "series_id",
    "start_serial",
    "end_serial",
    "pseudonym",
    "region",
    "other_region",
    "document",
    "order_id",
    "ordered_by",
)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """A freeze or its lifting as it was signed."""

    order_id: bytes
    scope: int
    unfreeze: bool
    reason: str
    payload: bytes
    envelope: bytes
    log_index: int
    ordered_by: str


@dataclass(frozen=True, slots=True)
class FreezeInForce:
    """One frozen thing with the order that froze it."""

    frozen_id: int
    row: FrozenRow
    reason: str
    log_index: int


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    """A correction as it was signed."""

    correction_id: bytes
    from_region: str
    to_region: str
    payload: bytes
    envelope: bytes
    log_index: int
    legal_date: str
    recorded_at: int


def load_frozen(connection: sa.Connection) -> list[FrozenRow]:
    """Give everything that is frozen now, in the order in which it was frozen."""
    return [_frozen_row(row) for row in _ALL_FROZEN.rows(connection)]


_ALL_FROZEN = Prepared(sa.select(*(frozen.c[name] for name in _FROZEN_COLUMNS)).order_by(frozen.c.frozen_id))


def load_frozen_by_id(connection: sa.Connection, ordered_by: str) -> list[tuple[int, FrozenRow]]:
    """Give what one authority, or the bridge alone, has frozen, with the rows' numbers."""
    columns = [frozen.c[name] for name in _FROZEN_COLUMNS]
    rows = connection.execute(
        sa.select(*columns, frozen.c.frozen_id)
        .where(frozen.c.ordered_by == ordered_by)
        .order_by(frozen.c.frozen_id)
    )
    return [(row.frozen_id, _frozen_row(row)) for row in rows]


def _frozen_row(row: Sequence[Any]) -> FrozenRow:
    return FrozenRow(
        row[0], row[1], row[2], row[3], bytes(row[4]), row[5], row[6], row[7], bytes(row[8]), row[9]
    )


def insert_frozen(connection: sa.Connection, rows: Iterable[FrozenRow]) -> None:
    """Note what is frozen from now on."""
    insert_rows(
        connection,
        frozen,
        [
            (
                row.scope,
                row.series_id,
                row.start,
                row.end,
                row.pseudonym,
                row.region,
                row.other_region,
                row.document,
                row.order_id,
                row.ordered_by,
            )
            for row in rows
        ],
        _FROZEN_COLUMNS,
    )


def delete_frozen(connection: sa.Connection, frozen_ids: Iterable[int]) -> None:
    """Take away what was lifted; the orders themselves stay for ever."""
    for frozen_id in frozen_ids:
        connection.execute(sa.delete(frozen).where(frozen.c.frozen_id == frozen_id))


def find_order(connection: sa.Connection, order_id: bytes) -> OrderRow | None:
    """Give an order by its id."""
    row = connection.execute(sa.select(freeze_order).where(freeze_order.c.order_id == order_id)).first()
    return None if row is None else _order_row(row)


def all_orders(connection: sa.Connection) -> list[OrderRow]:
    """Give every order in the order of the log: for fsck."""
    rows = connection.execute(sa.select(freeze_order).order_by(freeze_order.c.log_index))
    return [_order_row(row) for row in rows]


def _order_row(row: sa.Row[Any]) -> OrderRow:
    return OrderRow(
        bytes(row.order_id),
        row.scope,
        bool(row.unfreeze),
        row.reason,
        bytes(row.payload),
        bytes(row.envelope),
        row.log_index,
        row.ordered_by,
    )


def insert_order(connection: sa.Connection, row: OrderRow) -> None:
    """Keep an order for ever."""
    connection.execute(
        sa.insert(freeze_order).values(
            order_id=row.order_id,
            scope=row.scope,
            unfreeze=row.unfreeze,
            reason=row.reason,
            payload=row.payload,
            envelope=row.envelope,
            log_index=row.log_index,
            ordered_by=row.ordered_by,
        )
    )


def list_in_force(
    connection: sa.Connection, *, scope: int, order_id: bytes, after: int, limit: int
) -> list[FreezeInForce]:
    """Give what is frozen now behind a row's number; scope 0 and an empty order id mean all."""
    columns = [frozen.c[name] for name in _FROZEN_COLUMNS]
    statement = (
        sa.select(*columns, frozen.c.frozen_id, freeze_order.c.reason, freeze_order.c.log_index)
        .outerjoin(freeze_order, freeze_order.c.order_id == frozen.c.order_id)
        .where(frozen.c.frozen_id > after)
        .order_by(frozen.c.frozen_id)
        .limit(limit)
    )
    if scope:
        statement = statement.where(frozen.c.scope == scope)
    if order_id:
        statement = statement.where(frozen.c.order_id == order_id)
    return [
        FreezeInForce(
            row.frozen_id, _frozen_row(row), row.reason or "", -1 if row.log_index is None else row.log_index
        )
        for row in connection.execute(statement)
    ]


# -- corrections -----------------------------------------------------------------------------------------


def find_correction(connection: sa.Connection, correction_id: bytes) -> CorrectionRow | None:
    """Give a correction by its id."""
    row = connection.execute(sa.select(correction).where(correction.c.correction_id == correction_id)).first()
    return None if row is None else _correction_row(row)


def insert_correction(connection: sa.Connection, row: CorrectionRow, blocks: Iterable[UnitBlock]) -> None:
    """Keep a correction for ever, with its blocks."""
    connection.execute(
        sa.insert(correction).values(
            correction_id=row.correction_id,
            from_region=row.from_region,
            to_region=row.to_region,
            payload=row.payload,
            envelope=row.envelope,
            log_index=row.log_index,
            legal_date=row.legal_date,
            recorded_at=row.recorded_at,
        )
    )
    insert_rows(
        connection,
        correction_block,
        [(block.series_id, row.log_index, block.start, block.end) for block in blocks],
    )


def list_corrections(
    connection: sa.Connection, *, series_id: str, after: int, limit: int
) -> list[CorrectionRow]:
    """Give corrections behind a log index, oldest first; of one series if it is named."""
    statement = (
        sa.select(correction)
        .where(correction.c.log_index > after)
        .order_by(correction.c.log_index)
        .limit(limit)
    )
    if series_id:
        named = sa.select(correction_block.c.log_index).where(correction_block.c.series_id == series_id)
        statement = statement.where(correction.c.log_index.in_(named))
    return [_correction_row(row) for row in connection.execute(statement)]


def corrections_touching(connection: sa.Connection, block: UnitBlock) -> list[CorrectionRow]:
    """Give the corrections of any part of a block, oldest first."""
    columns = correction_block.c
    touched = sa.select(columns.log_index).where(
        columns.series_id == block.series_id,
        columns.start_serial < block.end,
        columns.end_serial > block.start,
    )
    rows = connection.execute(
        sa.select(correction).where(correction.c.log_index.in_(touched)).order_by(correction.c.log_index)
    )
    return [_correction_row(row) for row in rows]


def _correction_row(row: sa.Row[Any]) -> CorrectionRow:
    return CorrectionRow(
        bytes(row.correction_id),
        row.from_region,
        row.to_region,
        bytes(row.payload),
        bytes(row.envelope),
        row.log_index,
        row.legal_date,
        row.recorded_at,
    )
