"""Nodes that die at random points of a stream of transfers.

All transfers end, nothing is lost, fsck is clean.

Once in this process with orderly stops, once with processes and SIGKILL; on both databases. The seed is
printed.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.cli.local.check import check_nodes
from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import Home
from tanqiao.cli.local.members import BRIDGE_MEMBER, SHANGHAI, SHENZHEN, Member, network_plan
from tanqiao.cli.local.settings import write_settings
from tanqiao.db import embedded_postgres
from tanqiao.signing.provision import provision_network
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker
from tests.contract.region.market import Market
from tests.contract.region.served import full_network
from tests.contract.region.trio import PARTIES, trio

ORDERS = 120
CALLERS = 8
DEATHS = 5
PAUSE_SECONDS = (0.1, 0.9)
STOP_SECONDS_MAX = 60
NODES = (BRIDGE_MEMBER, SHANGHAI, SHENZHEN)


def stream_of_transfers(market: Market, restart: Callable[[int], None], seed: int) -> None:
    """Send orders from many callers while nodes are restarted.

    Then everything must have ended and be there.
    """
    print(f"seed {seed}")
    chance = random.Random(seed)
    stopping = threading.Event()

    def disturb() -> None:
        for number in range(DEATHS):
            if stopping.wait(chance.uniform(*PAUSE_SECONDS)):
                return
            restart(number)

    before = market.conserved()
    with ThreadPoolExecutor(1) as disturber, ThreadPoolExecutor(CALLERS) as pool:
        disturbed = disturber.submit(disturb)
        try:
            sent = list(pool.map(market.send, range(ORDERS)))
            # A node that did not come up again is what went wrong, not what it leads to.
            disturbed.result()
        finally:
            stopping.set()
    assert len(set(sent)) == ORDERS
    states = market.wait_ended(sent, 60)
    moved = sum(state == ledger_pb2.TRANSFER_STATE_MOVED for state in states.values())
    after = market.conserved(60)
    # The same orders again are the same transfers: nothing moves a second time.
    assert [market.send(number) for number in range(0, ORDERS, 10)] == sent[::10]
    assert market.balance("region/440300", market.buyer).held_kg == moved
    assert after.series[market.series_id].issued_kg == before.series[market.series_id].issued_kg
    print(f"{moved} of {ORDERS} moved, the others were released")
    assert moved > 0


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "database_kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def test_nodes_stopped_and_started_at_random_points_lose_no_transfer(
    tmp_path_factory: pytest.TempPathFactory, database_maker: DatabaseMaker, database_kind: str
) -> None:
    network = full_network(tmp_path_factory.mktemp("full-network"))
    seed = time.time_ns() % 1_000_000
    chance = random.Random(seed)
    with trio(network, database_maker, database_kind) as three:
        order = [*PARTIES, *chance.choices(PARTIES, k=DEATHS)]
        stream_of_transfers(three.market, lambda number: three.restart(order[number]), seed)
        three.require_clean()


class ReapingFederation(LocalFederation):
    """A federation whose processes are children of the test: their ends are waited for."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.children: list[subprocess.Popen[bytes]] = []

    def _spawn(self, member: Member) -> tuple[subprocess.Popen[bytes], int]:
        process, log_start = super()._spawn(member)
        self.children.append(process)
        return process, log_start


@contextmanager
def processes(
    folder: Path, databases: str, kind: type[ReapingFederation] = ReapingFederation
) -> Iterator[tuple[LocalFederation, Market]]:
    """Start bridge, Shanghai and Shenzhen as processes on free ports; stop them at the end."""
    home = Home(folder)
    federation = kind(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    choice = federation._choose(databases, "free")
    network = provision_network(folder, network_plan(), now=datetime.now(UTC))
    write_settings(home, choice)
    # No outside registry is connected here: one that is and does not answer would hold every project for
    # review.
    config = home.config(BRIDGE_MEMBER)
    config.write_text(
        config.read_text(encoding="utf-8").partition("\n[gateways]")[0] + "\n", encoding="utf-8"
    )
    addresses = {member.party: f"127.0.0.1:{choice.ports[member.name]}" for member in NODES}
    market = Market(network, lambda: addresses)
    try:
        federation.start_missing(NODES, report=print)
        market.furnish()
        yield federation, market
    finally:
        market.close()
        federation.down(report=print)
        for child in federation.children:
            child.wait(STOP_SECONDS_MAX)
        if home.postgres.is_dir():
            embedded_postgres.remove(home.postgres)


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(300)
@pytest.mark.parametrize("databases", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)])
def test_processes_killed_at_random_points_lose_no_transfer(tmp_path: Path, databases: str) -> None:
    seed = time.time_ns() % 1_000_000
    chance = random.Random(seed)
    with processes(tmp_path / "home", databases) as (federation, market):
        order: list[Member] = [*NODES, *chance.choices(NODES, k=DEATHS)]

        def restart(number: int) -> None:
            assert federation.kill(order[number])
            time.sleep(chance.uniform(0, 0.5))
            federation.start_missing([order[number]], report=print)

        stream_of_transfers(market, restart, seed)
        for checked in check_nodes(federation.home, [member.name for member in NODES]):
            assert checked.clean, checked.report
