"""Places for calls that stay: streams and feeds, each of which holds a thread of the server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller


class Places:
    """So many places in all, and so many for one caller: nobody keeps all others out."""

    def __init__(self, what: str, *, most: int, most_of_one: int) -> None:
        """Set the bounds.

        Args:
            what: word for those who stay, ``streams``.
            most: in all.
            most_of_one: of one party.
        """
        self._what = what
        self._most = most
        self._most_of_one = most_of_one
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place for the caller of this call.

        Raises:
            DomainError: QUOTA_EXCEEDED, with the bound that is reached; nobody waits for a place.
        """
        party = current_caller().party
        with self._lock:
            if self._taken[party] >= self._most_of_one:
                raise self._refusal(f"{self._most_of_one} {self._what} of {party}")
            if self._taken.total() >= self._most:
                raise self._refusal(f"{self._most} {self._what}")
            self._taken[party] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[party] -= 1
                self._taken += Counter()  # parties without a place are not remembered

    @staticmethod
    def _refusal(limit: str) -> DomainError:
        return DomainError("QUOTA_EXCEEDED", limit=limit, retry_time="later")
