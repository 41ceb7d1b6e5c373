"""Reading a log of strangers: every hash and entry is authenticated by a checkpoint before it is handed out.

The right edge (at most eight partial tiles and their full parents' last hashes) must hash to the root; each
other tile must hash to what the tile above says of it; each entry must hash to its leaf. A tile is thus
believed from the root downwards, and an entry is given to the caller only when its whole path holds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import (
    EMPTY_ROOT,
    HASH_SIZE_BYTES,
    CompactRange,
    Node,
    check_hash,
    check_tree_size,
)
from tanqiao.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_BUNDLE_BYTES,
    MAX_TILE_LEVEL,
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    TileSource,
    decode_bundle,
    tile_of,
    tile_root,
    tile_width_at,
)

__all__ = ["Audit", "LogReader", "audit_log"]

MAX_CACHED_TILES: Final = 1024  # 8 MiB of hashes: the upper levels of any log that can be walked

_LEAF_PREFIX: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit read: all of it hashed to the root."""

    size: int
    tiles: int
    bundles: int
    entry_bytes: int


class LogReader:
    """Authenticated view of the log of `size` leaves with this root; a `HashReader`.

    Args:
        size: number of leaves, from a verified checkpoint.
        root: root, from the same checkpoint.
        source: where tiles come from; it may lie.

    Raises:
        TlogError: from every method, with a tile reason, when the source lies or lacks a tile. A partial tile
            that is gone is looked for in the full one, as C2SP tlog-tiles allows.
    """

    def __init__(self, size: int, root: bytes, source: TileSource) -> None:
        self.size = check_tree_size(size)
        self.root = check_hash(root)
        self._source = source
        self._cache: OrderedDict[Tile, bytes] = OrderedDict()
        self._edge: dict[int, bytes] = {}
        self.tiles_read = 0
        self._authenticate_edge()

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        """Give authenticated hashes of perfect subtrees."""
        hashes = []
        for node in nodes:
            tile, offset, count = tile_of(node, self.size)
            start = offset * HASH_SIZE_BYTES
            hashes.append(tile_root(self._tile(tile)[start : start + count * HASH_SIZE_BYTES]))
        return hashes

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Walk over the entries ``[start, end)`` with their indexes, each authenticated before it is given.

        Raises:
            TlogError: `INDEX_OUT_OF_TREE`, `BUNDLE_FORM`, `ENTRY_WRONG`, and the tile reasons.
        """
        last = self.size if end is None else end
        if not 0 <= start <= last <= self.size:
            raise TlogError("INDEX_OUT_OF_TREE", f"entries {start} to {last} of {self.size}")
        while start < last:
            number, offset = divmod(start, TILE_WIDTH)
            first = number * TILE_WIDTH
            entries, _ = self.bundle(number)
            stop = min(last - first, len(entries))
            yield from enumerate(entries[offset:stop], start)
            start = first + stop

    def bundle(self, number: int) -> tuple[list[bytes], int]:
        """Give the authenticated entries of a bundle and the bytes it took."""
        width = tile_width_at(ENTRIES_LEVEL, number, self.size) if number >= 0 else 0
        if width == 0:
            raise TlogError("TILE_OUT_OF_TREE", f"bundle {number}")
        hashes = self._tile(Tile(0, number, width))
        bundle = Tile(ENTRIES_LEVEL, number, width)
        data, given = self._fetch(bundle)
        entries = decode_bundle(data, given)[:width]
        # One comparison for the whole bundle; the culprit is looked for only when there is one.
        if b"".join([sha256(_LEAF_PREFIX + entry).digest() for entry in entries]) != hashes:
            raise TlogError("ENTRY_WRONG", bundle.path)
        return entries, len(data)

    def _authenticate_edge(self) -> None:
        if self.size == 0:
            if self.root != EMPTY_ROOT:
                raise TlogError("CHECKPOINT_EMPTY_ROOT")
            return
        hashes: list[bytes] = []
        for level in range(MAX_TILE_LEVEL, -1, -1):
            number, width = divmod(self.size >> (TILE_HEIGHT * level), TILE_WIDTH)
            if width:
                data = self._edge[level] = self._fetch_hashes(Tile(level, number, width))
                start = 0
                for height in range(TILE_HEIGHT - 1, -1, -1):
                    if width >> height & 1:
                        end = start + (HASH_SIZE_BYTES << height)
                        hashes.append(tile_root(data[start:end]))
                        start = end
        if CompactRange(self.size, hashes).root() != self.root:
            raise TlogError("TILE_WRONG", f"the right edge of {self.size} leaves")

    def _tile(self, tile: Tile) -> bytes:
        """Give the hashes of a tile of this tree after authenticating it and those above it."""
        if not tile.is_full:
            return self._edge[tile.level]
        missing = []
        while tile.is_full and tile not in self._cache:
            missing.append(tile)
            tile = self._parent(tile)
        if tile.is_full:
            data = self._cache[tile]
            self._cache.move_to_end(tile)
        else:
            data = self._edge[tile.level]
        while missing:
            tile = missing.pop()
            start = tile.number % TILE_WIDTH * HASH_SIZE_BYTES
            expected = data[start : start + HASH_SIZE_BYTES]
            data = self._fetch_hashes(tile)
            if tile_root(data) != expected:
                raise TlogError("TILE_WRONG", tile.path)
            self._cache[tile] = data
        while len(self._cache) > MAX_CACHED_TILES:
            self._cache.popitem(last=False)
        return data

    def _parent(self, tile: Tile) -> Tile:
        number = tile.number // TILE_WIDTH
        return Tile(tile.level + 1, number, tile_width_at(tile.level + 1, number, self.size))

    def _fetch_hashes(self, tile: Tile) -> bytes:
        data, given = self._fetch(tile)
        if len(data) != given * HASH_SIZE_BYTES:
            raise TlogError("TILE_SIZE", f"{tile.path}: {len(data)} bytes")
        self.tiles_read += 1
        return data[: tile.width * HASH_SIZE_BYTES]

    def _fetch(self, tile: Tile) -> tuple[bytes, int]:
        """Fetch a tile, or the full one in its place, and say how wide what came should be."""
        given = tile.width
        try:
            data = self._source.read_tile(tile)
        except TlogError as error:
            if tile.is_full or error.reason != "TILE_MISSING":
                raise
            data, given = self._source.read_tile(tile.full), TILE_WIDTH
        if len(data) > MAX_BUNDLE_BYTES:
            raise TlogError("TILE_SIZE", f"{tile.path}: {len(data)} bytes")
        return data, given


def audit_log(size: int, root: bytes, source: TileSource) -> Audit:
    """Read a whole log, every tile and every entry, and check that all of it hashes to the root.

    Raises:
        TlogError: with the first tile, bundle or entry that does not belong.
    """
    reader = LogReader(size, root, source)
    bundles = entry_bytes = 0
    for number in range(-(-size // TILE_WIDTH)):
        _, count_bytes = reader.bundle(number)
        bundles += 1
        entry_bytes += count_bytes
    return Audit(size, reader.tiles_read, bundles, entry_bytes)
