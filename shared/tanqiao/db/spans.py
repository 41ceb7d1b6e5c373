"""Look-ups in a table of disjoint blocks: which rows do some blocks touch, whatever the size of the table.

The table has the columns `series_id`, `start_serial` and `end_serial`, unique by (series, start) and by
(series, end), and the guard against overlaps. Every look-up is by one of the two indexes and costs the rows
that it gives, not those of the series.
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
    found: dict[tuple[str, int], Sequence[Any]] = {}
    for part in slices(_spans(blocks), _SPANS_PER_QUERY_MAX):
        for values in _touching(connection, table, part, tuple(columns)):
            found[values[0], values[1]] = values
    return list(found.values())


def _touching(
    connection: sa.Connection, table: sa.Table, spans: Sequence[Sequence[Any]], columns: tuple[str, ...]
) -> Sequence[Sequence[Any]]:
    if connection.dialect.name == "sqlite":
        size = statement_size(len(spans))
        padded = [*spans, *[_NO_SPAN] * (size - len(spans))]
        parameters: tuple[Any, ...] = tuple(value for span in padded for value in span)
        return fetch(connection, _sqlite(table, columns, size), parameters)
    parameters = tuple(list(column) for column in zip(*spans, strict=True))
    return fetch(connection, _postgres(table, columns), parameters)


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _sqlite(table: sa.Table, columns: tuple[str, ...], size: int) -> str:
    values = ", ".join(["(?, ?, ?)"] * size)
    # CROSS JOIN keeps the spans outside: one index look-up for each.
    return f"WITH k (series_id, start_serial, end_serial) AS (VALUES {values}) " + _touched(
        table, columns, "CROSS JOIN"
    )


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _postgres(table: sa.Table, columns: tuple[str, ...]) -> str:
    return _ARRAYS + _touched(table, columns, "JOIN")


def _touched(table: sa.Table, columns: Sequence[str], join: str) -> str:
    """Make the statement of the names of our own tables; every value is a parameter."""
    names = ", ".join(f"h.{name}" for name in columns)
    return _TOUCHED.format(columns=names, join=join, table=table.name)


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
