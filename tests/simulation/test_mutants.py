from __future__ import annotations

import pytest

from tests.simulation.mutants import CHECKS, MUTANTS, Mutant, caught_by_witness

SECTION_10_6 = {
    "S releases on its own time-out",
    "D drops on its own time-out",
    "B sends before its commit",
    "B answers aborted without a durable row",
    "D not idempotent",
    "S sends before its commit",
    "no location compare-and-set",
    "a log write that is not awaited",
    "a verifier that is skipped",
    "a check read from a replica",
    "a batch that checks all items before it moves any",
    "an acknowledged offer that is not offered again",
    "a witness that cosigns hashes alone",
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("mutant", "check"),
    [(mutant, check) for mutant in MUTANTS for check in mutant.reach],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_each_mutant_is_caught_by_the_check_in_whose_reach_it_lies(mutant: Mutant, check: str) -> None:
    found = CHECKS[check](mutant)
    print(f"{mutant.name}: {check}: {found}")
    assert found


def test_every_mutant_of_the_protocol_is_here() -> None:
    assert {mutant.name for mutant in MUTANTS} >= SECTION_10_6


def test_an_honest_witness_takes_nothing_that_is_made_up() -> None:
    assert not caught_by_witness(Mutant("none", lambda _: None))
