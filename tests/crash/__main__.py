"""``python -m tests.crash``: the crash matrix (PROTOCOL section 10.3).

Fails if a case does not hold, if a recorded edge was not come to, and, with ``--check``, if
docs/crash-matrix.md is not what was found. A whole run in which all holds writes that page.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
from collections.abc import Sequence

from tests.crash import killed
from tests.crash.cases import Case
from tests.crash.matrix import (
    POSTGRESQL,
    SQLITE,
    Matrix,
    faults,
    other_orders,
    pairs,
    refusals,
    say,
    singles,
)
from tests.crash.page import PAGE, count_of_points, render

PARTS = ("singles", "postgresql", "disk", "pairs", "processes")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="some of " + ",".join(PARTS))
    parser.add_argument("--only", default="", help="run only cases whose name contains this")
    parser.add_argument("--every", type=int, default=1, help="run only every n-th case of each part")
    parser.add_argument("--check", action="store_true", help="fail if the page must be written again")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run; 1 if something does not hold."""
    asked = parse(arguments)
    signal.signal(signal.SIGTERM, _ended_from_outside)
    wanted = set(asked.parts.split(","))
    begun = time.monotonic()
    matrix = Matrix(say)

    def chosen(cases: list[Case]) -> list[Case]:
        return [case for case in cases if asked.only in str(case)][:: asked.every]

    try:
        recorded = matrix.record()
        edges = {edge for met in recorded.values() for edge in met}
        say(f"recorded: {len(recorded)} acts, {len(edges)} edges, {count_of_points(recorded)} points")
        if "singles" in wanted:
            matrix.run("singles on SQLite", chosen(singles(recorded, SQLITE)))
        if "postgresql" in wanted:
            matrix.run("singles on PostgreSQL", chosen(singles(recorded, POSTGRESQL)))
        if "disk" in wanted:
            for (fault, refused), count in sorted(
                refusals(matrix.run("disks that break", chosen(faults(recorded)))).items()
            ):
                say(f"    {fault}: {refused or 'nothing was to be written'} {count}")
        if "pairs" in wanted:
            both = matrix.run("pairs", chosen(pairs(recorded)))
            matrix.run("pairs dead at once, the last recovered first", other_orders(both))
    finally:
        matrix.close()
    if "processes" in wanted:
        for databases, points in (("sqlite", killed.POINTS), ("postgres", killed.POINTS[::2])):
            since = time.monotonic()
            tried = killed.run(databases, points)
            say(f"processes on {databases}: {tried} killed at a point, {time.monotonic() - since:.0f} s")
    for missed in matrix.missed:
        say(f"NOT COVERED {missed.case}")
    page = render(recorded)
    changed = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page
    whole = wanted == set(PARTS) and not asked.only and asked.every == 1
    if changed and whole and not matrix.failures and not matrix.missed:
        PAGE.write_text(page, encoding="utf-8")
        say(f"{PAGE.name} is written again")
    seconds = time.monotonic() - begun
    say(
        f"crash: {len(matrix.outcomes)} cases, {len(matrix.failures)} failed, {len(matrix.missed)} edges not "
        f"covered, {seconds:.0f} s, {_cpu_seconds():.0f} s of processor"
    )
    return 1 if matrix.failures or matrix.missed or (asked.check and changed) else 0


def _ended_from_outside(*_: object) -> None:
    """End the workers and what they started, once: a second signal must not end the ending."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
