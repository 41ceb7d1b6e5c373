"""The crash matrix itself, on a few points: what it finds, and that it finds what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.cases import DISK_FULL, FORCED_WRITE, Bench, Case, points_for_pairs, points_of
from tests.crash.failpoints import Edge, parse_point
from tests.crash.matrix import SQLITE, pairs
from tests.crash.page import render

TRANSFER = 0
DECIDES = Edge("B", "write", "OfferAnswers Ready")
LOCKS = Edge("S", "send", "offered lock-assertion")
"""Edges of every committed transfer."""
DECIDED = Edge("B", "send", "numbered decision to S")
SENT_SECONDS_MAX = 30
LOOK_SECONDS = 0.01


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Nodes to let die."""
    made = Bench()
    yield made
    made.close()


@pytest.mark.timeout(240)
def test_a_recording_finds_the_writes_and_sends_of_a_transfer(bench: Bench) -> None:
    recorded = bench.run(Case(SQLITE, TRANSFER))
    assert not recorded.failure, recorded.failure
    assert {DECIDES, LOCKS} <= set(recorded.met)
    assert {edge.party for edge in recorded.met} == {"S", "B", "D"}
    points = points_of(recorded.met)
    assert all(parse_point(str(point)) == point for point in points)
    assert len(points_for_pairs(recorded.met)) > 20
    assert len(pairs({TRANSFER: recorded.met})) > 200
    page = render({TRANSFER: recorded.met})
    assert page == render({TRANSFER: dict(reversed(recorded.met.items()))})
    assert "| B | write: OfferAnswers Ready | ✓ | ✓ | ✓ |" in page


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("points", "fault"),
    [
        (("B before write OfferAnswers Ready #1",), ""),
        (("B after write OfferAnswers Ready #1", "D before write TakeNumbered Decision #1"), ""),
        (("S after send offered lock-assertion #1",), ""),
        (("B before write OfferAnswers Ready #1",), DISK_FULL),
        (("B before write OfferAnswers Ready #1",), FORCED_WRITE),
    ],
)
def test_a_node_that_dies_or_loses_its_disk_there_loses_nothing(
    bench: Bench, points: tuple[str, ...], fault: str
) -> None:
    outcome = bench.run(Case(SQLITE, TRANSFER, tuple(map(parse_point, points)), fault))
    assert not outcome.failure, outcome.failure
    assert outcome.fired
    assert bool(outcome.refused) == bool(fault)
