"""The location map under one root, so that one leaf lets anybody prove where a unit is at an index.

Rows are the disjoint blocks of the map, sorted by series and start. A row is framed canonically, the root is
that of RFC 6962 over the rows, and the leaf ``location_root`` carries it with the index up to which decisions
are in it. A serial is in at most one row of an honest map; that the map is the log's is what witnesses check.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, make_leaf, pack_items, unpack_items
from tanqiao.tlog.merkle import CompactRange, hash_leaf

__all__ = ["HELD", "LOCATION_ROOT_KIND", "STATES", "MapRow", "location_root_leaf", "root_of_rows"]

LOCATION_ROOT_KIND: Final = "location_root"
HELD, USED, CANCELLED = 1, 2, 3
STATES: Final = {
    HELD: ("held at", "持有于"),
    USED: ("used at", "已使用于"),
    CANCELLED: ("cancelled at", "已注销于"),
}
_NUMBER_BYTES: Final = 8
_PARTS: Final = 5


@dataclass(frozen=True, slots=True, order=True)
class MapRow:
    """A block and where it is.

    Args:
        series_id: its series.
        start: first serial.
        end: serial behind the last.
        region: region that holds it, or where it was used or cancelled.
        state: 1 held, 2 used, 3 cancelled.
    """

    series_id: str
    start: int
    end: int
    region: str
    state: int

    def encode(self) -> bytes:
        """Write the row: five framed values."""
        return pack_items(
            [
                self.series_id.encode(),
                self.start.to_bytes(_NUMBER_BYTES, "big"),
                self.end.to_bytes(_NUMBER_BYTES, "big"),
                self.region.encode(),
                bytes([self.state]),
            ]
        )

    @staticmethod
    def decode(data: bytes) -> MapRow:
        """Read a row strictly; `LOCATION_ROW` for what is none."""
        items = unpack_items(data)
        if len(items) != _PARTS:
            raise TlogError("LOCATION_ROW", f"{len(items)} values")
        row = MapRow(
            items[0].decode("ascii", "replace"),
            int.from_bytes(items[1], "big"),
            int.from_bytes(items[2], "big"),
            items[3].decode("ascii", "replace"),
            items[4][0] if items[4] else 0,
        )
        if row.state not in STATES or not row.start < row.end or row.encode() != data:
            raise TlogError("LOCATION_ROW", "not canonical")
        return row


def root_of_rows(rows: Iterable[MapRow]) -> tuple[int, bytes]:
    """Give number and root of the rows, which are sorted and disjoint.

    Raises:
        TlogError: `LOCATION_ROW` where two rows overlap or are out of order.
    """
    tree, last = CompactRange(), ("", 0)
    for row in rows:
        if (row.series_id, row.start) < last:
            raise TlogError("LOCATION_ROW", f"{row.series_id} {row.start} is out of order")
        last = (row.series_id, row.end)
        tree.append(hash_leaf(row.encode()))
    return tree.size, tree.root()


def location_root_leaf(size: int, root: bytes, as_of_index: int) -> Leaf:
    """Make the leaf; `as_of_index` is the first log index whose decisions are not in the map."""
    return make_leaf(
        LOCATION_ROOT_KIND,
        public={
            "as_of_index": str(as_of_index).encode(),
            "root": root,
            "size": str(size).encode(),
        },
    )
