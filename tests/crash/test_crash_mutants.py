"""The crash matrix finds what is wrong: each fault of `tests.crash.mutants`, and only by the death."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from tests.crash import acts, ring
from tests.crash.cases import Bench, Case
from tests.crash.failpoints import parse_point
from tests.crash.matrix import SQLITE
from tests.crash.mutants import MUTANTS, Mutant, applied

TRANSFER: Final = 0
NEVER: Final = 99
STUCK_SECONDS: Final = 30.0
"""A transfer that has not ended by then counts as stuck; without the fault it takes a second."""

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.long,
    # A faulty node may end as badly as it lives.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Nodes to let die."""
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_crash_matrix_catches_a_fault_that_only_a_death_shows(
    bench: Bench, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    death = parse_point(mutant.point)
    bench._discard()  # nodes that run already would go on with what they were built of
    with applied(mutant, bench._points):
        alive = bench.run(Case(SQLITE, TRANSFER, (replace(death, nth=NEVER),)))
        assert not alive.failure, alive.failure
        for module in (acts, ring):
            monkeypatch.setattr(module, "CASE_SECONDS_MAX", STUCK_SECONDS)
        dead = bench.run(Case(SQLITE, TRANSFER, (death,)))
    monkeypatch.undo()
    bench._discard()  # what a fault left behind is not the next case's
    assert dead.failure
    sound = bench.run(Case(SQLITE, TRANSFER, (death,)))
    assert not sound.failure, sound.failure
    assert sound.fired
