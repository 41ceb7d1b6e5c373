"""Makes a failing schedule smaller: fewer transfers, fewer kinds of fault, the same failure to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from tanqiao.testing.simulation.network import FAULTS
from tanqiao.testing.simulation.schedule import Options, Result

RUNS_MAX: Final = 80
"""Schedules tried for one failure."""


def shrink(failing: Result, run: Callable[[Options], Result]) -> Result:
    """Give the smallest failing schedule found within `RUNS_MAX` runs; at worst the one given."""
    best = failing
    runs = 0
    progress = True
    while progress and runs < RUNS_MAX:
        progress = False
        for candidate in _smaller(best.options):
            runs += 1
            result = run(candidate)
            if result.violations:
                best, progress = result, True
                break
            if runs >= RUNS_MAX:
                break
    return best


def _smaller(options: Options) -> Iterator[Options]:
    for transfers in (options.transfers // 2, options.transfers * 3 // 4, options.transfers - 1):
        if 0 < transfers < options.transfers:
            yield replace(options, transfers=transfers)
    for fault in FAULTS:
        if fault not in options.without:
            yield replace(options, without=options.without | {fault})


def command_of(options: Options) -> str:
    """Give the command that runs exactly this schedule again."""
    words = [f"python -m tanqiao.testing.simulation {options.seed} 1 --transfers {options.transfers}"]
    if options.without:
        words.append("--without " + ",".join(sorted(options.without)))
    if options.real_signatures:
        words.append("--ed25519")
    return " ".join(words)
