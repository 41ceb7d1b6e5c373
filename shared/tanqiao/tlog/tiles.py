"""Tiles and entry bundles (C2SP tlog-tiles): a log as static files.

A tile of level L holds up to 256 consecutive hashes of tree level 8L; a full tile's own hash stands in the
tile above it, a partial tile (the right edge) is in no tile above. Entry bundles carry the leaves themselves,
each behind a 16-bit big-endian length. This module names tiles, says which ones a growth makes, packs and
unpacks them, and builds them leaf by leaf; `tanqiao.tlog.reading` authenticates those of others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import (
    EMPTY_ROOT,
    HASH_SIZE_BYTES,
    MAX_TREE_SIZE,
    CompactRange,
    Node,
    check_hash,
    check_tree_size,
)

__all__ = [
    "ENTRIES_LEVEL",
    "MAX_BUNDLE_BYTES",
    "MAX_ENTRY_BYTES",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "Tile",
    "TileBuilder",
    "TileSource",
    "bundles_of_growth",
    "decode_bundle",
    "encode_bundle",
    "parse_tile_path",
    "tile_of",
    "tile_root",
    "tiles_of_growth",
]

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
MAX_TILE_LEVEL: Final = 7  # levels 0 to 7 reach the root of every tree of fewer than 2^63 leaves
MAX_NODE_LEVEL: Final = 62  # the highest perfect subtree in a tree of fewer than 2^63 leaves
ENTRIES_LEVEL: Final = -1  # stands for entry bundles, in the manner of golang.org/x/mod/sumdb/tlog
MAX_ENTRY_BYTES: Final = 2**16 - 1
ENTRY_LENGTH_SIZE_BYTES: Final = 2
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (ENTRY_LENGTH_SIZE_BYTES + MAX_ENTRY_BYTES)
MAX_PATH_CHARACTERS: Final = 64

_NODE_PREFIX: Final = b"\x01"
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The name of a tile, or of an entry bundle when the level is `ENTRIES_LEVEL`.

    Raises:
        TlogError: `TILE_PATH` for a level, number or width that no tile has.
    """

    level: int
    number: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (
            ENTRIES_LEVEL <= self.level <= MAX_TILE_LEVEL
            and 0 <= self.number <= MAX_TREE_SIZE >> (TILE_HEIGHT * (max(self.level, 0) + 1))
            and 1 <= self.width <= TILE_WIDTH
        ):
            raise TlogError("TILE_PATH", f"level {self.level}, number {self.number}, width {self.width}")

    @property
    def is_full(self) -> bool:
        """Whether the tile has all its 256 hashes or entries."""
        return self.width == TILE_WIDTH

    @property
    def full(self) -> Tile:
        """The full tile at the same place."""
        return Tile(self.level, self.number)

    @property
    def path(self) -> str:
        """Path below the prefix of the log: ``tile/0/x001/x234/067.p/5``."""
        thousands, number = [], self.number
        while number >= 1000:  # noqa: PLR2004 - three digits in each element
            number, last = divmod(number, 1000)
            thousands.append(f"{last:03d}")
        thousands.append(f"{number:03d}")
        elements = [f"x{element}" for element in thousands[:0:-1]] + [thousands[0]]
        level = "entries" if self.level == ENTRIES_LEVEL else str(self.level)
        suffix = "" if self.is_full else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(elements)}{suffix}"


class TileSource(Protocol):
    """Port: where the bytes of tiles and bundles come from (files, a server, a table)."""

    def read_tile(self, tile: Tile) -> bytes:
        """Give the bytes of exactly this tile; nothing about them is believed.

        Raises:
            TlogError: `TILE_MISSING`, when there is none of this width.
        """
        ...


def parse_tile_path(path: str) -> Tile:
    """Read a path in its one canonical spelling; refuse any other with `TILE_PATH`."""
    found = _PATH.fullmatch(path) if len(path) <= MAX_PATH_CHARACTERS else None
    if found is None or not path.isascii():
        raise TlogError("TILE_PATH", ascii(path[:MAX_PATH_CHARACTERS]))
    level = ENTRIES_LEVEL if found["level"] == "entries" else int(found["level"])
    tile = Tile(
        level,
        int(found["number"].replace("/", "").replace("x", "")),
        int(found["width"]) if found["width"] else TILE_WIDTH,
    )
    if tile.path != path:
        raise TlogError("TILE_PATH", ascii(path))
    return tile


def tile_width_at(level: int, number: int, size: int) -> int:
    """Number of hashes that tile `number` of the level has in a tree of `size` leaves, 0 to 256."""
    hashes = size >> (TILE_HEIGHT * max(level, 0))
    return min(max(hashes - number * TILE_WIDTH, 0), TILE_WIDTH)


def tile_of(node: Node, size: int) -> tuple[Tile, int, int]:
    """Find the tile of a tree of `size` leaves that a node's hash is computed from.

    Returns:
        The tile as wide as it is at this size, the first hash of the node in it, and how many belong to it.

    Raises:
        TlogError: `TILE_OUT_OF_TREE`, when the tree has no such perfect subtree.
    """
    inside = 0 <= node.level <= MAX_NODE_LEVEL and 0 <= node.number < size >> node.level
    if not inside:
        raise TlogError("TILE_OUT_OF_TREE", f"level {node.level}, number {node.number}")
    level, height = divmod(node.level, TILE_HEIGHT)
    number, offset = divmod(node.number << height, TILE_WIDTH)
    return Tile(level, number, tile_width_at(level, number, size)), offset, 1 << height


def tiles_of_growth(old_size: int, new_size: int) -> Iterator[Tile]:
    """Name the tiles that a log of `new_size` leaves has and one of `old_size` leaves had not, bottom up."""
    _check_growth(old_size, new_size)
    for level in range(MAX_TILE_LEVEL + 1):
        yield from _row_of_growth(level, old_size >> (TILE_HEIGHT * level), new_size >> (TILE_HEIGHT * level))


def bundles_of_growth(old_size: int, new_size: int) -> Iterator[Tile]:
    """Name the entry bundles that a log of `new_size` leaves has and one of `old_size` leaves had not."""
    _check_growth(old_size, new_size)
    yield from _row_of_growth(ENTRIES_LEVEL, old_size, new_size)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Pack up to 256 entries, each behind its length.

    Raises:
        TlogError: `ENTRY_TOO_LARGE`, `BUNDLE_FORM` for no entry or too many.
    """
    if not 0 < len(entries) <= TILE_WIDTH:
        raise TlogError("BUNDLE_FORM", f"{len(entries)} entries")
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise TlogError("ENTRY_TOO_LARGE", f"{len(entry)} bytes")
        parts += (len(entry).to_bytes(ENTRY_LENGTH_SIZE_BYTES, "big"), entry)
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Unpack a bundle of exactly `width` entries, with nothing behind the last; else `BUNDLE_FORM`."""
    if not 1 <= width <= TILE_WIDTH or len(data) > MAX_BUNDLE_BYTES:
        raise TlogError("BUNDLE_FORM", f"{len(data)} bytes for {width} entries")
    entries: list[bytes] = []
    position = 0
    for _ in range(width):
        start = position + ENTRY_LENGTH_SIZE_BYTES
        position = start + int.from_bytes(data[position:start], "big")
        entries.append(data[start:position])
    # Slices beyond the end are short, so that a cut-off bundle is found here: the end does not meet.
    if position != len(data):
        raise TlogError("BUNDLE_FORM", f"{len(data)} bytes where {position} belong")
    return entries


def tile_root(data: bytes) -> bytes:
    """Hash the concatenated hashes of a tile, or of an aligned power-of-two part, into the node over them."""
    count, remainder = divmod(len(data), HASH_SIZE_BYTES)
    if remainder or count == 0 or count & (count - 1):
        raise TlogError("TILE_SIZE", f"{len(data)} bytes")
    pair = 2 * HASH_SIZE_BYTES
    while len(data) > HASH_SIZE_BYTES:
        data = b"".join(
            [sha256(_NODE_PREFIX + data[at : at + pair]).digest() for at in range(0, len(data), pair)]
        )
    return data


class TileBuilder:
    """Grows a log's tiles leaf by leaf and gives those that changed: what a sealer stores with a checkpoint.

    Cost: one SHA-256 a leaf on average, whatever the size of the log; memory: the open tiles, 8 kB for each
    of at most eight levels, and what was finished since the last `take_tiles`.
    """

    def __init__(self) -> None:
        self._range = CompactRange()
        self._open: dict[int, bytearray] = {}
        self._finished: dict[Tile, bytes] = {}
        self._taken_size = 0

    @classmethod
    def resume(cls, size: int, root: bytes, source: TileSource) -> TileBuilder:
        """Continue a log from its stored right edge.

        Args:
            size: leaves sealed so far.
            root: root that was persisted for this size; the stored tiles must lead to it.
            source: where the partial tiles of this size are.

        Raises:
            TlogError: `LOG_ROLLED_BACK` when they do not, `TILE_MISSING`, `TILE_SIZE`, `TREE_SIZE`.
        """
        check_tree_size(size)
        builder = cls()
        hashes: list[bytes] = []
        for level in range(MAX_TILE_LEVEL, -1, -1):
            number, width = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
            if width:
                data = source.read_tile(Tile(level, number, width))
                if len(data) != width * HASH_SIZE_BYTES:
                    raise TlogError("TILE_SIZE", f"{len(data)} bytes for width {width}")
                builder._open[level] = bytearray(data)
                hashes += _edge_hashes(data, width)
        builder._range = CompactRange(size, hashes)
        builder._taken_size = size
        if builder._range.root() != root:
            raise TlogError("LOG_ROLLED_BACK", f"size {size}")
        return builder

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._range.size

    def root(self) -> bytes:
        """Root of all leaves so far."""
        return self._range.root() if self._range.size else EMPTY_ROOT

    def open_hashes(self) -> bytes:
        """Leaf hashes, concatenated, of the level-0 tile that is not full yet; empty when there is none."""
        return bytes(self._open.get(0, b""))

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Append leaf hashes in the order of the log."""
        added = [check_hash(leaf_hash) for leaf_hash in leaf_hashes]
        first = self._range.size
        above = self._range.grow(added, TILE_HEIGHT)
        for position, leaf_hash in enumerate(added, first):
            self._put(0, position, leaf_hash)
        for node, value in above:
            self._put(node.level // TILE_HEIGHT, node.number, value)

    def take_tiles(self) -> dict[Tile, bytes]:
        """Give every tile that is new since the last call, the partial ones of the present size included."""
        taken = dict(self._finished)
        for tile in tiles_of_growth(self._taken_size, self.size):
            if not tile.is_full:
                taken[tile] = bytes(self._open[tile.level])
        self._finished.clear()
        self._taken_size = self.size
        return taken

    def _put(self, level: int, number: int, value: bytes) -> None:
        row = self._open.setdefault(level, bytearray())
        row += value
        if len(row) == TILE_WIDTH * HASH_SIZE_BYTES:
            self._finished[Tile(level, number // TILE_WIDTH)] = bytes(row)
            row.clear()


def _edge_hashes(data: bytes, width: int) -> list[bytes]:
    """Hashes of the perfect subtrees in a partial tile, left to right."""
    hashes, start = [], 0
    for height in range(TILE_HEIGHT - 1, -1, -1):
        if width >> height & 1:
            end = start + (HASH_SIZE_BYTES << height)
            hashes.append(tile_root(data[start:end]))
            start = end
    return hashes


def _row_of_growth(level: int, old_hashes: int, new_hashes: int) -> Iterator[Tile]:
    if old_hashes == new_hashes:
        return
    full_tiles, width = divmod(new_hashes, TILE_WIDTH)
    for number in range(old_hashes // TILE_WIDTH, full_tiles):
        yield Tile(level, number)
    if width:
        yield Tile(level, full_tiles, width)


def _check_growth(old_size: int, new_size: int) -> None:
    check_tree_size(old_size)
    check_tree_size(new_size)
    if old_size > new_size:
        raise TlogError("SIZES_DECREASE", f"from {old_size} to {new_size}")
