"""A sample of the matrix with real processes and SIGKILL: what a copy of files cannot show is shown here."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.cli.local.check import check_nodes
from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.members import BRIDGE_MEMBER, SHANGHAI, SHENZHEN, Member
from tanqiao.kernel.errors import DomainError
from tests.contract.region.market import Market
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
MEMBERS: Final[dict[str, Member]] = {"S": SHANGHAI, "B": BRIDGE_MEMBER, "D": SHENZHEN}
START_SECONDS_MAX: Final = 60.0
PAUSE_SECONDS: Final = 0.05


class MortalFederation(ReapingFederation):
    """Starts one node so that it kills itself at a point."""

    mortal: tuple[Member, str] | None = None

    def _spawn(self, member: Member) -> tuple[subprocess.Popen[bytes], int]:
        if self.mortal is None or self.mortal[0] is not member:
            return super()._spawn(member)
        log = self.home.log(member)
        command = [
            sys.executable,
            "-m",
            "tests.crash.child",
            self.mortal[1].partition(" ")[0],
            self.mortal[1],
        ]
        command += [member.module, "serve", "--config", str(self.home.config(member))]
        environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home.node(member),
                env=environment,
                start_new_session=True,
            )
            self.children.append(process)
            return process, output.tell()


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
    """Kill a process at a point of a transfer, start it again, and see the transfer committed."""
    member = MEMBERS[point.partition(" ")[0]]
    assert federation.kill(member)
    _wait_dead(federation, member)
    federation.mortal = (member, point)
    start(federation, member)
    child = federation.children[-1]
    federation.mortal = None
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
    return len(points)
