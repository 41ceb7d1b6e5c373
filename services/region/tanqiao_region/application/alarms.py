"""What went wrong on this node's lines and needs a person, since the node started; `GetNodeStatus` shows it.

The facts themselves are rows (evidence, cases, journal) or lines of the log; here stands only that there are
some, so that who looks at the status sees it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from tanqiao.kernel.errors import DomainError


@dataclass(frozen=True, slots=True)
class Alarm:
    """One reason: how often, when last, and the refusal as it was then."""

    refusal: DomainError
    count: int
    last_at: datetime


class Alarms:
    """Counts by reason: bounded by the catalogue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Alarm] = {}

    def note(self, refusal: DomainError, at: datetime) -> None:
        """Count one; `at` is the present moment."""
        with self._lock:
            before = self._known.get(refusal.symbol)
            count = 1 if before is None else before.count + 1
            self._known[refusal.symbol] = Alarm(refusal, count, at)

    def all(self) -> list[Alarm]:
        """Give one for each reason, by symbol."""
        with self._lock:
            return [self._known[symbol] for symbol in sorted(self._known)]
