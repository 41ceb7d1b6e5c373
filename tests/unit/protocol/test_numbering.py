from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.protocol.numbering import (
    InboxState,
    OutboxState,
    check_session,
    next_numbers,
    on_acknowledge,
    on_hello,
    on_numbered,
)

MESSAGES_MAX = 20


@given(st.lists(st.tuples(st.integers(1, MESSAGES_MAX), st.integers(0, 6)), max_size=60))
def test_whatever_is_sent_again_or_skipped_each_number_is_taken_once_and_in_order(
    batches: list[tuple[int, int]],
) -> None:
    inbox = InboxState()
    taken: list[int] = []
    for first_number, count in batches:
        arrival = on_numbered(inbox, 1, first_number, count)
        if arrival.refusal is not None:
            assert arrival.refusal.symbol == "SEQUENCE_GAP"
            assert arrival.inbox == inbox
            assert first_number > inbox.received_number + 1
            continue
        assert arrival.known + arrival.fresh == count
        taken += range(first_number + arrival.known, first_number + arrival.known + arrival.fresh)
        inbox = arrival.inbox
    assert taken == list(range(1, inbox.received_number + 1))


def test_a_newer_incarnation_starts_again_at_one_and_the_older_is_stale() -> None:
    inbox = InboxState(1, 50)
    assert on_numbered(inbox, 2, 1, 3).inbox == InboxState(2, 3)
    gap = on_numbered(inbox, 2, 51, 1)
    assert gap.refusal is not None
    assert gap.refusal.metadata["expected"] == "1"
    stale = on_numbered(InboxState(2, 3), 1, 51, 1)
    assert stale.refusal is not None
    assert stale.refusal.symbol == "INCARNATION_STALE"
    assert stale.inbox == InboxState(2, 3)


def test_numbers_below_one_break_an_invariant() -> None:
    with pytest.raises(InvariantBroken):
        on_numbered(InboxState(), 1, 0, 1)


def test_numbers_are_dense_and_acknowledgements_only_grow() -> None:
    outbox, first = next_numbers(OutboxState(3), 4)
    assert (first, outbox.last_number) == (1, 4)
    outbox, first = next_numbers(outbox, 1)
    assert first == 5
    outbox = on_acknowledge(outbox, 3, 3)
    assert outbox.acknowledged_number == 3
    assert on_acknowledge(outbox, 3, 2) is outbox
    assert on_acknowledge(outbox, 2, 5) is outbox
    assert on_acknowledge(outbox, 3, 6) is outbox


def test_a_hello_tells_where_to_go_on_and_who_was_restored() -> None:
    outbox = OutboxState(3, 10, 4)
    assert on_hello(outbox, 3, 7).send_from == 8
    assert on_hello(outbox, 3, 7).outbox == OutboxState(3, 10, 7)
    assert on_hello(outbox, 3, 3).outbox == outbox
    assert not on_hello(outbox, 3, 10).sender_lost_numbers
    assert on_hello(outbox, 3, 11).sender_lost_numbers
    assert on_hello(outbox, 4, 0).sender_lost_numbers
    fresh = on_hello(outbox, 2, 99)
    assert (fresh.send_from, fresh.sender_lost_numbers) == (1, False)


def test_the_newest_session_fences_the_older() -> None:
    assert check_session(5, 6) is None
    for offered in (5, 4):
        refused = check_session(5, offered)
        assert refused is not None
        assert refused.symbol == "SESSION_FENCED"
