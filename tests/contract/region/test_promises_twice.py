"""R4 at a region, on both databases: a second receipt, a second lock; and who need not be dialled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.signing.batch import item_envelope, sign_batch
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.storage.evidence import EvidenceRow, list_evidence
from tests.contract.region.fake_bridge import LOCK, READY, RECEIPT, FakeBridge
from tests.contract.region.harness import SERIES, SHANGHAI, SHENZHEN, Node
from tests.contract.region.issues import order_of
from tests.contract.region.test_restarts import balance, offer_issue
from tests.contract.region.test_transfers import ended, ready_to_send

Pair = tuple[Node, Node]


@pytest.fixture(autouse=True)
def known_series(bridge: FakeBridge) -> None:
    bridge.series[SERIES.series_id] = series_message(SERIES)


def contradiction(node: Node, bridge: FakeBridge) -> EvidenceRow:
    """Wait for the Nack that says EQUIVOCATION; what the node has kept of the two."""
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert [one.reason for one in bridge.nacks[0].message.reasons] == ["EQUIVOCATION"]
    with node.region.database.reading() as connection:
        (row,) = list_evidence(connection)
    assert row.first_envelope
    assert row.second_envelope
    assert row.first_envelope != row.second_envelope
    return row


def test_a_second_receipt_for_an_issue_is_kept_beside_the_first_and_makes_and_takes_nothing(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    account = shanghai.open_account("issuer")
    offer_issue(shanghai, order_of(account.account_id, shanghai))
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).acknowledged > 0)
    assert balance(shanghai, account.account_id) == (1000, 0)
    _, payload = next(row for row in bridge.peer(SHANGHAI).numbered if row[0] == RECEIPT)
    second = messages_pb2.IssueReceipt.FromString(payload)
    second.accepted = False
    bridge.number(SHANGHAI, [(RECEIPT, second.SerializeToString())])
    assert contradiction(shanghai, bridge).kind == "receipt equivocation"
    assert balance(shanghai, account.account_id) == (1000, 0)


def test_a_second_lock_under_an_id_is_kept_beside_the_first_and_promised_nothing(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, shenzhen = pair
    bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    first = bridge.seen_of(LOCK)[0]
    other = messages_pb2.LockAssertion.FromString(first.payload)
    other.purpose = "another"
    batch = sign_batch(network.signer(SHANGHAI), LOCK, [other.SerializeToString()])
    second = replace(first, payload=other.SerializeToString(), envelope=item_envelope(batch, 0))
    bridge.prepares.pop((SHANGHAI, answer.transfer_id))
    bridge.prepare([second])
    row = contradiction(shenzhen, bridge)
    assert (row.kind, row.party) == ("lock equivocation", SHANGHAI)
    assert len({seen.payload for seen in bridge.seen_of(READY)}) == 1
    bridge.commit(bridge.seen_of(READY)[:1])
    assert ended(shanghai, answer) == "MOVED"


def test_regions_whose_own_ports_nobody_reaches_send_and_receive(pair: Pair, bridge: FakeBridge) -> None:
    for node in pair:
        node.region.server.stop()  # as behind a firewall that lets nothing in
    shanghai, shenzhen = pair
    holder, buyer, address = ready_to_send(pair)
    for _ in range(3):
        answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
        assert ended(shanghai, answer) == "MOVED"
    bridge.wait_until(lambda: balance(shenzhen, buyer) == (30, 0))
    assert SHENZHEN in bridge.peers
