"""Back-pressure between a region and its bridge (PROTOCOL section 3): Busy, offered again soon, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tanqiao.api.bridge.v1 import sync_pb2
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.server import sync_client
from tanqiao_region.server.wishes import IDS_PER_FRAME_MAX
from tests.contract.region.fake_bridge import ISSUE, LOCK, PREPARE, READY, WITHDRAW, FakeBridge
from tests.contract.region.harness import HOLDER, SERIES, SHANGHAI, SHENZHEN, Node, request
from tests.contract.region.issues import order_of
from tests.contract.region.test_restarts import offer_issue
from tests.contract.region.test_transfers import Pair, ended, ready_to_send


@pytest.fixture(autouse=True)
def _known_and_never_offered_again_by_itself(bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge.series[SERIES.series_id] = series_message(SERIES)
    monkeypatch.setattr(sync_client, "OFFER_AGAIN_SECONDS", 3_600.0)


@contextmanager
def full(node: Node) -> Iterator[None]:
    """Let a node's writer have no room."""
    writer = node.region.writer
    room, writer._waiting_max = writer._waiting_max, 0
    try:
        yield
    finally:
        writer._waiting_max = room
        node.run(lambda _group: None)  # the first command that it takes makes room known


def sessions(bridge: FakeBridge, party: str) -> int:
    return len(bridge.peer(party).hellos)


def test_prepares_for_which_there_is_no_room_are_answered_busy_and_taken_when_they_come_again(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    holder, _, address = ready_to_send(pair)
    with full(shenzhen):
        answer = shanghai.transfer(holder, address, Selection(quantity_kg=300))
        bridge.wait_until(lambda: bool(bridge.busy))
        (busy,) = bridge.busy
        assert list(busy.transfer_ids) == [answer.transfer_id]
        assert busy.retry_after_ms > 0
        assert not bridge.seen_of(READY)
    (lock,) = bridge.seen_of(LOCK)
    bridge.offer(SHENZHEN, PREPARE, [bridge.prepare_payload(lock, SHENZHEN)], [lock.companion])
    assert ended(shanghai, answer) == "MOVED"
    assert sessions(bridge, SHENZHEN) == 1, "nothing ended the session"


def test_a_numbered_frame_waits_for_room_and_nothing_of_it_is_lost(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    bridge.on_answer = bridge.hold
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=300))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    with full(shanghai):
        bridge.commit(bridge.seen_of(READY))
        bridge.wait_until(lambda: len(bridge.finals) == 1)  # Shenzhen has credited meanwhile
        assert shanghai.queries.outgoing([answer.transfer_id])[answer.transfer_id].ended_at is None
    assert ended(shanghai, answer) == "MOVED"
    assert sessions(bridge, SHANGHAI) == 1


def test_withdraws_and_issues_that_were_answered_busy_are_offered_again(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    bridge.on_lock = bridge.on_issue = bridge.hold
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    shanghai.orders.withdraw(request(HOLDER), HOLDER, answer.transfer_id)
    order = order_of(holder, shanghai, 5_000, 6_000)
    offer_issue(shanghai, order)
    bridge.wait_until(lambda: bool(bridge.seen_of(WITHDRAW)) and bool(bridge.seen_of(ISSUE)))
    frames = bridge.peer(SHANGHAI).frames
    assert frames is not None
    busy = sync_pb2.Busy(transfer_ids=[answer.transfer_id, order.issue_id], retry_after_ms=20)
    frames.put(sync_pb2.ConnectResponse(busy=busy))
    bridge.wait_until(lambda: len(bridge.seen_of(WITHDRAW)) == len(bridge.seen_of(ISSUE)) == 2)
    kinds = [seen.payload_type for seen in bridge.seen]
    assert kinds.count(LOCK) == 2
    assert kinds[::-1].index(WITHDRAW) < kinds[::-1].index(LOCK), "always behind its lock"


def test_a_bridge_that_asks_for_what_nobody_offered_loses_the_session_and_the_status_shows_it(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    bridge.on_answer = bridge.hold
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    assert not pair[1].context.alarms.all()
    frames = bridge.peer(SHENZHEN).frames
    assert frames is not None
    made_up = [number.to_bytes(16, "big") for number in range(IDS_PER_FRAME_MAX + 1)]
    need = sync_pb2.NeedPrepare(source=SHANGHAI, transfer_ids=made_up)
    bridge.on_answer = bridge.commit
    frames.put(sync_pb2.ConnectResponse(need_prepare=need))
    # The session ends; the next one offers what is undecided, and it is decided.
    assert ended(shanghai, answer) == "MOVED"
    assert sessions(bridge, SHENZHEN) == 2
    (alarm,) = pair[1].context.alarms.all()
    assert (alarm.refusal.symbol, alarm.count) == ("WISHES_EXCEEDED", 1)


@pytest.mark.long
def test_what_there_is_no_room_to_answer_busy_for_is_asked_for_again_on_the_next_session(
    pair: Pair, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai, shenzhen = pair
    holder, _, address = ready_to_send(pair)
    begun = sessions(bridge, SHENZHEN)
    with full(shenzhen):
        monkeypatch.setattr(sync_client, "BUSY_WAITING_MAX", -sync_client.FRAMES_WAITING_MAX)
        answer = shanghai.transfer(holder, address, Selection(quantity_kg=300))
        bridge.wait_until(lambda: not shenzhen.region.sync.connected)
    monkeypatch.setattr(sync_client, "BUSY_WAITING_MAX", sync_client.FRAMES_WAITING_MAX)
    bridge.wait_until(lambda: sessions(bridge, SHENZHEN) > begun)
    lock = bridge.seen_of(LOCK)[0]
    bridge.offer(SHENZHEN, PREPARE, [bridge.prepare_payload(lock, SHENZHEN)], [lock.companion])
    assert ended(shanghai, answer) == "MOVED"
