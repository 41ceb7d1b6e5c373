"""Visits every reachable state, breadth first and without a cut-off, and looks for ways to a good end."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Final, Generic, TypeVar

from tanqiao.testing.model import checks, honest, liars
from tanqiao.testing.model.world import (
    BRIDGE,
    DESTINATION,
    SOURCE,
    Bridge,
    Region,
    Scenario,
    Step,
    Violations,
    initial_bridge,
    initial_region,
)

PartyT = TypeVar("PartyT", Region, Bridge)
Moves = tuple[tuple[int, bool, str], ...]
World = tuple[int, int, int]
"""Numbers of the states of S, D and B."""

PATH_LENGTH_MAX: Final = 200
"""Steps shown of the way to a violation."""


@dataclass(slots=True)
class Result:
    """What the exploration of one scenario found."""

    scenario: Scenario
    states: int = 0
    transitions: int = 0
    good_ends: int = 0
    stuck: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    first_violation: tuple[str, ...] = ()
    first_stuck: tuple[str, ...] = ()
    reached: dict[str, int] = field(default_factory=dict)
    """How many states of each party were seen, so that an empty exploration cannot pass."""


class _Interned(Generic[PartyT]):
    """Numbers for the states of one party: a world is then three small integers."""

    def __init__(self) -> None:
        self.numbers: dict[PartyT, int] = {}
        self.states: list[PartyT] = []

    def number(self, state: PartyT) -> int:
        number = self.numbers.get(state)
        if number is None:
            number = self.numbers[state] = len(self.states)
            self.states.append(state)
        return number


class Explorer:
    """Explores one scenario. A world is (number of S, number of D, number of B)."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.found = Violations()
        self.region_states: tuple[_Interned[Region], _Interned[Region]] = (_Interned(), _Interned())
        self.bridge_states: _Interned[Bridge] = _Interned()
        self._alone: tuple[dict[int, Moves], dict[int, Moves], dict[int, Moves]] = ({}, {}, {})
        self._bridge_to_region: dict[tuple[int, int, int], Moves] = {}
        self._region_to_region: dict[tuple[int, int, int], Moves] = {}
        self._region_to_bridge: dict[tuple[int, int, int], Moves] = {}
        sources, destinations = self.region_states[0].states, self.region_states[1].states
        bridges = self.bridge_states.states
        # Every rule concerns two parties at most, so that its verdict is remembered for the pair.
        self._breaches_of_source = cache(
            lambda s, b: checks.breaches_of_region(scenario, sources[s], bridges[b])
        )
        self._breaches_of_destination = cache(
            lambda d, b: checks.breaches_of_region(scenario, destinations[d], bridges[b])
        )
        self._breaches_between = cache(
            lambda s, d: checks.breaches_between(scenario, (sources[s], destinations[d]))
        )
        self._breaches_of_bridge = cache(lambda b: checks.breaches_of_bridge(scenario, bridges[b]))
        self._source_waits = cache(lambda s: checks.region_waits(sources[s]))
        self._destination_waits = cache(lambda d: checks.region_waits(destinations[d]))
        self._bridge_waits = cache(lambda b: checks.bridge_waits(bridges[b]))

    def run(self, *, stops_at_first: bool = False) -> Result:
        """Visit every state; then walk back from the good ends over what is on offer.

        With `stops_at_first` the first violation ends it, and the counts are of what was seen until then.
        """
        start = (
            self.region_states[0].number(initial_region(self.scenario, SOURCE)),
            self.region_states[1].number(initial_region(self.scenario, DESTINATION)),
            self.bridge_states.number(initial_bridge(self.scenario)),
        )
        numbers: dict[World, int] = {start: 0}
        worlds = [start]
        parents = array("i", [-1])
        fresh_from, fresh_to = array("I"), array("I")
        good = bytearray()
        result = Result(self.scenario)
        # The list grows while it is walked: breadth first.
        for position, world in enumerate(worlds):
            if stops_at_first and (result.violations or self.found.found):
                break
            good.append(self._is_good(world))
            for sentence in self._breaches(world):
                if not result.violations:
                    result.first_violation = self._path(position, worlds, parents)
                result.violations[sentence] = result.violations.get(sentence, 0) + 1
            for following, fresh in self._successors(world):
                number = numbers.setdefault(following, len(worlds))
                if number == len(worlds):
                    worlds.append(following)
                    parents.append(position)
                result.transitions += 1
                if fresh:
                    fresh_from.append(position)
                    fresh_to.append(number)
        result.states = len(worlds)
        result.good_ends = sum(good)
        result.reached = {
            "S": len(self.region_states[0].states),
            "D": len(self.region_states[1].states),
            "B": len(self.bridge_states.states),
        }
        if not self.scenario.liar and len(good) == len(worlds):
            stuck = _cannot_reach(good, fresh_from, fresh_to)
            result.stuck = len(stuck)
            if stuck:
                result.first_stuck = self._path(stuck[0], worlds, parents)
        for sentence, count in self.found.found.items():
            result.violations[sentence] = result.violations.get(sentence, 0) + count
        return result

    def _breaches(self, world: World) -> tuple[str, ...]:
        source, destination, bridge = world
        return (
            self._breaches_of_source(source, bridge)
            + self._breaches_of_destination(destination, bridge)
            + self._breaches_between(source, destination)
            + self._breaches_of_bridge(bridge)
        )

    def _is_good(self, world: World) -> bool:
        source, destination, bridge = world
        return not (
            self._bridge_waits(bridge) or self._source_waits(source) or self._destination_waits(destination)
        )

    def _successors(self, world: World) -> Iterator[tuple[World, bool]]:
        source, destination, bridge = world
        for number, fresh, _ in self._moves_of_source(source, destination, bridge):
            yield (number, destination, bridge), fresh
        for number, fresh, _ in self._moves_of_destination(source, destination, bridge):
            yield (source, number, bridge), fresh
        for number, fresh, _ in self._moves_of_bridge(source, destination, bridge):
            yield (source, destination, number), fresh

    def _moves_of_source(self, source: int, destination: int, bridge: int) -> Moves:
        return (
            self._from_bridge(0, source, bridge)
            + self._through_bridge(0, source, destination)
            + self._alone_moves(0, source)
        )

    def _moves_of_destination(self, source: int, destination: int, bridge: int) -> Moves:
        return (
            self._from_bridge(1, destination, bridge)
            + self._through_bridge(1, destination, source)
            + self._alone_moves(1, destination)
        )

    def _moves_of_bridge(self, source: int, destination: int, bridge: int) -> Moves:
        return (
            self._to_bridge(0, source, bridge)
            + self._to_bridge(1, destination, bridge)
            + self._alone_moves(2, bridge)
        )

    def _from_bridge(self, side: int, region: int, bridge: int) -> Moves:
        """What the bridge offers to a region now, or anything if it lies."""
        key = (side, region, bridge)
        moves = self._bridge_to_region.get(key)
        if moves is None:
            at, of = self.region_states[side].states[region], self.bridge_states.states[bridge]
            states = self.region_states[side]
            moves = self._bridge_to_region[key] = self._distinct(self._offers_of(at, of), states, region)
        return moves

    def _offers_of(self, at: Region, of: Bridge) -> Iterator[Step]:
        if at.name == self.scenario.liar:
            return
        if self.scenario.liar == BRIDGE:
            yield from liars.lies_of_bridge(self.scenario, of, at, self.found)
            return
        yield from honest.decisions_to(self.scenario, of, at)
        for index, plan in enumerate(self.scenario.plans):
            if plan.destination == at.name:
                variants = liars.LOCK_VARIANTS[:2] if self.scenario.liar == plan.source else ("",)
                for variant in variants:
                    yield from honest.prepares_to(self.scenario, at, index, variant, of)

    def _through_bridge(self, side: int, region: int, other: int) -> Moves:
        """Prepares sent earlier, for locks that the other region has signed by now."""
        key = (side, region, other)
        moves = self._region_to_region.get(key)
        if moves is None:
            at, of = self.region_states[side].states[region], self.region_states[1 - side].states[other]
            states = self.region_states[side]
            moves = self._region_to_region[key] = self._distinct(self._old_prepares(at, of), states, region)
        return moves

    def _old_prepares(self, at: Region, of: Region) -> Iterator[Step]:
        if self.scenario.liar in {BRIDGE, at.name}:
            return
        for index, plan in enumerate(self.scenario.plans):
            if plan.destination != at.name:
                continue
            if of.name == self.scenario.liar:
                for variant in liars.LOCK_VARIANTS[:2]:
                    yield from honest.prepares_to(self.scenario, at, index, variant, None)
            elif of.sources[index] is not None:
                yield from honest.prepares_to(self.scenario, at, index, "", None)

    def _to_bridge(self, side: int, region: int, bridge: int) -> Moves:
        key = (side, region, bridge)
        moves = self._region_to_bridge.get(key)
        if moves is None:
            of, at = self.region_states[side].states[region], self.bridge_states.states[bridge]
            moves = self._region_to_bridge[key] = self._distinct(
                self._sent_by(of, at), self.bridge_states, bridge
            )
        return moves

    def _sent_by(self, of: Region, at: Bridge) -> Iterator[Step]:
        liar = self.scenario.liar
        if liar == BRIDGE:
            yield from liars.overheard(self.scenario, of, at)
        elif of.name == liar:
            yield from liars.lies_of_source(self.scenario, liar, at, self.found)
        else:
            yield from honest.offers_to_bridge(self.scenario, of, at)
            if liar:
                yield from liars.lies_of_destination(self.scenario, liar, of, at, self.found)

    def _alone_moves(self, party: int, number: int) -> Moves:
        moves = self._alone[party].get(number)
        if moves is None:
            if party == 2:  # noqa: PLR2004 - S, D, B
                at = self.bridge_states.states[number]
                lies = self.scenario.liar == BRIDGE
                steps: Iterable[Step] = () if lies else honest.bridge_alone(self.scenario, at)
                moves = self._distinct(steps, self.bridge_states, number)
            else:
                region = self.region_states[party].states[number]
                lies = region.name == self.scenario.liar
                steps = () if lies else honest.region_commands(self.scenario, region)
                moves = self._distinct(steps, self.region_states[party], number)
            self._alone[party][number] = moves
        return moves

    def _path(self, position: int, worlds: list[World], parents: array[int]) -> tuple[str, ...]:
        """Name the steps from the start to a state."""
        positions = [position]
        while parents[positions[-1]] >= 0:
            positions.append(parents[positions[-1]])
        positions.reverse()
        labels = []
        for before, after in pairwise(positions):
            labels.append(self._label(worlds[before], worlds[after]))
        return tuple(labels[:PATH_LENGTH_MAX])

    def _label(self, before: World, after: World) -> str:
        source, destination, bridge = before
        options = [
            *(
                ("S: " + label, (number, destination, bridge))
                for number, _, label in self._moves_of_source(*before)
            ),
            *(
                ("D: " + label, (source, number, bridge))
                for number, _, label in self._moves_of_destination(*before)
            ),
            *(
                ("B: " + label, (source, destination, number))
                for number, _, label in self._moves_of_bridge(*before)
            ),
        ]
        return next(label for label, world in options if world == after)

    def _distinct(self, steps: Iterable[Step], states: _Interned[PartyT], unchanged: int) -> Moves:
        """Number the states that steps lead to; of several ways to one state a fresh one counts."""
        best: dict[int, tuple[bool, str]] = {}
        for step in steps:
            if step.evidence and not self.scenario.liar:
                self.found.add(f"evidence against the honest: {', '.join(sorted(step.evidence))}")
            after = states.number(step.after)  # type: ignore[arg-type]  # a region's steps lead to regions
            if after == unchanged:
                continue
            known = best.get(after)
            if known is None or (step.fresh and not known[0]):
                best[after] = (step.fresh, step.label)
        return tuple((after, fresh, label) for after, (fresh, label) in best.items())


def _cannot_reach(good: bytearray, fresh_from: array[int], fresh_to: array[int]) -> list[int]:
    """Walk back from the good states; what is left cannot reach one."""
    count = len(good)
    first = array("I", bytes(4 * (count + 1)))
    for target in fresh_to:
        first[target + 1] += 1
    for number in range(count):
        first[number + 1] += first[number]
    filled = array("I", first)
    sources = array("I", bytes(4 * len(fresh_to)))
    for origin, target in zip(fresh_from, fresh_to, strict=True):
        sources[filled[target]] = origin
        filled[target] += 1
    reached = bytearray(good)
    stack = [number for number in range(count) if good[number]]
    while stack:
        number = stack.pop()
        for place in range(first[number], first[number + 1]):
            origin = sources[place]
            if not reached[origin]:
                reached[origin] = 1
                stack.append(origin)
    return [number for number in range(count) if not reached[number]]
