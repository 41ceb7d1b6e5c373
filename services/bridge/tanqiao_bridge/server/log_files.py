"""The logs as static files over HTTPS, read-only, at the paths of C2SP tlog-tiles.

The bridge's log stands at the root, a region's below ``region/<code>/``. Nobody has to show a certificate:
a log is there to be read, and what it gives proves itself. A tile never changes, so that any cache or mirror
may stand before this server. The standard library's server is enough for three kinds of file; what it lacks
is added here: a bound on connections, on their time, and on requests of one connection.
"""

from __future__ import annotations

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

import structlog

from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.server import parse_address
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.parties import BRIDGE
from tanqiao_bridge.application.log_keeping import LogKeeper

WORKERS: Final = 8
CONNECTIONS_MAX: Final = 64
"""Connections served or waiting; the next one is closed at once."""
IDLE_SECONDS: Final = 10.0
REQUESTS_PER_CONNECTION_MAX: Final = 10_000
PATH_CHARACTERS_MAX: Final = 128
STOP_SECONDS_MAX: Final = 5.0

_log = structlog.get_logger(__name__)


class LogFiles:
    """An HTTPS server over a `LogKeeper`.

    Raises:
        DomainError: SETTING_INVALID, PORT_TAKEN, and what the certificate files are refused with.
    """

    def __init__(self, listen: str, tls: TlsFiles, keeper: LogKeeper) -> None:
        host, port = parse_address(listen)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.certificate, tls.key)
        try:
            self._server = _Server((host, port), context, keeper)
        except OSError as error:
            raise DomainError("PORT_TAKEN", address=listen) from error
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="log-files", daemon=True)

    def start(self) -> None:
        """Serve in threads of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the server; what is being read is cut off."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(STOP_SECONDS_MAX)
        self._server.close()


class _Server(HTTPServer):
    """Hands connections to a bounded pool; the handshake is made there, not where connections are taken."""

    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, keeper: LogKeeper) -> None:
        super().__init__(address, _Handler)
        self.keeper = keeper
        self._context = context
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="log-files")
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base class
        """Serve a connection in the pool, or close it where there is no room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._pool.submit(self._serve, request, client_address)

    def _serve(self, request: socket.socket, client_address: Any) -> None:  # noqa: ANN401 - as the base class
        connection = request
        try:
            request.settimeout(IDLE_SECONDS)
            connection = self._context.wrap_socket(request, server_side=True)
            with self._lock:
                self._open.add(connection)
            self.finish_request(connection, client_address)
        except OSError as error:  # a cut line, a slow client, or no TLS
            _log.debug("connection ended", reason=type(error).__name__)
        except Exception:  # noqa: BLE001 - one connection never ends the server
            _log.exception("connection failed")
        finally:
            with self._lock:
                self._open.discard(connection)
            self.shutdown_request(connection)
            self._room.release()

    def close(self) -> None:
        """Close the listening socket, every connection, and the pool."""
        self.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of three kinds of path; everything else is refused."""

    protocol_version = "HTTP/1.1"
    server_version = "tanqiao-log"
    sys_version = ""
    timeout = IDLE_SECONDS
    server: _Server

    def setup(self) -> None:
        """Count the requests of this connection."""
        super().setup()
        self._served = 0

    def do_GET(self) -> None:
        """Give a file."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Give a file's size."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        self._served += 1
        if self._served >= REQUESTS_PER_CONNECTION_MAX or self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True
        try:
            body, media_type, caching = self._file()
        except DomainError as refusal:
            status = HTTPStatus.NOT_FOUND
            if refusal.symbol != "LOG_CHECK_FAILED":
                status = HTTPStatus.SERVICE_UNAVAILABLE
            body, media_type, caching = f"{refusal.symbol}\n".encode(), _TEXT, "no-store"
            self._send(status, body, media_type, caching, with_body=with_body)
            return
        self._send(HTTPStatus.OK, body, media_type, caching, with_body=with_body)

    def _send(
        self, status: HTTPStatus, body: bytes, media_type: str, caching: str, *, with_body: bool
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", caching)
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _file(self) -> tuple[bytes, str, str]:
        party, path = _split(self.path)
        keeper = self.server.keeper
        if path == "checkpoint":
            found = keeper.checkpoints(party)
            # With witnesses the published checkpoint is one that they answer for.
            chosen = found.cosigned if party == BRIDGE and keeper.group.witnesses else found.newest
            if chosen is None:
                raise DomainError("LOG_CHECK_FAILED", check="TILE_MISSING", detail="no checkpoint yet")
            return chosen.note, _TEXT, "no-cache"
        return keeper.tile(party, path), _BYTES, "public, max-age=31536000, immutable"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class
        """Write no access log: who reads a public log is nobody's business."""


_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_REGION_PARTS: Final = 3


def _split(path: str) -> tuple[str, str]:
    """Read whose log and which file of it a path names; LOG_CHECK_FAILED for any other path."""
    if len(path) > PATH_CHARACTERS_MAX or not path.startswith("/") or not path.isascii():
        raise DomainError("LOG_CHECK_FAILED", check="TILE_PATH", detail="not a path of a log")
    parts = path[1:].split("/", 2)
    if parts[0] == "region" and len(parts) == _REGION_PARTS and parts[1].isdigit():
        return f"region/{parts[1]}", parts[2]
    return BRIDGE, path[1:]
