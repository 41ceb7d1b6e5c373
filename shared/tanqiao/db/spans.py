"""Look-ups in a table of disjoint blocks: which rows do some blocks touch, whatever the size of the table.

The table has the columns `series_id`, `start_serial` and `end_serial`, unique by (series, start) and by
(series, end), and the guard against overlaps. Every look-up is by one of the two indexes and costs the rows
that it gives, not those of the series. Of a table that has an index by (series, start) alone, on those of its
rows that are disjoint, `rows_within` gives the rows in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import PARAMETERS_PER_STATEMENT_MAX, slices, statement_size
from tanqiao.db.direct import fetch
from tanqiao.kernel.units import UnitBlock

_PARAMETERS_PER_SPAN: Final = 3
_SPANS_PER_QUERY_MAX: Final = PARAMETERS_PER_STATEMENT_MAX // _PARAMETERS_PER_SPAN // 2
STATEMENTS_KEPT_MAX: Final = 256

Span = tuple[Any, Any, Any]
_NO_SPAN: Final[Span] = (None, None, None)

# Rows that begin within the span or right behind it, and the one that ends at its start or later: blocks are
# disjoint, so that this is the only one which begins before the span and reaches it.
_TOUCHED: Final = (
    "SELECT {columns} FROM k {join} {table} AS h ON h.series_id = k.series_id "
    "AND h.start_serial BETWEEN k.start_serial AND k.end_serial "
    "UNION "
    "SELECT {columns} FROM k {join} {table} AS h ON h.series_id = k.series_id AND h.end_serial = "
    "(SELECT min(x.end_serial) FROM {table} AS x "
    "WHERE x.series_id = k.series_id AND x.end_serial >= k.start_serial) "
    "WHERE h.start_serial <= k.end_serial"
)

# The row that begins at the span's start or last before it, where it reaches the span; and those within it.
_WITHIN: Final = (
    "SELECT {columns} FROM k {join} {table} AS h ON h.series_id = k.series_id "
    "AND h.start_serial > k.start_serial AND h.start_serial < k.end_serial WHERE h.{only} "
    "UNION "
    "SELECT {columns} FROM k {join} {table} AS h ON h.series_id = k.series_id AND h.start_serial = "
    "(SELECT max(x.start_serial) FROM {table} AS x "
    "WHERE x.series_id = k.series_id AND x.start_serial <= k.start_serial AND x.{only}) "
    "WHERE h.end_serial > k.start_serial AND h.{only}"
)

_ARRAYS: Final = (
    "WITH k (series_id, start_serial, end_serial) AS "
    "(SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])) "
)


def rows_touching(
    connection: sa.Connection, table: sa.Table, blocks: Iterable[UnitBlock], columns: Sequence[str]
) -> list[Sequence[Any]]:
    """Give every row that shares a serial with one of the blocks or is adjacent to it, each once.

    Args:
        connection: inside a transaction.
        table: as the module's text says.
        blocks: in any order; blocks that touch are one look-up.
        columns: names of the columns wanted, the first two `series_id` and `start_serial`.

    Returns:
        Rows in no particular order, with the driver's own values.
    """
    return _found(connection, _TOUCHED, table, blocks, tuple(columns))


def rows_within(
    connection: sa.Connection,
    table: sa.Table,
    blocks: Iterable[UnitBlock],
    columns: Sequence[str],
    *,
    only: str,
) -> list[Sequence[Any]]:
    """Give every row that shares a serial with one of the blocks, each once, of those that are disjoint.

    Args:
        connection: inside a transaction.
        table: with an index by (series, start) of the rows that `only` is true of.
        blocks: in any order; blocks that touch are one look-up.
        columns: names of the columns wanted, the first two `series_id` and `start_serial`.
        only: name of the boolean column that is true of the rows wanted: they are disjoint.

    Returns:
        Rows in no particular order, with the driver's own values.
    """
    return _found(connection, _WITHIN.replace("{only}", only), table, blocks, tuple(columns))


def _found(
    connection: sa.Connection,
    form: str,
    table: sa.Table,
    blocks: Iterable[UnitBlock],
    columns: tuple[str, ...],
) -> list[Sequence[Any]]:
    found: dict[tuple[str, int], Sequence[Any]] = {}
    for part in slices(_spans(blocks), _SPANS_PER_QUERY_MAX):
        for values in _looked_up(connection, form, table, part, columns):
            found[values[0], values[1]] = values
    return list(found.values())


def _looked_up(
    connection: sa.Connection,
    form: str,
    table: sa.Table,
    spans: Sequence[Sequence[Any]],
    columns: tuple[str, ...],
) -> Sequence[Sequence[Any]]:
    if connection.dialect.name == "sqlite":
        size = statement_size(len(spans))
        padded = [*spans, *[_NO_SPAN] * (size - len(spans))]
        parameters: tuple[Any, ...] = tuple(value for span in padded for value in span)
        return fetch(connection, _sqlite(form, table, columns, size), parameters)
    parameters = tuple(list(column) for column in zip(*spans, strict=True))
    return fetch(connection, _postgres(form, table, columns), parameters)


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _sqlite(form: str, table: sa.Table, columns: tuple[str, ...], size: int) -> str:
    values = ", ".join(["(?, ?, ?)"] * size)
    # CROSS JOIN keeps the spans outside: one index look-up for each.
    return f"WITH k (series_id, start_serial, end_serial) AS (VALUES {values}) " + _filled(
        form, table, columns, "CROSS JOIN"
    )


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _postgres(form: str, table: sa.Table, columns: tuple[str, ...]) -> str:
    return _ARRAYS + _filled(form, table, columns, "JOIN")


def _filled(form: str, table: sa.Table, columns: Sequence[str], join: str) -> str:
    """Make the statement of the names of our own tables; every value is a parameter."""
    names = ", ".join(f"h.{name}" for name in columns)
    return form.format(columns=names, join=join, table=table.name)


def _spans(blocks: Iterable[UnitBlock]) -> list[Span]:
    """Join blocks that touch: one look-up for each span."""
    spans: list[Span] = []
    for block in sorted(blocks):
        if spans and spans[-1][0] == block.series_id and block.start <= spans[-1][2]:
            series_id, start, end = spans[-1]
            spans[-1] = (series_id, start, max(end, block.end))
        else:
            spans.append((block.series_id, block.start, block.end))
    return spans
