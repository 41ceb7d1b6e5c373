"""What one transfer of a batch costs, counted: hashes, messages made and read, statements; never a time.

A number here may go down. Who lets one go up says why in ADR 0032.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tanqiao_bridge.storage.schema import SCHEMA as BRIDGE_SCHEMA
from tests.contract.region.by_hand import ByHand, Steps
from tests.contract.region.conftest import _migrated

SMALL, LARGE = 20, 120
HASHES = {
    "lock": 5,  # two commitments, the message, the tree of the batch
    "prepare": 9,  # lock and its tree, two commitments, the Prepare twice, its tree
    "ready": 11,  # Prepare and its tree, the lock in it and its path, two commitments, Ready and its tree
    "decision": 7,  # Ready and its tree, Decision and its tree, leaf
    "numbered": 6,  # the Decision for each side, and the trees
    "moved": 3,
    "credited": 3,
    "receipts": 12,  # two, each hashed by sender and receiver, and the trees
}
"""SHA-256 for one transfer in each step."""
READ = {"prepare": 2, "ready": 3, "decision": 1, "moved": 1, "credited": 1, "receipts": 2}
"""Messages read: each once where it arrives, the openings beside the lock, the lock in the Prepare."""
WRITTEN = {"lock": 1, "ready": 1}
"""Messages that protobuf writes field by field: the openings; the series that a Prepare states."""
CALLS_MAX = 900
"""Calls of functions written in Python, for one transfer, over all steps."""
ROUNDING = 0.1
STATEMENTS_MAX = 0.05


def _migrated_bridge(url: str) -> None:
    database = open_engine(url, role="writer")
    try:
        migrate(database, BRIDGE_SCHEMA)
    finally:
        database.close()


@pytest.fixture
def by_hand(network: NetworkOfTest, database_maker: DatabaseMaker, database_kind: str) -> Iterator[ByHand]:
    databases = [
        database_maker.make(database_kind, _migrated_bridge, "bridge"),
        *[database_maker.make(database_kind, _migrated, "region") for _ in range(2)],
    ]
    made = ByHand(network, databases)
    yield made
    made.close()
    for one in databases:
        database_maker.drop(one)


@pytest.mark.timeout(600)  # a busy machine takes its time; nothing here is about time
def test_each_transfer_of_a_batch_costs_what_the_table_says(by_hand: ByHand, database_kind: str) -> None:
    assert by_hand.carry(SMALL) == SMALL
    small, large = _counted(by_hand, SMALL), _counted(by_hand, LARGE)
    each = {
        step: Counter({name: (counts[name] - small[step][name]) / (LARGE - SMALL) for name in counts})
        for step, counts in large.items()
    }
    for name, allowed in (("openssl_sha256", HASHES), ("FromString", READ), ("SerializeToString", WRITTEN)):
        found = {step: round(counts[name], 1) for step, counts in each.items()}
        assert all(found[step] <= allowed.get(step, 0) + ROUNDING for step in found), (name, found)
    if database_kind == "sqlite":  # the other driver is written in Python
        calls = sum(counts["lines"] for counts in each.values())
        assert calls <= CALLS_MAX, calls
        for name in ("execute", "executemany"):  # a statement is one for the batch, never one for an item
            grown = {step: counts[name] for step, counts in each.items() if counts[name] > STATEMENTS_MAX}
            assert not grown, (name, grown)


def _counted(by_hand: ByHand, count: int) -> Steps:
    before = by_hand.carried
    by_hand.steps = {}
    assert by_hand.carry(count) == before + count
    return by_hand.steps
