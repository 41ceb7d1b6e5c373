"""The change feed: cut at every message and taken up again.

Nothing is lost and all is in order, on both databases.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, journal_pb2_grpc
from tanqiao.client.serial_map import SerialMap
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.commands import Selection
from tanqiao_region.server.journal_servicers import ENTRIES_PER_PUSH_MAX, WATCHERS_MAX
from tests.contract.region.conftest import MakeNode, stop
from tests.contract.region.harness import Node, block
from tests.contract.region.served import REGION, Served, full_network
from tests.contract.region.world import import_parts
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import PROJECT, Office

CUTS = 40
WATCHER = "reader/national"
PERSONS = 200
CALL_SECONDS = 120.0
STOP_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def served(make_node: MakeNode, network: NetworkOfTest) -> Iterator[Served]:
    """Shanghai, serving, without a bridge."""
    node = make_node()
    node.region.start()
    one = Served(network, node)
    yield one
    one.close()


def watch(served: Served, from_index: int, **chosen: Any) -> Any:
    """Open the feed."""
    stub = journal_pb2_grpc.JournalServiceStub(served.channel(WATCHER))
    request = journal_pb2.WatchJournalRequest(
        from_index=from_index, filter=journal_pb2.JournalFilter(**chosen)
    )
    return stub.WatchJournal(request, timeout=CALL_SECONDS)


def whole_journal(served: Served) -> list[Any]:
    """Read the journal by pages."""
    entries: list[Any] = []
    while True:
        request = journal_pb2.ListJournalRequest(from_index=len(entries) + 1, page_size=1000)
        page = served.call(f"{REGION}JournalService/ListJournal", request, WATCHER)
        entries += page.entries
        if len(entries) >= page.journal_size:
            return entries


def furnished(node: Node) -> tuple[str, str]:
    """Open two accounts, the first with units."""
    giver, taker = (node.open_account(name).account_id for name in ("虚构甲", "虚构乙"))
    node.give(giver, block(0, 1_000_000))
    return giver, taker


def test_cut_at_every_message_the_feed_loses_nothing_and_keeps_its_order(served: Served) -> None:
    giver, taker = furnished(served.node)
    seen: list[Any] = []
    position = 0
    for number in range(CUTS):
        moved = served.node.move(giver, taker, Selection(quantity_kg=1))
        # Every third cut comes before the message was worked off: the same entries come again.
        for is_lost in (True, False) if number % 3 == 0 else (False,):
            feed = watch(served, position + 1)
            response = next(feed)
            feed.cancel()
            assert response.entries[0].journal_index == position + 1
            assert response.up_to_index == moved.journal_index
            if not is_lost:
                seen += response.entries
                position = response.up_to_index
    assert [entry.journal_index for entry in seen] == list(range(1, len(seen) + 1))
    assert seen == whole_journal(served)


def test_a_long_journal_comes_in_pieces_and_may_be_cut_between_any_two(served: Served) -> None:
    giver, taker = furnished(served.node)
    for _ in range(3):
        served.node.run(
            lambda group: [
                group.journal.append(9, giver, (), details={"number": str(number)})
                for number in range(ENTRIES_PER_PUSH_MAX - 7)
            ]
        )
    size = served.node.queries.status().journal_size
    indexes: list[int] = []
    messages = 0
    while len(indexes) < size:
        feed = watch(served, len(indexes) + 1)
        response = next(feed)
        feed.cancel()
        assert len(response.entries) <= ENTRIES_PER_PUSH_MAX
        indexes += [entry.journal_index for entry in response.entries]
        messages += 1
    assert indexes == list(range(1, size + 1))
    assert messages == -(-size // ENTRIES_PER_PUSH_MAX)
    del taker


def test_a_filter_leaves_out_and_says_how_far_it_is_complete(served: Served) -> None:
    giver, taker = furnished(served.node)
    other, third = (served.node.open_account(name).account_id for name in ("虚构丙", "虚构丁"))
    for number in range(12):
        served.node.move(giver, (taker, other, third)[number % 3], Selection(quantity_kg=2))
    journal = whole_journal(served)
    choices: tuple[dict[str, Any], ...] = (
        {"account_ids": [other]},
        {"account_ids": [taker, third]},
        {"kinds": [journal_pb2.JOURNAL_EVENT_KIND_ACCOUNT_OPENED]},
        {"account_ids": [other], "kinds": [journal_pb2.JOURNAL_EVENT_KIND_UNITS_TRANSFERRED]},
        {"account_ids": ["Anobody"]},
    )
    for chosen in choices:
        feed = watch(served, 1, **chosen)
        response = next(feed)
        wanted = [
            entry
            for entry in journal
            if (
                not chosen.get("account_ids")
                or {effect.account_id for effect in entry.effects} & set(chosen["account_ids"])
            )
            and (not chosen.get("kinds") or entry.kind in chosen["kinds"])
        ]
        assert list(response.entries) == wanted
        assert response.up_to_index == journal[-1].journal_index
        feed.cancel()
    # Taken up behind what is complete, nothing comes until something happens that is asked for.
    feed = watch(served, journal[-1].journal_index + 1, account_ids=[other])
    served.node.move(giver, taker, Selection(quantity_kg=1))
    last = served.node.move(giver, other, Selection(quantity_kg=1))
    entries: list[Any] = []
    while not entries:
        entries += next(feed).entries
    assert [entry.journal_index for entry in entries] == [last.journal_index]
    feed.cancel()


class Mirror(threading.Thread):
    """What a data platform keeps.

    The units of its accounts, from nothing but the feed, which it cuts all the time.
    """

    def __init__(self, served: Served, account_ids: list[str]) -> None:
        super().__init__(daemon=True)
        self._served = served
        self._account_ids = account_ids
        self.position = 0
        self.held: SerialMap[str] = SerialMap()
        self.stopping = threading.Event()
        self.changed = threading.Condition()

    def run(self) -> None:
        """Take one message, cut, take up again."""
        while not self.stopping.is_set():
            try:
                feed = watch(self._served, self.position + 1, account_ids=self._account_ids)
                response = next(feed)
                feed.cancel()
            except (grpc.RpcError, ValueError):  # the node restarts
                time.sleep(0.05)
                continue
            with self.changed:
                for entry in response.entries:
                    self._apply(entry)
                self.position = response.up_to_index
                self.changed.notify_all()

    def _apply(self, entry: Any) -> None:
        for effect in entry.effects:
            if effect.account_id in self._account_ids:
                for one in effect.removed:
                    self.held.erase(block(one.start_serial, one.end_serial, one.series_id))
        for effect in entry.effects:
            if effect.account_id in self._account_ids:
                for one in effect.added:
                    self.held.paint(block(one.start_serial, one.end_serial, one.series_id), effect.account_id)

    def wait_for(self, index: int) -> None:
        """Wait until the mirror is complete up to an index."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.position >= index, CALL_SECONDS)

    def balances(self) -> dict[str, int]:
        """Give kilograms by account."""
        sums = dict.fromkeys(self._account_ids, 0)
        for piece, account_id in self.held:
            sums[account_id] += piece.quantity_kg
        return sums


def test_a_data_platform_opens_in_bulk_uploads_in_bulk_and_mirrors_its_accounts(
    make_node: MakeNode, network: NetworkOfTest
) -> None:
    bridge = ClaimBridge(network)
    node = make_node(bridge=bridge.start())
    node.region.start()
    served = Served(network, node)
    try:
        platform = node.open_account("虚构平台 invented platform", kind=6).account_id
        opening = accounts_pb2.BatchOpenAccountsRequest(
            requests=[
                accounts_pb2.OpenAccountRequest(
                    request_id=f"person-{number}",
                    kind=accounts_pb2.ACCOUNT_KIND_PERSON,
                    operator_account_id=platform,
                    operator_reference=f"user-{number}",
                )
                for number in range(PERSONS)
            ]
        )
        method = f"{REGION}AccountService/BatchOpenAccounts"
        opened = served.call(method, opening, "sh.centre")
        assert [status.code for status in opened.statuses] == [0] * PERSONS
        persons = [account.account_id for account in opened.accounts]
        again = served.call(method, opening, "sh.centre")
        assert [account.account_id for account in again.accounts] == persons
        mirror = Mirror(served, persons)
        mirror.start()
        giver = node.open_account("虚构 invented").account_id
        node.give(giver, block(0, 1_000_000))
        for number in range(60):
            node.move(giver, persons[number % 7], Selection(quantity_kg=10 + number))
        for number in range(20):
            node.move(persons[number % 7], persons[(number + 1) % 7], Selection(quantity_kg=number + 1))
        last = node.queries.status().journal_size
        mirror.wait_for(last)
        mirror.stopping.set()
        for account_id, quantity_kg in mirror.balances().items():
            asked = accounts_pb2.GetBalanceRequest(account_id=account_id)
            balance = served.call(f"{REGION}AccountService/GetBalance", asked, "sh.centre")
            assert balance.held_kg == quantity_kg, account_id
        Office(node, giver).published()
        rows = "".join(
            f"2025-{month:02d},{1000 + month},M-{meter}\n" for meter in range(50) for month in range(1, 13)
        )
        uploaded = served.call(
            f"{REGION}IssuanceService/ImportActivity",
            import_parts(b"period,on_grid_wh,meter\n" + rows.encode(), project_id=PROJECT),
            "sh.project_applicant",
        )
        assert (uploaded.row_count, uploaded.accepted_count, uploaded.committed) == (600, 600, True)
    finally:
        served.close()
        bridge.stop()


def test_a_watcher_takes_up_again_across_a_restart_of_the_node(
    make_node: MakeNode, network: NetworkOfTest
) -> None:
    node = make_node()
    node.region.start()
    giver, taker = furnished(node)
    served = Served(network, node)
    feed = watch(served, 1)
    seen = list(next(feed).entries)
    node.move(giver, taker, Selection(quantity_kg=1))
    stop(node)
    with pytest.raises((grpc.RpcError, StopIteration)):  # noqa: PT012 - it ends by the raise
        while True:
            seen += next(feed).entries
    served.close()
    second = make_node(database=node.under_test)
    second.region.start()
    served = Served(network, second)
    second.move(giver, taker, Selection(quantity_kg=1))
    feed = watch(served, len(seen) + 1)
    while len(seen) < second.queries.status().journal_size:
        seen += next(feed).entries
    feed.cancel()
    assert [entry.journal_index for entry in seen] == list(range(1, len(seen) + 1))
    assert seen == whole_journal(served)
    served.close()


@pytest.mark.long
def test_watchers_that_do_not_read_hold_nobody_up_and_too_many_are_refused(served: Served) -> None:
    giver, taker = furnished(served.node)
    # Entries of some size, so that what is pushed does not fit into a connection's window.
    served.node.run(
        lambda group: [
            group.journal.append(9, giver, (), details={"text": "虚构" * 200, "number": str(number)})
            for number in range(4 * ENTRIES_PER_PUSH_MAX)
        ]
    )
    alone = _seconds_of_moves(served.node, giver, taker)
    stalled = [watch(served, 1) for _ in range(WATCHERS_MAX - 1)]
    for feed in stalled:
        next(feed)
    # One that reads takes the last room: its first entries say that the server has let it in.
    reading = watch(served, served.node.queries.status().journal_size)
    assert next(reading).entries
    with pytest.raises(grpc.RpcError) as caught:
        next(watch(served, 1))
    assert from_rpc_error(caught.value).symbol == "QUOTA_EXCEEDED"
    beside = _seconds_of_moves(served.node, giver, taker)
    wanted = served.node.queries.status().journal_size
    while next(reading).up_to_index < wanted:
        pass
    print(f"100 moves: {alone:.2f} s alone, {beside:.2f} s beside {WATCHERS_MAX} watchers")
    for feed in (*stalled, reading):
        feed.cancel()
    until = time.monotonic() + CALL_SECONDS
    while True:  # the room of those who left is free again
        try:
            assert next(watch(served, 1)).entries
            break
        except grpc.RpcError:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_a_node_stops_though_watchers_do_not_read(make_node: MakeNode, network: NetworkOfTest) -> None:
    node = make_node()
    node.region.start()
    furnished(node)
    served = Served(network, node)
    feeds = [watch(served, 1) for _ in range(8)]
    for feed in feeds:
        next(feed)
    began = time.monotonic()
    stop(node)
    assert time.monotonic() - began < STOP_SECONDS_MAX
    served.close()


def _seconds_of_moves(node: Node, giver: str, taker: str) -> float:
    began = time.perf_counter()
    for _ in range(100):
        node.move(giver, taker, Selection(quantity_kg=1))
    return time.perf_counter() - began
