"""Runs schedules one after the other and says what they covered."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tanqiao.testing.simulation.schedule import Options, Result, run_schedule
from tanqiao.testing.simulation.shrink import command_of, shrink

FAILURES_SHOWN_MAX: Final = 3


@dataclass(slots=True)
class Summary:
    """What a run of schedules covered.

    Args:
        seed: of the first schedule.
        schedules: how many were run.
        failures: those in which something did not hold.
        seconds: of processor time.
    """

    seed: int
    schedules: int
    failures: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    transfers: int = 0
    commits: int = 0
    cuts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)

    def as_text(self) -> str:
        """Give it as lines for people."""
        return (
            f"simulation: {self.schedules} schedules from seed {self.seed}, {self.transfers} transfers, "
            f"{self.commits} transactions, {self.cuts} cuts compared, {len(self.failures)} failures, "
            f"{self._rate:.1f} schedules/s per core\n"
            f"    faults: {_listed(self.faults)}\n    outcomes: {_listed(self.outcomes)}\n"
            f"    orders: {_listed(self.orders)}\n"
        )

    def as_fields(self) -> dict[str, Any]:
        """Give it as a document for programs; a failure with the command that runs it again."""
        return {
            "seed": self.seed,
            "schedules": self.schedules,
            "transfers": self.transfers,
            "transactions": self.commits,
            "cuts": self.cuts,
            "schedules_per_second": round(self._rate, 1),
            "faults": dict(self.faults),
            "outcomes": dict(self.outcomes),
            "orders": dict(self.orders),
            "failures": [
                {"again": command_of(one.options), "violations": [str(found) for found in one.violations]}
                for one in self.failures
            ],
        }

    @property
    def _rate(self) -> float:
        return self.schedules / max(self.seconds, 0.001)


def run_schedules(first: Options, schedules: int, failed: Callable[[Result], None]) -> Summary:
    """Run schedules with the seeds from the first on; `failed` is told the first few that fail."""
    summary = Summary(first.seed, schedules)
    begun = time.process_time()
    for seed in range(first.seed, first.seed + schedules):
        options = Options(seed, first.transfers, first.without, first.real_signatures)
        result = run_schedule(options)
        summary.faults.update(result.faults)
        summary.outcomes.update(result.outcomes)
        summary.orders.update(result.orders)
        summary.transfers += result.transfers
        summary.commits += result.commits
        summary.cuts += result.cuts
        if result.violations:
            summary.failures.append(result)
            if len(summary.failures) <= FAILURES_SHOWN_MAX:
                failed(result)
    summary.seconds = time.process_time() - begun
    return summary


def report(result: Result, *, shrinks: bool) -> str:
    """Say what failed and how to see it again."""
    lines = [f"seed {result.options.seed} fails:", *(f"    {found}" for found in result.violations)]
    lines.append(f"    again: {command_of(result.options)}")
    if shrinks:
        smaller = shrink(result, run_schedule)
        if smaller.options != result.options:
            lines.append(f"    smaller: {command_of(smaller.options)}")
            lines += [f"        {found}" for found in smaller.violations]
    return "\n".join(lines) + "\n"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
