"""What a request must be before a servicer sees it, in all four kinds of calls."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, journal_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc import gate
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.server import TRANSPORT_BYTES_MAX, Server
from tanqiao.testing.network import SHANGHAI, NetworkOfTest
from tests.contract.rpc.toys import ACCOUNTS, CLOCK, JOURNAL, REGISTRY, SYNC, Toy

SECONDS = 50
UNKNOWN = b"\xf8\x3f\x01"


def refusal_of(error: grpc.RpcError) -> DomainError:
    return from_rpc_error(error)


def send(channel: grpc.Channel, method: str, data: bytes) -> bytes:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    return call(data, timeout=SECONDS)


def refused(channel: grpc.Channel, method: str, data: bytes) -> DomainError:
    with pytest.raises(grpc.RpcError) as error:
        send(channel, method, data)
    return refusal_of(error.value)


def test_a_plain_request_is_served(centre: grpc.Channel, toy: Toy) -> None:
    assert send(centre, f"{CLOCK}GetClock", b"")
    assert len(toy.callers) == 1


@pytest.mark.parametrize(
    ("data", "symbol", "field"),
    [
        (UNKNOWN, "UNKNOWN_FIELD", "#1023"),
        (b"\x08\x01", "UNKNOWN_FIELD", "#1"),
        (b"\x0a", "MESSAGE_MALFORMED", None),
        (b"\xff" * 20, "MESSAGE_MALFORMED", None),
    ],
)
def test_a_request_with_what_nobody_knows_does_not_reach_the_servicer(
    centre: grpc.Channel, toy: Toy, data: bytes, symbol: str, field: str | None
) -> None:
    refusal = refused(centre, f"{CLOCK}GetClock", data)
    assert refusal.symbol == symbol
    assert refusal.field == field
    assert not toy.callers


def test_an_unknown_enum_value_does_not_reach_the_servicer(centre: grpc.Channel, toy: Toy) -> None:
    request = accounts_pb2.OpenAccountRequest(kind=250)  # type: ignore[arg-type] # the point of the test
    refusal = refused(centre, f"{ACCOUNTS}OpenAccount", request.SerializeToString())
    assert refusal.symbol == "ENUM_UNKNOWN"
    assert refusal.field == "kind"
    assert refusal.metadata["value"] == "250"
    assert not toy.callers


def test_text_that_is_not_utf_8_does_not_reach_the_servicer(centre: grpc.Channel, toy: Toy) -> None:
    refusal = refused(centre, f"{ACCOUNTS}OpenAccount", b"\x0a\x02\xc3\x28")
    assert refusal.symbol == "MESSAGE_MALFORMED"
    assert not toy.callers


def test_a_request_above_the_bound_is_refused_with_both_sizes(centre: grpc.Channel, toy: Toy) -> None:
    data = b"\x0a" + b"\xfe\xff\xff\x04" + bytes(10_485_758)
    refusal = refused(centre, f"{ACCOUNTS}OpenAccount", data)
    assert refusal.symbol == "MESSAGE_TOO_LARGE"
    assert refusal.metadata == {"size": str(len(data)), "limit": str(gate.REQUEST_BYTES_MAX)}
    assert not toy.callers


def test_a_request_above_the_bound_of_the_transport_is_refused(
    net: NetworkOfTest, server: Server, toy: Toy
) -> None:
    files = net.network.tls(SHANGHAI)
    credentials = grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    with grpc.secure_channel(server.address, credentials) as channel:
        refusal = refused(channel, f"{ACCOUNTS}OpenAccount", bytes(TRANSPORT_BYTES_MAX + 1))
    assert refusal.symbol == "MESSAGE_TOO_LARGE"
    assert not toy.callers


def test_a_response_above_the_bound_is_a_refusal(
    centre: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "RESPONSE_BYTES_MAX", 3)
    refusal = refused(centre, f"{CLOCK}GetClock", b"")
    assert refusal.symbol == "RESPONSE_TOO_LARGE"


@pytest.mark.parametrize("method", ["/tanqiao.api.common.v1.ClockService/Stop", "/x.Y/Z", "/x"])
def test_a_method_that_nobody_offers_is_unknown(centre: grpc.Channel, method: str) -> None:
    refusal = refused(centre, method, b"")
    assert refusal.symbol == "METHOD_UNKNOWN"
    assert refusal.metadata["method"] == method


# -- streams out


def test_a_stream_out_is_served(centre: grpc.Channel) -> None:
    stub = journal_pb2_grpc.JournalServiceStub(centre)
    stream = stub.WatchJournal(journal_pb2.WatchJournalRequest(), timeout=SECONDS)
    assert len(list(stream)) == 4


def test_a_stream_out_of_an_unknown_field_is_refused(centre: grpc.Channel, toy: Toy) -> None:
    call: grpc.UnaryStreamMultiCallable[bytes, bytes] = centre.unary_stream(f"{JOURNAL}WatchJournal")
    stream = call(UNKNOWN, timeout=SECONDS)
    with pytest.raises(grpc.RpcError) as error:
        next(iter(stream))
    assert refusal_of(error.value).symbol == "UNKNOWN_FIELD"
    assert not toy.callers


def test_a_refusal_in_the_middle_of_a_stream_keeps_what_was_sent(centre: grpc.Channel, toy: Toy) -> None:
    def fail() -> None:
        raise DomainError("SERVER_STOPPING")

    toy.behaviour = fail
    stub = journal_pb2_grpc.JournalServiceStub(centre)
    stream = stub.WatchJournal(journal_pb2.WatchJournalRequest(), timeout=SECONDS)
    received: list[journal_pb2.WatchJournalResponse] = []
    with pytest.raises(grpc.RpcError) as error:
        received.extend(stream)
    assert refusal_of(error.value).symbol == "SERVER_STOPPING"
    assert len(received) == 0 or len(received) == 3


# -- streams in


def parts(*messages: Message) -> Iterator[bytes]:
    for message in messages:
        yield message.SerializeToString()


def test_a_stream_in_is_served(centre: grpc.Channel, toy: Toy) -> None:
    stub = registry_pb2_grpc.RegistryServiceStub(centre)
    requests = (registry_pb2.ImportListRequest(chunk=b"x") for _ in range(5))
    assert stub.ImportList(requests, timeout=SECONDS).list_import.row_count == 5


def test_one_bad_part_of_a_stream_in_ends_it(centre: grpc.Channel, toy: Toy) -> None:
    good = registry_pb2.ImportListRequest(chunk=b"x").SerializeToString()
    call: grpc.StreamUnaryMultiCallable[bytes, bytes] = centre.stream_unary(f"{REGISTRY}ImportList")
    with pytest.raises(grpc.RpcError) as error:
        call(iter([good, good, UNKNOWN, good]), timeout=SECONDS)
    assert refusal_of(error.value).symbol == "UNKNOWN_FIELD"
    assert not toy.callers


# -- streams in both directions


@pytest.fixture
def region(net: NetworkOfTest, server: Server) -> Iterator[grpc.Channel]:
    with open_channel(server.address, net.network.tls(SHANGHAI)) as channel:
        yield channel


def test_a_stream_in_both_directions_is_served(region: grpc.Channel, toy: Toy) -> None:
    frames = (
        sync_pb2.ConnectRequest(acknowledge=sync_pb2.Acknowledge(up_to_number=number))
        for number in range(1, 4)
    )
    stream = sync_pb2_grpc.SyncServiceStub(region).Connect(frames, timeout=SECONDS)
    assert [frame.acknowledge.up_to_number for frame in stream] == [1, 2, 3]
    assert toy.callers[0].party == SHANGHAI


def test_one_bad_frame_ends_a_stream_in_both_directions(region: grpc.Channel) -> None:
    good = sync_pb2.ConnectRequest(acknowledge=sync_pb2.Acknowledge(up_to_number=7)).SerializeToString()
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = region.stream_stream(f"{SYNC}Connect")
    stream = call(iter([good, b"\x3a\x00"]), timeout=SECONDS)
    received: list[bytes] = []
    with pytest.raises(grpc.RpcError) as error:
        received.extend(stream)
    assert refusal_of(error.value).symbol == "UNKNOWN_FIELD"
    assert [sync_pb2.ConnectResponse.FromString(data).acknowledge.up_to_number for data in received] in (
        [],
        [7],
    )


def test_the_generated_stub_and_raw_bytes_ask_for_the_same(
    clock: clock_pb2_grpc.ClockServiceStub, centre: grpc.Channel
) -> None:
    answer = clock.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
    assert answer.SerializeToString() == send(centre, f"{CLOCK}GetClock", b"")
