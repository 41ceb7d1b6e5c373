"""``python -m tests.chaos MINUTES``: processes die at random, wires are bad, and the books stay right.

64 writers give orders, a reader checks the invariants by the rule of PROTOCOL section 7 while everything is
going on. At the end everything must be terminal, all that moved be there, and every node's books be clean.
The seed decides which node dies, which wire fails and how; what runs when is the machine's.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Final

from tanqiao.api.region.v1 import journal_pb2, ledger_pb2, ledger_pb2_grpc
from tanqiao.cli.local.check import check_nodes
from tanqiao.cli.local.home import Home
from tanqiao.client import CallPolicy, Federation
from tanqiao.client.snapshots import LogMovements, check_federation
from tanqiao.kernel.errors import DomainError
from tests.chaos.federation import ChaosFederation
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.market import ENDED_OUT, Market
from tests.crash.acts import persist
from tests.crash.killed import start
from tests.e2e.test_restarts import NODES, processes

WRITERS: Final = 64
REGIONS: Final = ("310000", "440300")
HOLDER: Final = "operator/310000/sh.holder"
THINK_SECONDS_MAX: Final = 0.6
KILL_SECONDS: Final = (1.0, 5.0)
DEAD_SECONDS_MAX: Final = 1.5
FAULT_SECONDS: Final = (0.3, 1.5)
LOOK_SECONDS: Final = 1.0
LOOK_PAUSE: Final = 3.0
"""How many times as long as its last look the reader pauses."""
TOLD_SECONDS: Final = 60.0
LOG_LINES: Final = 30
CALL_SECONDS: Final = 10.0
END_SECONDS_MAX: Final = 300.0
PAGE_SIZE: Final = 500
ENDED_ALREADY: Final = frozenset({"WITHDRAW_NOT_POSSIBLE", "ALREADY_DECIDED"})
PASSING: Final = frozenset({"BUSY", "PEER_UNREACHABLE", "SERVER_STOPPING", "CALL_CANCELLED"})
MEANWHILE: Final = PASSING | {"CONCURRENT_CHANGE"}
"""What a reader may be told while nodes die: it looks again."""


class Chaos:
    """One run on one federation."""

    def __init__(self, federation: ChaosFederation, market: Market, seed: int) -> None:
        self._federation = federation
        self._market = market
        self._seed = seed
        self._stopping = threading.Event()
        self._numbers = itertools.count(1)
        self.counts: Counter[str] = Counter()
        self.longest_start_seconds = 0.0

    def run(self, minutes: float) -> None:
        """Let it go on so long; raises what went wrong in any thread."""
        tasks = [self._kill, self._spoil, self._read, *([self._write] * WRITERS)]
        self._federation.bad = True
        with ThreadPoolExecutor(len(tasks)) as pool:
            futures = [pool.submit(task, number) for number, task in enumerate(tasks)]
            self._wait(futures, minutes * 60)
            self._stopping.set()
            self._federation.bad = False
            for wire in self._federation.wires:
                wire.heal()
        for future in futures:
            future.result()

    def _wait(self, futures: Sequence[Future[None]], seconds: float) -> None:
        """Wait for the time to pass, or for a thread to fail."""
        begun = told = time.monotonic()
        while time.monotonic() < begun + seconds and not any(one.done() for one in futures):
            time.sleep(LOOK_SECONDS)
            if time.monotonic() - told > TOLD_SECONDS:
                told = time.monotonic()
                sys.stdout.write(f"    {told - begun:.0f} s: {_listed(self.counts)}\n")
                sys.stdout.flush()

    def _chance(self, what: str) -> Random:
        return Random(f"{self._seed} {what}")

    def _kill(self, _: int) -> None:
        chance = self._chance("kill")
        while not self._stopping.wait(chance.uniform(*KILL_SECONDS)):
            member = chance.choice(NODES)
            assert self._federation.kill(member), f"{member.name} had died by itself"
            self.counts[f"killed {member.name}"] += 1
            time.sleep(chance.uniform(0, DEAD_SECONDS_MAX))
            begun = time.monotonic()
            start(self._federation, member)
            self.longest_start_seconds = max(self.longest_start_seconds, time.monotonic() - begun)

    def _spoil(self, _: int) -> None:
        chance = self._chance("wires")
        while not self._stopping.wait(chance.uniform(*FAULT_SECONDS)):
            wire = chance.choice(self._federation.wires)
            chance.choice((wire.cut, wire.half_open, wire.delay))()

    def _read(self, _: int) -> None:
        # A look reads every location there is: the longer that takes, the longer it pauses.
        took_seconds = 0.0
        log = LogMovements()
        while not self._stopping.wait(LOOK_SECONDS / 4 + LOOK_PAUSE * took_seconds):
            begun = time.monotonic()
            try:
                with Federation(
                    dict(self._market._addresses()),
                    self._market.network.tls("reader/national"),
                    policy=CallPolicy(attempts_max=2),
                ) as federation:
                    found = check_federation(federation, REGIONS, log)
            except DomainError as refusal:
                if refusal.symbol not in MEANWHILE:
                    raise
                self.counts["looks without an answer"] += 1
            else:
                assert found.holds, found.findings
                self.counts["looks"] += 1
            took_seconds = time.monotonic() - begun

    def _write(self, number: int) -> None:
        chance = self._chance(f"writer {number}")
        while not self._stopping.wait(chance.uniform(0, THINK_SECONDS_MAX)):
            order = next(self._numbers)
            if chance.random() < 0.1:
                self._retire(order)
                continue
            transfer_id = self._order(order)
            if chance.random() < 0.2:
                assert self._order(order) == transfer_id, "the same order became another transfer"
                self.counts["repeated orders"] += 1
            if chance.random() < 0.1:
                self._withdraw(order, transfer_id)

    def _order(self, number: int) -> str:
        request = self._market.order(number)
        answer = persist(
            lambda: self._market.transfers().CreateTransfer(request, timeout=CALL_SECONDS),
            PASSING,
            seconds=END_SECONDS_MAX,
        )
        self.counts["orders answered"] += 1
        return str(answer.transfer.transfer_id)

    def _withdraw(self, number: int, transfer_id: str) -> None:
        request = ledger_pb2.WithdrawTransferRequest(request_id=f"withdraw-{number}", transfer_id=transfer_id)
        try:
            persist(
                lambda: self._market.transfers().WithdrawTransfer(request, timeout=CALL_SECONDS),
                PASSING,
                seconds=END_SECONDS_MAX,
            )
        except DomainError as refusal:
            if refusal.symbol not in ENDED_ALREADY:
                raise
        else:
            self.counts["withdrawals"] += 1

    def _retire(self, number: int) -> None:
        request = ledger_pb2.RetireUnitsRequest(
            request_id=f"retire-{number}",
            account_id=self._market.seller,
            units=ledger_pb2.UnitSelection(quantity_kg=1),
            purpose="event_neutrality",
            purpose_text="虚构马拉松 invented marathon",
        )
        channel = self._market.channel
        persist(
            lambda: ledger_pb2_grpc.RetirementServiceStub(channel(SHANGHAI, HOLDER)).RetireUnits(
                request, timeout=CALL_SECONDS
            ),
            PASSING,
            seconds=END_SECONDS_MAX,
        )
        self.counts["retirements"] += 1

    # -- the end ---------------------------------------------------------------------------------------------

    def require_whole(self) -> Counter[int]:
        """Demand that all is terminal and that all that moved is there; how many transfers ended how."""
        for member in NODES:
            start(self._federation, member)
        status = journal_pb2.GetNodeStatusRequest()
        for server in (SHANGHAI, SHENZHEN):
            self._market.wait(
                lambda server=server: (  # type: ignore[misc]
                    self._market.node(server).GetNodeStatus(status, timeout=CALL_SECONDS).transfers_open == 0
                ),
                f"no transfer is open at {server}",
                END_SECONDS_MAX,
            )
        balance = self._market.conserved(END_SECONDS_MAX).series[self._market.series_id]
        states = self._states()
        moved = states[ledger_pb2.TRANSFER_STATE_MOVED]
        assert set(states) <= ENDED_OUT, states
        assert self._market.balance(SHENZHEN, self._market.buyer).held_kg == moved
        assert balance.issued_kg == balance.held_kg + balance.used_kg, balance
        return states

    def _states(self) -> Counter[int]:
        states: Counter[int] = Counter()
        token = ""
        while True:
            request = ledger_pb2.ListTransfersRequest(page_size=PAGE_SIZE, page_token=token)
            answer = self._market.transfers().ListTransfers(request, timeout=CALL_SECONDS)
            states.update(transfer.state for transfer in answer.transfers)
            token = answer.next_page_token
            if not token:
                return states


def main(arguments: Sequence[str]) -> int:
    """Run and say what came of it; raises what does not hold."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=5.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--databases", choices=("sqlite", "postgres"), default="sqlite")
    asked = parser.parse_args(arguments)
    sys.stdout.write(f"chaos: again with python -m tests.chaos {asked.minutes:g} --seed {asked.seed}\n")
    with tempfile.TemporaryDirectory(prefix="tanqiao-chaos-") as folder:
        Path(folder).chmod(0o711)
        with processes(Path(folder) / "home", asked.databases, ChaosFederation) as (federation, market):
            assert isinstance(federation, ChaosFederation)
            try:
                states = _run(federation, market, asked)
            except BaseException:
                _show_logs(federation.home)
                raise
            finally:
                federation.close_wires()
    sys.stdout.write(f"    transfers: {states[ledger_pb2.TRANSFER_STATE_MOVED]} moved, ")
    sys.stdout.write(
        f"{states[ledger_pb2.TRANSFER_STATE_RELEASED]} released, 0 open; reconciled, books clean\n"
    )
    return 0


def _run(federation: ChaosFederation, market: Market, asked: argparse.Namespace) -> Counter[int]:
    chaos = Chaos(federation, market, asked.seed)
    begun = time.monotonic()
    try:
        chaos.run(asked.minutes)
        states = chaos.require_whole()
    finally:
        kills = sum(count for name, count in chaos.counts.items() if name.startswith("killed"))
        sys.stdout.write(f"chaos: {time.monotonic() - begun:.0f} s, {kills} kills, faults: ")
        sys.stdout.write(f"{_listed(federation.faults)}\n    {_listed(chaos.counts)}\n")
        sys.stdout.write(f"    longest start {chaos.longest_start_seconds:.1f} s\n")
    for code in REGIONS:
        _reconcile(federation.home.path, code)
    for checked in check_nodes(federation.home, [member.name for member in NODES]):
        assert checked.clean, checked.report
    return states


def _reconcile(home: Path, code: str) -> None:
    """Let the bridge compare a region's books with its own, as an operator would; 0 means clean."""
    command = [sys.executable, "-m", "tanqiao.cli.main", "reconcile", "--region", code, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=END_SECONDS_MAX, check=False)
    assert done.returncode == 0, f"{code}: {done.stdout}{done.stderr}"


def _show_logs(home: Home) -> None:
    """Print what every node said last: its folder goes with the run."""
    for member in NODES:
        lines = home.log(member).read_text(encoding="utf-8", errors="replace").splitlines()
        sys.stdout.write("\n".join((f"the end of {member.name}'s log:", *lines[-LOG_LINES:], "")))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
