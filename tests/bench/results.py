"""What a bench item found, and how it is shown: minimum, median, maximum, the limit beside it, the ratio."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table

SIGNIFICANT_DIGITS: Final = 3
WHOLE_FROM: Final = 100


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    Args:
        item: name of the bench item that measured it.
        title: what was measured.
        database: ``sqlite``, ``postgres``, or empty where none takes part.
        unit: unit of the values, such as ``transfers/s``.
        values: one for each round.
        limit: what the bare program reached in the same run, one for each round; empty: none is meant.
        limit_title: what the bare program did.
        note: what a reader must know beside the numbers.
    """

    item: str
    title: str
    database: str
    unit: str
    values: tuple[float, ...]
    limit: tuple[float, ...] = ()
    limit_title: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """Median as a part of the limit's median; None where there is no limit."""
        return self.median / statistics.median(self.limit) if self.limit else None

    def as_dict(self) -> dict[str, Any]:
        """Give what the JSON file holds."""
        return {
            **asdict(self),
            "minimum": min(self.values),
            "median": self.median,
            "maximum": max(self.values),
            "ratio": self.ratio,
        }


@dataclass(slots=True)
class Report:
    """All results of a run with the facts of the machine that they were measured on."""

    machine: dict[str, str]
    results: list[Result] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, results: Iterable[Result]) -> None:
        """Take the results of one item."""
        self.results.extend(results)

    def as_dict(self) -> dict[str, Any]:
        """Give the whole report for a JSON file."""
        return {
            "machine": self.machine,
            "results": [result.as_dict() for result in self.results],
            "failures": self.failures,
        }

    def show(self, console: Console) -> None:
        """Print machine, table and notes."""
        console.print(" · ".join(f"{name} {value}" for name, value in self.machine.items()), highlight=False)
        table = Table(title="tanqiao bench")
        for name in ("what", "database", "unit"):
            table.add_column(name, overflow="fold")
        for name in ("min", "median", "max", "limit", "ratio"):
            table.add_column(name, justify="right", no_wrap=True)
        for result in self.results:
            table.add_row(*_cells(result))
        console.print(table)
        for line in _legend(self.results):
            console.print(line, highlight=False, markup=False)
        for failure in self.failures:
            console.print(f"FAILED {failure}", style="bold red", highlight=False, markup=False)


def _cells(result: Result) -> Sequence[str]:
    limit = number(statistics.median(result.limit)) if result.limit else "–"
    ratio = f"{result.ratio:.3g}" if result.ratio is not None else "–"
    values = (min(result.values), result.median, max(result.values))
    return (result.title, result.database, result.unit, *map(number, values), limit, ratio)


def _legend(results: Sequence[Result]) -> list[str]:
    """Say what each limit is, and each note, once."""
    limits = dict.fromkeys(f"limit of {r.title}: {r.limit_title}" for r in results if r.limit_title)
    notes = dict.fromkeys(f"{r.title}: {r.note}" for r in results if r.note)
    return [*limits, *notes]


def number(value: float) -> str:
    """Give a value with thousands separated; three significant digits below 100."""
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:.{SIGNIFICANT_DIGITS}g}"
