"""The journal and its feed: dense, in order, resumable at every message, at least once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tanqiao.api.region.v1 import journal_pb2, journal_pb2_grpc
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.commands import Selection
from tanqiao_region.server.journal_servicers import WATCHERS_MAX
from tests.contract.region.harness import CENTRE, Node, block

OPERATOR = CENTRE.party


@pytest.fixture
def channel(node: Node, network: NetworkOfTest) -> Iterator[grpc.Channel]:
    """A channel of an operator to a node that serves and dials nobody."""
    node.region.server.start()
    with open_channel(node.region.server.address, network.network.tls(OPERATOR)) as opened:
        yield opened


def history(node: Node, moves: int = 12) -> tuple[str, str]:
    """Make entries of two accounts."""
    giver, taker = node.open_account("a"), node.open_account("b")
    node.give(giver.account_id, block(0, 1000))
    for _ in range(moves):
        node.move(giver.account_id, taker.account_id, Selection(quantity_kg=1))
    return giver.account_id, taker.account_id


def watch(channel: grpc.Channel, from_index: int, **chosen: Any) -> Any:
    stub = journal_pb2_grpc.JournalServiceStub(channel)
    request = journal_pb2.WatchJournalRequest(
        from_index=from_index, filter=journal_pb2.JournalFilter(**chosen)
    )
    return stub.WatchJournal(request, timeout=60)


def read_up_to(call: Any, index: int) -> list[Any]:
    """Read a feed until it is complete up to an index; entries in order, without a gap or a repetition."""
    entries: list[Any] = []
    for response in call:
        entries += response.entries
        if response.up_to_index >= index:
            break
    call.cancel()
    return entries


def test_the_journal_is_dense_and_says_under_which_rules_it_was_written(
    node: Node, channel: grpc.Channel
) -> None:
    history(node)
    stub = journal_pb2_grpc.JournalServiceStub(channel)
    answer = stub.ListJournal(journal_pb2.ListJournalRequest(page_size=500))
    assert [entry.journal_index for entry in answer.entries] == list(range(1, answer.journal_size + 1))
    moved = [e for e in answer.entries if e.kind == journal_pb2.JOURNAL_EVENT_KIND_UNITS_TRANSFERRED]
    assert len(moved) == 12
    assert all(entry.rule_pack_id == "sh-draft" and len(entry.rule_pack_digest) == 32 for entry in moved)
    assert all("SH-18" in entry.rule_ids for entry in moved)
    assert (moved[0].legal_date.year, moved[0].legal_date.month, moved[0].legal_date.day) == (2026, 3, 2)


def test_a_feed_that_is_cut_at_every_message_gives_everything_exactly_in_order(
    node: Node, channel: grpc.Channel
) -> None:
    history(node)
    size = node.queries.status().journal_size
    whole = read_up_to(watch(channel, 1), size)
    assert [entry.journal_index for entry in whole] == list(range(1, size + 1))
    for cut in range(1, size + 1):
        rest = read_up_to(watch(channel, cut + 1), size) if cut < size else []
        joined = [*whole[:cut], *rest]
        assert [entry.SerializeToString() for entry in joined] == [e.SerializeToString() for e in whole]


def test_new_entries_are_pushed_to_whoever_watches(node: Node, channel: grpc.Channel) -> None:
    giver, taker = history(node, moves=1)
    size = node.queries.status().journal_size
    call = watch(channel, size + 1)
    node.move(giver, taker, Selection(quantity_kg=5))
    entries = read_up_to(call, size + 1)
    assert [entry.journal_index for entry in entries] == [size + 1]
    assert entries[0].effects[0].removed[0].end_serial == 6


def test_a_filter_by_account_and_kind_leaves_the_others_out_and_says_how_far_it_is_complete(
    node: Node, channel: grpc.Channel
) -> None:
    giver, taker = history(node)
    stranger = node.open_account("c")
    size = node.queries.status().journal_size
    mine = read_up_to(watch(channel, 1, account_ids=[taker]), size)
    assert {entry.kind for entry in mine} == {
        journal_pb2.JOURNAL_EVENT_KIND_ACCOUNT_OPENED,
        journal_pb2.JOURNAL_EVENT_KIND_UNITS_TRANSFERRED,
    }
    assert len(mine) == 13
    kinds = [journal_pb2.JOURNAL_EVENT_KIND_UNITS_ISSUED]
    assert len(read_up_to(watch(channel, 1, account_ids=[giver, taker], kinds=kinds), size)) == 1
    assert read_up_to(watch(channel, 1, account_ids=[stranger.account_id], kinds=kinds), size) == []


def test_a_mirror_made_from_the_feed_alone_holds_what_the_node_holds(
    node: Node, channel: grpc.Channel
) -> None:
    giver, taker = history(node)
    size = node.queries.status().journal_size
    held: dict[str, int] = {}
    for entry in read_up_to(watch(channel, 1), size):
        for effect in entry.effects:
            change = sum(b.end_serial - b.start_serial for b in effect.added)
            change -= sum(b.end_serial - b.start_serial for b in effect.removed)
            held[effect.account_id] = held.get(effect.account_id, 0) + change
    for account_id in (giver, taker):
        assert held[account_id] == node.queries.balance(account_id, CENTRE).held_kg


@pytest.mark.parametrize(
    ("request_", "symbol"),
    [
        (journal_pb2.WatchJournalRequest(from_index=-1), "FIELD_INVALID"),
        (
            journal_pb2.WatchJournalRequest(
                filter=journal_pb2.JournalFilter(kinds=[journal_pb2.JOURNAL_EVENT_KIND_UNSPECIFIED])
            ),
            "FIELD_MISSING",
        ),
        (
            journal_pb2.WatchJournalRequest(filter=journal_pb2.JournalFilter(account_ids=["A"] * 1001)),
            "BATCH_TOO_LARGE",
        ),
    ],
)
def test_a_feed_that_cannot_be_is_refused(
    channel: grpc.Channel, request_: journal_pb2.WatchJournalRequest, symbol: str
) -> None:
    stub = journal_pb2_grpc.JournalServiceStub(channel)
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.WatchJournal(request_, timeout=60))
    assert from_rpc_error(refused.value).symbol == symbol


def test_watchers_are_bounded_and_their_places_are_given_back(node: Node, channel: grpc.Channel) -> None:
    history(node, moves=0)
    calls = [watch(channel, 1) for _ in range(WATCHERS_MAX)]
    for call in calls:
        next(iter(call))
    with pytest.raises(grpc.RpcError) as refused:
        next(iter(watch(channel, 1)))
    assert from_rpc_error(refused.value).symbol == "QUOTA_EXCEEDED"
    for call in calls:
        call.cancel()
    node.open_account("one more entry")
    for _ in range(100):
        try:
            next(iter(watch(channel, 1)))
        except grpc.RpcError:
            continue
        return
    pytest.fail("no place was given back")


def test_a_stranger_may_not_watch(node: Node, network: NetworkOfTest) -> None:
    node.region.server.start()
    tls = network.network.tls("region/440300")
    with open_channel(node.region.server.address, tls) as opened, pytest.raises(grpc.RpcError) as refused:
        next(iter(watch(opened, 1)))
    assert from_rpc_error(refused.value).symbol == "CALLER_NOT_PERMITTED"
