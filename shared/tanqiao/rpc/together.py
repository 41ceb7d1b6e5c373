"""Calls that come at once share one run of the work; a call that comes alone does not wait for others.

Whoever finds a lane free runs the work for all that wait, itself the first among them, and hands the lane on
to one that has come meanwhile. So the size of a run follows the load: one while calls are few, many while
they are, without a timer (ARCHITECTURE section 4, "batch first").
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

Item = TypeVar("Item")
Answer = TypeVar("Answer")

ANSWER_SECONDS_MAX: Final = 30.0


@dataclass(slots=True, eq=False)
class _Call(Generic[Item, Answer]):
    """One caller that waits: for its answer, or for its turn to run the work for the calls of `run`."""

    item: Item
    woken: threading.Event = field(default_factory=threading.Event)
    run: list[_Call[Item, Answer]] | None = None
    answers: list[Answer] = field(default_factory=list)
    error: Exception | None = None


class Together(Generic[Item, Answer]):
    """Runs work for callers of several threads.

    Args:
        work: gives an answer for each item, in order, and has no effect; after an error it is run again for
            each item alone, so that the error is that of its own caller.
        most: items of one run.
        lanes: runs side by side, so that one computes while another waits for a peer.
        waiting: calls that may wait; beyond that a call is refused.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Sequence[Answer]], *, most: int, lanes: int, waiting: int
    ) -> None:
        self._work = work
        self._most = most
        self._lanes_free = lanes
        self._waiting_max = waiting
        self._waiting: deque[_Call[Item, Answer]] = deque()
        self._lock = threading.Lock()

    def run(self, item: Item) -> Answer:
        """Give the answer for one item.

        Raises:
            DomainError: BUSY where too many wait, or nobody began with this one in `ANSWER_SECONDS_MAX`.
        """
        call: _Call[Item, Answer] = _Call(item)
        with self._lock:
            if self._lanes_free:
                self._lanes_free -= 1
                call.run = [call]
            elif len(self._waiting) >= self._waiting_max:
                raise DomainError("BUSY", detail=f"{self._waiting_max} calls wait already")
            else:
                self._waiting.append(call)
        if call.run is None:
            self._wait(call)
        if call.run is not None:
            self._lead(call.run)
        if call.error is not None:
            raise call.error
        return call.answers[0]

    def _wait(self, call: _Call[Item, Answer]) -> None:
        if call.woken.wait(ANSWER_SECONDS_MAX):
            return
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
                raise DomainError("BUSY", detail="no answer came in time")
        call.woken.wait()  # somebody is at it, and ends within the bounds of the work

    def _lead(self, calls: list[_Call[Item, Answer]]) -> None:
        """Run the work for these calls and those that have come since, and hand the lane on."""
        with self._lock:
            while self._waiting and len(calls) < self._most:
                calls.append(self._waiting.popleft())
        try:
            if not self._answered(calls):
                for one in calls:  # one bad call does not fail its neighbours
                    self._answered([one])
        finally:
            self._hand_on()
            for one in calls[1:]:
                one.woken.set()

    def _answered(self, calls: Sequence[_Call[Item, Answer]]) -> bool:
        """Run the work for some calls; of a single one an error is kept, which its caller raises."""
        try:
            answers = self._work([one.item for one in calls])
            require(len(answers) == len(calls), "an answer for each item")
        except Exception as error:  # noqa: BLE001 - its caller raises it
            if len(calls) > 1:
                return False
            calls[0].error = error
            return True
        for one, answer in zip(calls, answers, strict=True):
            one.answers.append(answer)
        return True

    def _hand_on(self) -> None:
        with self._lock:
            if not self._waiting:
                self._lanes_free += 1
                return
            heir = self._waiting.popleft()
            heir.run = [heir]
        heir.woken.set()
