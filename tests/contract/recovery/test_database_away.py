"""PostgreSQL is stopped under three working nodes and started again: they say so, wait, and go on alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import pytest

from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.db import embedded_postgres
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.databases import SERVER_SETTINGS, DatabaseMaker
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio, trio

pytestmark = [pytest.mark.long, pytest.mark.postgresql, pytest.mark.timeout(600)]
AWAY_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 120.0


class Server:
    """A PostgreSQL of this test alone, which it may stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running = embedded_postgres.start(folder, settings=SERVER_SETTINGS)
        self.port = self.running.port

    def stop(self) -> None:
        self.running.stop()

    def start(self) -> None:
        self.running = embedded_postgres.start(self.folder, self.port, settings=SERVER_SETTINGS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server")
    yield made
    made.stop()
    embedded_postgres.remove(made.folder)


@pytest.fixture
def nodes(tmp_path: Path, server: Server) -> Iterator[Trio]:
    (tmp_path / "databases").mkdir()
    maker = DatabaseMaker(tmp_path / "databases", lambda: server.running)
    with trio(full_network(tmp_path / "network"), maker, "postgresql") as made:
        yield made


def cross(nodes: Trio, first: int, count: int) -> list[str]:
    return [nodes.market.send(number) for number in range(first, first + count)]


def refusal(nodes: Trio, number: int) -> str:
    """Give why an order is refused now; empty if it is taken."""
    try:
        nodes.market.transfers().CreateTransfer(nodes.market.order(number), timeout=30)
    except grpc.RpcError as error:
        return from_rpc_error(error).symbol
    return ""


def test_nodes_wait_for_their_database_and_go_on_by_themselves(nodes: Trio, server: Server) -> None:
    market = nodes.market
    ended = market.wait_ended(cross(nodes, 1, 5), WAIT_SECONDS)
    under_way = cross(nodes, 10, 20)
    server.stop()
    assert refusal(nodes, 50) == "DATABASE_UNAVAILABLE"
    until = time.monotonic() + AWAY_SECONDS
    while time.monotonic() < until:
        assert refusal(nodes, 50) == "DATABASE_UNAVAILABLE"
        time.sleep(0.2)
    server.start()

    market.wait(lambda: refusal(nodes, 50) == "", "orders are taken again", WAIT_SECONDS)
    ended |= market.wait_ended([*under_way, *cross(nodes, 60, 5)], WAIT_SECONDS)
    assert len(ended) == 30
    assert set(ended.values()) <= {
        ledger_pb2.TRANSFER_STATE_MOVED,
        ledger_pb2.TRANSFER_STATE_RELEASED,  # its deadline passed while nobody could decide
    }
    assert market.conserved(WAIT_SECONDS).holds
    for party in (SHANGHAI, SHENZHEN, "bridge"):
        assert nodes.running[party].database.failure is None
    nodes.require_clean()
