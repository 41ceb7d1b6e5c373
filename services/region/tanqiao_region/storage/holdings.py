"""Where units are at this node: reading the rows that a group touches, writing the difference, summing up.

Every look-up is by an index and costs the rows that it gives, not those of the series: a node with a million
blocks behind it answers as fast as a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import delete_by_key, insert_rows, rows_by_key
from tanqiao.db.direct import Prepared
from tanqiao.db.spans import rows_touching
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationRow
from tanqiao_region.storage.accounts import Viewer, seen_among
from tanqiao_region.storage.tables import holding, series

HELD: Final = 1
LOCKED: Final = 2
RETIRING: Final = 3
USED: Final = 4
CANCELLED: Final = 5

HELD_ROWS_PER_PAGE: Final = 256
SERIES_SHOWN_MAX: Final = 20
"""Most series of a source that a refusal names."""

Place = tuple[str, int, bytes]
"""Account, state, transfer id; the last is empty where the units are held."""
HoldingRow = LocationRow[Place]

_COLUMNS: Final = ("series_id", "start_serial", "end_serial", "account_id", "state", "transfer_id")


def _row(values: Sequence[Any]) -> HoldingRow:
    return LocationRow(values[0], values[1], values[2], (values[3], values[4], bytes(values[5])))


def load_touched(connection: sa.Connection, blocks: Iterable[UnitBlock]) -> list[HoldingRow]:
    """Give every row that shares a serial with one of the blocks or is adjacent to it."""
    return [_row(values) for values in rows_touching(connection, holding, blocks, _COLUMNS)]


def load_beginning(connection: sa.Connection, blocks: Iterable[UnitBlock]) -> list[HoldingRow]:
    """Give the rows that begin where the blocks begin: those of a transfer, whose blocks are its rows."""
    keys = [(block.series_id, block.start) for block in blocks]
    rows = rows_by_key(connection, holding, ("series_id", "start_serial"), keys, _COLUMNS)
    return [_row(values) for values in rows]


def _held(*conditions: sa.ColumnElement[bool]) -> Prepared:
    """Make the look-up once: making it costs more than running it."""
    return Prepared(
        sa.select(holding.c.series_id, holding.c.start_serial, holding.c.end_serial)
        .where(
            holding.c.account_id == sa.bindparam("account"),
            holding.c.state == HELD,
            holding.c.transfer_id == b"",
            *conditions,
        )
        .order_by(holding.c.series_id, holding.c.start_serial)
        .limit(HELD_ROWS_PER_PAGE)
    )


_HELD_OF_SERIES: Final = _held(
    holding.c.series_id == sa.bindparam("after_series"),
    holding.c.start_serial > sa.bindparam("after_serial"),
)
_HELD: Final = _held(
    sa.tuple_(holding.c.series_id, holding.c.start_serial)
    > sa.tuple_(sa.bindparam("after_series"), sa.bindparam("after_serial"))
)


def load_held(
    connection: sa.Connection, account_id: str, series_id: str, quantity_kg: int
) -> list[HoldingRow]:
    """Give the account's held rows, lowest serials first, until they hold the quantity or there are no more.

    Args:
        connection: inside a transaction.
        account_id: whose.
        series_id: only this series; empty: any, in the order of series ids.
        quantity_kg: what they must hold together.
    """
    found: list[HoldingRow] = []
    held_kg = 0
    after_series, after_serial = series_id, -1
    while held_kg < quantity_kg:
        statement = _HELD_OF_SERIES if series_id else _HELD
        page = statement.rows(
            connection, account=account_id, after_series=after_series, after_serial=after_serial
        )
        for row in page:
            if held_kg >= quantity_kg:
                return found
            found.append(LocationRow(row[0], row[1], row[2], (account_id, HELD, b"")))
            held_kg += row[2] - row[1]
        if len(page) < HELD_ROWS_PER_PAGE:
            return found
        after_series, after_serial = page[-1][0], page[-1][1]
    return found


def load_pending_held(
    connection: sa.Connection,
    account_id: str,
    series_id: str,
    held: Sequence[HoldingRow],
    quantity_kg: int,
) -> list[HoldingRow]:
    """Give units of the account that are pending, where those that are held do not make up the quantity.

    They cannot be taken; whoever asks for them is told that they are on their way to being held.
    """
    if sum(row.end - row.start for row in held) >= quantity_kg:
        return []
    columns = holding.c
    statement = (
        sa.select(*(columns[name] for name in _COLUMNS))
        .where(columns.account_id == account_id, columns.state == HELD, columns.transfer_id != b"")
        .order_by(columns.series_id, columns.start_serial)
        .limit(HELD_ROWS_PER_PAGE)
    )
    if series_id:
        statement = statement.where(columns.series_id == series_id)
    return [_row(tuple(row)) for row in connection.execute(statement)]


def write_difference(
    connection: sa.Connection, deleted: Sequence[HoldingRow], inserted: Sequence[HoldingRow]
) -> int:
    """Take rows out and put rows in; the guard of the table refuses what would overlap.

    Returns:
        How many of the rows that were to be taken out were there.
    """
    gone = delete_by_key(
        connection,
        holding,
        ("series_id", "start_serial", "end_serial"),
        [(row.series_id, row.start, row.end) for row in deleted],
    )
    insert_rows(
        connection,
        holding,
        [(row.series_id, row.start, row.end, *row.place) for row in inserted],
        _COLUMNS,
    )
    return gone


def balance(connection: sa.Connection, account_id: str) -> dict[int, int]:
    """Give kilograms by state of one account."""
    rows = connection.execute(
        sa.select(holding.c.state, sa.func.sum(holding.c.end_serial - holding.c.start_serial))
        .where(holding.c.account_id == account_id)
        .group_by(holding.c.state)
    )
    return {row[0]: int(row[1]) for row in rows}


def list_holdings(
    connection: sa.Connection,
    *,
    account_id: str,
    series_id: str,
    after: tuple[str, int] | None,
    limit: int,
    viewer: Viewer | None = None,
) -> list[HoldingRow]:
    """Give a page of units held, locked or retiring, in the order of series and serial.

    Args:
        connection: inside a transaction.
        account_id: only of this account; empty: of all.
        series_id: only of this series; empty: of all.
        after: series and first serial behind which the page begins.
        limit: most rows.
        viewer: only of accounts that this one may see; None: of all.
    """
    columns = holding.c
    statement = (
        sa.select(*(columns[name] for name in _COLUMNS))
        .where(columns.state.in_((HELD, LOCKED, RETIRING)))
        .order_by(columns.series_id, columns.start_serial)
        .limit(limit)
    )
    if account_id:
        statement = statement.where(columns.account_id == account_id)
    if series_id:
        statement = statement.where(columns.series_id == series_id)
    if after is not None:
        statement = statement.where(sa.tuple_(columns.series_id, columns.start_serial) > sa.tuple_(*after))
    if viewer is not None:
        statement = statement.where(seen_among(columns.account_id, viewer))
    return [_row(tuple(row)) for row in connection.execute(statement)]


def holdings_after(connection: sa.Connection, after: tuple[str, int] | None, limit: int) -> list[HoldingRow]:
    """Give rows behind a position (series, first serial), in that order; from the beginning for None."""
    columns = holding.c
    query = sa.select(*(columns[name] for name in _COLUMNS)).order_by(columns.series_id, columns.start_serial)
    if after is not None:
        series_id, start = after
        query = query.where(
            sa.or_(
                columns.series_id > series_id,
                sa.and_(columns.series_id == series_id, columns.start_serial > start),
            )
        )
    return [_row(tuple(row)) for row in connection.execute(query.limit(limit))]


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """What a series is named by; it never changes."""

    series_id: str
    region_code: str
    programme: str
    source_id: str
    vintage_year: int
    batch_number: int
    methodology_id: str
    unit_class: str


def load_series(connection: sa.Connection, series_ids: Iterable[str]) -> dict[str, SeriesRow]:
    """Give the series that this node knows, by id."""
    wanted = [(series_id,) for series_id in dict.fromkeys(series_ids)]
    rows = rows_by_key(connection, series, ("series_id",), wanted)
    return {row[0]: SeriesRow(*row) for row in rows}


def load_series_from(connection: sa.Connection, source_id: str, home: str) -> dict[str, SeriesRow]:
    """Give the series of a source that is not of this region, by id."""
    columns = series.c
    rows = connection.execute(
        sa.select(series)
        .where(columns.source_id == source_id, columns.region_code != home)
        .order_by(columns.series_id)
        .limit(SERIES_SHOWN_MAX)
    )
    return {row[0]: SeriesRow(*row) for row in rows}


def insert_series(connection: sa.Connection, rows: Sequence[SeriesRow]) -> None:
    """Note series that are new here."""
    insert_rows(
        connection,
        series,
        [
            (
                row.series_id,
                row.region_code,
                row.programme,
                row.source_id,
                row.vintage_year,
                row.batch_number,
                row.methodology_id,
                row.unit_class,
            )
            for row in rows
        ],
    )
