"""What must hold in every reachable state: PROTOCOL section 7, and the evidence that lies leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tanqiao.protocol.types import (
    DESTINATION_UNDECIDED,
    SINK,
    SOURCE_UNDECIDED,
    DestinationState,
    Kind,
    NotaryState,
    Outcome,
    SourceState,
)
from tanqiao.testing.model.world import (
    BRIDGE,
    DESTINATION,
    HELD,
    REGIONS,
    SOURCE,
    TWICE,
    Bridge,
    Region,
    Scenario,
)

_ACTED_ON_COMMIT: Final = (SourceState.MOVED, SourceState.USED, SourceState.CANCELLED)
ON_THE_WAY: Final = (SourceState.LOCKED, SourceState.RETIRING, SourceState.MOVED)
AT_REST: Final = (HELD, "USED", "CANCELLED")


def breaches_of_region(scenario: Scenario, region: Region, bridge: Bridge) -> tuple[str, ...]:
    """Name every rule that an honest region's state breaks beside the bridge's."""
    if scenario.liar == region.name:
        return ()
    found = []
    if TWICE in region.holdings:
        found.append("a unit arrived or left where it could not")
    if scenario.liar != BRIDGE:
        found += _decisions_kept(region, bridge)
        found += _places_agree(region, bridge)
    return tuple(found)


def breaches_of_bridge(scenario: Scenario, bridge: Bridge) -> tuple[str, ...]:
    """Name every rule that an honest bridge's state breaks by itself."""
    if scenario.liar == BRIDGE:
        return ()
    return tuple(_moves_conserve(scenario, bridge))


def breaches_between(scenario: Scenario, regions: tuple[Region, Region]) -> tuple[str, ...]:
    """Name every rule that the states of the two regions break together."""
    if scenario.liar == BRIDGE:
        return tuple(_against_a_lying_bridge(scenario, regions))
    return () if scenario.liar else tuple(_each_unit_once(scenario, regions))


def _decisions_kept(region: Region, bridge: Bridge) -> Iterator[str]:
    """I3: S moved or D credited only with a COMMIT on record, S released or D dropped only with an ABORT."""
    for record, view in zip(region.sources, bridge.views, strict=True):
        if record is None or record.state in SOURCE_UNDECIDED:
            continue
        outcome = None if view.decision is None else view.decision.outcome
        expected = Outcome.COMMIT if record.state in _ACTED_ON_COMMIT else Outcome.ABORT
        if outcome is not expected:
            yield f"S {record.state.name} with {outcome} on record"
    for answered, view in zip(region.destinations, bridge.views, strict=True):
        if answered is None or answered.state in DESTINATION_UNDECIDED:
            continue
        outcome = None if view.decision is None else view.decision.outcome
        credited = answered.state is DestinationState.CREDITED
        if outcome is not (Outcome.COMMIT if credited else Outcome.ABORT):
            yield f"D {answered.state.name} with {outcome} on record"


def _places_agree(region: Region, bridge: Bridge) -> Iterator[str]:
    """No ghosts: what an honest region holds is located there."""
    for unit, place in enumerate(region.holdings):
        located = bridge.location[unit]
        if place == HELD and located != region.name:
            yield f"{region.name} holds a unit that is located at {located}"
        if place in {"USED", "CANCELLED"} and located != SINK:
            yield f"a used unit is located at {located}"
        if place.startswith("LOCKED") and located != region.name:
            decision = bridge.views[int(place.removeprefix("LOCKED"))].decision
            if decision is None or decision.outcome is not Outcome.COMMIT:
                yield "a locked unit left without a COMMIT"


def _moves_conserve(scenario: Scenario, bridge: Bridge) -> Iterator[str]:
    """I2: the COMMITs on record explain the location of every unit, each from where it was."""
    for unit in range(scenario.unit_count):
        balance = {SOURCE: 1, DESTINATION: 0, SINK: 0}
        for plan, view in zip(scenario.plans, bridge.views, strict=True):
            if view.decision is None or view.decision.outcome is not Outcome.COMMIT:
                continue
            if unit in plan.units:
                balance[plan.source] -= 1
                balance[view.decision.destination] += 1
        if balance[bridge.location[unit]] != 1 or sorted(balance.values()) != [0, 0, 1]:
            yield f"COMMITs leave a unit {balance}, located at {bridge.location[unit]}"


def _each_unit_once(scenario: Scenario, regions: tuple[Region, Region]) -> Iterator[str]:
    """I1, I2: every unit is held, used or in flight, exactly once."""
    for unit in range(scenario.unit_count):
        places = sum(region.holdings[unit] in AT_REST for region in regions)
        places += sum(
            unit in plan.units and _is_in_flight(scenario, regions, index)
            for index, plan in enumerate(scenario.plans)
        )
        if places != 1:
            yield f"a unit is at {places} places"


def _is_in_flight(scenario: Scenario, regions: tuple[Region, Region], index: int) -> bool:
    """Section 7: locked or moved out, and not yet credited."""
    plan = scenario.plans[index]
    record = regions[REGIONS.index(plan.source)].sources[index]
    if record is None or record.state not in ON_THE_WAY:
        return False
    if plan.kind is not Kind.TRANSFER:
        return True
    answered = regions[REGIONS.index(plan.destination)].destinations[index]
    return answered is None or answered.state is not DestinationState.CREDITED


def _against_a_lying_bridge(scenario: Scenario, regions: tuple[Region, Region]) -> Iterator[str]:
    """Nothing is forged; what the regions did differently is proven by two decisions that B signed."""
    for index, plan in enumerate(scenario.plans):
        record = regions[REGIONS.index(plan.source)].sources[index]
        if record is not None and record.state not in SOURCE_UNDECIDED and not record.decision_hash:
            yield "S acted without a decision"
        if plan.kind is not Kind.TRANSFER:
            continue
        answered = regions[REGIONS.index(plan.destination)].destinations[index]
        if answered is None:
            continue
        if answered.state is DestinationState.CREDITED:
            if record is None or answered.lock_hash != record.lock_hash:
                yield "D credited what S never locked"
            if not answered.answer_hash.startswith(b"ready"):
                yield "D credited without its own Ready"
        if record is None or not record.decision_hash or not answered.decision_hash:
            continue
        committed_at_source = record.state is SourceState.MOVED
        committed_at_destination = answered.state is DestinationState.CREDITED
        if committed_at_source != committed_at_destination and record.decision_hash == answered.decision_hash:
            yield "S and D differ on one decision"


def region_waits(region: Region) -> bool:
    """Whether something that the region began or promised is undecided."""
    return any(record is not None and record.state in SOURCE_UNDECIDED for record in region.sources) or any(
        record is not None and record.state in DESTINATION_UNDECIDED for record in region.destinations
    )


def bridge_waits(bridge: Bridge) -> bool:
    """Whether something is open, or decided and not known to both sides."""
    return any(
        view.open is not None or (view.decision is not None and view.decision.state is not NotaryState.CLOSED)
        for view in bridge.views
    )
