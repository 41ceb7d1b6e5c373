"""Reads a location table as the pages of its map (PROTOCOL section 8; `tanqiao.offline.location_map`).

The bridge and each witness keep such a table: ``series_id, start_serial, end_serial, region, state``. Pages
are read as ranges of its primary key, many in one statement; the whole map is read once, as a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.offline.location_map import (
    PAGE_SERIALS,
    MapPage,
    MapRow,
    PageKey,
    RowValues,
    page_key,
    page_of_rows,
)

PAGES_PER_QUERY_MAX: Final = 100
ROWS_PER_SLICE: Final = 2_000
"""Rows read between two pauses while the whole map is read."""


class LocationPages:
    """Pages of one location table.

    Args:
        table: the table.
    """

    def __init__(self, table: sa.Table) -> None:
        columns = table.c
        self._columns = columns
        self._rows = sa.select(
            columns.series_id, columns.start_serial, columns.end_serial, columns.region, columns.state
        ).order_by(columns.series_id, columns.start_serial)

    def rows_of(self, connection: sa.Connection, keys: Iterable[PageKey]) -> dict[PageKey, list[RowValues]]:
        """Give the rows of pages, in order of start; a page without rows gives an empty list."""
        wanted = sorted(keys)
        found: dict[PageKey, list[RowValues]] = {key: [] for key in wanted}
        columns = self._columns
        for at in range(0, len(wanted), PAGES_PER_QUERY_MAX):
            ranges = (
                sa.and_(
                    columns.series_id == series_id,
                    columns.start_serial >= number * PAGE_SERIALS,
                    columns.start_serial < (number + 1) * PAGE_SERIALS,
                )
                for series_id, number in wanted[at : at + PAGES_PER_QUERY_MAX]
            )
            for row in connection.execute(self._rows.where(sa.or_(*ranges))):
                found[page_key(row[0], row[1])].append(row)
        return found

    def rows_of_series(self, connection: sa.Connection, series_id: str) -> list[MapRow]:
        """Give all rows of a series, in order of start."""
        rows = connection.execute(self._rows.where(self._columns.series_id == series_id))
        return [MapRow(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def pages_of(self, connection: sa.Connection, keys: Iterable[PageKey]) -> dict[PageKey, MapPage | None]:
        """Give pages as they are now, None for one without rows."""
        return {key: page_of_rows(key, rows) for key, rows in self.rows_of(connection, keys).items()}

    def read_all(
        self, connection: sa.Connection, pause: Callable[[], object] | None = None
    ) -> dict[PageKey, MapPage | None]:
        """Read the whole map, page by page; memory grows with the pages alone.

        Args:
            connection: of one snapshot.
            pause: called between two slices, so that whoever shares the processor gets his turn.
        """
        result = connection.execute(self._rows.execution_options(yield_per=ROWS_PER_SLICE))
        return {key: page_of_rows(key, rows) for key, rows in groupby(_slices(result, pause), key=_key_of)}


def _slices(result: sa.CursorResult[Any], pause: Callable[[], object] | None) -> Iterator[RowValues]:
    for rows in result.partitions():
        yield from rows
        if pause is not None:
            pause()


def _key_of(row: RowValues) -> PageKey:
    return page_key(row[0], row[1])
