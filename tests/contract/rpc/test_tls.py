"""Who gets through: TLS with certificates on both sides, the network in them, and the table of callers."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from tanqiao.api.bridge.v1 import sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.server import Registration, Server, ServerOptions, build_server, parse_address
from tanqiao.signing.certificates import CertificateAuthority, TlsFiles
from tanqiao.testing.network import (
    NETWORK_ID,
    SHANGHAI,
    SHANGHAI_CENTRE,
    SHENZHEN,
    NetworkOfTest,
    make_network,
)
from tests.contract.rpc.toys import CALLERS, CLOCK, Toy, new_toy, registrations, serve

SECONDS = 50


def call(address: str, credentials: grpc.ChannelCredentials, method: str = "GetClock") -> DomainError | None:
    with grpc.secure_channel(address, credentials) as channel:
        stub = clock_pb2_grpc.ClockServiceStub(channel)
        try:
            if method == "GetClock":
                stub.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
            else:
                stub.AdvanceTestClock(clock_pb2.AdvanceTestClockRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            return from_rpc_error(error, peer=SHANGHAI, address=address)
    return None


def credentials_of(files: TlsFiles, ca: Path | None = None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        (ca or files.ca).read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )


def test_a_party_of_the_network_gets_through_and_the_servicer_knows_it(
    net: NetworkOfTest, toy: Toy, server: Server
) -> None:
    assert call(server.address, credentials_of(net.network.tls(SHANGHAI_CENTRE))) is None
    (caller,) = toy.callers
    assert caller.party == SHANGHAI_CENTRE
    assert (caller.kind, caller.region_code, caller.role) == ("operator", "310000", "sh.centre")
    assert caller.method == f"{CLOCK}GetClock"


def test_a_caller_without_a_certificate_does_not_get_through(
    net: NetworkOfTest, toy: Toy, server: Server
) -> None:
    refusal = call(server.address, grpc.ssl_channel_credentials(net.network.tls(SHANGHAI).ca.read_bytes()))
    assert refusal is not None
    assert refusal.symbol == "PEER_UNREACHABLE"
    assert not toy.callers


def test_a_caller_in_plain_text_does_not_get_through(toy: Toy, server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError):
        clock_pb2_grpc.ClockServiceStub(channel).GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
    assert not toy.callers


def test_a_certificate_of_another_ca_does_not_get_through(
    net: NetworkOfTest, other_net: NetworkOfTest, toy: Toy, server: Server
) -> None:
    foreign = credentials_of(other_net.network.tls(SHANGHAI_CENTRE), ca=net.network.tls(SHANGHAI).ca)
    refusal = call(server.address, foreign)
    assert refusal is not None
    assert refusal.symbol == "PEER_UNREACHABLE"
    assert "does not accept our certificate" in refusal.metadata["detail"]
    assert not toy.callers


def test_a_server_of_another_ca_is_not_believed(
    net: NetworkOfTest, other_net: NetworkOfTest, toy: Toy, server: Server
) -> None:
    own = credentials_of(net.network.tls(SHANGHAI_CENTRE), ca=other_net.network.tls(SHANGHAI).ca)
    refusal = call(server.address, own)
    assert refusal is not None
    assert "not from the CA of this network" in refusal.metadata["detail"]
    assert not toy.callers


def test_a_certificate_without_a_party_is_unknown(net: NetworkOfTest, toy: Toy, server: Server) -> None:
    """The CA of the network signed it, but for another network: the name in it decides."""
    authority = CertificateAuthority.create(net.network.home / "network", NETWORK_ID, now=datetime.now(UTC))
    directory = net.network.home / "strange"
    directory.mkdir(exist_ok=True)
    files = TlsFiles.of(directory)
    authority.issue(files, "test-other", SHANGHAI_CENTRE, now=datetime.now(UTC))
    refusal = call(server.address, credentials_of(files))
    assert refusal is not None
    assert refusal.symbol == "CALLER_UNKNOWN"
    assert refusal.metadata["detail"] == "the certificate belongs to another network"
    assert not toy.callers


@pytest.fixture
def expired(net: NetworkOfTest) -> TlsFiles:
    long_ago = datetime.now(UTC) - timedelta(days=1000)
    authority = CertificateAuthority.create(net.network.home / "network", NETWORK_ID, now=long_ago)
    directory = net.network.home / "expired"
    directory.mkdir(exist_ok=True)
    files = TlsFiles.of(directory)
    authority.issue(files, NETWORK_ID, SHANGHAI, hosts=("127.0.0.1",), now=long_ago)
    return files


def test_an_expired_certificate_does_not_get_through(expired: TlsFiles, toy: Toy, server: Server) -> None:
    refusal = call(server.address, credentials_of(expired))
    assert refusal is not None
    assert refusal.symbol == "PEER_UNREACHABLE"
    assert not toy.callers


def test_neither_side_starts_with_an_expired_certificate(expired: TlsFiles) -> None:
    options = ServerOptions("127.0.0.1:0", expired, NETWORK_ID, SHANGHAI)
    for start in (
        lambda: build_server(options, registrations(new_toy()), CALLERS, now=datetime.now(UTC)),
        lambda: open_channel("127.0.0.1:1", expired),
    ):
        with pytest.raises(DomainError) as refusal:
            start()
        assert refusal.value.symbol == "CERTIFICATE_EXPIRED"
        assert refusal.value.metadata["subject"] == SHANGHAI


def test_a_server_whose_certificate_expired_is_not_believed(net: NetworkOfTest, expired: TlsFiles) -> None:
    then = datetime.now(UTC) - timedelta(days=900)
    options = ServerOptions("127.0.0.1:0", expired, NETWORK_ID, SHANGHAI)
    server = build_server(options, registrations(new_toy()), CALLERS, now=then)
    server.start()
    try:
        refusal = call(server.address, credentials_of(net.network.tls(SHANGHAI_CENTRE)))
    finally:
        server.stop(0)
    assert refusal is not None
    assert refusal.symbol == "PEER_UNREACHABLE"
    assert "expired" in refusal.metadata["detail"]


def test_a_party_that_may_not_call_a_method_is_told_so(net: NetworkOfTest, toy: Toy, server: Server) -> None:
    with capture_logs() as lines:
        refusal = call(server.address, credentials_of(net.network.tls(SHENZHEN)), "AdvanceTestClock")
    assert refusal is not None
    assert refusal.symbol == "CALLER_NOT_PERMITTED"
    assert refusal.metadata == {"caller": SHENZHEN, "method": f"{CLOCK}AdvanceTestClock"}
    assert not toy.callers
    (line,) = lines
    assert line == {
        "event": "call_refused",
        "log_level": "info",
        "method": f"{CLOCK}AdvanceTestClock",
        "caller": SHENZHEN,
        "reason": "CALLER_NOT_PERMITTED",
        "field": None,
    }


def test_a_stream_is_closed_to_who_may_not_open_it(centre: grpc.Channel, toy: Toy) -> None:
    def frames() -> Iterator[sync_pb2.ConnectRequest]:
        yield sync_pb2.ConnectRequest()

    stream = sync_pb2_grpc.SyncServiceStub(centre).Connect(frames(), timeout=SECONDS)
    with pytest.raises(grpc.RpcError) as error:
        next(iter(stream))
    assert from_rpc_error(error.value).symbol == "CALLER_NOT_PERMITTED"
    assert not toy.callers


def test_the_server_speaks_tls_1_2_or_later(net: NetworkOfTest, server: Server) -> None:
    context = ssl.create_default_context(cafile=str(net.network.tls(SHANGHAI).ca))
    files = net.network.tls(SHANGHAI_CENTRE)
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    host, port = parse_address(server.address)
    with socket.create_connection((host, port)) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
        assert tls.selected_alpn_protocol() == "h2"


# -- building a server


def refusal_of(options: ServerOptions) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        build_server(options, registrations(new_toy()), CALLERS, now=datetime.now(UTC))
    assert "\n" not in refusal.value.sentence("en")
    return refusal.value


def test_a_taken_port_is_one_sentence(net: NetworkOfTest, server: Server) -> None:
    refusal = refusal_of(ServerOptions(server.address, net.network.tls(SHANGHAI), NETWORK_ID, SHANGHAI))
    assert refusal.symbol == "PORT_TAKEN"
    assert refusal.metadata["address"] == server.address


def test_a_port_is_free_again_when_its_server_has_stopped(net: NetworkOfTest) -> None:
    first = serve(net, new_toy())
    first.start()
    assert call(first.address, credentials_of(net.network.tls(SHANGHAI_CENTRE))) is None
    first.stop(0)
    second = serve(net, new_toy(), first.address)
    second.start()
    try:
        assert second.address == first.address
        assert call(second.address, credentials_of(net.network.tls(SHANGHAI_CENTRE))) is None
    finally:
        second.stop(0)


@pytest.mark.parametrize(
    "address", ["", "localhost", ":1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "1:²"]
)
def test_an_address_is_host_and_port(net: NetworkOfTest, address: str) -> None:
    tls = net.network.tls(SHANGHAI)
    assert refusal_of(ServerOptions(address, tls, NETWORK_ID, SHANGHAI)).symbol == "SETTING_INVALID"
    with pytest.raises(DomainError) as refusal:
        open_channel(address, tls)
    assert refusal.value.symbol == "SETTING_INVALID"


def test_an_address_of_another_machine_cannot_be_served(net: NetworkOfTest) -> None:
    options = ServerOptions("192.0.2.1:7400", net.network.tls(SHANGHAI), NETWORK_ID, SHANGHAI)
    assert refusal_of(options).symbol in ("PORT_TAKEN", "SETTING_INVALID")


@pytest.mark.parametrize(("network_id", "party"), [("test-other", SHANGHAI), (NETWORK_ID, SHENZHEN)])
def test_a_server_serves_as_the_party_of_its_certificate(
    net: NetworkOfTest, network_id: str, party: str
) -> None:
    options = ServerOptions("127.0.0.1:0", net.network.tls(SHANGHAI), network_id, party)
    refusal = refusal_of(options)
    assert refusal.symbol == "CERTIFICATE_INVALID"
    assert SHANGHAI in refusal.metadata["detail"]


@pytest.mark.parametrize(
    "table",
    [
        {name: who for name, who in CALLERS.items() if name != f"{CLOCK}GetClock"},
        CALLERS | {f"{CLOCK}StopClock": ("**",)},
        {},
    ],
    ids=["one-missing", "one-too-many", "empty"],
)
def test_the_table_of_callers_names_every_method_and_no_other(
    net: NetworkOfTest, table: dict[str, tuple[str, ...]]
) -> None:
    options = ServerOptions("127.0.0.1:0", net.network.tls(SHANGHAI), NETWORK_ID, SHANGHAI)
    with pytest.raises(InvariantBroken, match="table of callers"):
        build_server(options, registrations(new_toy()), table, now=datetime.now(UTC))


def test_a_registration_that_adds_nothing_breaks_an_invariant(net: NetworkOfTest) -> None:
    options = ServerOptions("127.0.0.1:0", net.network.tls(SHANGHAI), NETWORK_ID, SHANGHAI)
    with pytest.raises(InvariantBroken):
        build_server(options, [Registration(lambda *_: None, object())], {}, now=datetime.now(UTC))


def test_a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_is_not(
    tmp_path: Path, toy: Toy
) -> None:
    net = make_network(tmp_path / "renewed")
    files = net.network.tls(SHANGHAI)
    running = serve(net, toy)
    running.start()
    caller = credentials_of(net.network.tls(SHANGHAI_CENTRE))
    try:
        with grpc.secure_channel(running.address, caller) as standing:
            stub = clock_pb2_grpc.ClockServiceStub(standing)
            stub.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
            before = shown_by(running.address, net)
            renew(net, files, days=90)
            after = shown_by(running.address, net)
            assert after != before
            # Half a renewal, and one that has ended already: the last good certificate stays.
            files.key.write_bytes(b"half")
            assert shown_by(running.address, net) == after
            renew(net, files, days=1, now=datetime.now(UTC) - timedelta(days=2))
            assert shown_by(running.address, net) == after
            # Who is connected stays connected through all of it, without a new handshake.
            stub.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
        assert call(running.address, caller) is None
    finally:
        running.stop(0)


@pytest.mark.timeout(180)
def test_a_caller_whose_certificate_ends_while_connected_stays_and_comes_back_with_a_new_one(
    tmp_path: Path, toy: Toy
) -> None:
    net = make_network(tmp_path / "ending")
    files = net.network.tls(SHANGHAI_CENTRE)
    running = serve(net, toy)
    running.start()
    try:
        renew(net, files, seconds=ENDS_IN_SECONDS)
        short = credentials_of(files)
        with grpc.secure_channel(running.address, short) as standing:
            stub = clock_pb2_grpc.ClockServiceStub(standing)
            stub.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
            wait_until_refused(running.address, short)
            stub.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
        with pytest.raises(DomainError, match="CERTIFICATE_EXPIRED"):
            open_channel(running.address, files)
        renew(net, files, days=90)
        assert call(running.address, credentials_of(files)) is None
    finally:
        running.stop(0)


ENDS_IN_SECONDS = 8
ENDED_SECONDS_MAX = 90


def renew(
    net: NetworkOfTest, files: TlsFiles, *, days: int = 1, seconds: int = 0, now: datetime | None = None
) -> None:
    """Write a new certificate for the party of the files."""
    made = now or datetime.now(UTC)
    if seconds:
        made = made - timedelta(days=days) + timedelta(seconds=seconds)
    authority = CertificateAuthority.create(net.network.home / "network", net.network_id, now=made)
    files.certificate.unlink()
    party = SHANGHAI if files == net.network.tls(SHANGHAI) else SHANGHAI_CENTRE
    hosts = ("127.0.0.1", "localhost") if party == SHANGHAI else ()
    authority.issue(files, net.network_id, party, hosts=hosts, now=made, days=days)


def wait_until_refused(address: str, credentials: grpc.ChannelCredentials) -> None:
    """Wait until a new connection with the certificate is refused: it has ended."""
    deadline = time.monotonic() + ENDED_SECONDS_MAX
    while call(address, credentials) is None:
        assert time.monotonic() < deadline, "the certificate does not end"
        time.sleep(0.2)


def shown_by(address: str, net: NetworkOfTest) -> bytes:
    """The certificate that the server shows on a new connection."""
    files = net.network.tls(SHANGHAI_CENTRE)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as line,
    ):
        shown = line.getpeercert(binary_form=True)
    assert shown is not None
    return shown
