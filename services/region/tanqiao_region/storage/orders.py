"""Freezes that bind this node, what is frozen by them now, and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.frozen import FrozenRow
from tanqiao_region.storage.tables import account, correction, correction_wait, freeze_order, frozen

_COLUMNS = (
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
    "local",
)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """A freeze or its lifting as it was signed."""

    order_id: bytes
    unfreeze: bool
    ordered_by: str
    local: bool
    payload: bytes
    envelope: bytes
    journal_index: int


@dataclass(frozen=True, slots=True)
class FreezeInForce:
    """One frozen thing, and the account of this node that it is about, if one."""

    frozen_id: int
    row: FrozenRow
    local: bool
    account_id: str


def load_frozen(connection: sa.Connection) -> list[FrozenRow]:
    """Give everything that is frozen here now, in the order in which it was frozen."""
    rows = connection.execute(_ALL_FROZEN)
    return [_frozen_row(row) for row in rows]


_ALL_FROZEN = sa.select(*(frozen.c[name] for name in _COLUMNS)).order_by(frozen.c.frozen_id)


def load_frozen_by_id(connection: sa.Connection, *, local: bool) -> list[tuple[int, FrozenRow]]:
    """Give what orders to this node alone froze, or what came over the bridge, with the rows' numbers."""
    rows = connection.execute(
        sa.select(*(frozen.c[name] for name in _COLUMNS), frozen.c.frozen_id)
        .where(frozen.c.local == local)
        .order_by(frozen.c.frozen_id)
    )
    return [(row.frozen_id, _frozen_row(row)) for row in rows]


def _frozen_row(row: Sequence[Any]) -> FrozenRow:
    return FrozenRow(
        row[0], row[1], row[2], row[3], bytes(row[4]), row[5], row[6], row[7], bytes(row[8]), row[9]
    )


def insert_frozen(connection: sa.Connection, rows: Iterable[FrozenRow], *, local: bool) -> None:
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
                local,
            )
            for row in rows
        ],
        _COLUMNS,
    )


def delete_frozen(connection: sa.Connection, frozen_ids: Iterable[int]) -> None:
    """Take away what was lifted; the orders themselves stay for ever."""
    for frozen_id in frozen_ids:
        connection.execute(sa.delete(frozen).where(frozen.c.frozen_id == frozen_id))


def list_in_force(connection: sa.Connection, *, after: int, limit: int) -> list[FreezeInForce]:
    """Give what is frozen now behind a row's number."""
    rows = connection.execute(
        sa.select(*(frozen.c[name] for name in _COLUMNS), frozen.c.frozen_id, account.c.account_id)
        .outerjoin(account, sa.and_(account.c.pseudonym == frozen.c.pseudonym, frozen.c.pseudonym != b""))
        .where(frozen.c.frozen_id > after)
        .order_by(frozen.c.frozen_id)
        .limit(limit)
    )
    return [
        FreezeInForce(row.frozen_id, _frozen_row(row), bool(row.local), row.account_id or "") for row in rows
    ]


def find_order(connection: sa.Connection, order_id: bytes) -> OrderRow | None:
    """Give an order by its id."""
    row = connection.execute(sa.select(freeze_order).where(freeze_order.c.order_id == order_id)).first()
    return None if row is None else _order_row(row)


def all_orders(connection: sa.Connection) -> list[OrderRow]:
    """Give every order in the order of the journal: for fsck."""
    rows = connection.execute(sa.select(freeze_order).order_by(freeze_order.c.journal_index))
    return [_order_row(row) for row in rows]


def _order_row(row: sa.Row[Any]) -> OrderRow:
    return OrderRow(
        bytes(row.order_id),
        bool(row.unfreeze),
        row.ordered_by,
        bool(row.local),
        bytes(row.payload),
        bytes(row.envelope),
        row.journal_index,
    )


def insert_order(connection: sa.Connection, row: OrderRow) -> None:
    """Keep an order for ever."""
    connection.execute(
        sa.insert(freeze_order).values(
            order_id=row.order_id,
            unfreeze=row.unfreeze,
            ordered_by=row.ordered_by,
            local=row.local,
            payload=row.payload,
            envelope=row.envelope,
            journal_index=row.journal_index,
        )
    )


def account_pseudonym(connection: sa.Connection, account_id: str) -> bytes | None:
    """Give under which pseudonym an account is frozen; None for no account of this node."""
    row = connection.execute(sa.select(account.c.pseudonym).where(account.c.account_id == account_id)).first()
    return None if row is None else bytes(row.pseudonym)


# -- corrections -----------------------------------------------------------------------------------------


def find_correction(connection: sa.Connection, correction_id: bytes) -> tuple[bytes, bytes] | None:
    """Give (payload, envelope) of a correction, None for one that is new."""
    row = connection.execute(
        sa.select(correction.c.payload, correction.c.envelope).where(
            correction.c.correction_id == correction_id
        )
    ).first()
    return None if row is None else (bytes(row.payload), bytes(row.envelope))


def insert_correction(
    connection: sa.Connection, correction_id: bytes, payload: bytes, envelope: bytes, log_index: int
) -> None:
    """Keep a correction for ever."""
    connection.execute(
        sa.insert(correction).values(
            correction_id=correction_id, payload=payload, envelope=envelope, log_index=log_index
        )
    )


def load_waits(connection: sa.Connection) -> list[tuple[UnitBlock, bytes]]:
    """Give the units that corrections wait for, with the correction of each; nearly always none."""
    rows = connection.execute(sa.select(correction_wait))
    return [
        (UnitBlock(row.series_id, row.start_serial, row.end_serial), bytes(row.correction_id)) for row in rows
    ]


def store_waits(connection: sa.Connection, waits: Iterable[tuple[UnitBlock, bytes]]) -> None:
    """Put these in the place of all that corrections waited for."""
    connection.execute(sa.delete(correction_wait))
    insert_rows(
        connection,
        correction_wait,
        [(block.series_id, block.start, block.end, correction_id) for block, correction_id in waits],
    )
