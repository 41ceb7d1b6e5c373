"""Freezes and corrections at region nodes, on both databases (PROTOCOL rows 10 and 14): what they bind."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.signing.approvals import prepare
from tanqiao.signing.envelope import add_signature
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.freezes import require_free
from tanqiao_region.application.fsck import check_database
from tanqiao_region.application.group import Group
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.application.local_orders import LocalOrders
from tanqiao_region.storage.evidence import list_evidence
from tanqiao_region.storage.tables import holding
from tests.contract.region.fake_bridge import READY, FakeBridge
from tests.contract.region.harness import OPENERS, SERIES, SHANGHAI, SHENZHEN, Node, block
from tests.contract.region.test_transfers import ended, ready_to_send, symbol

Pair = tuple[Node, Node]
SHANGHAI_AUTHORITY = "authority/310000"
SHENZHEN_AUTHORITY = "authority/440300"
BOTH_SIDES = (
    (SHANGHAI_AUTHORITY, 0),
    (SHANGHAI_AUTHORITY, 1),
    (SHENZHEN_AUTHORITY, 0),
    (SHENZHEN_AUTHORITY, 1),
)


@pytest.fixture(autouse=True)
def known_series(bridge: FakeBridge) -> None:
    bridge.series[SERIES.series_id] = series_message(SERIES)


def signed(
    network: NetworkOfTest,
    order: Any,
    authority: str = SHANGHAI_AUTHORITY,
    signers: Sequence[tuple[str, int]] = (),
    audience: str = "bridge",
) -> envelope_pb2.Envelope:
    envelope = prepare(
        order, network.network_id, authority, message_id=secrets.token_bytes(16), audience=audience
    )
    for owner, number in signers or ((authority, 0), (authority, 1)):
        envelope = add_signature(envelope, network.network.approvers(owner)[number].signer)
    return envelope


def block_freeze(*blocks: UnitBlock, **fields: Any) -> messages_pb2.Freeze:
    return messages_pb2.Freeze(
        order_id=secrets.token_bytes(16),
        scope=messages_pb2.FREEZE_SCOPE_BLOCK,
        blocks=block_messages(blocks),
        reason="invented",
        document="order 1",
        **fields,
    )


def account_freeze(account_id: str, **fields: Any) -> messages_pb2.Freeze:
    return messages_pb2.Freeze(
        order_id=secrets.token_bytes(16),
        scope=messages_pb2.FREEZE_SCOPE_ACCOUNT,
        account_id=account_id,
        reason="invented",
        document="（2026）沪01执1号",
        **fields,
    )


def local_orders(node: Node) -> LocalOrders:
    return LocalOrders(node.context, node.orders, node.region.database)


def order_locally(node: Node, network: NetworkOfTest, order: messages_pb2.Freeze) -> tuple[bytes, int]:
    envelope = signed(network, order, audience=SHANGHAI)
    return local_orders(node).submit("operator/310000/sh.centre", secrets.token_hex(8), envelope)


def frozen(node: Node) -> list[str]:
    return [
        one.account_id or f"{one.row.start}-{one.row.end}"
        if one.row.series_id or one.account_id
        else one.row.region
        for one in local_orders(node).in_force(-1, 100)
    ]


def wait_frozen(node: Node, bridge: FakeBridge, count: int) -> None:
    """Wait until the node has taken the orders that the bridge sent."""
    bridge.wait_until(lambda: len(frozen(node)) == count)


def require_books(node: Node, network: NetworkOfTest) -> None:
    """Demand that the books are what the journal says; the units given by the test rest on no issuance."""
    findings = check_database(node.region.database, network.network.federation).findings
    assert [one for one in findings if "journal" not in one] == []


def test_frozen_units_are_neither_moved_nor_sent_nor_used_and_a_quantity_passes_them_over(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    other = shanghai.open_account("other").account_id
    bridge.announce(SHANGHAI, signed(network, block_freeze(block(0, 100), block(400, 500))))
    wait_frozen(shanghai, bridge, 2)
    exact = Selection(blocks=(block(50, 150),))
    assert symbol(shanghai.move(holder, other, exact)) == "FROZEN"
    assert symbol(shanghai.transfer(holder, address, exact)) == "FROZEN"
    refusal = shanghai.retire(holder, exact)
    assert symbol(refusal) == "FROZEN"
    assert "order 1" in refusal.sentence("zh")
    assert shanghai.move(holder, other, Selection(quantity_kg=350)).blocks == (
        block(100, 400),
        block(500, 550),
    )
    assert symbol(shanghai.move(holder, other, Selection(quantity_kg=451))) == "UNITS_INSUFFICIENT"
    assert shanghai.held(holder) == [(0, 100, 1), (400, 500, 1), (550, 1000, 1)]
    lifting = block_freeze(block(0, 1_000), unfreeze=True)
    bridge.announce(SHANGHAI, signed(network, lifting))
    wait_frozen(shanghai, bridge, 0)
    moved = shanghai.transfer(holder, address, Selection(blocks=(block(50, 100),)))
    assert ended(shanghai, moved) == "MOVED"
    require_books(shanghai, network)


def test_a_court_freeze_binds_what_is_locked_as_soon_as_an_abort_gives_it_back(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, _ = pair
    bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(blocks=(block(0, 100),)))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    _, index = order_locally(shanghai, network, account_freeze(holder))
    assert index > 0
    assert frozen(shanghai) == [holder]
    bridge.abort((SHANGHAI, answer.transfer_id))
    assert ended(shanghai, answer) == "RELEASED"
    assert shanghai.held(holder) == [(0, 1000, 1)]
    for refused in (
        shanghai.transfer(holder, address, Selection(blocks=(block(0, 100),))),
        shanghai.retire(holder, Selection(quantity_kg=1)),
    ):
        assert symbol(refused) == "FROZEN"
        assert refused.metadata["what"] == holder
    order_locally(shanghai, network, account_freeze(holder, unfreeze=True))
    assert frozen(shanghai) == []
    assert isinstance(shanghai.retire(holder, Selection(quantity_kg=1)).transfer_id, bytes)
    require_books(shanghai, network)


def test_a_court_freeze_does_not_stop_a_commit(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, _ = pair
    bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(blocks=(block(0, 100),)))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    order_locally(shanghai, network, block_freeze(block(0, 1_000)))
    bridge.commit(bridge.seen_of(READY))
    assert ended(shanghai, answer) == "MOVED"


def test_what_is_committed_is_credited_frozen(pair: Pair, bridge: FakeBridge, network: NetworkOfTest) -> None:
    shanghai, shenzhen = pair
    bridge.on_answer = bridge.hold
    holder, buyer, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(blocks=(block(0, 100),)))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    bridge.announce(SHENZHEN, signed(network, block_freeze(block(0, 50))))
    bridge.commit(bridge.seen_of(READY))
    assert ended(shanghai, answer) == "MOVED"
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    assert shenzhen.held(buyer) == [(0, 100, 1)]

    def require(group: Group, *blocks: UnitBlock) -> None:
        require_free(group, group.load_accounts((buyer,))[buyer], blocks)

    with pytest.raises(DomainError) as refused:
        shenzhen.run(lambda group: require(group, block(0, 10)))
    assert refused.value.symbol == "FROZEN"
    shenzhen.run(lambda group: require(group, block(50, 60)))
    require_books(shenzhen, network)


def test_a_frozen_pair_takes_no_transfer_and_the_rest_of_the_business_goes_on(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    order = messages_pb2.Freeze(
        order_id=secrets.token_bytes(16),
        scope=messages_pb2.FREEZE_SCOPE_PAIR,
        region=SHENZHEN,
        other_region=SHANGHAI,
        reason="lock equivocation",
        document="evidence",
        evidence_hashes=[bytes(32)],
    )
    bridge.announce(SHANGHAI, network.envelope(order, "bridge"))
    wait_frozen(shanghai, bridge, 1)
    assert symbol(shanghai.transfer(holder, address, Selection(quantity_kg=1))) == "FROZEN"
    assert ended(shanghai, shanghai.retire(holder, Selection(quantity_kg=10))) == "USED"


FORGED: list[tuple[str, Callable[[NetworkOfTest], envelope_pb2.Envelope]]] = [
    (
        "one approver",
        lambda network: signed(network, block_freeze(block(0, 9)), signers=((SHANGHAI_AUTHORITY, 0),)),
    ),
    (
        "the bridge lifts alone",
        lambda network: network.envelope(block_freeze(block(0, 9), unfreeze=True), "bridge"),
    ),
    ("a region's own key", lambda network: network.envelope(block_freeze(block(0, 9)), SHENZHEN)),
    (
        "one side of a correction",
        lambda network: signed(network, correction(block(0, 9)), signers=BOTH_SIDES[:2]),
    ),
]


@pytest.mark.parametrize(("name", "forge"), FORGED, ids=[name for name, _ in FORGED])
def test_an_order_that_its_approvers_did_not_sign_is_kept_refused_and_the_stream_goes_on(
    pair: Pair,
    bridge: FakeBridge,
    network: NetworkOfTest,
    name: str,
    forge: Callable[[NetworkOfTest], envelope_pb2.Envelope],
) -> None:
    assert name
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    bridge.announce(SHANGHAI, forge(network))
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert frozen(shanghai) == []
    with shanghai.region.database.reading() as connection:
        assert len(list_evidence(connection)) == 1
    assert ended(shanghai, shanghai.transfer(holder, address, Selection(quantity_kg=10))) == "MOVED"


# -- corrections -----------------------------------------------------------------------------------------


def correction(*blocks: UnitBlock, **fields: Any) -> messages_pb2.Correction:
    values: dict[str, Any] = {
        "correction_id": secrets.token_bytes(16),
        "blocks": block_messages(blocks),
        "from_region": SHANGHAI,
        "to_region": SHENZHEN,
        "document": "protocol 7",
        "reason": "invented",
        "receiving_address": make_address(RegionCode("440300"), bytes(10)),
    }
    return messages_pb2.Correction(**{**values, **fields})


def test_a_correction_takes_units_out_here_and_puts_them_in_there(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, shenzhen = pair
    holder, buyer, address = ready_to_send(pair)
    envelope = signed(network, correction(block(100, 200), receiving_address=address), signers=BOTH_SIDES)
    for party in (SHANGHAI, SHENZHEN):
        bridge.announce(party, envelope)
        bridge.announce(party, envelope)  # taken once
    bridge.wait_until(lambda: shanghai.held(holder) == [(0, 100, 1), (200, 1000, 1)])
    bridge.wait_until(lambda: shenzhen.held(buyer) == [(100, 200, 1)])
    for node in pair:
        require_books(node, network)


def test_a_correction_to_an_address_that_nobody_has_is_kept_in_suspense(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    _, shenzhen = pair
    ready_to_send(pair)
    bridge.announce(SHENZHEN, signed(network, correction(block(0, 10)), signers=BOTH_SIDES))

    def suspended() -> bool:
        rows, _ = shenzhen.queries.holdings(
            account_id="", series_id=SERIES.series_id, by=OPENERS[SHENZHEN], after=None, limit=10
        )
        return [(row.start, row.end) for row in rows] == [(0, 10)]

    bridge.wait_until(suspended)
    require_books(shenzhen, network)


def test_a_correction_of_locked_units_waits_for_their_abort(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, _ = pair
    bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(blocks=(block(0, 100),)))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    bridge.announce(SHANGHAI, signed(network, correction(block(50, 150)), signers=BOTH_SIDES))
    bridge.wait_until(lambda: shanghai.held(holder) == [(0, 100, 2), (150, 1000, 1)])
    bridge.abort((SHANGHAI, answer.transfer_id))
    assert ended(shanghai, answer) == "RELEASED"
    assert shanghai.held(holder) == [(0, 50, 1), (150, 1000, 1)]
    require_books(shanghai, network)


def test_used_units_are_not_corrected(pair: Pair, bridge: FakeBridge, network: NetworkOfTest) -> None:
    shanghai, _ = pair
    holder, _, _ = ready_to_send(pair)
    assert ended(shanghai, shanghai.retire(holder, Selection(blocks=(block(0, 10),)))) == "USED"
    bridge.announce(SHANGHAI, signed(network, correction(block(5, 20)), signers=BOTH_SIDES))
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert shanghai.held(holder) == [(10, 1000, 1)]


def test_local_orders_need_two_approvers_of_this_region(pair: Pair, network: NetworkOfTest) -> None:
    shanghai, _ = pair
    holder = shanghai.open_account("holder").account_id
    shanghai.give(holder, block(0, 100))

    def refused(envelope: envelope_pb2.Envelope) -> str:
        with pytest.raises(DomainError) as caught:
            local_orders(shanghai).submit("operator/310000/sh.centre", secrets.token_hex(8), envelope)
        return caught.value.symbol

    order = account_freeze(holder)
    assert refused(signed(network, order, SHENZHEN_AUTHORITY, audience=SHANGHAI)) == "APPROVERS_MISSING"
    assert refused(signed(network, order)) == "AUDIENCE_MISMATCH"
    lifting = signed(network, account_freeze(holder, unfreeze=True), audience=SHANGHAI)
    assert refused(lifting) == "NOT_FROZEN"
    unknown = signed(network, account_freeze("A" + "X" * 16), audience=SHANGHAI)
    assert refused(unknown) == "ACCOUNT_UNKNOWN"
    assert frozen(shanghai) == []


def test_a_decision_about_units_that_the_books_have_lost_does_not_stop_the_line(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    broken = shanghai.transfer(holder, address, Selection(blocks=(block(0, 100),)))
    sound = shanghai.transfer(holder, address, Selection(blocks=(block(200, 300),)))
    bridge.wait_until(lambda: sum(1 for _ in bridge.seen_of(READY)) == 2)

    def lose(unit: UnitOfWork) -> None:
        unit.connection.execute(sa.delete(holding).where(holding.c.transfer_id == broken.transfer_id))
        unit.commit()

    run_in_transaction(shanghai.region.database, lose)
    bridge.commit(bridge.seen_of(READY))
    assert ended(shanghai, sound) == "MOVED"
    bridge.wait_until(lambda: bool(bridge.nacks))
    with shanghai.region.database.reading() as connection:
        assert [row.kind for row in list_evidence(connection)] == ["holding conflict"]
