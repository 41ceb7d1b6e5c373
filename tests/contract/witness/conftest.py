"""Fixtures of the witness suite: three regions that are witnesses, and a bridge on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import SHANGHAI, SHENZHEN, NetworkOfTest, make_network
from tanqiao_bridge.storage.schema import SCHEMA
from tests.contract.bridge.harness import PlayedRegion, Running, run_bridge
from tests.contract.hasty import hasty_nodes  # noqa: F401 - pytest finds fixtures by name
from tests.contract.region.served import full_network
from tests.contract.witness.harness import WitnessMaker
from tests.contract.witness.rebuilt import Mirroring
from tests.contract.witness.witnessed import WitnessedTrio


def _migrated(url: str) -> None:
    with open_engine(url, role="writer") as database:
        migrate(database, SCHEMA)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which two of three regions, or a third party, make a decision final."""
    return make_network(tmp_path_factory.mktemp("network"), quorum=2)


@pytest.fixture
def running(network: NetworkOfTest, database_kind: str, database_maker: DatabaseMaker) -> Iterator[Running]:
    """A bridge that serves and does not seal by itself: the tests say when."""
    made = database_maker.make(database_kind, _migrated, "bridge")
    started = run_bridge(network, made.url, made.owner_url)
    yield started
    started.bridge.stop()
    database_maker.drop(made)


@pytest.fixture
def shanghai(running: Running) -> Iterator[PlayedRegion]:
    """Shanghai on the line."""
    region = PlayedRegion(running, SHANGHAI).connect()
    yield region
    region.disconnect()


@pytest.fixture
def shenzhen(running: Running) -> Iterator[PlayedRegion]:
    """Shenzhen on the line."""
    region = PlayedRegion(running, SHENZHEN).connect()
    yield region
    region.disconnect()


@pytest.fixture
def witnesses(running: Running, database_kind: str, database_maker: DatabaseMaker) -> Iterator[WitnessMaker]:
    """Makes witnesses of regions, each with its own database."""
    maker = WitnessMaker(running, database_kind, database_maker)
    yield maker
    maker.close()


@pytest.fixture
def mirroring(witnesses: WitnessMaker, tmp_path: Path) -> Mirroring:
    """Three witnesses that have not begun."""
    return Mirroring(witnesses, tmp_path)


@pytest.fixture(scope="module")
def market_network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """The full network with a quorum of two of three regions."""
    return full_network(tmp_path_factory.mktemp("market"), quorum=2)


@pytest.fixture
def trio(
    market_network: NetworkOfTest, database_kind: str, database_maker: DatabaseMaker, tmp_path: Path
) -> Iterator[WitnessedTrio]:
    """The three nodes, furnished."""
    made = WitnessedTrio(market_network, database_maker, database_kind, tmp_path / "evidence")
    try:
        made.market.furnish()
        yield made
    finally:
        made.close()
