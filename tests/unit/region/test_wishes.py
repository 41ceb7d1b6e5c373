"""What a bridge may ask of a session is bounded; at each bound nothing is lost that is undecided."""

from __future__ import annotations

import threading

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao_region.server import wishes
from tanqiao_region.server.wishes import IDS_PER_FRAME_MAX, WISHES_MAX, WishList

SOURCE = "region/310000"


def ids(first: int, count: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(first, first + count)]


@pytest.fixture
def wish_list() -> WishList:
    made = WishList()
    first = made.take(0)
    assert first is not None
    assert first.everything, "a new session offers everything"
    return made


def test_prepares_beyond_the_bound_wait_for_the_sender_and_end_the_session_if_it_takes_nothing(
    wish_list: WishList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wishes, "ROOM_SECONDS_MAX", 60.0)
    for at in range(0, WISHES_MAX, IDS_PER_FRAME_MAX):
        wish_list.return_prepares(SOURCE, ids(at, IDS_PER_FRAME_MAX))
    waiting = threading.Thread(target=wish_list.return_prepares, args=(SOURCE, ids(WISHES_MAX, 1)))
    waiting.start()
    taken = wish_list.take(0)
    waiting.join(60)
    assert not waiting.is_alive(), "an honest bridge goes on as soon as the sender has taken what it wants"
    rest = wish_list.take(0)
    assert taken is not None
    assert rest is not None
    assert [one.transfer_id for one in taken.prepares | rest.prepares] == ids(0, WISHES_MAX + 1)
    monkeypatch.setattr(wishes, "ROOM_SECONDS_MAX", 0.01)
    for at in range(0, WISHES_MAX, IDS_PER_FRAME_MAX):
        wish_list.return_prepares(SOURCE, ids(at, IDS_PER_FRAME_MAX))
    with pytest.raises(DomainError) as caught:
        wish_list.return_prepares(SOURCE, ids(WISHES_MAX, 1))
    assert caught.value.symbol == "WISHES_EXCEEDED"


def test_the_same_wish_is_one_and_what_is_no_id_is_none(wish_list: WishList) -> None:
    for _ in range(100):
        wish_list.return_prepares(SOURCE, [*ids(1, 3), b"", b"x" * 1_000])
        wish_list.offer_later([*ids(7, 2), b"x"], 0)
    taken = wish_list.take(10)
    assert taken is not None
    assert len(taken.prepares) == 3
    later = taken.due or wish_list.take(10).due  # type: ignore[union-attr]
    assert sorted(later) == ids(7, 2)


def test_a_frame_that_asks_for_more_than_any_frame_offered_ends_the_session(wish_list: WishList) -> None:
    with pytest.raises(DomainError) as prepares:
        wish_list.return_prepares(SOURCE, ids(0, IDS_PER_FRAME_MAX + 1))
    with pytest.raises(DomainError) as offers:
        wish_list.offer_later(ids(0, IDS_PER_FRAME_MAX + 1), 10)
    assert prepares.value.symbol == offers.value.symbol == "WISHES_EXCEEDED"


def test_beyond_the_bound_everything_is_offered_again(
    wish_list: WishList, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [TransferKey(SOURCE, one) for one in ids(0, WISHES_MAX + 1)]
    wish_list.ask(lambda one: one.stored.update(dict.fromkeys(keys)))
    taken = wish_list.take(0)
    assert taken is not None
    assert (taken.everything, taken.stored) == (True, {})
    monkeypatch.setattr(wishes, "EVERYTHING_SECONDS", 0.01)
    for at in range(0, WISHES_MAX + 1, IDS_PER_FRAME_MAX):
        wish_list.offer_later(ids(at, IDS_PER_FRAME_MAX), 30_000)
    taken = wish_list.take(60)
    assert taken is not None
    assert (taken.everything, taken.due) == (True, [])


def test_who_waits_is_let_go_when_the_session_ends(wish_list: WishList) -> None:
    for at in range(0, WISHES_MAX, IDS_PER_FRAME_MAX):
        wish_list.return_prepares(SOURCE, ids(at, IDS_PER_FRAME_MAX))
    waiting = threading.Thread(target=wish_list.return_prepares, args=(SOURCE, ids(WISHES_MAX, 1)))
    waiting.start()
    wish_list.close()
    waiting.join(60)
    assert not waiting.is_alive()
    assert wish_list.take(60) is None


def test_numbered_messages_wait_a_moment_for_each_other_and_are_told_once(
    wish_list: WishList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wishes, "NUMBERED_SECONDS", 60.0)
    wish_list.send_numbered()
    taken = wish_list.take(0)
    assert taken is not None
    assert taken.is_empty(), "others may come meanwhile"
    monkeypatch.setattr(wishes, "NUMBERED_SECONDS", 0.0)
    wish_list.send_numbered()
    assert wish_list.take(0).is_empty(), "the first one's time counts"  # type: ignore[union-attr]
    wish_list.ask(lambda wished: setattr(wished, "everything", True))
    first = wish_list.take(60)
    assert first is not None
    assert first.everything, "what is urgent does not wait for them"


def test_numbered_messages_are_sent_when_their_moment_has_passed(
    wish_list: WishList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wishes, "NUMBERED_SECONDS", 0.01)
    for _ in range(2):
        wish_list.send_numbered()
        taken = wish_list.take(60)
        assert taken is not None
        assert taken.numbered
