"""Where every serial is, for one group of items: loaded once, changed in memory, written as a difference.

A book holds disjoint rows ``(series, [start, end), place)``. A *place* is any hashable value: at the bridge
region and state, at a region account, state and flags. Items are taken in order, each as if alone; where two
touch one serial the first wins and the second is told which blocks are not where it needs them (PROTOCOL
section 5, compare-and-set). Every operation conserves serials. Adjacent rows of equal place are merged where
they are touched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock

PlaceT = TypeVar("PlaceT", bound=Hashable)

_NOWHERE: Final = object()
_PlaceTest = Callable[[object], bool]


class LocationRow(NamedTuple, Generic[PlaceT]):
    """Serials [start, end) of a series at one place."""

    series_id: str
    start: int
    end: int
    place: PlaceT


class Difference(NamedTuple, Generic[PlaceT]):
    """What to write: rows that are gone and rows that are new, each in order of series and serial."""

    deleted: tuple[LocationRow[PlaceT], ...]
    inserted: tuple[LocationRow[PlaceT], ...]


class _Series(Generic[PlaceT]):
    """Rows of one series as parallel lists, in order of serial; `stamps` says what wrote each last."""

    __slots__ = ("ends", "places", "stamps", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.places: list[PlaceT] = []
        self.stamps: list[int] = []


class LocationBook(Generic[PlaceT]):
    """The rows that a group touches, and what the group does to them.

    Args:
        rows: disjoint rows as loaded, in any order. Rows beside a block need not be loaded; then they are
            not merged with. Overlapping rows break an invariant.
    """

    __slots__ = ("_loaded", "_series", "stamp")

    def __init__(self, rows: Iterable[LocationRow[PlaceT]] = ()) -> None:
        self.stamp = 0
        """Index of the log that every row gets which is written from now on."""
        self._series: dict[str, _Series[PlaceT]] = {}
        loaded = sorted(rows, key=_row_order)
        self._loaded = set(loaded)
        for row in loaded:
            series = self._series.get(row.series_id)
            if series is None:
                series = self._series[row.series_id] = _Series()
            # The sentence is built only where it is needed: this runs for every row loaded.
            if row.start >= row.end or (series.ends and series.ends[-1] > row.start):
                require(row.start < row.end, f"row {row} holds no serial")
                require(condition=False, message=f"row {row} overlaps its neighbour")
            series.starts.append(row.start)
            series.ends.append(row.end)
            series.places.append(row.place)
            series.stamps.append(0)

    def rows(self) -> tuple[LocationRow[PlaceT], ...]:
        """Give all rows as they are now, in order of series and serial."""
        return tuple(
            LocationRow(series_id, start, end, place)
            for series_id, series in sorted(self._series.items())
            for start, end, place in zip(series.starts, series.ends, series.places, strict=True)
        )

    def place_of(self, series_id: str, serial: int) -> PlaceT | None:
        """Give the place of one serial, None if it is at none that was loaded."""
        series = self._series.get(series_id)
        if series is None:
            return None
        index = bisect_right(series.starts, serial) - 1
        return series.places[index] if index >= 0 and serial < series.ends[index] else None

    def stamp_of(self, row: LocationRow[PlaceT]) -> int:
        """Give the stamp under which a row that is in the book was written; 0 for one as it was loaded."""
        series = self._series[row.series_id]
        return series.stamps[bisect_right(series.starts, row.start) - 1]

    def elsewhere(self, blocks: Sequence[UnitBlock], place: PlaceT) -> tuple[UnitBlock, ...]:
        """Name the parts of the blocks that are not at the place, or that occur twice; empty if none."""
        if len(blocks) == 1:  # nearly always, and nearly always where it should be
            series = self._series.get(blocks[0].series_id)
            if series is not None and _span(series, blocks[0].start, blocks[0].end, place) is not None:
                return ()
        found: list[UnitBlock] = []
        for block in blocks:
            found.extend(self._parts(block, lambda at: at != place))
        if len(blocks) > 1:
            found.extend(_repeated(blocks))
        return tuple(found)

    def occupied(self, blocks: Sequence[UnitBlock]) -> tuple[UnitBlock, ...]:
        """Name the parts of the blocks that are at any place already, or that occur twice."""
        found: list[UnitBlock] = []
        for block in blocks:
            found.extend(self._parts(block, lambda at: at is not _NOWHERE))
        if len(blocks) > 1:
            found.extend(_repeated(blocks))
        return tuple(found)

    def move(
        self, blocks: Sequence[UnitBlock], from_place: PlaceT, to_place: PlaceT
    ) -> tuple[UnitBlock, ...]:
        """Move all blocks from one place to another, or none of them.

        Returns:
            Empty if they moved; otherwise the parts that are not at `from_place`, and nothing has changed.
        """
        if len(blocks) == 1:
            block = blocks[0]
            series = self._series.get(block.series_id)
            if series is not None:
                span = _span(series, block.start, block.end, from_place)
                if span is not None:
                    _replace(series, span, block.start, block.end, to_place, self.stamp)
                    return ()
            return self.elsewhere(blocks, from_place)
        failing = self.elsewhere(blocks, from_place)
        if not failing:
            for block in blocks:
                series = self._series[block.series_id]
                span = _span(series, block.start, block.end, from_place)
                require(span is not None, "what is not elsewhere is at its place")
                if span is not None:
                    _replace(series, span, block.start, block.end, to_place, self.stamp)
        return failing

    def register(self, blocks: Sequence[UnitBlock], place: PlaceT) -> tuple[UnitBlock, ...]:
        """Put new serials at a place, all or none; gives the parts that are at some place already."""
        failing = self.occupied(blocks)
        if not failing:
            for block in blocks:
                series = self._series.get(block.series_id)
                if series is None:
                    series = self._series[block.series_id] = _Series()
                index = bisect_right(series.starts, block.start)
                _put(series, index, index, [(block.start, block.end, place)], self.stamp)
        return failing

    def remove(self, blocks: Sequence[UnitBlock], place: PlaceT) -> tuple[UnitBlock, ...]:
        """Take serials out of the book, all or none; gives the parts that are not at the place.

        At a region this is what a COMMIT does to units that move out: from then on the book of another
        region has them.
        """
        failing = self.elsewhere(blocks, place)
        if not failing:
            for block in blocks:
                series = self._series[block.series_id]
                span = _span(series, block.start, block.end, place)
                require(span is not None, "what is not elsewhere is at its place")
                if span is not None:
                    rest = _rest(series, span, block.start, block.end)
                    _put(series, span[0], span[1], rest, self.stamp)
        return failing

    def difference(self) -> Difference[PlaceT]:
        """Give the net difference to what was loaded."""
        loaded = self._loaded
        present = set(self.rows())
        return Difference(
            tuple(sorted(loaded - present, key=_row_order)),
            tuple(sorted(present - loaded, key=_row_order)),
        )

    def _parts(self, block: UnitBlock, is_wrong: _PlaceTest) -> list[UnitBlock]:
        """Cut the block along the rows and give the wrong parts, neighbours joined."""
        series = self._series.get(block.series_id)
        wrong: list[tuple[int, int]] = []
        serial = block.start
        index = 0 if series is None else max(0, bisect_right(series.starts, block.start) - 1)
        while serial < block.end:
            serial_end = block.end
            place: object = _NOWHERE
            if series is not None:
                while index < len(series.ends) and series.ends[index] <= serial:
                    index += 1
                if index < len(series.starts):
                    if series.starts[index] <= serial:
                        serial_end, place = min(block.end, series.ends[index]), series.places[index]
                    else:
                        serial_end = min(block.end, series.starts[index])
            if is_wrong(place):
                if wrong and wrong[-1][1] == serial:
                    wrong[-1] = (wrong[-1][0], serial_end)
                else:
                    wrong.append((serial, serial_end))
            serial = serial_end
        return [UnitBlock(block.series_id, start, end) for start, end in wrong]


def _span(series: _Series[PlaceT], start: int, end: int, place: PlaceT) -> tuple[int, int] | None:
    """Indexes [first, last) of the rows that cover the range at the place without a gap, or None."""
    starts, ends, places = series.starts, series.ends, series.places
    first = bisect_right(starts, start) - 1
    if first < 0 or ends[first] <= start or places[first] != place:
        return None
    last = first
    while ends[last] < end:
        following = last + 1
        if following == len(starts) or starts[following] != ends[last] or places[following] != place:
            return None
        last = following
    return first, last + 1


def _rest(
    series: _Series[PlaceT], span: tuple[int, int], start: int, end: int
) -> list[tuple[int, int, PlaceT]]:
    """Give what the rows of the span hold outside the range."""
    first, last = span[0], span[1] - 1
    rest: list[tuple[int, int, PlaceT]] = []
    if series.starts[first] < start:
        rest.append((series.starts[first], start, series.places[first]))
    if series.ends[last] > end:
        rest.append((end, series.ends[last], series.places[last]))
    return rest


def _replace(
    series: _Series[PlaceT], span: tuple[int, int], start: int, end: int, place: PlaceT, stamp: int
) -> None:
    """Put the range, which the rows of the span cover, at another place."""
    rest = _rest(series, span, start, end)
    at = 1 if rest and rest[0][0] < start else 0
    rest.insert(at, (start, end, place))
    _put(series, span[0], span[1], rest, stamp)


def _put(
    series: _Series[PlaceT], first: int, last: int, rows: list[tuple[int, int, PlaceT]], stamp: int
) -> None:
    """Replace rows [first, last) by these, joined with each other and with equal neighbours."""
    starts, ends, places = series.starts, series.ends, series.places
    if rows and first > 0 and ends[first - 1] == rows[0][0] and places[first - 1] == rows[0][2]:
        first -= 1
        rows[0] = (starts[first], rows[0][1], rows[0][2])
    if rows and last < len(starts) and starts[last] == rows[-1][1] and places[last] == rows[-1][2]:
        rows[-1] = (rows[-1][0], ends[last], rows[-1][2])
        last += 1
    joined: list[tuple[int, int, PlaceT]] = []
    for row in rows:
        if joined and joined[-1][1] == row[0] and joined[-1][2] == row[2]:
            joined[-1] = (joined[-1][0], row[1], row[2])
        else:
            joined.append(row)
    starts[first:last] = [row[0] for row in joined]
    ends[first:last] = [row[1] for row in joined]
    places[first:last] = [row[2] for row in joined]
    series.stamps[first:last] = [stamp] * len(joined)


def _repeated(blocks: Sequence[UnitBlock]) -> list[UnitBlock]:
    """Give the parts of the blocks that an earlier one, in order of serial, holds too."""
    repeated: list[UnitBlock] = []
    ordered = sorted(blocks, key=_block_order)
    reach: UnitBlock | None = None
    for block in ordered:
        if reach is not None and reach.series_id == block.series_id and block.start < reach.end:
            repeated.append(UnitBlock(block.series_id, block.start, min(block.end, reach.end)))
            if block.end > reach.end:
                reach = block
        else:
            reach = block
    return repeated


def _row_order(row: LocationRow[PlaceT]) -> tuple[str, int]:
    return row.series_id, row.start


def _block_order(block: UnitBlock) -> tuple[str, int]:
    return block.series_id, block.start
