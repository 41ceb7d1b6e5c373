"""Transfers across the border on a real line: two nodes, and a bridge that does what it is told."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.protocol.types import Kind
from tanqiao.rpc.caller import Caller, enter_call, leave_call
from tanqiao.signing.parties import parse_party
from tanqiao_region.application.commands import Selection, Work
from tanqiao_region.application.group import Group
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.server.ledger_servicers import WATCHERS_MAX, TransferServicer
from tanqiao_region.storage.evidence import list_evidence
from tests.contract.region.fake_bridge import DECISION, LOCK, READY, REFUSE, USE, WITHDRAW, FakeBridge
from tests.contract.region.harness import (
    CENTRE,
    HOLDER,
    SERIES,
    SHANGHAI,
    SHENZHEN,
    Node,
    block,
    request,
)
from tests.contract.region_registers.approvals import cancellation

Pair = tuple[Node, Node]


def symbol(answer: object) -> str:
    assert isinstance(answer, DomainError), answer
    return answer.symbol


@pytest.fixture(autouse=True)
def known_series(bridge: FakeBridge) -> None:
    bridge.series[SERIES.series_id] = series_message(SERIES)


def ready_to_send(pair: Pair, quantity_kg: int = 1000) -> tuple[str, str, str]:
    """(holder in Shanghai, buyer in Shenzhen, the buyer's address)."""
    shanghai, shenzhen = pair
    holder, buyer = shanghai.open_account("holder"), shenzhen.open_account("buyer")
    shanghai.give(holder.account_id, block(0, quantity_kg))
    return holder.account_id, buyer.account_id, shenzhen.address(buyer.account_id)


def ended(node: Node, answer: object) -> str:
    """Wait for the end of a transfer; its state at the source."""
    states = node.orders.wait_ended([answer], 60.0)
    assert states, "the transfer has not ended"
    return str(next(iter(states.values())).name)


def test_units_cross_the_border_and_both_sides_send_receipts(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, shenzhen = pair
    holder, buyer, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=300))
    assert ended(shanghai, answer) == "MOVED"
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    assert shanghai.held(holder) == [(300, 1000, 1)]
    states = {(seen.party, seen.message.state) for seen in bridge.finals}
    assert states == {(SHANGHAI, messages_pb2.SOURCE_STATE_MOVED), (SHENZHEN, 3)}
    found = shenzhen.queries.incoming_page(state=0, account_id=buyer, by=CLOSER_SZ, after=("", b""), limit=10)
    assert [(view.state, view.quantity_kg) for view in found] == [(3, 300)]
    rows, _ = shenzhen.queries.holdings(account_id=buyer, series_id="", by=CLOSER_SZ, after=None, limit=10)
    assert [(row.start, row.end, row.place[1]) for row in rows] == [(0, 300, 1)]


def test_locked_units_are_refused_to_everybody_else(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    other = shanghai.open_account("other")
    shanghai.transfer(holder, address, Selection(blocks=(block(0, 100),)))
    assert symbol(shanghai.transfer(holder, address, Selection(blocks=(block(50, 150),)))) == "UNIT_LOCKED"
    answer = shanghai.move(holder, other.account_id, Selection(blocks=(block(99, 100),)))
    assert symbol(answer) == "UNIT_LOCKED"
    assert symbol(shanghai.retire(holder, Selection(blocks=(block(0, 1),)))) == "UNIT_LOCKED"
    with pytest.raises(DomainError) as refusal:
        shanghai.orders.close_account(request(CENTRE), CENTRE, holder)
    assert refusal.value.symbol == "ACCOUNT_HAS_LOCKED_UNITS"


def test_an_abort_releases_and_joins_what_was_cut(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, shenzhen = pair
    bridge.on_answer = bridge.hold
    holder, buyer, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(blocks=(block(400, 500),)))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    bridge.abort((SHANGHAI, answer.transfer_id))
    assert ended(shanghai, answer) == "RELEASED"
    assert shanghai.held(holder) == [(0, 1000, 1)]
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    found = shenzhen.queries.incoming_page(state=0, account_id=buyer, by=CLOSER_SZ, after=("", b""), limit=10)
    assert [view.state for view in found] == [4]


def test_a_destination_refuses_with_every_reason_and_the_source_gets_its_units_back(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    holder, buyer, address = ready_to_send(pair)
    by = CLOSER_SZ
    shenzhen.orders.close_account(request(by), by, buyer)
    bridge.series.clear()
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    assert ended(shanghai, answer) == "RELEASED"
    refuse = bridge.seen_of(REFUSE)[0].message
    assert {reason.reason for reason in refuse.reasons} == {"ACCOUNT_CLOSED", "SERIES_UNKNOWN"}
    assert shanghai.held(holder) == [(0, 1000, 1)]


CLOSER_SZ = type(CENTRE)("operator/440300/sz.platform_operator", "sz.platform_operator")


def test_without_an_agreement_the_source_refuses_and_locks_nothing(pair: Pair) -> None:
    shanghai, _ = pair
    holder, _, _ = ready_to_send(pair)
    yunnan_address = make_address(RegionCode("530000"), secrets.token_bytes(10))
    answer = shanghai.transfer(holder, yunnan_address, Selection(quantity_kg=10), destination="region/530000")
    assert symbol(answer) == "RECOGNITION_NOT_IN_FORCE"
    assert shanghai.held(holder) == [(0, 1000, 1)]


def test_addresses_are_checked_before_anything_is_locked(pair: Pair) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    mistyped = address[:-1] + ("0" if address[-1] != "0" else "1")
    assert symbol(shanghai.transfer(holder, mistyped, Selection(quantity_kg=1))) == "ADDRESS_INVALID"
    own = shanghai.address(holder)
    assert symbol(shanghai.transfer(holder, own, Selection(quantity_kg=1))) == "ADDRESS_INVALID"
    answer = shanghai.transfer(holder, own, Selection(quantity_kg=1), destination=SHANGHAI)
    assert symbol(answer) == "DESTINATION_IS_SOURCE"


def test_an_unknown_address_is_refused_at_the_destination(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    holder, _, _ = ready_to_send(pair)
    unknown = make_address(RegionCode("440300"), secrets.token_bytes(10))
    answer = shanghai.transfer(holder, unknown, Selection(quantity_kg=10))
    assert ended(shanghai, answer) == "RELEASED"
    assert [reason.reason for reason in bridge.seen_of(REFUSE)[0].message.reasons] == ["ADDRESS_UNKNOWN"]


def test_a_ready_account_that_closed_is_credited_in_suspense(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, shenzhen = pair
    bridge.on_answer = bridge.hold
    holder, buyer, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    shenzhen.orders.close_account(request(CLOSER_SZ), CLOSER_SZ, buyer)
    bridge.commit(bridge.seen_of(READY))
    assert ended(shanghai, answer) == "MOVED"
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    rows, _ = shenzhen.queries.holdings(account_id="", series_id="", by=CLOSER_SZ, after=None, limit=10)
    suspense = rows[0].place[0]
    assert suspense != buyer
    stranger = shenzhen.open_account("stranger", uscc="91310000MA1FL00157")
    refused = shenzhen.move(suspense, stranger.account_id, Selection(quantity_kg=10), by=CLOSER_SZ)
    assert symbol(refused) == "SUSPENSE_OWNER_MISMATCH"
    again = shenzhen.open_account("same owner")
    moved = shenzhen.move(suspense, again.account_id, Selection(quantity_kg=10), by=CLOSER_SZ)
    assert moved.blocks == (block(0, 10),)


def test_a_withdrawal_is_offered_behind_its_lock(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    shanghai.orders.withdraw(request(HOLDER), HOLDER, answer.transfer_id)
    bridge.wait_until(lambda: bool(bridge.seen_of(WITHDRAW)))
    assert shanghai.held(holder)[0] == (0, 10, 2)
    kinds = [seen.payload_type for seen in bridge.seen if seen.payload_type in (LOCK, WITHDRAW)]
    assert kinds[0] == LOCK
    bridge.locks[SHANGHAI, answer.transfer_id] = bridge.seen_of(LOCK)[0]
    bridge.abort((SHANGHAI, answer.transfer_id), "WITHDRAWN")
    assert ended(shanghai, answer) == "RELEASED"
    with pytest.raises(DomainError) as refusal:
        shanghai.orders.withdraw(request(HOLDER), HOLDER, answer.transfer_id)
    assert refusal.value.symbol == "ALREADY_DECIDED"


def test_what_was_offered_is_offered_again_on_a_new_session(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: len(bridge.seen_of(LOCK)) >= 1)
    bridge.on_lock = bridge.prepare
    bridge.cut(SHANGHAI)
    assert ended(shanghai, answer) == "MOVED"
    hashes = {seen.hash for seen in bridge.seen_of(LOCK)}
    assert len(hashes) == 1
    numbers = [hello.session_number for hello in bridge.peer(SHANGHAI).hellos]
    assert numbers == sorted(set(numbers))


def test_decisions_that_come_again_change_nothing(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    assert ended(shanghai, answer) == "MOVED"
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    size = shanghai.queries.status().journal_size
    payload = bridge.decided[SHANGHAI, answer.transfer_id]
    bridge.offer(SHANGHAI, DECISION, [payload])
    bridge.number(SHANGHAI, [(DECISION, payload)])
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).acknowledged == len(bridge.peer(SHANGHAI).numbered))
    assert shanghai.queries.status().journal_size == size
    assert bridge.nacks == []


def test_a_decision_takes_effect_by_its_number_alone(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)))
    lock = bridge.seen_of(LOCK)[0]
    key = (SHANGHAI, answer.transfer_id)
    payload = bridge.decision(
        key, (SHANGHAI, SHENZHEN), commit=False, lock_hash=lock.hash, ready_hash=bytes(32), reasons=[]
    )
    bridge.offer(SHANGHAI, DECISION, [payload])
    assert shanghai.orders.wait_ended([answer], 0.3) == {}
    bridge.number(SHANGHAI, [(DECISION, payload)])
    assert ended(shanghai, answer) == "RELEASED"


def test_units_that_are_here_already_are_not_credited_twice(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, shenzhen = pair
    bridge.on_answer = bridge.hold
    holder, buyer, address = ready_to_send(pair)
    shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    shenzhen.give(buyer, block(5, 7))
    bridge.commit(bridge.seen_of(READY))
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert bridge.nacks[0].message.reasons[0].reason == "LOCATION_CONFLICT"
    assert shenzhen.queries.status().transfers_open == 1
    with shenzhen.region.database.reading() as connection:
        assert [row.kind for row in list_evidence(connection)] == ["credit conflict"]


def test_a_void_decision_is_kept_as_evidence_and_answered_with_a_nack(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    key = (SHANGHAI, answer.transfer_id)
    wrong = bridge.decision(
        key, (SHANGHAI,), commit=True, lock_hash=b"x" * 32, ready_hash=b"y" * 32, reasons=[]
    )
    bridge.number(SHANGHAI, [(DECISION, wrong)])
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert bridge.nacks[0].message.reasons[0].reason == "DECISION_VOID"
    assert shanghai.held(holder)[0] == (0, 10, 2)


def test_a_second_decision_is_kept_beside_the_first(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    assert ended(shanghai, answer) == "MOVED"
    key = (SHANGHAI, answer.transfer_id)
    lock = bridge.seen_of(LOCK)[0]
    second = bridge.decision(
        key, (SHANGHAI,), commit=False, lock_hash=lock.hash, ready_hash=bytes(32), reasons=[]
    )
    bridge.number(SHANGHAI, [(DECISION, second)])
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert bridge.nacks[0].message.reasons[0].reason == "EQUIVOCATION"
    with shanghai.region.database.reading() as connection:
        kept = list_evidence(connection)
    assert [(row.kind, bool(row.first_envelope), bool(row.second_envelope)) for row in kept] == [
        ("decision equivocation", True, True)
    ]
    assert shanghai.held(holder) == [(10, 1000, 1)]


def test_a_message_that_does_not_verify_is_kept_and_the_stream_goes_on(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    holder, _, address = ready_to_send(pair)
    bridge.number(SHANGHAI, [(DECISION, b"not a decision at all")])
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert bridge.nacks[0].message.reasons[0].reason == "MESSAGE_MALFORMED"
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    assert ended(shanghai, answer) == "MOVED"


def test_a_decision_with_a_day_that_is_none_is_kept_and_the_stream_goes_on(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    bridge.on_use = bridge.hold
    holder, _, address = ready_to_send(pair)
    use = shanghai.retire(holder, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(USE)))
    key = (SHANGHAI, use.transfer_id)
    message = messages_pb2.Decision.FromString(
        bridge.decision(
            key,
            (SHANGHAI,),
            commit=True,
            lock_hash=bridge.seen_of(USE)[0].hash,
            ready_hash=bytes(32),
            reasons=[],
        )
    )
    message.legal_date.month = 13
    bridge.number(SHANGHAI, [(DECISION, message.SerializeToString())])
    bridge.wait_until(lambda: bool(bridge.nacks))
    assert bridge.nacks[0].message.reasons[0].reason == "FIELD_INVALID"
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    assert ended(shanghai, answer) == "MOVED"


def test_an_abort_of_an_unknown_transfer_is_kept_and_a_later_prepare_refused(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)))
    lock = bridge.seen_of(LOCK)[0]
    bridge.locks[SHANGHAI, answer.transfer_id] = lock
    bridge.abort((SHANGHAI, answer.transfer_id))
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    bridge.on_answer = bridge.hold
    del bridge.decided[SHANGHAI, answer.transfer_id]
    bridge.prepare([lock])
    bridge.wait_until(lambda: bool(bridge.seen_of(REFUSE)))
    assert [one.reason for one in bridge.seen_of(REFUSE)[0].message.reasons] == ["TRANSFER_DROPPED"]
    assert shenzhen.queries.status().transfers_open == 0


def test_a_refusal_in_the_group_of_the_abort_is_stored_and_given_again(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    bridge.on_lock = bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)))
    lock = bridge.seen_of(LOCK)[0]
    key = (SHANGHAI, answer.transfer_id)
    bridge.locks[key] = lock
    busy, go_on = threading.Event(), threading.Event()

    def wait(_group: Group) -> None:
        busy.set()
        assert go_on.wait(10.0)

    waiting = shenzhen.region.writer.submit(Work(wait))
    try:
        assert busy.wait(10.0)
        bridge.abort(key)
        del bridge.decided[key]
        bridge.prepare([lock])
        bridge.wait_until(lambda: shenzhen.region.writer.waiting == 2)
    finally:
        go_on.set()
    waiting.result(10.0)
    bridge.wait_until(lambda: len(bridge.seen_of(REFUSE)) == 1)
    bridge.prepare([lock])
    bridge.wait_until(lambda: len(bridge.seen_of(REFUSE)) == 2)
    first, second = bridge.seen_of(REFUSE)
    assert first.payload == second.payload


class OnTheLine:
    """A call whose caller stays."""

    def is_active(self) -> bool:
        return True


def test_watchers_of_transfers_are_bounded_so_that_others_are_served(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    servicer = TransferServicer(shanghai.orders, shanghai.queries, shanghai.region.notifier, SHANGHAI)
    wanted = ledger_pb2.WatchTransferRequest(transfer_id=answer.transfer_id.hex())

    def watch() -> Any:
        changes = servicer.WatchTransfer(wanted, OnTheLine())  # type: ignore[arg-type]
        assert next(changes).transfer.state == ledger_pb2.TRANSFER_STATE_LOCKED
        return changes

    call = enter_call(Caller.of(parse_party(HOLDER.party), "WatchTransfer"))
    try:
        watchers = [watch() for _ in range(WATCHERS_MAX)]
        with pytest.raises(DomainError) as refusal:
            watch()
        assert refusal.value.symbol == "QUOTA_EXCEEDED"
        watchers.pop().close()
        watch().close()
        for one in watchers:
            one.close()
    finally:
        leave_call(call)


def test_a_repeated_prepare_gets_the_stored_answer(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    bridge.prepare([bridge.seen_of(LOCK)[0]])
    bridge.wait_until(lambda: len(bridge.seen_of(READY)) == 2)
    first, second = bridge.seen_of(READY)
    assert first.payload == second.payload


def test_a_prepare_that_the_bridge_lost_is_returned_with_its_answer(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_answer = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(READY)))
    frames = bridge.peer(SHENZHEN).frames
    assert frames is not None
    need = sync_pb2.NeedPrepare(source=SHANGHAI, transfer_ids=[answer.transfer_id])
    frames.put(sync_pb2.ConnectResponse(need_prepare=need))
    bridge.wait_until(lambda: any(seen.envelope for seen in bridge.seen if seen.party == SHENZHEN))
    returned = next(seen for seen in bridge.seen if seen.party == SHENZHEN and seen.envelope)
    assert returned.payload == bridge.prepares[SHANGHAI, answer.transfer_id]
    assert returned.envelope is not None
    assert returned.envelope.payload == bridge.seen_of(READY)[0].payload


def test_a_busy_bridge_is_offered_the_same_again(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    answer = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)))
    bridge.on_lock = bridge.prepare
    frames = bridge.peer(SHANGHAI).frames
    assert frames is not None
    busy = sync_pb2.Busy(transfer_ids=[answer.transfer_id], retry_after_ms=10)
    frames.put(sync_pb2.ConnectResponse(busy=busy))
    assert ended(shanghai, answer) == "MOVED"


def test_a_retirement_ends_used_and_an_abort_gives_the_units_back(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    holder, _, _ = ready_to_send(pair)
    answer = shanghai.retire(holder, Selection(quantity_kg=100), purpose_text="虚构马拉松 invented marathon")
    assert ended(shanghai, answer) == "USED"
    view, _ = shanghai.queries.retirement(answer.transfer_id, HOLDER)
    assert (view.purpose, view.retiring_date, view.decision_date) == (
        "event_neutrality",
        "2026-03-02",
        "2026-03-02",
    )
    assert view.article
    assert view.use.promise is not None
    assert view.use.decision is not None
    bridge.on_use = bridge.abort_uses
    answer = shanghai.retire(holder, Selection(quantity_kg=100))
    assert ended(shanghai, answer) == "RELEASED"
    assert shanghai.held(holder) == [(100, 1000, 1)]
    assert symbol(shanghai.retire(holder, Selection(blocks=(block(50, 60),)))) == "UNIT_USED"


def test_a_use_is_refused_for_a_purpose_that_the_rules_do_not_provide(pair: Pair) -> None:
    shanghai, _ = pair
    holder, _, _ = ready_to_send(pair)
    answer = shanghai.retire(holder, Selection(quantity_kg=100), purpose="gold")
    assert symbol(answer) == "PURPOSE_NOT_PROVIDED"
    assert answer.article
    answer = shanghai.retire(holder, Selection(quantity_kg=100), purpose="ecological_damage")
    assert symbol(answer) == "COURT_DOCUMENT_MISSING"
    answer = shanghai.retire(
        holder,
        Selection(quantity_kg=100),
        purpose="ecological_damage",
        document_reference="上海某法院；(2026)沪民初1号；2026-02-01；50",
    )
    assert symbol(answer) == "FIELD_INVALID"


def _as(request: Any, quantity_kg: int) -> Any:
    request.units.quantity_kg = quantity_kg
    return request


def test_a_cancellation_needs_a_reason_a_document_and_another_person(pair: Pair) -> None:
    shanghai, _ = pair
    holder, _, _ = ready_to_send(pair)
    order = {"kind": Kind.CANCEL, "purpose": "", "by": CENTRE}
    ten = Selection(quantity_kg=10)
    assert symbol(shanghai.retire(holder, ten, **order)) == "REASON_REQUIRED"
    order |= {"purpose_text": "double issue", "document_reference": "D-1"}
    assert symbol(shanghai.retire(holder, ten, hands=(), **order)) == "REASON_REQUIRED"
    own, bureau = (CENTRE.party, 1), ("operator/310000/sh.bureau", 1)
    for hands in ((own,), (bureau,), (bureau, ("operator/310000/sh.exchange", 1))):
        assert symbol(shanghai.retire(holder, ten, hands=hands, **order)) == "APPROVERS_MISSING"
    told = {"reason": "double issue", "document_reference": "D-1"}
    more = cancellation(shanghai.network, holder, Selection(quantity_kg=20), (own, bureau), **told)
    assert symbol(shanghai.retire(holder, ten, cancellation=_as(more, 10), **order)) == "DECISION_DIFFERS"
    asked = cancellation(shanghai.network, holder, ten, (own, bureau), **told)
    answer = shanghai.retire(holder, ten, cancellation=asked, **order)
    assert ended(shanghai, answer) == "CANCELLED"
    again = shanghai.retire(holder, ten, cancellation=asked, **order)
    assert symbol(again) == "ALREADY_EXISTS", "an approval counts once"
    assert shanghai.held(holder) == [(10, 1000, 1)]


def test_of_a_thousand_attempts_on_one_block_exactly_one_wins(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.on_lock = bridge.hold
    bridge.on_use = bridge.hold
    holder, _, address = ready_to_send(pair)
    other = shanghai.open_account("other")
    chosen = Selection(blocks=(block(0, 1000),))
    won: list[object] = []
    refused: list[str] = []

    def attempt(number: int) -> None:
        for at in range(50):
            kind = (number + at) % 3
            if kind == 0:
                answer = shanghai.transfer(holder, address, chosen)
            elif kind == 1:
                answer = shanghai.move(holder, other.account_id, chosen)
            else:
                answer = shanghai.retire(holder, chosen)
            if isinstance(answer, DomainError):
                refused.append(answer.symbol)
            else:
                won.append(answer)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(refused) == 999
    assert set(refused) <= {"UNIT_LOCKED", "NOT_HELD"}
