"""Look-ups of many callers at one time become one: what group commit is for writing, this is for reading.

Callers who are answered by one commit come together to read what it wrote. Each for itself would take a
connection and a transaction, and all would wait for the interpreter's lock with them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from copy import copy
from typing import Final, Generic, TypeVar

from tanqiao.kernel.errors import DomainError

KEYS_PER_LOOK_MAX: Final = 256

Key = TypeVar("Key")
Value = TypeVar("Value")


class SharedReads(Generic[Key, Value]):
    """Looks up what is wanted at one time with one question; there is no thread of its own.

    One caller looks, for all who have asked until then; who asks meanwhile is answered by the next look. A
    look begins after everyone whom it answers has asked, so that each sees what was committed before.

    Args:
        look: gives the values that there are for some keys; its error is that of every caller of the look.
        keys_per_look_max: bound of one look.
    """

    def __init__(
        self, look: Callable[[Sequence[Key]], Mapping[Key, Value]], keys_per_look_max: int = KEYS_PER_LOOK_MAX
    ) -> None:
        self._look = look
        self._keys_max = keys_per_look_max
        self._asked: deque[tuple[Key, Future[Value | None]]] = deque()
        self._turn = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Give the value of a key as it stands now; None where there is none."""
        answer: Future[Value | None] = Future()
        self._asked.append((key, answer))
        with self._turn:
            while not answer.done():  # else whoever had the turn before has looked for this caller too
                self._look_for_all()
        return answer.result()

    def _look_for_all(self) -> None:
        asked = [self._asked.popleft() for _ in range(min(len(self._asked), self._keys_max))]
        try:
            found = self._look(list(dict.fromkeys(key for key, _ in asked)))
        except BaseException as error:  # noqa: BLE001 - handed to every caller of this look
            for _, answer in asked:
                # Each caller raises its own: one exception raised in many threads collects all their frames.
                answer.set_exception(copy(error) if isinstance(error, DomainError) else error)
        else:
            for key, answer in asked:
                answer.set_result(found.get(key))
