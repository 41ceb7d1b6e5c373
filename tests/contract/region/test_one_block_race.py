"""A thousand attempts on one block from four client processes.

Exactly one wins, whatever it was (issue, bad input).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio, trio

CLIENTS = 4
ATTEMPTS_PER_CLIENT = 250
ROUNDS = ((5_000, 6_000), (6_000, 6_001))
REASONS_OF_LOSERS = {"NOT_HELD", "UNIT_LOCKED", "UNIT_USED", "UNITS_INSUFFICIENT"}
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


def race(trio: Trio, folder: Path, start: int, end: int) -> Counter[str]:
    """Let four processes try a block; how many attempts ended how."""
    market, taker = trio.market, trio.market.open_taker()
    clients = []
    for client in range(CLIENTS):
        plan = {
            "client": client,
            "count": ATTEMPTS_PER_CLIENT,
            "address": trio.addresses[SHANGHAI],
            "tls": {
                "exchange": str(trio.network.network.tls("operator/310000/sh.exchange").certificate.parent),
                "holder": str(trio.network.network.tls("operator/310000/sh.holder").certificate.parent),
            },
            "seller": market.seller,
            "taker": taker,
            "receiving_address": market.address,
            "series_id": market.series_id,
            "start": start,
            "end": end,
        }
        path = folder / f"plan-{client}-{start}.json"
        path.write_text(json.dumps(plan), encoding="utf-8")
        clients.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.contract.region.race_client", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        )
    try:
        for one in clients:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        outcomes: Counter[str] = Counter()
        for one in clients:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        for one in clients:
            output, _ = one.communicate(timeout=120)
            outcomes.update(json.loads(output))
        return outcomes
    finally:
        for one in clients:
            one.kill()
            one.wait()


@pytest.mark.timeout(180)
@pytest.mark.long
@pytest.mark.processes
def test_of_a_thousand_attempts_on_one_block_from_four_processes_exactly_one_wins(
    network: NetworkOfTest, database_maker: DatabaseMaker, database_kind: str, tmp_path: Path
) -> None:
    with trio(network, database_maker, database_kind) as three:
        before = three.market.conserved()
        for start, end in ROUNDS:
            outcomes = race(three, tmp_path, start, end)
            winners = {name: count for name, count in outcomes.items() if name.startswith("won")}
            assert sum(outcomes.values()) == CLIENTS * ATTEMPTS_PER_CLIENT
            assert sum(winners.values()) == 1, outcomes
            assert set(outcomes) - set(winners) <= REASONS_OF_LOSERS, outcomes
        after = three.market.conserved()
        series = three.market.series_id
        assert after.series[series].issued_kg == before.series[series].issued_kg
        totals = three.market.balance(SHENZHEN, three.market.buyer)
        assert totals.locked_kg == 0
        three.require_clean()
