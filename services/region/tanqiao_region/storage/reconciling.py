"""This node's books as reconciliation compares them: series by series, what is locked or retiring held."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

import sqlalchemy as sa

from tanqiao.protocol.reconciliation import CANCELLED, HELD, USED, SeriesBlocks
from tanqiao_region.storage.tables import holding

ROWS_PER_FETCH: Final = 20_000
_STATES: Final = (0, HELD, HELD, HELD, USED, CANCELLED)
"""By the number of the holding's state: held, locked, retiring, used, cancelled."""


def books_of(connection: sa.Connection, series_id: str | None = None) -> Iterator[tuple[str, SeriesBlocks]]:
    """Give the blocks of this node, series by series, in no order that counts."""
    columns = holding.c
    statement = sa.select(
        columns.series_id, columns.start_serial, columns.end_serial, columns.state
    ).order_by(columns.series_id, columns.start_serial)
    if series_id is not None:
        statement = statement.where(columns.series_id == series_id)
    result = connection.execution_options(yield_per=ROWS_PER_FETCH).execute(statement)
    rows = (row for part in result.partitions() for row in part)
    for name, of_series in groupby(rows, key=lambda row: row[0]):
        yield name, SeriesBlocks((row[1], row[2], _STATES[row[3]]) for row in of_series)
