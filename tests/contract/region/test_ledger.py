"""Accounts, holdings and moves inside the region, on both databases."""

from __future__ import annotations

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao_region.application.commands import By, Selection
from tests.contract.region.harness import EXCHANGE, Node, block, request

TON = 1000


def symbol(answer: object) -> str:
    assert isinstance(answer, DomainError), answer
    return answer.symbol


def test_units_move_lowest_serials_first_and_adjacent_pieces_become_one(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 3 * TON), block(5 * TON, 6 * TON))
    moved = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=2 * TON))
    assert moved.blocks == (block(0, 2 * TON),)
    assert node.held(giver.account_id) == [(2 * TON, 3 * TON, 1), (5 * TON, 6 * TON, 1)]
    node.move(giver.account_id, taker.account_id, Selection(quantity_kg=1500))
    assert node.held(taker.account_id) == [(0, 3 * TON, 1), (5 * TON, 5500, 1)]
    assert node.held(giver.account_id) == [(5500, 6 * TON, 1)]


def test_an_exact_block_is_taken_out_of_the_middle(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 100))
    moved = node.move(giver.account_id, taker.account_id, Selection(blocks=(block(40, 60),)))
    assert moved.blocks == (block(40, 60),)
    assert node.held(giver.account_id) == [(0, 40, 1), (60, 100, 1)]


def test_what_is_not_held_is_refused_with_its_reason_and_ranges(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 100))
    answer = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=101))
    assert symbol(answer) == "UNITS_INSUFFICIENT"
    assert (answer.metadata["available_kg"], answer.metadata["asked_kg"]) == ("100", "101")
    answer = node.move(giver.account_id, taker.account_id, Selection(blocks=(block(90, 110),)))
    assert symbol(answer) == "NOT_HELD"
    assert answer.blocks == (block(100, 110),)
    assert (
        symbol(node.move(taker.account_id, giver.account_id, Selection(blocks=(block(0, 1),)))) == "NOT_HELD"
    )
    assert node.held(giver.account_id) == [(0, 100, 1)]


def test_unknown_closed_and_equal_accounts_are_refused(node: Node) -> None:
    giver, taker, closed = (node.open_account(name) for name in "abc")
    node.give(giver.account_id, block(0, 100))
    one = Selection(quantity_kg=1)
    assert symbol(node.move("Anobody", taker.account_id, one)) == "ACCOUNT_UNKNOWN"
    assert symbol(node.move(giver.account_id, "Anobody", one)) == "ACCOUNT_UNKNOWN"
    assert symbol(node.move(giver.account_id, giver.account_id, one)) == "FIELD_INVALID"
    node.orders.close_account(request(), CLOSER, closed.account_id)
    assert symbol(node.move(giver.account_id, closed.account_id, one)) == "ACCOUNT_CLOSED"


CLOSER = By("operator/310000/sh.centre", "sh.centre")


def test_a_role_that_the_pack_does_not_name_is_refused_before_the_balance_is_told(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    by = By("operator/310000/sh.district_bureau", "sh.district_bureau")
    answer = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=5), by=by)
    assert symbol(answer) == "ROLE_NOT_PERMITTED"
    assert answer.article


def test_a_trade_is_settled_by_the_exchange_alone(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 100))
    by = By("operator/310000/sh.holder", "sh.holder")
    order = {"settlement_reference": "T-1"}
    answer = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=5), by=by, **order)
    assert symbol(answer) == "ROLE_NOT_PERMITTED"
    assert node.move(giver.account_id, taker.account_id, Selection(quantity_kg=5), **order).journal_index > 0


def test_the_same_request_gives_the_first_answer_and_another_body_is_refused(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 100))
    first = request(EXCHANGE, body=1)
    again = type(first)(first.caller, first.request_id, first.body_hash)
    other = type(first)(first.caller, first.request_id, b"other".ljust(32))
    one = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=5), request=first)
    assert node.move(giver.account_id, taker.account_id, Selection(quantity_kg=5), request=again) == one
    refused = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=6), request=other)
    assert symbol(refused) == "REQUEST_ID_REUSED"
    assert node.held(giver.account_id) == [(5, 100, 1)]


def test_a_refused_request_may_succeed_later_under_the_same_id(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    first = request(EXCHANGE, body=1)
    selection = Selection(quantity_kg=5)
    assert (
        symbol(node.move(giver.account_id, taker.account_id, selection, request=first))
        == "UNITS_INSUFFICIENT"
    )
    node.give(giver.account_id, block(0, 100))
    assert node.move(giver.account_id, taker.account_id, selection, request=first).blocks == (block(0, 5),)


def test_validate_only_writes_nothing(node: Node) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 100))
    size = node.queries.status().journal_size
    moved = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=5), validate_only=True)
    assert (moved.blocks, moved.journal_index) == ((block(0, 5),), 0)
    assert node.queries.status().journal_size == size
    assert node.held(giver.account_id) == [(0, 100, 1)]


def test_a_clock_behind_the_journal_refuses_orders(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 100))
    clock = node.context.clock
    earlier = clock.now().replace(year=2025)
    monkeypatch.setattr(clock, "now", lambda: earlier)
    answer = node.move(giver.account_id, taker.account_id, Selection(quantity_kg=5))
    assert symbol(answer) == "CLOCK_SET_BACK"


def test_an_account_with_units_cannot_close_and_an_empty_one_can(node: Node) -> None:
    account = node.open_account("a")
    node.give(account.account_id, UnitBlock("310000:SHCER:PV-1:2026:1", 0, 5))
    with pytest.raises(DomainError) as refusal:
        node.orders.close_account(request(), CLOSER, account.account_id)
    assert refusal.value.symbol == "STATE_NOT_ALLOWED"
    other = node.open_account("b")
    node.move(account.account_id, other.account_id, Selection(quantity_kg=5))
    assert not node.orders.close_account(request(), CLOSER, account.account_id).is_open
