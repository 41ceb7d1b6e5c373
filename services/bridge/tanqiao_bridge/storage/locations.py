"""Where every unit is: reading the rows that a group touches, and writing the difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import delete_by_key, insert_rows
from tanqiao.db.spans import rows_touching
from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock
from tanqiao_bridge.storage.tables import location

HELD: Final = 1
USED: Final = 2
CANCELLED: Final = 3

_COLUMNS: Final = ("series_id", "start_serial", "end_serial", "region", "state", "log_index")


@record
class LocationRow:
    """A block and where it is: held at a region, or used or cancelled there."""

    block: UnitBlock
    region: str
    state: int
    log_index: int


def load_touched(connection: sa.Connection, blocks: Iterable[UnitBlock]) -> list[LocationRow]:
    """Give every row that shares a serial with one of the blocks or is adjacent to it, in order."""
    return [
        LocationRow(UnitBlock(row[0], row[1], row[2]), row[3], row[4], row[5])
        for row in sorted(
            rows_touching(connection, location, blocks, _COLUMNS), key=lambda row: (row[0], row[1])
        )
    ]


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
