"""A node that stops anywhere and starts again on its database ends everything that it had begun."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import SourceState, TransferKey
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application import issue_offers, journal
from tanqiao_region.application.commands import Selection, Work
from tanqiao_region.application.group import Ended, Group
from tanqiao_region.application.issue_offers import IssueOrder, series_message
from tanqiao_region.storage.issues import load_issuances
from tests.contract.region.conftest import MakeNode, stop
from tests.contract.region.fake_bridge import ISSUE, LOCK, READY, FakeBridge
from tests.contract.region.harness import (
    CENTRE,
    HOLDER,
    OPENERS,
    SERIES,
    SHANGHAI,
    SHENZHEN,
    Node,
    agreement,
    block,
    request,
)
from tests.contract.region.issues import order_of, put_project

Pair = tuple[Node, Node]


@pytest.fixture(autouse=True)
def known_series(bridge: FakeBridge) -> None:
    bridge.series[SERIES.series_id] = series_message(SERIES)


def restart(node: Node, make_node: MakeNode, bridge: FakeBridge) -> Node:
    """Stop a node and start it again on the same database."""
    stop(node)
    assert bridge.server is not None
    again = make_node(node.party, bridge.server.address, node.under_test)
    again.region.start()
    return again


def begin(pair: Pair) -> tuple[Any, str, str]:
    """Lock units for a transfer; (answer, holder, buyer)."""
    shanghai, shenzhen = pair
    holder, buyer = shanghai.open_account("holder"), shenzhen.open_account("buyer")
    shanghai.give(holder.account_id, block(0, 100))
    address = shenzhen.address(buyer.account_id)
    answer = shanghai.transfer(holder.account_id, address, Selection(quantity_kg=10))
    return answer, holder.account_id, buyer.account_id


def balance(node: Node, account_id: str) -> tuple[int, int]:
    found = node.queries.balance(account_id, OPENERS[node.party])
    return found.held_kg, found.locked_kg


def test_the_source_restarts_after_its_lock(pair: Pair, bridge: FakeBridge, make_node: MakeNode) -> None:
    shanghai, shenzhen = pair
    bridge.on_lock = bridge.hold
    answer, holder, buyer = begin(pair)
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)))
    bridge.on_lock = bridge.prepare
    shanghai = restart(shanghai, make_node, bridge)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    assert balance(shanghai, holder) == (90, 0)
    assert balance(shenzhen, buyer) == (10, 0)
    assert len({seen.hash for seen in bridge.seen_of(LOCK)}) == 1
    assert shanghai.queries.transfer(answer.transfer_id, HOLDER).state == 2


def test_the_destination_restarts_after_its_ready(
    pair: Pair, bridge: FakeBridge, make_node: MakeNode
) -> None:
    shanghai, shenzhen = pair
    bridge.on_answer = bridge.hold
    _, holder, buyer = begin(pair)
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    first = bridge.seen_of(READY)[0]
    bridge.on_answer = bridge.commit
    shenzhen = restart(shenzhen, make_node, bridge)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    assert all(seen.payload == first.payload for seen in bridge.seen_of(READY))
    assert balance(shenzhen, buyer) == (10, 0)
    assert balance(shanghai, holder) == (90, 0)


def test_both_were_down_when_it_was_decided(pair: Pair, bridge: FakeBridge, make_node: MakeNode) -> None:
    shanghai, shenzhen = pair
    bridge.on_answer = bridge.hold
    _, holder, buyer = begin(pair)
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    stop(shanghai)
    stop(shenzhen)
    bridge.commit(bridge.seen_of(READY))
    shanghai, shenzhen = (restart(one, make_node, bridge) for one in (shanghai, shenzhen))
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    assert balance(shanghai, holder) == (90, 0)
    assert balance(shenzhen, buyer) == (10, 0)
    for node in (shanghai, shenzhen):
        assert node.queries.status().transfers_open == 0


def test_receipts_that_were_not_acknowledged_are_sent_again_and_counted_once(
    pair: Pair, bridge: FakeBridge, make_node: MakeNode
) -> None:
    shanghai, _ = pair
    begin(pair)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    bridge.peer(SHANGHAI).received_number = 0
    bridge.cut(SHANGHAI)
    bridge.wait_until(lambda: len(bridge.finals) == 3)
    assert bridge.finals[2].payload in {seen.payload for seen in bridge.finals[:2]}
    shanghai = restart(shanghai, make_node, bridge)
    bridge.wait_until(lambda: len(bridge.peer(SHANGHAI).hellos) >= 3)
    assert bridge.peer(SHANGHAI).hellos[-1].received_number == len(bridge.peer(SHANGHAI).numbered)


def test_the_applied_index_survives_and_only_grows(
    pair: Pair, bridge: FakeBridge, make_node: MakeNode
) -> None:
    shanghai, _ = pair
    begin(pair)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    before = shanghai.queries.status().applied_log_index
    assert before >= 0
    shanghai = restart(shanghai, make_node, bridge)
    assert shanghai.queries.status().applied_log_index >= before
    assert shanghai.context.applied_log_index >= before


def test_a_bridge_that_knows_more_than_the_node_makes_it_read_only(
    pair: Pair, bridge: FakeBridge, make_node: MakeNode
) -> None:
    shanghai, _ = pair
    _, holder, _ = begin(pair)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    bridge.peer(SHANGHAI).received_number += 5
    shanghai = restart(shanghai, make_node, bridge)
    until = time.monotonic() + 60
    while not shanghai.context.recovering and time.monotonic() < until:
        time.sleep(0.02)
    answer = shanghai.move(holder, holder, Selection(quantity_kg=1))
    assert isinstance(answer, DomainError)
    assert answer.symbol == "REGION_RECOVERING"
    assert balance(shanghai, holder) == (90, 0)


def test_what_a_refused_work_wrote_is_undone_and_its_neighbours_stand(node: Node) -> None:
    account = node.open_account("a")

    def bad(group: Group) -> None:
        group.journal.append(journal.ACCOUNT_CLOSED, account.account_id, ())
        group.connection.exec_driver_sql("DELETE FROM node_state WHERE name = 'incarnation'")
        raise DomainError("STATE_NOT_ALLOWED", what="test", id="1", state="x", needed="y")

    def good(group: Group) -> int:
        return group.journal.append(journal.PROJECT_CHANGED, "p", ())

    futures = node.region.writer.submit_many([Work(good), Work(bad), Work(good)])
    assert futures[0].result(10) + 1 == futures[2].result(10)
    with pytest.raises(DomainError):
        futures[1].result(10)
    part = node.queries.journal(from_index=1, limit=100, account_ids=[], kinds=[], by=CENTRE)
    assert [row.journal_index for row in part.rows] == list(range(1, part.size + 1))
    assert all(row.kind != journal.ACCOUNT_CLOSED for row in part.rows)


def test_what_a_refused_work_would_have_sent_and_told_is_forgotten(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, shenzhen = pair
    bridge.on_lock = bridge.hold
    account = shanghai.open_account("a").account_id
    order = order_of(account, shanghai)

    def bad(group: Group) -> None:
        put_project(group, order.project_id, order.account_id)
        issue_offers.offer_issue(group, order)
        group.aftermath.ended.append(Ended(TransferKey(SHANGHAI, order.issue_id), 1))
        raise DomainError("STATE_NOT_ALLOWED", what="test", id="1", state="x", needed="y")

    with pytest.raises(DomainError):
        shanghai.run(bad)
    shanghai.give(account, block(0, 100))
    shanghai.transfer(
        account, shenzhen.address(shenzhen.open_account("b").account_id), Selection(quantity_kg=1)
    )
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)))  # it is offered behind what went before it
    assert not bridge.seen_of(ISSUE)
    assert shanghai.region.notifier.wait_ended(TransferKey(SHANGHAI, order.issue_id), 0.0) is None


def test_a_group_that_breaks_writes_nothing_and_the_rest_of_it_is_carried_out(node: Node) -> None:
    before = node.queries.status().journal_size

    def broken(group: Group) -> None:
        group.journal.append(journal.PROJECT_CHANGED, "broken", ())
        raise RuntimeError("a fault of the program")

    def good(group: Group) -> int:
        return group.journal.append(journal.PROJECT_CHANGED, "good", ())

    futures = node.region.writer.submit_many([Work(good), Work(broken), Work(good)])
    assert futures[0].result(10) == before + 1
    with pytest.raises(RuntimeError):
        futures[1].result(10)
    assert futures[2].result(10) == before + 2


def test_a_request_that_is_repeated_after_a_restart_is_answered_without_waiting(
    pair: Pair, bridge: FakeBridge, make_node: MakeNode
) -> None:
    shanghai, shenzhen = pair
    holder, buyer = shanghai.open_account("holder"), shenzhen.open_account("buyer")
    shanghai.give(holder.account_id, block(0, 100))
    address = shenzhen.address(buyer.account_id)
    same = request(HOLDER)
    first = shanghai.transfer(holder.account_id, address, Selection(quantity_kg=10), request=same)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    used = request(HOLDER)
    use = shanghai.retire(holder.account_id, Selection(quantity_kg=10), request=used)
    bridge.wait_until(lambda: len(bridge.finals) == 3)
    shanghai = restart(shanghai, make_node, bridge)
    begun = time.monotonic()
    again = shanghai.transfer(holder.account_id, address, Selection(quantity_kg=10), request=same)
    assert again.transfer_id == first.transfer_id
    assert shanghai.orders.wait_ended([again], 20) == {first.transfer_id: SourceState.MOVED}
    again = shanghai.retire(holder.account_id, Selection(quantity_kg=10), request=used)
    assert shanghai.orders.wait_ended([again], 20) == {use.transfer_id: SourceState.USED}
    assert time.monotonic() - begun < 10
    assert balance(shanghai, holder.account_id) == (80, 0)


# -- issuance ------------------------------------------------------------------------------------------------


def offer_issue(node: Node, order: IssueOrder) -> None:
    """Offer an issue as the register does, of a project that is put there for it."""

    def work(group: Group) -> None:
        put_project(group, order.project_id, order.account_id)
        issue_offers.offer_issue(group, order)

    node.run(work)


def test_units_exist_only_on_the_bridges_receipt(pair: Pair, bridge: FakeBridge, make_node: MakeNode) -> None:
    shanghai, _ = pair
    bridge.on_issue = bridge.hold
    account = shanghai.open_account("issuer")
    order = order_of(account.account_id, shanghai)
    offer_issue(shanghai, order)
    bridge.wait_until(lambda: bool(bridge.seen_of(ISSUE)))
    assert balance(shanghai, account.account_id) == (0, 0)
    bridge.on_issue = bridge.accept_issues
    shanghai = restart(shanghai, make_node, bridge)
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).acknowledged > 0)
    assert balance(shanghai, account.account_id) == (1000, 0)
    assert len({seen.hash for seen in bridge.seen_of(ISSUE)}) == 1


def test_a_refused_issue_creates_nothing_and_those_who_must_know_are_told_in_the_transaction(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    told: list[tuple[str, bool]] = []
    shanghai.context.issue_settlements.append(
        lambda _group, row, accepted: told.append((row.issuance_id, accepted))
    )
    bridge.on_issue = bridge.refuse_issues
    account = shanghai.open_account("issuer")
    order = order_of(account.account_id, shanghai)
    offer_issue(shanghai, order)
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).acknowledged > 0)
    assert told == [(order.issue_id.hex(), False)]
    assert balance(shanghai, account.account_id) == (0, 0)
    with shanghai.region.database.reading() as connection:
        row = load_issuances(connection, [order.issue_id])[order.issue_id]
    assert row.record.state.name == "REFUSED"


def test_a_record_that_a_root_did_not_sign_is_refused_and_one_that_both_signed_is_kept(
    make_node: MakeNode, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    assert bridge.server is not None
    node = make_node(SHENZHEN, bridge.server.address)
    node.region.start()
    bridge.wait_until(lambda: bridge.peer(SHENZHEN).frames is not None)
    good = agreement(network)
    bad = type(good)()
    bad.CopyFrom(good)
    del bad.signatures[1:]
    bridge.announce(SHENZHEN, bad)
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert bridge.nacks[0].message.reasons[0].reason == "SIGNATURE_MISSING"
    assert ("310000", "440300") not in node.context.recognitions
    bridge.announce(SHENZHEN, good)
    bridge.wait_until(lambda: bridge.peer(SHENZHEN).acknowledged == 2)
    assert ("310000", "440300") in node.context.recognitions
    again = restart(node, make_node, bridge)
    assert ("310000", "440300") in again.context.recognitions
