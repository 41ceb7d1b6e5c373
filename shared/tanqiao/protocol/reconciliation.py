"""Reconciliation of two books at a cut of the log (PROTOCOL section 7): fingerprints and differences.

A book of one series is its sorted, maximal blocks with the state that both sides know: held, used, cancelled;
what is locked or retiring is held, since the bridge has not decided. The fingerprint of a range is a SHA-256
Merkle tree over the blocks in it, cut at its ends, and splits 16 ways by serial, so that two sides that have
the same blocks have the same tree however their rows were cut. Sums and XOR are never a fingerprint.

The bridge's location is the truth at its log's present size n; a region's snapshot stands at an applied
index a ≤ n. What lies between is taken back from the bridge's side (`as_of`), which compares the same as
replaying it on the region's: a COMMIT away from the region is held there again, one to it is not there yet.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from struct import pack
from typing import Final, NamedTuple

HELD: Final = 1
USED: Final = 2
CANCELLED: Final = 3
ABSENT: Final = 0
STATE_NAMES: Final = {ABSENT: "", HELD: "HELD", USED: "USED", CANCELLED: "CANCELLED"}
STATES: Final = {name: state for state, name in STATE_NAMES.items()}

WAYS: Final = 16
LEAF_BLOCKS_MAX: Final = 256
"""Ranges with at most so many blocks are leaves of the tree, and are compared block by block."""
KEPT_BLOCKS_MAX: Final = 4_000_000
"""Blocks that one run keeps in memory, some 32 bytes each; series beyond are read again where they differ."""
_CELLS: Final = 3
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_SERIES: Final = b"\x02"


class Piece(NamedTuple):
    """Serials [start, end) of a series in one state."""

    start: int
    end: int
    state: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals and fingerprint of one series; quantities in kg."""

    series_id: str
    held_kg: int
    used_kg: int
    cancelled_kg: int
    block_count: int
    fingerprint: bytes
    end: int

    @property
    def quantity_kg(self) -> int:
        """Everything that is there."""
        return self.held_kg + self.used_kg + self.cancelled_kg


class SeriesBlocks:
    """The blocks of one series, sorted and merged.

    Args:
        pieces: in order of serial, disjoint; adjacent ones of one state are joined.
    """

    __slots__ = ("_cells", "_known", "_starts")

    def __init__(self, pieces: Iterable[tuple[int, int, int]]) -> None:
        self._starts = array("q")
        self._cells = array("q")
        self._known: dict[tuple[int, int], bytes] = {}
        starts, cells = self._starts, self._cells
        open_start = open_end = open_state = -1
        for start, end, state in pieces:
            if start == open_end and state == open_state:
                open_end = end
                continue
            if open_end >= 0:
                starts.append(open_start)
                cells.extend((open_start, open_end, open_state))
            open_start, open_end, open_state = start, end, state
        if open_end >= 0:
            starts.append(open_start)
            cells.extend((open_start, open_end, open_state))

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def end(self) -> int:
        """Serial behind the last block; 0 for none."""
        return self._cells[-2] if self._cells else 0

    def summary(self, series_id: str) -> Summary:
        """Give totals and fingerprint."""
        totals = [0, 0, 0, 0]
        cells = self._cells
        for start, end, state in zip(cells[0::3], cells[1::3], cells[2::3], strict=True):
            totals[state] += end - start
        fingerprint = self.fingerprint(0, span_of(self.end))
        return Summary(
            series_id, totals[HELD], totals[USED], totals[CANCELLED], len(self), fingerprint, self.end
        )

    def _bounds(self, start: int, end: int) -> tuple[int, int]:
        """Give the first block that reaches into the range, and the one behind the last."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._cells[_CELLS * first + 1] <= start:
            first += 1
        return first, max(first, bisect_left(self._starts, end))

    def count(self, start: int, end: int) -> int:
        """Give the number of blocks in the range."""
        first, behind = self._bounds(start, end)
        return behind - first

    def _cut(self, first: int, behind: int, start: int, end: int) -> array[int]:
        cells = self._cells[_CELLS * first : _CELLS * behind]
        if cells:
            cells[0] = max(cells[0], start)
            cells[-2] = min(cells[-2], end)
        return cells

    def pieces(self, start: int, end: int) -> list[Piece]:
        """Give the blocks of the range, cut at its ends."""
        cells = self._cut(*self._bounds(start, end), start, end)
        return [Piece(*cells[at : at + _CELLS]) for at in range(0, len(cells), _CELLS)]

    def fingerprint(self, start: int, end: int) -> bytes:
        """Give the fingerprint of the blocks in [start, end), cut at its ends; 32 bytes.

        Each is made once: the totals make those of every level.
        """
        known = self._known.get((start, end))
        if known is None:
            known = self._known[start, end] = self._fingerprint(start, end)
        return known

    def _fingerprint(self, start: int, end: int) -> bytes:
        first, behind = self._bounds(start, end)
        if behind - first <= LEAF_BLOCKS_MAX:
            cells = self._cut(first, behind, start, end)
            # One byte order on every machine.
            return sha256(_LEAF + pack(f"<{len(cells)}q", *cells)).digest()
        return sha256(
            _NODE + b"".join(self.fingerprint(low, high) for low, high in split(start, end))
        ).digest()


def span_of(end: int) -> int:
    """Give the end of the range that a series' tree covers: a power of 16 that is not below its end."""
    span = WAYS
    while span < end:
        span *= WAYS
    return span


def split(start: int, end: int) -> list[tuple[int, int]]:
    """Cut a range into its 16 parts."""
    width = -(-(end - start) // WAYS)
    return [(low, min(low + width, end)) for low in range(start, end, width)]


def root_of(summaries: Iterable[Summary]) -> bytes:
    """Give the fingerprint over all series, in order of their ids; 32 bytes."""
    digest = sha256(_SERIES)
    for one in summaries:
        name = one.series_id.encode()
        digest.update(len(name).to_bytes(2, "big") + name + one.fingerprint)
        digest.update(one.end.to_bytes(8, "big"))
    return digest.digest()


class Difference(NamedTuple):
    """Serials of which the two books do not say the same."""

    start: int
    end: int
    bridge_state: int
    region_state: int


def differences(bridge: Sequence[Piece], region: Sequence[Piece]) -> list[Difference]:
    """Name the serials that are not in the same state on both sides, in order, each stretch once."""
    edges = sorted({edge for piece in (*bridge, *region) for edge in (piece.start, piece.end)})
    found: list[Difference] = []
    at_bridge, at_region = _Cursor(bridge), _Cursor(region)
    for start, end in pairwise(edges):
        here, there = at_bridge.state(start), at_region.state(start)
        if here == there:
            continue
        last = found[-1] if found else None
        if last is not None and last[1:] == (start, here, there):
            found[-1] = Difference(last.start, end, here, there)
        else:
            found.append(Difference(start, end, here, there))
    return found


class _Cursor:
    """Walks along pieces in order."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._at = 0

    def state(self, serial: int) -> int:
        while self._at < len(self._pieces) and self._pieces[self._at].end <= serial:
            self._at += 1
        if self._at < len(self._pieces) and self._pieces[self._at].start <= serial:
            return self._pieces[self._at].state
        return ABSENT


# -- the cut -------------------------------------------------------------------------------------------


class Movement(NamedTuple):
    """What a leaf behind the cut did with units of a series, seen from one region: the state before it."""

    log_index: int
    start: int
    end: int
    state_before: int


def as_of(pieces: Iterable[tuple[int, int, int]], movements: Sequence[Movement]) -> Iterator[Piece]:
    """Take back what happened behind the cut: the pieces as they were, in order.

    Args:
        pieces: as they are now, in order, disjoint.
        movements: everything behind the cut that concerns the region, in any order.
    """
    before = _before(movements)
    at = 0
    for start, end, state in pieces:
        while at < len(before) and before[at].end <= start:
            yield from _there(before[at])
            at += 1
        serial = start
        while at < len(before) and before[at].start < end:
            if serial < before[at].start:
                yield Piece(serial, before[at].start, state)
            serial = max(serial, before[at].end)
            if before[at].end > end:
                break
            yield from _there(before[at])
            at += 1
        if serial < end:
            yield Piece(serial, end, state)
    for piece in before[at:]:
        yield from _there(piece)


def _there(piece: Piece) -> Iterator[Piece]:
    if piece.state != ABSENT:
        yield piece


def _before(movements: Sequence[Movement]) -> list[Piece]:
    """Give for every serial that moved its state before the first of the movements; disjoint, in order."""
    found: list[Piece] = []
    for movement in sorted(movements):  # the oldest says how it was
        gaps = [(movement.start, movement.end)]
        for piece in found:
            gaps = [part for gap in gaps for part in _without(gap, piece)]
        found.extend(Piece(start, end, movement.state_before) for start, end in gaps)
        found.sort()
    return found


def _without(gap: tuple[int, int], piece: Piece) -> Iterator[tuple[int, int]]:
    start, end = gap
    if piece.end <= start or end <= piece.start:
        yield gap
        return
    if start < piece.start:
        yield start, piece.start
    if piece.end < end:
        yield piece.end, end
