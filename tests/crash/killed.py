"""A sample of the matrix with real processes and SIGKILL: what a copy of files cannot show is shown here."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, cast

from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.cli.local.check import check_nodes
from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import Home
from tanqiao.cli.local.members import BRIDGE_MEMBER, CCER, GEC, SHANGHAI, SHENZHEN, Member
from tanqiao.kernel.errors import DomainError
from tests.contract.region.market import Market
from tests.crash.nursery import FATE, Nursery
from tests.e2e.test_restarts import NODES, ReapingFederation, processes

POINTS: Final = (
    "S before write CreateTransfers #1",
    "S after write CreateTransfers #1",
    "D after write ApplyPrepares Prepare #1",
    "D after send offered ready #1",
    "B before write OfferAnswers Ready #1",
    "B after write OfferAnswers Ready #1",
    "S after write TakeNumbered Decision #1",
    "D before write TakeNumbered Decision #1",
)
MEMBERS: Final[dict[str, Member]] = {
    "S": SHANGHAI,
    "B": BRIDGE_MEMBER,
    "D": SHENZHEN,
    "G": GEC,
    "C": CCER,
}
LETTERS: Final = {member.name: letter for letter, member in MEMBERS.items()}
START_SECONDS_MAX: Final = 120.0
PAUSE_SECONDS: Final = 0.05


class MortalFederation(ReapingFederation):
    """Starts its nodes from a nursery; each may be told at which point it is to kill itself."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._nursery = Nursery()
        self._latest: dict[str, subprocess.Popen[bytes]] = {}

    def _spawn(self, member: Member) -> tuple[subprocess.Popen[bytes], int]:
        log = self.home.log(member)
        written = log.stat().st_size if log.exists() else 0
        arguments = ["serve", "--config", str(self.home.config(member).resolve())]
        folder = self.home.node(member)
        (folder / FATE).unlink(missing_ok=True)
        born = self._nursery.start(LETTERS[member.name], member.module, arguments, folder, log)
        process = cast("subprocess.Popen[bytes]", born)
        self.children.append(process)
        self._latest[member.name] = process
        return process, written

    def doom(self, member: Member, point: str) -> subprocess.Popen[bytes]:
        """Let a node that runs kill itself when it comes to a point next; its process."""
        folder = self.home.node(member)
        written = folder / f"{FATE}.part"
        written.write_text(point, encoding="ascii")
        written.replace(folder / FATE)
        return self._latest[member.name]

    def close(self) -> None:
        """Close the nursery; its nodes were stopped before."""
        self._nursery.close()


def start(federation: LocalFederation, member: Member) -> None:
    """Start a node; the port of one that was killed may be taken for a moment longer."""
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            federation.start_missing([member], report=lambda _line: None)
        except DomainError as refusal:
            if refusal.symbol != "PORT_TAKEN" or time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def try_point(federation: MortalFederation, market: Market, point: str, number: int) -> None:
    """Let a process die at a point of a transfer, start it again, and see the transfer committed."""
    member = MEMBERS[point.partition(" ")[0]]
    child = federation.doom(member, point)
    market.wait(lambda: child.poll() is not None or _asked(market, number), "the order was given", 60)
    child.wait(START_SECONDS_MAX)
    _wait_dead(federation, member)
    start(federation, member)
    transfer_id = market.send(number, 60)
    states = market.wait_ended([transfer_id], 60)
    assert states[transfer_id] == ledger_pb2.TRANSFER_STATE_MOVED, states


def _asked(market: Market, number: int) -> bool:
    market.transfers().CreateTransfer(market.order(number), timeout=5)
    return True


def _wait_dead(federation: LocalFederation, member: Member) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while member.name in federation.started():
        assert time.monotonic() < until, f"{member.name} did not die"
        time.sleep(PAUSE_SECONDS)


def run(databases: str, points: tuple[str, ...] = POINTS) -> int:
    """Try points one after the other on one federation; how many were tried."""
    with (
        tempfile.TemporaryDirectory(prefix="tanqiao-killed-") as folder,
        processes(Path(folder) / "home", databases, MortalFederation) as (federation, market),
    ):
        assert isinstance(federation, MortalFederation)
        # What a region's first session brings is over before anybody is to die.
        market.conserved(60)
        for number, point in enumerate(points):
            try_point(federation, market, point, number)
        market.conserved(60)
        held_kg = market.balance("region/440300", market.buyer).held_kg
        assert held_kg == len(points), f"{held_kg} of {len(points)} kg came"
        for checked in check_nodes(federation.home, [member.name for member in NODES]):
            assert checked.clean, checked.report
    federation.close()
    return len(points)
