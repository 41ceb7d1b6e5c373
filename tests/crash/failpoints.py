"""Where a node can die: before and after each commit, before and after each send, found by running.

Nothing here can be switched on in shipped code. `Failpoints.installed` patches the one place through which
every write transaction is committed and the two ends of the line between the parties. A node that dies stands
still at once: whatever of it comes to a write or a send stops there until it is torn down, and its SQLite
files are copied as they lay on the disk at that moment. Its next life begins on that copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import grpc

from tanqiao.db.engine import Database
from tanqiao.db.group_commit import GroupCommit
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.channel import open_channel
from tanqiao.signing.certificates import TlsFiles
from tanqiao_bridge.server import sync_servicer
from tanqiao_region import bootstrap as region_bootstrap

WRITE: Final = "write"
SEND: Final = "send"
BEFORE: Final = "before"
AFTER: Final = "after"
ARRIVAL_SECONDS_MAX: Final = 2.0
TORN_DOWN_SECONDS_MAX: Final = 60.0
STORY_MAX: Final = 80
"""Passings that are shown with a failure."""
LETTERS: Final = {"region/310000": "S", "bridge": "B", "region/440300": "D"}


class KilledError(Exception):
    """The node is dead: this thread of it goes no further."""


@dataclass(frozen=True, order=True)
class Edge:
    """A write or a send of a party, named by what is written or sent."""

    party: str
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.party} {self.kind} {self.what}"


@dataclass(frozen=True, order=True)
class Point:
    """A moment at which a node dies: before or after the n-th passing of an edge."""

    edge: Edge
    nth: int
    phase: str

    def __str__(self) -> str:
        return f"{self.edge.party} {self.phase} {self.edge.kind} {self.edge.what} #{self.nth}"


def parse_point(text: str) -> Point:
    """Read what `str` of a point gives."""
    party, phase, kind, rest = text.split(" ", 3)
    what, _, nth = rest.rpartition(" #")
    return Point(Edge(party, kind, what), int(nth), phase)


@dataclass
class Armed:
    """A point that waits for its moment, and what is done there in place of dying."""

    point: Point
    fault: Callable[[Callable[[], None]], None] | None = None
    passed: int = 0
    life: Life | None = None
    fired: threading.Event = field(default_factory=threading.Event)


class Life:
    """A node between its start and its end.

    `refused` is what its storage said when it was broken under it; from then on `written` counts the commits
    that went through all the same.
    """

    def __init__(self, party: str, image: Path | None) -> None:
        self.party = party
        self.image = image
        self.database: Database | None = None
        self.dead = False
        self.refused = ""
        self.written = 0
        self.torn_down = threading.Event()

    def stand_still(self) -> None:
        """Stop this thread of a dead node."""
        self.torn_down.wait(TORN_DOWN_SECONDS_MAX)
        raise KilledError(self.party)


class Failpoints:
    """All edges of the nodes in this process.

    Attributes:
        breaks: how often the storage was broken; a full disk is full for every node of the process.
    """

    def __init__(self) -> None:
        self.met: list[Edge] = []
        self.lives: dict[str, Life] = {}
        self.homes: dict[Path, str] = {}
        self.moved_at = self.began_at = time.monotonic()
        self.story: deque[str] = deque(maxlen=STORY_MAX)
        self._by_database: dict[str, Life] = {}
        self._bridges: list[tuple[Any, Life]] = []
        self._armed: list[Armed] = []
        self._lock = threading.Lock()
        self._one_write = threading.Lock()
        self.breaks = 0
        self.only_life: Life | None = None
        self._arrived: set[bytes] = set()
        self._arrival = threading.Condition(self._lock)
        self._running = threading.local()

    # -- lives -----------------------------------------------------------------------------------------------

    def begin(self, party: str, url: str, image: Path | None) -> Life:
        """Note that a node is about to be built on a database; `image` is where its death leaves a copy."""
        life = Life(party, image)
        self.lives[party] = life
        self._by_database[_place(url)] = life
        return life

    def serves(self, context: Any, life: Life) -> None:
        """Note whose a bridge's servicers are."""
        self._bridges[:] = [(context, life)]

    def arm(self, *armed: Armed) -> None:
        """Forget what was met and wait for these points."""
        with self._lock:
            self.met.clear()
            self.story.clear()
            self.began_at = time.monotonic()
            self._arrived.clear()
            self._armed = list(armed)

    def passings(self) -> Counter[Edge]:
        """How often each edge was met since `arm`."""
        with self._lock:
            return Counter(self.met)

    def quiet_for(self, seconds: float) -> bool:
        """Whether no edge was met for so long."""
        return time.monotonic() - self.moved_at > seconds

    def whole(self) -> int:
        """Wait until no storage is being broken; how often it was, until now."""
        with self._one_write:
            return self.breaks

    # -- edges -----------------------------------------------------------------------------------------------

    def reach(self, life: Life, edge: Edge, phase: str) -> Armed | None:
        """Come to an edge; a dead node comes no further, and one that is to die here dies.

        Gives what is armed here with a fault of its own in place of death.
        """
        if life.dead:
            life.stand_still()
        due: Armed | None = None
        with self._lock:
            self.moved_at = time.monotonic()
            if phase == BEFORE:
                self.met.append(edge)
            self.story.append(f"{self.moved_at - self.began_at:.2f} {phase} {edge}")
            for armed in self._armed:
                if armed.point.edge == edge and armed.point.phase == phase and not armed.fired.is_set():
                    armed.passed += 1
                    if armed.passed == armed.point.nth and armed.life is None:
                        armed.life, due = life, armed
        if due is None or due.fault is not None:
            return due
        if self.only_life is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        self._die(life, edge, due)
        return None

    def _die(self, life: Life, edge: Edge, due: Armed) -> None:
        if edge.kind == SEND:
            self.end(life)
        else:
            self._end_now(life)
        due.fired.set()
        life.stand_still()

    def end(self, life: Life) -> None:
        """Let a node be dead from now on; a write that is under way comes to its end before."""
        with ExitStack() as stack:
            if life.database is not None:
                stack.enter_context(life.database._gate.hold(TORN_DOWN_SECONDS_MAX))
            self._end_now(life)

    def _end_now(self, life: Life) -> None:
        if life.dead:
            life.stand_still()
        life.dead = True
        # The SQLite files as they lie on the disk.
        if life.image is not None and life.database is not None and life.database.sqlite_path is not None:
            path = life.database.sqlite_path
            for suffix in ("", "-wal"):
                if Path(f"{path}{suffix}").exists():
                    shutil.copyfile(f"{path}{suffix}", f"{life.image}{suffix}")

    # -- patches ---------------------------------------------------------------------------------------------

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch every commit and every frame of this process."""
        commit, handle = UnitOfWork.commit, GroupCommit._handle
        connect = sync_servicer.SyncServicer.Connect
        points = self

        def watched_commit(unit: UnitOfWork) -> None:
            points._commit(unit, commit)

        def watched_handle(group: Any, unit: UnitOfWork, commands: Sequence[Any]) -> Any:
            points._running.commands = commands
            try:
                return handle(group, unit, list(commands))
            finally:
                points._running.commands = ()

        def watched_connect(servicer: Any, requests: Iterator[Any], context: Any) -> Iterator[Any]:
            known = (life for known, life in points._bridges if known is servicer._context)
            life = points.only_life or next(known, None)
            if life is None:
                raise KilledError("bridge")
            peer = LETTERS.get(current_caller().party, "?")
            answers = connect(servicer, points._noting(requests), context)
            return points._sending(life, answers, f" to {peer}")

        with ExitStack() as stack:
            stack.enter_context(patch.object(UnitOfWork, "commit", watched_commit))
            stack.enter_context(patch.object(GroupCommit, "_handle", watched_handle))
            stack.enter_context(patch.object(sync_servicer.SyncServicer, "Connect", watched_connect))
            stack.enter_context(patch.object(region_bootstrap, "open_channel", self._open_channel))
            yield

    def _commit(self, unit: UnitOfWork, commit: Callable[[UnitOfWork], None]) -> None:
        life = self.only_life or self._by_database.get(_place(str(unit._database.url)))
        if life is None:
            commit(unit)
            return
        life.database = unit._database
        commands = getattr(self._running, "commands", ())
        names = list(dict.fromkeys(_name(command) for command in commands)) or [_caller()]
        edges = [Edge(life.party, WRITE, name) for name in names]
        faults = [armed for edge in edges if (armed := self.reach(life, edge, BEFORE)) is not None]
        # One at a time: a limit on the size of files is the whole process's.
        with self._one_write:
            if faults:
                self.breaks += 1
                self._break(life, unit, commit, faults[0])
            else:
                commit(unit)
        if life.refused:
            life.written += 1
        for edge in edges:
            self.reach(life, edge, AFTER)

    @staticmethod
    def _break(life: Life, unit: UnitOfWork, commit: Callable[[UnitOfWork], None], due: Armed) -> None:
        """Commit on storage that refuses; it goes through if there was nothing to be written."""
        require(due.fault is not None, "a fault is armed")
        try:
            due.fault(lambda: commit(unit))  # type: ignore[misc]  # require() does not narrow
        except DomainError as refusal:
            life.refused = refusal.symbol
            raise
        finally:
            due.fired.set()

    def _sending(self, life: Life, frames: Iterator[Any], to: str) -> Iterator[Any]:
        for frame in frames:
            edge = Edge(life.party, SEND, _frame_name(frame) + to)
            self.reach(life, edge, BEFORE)
            yield frame
            self.await_arrival(edge, frame)
            self.reach(life, edge, AFTER)

    def await_arrival(self, edge: Edge, frame: Any) -> None:
        """Wait for the other end to have what is sent, if somebody is to die behind it."""
        if any(armed.point.edge == edge and armed.point.phase == AFTER for armed in self._armed):
            digest = _digest(frame)
            with self._arrival:
                self._arrival.wait_for(lambda: digest in self._arrived, ARRIVAL_SECONDS_MAX)

    def _noting(self, frames: Iterator[Any]) -> Iterator[Any]:
        for frame in frames:
            self.arrived(frame)
            yield frame

    def arrived(self, frame: Any) -> None:
        """Note a frame that was taken off the line."""
        with self._arrival:
            self._arrived.add(_digest(frame))
            self._arrival.notify_all()

    def _open_channel(self, address: str, tls: TlsFiles) -> grpc.Channel:
        life = self.only_life or self.lives[self.homes[tls.key.parent.parent]]
        if life.dead:
            raise KilledError(life.party)
        return grpc.intercept_channel(open_channel(address, tls), _Watch(self, life))


class _Watch(grpc.StreamStreamClientInterceptor, grpc.UnaryUnaryClientInterceptor):
    """Stands at a region's end of its line."""

    def __init__(self, points: Failpoints, life: Life) -> None:
        self._points = points
        self._life = life

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return _Taking(self._points, continuation(details, self._points._sending(self._life, requests, "")))

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        edge = Edge(self._life.party, SEND, details.method.rpartition("/")[2])
        self._points.reach(self._life, edge, BEFORE)
        answer = continuation(details, request)
        self._points.reach(self._life, edge, AFTER)
        return answer


class _Taking:
    """A call whose responses are noted as they are taken."""

    def __init__(self, points: Failpoints, call: Any) -> None:
        self._points = points
        self._call = call

    def __iter__(self) -> _Taking:
        return self

    def __next__(self) -> Any:
        frame = next(self._call)
        self._points.arrived(frame)
        return frame

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _place(url: str) -> str:
    """Give what two spellings of an address share: the file, or server and database."""
    return url.rpartition("@")[2]


def _caller() -> str:
    """Name the function that commits a transaction of its own."""
    return str(sys._getframe(3).f_code.co_qualname)


def _name(command: Any) -> str:
    run = getattr(getattr(command, "run", None), "__qualname__", None)
    if run is not None:
        return str(run).replace(".<locals>", "")
    kinds = sorted({_kind(item) for item in getattr(command, "items", ())})
    return type(command).__name__ + (f" {'+'.join(kinds)}" if kinds else "")


def _kind(item: Any) -> str:
    first = item[0] if type(item) is tuple else item
    for holder in ("opened", "prepare"):
        first = getattr(first, holder, first)
    message = getattr(first, "message", first)
    return type(message).__name__


def _frame_name(frame: Any) -> str:
    kind = str(frame.WhichOneof("frame"))
    body = getattr(frame, kind)
    batch = getattr(body, "batch", body) if kind in ("offered", "numbered") else None
    if batch is None:
        return kind
    return f"{kind} {batch.payload_type.removeprefix('application/vnd.tanqiao.').partition('.')[0]}"


def _digest(frame: Any) -> bytes:
    return hashlib.sha256(frame.SerializeToString(deterministic=True)).digest()
