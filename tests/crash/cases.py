"""One case of the matrix: an act, the points at which nodes die in it, and what must be so afterwards."""

from __future__ import annotations

import errno
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tanqiao.db import embedded_postgres
from tanqiao.testing.databases import SERVER_SETTINGS, DatabaseMaker
from tanqiao.testing.disk_faults import refuse_system_calls
from tests.contract.region.harness import SHENZHEN
from tests.contract.region.served import full_network
from tests.crash.acts import ACTS
from tests.crash.failpoints import AFTER, BEFORE, SEND, Armed, Edge, Failpoints, Point
from tests.crash.ring import CASES_PER_RING, QUIET_SECONDS, Keeper, Ring, impatient

RECORDINGS: Final = 4
LATE_SECONDS: Final = 0.25
"""Acknowledgements follow what they acknowledge: so long is waited for a point after the act has ended."""
PASSINGS_MAX: Final = 2
STACK_MAX: Final = 4
FILE_BYTES_MAX: Final = 512

DISK_FULL: Final = "disk full"
FORCED_WRITE: Final = "forced write fails"


def fill_disk(commit: Callable[[], None]) -> None:
    """Commit while no file may grow beyond a few bytes (RLIMIT_FSIZE), as on a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, hard))
    try:
        commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def break_forced_writes(commit: Callable[[], None]) -> None:
    """Commit, and let every fsync of this thread fail with EIO for good: the kernel refuses it."""
    refuse_system_calls({"fsync": errno.EIO, "fdatasync": errno.EIO}, this_thread_only=True)
    commit()


FAULTS: Final = {DISK_FULL: fill_disk, FORCED_WRITE: break_forced_writes}
EXPECTED: Final = {DISK_FULL: {"DISK_FULL"}, FORCED_WRITE: {"DATABASE_UNAVAILABLE"}}


@dataclass(frozen=True)
class Case:
    """What is tried.

    Args:
        database: ``sqlite`` or ``postgresql``.
        act: place in `ACTS`.
        points: who dies where; none: a recording.
        fault: the storage breaks there in place of a death.
        last_first: of two that are dead at once the last begins first.
    """

    database: str
    act: int
    points: tuple[Point, ...] = ()
    fault: str = ""
    last_first: bool = False

    def __str__(self) -> str:
        what = " & ".join(str(point) for point in self.points) or "recording"
        order = ", the last begins first" if self.last_first else ""
        return (
            f"{self.database}: {ACTS[self.act].name}: {self.fault + ' ' if self.fault else ''}{what}{order}"
        )


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        case: which.
        failure: the traceback of what did not hold; empty if all held.
        fired: whether every point was come to.
        dead_at_once: whether two nodes were dead together.
        refused: what broken storage answered; empty if there was nothing to be written.
        seconds: wall clock.
        met: of a recording, how often each edge was met.
    """

    case: Case
    failure: str = ""
    fired: bool = False
    dead_at_once: bool = False
    refused: str = ""
    seconds: float = 0.0
    met: dict[Edge, int] = field(default_factory=dict)


class Bench:
    """Rings to run cases on, one at a time for each database."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tanqiao-crash-")))
        self._network = full_network(self._folder / "network")
        self._maker = DatabaseMaker(self._folder, self._start_postgres)
        self._points = Failpoints()
        self._stack.enter_context(self._points.installed())
        self._stack.enter_context(impatient())
        self._ring: Ring | None = None
        self._kind = ""
        self._number = self._left = self._bought_kg = 0
        self._postgres: Any = None

    def _start_postgres(self) -> Any:
        if self._postgres is None:
            directory = self._folder / "postgres"
            self._folder.chmod(0o711)
            self._postgres = embedded_postgres.start(directory, settings=SERVER_SETTINGS)
            self._stack.callback(embedded_postgres.remove, directory)
        return self._postgres

    def close(self) -> None:
        """Stop everything."""
        self._discard()
        self._stack.close()

    def _discard(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            self._points.arm()
            ring.close()

    def _ready(self, case: Case) -> Ring:
        kind, cost = case.database, ACTS[case.act].cost
        if self._ring is None or self._left < cost or kind != self._kind:
            self._discard()
            self._points.arm()
            self._kind, self._left, self._bought_kg = kind, CASES_PER_RING, 0
            self._ring = Ring(self._network, self._maker, kind, self._points, self._folder)
            self._ring.market.furnish()
        self._left -= cost
        self._number += 1
        return self._ring

    def run(self, case: Case) -> Outcome:
        """Run a case; whatever does not hold is the outcome's failure."""
        begun = time.monotonic()
        outcome = Outcome(case)
        try:
            if case.points:
                self._try(case, outcome)
            else:
                self._record(case, outcome)
        except Exception:  # noqa: BLE001 - shown with the case; the next one gets other nodes
            outcome.failure = traceback.format_exc()
            if self._ring is not None:
                outcome.failure += self._ring.describe() + _stacks()
            try:
                self._discard()
            except Exception:  # noqa: BLE001 - it is the failure that counts
                outcome.failure += traceback.format_exc()
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _record(self, case: Case, outcome: Outcome) -> None:
        """Meet every edge of an act several times; those count that are met every time."""
        act = ACTS[case.act]
        counts = []
        for _ in range(RECORDINGS):
            ring = self._ready(case)
            act.prepare(ring)
            while not self._points.quiet_for(LATE_SECONDS):
                time.sleep(QUIET_SECONDS)
            self._points.arm()
            act.run(ring, self._number)
            while not self._points.quiet_for(LATE_SECONDS):
                time.sleep(QUIET_SECONDS)
            counts.append(self._points.passings())
            ring.require_whole()
        self._discard()
        for edge in counts[0]:
            least = min(count[edge] for count in counts)
            if least:
                outcome.met[edge] = least

    def _try(self, case: Case, outcome: Outcome) -> None:
        ring = self._ready(case)
        fault = FAULTS.get(case.fault)
        armed = [Armed(point, fault) for point in case.points]
        act = ACTS[case.act]
        act.prepare(ring)
        self._points.arm(*armed)
        with Keeper(ring, armed, last_first=case.last_first) as keeper:
            gained_kg = act.run(ring, self._number)
            while not all(one.fired.is_set() for one in armed):
                if self._points.quiet_for(LATE_SECONDS):
                    break
                time.sleep(QUIET_SECONDS / 4)
        self._points.arm()
        ring.require_whole()
        self._bought_kg += gained_kg
        held_kg = ring.market.balance(SHENZHEN, ring.market.buyer).held_kg
        assert held_kg == self._bought_kg, f"the buyer holds {held_kg} kg and not {self._bought_kg}"
        outcome.fired = all(one.fired.is_set() for one in armed)
        outcome.dead_at_once = keeper.dead_at_once
        lives = [one.life for one in armed if one.life is not None]
        outcome.refused = " ".join(life.refused for life in lives if life.refused)
        if case.fault and outcome.refused:
            assert outcome.refused in EXPECTED[case.fault], outcome.refused
            written = sum(life.written for life in lives)
            assert case.fault != FORCED_WRITE or written == 0, f"{written} commits after a failed fsync"


def _stacks() -> str:
    """Say where every thread stands."""
    lines = [
        line
        for frame in sys._current_frames().values()
        for line in ["  thread\n", *traceback.format_stack(frame)[-STACK_MAX:]]
    ]
    return "\n" + "".join(lines)


def is_due(case: Case) -> bool:
    """Tell whether a case must come to its points.

    The first passing of an edge is met in every recording. A second one may depend on what shared a
    transaction, and of two points the second on what the first death left to be done.
    """
    return len(case.points) == 1 and case.points[0].nth == 1


def points_of(met: dict[Edge, int], phases: Sequence[str] = (BEFORE, AFTER)) -> list[Point]:
    """Give every point of the edges that were met."""
    return [
        Point(edge, nth, phase)
        for edge, count in sorted(met.items())
        for nth in range(1, min(count, PASSINGS_MAX) + 1)
        for phase in phases
    ]


def points_for_pairs(met: dict[Edge, int]) -> list[Point]:
    """Give the points of which every two are tried.

    Before a write, between the write and what is sent, and behind each send, of the messages that promise
    something: acknowledgements promise nothing and say nothing that is not known already.
    """
    chosen = {edge: 1 for edge in met if "cknowledge" not in edge.what}
    return [point for point in points_of(chosen) if (point.edge.kind, point.phase) != (SEND, BEFORE)]
