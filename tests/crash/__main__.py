"""``python -m tests.crash``: the crash matrix; writes docs/crash-matrix.md and fails for whatever is not whole."""

from __future__ import annotations

import argparse
import sys
import time

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

PARTS = ("singles", "postgresql", "pairs", "disk")


def main(arguments: list[str]) -> int:
    """Run; 1 if a case failed or a recorded point was not come to."""
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__)
    parser.add_argument("--only", default="", help="run only cases whose name contains this")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--every", type=int, default=1, help="run only every n-th case of each part")
    asked = parser.parse_args(arguments)
    begun = time.monotonic()
    matrix = Matrix(say)
    wanted = asked.parts.split(",")

    def chosen(cases):
        return [case for case in cases if asked.only in str(case)][:: asked.every]

    try:
        recorded = matrix.record()
        for act, met in recorded.items():
            say(f"act {act}: {len(met)} edges, {sum(met.values())} passings")
        if "singles" in wanted:
            matrix.run("singles on SQLite", chosen(singles(recorded, SQLITE)))
        if "postgresql" in wanted:
            matrix.run("singles on PostgreSQL", chosen(singles(recorded, POSTGRESQL)))
        if "disk" in wanted:
            broken = matrix.run("disks that break", chosen(faults(recorded)))
            say(str(refusals(broken)))
        if "pairs" in wanted:
            both = matrix.run("pairs", chosen(pairs(recorded)))
            matrix.run("pairs in the other order", other_orders(both))
    finally:
        matrix.close()
    for missed in matrix.missed:
        say(f"NOT COVERED {missed.case}")
    say(f"{len(matrix.outcomes)} cases, {len(matrix.failures)} failed, {time.monotonic() - begun:.0f} s")
    return 1 if matrix.failures or matrix.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
