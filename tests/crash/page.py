"""Writes docs/crash-matrix.md from the edges that a run found: the same edges give the same page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.crash.acts import ACTS
from tests.crash.cases import points_for_pairs, points_of
from tests.crash.failpoints import WRITE, Edge
from tests.crash.killed import POINTS
from tests.crash.matrix import PAIRS_ACT, pairs

PAGE: Final = Path(__file__).parents[2] / "docs" / "crash-matrix.md"
PARTIES: Final = {"S": "source", "B": "bridge", "D": "destination"}

_HEAD: Final = """\
# The crash matrix

Written by `make crash`: it fails where a cell does not hold, and this page is what it found. PROTOCOL §10.3.

Source (S), bridge (B) and destination (D) run as in production: their servers, TLS, signatures, one SQLite or
PostgreSQL database each. A recording of each act finds every commit of a transaction and every frame that
goes out; nothing is listed by hand. Then the act is done again for each of them, and the node dies there:
before it, and after it. A write that is followed by a send gives three deaths: before the write, between
write and send, after the send has arrived. A node that dies stands still at once and begins again on the
files that lay on the disk at that moment; callers repeat their requests. Afterwards every transfer must be
terminal, every request have one effect, the units be conserved by the rule of PROTOCOL §7, and `fsck` of all
three nodes be clean.

- **before**, **after**: the node dies there, on SQLite and on PostgreSQL.
- **disk**: the operating system refuses the write: no file may grow (RLIMIT_FSIZE; `DISK_FULL`), or the
  forced write fails with an I/O error (`DATABASE_UNAVAILABLE`; the node writes nothing more until it is
  restarted). On SQLite, where the disk is the node's own. A commit with nothing in it needs no disk.
"""

_PAIRS: Final = """\
## Pairs

In a transfer that is committed, on SQLite, every two of these {points} points, {pairs} pairs, a point with
itself among them: the node dies there again while it recovers. Acknowledgements are left out, they promise
nothing. If the second comes to its point while the first is dead, both are dead at once, and the case is run
in both orders of recovery; otherwise the first is recovered, and the second dies after it if what is left
still leads there.
"""


def render(recorded: dict[int, dict[Edge, int]]) -> str:
    """Give the page."""
    lines = [_HEAD]
    for act, met in sorted(recorded.items()):
        lines += [f"## {ACTS[act].name[0].upper()}{ACTS[act].name[1:]}", ""]
        lines += ["| party | write or send | before | after | disk |", "|---|---|---|---|---|"]
        for edge in sorted(met, key=_order):
            disk = "✓" if edge.kind == WRITE else ""
            lines.append(f"| {edge.party} | {edge.kind}: {_readable(edge.what)} | ✓ | ✓ | {disk} |")
        lines.append("")
    points = points_for_pairs(recorded[PAIRS_ACT])
    lines.append(_PAIRS.format(points=len(points), pairs=len(pairs(recorded))))
    for point in points:
        edge = point.edge
        lines.append(f"- {PARTIES[edge.party]}: {point.phase} {edge.kind} {_readable(edge.what)}")
    lines += [
        "",
        "## Processes",
        "",
        "Real processes that end themselves with SIGKILL at these points, on SQLite and on PostgreSQL:",
        "",
    ]
    lines += [f"- {_readable(point)}" for point in POINTS]
    return "\n".join(lines) + "\n"


def _order(edge: Edge) -> tuple[int, bool, str]:
    return ("SBD".index(edge.party), edge.kind != WRITE, edge.what)


def _readable(text: str) -> str:
    return text.removesuffix(" #1").replace(".<locals>", "").replace("<lambda>", "…")


def count_of_points(recorded: dict[int, dict[Edge, int]]) -> int:
    """Count the points of all acts."""
    return sum(len(points_of(met)) for met in recorded.values())
