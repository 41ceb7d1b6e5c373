"""A map from serials to values, kept as disjoint ranges in order. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from tanqiao.kernel.units import SERIAL_MAX, UnitBlock

V = TypeVar("V")
Position = tuple[str, int]
"""A series id and a serial of it."""


class SerialMap(Generic[V]):
    """What stands at each serial of each series; a serial that was never painted has no value."""

    def __init__(self) -> None:
        self._starts: dict[str, list[int]] = {}
        self._pieces: dict[str, list[tuple[int, int, V]]] = {}

    def pieces_in(self, block: UnitBlock) -> list[tuple[UnitBlock, V]]:
        """Give what stands within the block, cut to it, in order; serials without a value are left out."""
        return [
            (
                UnitBlock(block.series_id, max(start, block.start), min(end, block.end)),
                value,
            )
            for start, end, value in self._overlapping(block)
        ]

    def covers(self, block: UnitBlock, value: V) -> bool:
        """Whether the value stands at every serial of the block."""
        found = self.pieces_in(block)
        return sum(piece.quantity_kg for piece, _ in found) == block.quantity_kg and all(
            known == value for _, known in found
        )

    def is_empty(self, block: UnitBlock) -> bool:
        """Whether no serial of the block has a value."""
        return not self._overlapping(block)

    def paint(self, block: UnitBlock, value: V) -> None:
        """Put the value at every serial of the block, in place of what stood there."""
        self._replace(block, [(block.start, block.end, value)])

    def erase(self, block: UnitBlock) -> None:
        """Take the value from every serial of the block."""
        self._replace(block, [])

    def __iter__(self) -> Iterator[tuple[UnitBlock, V]]:
        """Give every piece in order of series and serial; adjacent pieces of one value are joined."""
        for series_id in sorted(self._pieces):
            yield from _joined(series_id, self._pieces[series_id])

    def within(self, begin: Position, end: Position | None) -> Iterator[tuple[UnitBlock, V]]:
        """Give the pieces from a position on and before another, cut to them; joined, in order.

        Args:
            begin: series and serial; the first serial that counts.
            end: the first that counts no more; None for all that follows.
        """
        for series_id in sorted(self._pieces):
            first = begin[1] if series_id == begin[0] else 0
            last = end[1] if end is not None and series_id == end[0] else SERIAL_MAX
            if series_id < begin[0] or (end is not None and series_id > end[0]) or first >= last:
                continue
            pieces = self.pieces_in(UnitBlock(series_id, first, last))
            yield from _joined(series_id, [(block.start, block.end, value) for block, value in pieces])

    def _span(self, block: UnitBlock) -> tuple[int, int]:
        """Give the positions of the pieces that overlap the block."""
        pieces = self._pieces.setdefault(block.series_id, [])
        starts = self._starts.setdefault(block.series_id, [])
        first = max(bisect_right(starts, block.start) - 1, 0)
        while first < len(pieces) and pieces[first][1] <= block.start:
            first += 1
        last = first
        while last < len(pieces) and pieces[last][0] < block.end:
            last += 1
        return first, last

    def _overlapping(self, block: UnitBlock) -> list[tuple[int, int, V]]:
        first, last = self._span(block)
        return self._pieces[block.series_id][first:last]

    def _replace(self, block: UnitBlock, middle: list[tuple[int, int, V]]) -> None:
        first, last = self._span(block)
        pieces = self._pieces[block.series_id]
        fresh = list(middle)
        for start, end, value in pieces[first:last]:
            if start < block.start:
                fresh.insert(0, (start, block.start, value))
            if end > block.end:
                fresh.append((block.end, end, value))
        pieces[first:last] = fresh
        self._starts[block.series_id][first:last] = [start for start, _, _ in fresh]


def _joined(series_id: str, pieces: Iterable[tuple[int, int, V]]) -> Iterator[tuple[UnitBlock, V]]:
    joined: tuple[int, int, V] | None = None
    for start, end, value in pieces:
        if joined is not None and joined[1] == start and joined[2] == value:
            joined = (joined[0], end, value)
            continue
        if joined is not None:
            yield UnitBlock(series_id, joined[0], joined[1]), joined[2]
        joined = (start, end, value)
    if joined is not None:
        yield UnitBlock(series_id, joined[0], joined[1]), joined[2]
