from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import NetworkOfTest, make_network
from tanqiao_region.storage.schema import SCHEMA
from tests.contract.region.fake_bridge import FakeBridge
from tests.contract.region.harness import SHANGHAI, SHENZHEN, Node, build_node

MakeNode = Callable[..., Node]


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """One network for the suite."""
    return make_network(tmp_path_factory.mktemp("network"), officers=True)


def _migrated(url: str) -> None:
    database = open_engine(url, role="writer")
    try:
        migrate(database, SCHEMA)
    finally:
        database.close()


@pytest.fixture
def make_database(
    database_kind: str, database_maker: DatabaseMaker
) -> Iterator[Callable[[], DatabaseUnderTest]]:
    """Makes migrated databases of the kind under test."""
    made: list[DatabaseUnderTest] = []

    def make() -> DatabaseUnderTest:
        made.append(database_maker.make(database_kind, _migrated, "region"))
        return made[-1]

    yield make
    for one in made:
        database_maker.drop(one)


@pytest.fixture
def make_node(network: NetworkOfTest, make_database: Callable[[], DatabaseUnderTest]) -> Iterator[MakeNode]:
    """Builds nodes; a second one of the same party on the same database is that node after a restart."""
    with ExitStack() as stack:

        def make(
            party: str = SHANGHAI, bridge: str = "127.0.0.1:1", database: DatabaseUnderTest | None = None
        ) -> Node:
            under_test = database or make_database()
            node = build_node(network, party, (under_test.url, under_test.owner_url), bridge)
            node.under_test = under_test
            stack.callback(stop, node)
            return node

        yield make


def stop(node: Node) -> None:
    """Stop a node; a second time does nothing."""
    if not node.stopped:
        node.stopped = True
        node.region.stop()


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """Shanghai without a bridge."""
    return make_node()


@pytest.fixture
def bridge(network: NetworkOfTest) -> Iterator[FakeBridge]:
    """A bridge that does what it is told."""
    fake = FakeBridge(network)
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def pair(make_node: MakeNode, bridge: FakeBridge, network: NetworkOfTest) -> tuple[Node, Node]:
    """Shanghai and Shenzhen on the line, with an agreement in force."""
    assert bridge.server is not None
    nodes = (make_node(SHANGHAI, bridge.server.address), make_node(SHENZHEN, bridge.server.address))
    for one in nodes:
        one.recognise(network)
        one.region.start()
    bridge.wait_until(lambda: all(bridge.peer(one.party).frames is not None for one in nodes))
    return nodes


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the functions of the bad-input suite in their order: those that change the shared world come last.

    Their cases stay in random order. What is tried on one database is tried in one go, so that each has one
    world.
    """

    def place(item: pytest.Item) -> tuple[str, int]:
        given = getattr(item, "callspec", None)
        return "" if given is None else str(given.params.get("world", "")), item.reportinfo()[1] or 0

    places = [at for at, item in enumerate(items) if item.path.name == "test_bad_input_region.py"]
    ordered = sorted((items[at] for at in places), key=place)
    for at, item in zip(places, ordered, strict=True):
        items[at] = item
