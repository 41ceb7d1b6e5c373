"""The live check of conservation (PROTOCOL section 7), over snapshots of different moments. Pure.

The bridge's log at size n says where every unit is. A region's snapshot that has applied the log up to index
a must be equal to that after what stands in the log behind a has been replayed on it. A unit that is locked
or retiring without a decision is in flight, and so is one that has moved and is not credited yet. Nothing is
ever summed over databases at different moments.

Checked: I1 (per series, issued = held + in flight + used + cancelled, block by block), I2 (each serial in one
place), I4 (one decision for a transfer), and that the log rebuilds the bridge's own table of locations (I6).
Not checked here: signatures and the Merkle tree of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from tanqiao.client.serial_map import Position, SerialMap
from tanqiao.kernel.units import UnitBlock, subtract_blocks

FINDINGS_MAX: Final = 200


class Act(Enum):
    """What a leaf of the log did with units."""

    ISSUE = "ISSUE"
    TRANSFER = "TRANSFER"
    RETIRE = "RETIRE"
    CANCEL = "CANCEL"
    CORRECT = "CORRECT"
    """The authorities of both regions say where units are (row 14)."""


class UnitState(Enum):
    """What a region says of units it has."""

    HELD = "HELD"
    LOCKED = "LOCKED"
    RETIRING = "RETIRING"
    USED = "USED"
    CANCELLED = "CANCELLED"


IN_FLIGHT: Final = frozenset({UnitState.LOCKED, UnitState.RETIRING})
_USED_AS: Final = {Act.RETIRE: UnitState.USED, Act.CANCEL: UnitState.CANCELLED}


@dataclass(frozen=True, slots=True)
class Movement:
    """A leaf of the log about units.

    Args:
        log_index: its place.
        act: what it did.
        source: region that issued, gave or used: ``region/310000``.
        destination: region that received; empty for others.
        identifier: transfer or issue id.
        blocks: units concerned.
        committed: False for an aborted transfer and a refused issue.
    """

    log_index: int
    act: Act
    source: str
    destination: str
    identifier: bytes
    blocks: tuple[UnitBlock, ...]
    committed: bool


@dataclass(frozen=True, slots=True)
class RegionSnapshot:
    """What a region had at one moment of its journal.

    Args:
        region: ``region/310000``.
        applied: every leaf that concerns this region and lies at this index or before is applied here.
        pieces: blocks with their state.
    """

    region: str
    applied: int
    pieces: tuple[tuple[UnitBlock, UnitState], ...]


@dataclass(frozen=True, slots=True)
class LocationPage:
    """A stretch of the bridge's table of locations at one moment; it begins where the page before it ends.

    Args:
        log_size: number of leaves at that moment.
        end: series and serial that it does not reach any more; None for the last page.
        pieces: blocks with the region and HELD, USED or CANCELLED.
    """

    log_size: int
    end: Position | None
    pieces: tuple[tuple[UnitBlock, str, UnitState], ...]


@dataclass(frozen=True, slots=True)
class BridgeSnapshot:
    """The bridge's log at a size, and before it its table of locations, each page at a moment of its own.

    Args:
        log_size: number of leaves.
        movements: every leaf about units, in order of index.
        locations: all pages of the table.
    """

    log_size: int
    movements: tuple[Movement, ...]
    locations: tuple[LocationPage, ...]


@dataclass(slots=True)
class SeriesBalance:
    """The sum of one series, in kg CO2e."""

    issued_kg: int = 0
    held_kg: int = 0
    in_flight_kg: int = 0
    used_kg: int = 0
    cancelled_kg: int = 0
    held_by_region_kg: dict[str, int] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Whether what was issued is what is there (I1)."""
        return self.issued_kg == self.held_kg + self.in_flight_kg + self.used_kg + self.cancelled_kg


@dataclass(frozen=True, slots=True)
class Conservation:
    """The outcome: sums by series, and everything that is not as it must be."""

    log_size: int
    series: dict[str, SeriesBalance]
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found and every series is balanced."""
        return not self.findings and all(balance.balanced for balance in self.series.values())


Place = tuple[str, UnitState]


def check_conservation(bridge: BridgeSnapshot, regions: Sequence[RegionSnapshot]) -> Conservation:
    """Compare the regions' snapshots with the bridge's log.

    Args:
        bridge: taken after the snapshots of all regions.
        regions: every region of the federation, each at any earlier moment.
    """
    findings: list[str] = []
    truth = _rebuild(bridge, findings)
    balances: dict[str, SeriesBalance] = {}
    for block, _ in truth:
        balances.setdefault(block.series_id, SeriesBalance()).issued_kg += block.quantity_kg
    for region in regions:
        if region.applied >= max(bridge.log_size, 1):
            findings.append(
                f"{region.region}: has applied index {region.applied} of a log of {bridge.log_size}"
            )
        has = _map_of(region, findings)
        credited = _replay(has, region, bridge.movements, findings)
        _compare_region(region.region, truth, has, findings)
        _count(region.region, has, credited, balances)
    findings += [
        f"I1: {series_id}: issued {balance.issued_kg}, found "
        f"{balance.held_kg + balance.in_flight_kg + balance.used_kg + balance.cancelled_kg}"
        for series_id, balance in balances.items()
        if not balance.balanced
    ]
    return Conservation(bridge.log_size, balances, tuple(findings[:FINDINGS_MAX]))


def _rebuild(bridge: BridgeSnapshot, findings: list[str]) -> SerialMap[Place]:
    """Give where every unit is after the whole log, and compare each page of locations on the way."""
    truth: SerialMap[Place] = SerialMap()
    decided: set[tuple[str, bytes]] = set()
    stretches = _stretches(bridge.locations)
    for movement in bridge.movements:
        while stretches and stretches[-1][1].log_size <= movement.log_index:
            _compare_locations(truth, *stretches.pop(), findings)
        key = (movement.source, movement.identifier)
        if movement.act is not Act.ISSUE:
            if key in decided:
                findings.append(f"I4: {movement.log_index}: decided twice: {movement.identifier.hex()}")
            decided.add(key)
        if movement.committed:
            _move(truth, movement, findings)
    while stretches:
        begin, page = stretches.pop()
        if page.log_size > bridge.log_size:
            findings.append(f"I6: locations after {page.log_size} leaves, of a log of {bridge.log_size}")
        _compare_locations(truth, begin, page, findings)
    return truth


def _move(truth: SerialMap[Place], movement: Movement, findings: list[str]) -> None:
    """Apply a committed movement."""
    for block in movement.blocks:
        if movement.act is Act.ISSUE:
            if not truth.is_empty(block):
                findings.append(f"I2: {movement.log_index}: issued twice: {block}")
            truth.paint(block, (movement.source, UnitState.HELD))
            continue
        if movement.act is Act.CORRECT:
            _mend(truth, block, movement, findings)
            continue
        if not truth.covers(block, (movement.source, UnitState.HELD)):
            findings.append(f"I2: {movement.log_index}: {block} was not held at {movement.source}")
        used_as = _USED_AS.get(movement.act)
        place = (movement.destination, UnitState.HELD) if used_as is None else (movement.source, used_as)
        truth.paint(block, place)


def _stretches(pages: Iterable[LocationPage]) -> list[tuple[Position, LocationPage]]:
    """Give each page with where it begins, the one that was read first at the end."""
    begin: Position = ("", 0)
    found: list[tuple[Position, LocationPage]] = []
    for page in pages:
        found.append((begin, page))
        begin = page.end or begin
    return sorted(found, key=lambda one: one[1].log_size, reverse=True)


def _mend(truth: SerialMap[Place], block: UnitBlock, movement: Movement, findings: list[str]) -> None:
    """Bring what is held at a correction's first region to the second; what is there already stays."""
    places = ((movement.source, UnitState.HELD), (movement.destination, UnitState.HELD))
    there_kg = sum(piece.quantity_kg for piece, place in truth.pieces_in(block) if place in places)
    if there_kg != block.quantity_kg:
        findings.append(f"I2: {movement.log_index}: {block} was held at neither region of its correction")
    truth.paint(block, places[1])


def _compare_locations(
    truth: SerialMap[Place], begin: Position, page: LocationPage, findings: list[str]
) -> None:
    stated: SerialMap[Place] = SerialMap()
    for block, region, state in page.pieces:
        if not stated.is_empty(block):
            findings.append(f"I2: the bridge has {block} in two places")
        stated.paint(block, (region, state))
    rebuilt, known = set(truth.within(begin, page.end)), set(stated.within(begin, page.end))
    findings += [
        f"I6: the log has {block} {place}, the table not" for block, place in sorted(rebuilt - known, key=str)
    ]
    findings += [
        f"I6: the table has {block} {place}, the log not" for block, place in sorted(known - rebuilt, key=str)
    ]


def _map_of(region: RegionSnapshot, findings: list[str]) -> SerialMap[UnitState]:
    has: SerialMap[UnitState] = SerialMap()
    for block, state in region.pieces:
        if not has.is_empty(block):
            findings.append(f"I2: {region.region} has {block} twice")
        has.paint(block, state)
    return has


def _replay(
    has: SerialMap[UnitState], region: RegionSnapshot, movements: Iterable[Movement], findings: list[str]
) -> dict[str, int]:
    """Apply what the region has not applied; give what it will be credited with, by series, in kg."""
    credited: dict[str, int] = {}
    for movement in movements:
        if movement.log_index <= region.applied:
            continue
        if not movement.committed:
            _replay_abort(has, region.region, movement)
            continue
        for block in movement.blocks:
            if movement.act is Act.CORRECT:
                _replay_correction(has, region.region, movement, block, credited)
            elif movement.act in _USED_AS and movement.source == region.region:
                _require(has, block, UnitState.RETIRING, region.region, movement, findings)
                has.paint(block, _USED_AS[movement.act])
            elif movement.act is Act.TRANSFER and movement.source == region.region:
                _require(has, block, UnitState.LOCKED, region.region, movement, findings)
                has.erase(block)
            elif region.region in (
                movement.destination if movement.act is Act.TRANSFER else "",
                movement.source if movement.act is Act.ISSUE else "",
            ):
                if not has.is_empty(block):
                    findings.append(f"I3: {region.region} has {block} before index {movement.log_index}")
                has.paint(block, UnitState.HELD)
                credited[block.series_id] = credited.get(block.series_id, 0) + block.quantity_kg
    return credited


def _replay_abort(has: SerialMap[UnitState], region: str, movement: Movement) -> None:
    """Give back what the region kept for it: the units may have been locked again, and decided, since."""
    if movement.act is Act.ISSUE or movement.source != region:
        return
    kept = UnitState.LOCKED if movement.act is Act.TRANSFER else UnitState.RETIRING
    for block in movement.blocks:
        for piece, state in has.pieces_in(block):
            if state is kept:
                has.paint(piece, UnitState.HELD)


def _replay_correction(
    has: SerialMap[UnitState],
    region: str,
    movement: Movement,
    block: UnitBlock,
    credited: dict[str, int],
) -> None:
    pieces = has.pieces_in(block)
    if movement.source == region:
        for piece, state in pieces:
            if state is UnitState.HELD:  # what is locked leaves when an ABORT gives it back
                has.erase(piece)
    elif movement.destination == region:
        for missing in subtract_blocks((block,), [piece for piece, _ in pieces]):
            has.paint(missing, UnitState.HELD)
            credited[block.series_id] = credited.get(block.series_id, 0) + missing.quantity_kg


def _require(
    has: SerialMap[UnitState],
    block: UnitBlock,
    state: UnitState,
    region: str,
    movement: Movement,
    findings: list[str],
) -> None:
    """Demand that a source still has what a decision behind its snapshot takes.

    It may be HELD in the snapshot: then it was locked and decided after it. A source that gave a lock up by
    itself is found as soon as it has applied the decision.
    """
    pieces = has.pieces_in(block)
    there_kg = sum(piece.quantity_kg for piece, found in pieces if found in (state, UnitState.HELD))
    if there_kg != block.quantity_kg:
        findings.append(
            f"I3: {region}: {block} is not {state.value}, though index {movement.log_index} is open"
        )


def _compare_region(
    region: str, truth: SerialMap[Place], has: SerialMap[UnitState], findings: list[str]
) -> None:
    wanted: SerialMap[UnitState] = SerialMap()
    for block, (place, state) in truth:
        if place == region:
            wanted.paint(block, state)
    found: SerialMap[UnitState] = SerialMap()
    for block, state in has:
        found.paint(block, UnitState.HELD if state in IN_FLIGHT else state)
    should, does = set(wanted), set(found)
    findings += [
        f"{region} should have {block} {state.value}" for block, state in sorted(should - does, key=str)
    ]
    findings += [
        f"{region} should not have {block} {state.value}" for block, state in sorted(does - should, key=str)
    ]


def _count(
    region: str, has: SerialMap[UnitState], credited: dict[str, int], balances: dict[str, SeriesBalance]
) -> None:
    for block, state in has:
        balance = balances.setdefault(block.series_id, SeriesBalance())
        if state is UnitState.HELD:
            balance.held_kg += block.quantity_kg
            by_region = balance.held_by_region_kg
            by_region[region] = by_region.get(region, 0) + block.quantity_kg
        elif state in IN_FLIGHT:
            balance.in_flight_kg += block.quantity_kg
        elif state is UnitState.USED:
            balance.used_kg += block.quantity_kg
        else:
            balance.cancelled_kg += block.quantity_kg
    for series_id, quantity_kg in credited.items():
        # Moved or issued, and not credited yet where it goes: on its way.
        balance = balances[series_id]
        balance.held_kg -= quantity_kg
        balance.held_by_region_kg[region] -= quantity_kg
        balance.in_flight_kg += quantity_kg
