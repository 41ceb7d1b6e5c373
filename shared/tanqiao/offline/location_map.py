"""The location map under one root, so that one leaf lets anybody prove where a unit is at an index.

Rows are the disjoint blocks of the map, as the merge rule of PROTOCOL section 5 leaves them. A row belongs to
the *page* of its series in which it begins; a page is `PAGE_SERIALS` serials wide. A page belongs to the
*bucket* that the hash of its name gives, one of `BUCKETS`. The root over the rows stands in the page, that
over the pages in the bucket, and the root of the map is that over the buckets (RFC 6962 each time), so that a
move changes some pages and sixteen hashes above each of them, however large the map is.

The leaf ``location_root`` carries the root of the map before the leaf's own index, so that who replays the
log has the same map. A serial is in at most one row of an honest map; that the map is the log's is what
witnesses check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, make_leaf, pack_items, unpack_items
from tanqiao.tlog.merkle import (
    EMPTY_ROOT,
    HASH_SIZE_BYTES,
    MemoryTree,
    hash_leaf,
    hash_node,
    root_of_leaf_hashes,
)

__all__ = [
    "BUCKETS",
    "HELD",
    "LOCATION_ROOT_KIND",
    "PAGE_SERIALS",
    "STATES",
    "LocationMap",
    "MapBucket",
    "MapPage",
    "MapRow",
    "PageKey",
    "bucket_of",
    "location_root_leaf",
    "page_key",
    "page_of_rows",
]

LOCATION_ROOT_KIND: Final = "location_root"
HELD, USED, CANCELLED = 1, 2, 3
STATES: Final = {
    HELD: ("held at", "持有于"),
    USED: ("used at", "已使用于"),
    CANCELLED: ("cancelled at", "已注销于"),
}
_NUMBER_BYTES: Final = 8
_PARTS: Final = 5
_PAGE_PARTS: Final = 4
PAGE_SERIALS: Final = 4_096
"""Serials of a page: at most so many rows are hashed again when one of them changes."""
BUCKETS: Final = 65_536
_LEVELS: Final = 17

PageKey = tuple[str, int]
"""Series and number of a page."""
RowValues = Sequence[Any]
"""A row as a table gives it: series, start, end, region, state."""


def page_key(series_id: str, start: int) -> PageKey:
    """Name the page of a row that begins at a serial."""
    return series_id, start // PAGE_SERIALS


def bucket_of(key: PageKey) -> int:
    """Give the bucket of a page: the first two bytes of SHA-256 over series and number (8 bytes)."""
    name = key[0].encode() + key[1].to_bytes(_NUMBER_BYTES, "big")
    return int.from_bytes(hashlib.sha256(name).digest()[:2], "big")


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

    @property
    def values(self) -> tuple[str, int, int, str, int]:
        """The row as a table gives it."""
        return self.series_id, self.start, self.end, self.region, self.state

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


@dataclass(frozen=True, slots=True, order=True)
class MapPage:
    """The rows of a series that begin in one stretch of serials.

    Args:
        series_id: the series.
        number: the rows begin in ``[number * PAGE_SERIALS, (number + 1) * PAGE_SERIALS)``.
        size: how many rows.
        root: over the framed rows, in order of start.
    """

    series_id: str
    number: int
    size: int
    root: bytes

    @property
    def key(self) -> PageKey:
        """Series and number."""
        return self.series_id, self.number

    def encode(self) -> bytes:
        """Write the page: four framed values."""
        return pack_items(
            [
                self.series_id.encode(),
                self.number.to_bytes(_NUMBER_BYTES, "big"),
                self.size.to_bytes(_NUMBER_BYTES, "big"),
                self.root,
            ]
        )

    @staticmethod
    def decode(data: bytes) -> MapPage:
        """Read a page strictly; `LOCATION_ROW` for what is none."""
        items = unpack_items(data)
        if len(items) != _PAGE_PARTS or len(items[3]) != HASH_SIZE_BYTES:
            raise TlogError("LOCATION_ROW", f"{len(items)} values of a page")
        page = MapPage(
            items[0].decode("ascii", "replace"),
            int.from_bytes(items[1], "big"),
            int.from_bytes(items[2], "big"),
            items[3],
        )
        if not page.size or page.encode() != data:
            raise TlogError("LOCATION_ROW", "not canonical")
        return page


@dataclass(frozen=True, slots=True)
class MapBucket:
    """The pages whose names hash to one number: how many, and the root over them in order of their names."""

    size: int
    root: bytes

    def encode(self) -> bytes:
        """Write the bucket: two framed values."""
        return pack_items([self.size.to_bytes(_NUMBER_BYTES, "big"), self.root])

    @staticmethod
    def decode(data: bytes) -> MapBucket:
        """Read a bucket strictly; `LOCATION_ROW` for what is none."""
        items = unpack_items(data)
        if [len(item) for item in items] != [_NUMBER_BYTES, HASH_SIZE_BYTES]:
            raise TlogError("LOCATION_ROW", f"{len(items)} values of a bucket")
        return MapBucket(int.from_bytes(items[0], "big"), items[1])


def page_of_rows(key: PageKey, rows: Iterable[RowValues]) -> MapPage | None:
    """Give the page of rows in order of start; None where there are none.

    The same bytes as `MapRow.encode` are hashed, framed once for the page: a map is hashed by the million.

    Raises:
        TlogError: `LOCATION_ROW` where two rows overlap or are out of order, or one belongs elsewhere.
    """
    series_id, number = key
    head = pack_items([series_id.encode()]) + _NUMBER_FRAME
    regions: dict[str, bytes] = {}
    first, behind, last = number * PAGE_SERIALS, (number + 1) * PAGE_SERIALS, 0
    hashes = []
    for row_series, start, end, region, state in rows:
        if start < last or not first <= start < behind or row_series != series_id:
            raise TlogError("LOCATION_ROW", f"{row_series} {start} is out of order")
        last = end
        place = regions.get(region)
        if place is None:
            place = regions[region] = pack_items([region.encode()]) + _STATE_FRAME
        framed = (head, start.to_bytes(8, "big"), _NUMBER_FRAME, end.to_bytes(8, "big"), place, _STATE[state])
        hashes.append(hash_leaf(b"".join(framed)))
    return MapPage(series_id, number, len(hashes), root_of_leaf_hashes(hashes)) if hashes else None


_NUMBER_FRAME: Final = (8).to_bytes(2, "big")
_STATE_FRAME: Final = (1).to_bytes(2, "big")
_STATE: Final = {state: bytes([state]) for state in STATES}


class LocationMap:
    """The hashes of a map's pages and of what stands above them.

    Memory grows with the pages, never with the rows; a change costs the hashes above it.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, dict[PageKey, bytes]] = {}
        empty = hash_leaf(_EMPTY_BUCKET.encode())
        self._levels: list[list[bytes]] = []
        for level in range(_LEVELS):
            self._levels.append([empty] * (BUCKETS >> level))
            empty = hash_node(empty, empty)

    @property
    def size(self) -> int:
        """How many pages there are."""
        return sum(map(len, self._buckets.values()))

    @property
    def root(self) -> bytes:
        """The root over all buckets."""
        return self._levels[-1][0]

    def put(self, pages: Mapping[PageKey, MapPage | None]) -> None:
        """Put pages in the place of those with their keys; None takes a page out."""
        changed = set()
        for key, page in pages.items():
            number = bucket_of(key)
            changed.add(number)
            bucket = self._buckets.setdefault(number, {})
            if page is not None:
                bucket[key] = hash_leaf(page.encode())
            else:
                bucket.pop(key, None)
        for number in changed:
            self._levels[0][number] = hash_leaf(self.bucket(number).encode())
        for level in range(1, _LEVELS):
            below, here = self._levels[level - 1], self._levels[level]
            changed = {number >> 1 for number in changed}
            for number in changed:
                here[number] = hash_node(below[2 * number], below[2 * number + 1])

    def has(self, page: MapPage) -> bool:
        """Whether the map has this very page."""
        return self._buckets.get(bucket_of(page.key), {}).get(page.key) == hash_leaf(page.encode())

    def bucket(self, number: int) -> MapBucket:
        """Give a bucket."""
        pages = self._buckets.get(number)
        if not pages:
            return _EMPTY_BUCKET
        return MapBucket(len(pages), root_of_leaf_hashes([pages[key] for key in sorted(pages)]))

    def page_path(self, key: PageKey) -> tuple[int, list[bytes]]:
        """Give the index of a page in its bucket, and its path there."""
        pages = self._buckets[bucket_of(key)]
        order = sorted(pages)
        index = order.index(key)
        return index, MemoryTree(pages[one] for one in order).inclusion_proof(index)

    def bucket_path(self, number: int) -> list[bytes]:
        """Give the path from a bucket to the root."""
        return [self._levels[level][(number >> level) ^ 1] for level in range(_LEVELS - 1)]


_EMPTY_BUCKET: Final = MapBucket(0, EMPTY_ROOT)


def location_root_leaf(size: int, root: bytes, as_of_index: int) -> Leaf:
    """Make the leaf of a map of `size` pages; `as_of_index` is the first log index that is not in the map."""
    return make_leaf(
        LOCATION_ROOT_KIND,
        public={
            "as_of_index": str(as_of_index).encode(),
            "root": root,
            "size": str(size).encode(),
        },
    )
