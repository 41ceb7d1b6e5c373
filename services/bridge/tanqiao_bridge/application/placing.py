"""The rows of the location map that some blocks touch, and what is done to them in a group's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationBook, LocationRow
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage import locations

Place = tuple[str, int]
"""Region and state."""


@dataclass(slots=True)
class Placing:
    """Loaded rows, before and after: `book` is changed, `write` writes the difference."""

    group: Group
    rows: dict[tuple[str, int], locations.LocationRow]
    book: LocationBook[Place]

    @staticmethod
    def of(group: Group, blocks: Sequence[UnitBlock]) -> Placing:
        """Load what the blocks touch, with the neighbours that pieces merge with."""
        rows = locations.load_touched(group.connection, blocks)
        book: LocationBook[Place] = LocationBook(
            LocationRow(row.block.series_id, row.block.start, row.block.end, (row.region, row.state))
            for row in rows
        )
        return Placing(group, {(row.block.series_id, row.block.start): row for row in rows}, book)

    def write(self, log_index: int | None = None) -> None:
        """Write the difference at an index of the log; None: each row at that which it was stamped with."""
        difference = self.book.difference()
        self.group.write_locations(
            [self.rows[row.series_id, row.start] for row in difference.deleted],
            [
                locations.LocationRow(
                    UnitBlock(row.series_id, row.start, row.end),
                    *row.place,
                    self.book.stamp_of(row) if log_index is None else log_index,
                )
                for row in difference.inserted
            ],
        )
