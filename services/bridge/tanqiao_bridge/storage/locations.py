"""Where every unit is: reading the rows that a group touches, and writing the difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import delete_by_key, insert_rows
from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock
from tanqiao_bridge.storage.tables import location

HELD: Final = 1
USED: Final = 2
CANCELLED: Final = 3

RANGES_PER_QUERY_MAX: Final = 200
SERIES_PER_GROUP_READ_WHOLE_MAX: Final = 8


@record
class LocationRow:
    """A block and where it is: held at a region, or used or cancelled there."""

    block: UnitBlock
    region: str
    state: int
    log_index: int


def load_touched(connection: sa.Connection, blocks: Iterable[UnitBlock]) -> list[LocationRow]:
    """Give every row that shares a serial with one of the blocks or is adjacent to it.

    Blocks of a series are merged to spans first, so that a group costs one index range scan per span.
    """
    spans = _spans(blocks)
    rows: dict[tuple[str, int], LocationRow] = {}
    for at in range(0, len(spans), RANGES_PER_QUERY_MAX):
        part = spans[at : at + RANGES_PER_QUERY_MAX]
        columns = location.c
        statement = sa.select(
            columns.series_id,
            columns.start_serial,
            columns.end_serial,
            columns.region,
            columns.state,
            columns.log_index,
        ).where(
            sa.or_(
                *(
                    sa.and_(
                        columns.series_id == series_id,
                        columns.start_serial <= end,
                        columns.end_serial >= start,
                    )
                    for series_id, start, end in part
                )
            )
        )
        for row in connection.execute(statement):
            rows[row.series_id, row.start_serial] = LocationRow(
                UnitBlock(row.series_id, row.start_serial, row.end_serial),
                row.region,
                row.state,
                row.log_index,
            )
    return [rows[key] for key in sorted(rows)]


def _spans(blocks: Iterable[UnitBlock]) -> list[tuple[str, int, int]]:
    spans: list[tuple[str, int, int]] = []
    for block in sorted(blocks):
        if spans and spans[-1][0] == block.series_id and block.start <= spans[-1][2]:
            series_id, start, end = spans[-1]
            spans[-1] = (series_id, start, max(end, block.end))
        else:
            spans.append((block.series_id, block.start, block.end))
    return spans


def write_difference(
    connection: sa.Connection, deleted: Sequence[LocationRow], inserted: Sequence[LocationRow]
) -> None:
    """Take rows out and put rows in; the guard of the table refuses what would overlap."""
    delete_by_key(
        connection,
        location,
        ("series_id", "start_serial"),
        [(row.block.series_id, row.block.start) for row in deleted],
    )
    insert_rows(
        connection,
        location,
        [
            (row.block.series_id, row.block.start, row.block.end, row.region, row.state, row.log_index)
            for row in inserted
        ],
    )
