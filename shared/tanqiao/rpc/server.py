"""A gRPC server of the federation: TLS with certificates on both sides, health, reflection, graceful stop.

Every method of every service stands in the table of callers, or the server is not built: a method that was
forgotten there is a fault of the program and found at start.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_status import rpc_status

from tanqiao.kernel.errors import DomainError, require
from tanqiao.rpc.caller import ANY_PARTY, CallerTable
from tanqiao.rpc.errors import to_status
from tanqiao.rpc.gate import REQUEST_BYTES_MAX, Gate
from tanqiao.rpc.server_credentials import server_credentials
from tanqiao.signing.certificates import TlsFiles, load_tls

WORKERS_DEFAULT: Final = 48
CALLS_WAITING_MAX: Final = 1024
STREAMS_PER_CONNECTION_MAX: Final = 1024
TRANSPORT_BYTES_MAX: Final = 2 * REQUEST_BYTES_MAX
"""Above this the transport itself refuses; between the two bounds the refusal carries its reason."""
KEEPALIVE_TIME_MS: Final = 30_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000
PING_INTERVAL_MIN_MS: Final = 5_000
STOP_GRACE_SECONDS: Final = 5.0
PORT_MAX: Final = 65_535

OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", TRANSPORT_BYTES_MAX),
    ("grpc.max_send_message_length", TRANSPORT_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server needs.

    Args:
        address: ``host:port``; port 0 takes a free one.
        tls: its certificate, key and the federation CA.
        network_id: network that callers must belong to, and the certificate too.
        party: who serves; the certificate must name it.
        workers: threads that serve calls; each open stream holds one.
    """

    address: str
    tls: TlsFiles
    network_id: str
    party: str
    workers: int = WORKERS_DEFAULT


@dataclass(frozen=True, slots=True)
class Registration:
    """A servicer and the generated function that adds it: ``add_ClockServiceServicer_to_server``."""

    add: Callable[[Any, Any], None]
    servicer: object


@dataclass(slots=True)
class _Recorder:
    """Takes what generated code would hand to a server."""

    service: str = ""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = field(default_factory=dict)

    def add_registered_method_handlers(
        self, service: str, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self.service, self.handlers = service, dict(handlers)

    def add_generic_rpc_handlers(self, _: object) -> None:
        """The same handlers in their older form."""


class _UnknownMethods(grpc.GenericRpcHandler):
    """Answers a method that no service offers with its reason."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = str(handler_call_details.method)

        def call(_: Iterable[bytes], context: grpc.ServicerContext) -> Iterable[bytes]:
            refusal = DomainError("METHOD_UNKNOWN", method=method)
            context.abort_with_status(rpc_status.to_status(to_status(refusal)))

        return grpc.stream_stream_rpc_method_handler(call)


class Server:
    """A server that is built, not yet started."""

    def __init__(
        self, server: grpc.Server, address: str, checks: health.HealthServicer, names: Sequence[str]
    ) -> None:
        self._server = server
        self._checks = checks
        self._stop_hooks: list[Callable[[], None]] = []
        self.address = address
        """Where it listens, ``host:port`` with the port that was taken."""
        self.services = tuple(names)

    def start(self) -> None:
        """Serve, and say so in health."""
        self._server.start()
        self.set_serving(serving=True)

    def set_serving(self, *, serving: bool) -> None:
        """Set the health of the whole server and of each service."""
        response = health_pb2.HealthCheckResponse
        status = response.SERVING if serving else response.NOT_SERVING
        for name in ("", *self.services):
            self._checks.set(name, status)

    def on_stop(self, hook: Callable[[], None]) -> None:
        """Call this when a stop begins: long streams end themselves then, instead of being cut."""
        self._stop_hooks.append(hook)

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Refuse new calls, let the running ones end within the grace, then cut them; return at the end."""
        self._checks.enter_graceful_shutdown()
        for hook in self._stop_hooks:
            hook()
        self._server.stop(grace_seconds).wait()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the server has stopped; True, if it still serves after the time-out."""
        return self._server.wait_for_termination(timeout_seconds)


def build_server(
    options: ServerOptions, registrations: Sequence[Registration], callers: CallerTable, *, now: datetime
) -> Server:
    """Build a server.

    Args:
        options: address, TLS and bounds.
        registrations: servicers.
        callers: who may call what; it names every method of the services and no other.
        now: present moment, against which the certificate is judged.

    Raises:
        DomainError: PORT_TAKEN, SETTING_INVALID, FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID,
            CERTIFICATE_INVALID, CERTIFICATE_EXPIRED.
        InvariantBroken: a method is missing from the table of callers, or the table names one that is not
            there.
    """
    material = load_tls(options.tls, now=now)
    if (material.network_id, material.party.path) != (options.network_id, options.party):
        detail = f"{options.tls.certificate} names {material.party.path} of {material.network_id}"
        raise DomainError("CERTIFICATE_INVALID", detail=detail)
    host, port = parse_address(options.address)
    require_free(host, port)
    server = grpc.server(
        ThreadPoolExecutor(options.workers, thread_name_prefix="rpc"),
        options=OPTIONS,
        maximum_concurrent_rpcs=options.workers + CALLS_WAITING_MAX,
    )
    checks = health.HealthServicer()
    names = _add_services(server, options.network_id, registrations, callers, checks)
    try:
        taken = server.add_secure_port(options.address, server_credentials(options.tls, material))
    except RuntimeError as error:
        raise DomainError("PORT_TAKEN", address=options.address) from error
    return Server(server, f"{options.address.rpartition(':')[0]}:{taken}", checks, names)


def _add_services(
    server: grpc.Server,
    network_id: str,
    registrations: Sequence[Registration],
    callers: CallerTable,
    checks: health.HealthServicer,
) -> list[str]:
    recorded = [_record(registration) for registration in registrations]
    methods = {f"/{one.service}/{name}" for one in recorded for name in one.handlers}
    require(methods == set(callers), f"the table of callers differs: {sorted(methods ^ set(callers))}")
    names = [one.service for one in recorded]
    for one in (*recorded, *_standard_services(checks, names)):
        _add(server, network_id, one, callers)
    server.add_generic_rpc_handlers((_UnknownMethods(),))
    return names


def _standard_services(checks: health.HealthServicer, names: Sequence[str]) -> list[_Recorder]:
    shown = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
    return [
        _record(Registration(health_pb2_grpc.add_HealthServicer_to_server, checks)),
        _record(
            Registration(
                reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
                reflection.ReflectionServicer(shown),
            )
        ),
    ]


def _record(registration: Registration) -> _Recorder:
    recorder = _Recorder()
    registration.add(registration.servicer, recorder)
    require(bool(recorder.service), "generated code registers its methods by name")
    return recorder


def _add(server: grpc.Server, network_id: str, recorded: _Recorder, callers: CallerTable) -> None:
    service = descriptor_pool.Default().FindServiceByName(recorded.service)
    wrapped = {}
    for name, handler in recorded.handlers.items():
        method = f"/{recorded.service}/{name}"
        gate = Gate(network_id, callers if method in callers else {method: (ANY_PARTY,)})
        message_class = GetMessageClass(service.methods_by_name[name].input_type)
        wrapped[name] = gate.wrap(method, handler, message_class)
    server.add_registered_method_handlers(recorded.service, wrapped)
    generic = grpc.method_handlers_generic_handler(recorded.service, wrapped)
    server.add_generic_rpc_handlers((generic,))


def parse_address(address: str) -> tuple[str, int]:
    """Read ``host:port`` (``[::1]:7400`` for IPv6); anything else is SETTING_INVALID."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise DomainError("SETTING_INVALID", setting="address", detail=f"{address} is not host:port")
    return host.strip("[]"), int(port)


def require_free(host: str, port: int) -> None:
    """Refuse an address in use with PORT_TAKEN, and one that is none with SETTING_INVALID."""
    if port == 0:
        return
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        detail = f"{host} is not an address of this machine"
        raise DomainError("SETTING_INVALID", setting="address", detail=detail) from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(target)
        except OSError as error:
            raise DomainError("PORT_TAKEN", address=f"{host}:{port}") from error
