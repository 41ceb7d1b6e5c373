"""One run of the bench: where it lives, how long an item may take, and the federations that it starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from tests.bench import limits
from tests.bench.limits import Work
from tests.bench.processes import Federation

T = TypeVar("T")

ROUNDS: Final = 5
ROUNDS_QUICK: Final = 2
LIMIT_SECONDS: Final = 0.5
LIMIT_SECONDS_QUICK: Final = 0.05


@dataclass(slots=True)
class Bench:
    """What every item is given.

    Args:
        folder: temporary; everything is written below it.
        quick: whether only the shape of the output matters.
        rounds: how often each number is measured.
        report: told each step in words.
    """

    folder: Path
    quick: bool
    rounds: int
    report: Callable[[str], None]
    _federations: dict[str, Federation] = field(default_factory=dict)

    def scaled(self, full: int, quick: int) -> int:
        """Give the size of an item."""
        return quick if self.quick else full

    def limit(self, work: Work, group_size: int) -> tuple[float, ...]:
        """Measure a limit in this run."""
        seconds = LIMIT_SECONDS_QUICK if self.quick else LIMIT_SECONDS
        return limits.rounds(work, group_size, self.folder, count=self.rounds, seconds=seconds)

    def federation(self, database: str) -> Federation:
        """Give the federation on a database; its processes start when they are asked for."""
        if database not in self._federations:
            self._federations[database] = Federation(self.folder / database, database, self.report)
        return self._federations[database]

    def witnessed_federation(self, database: str) -> Federation:
        """Give a federation of its own in which two of three regions are a quorum."""
        name = f"{database}-witnessed"
        if name not in self._federations:
            self._federations[name] = Federation(self.folder / name, database, self.report, quorum=2)
        return self._federations[name]

    def close(self, databases: Iterable[str] | None = None) -> None:
        """Stop the processes (of some databases); nothing else runs while an item is measured."""
        for database in list(self._federations if databases is None else databases):
            federation = self._federations.pop(database, None)
            if federation is not None:
                federation.stop()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Give the seconds that a call took, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result
