"""The crash matrix (PROTOCOL section 10.3): records the edges, tries them singly and in pairs, and judges."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations_with_replacement
from typing import Any, Final

import structlog

from tests.crash.acts import ACTS
from tests.crash.cases import (
    DISK_FULL,
    FORCED_WRITE,
    Bench,
    Case,
    Outcome,
    is_due,
    points_for_pairs,
    points_of,
)
from tests.crash.failpoints import BEFORE, WRITE, Edge, KilledError, Point

WORKERS: Final = 2
CASES_AT_ONCE: Final = 8
TRIES_MAX: Final = 3
"""A point that was not come to is tried so often: what goes in one transaction with what is chance."""
TOLD_SECONDS: Final = 30.0
PAIRS_ACT: Final = 0
SQLITE, POSTGRESQL = "sqlite", "postgresql"

Say = Callable[[str], None]
_bench: list[Bench] = []


def _prepare_worker() -> None:
    """Be silent about nodes that die: that is what they are here for."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    shown = threading.excepthook

    def hook(arguments: Any) -> None:
        if arguments.exc_type is not KilledError:
            shown(arguments)

    threading.excepthook = hook


def _run(cases: Sequence[Case]) -> list[Outcome]:
    """Run some cases in a worker."""
    if not _bench:
        _bench.append(Bench())
    outcomes = [_bench[0].run(case) for case in cases]
    if cases and not cases[0].points:
        _bench.pop().close()
    return outcomes


def _end_worker(seconds: float) -> None:
    time.sleep(seconds)
    while _bench:
        _bench.pop().close()


class Matrix:
    """Runs cases in worker processes, and keeps what came of them.

    Args:
        say: told each step in words.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._pool = ProcessPoolExecutor(
            WORKERS, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare_worker
        )
        self.outcomes: list[Outcome] = []
        self.failures: list[Outcome] = []
        self.missed: list[Outcome] = []

    def close(self) -> None:
        """End the workers and what they started."""
        # One call for each worker: each takes one, for it is busy with it.
        list(self._pool.map(_end_worker, [0.5] * WORKERS))
        self._pool.shutdown()

    def record(self) -> dict[int, dict[Edge, int]]:
        """Give, for each act, the edges that are met every time and how often."""
        cases = [[Case(SQLITE, act)] for act in range(len(ACTS))]
        found = {}
        for outcome in self._outcomes(cases):
            if outcome.failure:
                raise AssertionError(f"{outcome.case}\n{outcome.failure}")
            found[outcome.case.act] = outcome.met
        return found

    def run(self, what: str, cases: Sequence[Case]) -> list[Outcome]:
        """Run cases; those whose points were not come to are run again."""
        begun = time.monotonic()
        done: dict[Case, Outcome] = {}
        left = list(cases)
        for _ in range(TRIES_MAX):
            if not left:
                break
            told = time.monotonic()
            parts = [left[at : at + CASES_AT_ONCE] for at in range(0, len(left), CASES_AT_ONCE)]
            for outcome in self._outcomes(parts):
                done[outcome.case] = outcome
                if outcome.failure:
                    self._say(f"FAILED {outcome.case}\n{outcome.failure}")
                if time.monotonic() - told > TOLD_SECONDS:
                    told = time.monotonic()
                    self._say(f"    {what}: {len(done)} of {len(cases)}, {told - begun:.0f} s")
            left = [case for case in left if not done[case].fired and not done[case].failure and is_due(case)]
        outcomes = [done[case] for case in cases]
        self.outcomes += outcomes
        self.failures += [outcome for outcome in outcomes if outcome.failure]
        self.missed += [done[case] for case in left]
        self._say(
            f"{what}: {len(cases)} cases, {sum(outcome.fired for outcome in outcomes)} came to their points, "
            f"{sum(bool(outcome.failure) for outcome in outcomes)} failed, "
            f"{time.monotonic() - begun:.0f} s"
        )
        return outcomes

    def _outcomes(self, parts: Iterable[list[Case]]) -> Iterator[Outcome]:
        for outcomes in self._pool.map(_run, parts):
            yield from outcomes


def singles(recorded: dict[int, dict[Edge, int]], database: str) -> list[Case]:
    """Give each point of each act alone."""
    return [Case(database, act, (point,)) for act, met in recorded.items() for point in points_of(met)]


def faults(recorded: dict[int, dict[Edge, int]]) -> list[Case]:
    """Give each write of each act with a disk that breaks at it; only the node's own storage can."""
    return [
        Case(SQLITE, act, (point,), fault)
        for act, met in recorded.items()
        for point in points_of({edge: n for edge, n in met.items() if edge.kind == WRITE}, (BEFORE,))
        for fault in (DISK_FULL, FORCED_WRITE)
    ]


def pairs(recorded: dict[int, dict[Edge, int]]) -> list[Case]:
    """Give every two points of a committed transfer, each with itself among them."""
    points = points_for_pairs(recorded[PAIRS_ACT])
    cases = []
    for first, second in combinations_with_replacement(points, 2):
        again = Point(second.edge, 2, second.phase) if first == second else second
        cases.append(Case(SQLITE, PAIRS_ACT, (first, again)))
    return cases


def other_orders(outcomes: Sequence[Outcome]) -> list[Case]:
    """Give the cases in which two were dead at once, to be recovered in the other order."""
    return [
        Case(one.case.database, one.case.act, one.case.points, last_first=True)
        for one in outcomes
        if one.dead_at_once
    ]


def refusals(outcomes: Sequence[Outcome]) -> Counter[tuple[str, str]]:
    """Count what broken storage answered; '' where nothing was to be written."""
    return Counter((outcome.case.fault, outcome.refused) for outcome in outcomes if outcome.case.fault)


def say(text: str) -> None:
    """Print at once: somebody waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
