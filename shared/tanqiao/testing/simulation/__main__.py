"""``python -m tanqiao.testing.simulation SEED SCHEDULES``: runs schedules and says what they covered."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from typing import Final

from tanqiao.testing.simulation.network import FAULTS
from tanqiao.testing.simulation.schedule import TRANSFERS_DEFAULT, Options, Result, run_schedule
from tanqiao.testing.simulation.shrink import command_of, shrink

FAILURES_SHOWN_MAX: Final = 3


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tanqiao.testing.simulation", description=__doc__)
    parser.add_argument("seed", type=int, help="seed of the first schedule; the others follow")
    parser.add_argument("schedules", type=int, nargs="?", default=100, help="how many to run")
    parser.add_argument("--transfers", type=int, default=TRANSFERS_DEFAULT, help="transfers of each schedule")
    parser.add_argument("--without", default="", help="kinds of fault to leave out: " + ",".join(FAULTS))
    parser.add_argument("--ed25519", action="store_true", help="real signatures in place of stand-ins")
    parser.add_argument("--no-shrink", action="store_true", help="show a failure as it came")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run; 1 if a schedule failed."""
    asked = parse(arguments)
    without = frozenset(word for word in asked.without.split(",") if word)
    unknown = without - set(FAULTS)
    if unknown:
        sys.stderr.write(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}\n")
        return 2
    started = time.process_time()
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    transfers = commits = cuts = 0
    failures = []
    for seed in range(asked.seed, asked.seed + asked.schedules):
        result = run_schedule(Options(seed, asked.transfers, without, asked.ed25519))
        faults.update(result.faults)
        outcomes.update(result.outcomes)
        transfers += result.transfers
        commits += result.commits
        cuts += result.cuts
        if result.violations:
            failures.append(result)
            if len(failures) <= FAILURES_SHOWN_MAX:
                sys.stdout.write(report(result, shrinks=not asked.no_shrink))
    seconds = time.process_time() - started
    sys.stdout.write(
        f"simulation: {asked.schedules} schedules from seed {asked.seed}, {transfers} transfers, {commits} "
        f"transactions, {cuts} cuts compared, {len(failures)} failures, "
        f"{asked.schedules / max(seconds, 0.001):.1f} schedules/s per core\n"
        f"    faults: {_listed(faults)}\n    outcomes: {_listed(outcomes)}\n"
    )
    return 1 if failures else 0


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
