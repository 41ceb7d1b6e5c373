"""Fixtures of the bridge's contract suite.

A bridge per test on each of the two databases, two regions on the line.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, NetworkOfTest, make_network
from tanqiao_bridge.storage.schema import SCHEMA
from tests.contract.bridge.harness import PlayedRegion, Running, run_bridge


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """One network for the suite."""
    return make_network(tmp_path_factory.mktemp("network"), tokens=True)


def _migrated(url: str) -> None:
    database = open_engine(url, role="writer")
    try:
        migrate(database, SCHEMA)
    finally:
        database.close()


@pytest.fixture
def bridge_database(database_kind: str, database_maker: DatabaseMaker) -> Iterator[DatabaseUnderTest]:
    """A migrated database."""
    made = database_maker.make(database_kind, _migrated, "bridge")
    yield made
    database_maker.drop(made)


@pytest.fixture
def running(network: NetworkOfTest, bridge_database: DatabaseUnderTest) -> Iterator[Running]:
    """A bridge that serves."""
    started = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    yield started
    started.bridge.stop()


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
