"""A bad wire between regions and the bridge: cuts, delays, half-opens and duplicates, all from one generator.

Two layers, for two kinds of fault. `Wire` passes bytes and cannot read them: it cuts, delays and half-opens
connections, as networks do. `Repeater` ends TLS on both sides with the certificates of both and passes
frames: it hands some of them on twice, as a sender that never heard an answer would.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Final

import grpc

from tanqiao.rpc.channel import open_channel
from tanqiao.signing.certificates import TlsFiles

PIECE_BYTES: Final = 65_536
DELAY_SECONDS_MAX: Final = 0.3
HALF_OPEN_SECONDS: Final = (0.5, 4.0)
CALLS_MAX: Final = 64
CONNECT_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.2


class Wire:
    """Passes connections on to an address, badly.

    Args:
        target: ``host:port`` that is meant.
        chance: where all decisions come from.
        faults: counts what was done.
    """

    def __init__(self, target: str, chance: Random, faults: Counter[str]) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._chance = chance
        self._faults = faults
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stopping = threading.Event()
        self._silent_until = 0.0
        self._delay_seconds = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LOOK_SECONDS)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    # -- faults ----------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """End all connections at once."""
        self._faults["cut"] += 1
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def half_open(self) -> None:
        """Pass nothing on for a while, and end no connection."""
        self._faults["half-open"] += 1
        self._silent_until = time.monotonic() + self._chance.uniform(*HALF_OPEN_SECONDS)

    def delay(self) -> None:
        """Pass everything on late from now on; the next time perhaps not."""
        self._faults["delay"] += 1
        self._delay_seconds = self._chance.choice((0.0, self._chance.uniform(0, DELAY_SECONDS_MAX)))

    def lag(self, seconds: float) -> None:
        """Pass every piece on so much later: a line that is far away."""
        self._delay_seconds = seconds

    def heal(self) -> None:
        """Be a good wire."""
        self._silent_until = self._delay_seconds = 0.0

    # -- passing on ------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, CONNECT_SECONDS)
            except OSError:
                near.close()
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.settimeout(None)
            with self._lock:
                self._pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(PIECE_BYTES):
                while time.monotonic() < self._silent_until and not self._stopping.is_set():
                    time.sleep(LOOK_SECONDS / 4)
                if self._delay_seconds:
                    time.sleep(self._delay_seconds)
                target.sendall(piece)
        except OSError:
            pass
        finally:
            for one in (source, target):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def close(self) -> None:
        """End the wire."""
        self._stopping.set()
        self.heal()
        self._listener.close()
        self.cut()
        self._faults["cut"] -= 1
        self._threads[0].join()


class Repeater(grpc.GenericRpcHandler):
    """Stands for the bridge towards a region and for the region towards the bridge.

    Args:
        target: the bridge's ``host:port``.
        bridge: the bridge's certificate, shown to the region.
        region: the region's certificate, shown to the bridge.
        chance: where all decisions come from.
        share: of the frames that go twice.
        faults: counts what was done.
    """

    def __init__(
        self,
        target: str,
        bridge: TlsFiles,
        region: TlsFiles,
        chance: Random,
        share: Callable[[], float],
        faults: Counter[str],
    ) -> None:
        self._channel = open_channel(target, region)
        self._chance = chance
        self._share = share
        self._faults = faults
        self._server = grpc.server(ThreadPoolExecutor(CALLS_MAX), handlers=[self])
        credentials = grpc.ssl_server_credentials(
            [(bridge.key.read_bytes(), bridge.certificate.read_bytes())],
            root_certificates=bridge.ca.read_bytes(),
            require_client_auth=True,
        )
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def service(self, details: Any) -> Any:
        """Pass any call on: a stream both ways serves unary calls too, whose frames are one."""
        method = details.method
        is_stream = method.endswith("/Connect")

        def passed(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            call: Any = self._channel.stream_stream(method)
            answers = call(
                self._twice(requests) if is_stream else requests,
                timeout=None if is_stream else context.time_remaining(),
            )
            context.add_callback(answers.cancel)
            try:
                yield from self._twice(answers) if is_stream else answers
            except grpc.RpcError as error:
                trailing = error.trailing_metadata()
                context.set_trailing_metadata(trailing or ())
                context.abort(error.code(), error.details())

        return grpc.stream_stream_rpc_method_handler(passed)

    def _twice(self, frames: Iterator[bytes]) -> Iterator[bytes]:
        first = True
        for frame in frames:
            yield frame
            # A second Hello is no message of this stream.
            if not first and self._chance.random() < self._share():
                self._faults["duplicate"] += 1
                yield frame
            first = False

    def close(self) -> None:
        """End it."""
        self._server.stop(0).wait()
        self._channel.close()
