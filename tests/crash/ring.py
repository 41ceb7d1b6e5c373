"""Source, bridge and destination in this process, each of which can die at any edge and begin again.

Like `tests.contract.region.trio`, with deaths in place of orderly stops: a node that died begins again on
the files that lay on the disk at the moment of its death.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self
from unittest.mock import patch

from sqlalchemy.exc import OperationalError

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.ports import free_ports
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import NetworkOfTest
from tanqiao_bridge import bootstrap as bridge_bootstrap
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.server import lines
from tanqiao_region.application import fsck, reconciling
from tanqiao_region.server import log_uplink, sync_client, wishes
from tests.contract.bridge.harness import run_bridge
from tests.contract.region.conftest import _migrated
from tests.contract.region.harness import SHANGHAI, SHENZHEN, build_node
from tests.contract.region.market import Market
from tests.contract.region.trio import _migrated_bridge
from tests.crash.failpoints import LETTERS, Armed, Failpoints, Life

PARTIES: Final = {letter: party for party, letter in LETTERS.items()}
CASES_PER_RING: Final = 60
"""After so many the nodes begin anew: checks of a long history would take longer than the case."""
CASE_SECONDS_MAX: Final = 60.0
QUIET_SECONDS: Final = 0.06
"""So long without a write or a send means that nothing goes on without the dead."""
SETTLE_SECONDS_MAX: Final = 2.0
"""Who asks a node again and again whose storage is broken never comes to rest."""
LOOK_SECONDS: Final = 0.01
_images: Final = itertools.count(1)


@contextmanager
def impatient() -> Iterator[None]:
    """Dial, look and give up at once: waiting is not what is tested here."""
    with ExitStack() as stack:
        for module, name, value in (
            (sync_client, "BACKOFF_SECONDS_MIN", 0.02),
            (sync_client, "BACKOFF_SECONDS_MAX", 0.1),
            (sync_client, "IDLE_SECONDS", 0.03),
            (sync_client, "ACKNOWLEDGE_SECONDS", 0.0),
            (lines, "ACKNOWLEDGE_SECONDS", 0.0),
            (wishes, "NUMBERED_SECONDS", 0.0),
            # What an act leaves to be handed up goes within the act, and not in the middle of the next.
            (log_uplink, "UPLINK_SECONDS", 0.1),
            # A reconciliation of its own accord would write in the middle of a case; acts ask for theirs.
            (reconciling.Schedule, "SETTLE_SECONDS", 3_600.0),
            # Time decides in the one act that is about it.
            (bridge_bootstrap, "DEADLINE_TICK_SECONDS", 3_600.0),
        ):
            stack.enter_context(patch.object(module, name, value))
        yield


class Ring:
    """The three nodes, the market on them, and the keeper who begins the dead again."""

    def __init__(
        self, network: NetworkOfTest, maker: DatabaseMaker, kind: str, points: Failpoints, folder: Path
    ) -> None:
        self._network = network
        self._maker = maker
        self._kind = kind
        self._folder = folder
        self.points = points
        self._made: dict[str, DatabaseUnderTest] = {
            letter: maker.make(
                kind,
                _migrated_bridge if letter == "B" else _migrated,
                "bridge" if letter == "B" else "region",
            )
            for letter in PARTIES
        }
        self.urls = {letter: (made.url, made.owner_url) for letter, made in self._made.items()}
        self._bridge_address = f"127.0.0.1:{free_ports(1)[0]}"
        self.running: dict[str, Any] = {}
        self.addresses: dict[str, str] = {}
        self.lock = threading.RLock()
        self.closed_address = ""
        self._hasty = False
        self.market = Market(network.network, lambda: self.addresses)
        points.homes = {network.network.node(party): letter for party, letter in LETTERS.items()}
        for letter in ("B", "S", "D"):
            self.start(letter)

    # -- lives -----------------------------------------------------------------------------------------------

    def start(self, letter: str) -> None:
        """Begin a life; one that ends while it begins is begun again by the keeper.

        A start that fails while the disk is full for another one is made again, as an operator would. What
        lives is left alone: an act that stops a node which had just died finds it begun again by the keeper.
        """
        with self.lock:
            if letter in self.running and not self.points.lives[letter].dead:
                return
            breaks = self.points.whole()
            try:
                self._begin(letter)
            except (DomainError, OperationalError):
                if self.points.whole() == breaks:
                    raise
                self._begin(letter)

    def _begin(self, letter: str) -> None:
        image = None
        if self._kind == "sqlite":
            image = self._folder / f"{letter}-{next(_images)}.db"
        life = self.points.begin(letter, self.urls[letter][0], image)
        failed: list[BaseException] = []
        builder = threading.Thread(target=self._build, args=(letter, life, failed))
        builder.start()
        while builder.is_alive() and not life.dead:
            builder.join(LOOK_SECONDS)
        if life.dead:
            life.torn_down.set()
        builder.join()
        if life.refused and not life.dead:
            self.points.end(life)
        if failed and not life.dead:
            raise failed[0]

    def _build(self, letter: str, life: Life, failed: list[BaseException]) -> None:
        party = PARTIES[letter]
        node: Any
        try:
            if letter == "B":
                node = run_bridge(self._network, *self.urls[letter], listen=self._bridge_address).bridge
                if self._hasty:
                    node.context.decide_by_ms = 1
                self.points.serves(node.context, life)
            else:
                node = build_node(self._network, party, self.urls[letter], self._bridge_address).region
                node.start()
            self.addresses[party] = node.server.address
            self.running[letter] = node
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
            failed.append(error)

    def stop(self, letter: str) -> None:
        """End a node in order, or bury a dead one."""
        with self.lock:
            life = self.points.lives[letter]
            node = self.running.pop(letter, None)
            if node is not None:
                _end(node, life)
            died, life.dead = life.dead, True
            if died and life.image is not None and life.image.exists():
                for suffix in ("", "-wal", "-shm", ".writer-lock"):
                    Path(f"{self.urls[letter][0].removeprefix('sqlite:///')}{suffix}").unlink(missing_ok=True)
                url = f"sqlite:///{life.image}"
                self.urls[letter] = (url, url)

    @contextmanager
    def hasty(self) -> Iterator[None]:
        """Let the bridge decide at once what has no answer; it is restarted for it, and again after."""
        with self._restarted(hasty=True, tick_seconds=0.05):
            yield
        with self._restarted(hasty=False, tick_seconds=3_600.0):
            pass

    @contextmanager
    def _restarted(self, *, hasty: bool, tick_seconds: float) -> Iterator[None]:
        with patch.object(bridge_bootstrap, "DEADLINE_TICK_SECONDS", tick_seconds):
            with self.lock:
                self._hasty = hasty
                self.stop("B")
                self.start("B")
            yield

    def recover(self, letter: str) -> None:
        """Begin a dead node again; nothing if it is not dead."""
        with self.lock:
            if self.points.lives[letter].dead:
                self.stop(letter)
                self.start(letter)

    def close(self) -> None:
        """End everything."""
        self.market.close()
        for letter in list(self.running):
            self.stop(letter)
        for made in self._made.values():
            self._maker.drop(made)

    # -- what must hold --------------------------------------------------------------------------------------

    def describe(self) -> str:
        """Say how things stand, for the report of a failure."""
        lines = [f"after {time.monotonic() - self.points.began_at:.1f} s:", *self.points.story]
        for letter, life in self.points.lives.items():
            node = self.running.get(letter)
            sync = getattr(node, "sync", None)
            line = f"line open: {sync.connected}" if sync is not None else ""
            lines.append(f"{letter}: {'dead' if life.dead else 'alive'} {'built' if node else ''} {line}")
        return "\n    ".join(lines)

    def require_whole(self) -> None:
        """Demand that all is terminal, that nothing is lost, and that every node's books are clean."""
        status = journal_pb2.GetNodeStatusRequest()
        for server in (SHANGHAI, SHENZHEN):
            self.market.wait(
                lambda server=server: (  # type: ignore[misc]
                    self.market.node(server).GetNodeStatus(status, timeout=5).transfers_open == 0
                ),
                f"no transfer is open at {server}",
                CASE_SECONDS_MAX,
            )
        self.market.conserved(CASE_SECONDS_MAX)
        report: Any = check_database(self.running["B"].database)
        assert report.clean, report.as_text()
        for letter in ("S", "D"):
            settings = self.running[letter].settings
            report = fsck.check(settings.database_url, settings.federation_file)
            assert report.clean, (letter, report.as_text())


class Keeper:
    """Begins the dead again while something is going on.

    Args:
        ring: the nodes.
        armed: who dies where.
        last_first: of two that are dead at once, begin the one that died last first.
    """

    def __init__(self, ring: Ring, armed: Sequence[Armed], *, last_first: bool = False) -> None:
        self._ring = ring
        self._armed = armed
        self._last_first = last_first
        self.dead_at_once = False
        self.ended: list[Life] = []
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._keep)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _keep(self) -> None:
        try:
            while not self._ending.wait(LOOK_SECONDS):
                self._look()
            self._look()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
            self._failure = error

    def _look(self) -> None:
        self._end_the_broken()
        dead = self._dead()
        if not dead:
            return
        if any(not armed.fired.is_set() for armed in self._armed):
            # Whatever goes on without the dead goes on, and may come to where another one dies.
            self._settle()
            dead = self._dead()
        if len(dead) > 1:
            self.dead_at_once = True
            dead = dead[::-1] if self._last_first else dead
        for letter in dead:
            self._ring.recover(letter)
            if len(dead) > 1:
                self._settle()

    def _end_the_broken(self) -> None:
        """End nodes whose storage was broken under them, after letting them do what they still would."""
        for armed in self._armed:
            life = armed.life
            if life is None or armed.fault is None or life in self.ended or not armed.fired.is_set():
                continue
            self._settle()
            with self._ring.lock:
                if not life.dead:
                    self._ring.points.end(life)
            self.ended.append(life)

    def _dead(self) -> list[str]:
        """Give who is dead, in the order of the armed points."""
        letters = dict.fromkeys(armed.point.edge.party for armed in self._armed if armed.fired.is_set())
        return [letter for letter in letters if self._ring.points.lives[letter].dead]

    def _settle(self) -> None:
        until = time.monotonic() + SETTLE_SECONDS_MAX
        while not self._ring.points.quiet_for(QUIET_SECONDS) and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)


def _end(node: Any, life: Life) -> None:
    """Stop a node; one that is dead, or dies while it stops, goes no further."""
    ender = threading.Thread(target=node.stop)
    ender.start()
    while ender.is_alive():
        if life.dead:
            life.torn_down.set()
        ender.join(LOOK_SECONDS)
