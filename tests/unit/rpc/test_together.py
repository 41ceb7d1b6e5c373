"""Calls that come at once share a run of the work; nobody's answer is another's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.rpc import together
from tanqiao.rpc.together import Together

WAIT_SECONDS = 60


class Work:
    """Doubles numbers; stands still while it is told to, and notes each run."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.runs.append(list(items))
        self.begun.release()
        assert self.go.wait(WAIT_SECONDS)
        if -1 in items:
            raise DomainError("BUSY", detail="test")
        return [2 * item for item in items]


def waiting(shared: Together[int, int], count: int) -> None:
    """Wait until so many calls wait behind the runs."""
    pause = threading.Event()
    for _ in range(WAIT_SECONDS * 1000):
        if len(shared._waiting) == count:
            return
        pause.wait(0.001)
    raise AssertionError(f"{len(shared._waiting)} calls wait")


def test_calls_that_come_during_a_run_share_the_next_one() -> None:
    work = Work()
    shared: Together[int, int] = Together(work, most=3, lanes=1, waiting=10)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(shared.run, 0)
        assert work.begun.acquire(timeout=WAIT_SECONDS)
        others: list[Future[int]] = []
        for item in range(1, 6):
            others.append(pool.submit(shared.run, item))
            waiting(shared, item)
        work.go.set()
        assert first.result(WAIT_SECONDS) == 0
        assert [one.result(WAIT_SECONDS) for one in others] == [2, 4, 6, 8, 10]
    assert work.runs == [[0], [1, 2, 3], [4, 5]]
    assert shared.run(7) == 14
    assert work.runs[-1] == [7]


def test_a_call_that_finds_a_lane_free_waits_for_nobody() -> None:
    work = Work()
    shared: Together[int, int] = Together(work, most=3, lanes=2, waiting=10)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(shared.run, item) for item in (1, 2)]
        assert work.begun.acquire(timeout=WAIT_SECONDS)
        assert work.begun.acquire(timeout=WAIT_SECONDS)
        work.go.set()
        assert [one.result(WAIT_SECONDS) for one in calls] == [2, 4]
    assert sorted(map(len, work.runs)) == [1, 1]


def test_an_error_is_that_of_the_call_that_caused_it_and_of_no_other() -> None:
    work = Work()
    shared: Together[int, int] = Together(work, most=2, lanes=1, waiting=10)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(shared.run, 1)
        assert work.begun.acquire(timeout=WAIT_SECONDS)
        others = []
        for count, item in enumerate((2, -1, 3), start=1):
            others.append(pool.submit(shared.run, item))
            waiting(shared, count)
        work.go.set()
        assert [one.result(WAIT_SECONDS) for one in (first, others[0], others[2])] == [2, 4, 6]
        with pytest.raises(DomainError, match="BUSY"):
            others[1].result(WAIT_SECONDS)
    assert work.runs == [[1], [2, -1], [2], [-1], [3]]


def test_too_many_calls_and_one_that_nobody_begins_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    shared: Together[int, int] = Together(work, most=2, lanes=1, waiting=1)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(shared.run, 1)
        assert work.begun.acquire(timeout=WAIT_SECONDS)
        with monkeypatch.context() as patch:
            patch.setattr(together, "ANSWER_SECONDS_MAX", 0.05)
            with pytest.raises(DomainError, match="BUSY"):
                shared.run(2)
        third = pool.submit(shared.run, 3)
        waiting(shared, 1)
        with pytest.raises(DomainError, match="BUSY"):
            shared.run(4)
        work.go.set()
        assert first.result(WAIT_SECONDS) == 2
        assert third.result(WAIT_SECONDS) == 6


def test_many_callers_at_once_each_get_their_own_answer() -> None:
    shared: Together[int, int] = Together(
        lambda items: [2 * one for one in items], most=7, lanes=2, waiting=999
    )
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(shared.run, range(2_000))) == [2 * one for one in range(2_000)]
    assert shared._lanes_free == 2
