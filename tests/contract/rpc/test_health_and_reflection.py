"""Stock tools get along: health, reflection, status details, with an address and a certificate alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.api.region.v1 import journal_pb2, journal_pb2_grpc
from tanqiao.kernel.errors import DomainError, require
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.server import Server
from tanqiao.testing.network import SHANGHAI_CENTRE, NetworkOfTest
from tests.contract.rpc.toys import Toy, serve

SECONDS: Final = 50
SERVICES: Final = {
    "tanqiao.api.common.v1.ClockService",
    "tanqiao.api.region.v1.AccountService",
    "tanqiao.api.region.v1.JournalService",
    "tanqiao.api.gateway.v1.RegistryService",
    "tanqiao.api.bridge.v1.SyncService",
}
Status = health_pb2.HealthCheckResponse.ServingStatus


def check(channel: grpc.Channel, service: str = "") -> health_pb2.HealthCheckResponse:
    call: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
        channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
    )
    return call(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)


def test_health_is_told_for_the_server_and_each_service(centre: grpc.Channel) -> None:
    for name in ("", *SERVICES):
        assert check(centre, name).status == Status.Value("SERVING")


def test_health_of_an_unknown_service_is_not_found(centre: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as error:
        check(centre, "x.Y")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_follows_the_server(centre: grpc.Channel, server: Server) -> None:
    server.set_serving(serving=False)
    assert check(centre).status == Status.Value("NOT_SERVING")
    server.set_serving(serving=True)
    assert check(centre).status == Status.Value("SERVING")


def test_health_can_be_watched_by_more_than_there_are_workers(
    net: NetworkOfTest, centre: grpc.Channel, server: Server
) -> None:
    call: grpc.UnaryStreamMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
        centre.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
    )
    watches = [call(health_pb2.HealthCheckRequest(), timeout=SECONDS) for _ in range(20)]
    for watch in watches:
        assert next(watch).status == Status.Value("SERVING")
    server.set_serving(serving=False)
    for watch in watches:
        assert next(watch).status == Status.Value("NOT_SERVING")
        watch.cancel()
    assert check(centre).status == Status.Value("NOT_SERVING")


def test_reflection_lists_the_services_and_describes_them(centre: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(centre)
    assert set(database.get_services()) >= SERVICES
    file = database.FindFileContainingSymbol("tanqiao.api.common.v1.ClockService")
    assert [service.name for service in file.service] == ["ClockService"]


# -- stop


def test_a_stop_lets_running_calls_end(net: NetworkOfTest, toy: Toy) -> None:
    server = serve(net, toy)
    server.start()
    release, answers = threading.Event(), []
    toy.behaviour = lambda: require(release.wait(SECONDS), "the test releases the call")
    with open_channel(server.address, net.network.tls(SHANGHAI_CENTRE)) as channel:
        stub = clock_pb2_grpc.ClockServiceStub(channel)
        caller = threading.Thread(
            target=lambda: answers.append(stub.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS))
        )
        caller.start()
        assert toy.entered.wait(SECONDS)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        time.sleep(0.05)
        release.set()
        caller.join(SECONDS)
        stopper.join(SECONDS)
    assert len(answers) == 1
    assert not server.wait(0)


def test_a_stop_tells_long_streams_first(net: NetworkOfTest, toy: Toy) -> None:
    server = serve(net, toy)
    server.start()
    stopping = threading.Event()
    server.on_stop(stopping.set)

    def wait_for_stop() -> None:
        if stopping.wait(SECONDS):
            raise DomainError("SERVER_STOPPING")

    toy.behaviour = wait_for_stop
    refusals: list[str] = []

    def watch(channel: grpc.Channel) -> None:
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        try:
            for _ in stub.WatchJournal(journal_pb2.WatchJournalRequest(), timeout=SECONDS):
                pass
        except grpc.RpcError as error:
            refusals.append(from_rpc_error(error).symbol)

    with open_channel(server.address, net.network.tls(SHANGHAI_CENTRE)) as channel:
        watcher = threading.Thread(target=watch, args=(channel,))
        watcher.start()
        assert toy.entered.wait(SECONDS)
        started = time.monotonic()
        server.stop()
        watcher.join(SECONDS)
    assert refusals == ["SERVER_STOPPING"]
    assert time.monotonic() - started < SECONDS / 2


def test_a_call_to_a_stopped_server_is_unreachable(net: NetworkOfTest, toy: Toy) -> None:
    server = serve(net, toy)
    server.start()
    server.stop(0)
    with open_channel(server.address, net.network.tls(SHANGHAI_CENTRE)) as channel:
        with pytest.raises(grpc.RpcError) as error:
            clock_pb2_grpc.ClockServiceStub(channel).GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
        refusal = from_rpc_error(error.value, peer="region/310000", address=server.address)
    assert refusal.symbol == "PEER_UNREACHABLE"
    assert refusal.metadata["detail"] == "nothing listens there"


# -- buf curl


@pytest.fixture(scope="module")
def buf() -> str:
    found = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
    if found is None:
        pytest.skip("the buf command is not installed (development dependency buf-bin)")
    return found


def curl(buf: str, net: NetworkOfTest, *arguments: str) -> subprocess.CompletedProcess[str]:
    files = net.network.tls(SHANGHAI_CENTRE)
    command = [
        buf,
        "curl",
        "--protocol",
        "grpc",
        "--cacert",
        str(files.ca),
        "--cert",
        str(files.certificate),
        "--key",
        str(files.key),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_buf_curl_lists_every_service_and_method(buf: str, net: NetworkOfTest, server: Server) -> None:
    url = f"https://{server.address}"
    services = curl(buf, net, "--list-services", url)
    assert services.returncode == 0, services.stderr
    assert set(services.stdout.split()) >= SERVICES | {"grpc.health.v1.Health"}
    methods = curl(buf, net, "--list-methods", url)
    assert "tanqiao.api.common.v1.ClockService/GetClock" in methods.stdout.split()


def test_buf_curl_calls_a_service(buf: str, net: NetworkOfTest, server: Server, toy: Toy) -> None:
    url = f"https://{server.address}/tanqiao.api.common.v1.ClockService/GetClock"
    answer = curl(buf, net, "-d", "{}", url)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {"networkId": "test-local"}
    assert toy.callers[0].party == SHANGHAI_CENTRE


def test_buf_curl_checks_health(buf: str, net: NetworkOfTest, server: Server) -> None:
    answer = curl(buf, net, "-d", "{}", f"https://{server.address}/grpc.health.v1.Health/Check")
    assert json.loads(answer.stdout) == {"status": "SERVING"}


def test_buf_curl_shows_the_reason_of_a_refusal(
    buf: str, net: NetworkOfTest, server: Server, toy: Toy
) -> None:
    def refuse() -> None:
        raise DomainError("CLOCK_NOT_ALLOWED", network="national")

    toy.behaviour = refuse
    url = f"https://{server.address}/tanqiao.api.common.v1.ClockService/GetClock"
    answer = curl(buf, net, "-d", "{}", url)
    assert answer.returncode != 0
    assert "CLOCK_NOT_ALLOWED" in answer.stderr
    assert "google.rpc.ErrorInfo" in answer.stderr
    assert "google.rpc.LocalizedMessage" in answer.stderr
