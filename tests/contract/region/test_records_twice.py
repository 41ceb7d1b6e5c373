"""R4 for records at a region, on both databases: a second one under an id is evidence and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import sign_key_record
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.storage.evidence import list_evidence
from tests.contract.region.fake_bridge import FakeBridge
from tests.contract.region.harness import SERIES, SHANGHAI, SHENZHEN, Node, agreement, block
from tests.contract.region.test_orders import (
    BOTH_SIDES,
    SHANGHAI_AUTHORITY,
    account_freeze,
    block_freeze,
    correction,
    frozen,
    local_orders,
    order_locally,
    signed,
)

Pair = tuple[Node, Node]
Two = Iterator[envelope_pb2.Envelope]


@pytest.fixture(autouse=True)
def known_series(bridge: FakeBridge) -> None:
    bridge.series[SERIES.series_id] = series_message(SERIES)


def two_agreements(network: NetworkOfTest) -> Two:
    for document in ("first", "second"):
        yield agreement(network, agreement_id="A-TWICE", document=document)


def two_keys(network: NetworkOfTest) -> Two:
    root = network.network.root(SHANGHAI_AUTHORITY)
    known = network.directory.owned_by(SHENZHEN, KeyRole.MESSAGE)[0]
    entry = replace(known, owner=SHANGHAI, public_key=bytes(range(32)), epoch=2, valid_from_index=10_000)
    first = sign_key_record(network.network_id, root, entry)
    record = messages_pb2.KeyRecord.FromString(first.payload)
    record.valid_from_index = 20_000
    yield first
    yield sign_envelope(root.signer, payload_type_of(record), record.SerializeToString())


def two_freezes(network: NetworkOfTest) -> Two:
    order = block_freeze(block(0, 10))
    for document in ("first", "second"):
        order.document = document
        yield signed(network, order)


def two_corrections(network: NetworkOfTest) -> Two:
    order = correction(block(0, 10))
    for document in ("first", "second"):
        order.document = document
        yield signed(network, order, SHANGHAI_AUTHORITY, BOTH_SIDES)


def state_of(node: Node) -> Any:
    directory = node.context.directory
    recognitions = sorted(map(str, node.context.recognitions.items()))
    return frozen(node), sorted(map(str, directory)), recognitions


@pytest.mark.parametrize("make", [two_agreements, two_keys, two_freezes, two_corrections])
def test_a_second_record_under_an_id_is_kept_beside_the_first_and_changes_nothing(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest, make: Callable[[NetworkOfTest], Two]
) -> None:
    shanghai, _ = pair
    first, second = make(network)
    for _ in range(2):  # the same again is no contradiction
        bridge.announce(SHANGHAI, first)
    peer = bridge.peer(SHANGHAI)
    bridge.wait_until(lambda: peer.acknowledged == len(peer.numbered))
    assert bridge.nacks == []
    before = state_of(shanghai)
    bridge.announce(SHANGHAI, second)
    bridge.wait_until(lambda: bool(bridge.nacks))
    (nack,) = bridge.nacks
    assert [one.reason for one in nack.message.reasons] == ["EQUIVOCATION"]
    assert state_of(shanghai) == before
    with shanghai.region.database.reading() as connection:
        kept = [row for row in list_evidence(connection) if row.kind == "record equivocation"]
    (row,) = kept
    assert row.party == SHANGHAI_AUTHORITY
    assert (row.first_envelope, row.second_envelope) == (
        first.SerializeToString(),
        second.SerializeToString(),
    )


def test_a_second_order_to_the_node_alone_is_kept_beside_the_first_and_changes_nothing(
    pair: Pair, network: NetworkOfTest
) -> None:
    shanghai, _ = pair
    holder = shanghai.open_account("holder").account_id
    order = account_freeze(holder)
    order_locally(shanghai, network, order)
    before = state_of(shanghai)
    order.document = "another"
    second = signed(network, order, audience=SHANGHAI)
    for number in range(2):  # kept once
        with pytest.raises(DomainError) as caught:
            local_orders(shanghai).submit("operator/310000/sh.centre", f"again-{number}", second)
        assert caught.value.symbol == "EQUIVOCATION"
    assert state_of(shanghai) == before
    with shanghai.region.database.reading() as connection:
        (row,) = [row for row in list_evidence(connection) if row.kind == "record equivocation"]
    assert row.party == SHANGHAI_AUTHORITY
    envelopes = [envelope_pb2.Envelope.FromString(one) for one in (row.first_envelope, row.second_envelope)]
    documents = [messages_pb2.Freeze.FromString(one.payload).document for one in envelopes]
    assert documents[1:] == ["another"] != documents[:1]
