"""Units of a group: loaded once, changed in memory in the order of its items, written as a difference.

The places of all serials are kept by `tanqiao.protocol.locations`; beside it stand, for accounts that are
asked for a quantity, the blocks that they hold, lowest serial first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock, total_quantity_kg
from tanqiao.protocol.locations import Difference, LocationBook
from tanqiao_region.storage.holdings import CANCELLED, HELD, LOCKED, RETIRING, USED, HoldingRow, Place

NO_TRANSFER: Final = b""
BLOCKS_SHOWN_MAX: Final = 20


def held_by(account_id: str) -> Place:
    """Give the place of units that an account holds."""
    return (account_id, HELD, NO_TRANSFER)


class Holdings:
    """The rows that a group touches.

    Args:
        rows: as loaded; a row given twice counts once.
        tracked: accounts of which quantities will be asked; all rows that a selection may take are loaded.
        withheld: frozen units: `take` passes them over.
    """

    __slots__ = ("_book", "_held", "_pending")

    def __init__(
        self, rows: Iterable[HoldingRow], tracked: Iterable[str] = (), withheld: Iterable[UnitBlock] = ()
    ) -> None:
        unique = {(row.series_id, row.start): row for row in rows}
        self._book: LocationBook[Place] = LocationBook(unique.values())
        self._held: dict[str, dict[str, list[tuple[int, int]]]] = {account_id: {} for account_id in tracked}
        self._pending: dict[str, list[UnitBlock]] = {}
        for row in sorted(unique.values()):
            account_id, state, _ = row.place
            if state != HELD or account_id not in self._held:
                continue
            if row.place != held_by(account_id):
                block = UnitBlock(row.series_id, row.start, row.end)
                self._pending.setdefault(account_id, []).append(block)
            else:
                self._held[account_id].setdefault(row.series_id, []).append((row.start, row.end))
        for block in withheld:
            for held in self._held.values():
                _subtract(held.get(block.series_id, []), block.start, block.end)

    def take(self, account_id: str, series_id: str, quantity_kg: int) -> tuple[UnitBlock, ...]:
        """Choose the lowest serials that the account holds; nothing changes yet.

        Raises:
            DomainError: UNITS_INSUFFICIENT with what was asked and what is there; UNIT_PENDING if units that
                await their witnesses would make it up (R10).
        """
        held = self._held[account_id]
        chosen: list[UnitBlock] = []
        missing_kg = quantity_kg
        for name in (series_id,) if series_id else sorted(held):
            for start, end in held.get(name, ()):
                part_end = min(end, start + missing_kg)
                chosen.append(UnitBlock(name, start, part_end))
                missing_kg -= part_end - start
                if missing_kg == 0:
                    return tuple(chosen)
        pending = [block for block in self._pending.get(account_id, ()) if series_id in ("", block.series_id)]
        if pending and total_quantity_kg(pending) >= missing_kg:
            raise DomainError("UNIT_PENDING", ranges=pending[:BLOCKS_SHOWN_MAX])
        raise DomainError("UNITS_INSUFFICIENT", asked_kg=quantity_kg, available_kg=quantity_kg - missing_kg)

    def require_held(self, account_id: str, blocks: Sequence[UnitBlock]) -> None:
        """Refuse blocks of which a part is not held by the account, with the reason of the first such part.

        Raises:
            DomainError: UNIT_LOCKED, UNIT_USED, UNIT_CANCELLED or NOT_HELD, naming every part of that reason.
        """
        failing = self._book.elsewhere(blocks, held_by(account_id))
        if not failing:
            return
        found: dict[str, list[UnitBlock]] = {}
        for part in failing:
            for symbol, piece in self._reasons(account_id, part):
                found.setdefault(symbol, []).append(piece)
        symbol, parts = next(iter(found.items()))
        raise DomainError(symbol, ranges=parts)

    def _reasons(self, account_id: str, part: UnitBlock) -> Iterable[tuple[str, UnitBlock]]:
        """Cut a failing part along the rows and say of each piece why it cannot be taken."""
        serial = part.start
        for row in self._rows_within(part):
            if serial < row.start:
                yield "NOT_HELD", UnitBlock(part.series_id, serial, row.start)
            start, end = max(serial, row.start), min(part.end, row.end)
            yield _reason_of(account_id, row.place), UnitBlock(part.series_id, start, end)
            serial = end
        if serial < part.end:
            yield "NOT_HELD", UnitBlock(part.series_id, serial, part.end)

    def _rows_within(self, part: UnitBlock) -> list[HoldingRow]:
        return [
            row
            for row in self._book.rows()
            if row.series_id == part.series_id and row.start < part.end and part.start < row.end
        ]

    def move(self, blocks: Sequence[UnitBlock], from_place: Place, to_place: Place) -> tuple[UnitBlock, ...]:
        """Move all blocks or none; gives the parts that are not at the first place."""
        failing = self._book.move(blocks, from_place, to_place)
        if not failing:
            self._note_removed(blocks, from_place)
            self._note_added(blocks, to_place)
        return failing

    def register(self, blocks: Sequence[UnitBlock], place: Place) -> tuple[UnitBlock, ...]:
        """Put units from elsewhere at a place, all or none; gives the parts that are here already."""
        failing = self._book.register(blocks, place)
        if not failing:
            self._note_added(blocks, place)
        return failing

    def remove(self, blocks: Sequence[UnitBlock], place: Place) -> tuple[UnitBlock, ...]:
        """Take units out of this node's books, all or none; gives the parts that are not at the place."""
        failing = self._book.remove(blocks, place)
        if not failing:
            self._note_removed(blocks, place)
        return failing

    def present(self, blocks: Sequence[UnitBlock]) -> tuple[UnitBlock, ...]:
        """Name the parts of the blocks that are here and not on their way out."""
        if not self._book.occupied(blocks):
            return ()
        return tuple(
            UnitBlock(block.series_id, max(block.start, row.start), min(block.end, row.end))
            for block in blocks
            for row in self._rows_within(block)
            if row.place[1] != LOCKED
        )

    def pieces(self, blocks: Sequence[UnitBlock]) -> list[tuple[UnitBlock, Place]]:
        """Cut the blocks along the rows: every part that is in this node's books, with its place."""
        return [
            (UnitBlock(block.series_id, max(block.start, row.start), min(block.end, row.end)), row.place)
            for block in blocks
            for row in self._rows_within(block)
        ]

    def elsewhere(self, blocks: Sequence[UnitBlock], place: Place) -> tuple[UnitBlock, ...]:
        """Name the parts of the blocks that are not at the place."""
        return self._book.elsewhere(blocks, place)

    def occupied(self, blocks: Sequence[UnitBlock]) -> tuple[UnitBlock, ...]:
        """Name the parts of the blocks that are anywhere in this node's books."""
        return self._book.occupied(blocks)

    def holders(self, blocks: Sequence[UnitBlock]) -> list[tuple[UnitBlock, str]] | None:
        """Give who holds each part of the blocks; None if a part is not held by anybody here."""
        found: list[tuple[UnitBlock, str]] = []
        for block in blocks:
            for row in self._rows_within(block):
                if row.place[1] != HELD:
                    return None
                part = UnitBlock(block.series_id, max(block.start, row.start), min(block.end, row.end))
                found.append((part, row.place[0]))
        return found if quantity_of(part for part, _ in found) == quantity_of(blocks) else None

    def difference(self) -> Difference[Place]:
        """Give what is to be written."""
        return self._book.difference()

    def _note_removed(self, blocks: Sequence[UnitBlock], place: Place) -> None:
        if place != held_by(place[0]) or place[0] not in self._held:
            return
        held = self._held[place[0]]
        for block in blocks:
            _subtract(held.get(block.series_id, []), block.start, block.end)

    def _note_added(self, blocks: Sequence[UnitBlock], place: Place) -> None:
        if place != held_by(place[0]) or place[0] not in self._held:
            return
        held = self._held[place[0]]
        for block in blocks:
            _add(held.setdefault(block.series_id, []), block.start, block.end)


def _reason_of(account_id: str, place: Place) -> str:
    holder, state, transfer_id = place
    if holder != account_id:
        return "NOT_HELD"
    if state == HELD and transfer_id:
        return "UNIT_PENDING"  # credited, awaiting the quorum of witnesses (R10)
    return {HELD: "RANGE_OVERLAP", LOCKED: "UNIT_LOCKED", RETIRING: "UNIT_LOCKED", USED: "UNIT_USED"}.get(
        state, "UNIT_CANCELLED" if state == CANCELLED else "NOT_HELD"
    )


def _subtract(spans: list[tuple[int, int]], start: int, end: int) -> None:
    """Take [start, end) out of disjoint, ordered spans, as far as they cover it."""
    first = bisect_right(spans, (start, _LATER)) - 1
    if first < 0 or spans[first][1] <= start:
        first += 1
    last = bisect_left(spans, (end,))
    if first >= last:
        return
    rest = []
    if spans[first][0] < start:
        rest.append((spans[first][0], start))
    if spans[last - 1][1] > end:
        rest.append((end, spans[last - 1][1]))
    spans[first:last] = rest


def _add(spans: list[tuple[int, int]], start: int, end: int) -> None:
    """Put [start, end) among disjoint, ordered spans, joined with those that it touches."""
    at = bisect_left(spans, (start, end))
    first = last = at
    if at > 0 and spans[at - 1][1] == start:
        first, start = at - 1, spans[at - 1][0]
    if at < len(spans) and spans[at][0] == end:
        last, end = at + 1, spans[at][1]
    spans[first:last] = [(start, end)]


_LATER: Final = float("inf")


def quantity_of(blocks: Iterable[UnitBlock]) -> int:
    """Give the kilograms of the blocks."""
    return total_quantity_kg(blocks)
