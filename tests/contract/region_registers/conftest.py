from __future__ import annotations

from collections.abc import Iterator

import pytest

from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.conftest import (  # noqa: F401 - fixtures of the ledger's tests
    MakeNode,
    make_database,
    make_node,
    network,
)
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import Office

KIND_SMALL_BUSINESS = 4


@pytest.fixture
def bridge(network: NetworkOfTest) -> Iterator[ClaimBridge]:  # noqa: F811 - the fixture by its name
    """A bridge that gives the verdicts it is told to give."""
    fake = ClaimBridge(network)
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def shanghai(make_node: MakeNode, bridge: ClaimBridge) -> Office:  # noqa: F811
    """Shanghai's node with an open account, not on the line."""
    assert bridge.server is not None
    node = make_node(SHANGHAI, bridge.server.address)
    return Office(node, node.open_account().account_id)


@pytest.fixture
def on_the_line(shanghai: Office, bridge: ClaimBridge) -> Office:
    """The same, connected: Issues are answered."""
    shanghai.node.region.start()
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).frames is not None)
    return shanghai


@pytest.fixture
def shenzhen(make_node: MakeNode, bridge: ClaimBridge) -> Office:  # noqa: F811
    """Shenzhen's node with the account of a small business."""
    assert bridge.server is not None
    node = make_node(SHENZHEN, bridge.server.address)
    return Office(node, node.open_account(kind=KIND_SMALL_BUSINESS).account_id)


@pytest.fixture
def yunnan(make_node: MakeNode, bridge: ClaimBridge) -> Office:  # noqa: F811
    """Yunnan's node with an open account."""
    assert bridge.server is not None
    node = make_node(YUNNAN, bridge.server.address)
    return Office(node, node.open_account().account_id)
