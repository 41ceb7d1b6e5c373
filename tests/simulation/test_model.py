from __future__ import annotations

import pytest

from tanqiao.protocol.types import DestinationState, Kind, SourceState
from tanqiao.testing.model.__main__ import report
from tanqiao.testing.model.explore import Explorer
from tanqiao.testing.model.scenarios import all_scenarios
from tanqiao.testing.model.world import DESTINATION, SOURCE, Plan, Scenario

SCENARIOS = all_scenarios()
LARGEST = {("twice out, once back", ""), ("there and back", DESTINATION)}
"""Half of all states: `make model`, which `.ci/run` calls, explores them too."""
CASES = [
    pytest.param(
        world,
        id=f"{world.name}, {world.liar or 'honest'}",
        marks=[pytest.mark.long] if (world.name, world.liar) in LARGEST else [],
    )
    for world in SCENARIOS
]


def test_what_is_left_to_the_long_tests_is_there() -> None:
    assert {(world.name, world.liar) for world in SCENARIOS} >= LARGEST


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", CASES)
def test_every_reachable_state_is_safe_and_an_honest_one_can_reach_a_good_end(scenario: Scenario) -> None:
    explorer = Explorer(scenario)
    result = explorer.run()
    print(report(result, 0.0))
    assert not result.violations, result.first_violation
    assert result.stuck == 0, result.first_stuck
    assert result.good_ends > 0


def test_the_exploration_reaches_every_end_that_the_protocol_knows() -> None:
    scenario = next(world for world in SCENARIOS if world.name == "transfer or use" and not world.liar)
    explorer = Explorer(scenario)
    explorer.run()
    at_source = {
        record.state for region in explorer.region_states[0].states for record in region.sources if record
    }
    at_destination = {
        record.state
        for region in explorer.region_states[1].states
        for record in region.destinations
        if record
    }
    assert at_source == set(SourceState) - {SourceState.CANCELLED}
    assert at_destination == set(DestinationState)


def test_each_set_of_plans_is_explored_honest_and_most_with_each_liar() -> None:
    liars_of: dict[str, set[str]] = {}
    for world in SCENARIOS:
        liars_of.setdefault(world.name, set()).add(world.liar)
    full = [name for name, liars in liars_of.items() if liars == {"", SOURCE, DESTINATION, "bridge"}]
    assert len(full) >= 4
    assert all(len(world.plans) >= 2 for world in SCENARIOS if world.name in full)


def test_the_way_to_a_violation_is_named_step_by_step() -> None:
    # A region that is given the same unit twice by its own plans: the model must see it and say how.
    scenario = Scenario(
        "ghost",
        (Plan(SOURCE, Kind.TRANSFER, DESTINATION, 0, 1),),
        1,
    )
    explorer = Explorer(scenario)
    broken = explorer.run()
    assert not broken.violations
    explorer = Explorer(scenario)
    explorer._breaches_of_bridge = lambda _: ("always",)  # type: ignore[assignment]
    result = explorer.run(stops_at_first=True)
    assert result.violations == {"always": 1}
