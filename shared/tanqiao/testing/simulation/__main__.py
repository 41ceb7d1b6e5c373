"""``python -m tanqiao.testing.simulation SEED SCHEDULES``: runs schedules and says what they covered."""

from __future__ import annotations

import argparse
import sys

from tanqiao.testing.simulation.network import FAULTS
from tanqiao.testing.simulation.run import report, run_schedules
from tanqiao.testing.simulation.schedule import TRANSFERS_DEFAULT, Options, Result


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

    def failed(result: Result) -> None:
        sys.stdout.write(report(result, shrinks=not asked.no_shrink))

    first = Options(asked.seed, asked.transfers, without, asked.ed25519)
    summary = run_schedules(first, asked.schedules, failed)
    sys.stdout.write(summary.as_text())
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
