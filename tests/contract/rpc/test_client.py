"""The SDK against a real server: refusals as errors, deadlines, and repeats that have one effect."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import grpc
import pytest

from tanqiao.api.bridge.v1 import sync_pb2
from tanqiao.api.common.v1 import clock_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2
from tanqiao.client import BridgeClient, CallPolicy, Federation, GatewayClient, RegionClient
from tanqiao.kernel.errors import DomainError, require
from tanqiao.rpc.server import Server
from tanqiao.testing.network import SHANGHAI, SHANGHAI_CENTRE, NetworkOfTest
from tests.contract.rpc.toys import Toy, serve

REQUEST: Final = accounts_pb2.OpenAccountRequest(request_id="r-1")


@pytest.fixture
def client(net: NetworkOfTest, server: Server) -> Iterator[RegionClient]:
    policy = CallPolicy(call_seconds=5, attempts_max=4)
    with RegionClient(SHANGHAI, server.address, net.network.tls(SHANGHAI_CENTRE), policy=policy) as opened:
        yield opened


def failing(symbol: str, times: int) -> Callable[[], None]:
    """Give a behaviour that refuses a number of times and then serves."""
    left = [times]

    def behave() -> None:
        if left[0] > 0:
            left[0] -= 1
            raise DomainError(symbol, **({"correlation_id": "x"} if symbol == "INTERNAL" else {}))

    return behave


def test_a_call_is_answered(client: RegionClient) -> None:
    assert client.clock.GetClock(clock_pb2.GetClockRequest()).network_id == "test-local"
    assert client.is_serving()


def test_a_refusal_is_raised_as_the_error_that_it_was(client: RegionClient, toy: Toy) -> None:
    toy.behaviour = failing("ACCOUNT_CLOSED", 1)
    with pytest.raises(DomainError) as refusal:
        client.accounts.OpenAccount(REQUEST)
    assert refusal.value.symbol == "ACCOUNT_CLOSED"
    assert len(toy.callers) == 1


@pytest.mark.parametrize("symbol", ["BUSY", "SERVER_STOPPING", "CONCURRENT_CHANGE", "INTERNAL"])
def test_a_transient_refusal_is_tried_again_with_the_same_bytes(
    client: RegionClient, toy: Toy, symbol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tanqiao.client.calls.DELAY_SECONDS_MAX", 0.01)
    toy.behaviour = failing(symbol, 3)
    client.accounts.OpenAccount(REQUEST)
    assert len(toy.callers) == 4


def test_repeats_are_bounded(client: RegionClient, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tanqiao.client.calls.DELAY_SECONDS_MAX", 0.01)
    toy.behaviour = failing("BUSY", 1000)
    with pytest.raises(DomainError) as refusal:
        client.accounts.OpenAccount(REQUEST)
    assert refusal.value.symbol == "BUSY"
    assert len(toy.callers) == 4


def test_a_request_without_an_id_is_sent_once(client: RegionClient, toy: Toy) -> None:
    toy.behaviour = failing("BUSY", 1)
    with pytest.raises(DomainError):
        client.accounts.OpenAccount(accounts_pb2.OpenAccountRequest())
    toy.behaviour = failing("BUSY", 1)
    with pytest.raises(DomainError):
        client.clock.AdvanceTestClock(clock_pb2.AdvanceTestClockRequest())
    assert len(toy.callers) == 2


def test_a_call_ends_with_its_deadline(net: NetworkOfTest, server: Server, toy: Toy) -> None:
    release = threading.Event()
    toy.behaviour = lambda: require(release.wait(10), "the test releases the call")
    policy = CallPolicy(call_seconds=0.3)
    with RegionClient(SHANGHAI, server.address, net.network.tls(SHANGHAI_CENTRE), policy=policy) as client:
        started = time.monotonic()
        with pytest.raises(DomainError) as refusal:
            client.accounts.OpenAccount(REQUEST)
        assert time.monotonic() - started < 2
    release.set()
    assert refusal.value.symbol == "DEADLINE_EXCEEDED"


def test_repeats_end_with_the_deadline_of_the_first(net: NetworkOfTest, server: Server, toy: Toy) -> None:
    toy.behaviour = failing("SERVER_STOPPING", 1000)
    policy = CallPolicy(call_seconds=1.5, attempts_max=100)
    with RegionClient(SHANGHAI, server.address, net.network.tls(SHANGHAI_CENTRE), policy=policy) as client:
        started = time.monotonic()
        with pytest.raises(DomainError) as refusal:
            client.accounts.OpenAccount(REQUEST)
        assert time.monotonic() - started < 1.5
    assert refusal.value.symbol == "SERVER_STOPPING"
    assert 1 <= len(toy.callers) <= 3


def test_a_server_that_comes_back_is_found_by_the_same_client(net: NetworkOfTest, toy: Toy) -> None:
    first = serve(net, toy)
    first.start()
    address = first.address
    with RegionClient(SHANGHAI, address, net.network.tls(SHANGHAI_CENTRE)) as client:
        client.accounts.OpenAccount(REQUEST)
        first.stop(0)
        assert not client.is_serving(0.5)
        second = serve(net, toy, address)
        starter = threading.Timer(0.4, second.start)
        starter.start()
        try:
            client.accounts.OpenAccount(REQUEST)
        finally:
            starter.join()
            second.stop(0)
    assert len(toy.callers) == 2


def test_a_server_that_is_not_there_is_one_sentence(net: NetworkOfTest) -> None:
    policy = CallPolicy(call_seconds=1, attempts_max=1)
    with RegionClient(SHANGHAI, "127.0.0.1:9", net.network.tls(SHANGHAI_CENTRE), policy=policy) as client:
        with pytest.raises(DomainError) as refusal:
            client.clock.GetClock(clock_pb2.GetClockRequest())
        assert not client.is_serving(0.2)
    assert (
        refusal.value.sentence("en")
        == "region/310000 cannot be reached at 127.0.0.1:9: nothing listens there."
    )


def test_a_stream_raises_the_refusal_that_ends_it(client: RegionClient, toy: Toy) -> None:
    toy.behaviour = failing("SESSION_FENCED", 1)
    with pytest.raises(DomainError) as refusal:
        list(client.journal.WatchJournal(journal_pb2.WatchJournalRequest()))
    assert refusal.value.symbol == "SESSION_FENCED"
    assert len(list(client.journal.WatchJournal(journal_pb2.WatchJournalRequest()))) == 4


def test_a_stream_can_be_ended_by_the_caller(client: RegionClient) -> None:
    stream = client.journal.WatchJournal(journal_pb2.WatchJournalRequest())
    next(stream)
    stream.cancel()
    with pytest.raises(DomainError) as refusal:
        list(stream)
    assert refusal.value.symbol == "CALL_CANCELLED"


def test_an_upload_is_sent_once(net: NetworkOfTest, server: Server, toy: Toy) -> None:
    toy.behaviour = failing("BUSY", 1)
    with GatewayClient("gateway/ccer", server.address, net.network.tls(SHANGHAI_CENTRE)) as client:
        parts = [registry_pb2.ImportListRequest(chunk=b"x")] * 3
        with pytest.raises(DomainError) as refusal:
            client.registry.ImportList(iter(parts))
        assert refusal.value.symbol == "BUSY"
        assert client.registry.ImportList(iter(parts)).list_import.row_count == 3
    assert len(toy.callers) == 2


def test_a_stream_in_both_directions_carries_frames(net: NetworkOfTest, server: Server) -> None:
    with BridgeClient("bridge", server.address, net.network.tls(SHANGHAI)) as client:
        frames = [sync_pb2.ConnectRequest(acknowledge=sync_pb2.Acknowledge(up_to_number=4))]
        assert [frame.acknowledge.up_to_number for frame in client.sync.Connect(iter(frames))] == [4]


def test_a_federation_opens_each_client_once_and_closes_them(net: NetworkOfTest, server: Server) -> None:
    addresses = dict.fromkeys(("bridge", SHANGHAI, "gateway/ccer"), server.address)
    with Federation(addresses, net.network.tls(SHANGHAI_CENTRE)) as federation:
        assert federation.parties == ("bridge", SHANGHAI, "gateway/ccer")
        assert federation.region("310000") is federation.region("310000") is federation.server(SHANGHAI)
        assert isinstance(federation.bridge, BridgeClient)
        assert federation.server("bridge") is federation.bridge
        assert federation.gateway("ccer") is federation.server("gateway/ccer")
        clients = [federation.server(party) for party in federation.parties]
        assert all(client.is_serving() for client in clients)
        with pytest.raises(DomainError) as refusal:
            federation.region("440300")
        assert refusal.value.symbol == "NOT_FOUND"
    with pytest.raises(DomainError) as refusal:
        clients[0].clock.GetClock(clock_pb2.GetClockRequest())
    assert refusal.value.symbol == "CALL_CANCELLED"


def test_thirty_two_callers_at_once_are_served(client: RegionClient, toy: Toy) -> None:
    failures: list[BaseException] = []

    def call() -> None:
        try:
            for _ in range(20):
                client.clock.GetClock(clock_pb2.GetClockRequest())
        except (DomainError, grpc.RpcError) as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(toy.callers) == 640


def test_a_client_that_is_closed_ends_the_calls_of_other_threads(net: NetworkOfTest, server: Server) -> None:
    client = RegionClient(SHANGHAI, server.address, net.network.tls(SHANGHAI_CENTRE))
    ended: list[str] = []

    def call() -> None:
        try:
            while True:
                client.clock.GetClock(clock_pb2.GetClockRequest())
        except DomainError as refusal:
            ended.append(refusal.symbol)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    client.close()
    for thread in threads:
        thread.join(60)
    assert ended == ["CALL_CANCELLED"] * 8
