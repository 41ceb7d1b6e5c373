"""Series and blocks: what a unit is called, and arithmetic on ranges of serials.

One unit is 1 kgCO2e. A block is a series and a half-open range [start, end) of serials, non-negative 64-bit
integers; its quantity in kilograms is the length of the range. A unit keeps its name wherever it goes
(ARCHITECTURE section 3), so that every operation here conserves serials exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.kernel.record import ordered_record
from tanqiao.kernel.regions import RegionCode

SERIAL_MAX: Final = 2**63 - 1
"""Greatest end of a range: it is stored in a signed 64-bit column."""
VINTAGE_MIN: Final = 1990
VINTAGE_MAX: Final = 2999
BATCH_MAX: Final = 2**31 - 1
SERIES_ID_LENGTH_MAX: Final = 160

_PROGRAMME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}", re.ASCII)
_SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SERIES_ID: Final = re.compile(r"[!-Z^-~]{1,160}", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_BLOCK_TEXT: Final = re.compile(r"([!-Z^-~]{1,160})\[(0|[1-9][0-9]{0,18}),(0|[1-9][0-9]{0,18})\)", re.ASCII)
_SERIES_PARTS: Final = 5


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What the serials of one issuance batch are counted in.

    Args:
        region: region of origin; it never changes.
        programme: programme symbol of the rule pack: capital letters, digits and ``_``, at most 32.
        source: project or scene id: letters, digits and ``._-``, at most 64.
        vintage: calendar year in which the reductions happened.
        batch: number of the batch within the vintage.

    Raises:
        DomainError: FIELD_INVALID with the part at fault.
    """

    region: RegionCode
    programme: str
    source: str
    vintage: int
    batch: int

    def __post_init__(self) -> None:
        """Refuse parts that could not be printed and read back."""
        object.__setattr__(self, "region", RegionCode(self.region))
        if _PROGRAMME.fullmatch(self.programme) is None:
            raise _invalid("programme", self.programme)
        if _SOURCE.fullmatch(self.source) is None:
            raise _invalid("source", self.source)
        _require_integers(self.vintage, self.batch)
        if not VINTAGE_MIN <= self.vintage <= VINTAGE_MAX:
            raise _invalid("vintage", self.vintage)
        if not 0 <= self.batch <= BATCH_MAX:
            raise _invalid("batch", self.batch)

    @property
    def series_id(self) -> str:
        """Stable printable name: ``region:programme:source:vintage:batch``."""
        return f"{self.region}:{self.programme}:{self.source}:{self.vintage}:{self.batch}"

    def __str__(self) -> str:
        return self.series_id

    @staticmethod
    def parse(text: str) -> Series:
        """Read what `series_id` writes; any other text is refused with FIELD_INVALID or REGION_UNKNOWN."""
        parts = text.split(":", _SERIES_PARTS)
        if len(parts) != _SERIES_PARTS:
            raise _invalid("series_id", text)
        region, programme, source, vintage, batch = parts
        if _NUMBER.fullmatch(vintage) is None or _NUMBER.fullmatch(batch) is None:
            raise _invalid("series_id", text)
        return Series(RegionCode(region), programme, source, int(vintage), int(batch))


@ordered_record
class UnitBlock:
    """Serials [start, end) of one series; each is one unit of 1 kgCO2e.

    Raises:
        DomainError: RANGE_REVERSED if the range is empty or reversed, FIELD_INVALID if a bound is negative or
            above `SERIAL_MAX` or the series id is not printable.
    """

    series_id: str
    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse a range that is not of serials."""
        _require_integers(self.start, self.end)
        if _SERIES_ID.fullmatch(self.series_id) is None:
            raise _invalid("series_id", self.series_id)
        if self.start < 0:
            raise _invalid("start", self.start)
        if self.end > SERIAL_MAX:
            raise _invalid("end", self.end)
        if self.start >= self.end:
            raise DomainError("RANGE_REVERSED", field="range", start=self.start, end=self.end)

    @property
    def quantity_kg(self) -> int:
        """Number of units, which is kilograms of CO2e."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.series_id}[{self.start},{self.end})"

    @staticmethod
    def parse(text: str) -> UnitBlock:
        """Read what `str` writes: ``series_id[start,end)``."""
        match = _BLOCK_TEXT.fullmatch(text)
        if match is None:
            raise _invalid("block", text)
        return UnitBlock(match.group(1), int(match.group(2)), int(match.group(3)))

    def contains(self, other: UnitBlock) -> bool:
        """Whether every serial of the other is one of these."""
        return self.series_id == other.series_id and self.start <= other.start and other.end <= self.end

    def contains_serial(self, serial: int) -> bool:
        """Whether the serial of this series lies within."""
        return self.start <= serial < self.end

    def overlaps(self, other: UnitBlock) -> bool:
        """Whether a serial is common to both; blocks that only touch do not overlap."""
        return self.series_id == other.series_id and self.start < other.end and other.start < self.end

    def intersection(self, other: UnitBlock) -> UnitBlock | None:
        """Give the serials common to both, or None."""
        if not self.overlaps(other):
            return None
        return UnitBlock(self.series_id, max(self.start, other.start), min(self.end, other.end))

    def subtract(self, other: UnitBlock) -> tuple[UnitBlock, ...]:
        """Give what is left without the other's serials: none, one or two blocks, in order."""
        if not self.overlaps(other):
            return (self,)
        rest = ((self.start, other.start), (other.end, self.end))
        return tuple(UnitBlock(self.series_id, start, end) for start, end in rest if start < end)

    def take(self, quantity_kg: int) -> tuple[UnitBlock, UnitBlock | None]:
        """Split off the lowest serials; the rest is None when nothing is left.

        Raises:
            DomainError: QUANTITY_NOT_POSITIVE, or UNITS_INSUFFICIENT if the block is smaller.
        """
        _require_integers(quantity_kg)
        if quantity_kg <= 0:
            raise DomainError("QUANTITY_NOT_POSITIVE", field="quantity_kg", quantity_kg=quantity_kg)
        if quantity_kg > self.quantity_kg:
            raise DomainError("UNITS_INSUFFICIENT", asked_kg=quantity_kg, available_kg=self.quantity_kg)
        cut = self.start + quantity_kg
        taken = UnitBlock(self.series_id, self.start, cut)
        return taken, (UnitBlock(self.series_id, cut, self.end) if cut < self.end else None)

    def adjacent(self, other: UnitBlock) -> bool:
        """Whether one begins where the other ends."""
        return self.series_id == other.series_id and (self.end == other.start or other.end == self.start)

    def merge(self, other: UnitBlock) -> UnitBlock:
        """Join two adjacent blocks; joining others would invent or lose serials and breaks an invariant."""
        if not self.adjacent(other):
            raise InvariantBroken(f"{self} and {other} are not adjacent")
        return UnitBlock(self.series_id, min(self.start, other.start), max(self.end, other.end))


def coalesce(blocks: Iterable[UnitBlock]) -> tuple[UnitBlock, ...]:
    """Merge what is adjacent, in order of series and serial.

    Overlapping input breaks an invariant: a serial that is counted twice must never vanish in a merge.
    """
    joined: list[UnitBlock] = []
    for block in sorted(blocks):
        if joined and joined[-1].series_id == block.series_id:
            if joined[-1].end > block.start:
                raise InvariantBroken(f"{joined[-1]} and {block} overlap")
            if joined[-1].end == block.start:
                joined[-1] = joined[-1].merge(block)
                continue
        joined.append(block)
    return tuple(joined)


def take_quantity(
    blocks: Iterable[UnitBlock], quantity_kg: int
) -> tuple[tuple[UnitBlock, ...], tuple[UnitBlock, ...]]:
    """Take a quantity from blocks, lowest series id and serial first, whatever the order they come in.

    Returns:
        The blocks taken and the blocks left, each coalesced; together they hold the serials given.

    Raises:
        DomainError: QUANTITY_NOT_POSITIVE, or UNITS_INSUFFICIENT with what was asked and what is there.
    """
    _require_integers(quantity_kg)
    if quantity_kg <= 0:
        raise DomainError("QUANTITY_NOT_POSITIVE", field="quantity_kg", quantity_kg=quantity_kg)
    held = coalesce(blocks)
    available_kg = total_quantity_kg(held)
    if available_kg < quantity_kg:
        raise DomainError("UNITS_INSUFFICIENT", asked_kg=quantity_kg, available_kg=available_kg)
    taken: list[UnitBlock] = []
    left: list[UnitBlock] = []
    missing_kg = quantity_kg
    for block in held:
        if missing_kg == 0:
            left.append(block)
            continue
        part, rest = block.take(min(missing_kg, block.quantity_kg))
        taken.append(part)
        missing_kg -= part.quantity_kg
        if rest is not None:
            left.append(rest)
    return tuple(taken), tuple(left)


def subtract_blocks(blocks: Iterable[UnitBlock], removed: Iterable[UnitBlock]) -> tuple[UnitBlock, ...]:
    """Give the serials of the first set that are not in the second, coalesced; linear after sorting."""
    cuts = coalesce(removed)
    left: list[UnitBlock] = []
    position = 0
    for block in coalesce(blocks):
        while position < len(cuts) and _is_wholly_before(cuts[position], block):
            position += 1
        rest: UnitBlock | None = block
        index = position
        while rest is not None and index < len(cuts) and cuts[index].overlaps(rest):
            pieces = rest.subtract(cuts[index])
            left.extend(piece for piece in pieces if piece.end <= cuts[index].start)
            rest = next((piece for piece in pieces if piece.start >= cuts[index].end), None)
            index += 1
        if rest is not None:
            left.append(rest)
    return tuple(left)


def find_overlap(blocks: Iterable[UnitBlock]) -> tuple[UnitBlock, UnitBlock] | None:
    """Give the first two blocks, in order of serial, that share one; None if every serial occurs once."""
    previous: UnitBlock | None = None
    for block in sorted(blocks):
        if previous is not None and previous.overlaps(block):
            return previous, block
        previous = block
    return None


def total_quantity_kg(blocks: Iterable[UnitBlock]) -> int:
    """Add the quantities in kilograms of CO2e."""
    return sum(block.quantity_kg for block in blocks)


def _is_wholly_before(first: UnitBlock, second: UnitBlock) -> bool:
    return (first.series_id, first.end) <= (second.series_id, second.start)


def _require_integers(*values: object) -> None:
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvariantBroken(f"{value!r} is not an integer")


def _invalid(field: str, value: object) -> DomainError:
    return DomainError("FIELD_INVALID", field=field, detail=str(value)[:SERIES_ID_LENGTH_MAX])
