"""What the bridge knows of each gateway's list without asking: which keys it does not hold (ADR 0034).

While checks come, each gateway is asked again and again which list is in force; a filter of that list's keys
is fetched once. For `KNOWN_SECONDS_MAX` after the moment at which that question left, a check of an asset
that the filter rules out needs no call: an answer of the gateway itself may be older when it is judged on.
A filter of keys in a form that the bridge does not know is not trusted, and its gateway asked each time.
A gateway that does not answer is forgotten at once, and the next check asks it and finds it silent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from typing import Final

import grpc
import structlog

from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.claims.key_filter import KeyFilter, is_of_known_form, is_size
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import parse_wire_date

KNOWN_SECONDS_MAX: Final = 0.5
"""Age at which knowledge of a list counts no more; a bridge at its limit needs a part of it to ask."""
ASKED_AGAIN_SECONDS: Final = 0.2
"""Age at which the gateway is asked again, beside the checks."""
STATUS_SECONDS_MAX: Final = 5.0
FILTER_SECONDS_MAX: Final = 60.0
NOT_FETCHED_AGAIN_SECONDS: Final = 30.0
"""After which a filter that a gateway did not give is asked for again."""

_log = structlog.get_logger(__name__)
Stubs = Mapping[str, registry_pb2_grpc.RegistryServiceStub]


@dataclass(frozen=True, slots=True)
class KnownList:
    """The list in force at a gateway.

    Args:
        as_of: day that it stands for.
        keys: which keys it may hold.
        asked_at: monotonic seconds when the question left that the gateway has answered.
    """

    as_of: date
    keys: KeyFilter
    asked_at: float


@dataclass(slots=True)
class _Held:
    """The filter of one list version; none where the gateway has none to give."""

    list_version: bytes = b""
    keys: KeyFilter | None = None
    fetched_at: float = 0.0


class KnownLists:
    """Knowledge of all gateways' lists.

    Args:
        stubs: of the gateways, by registry.
        pool: runs the questions.
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, stubs: Stubs, pool: Executor, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stubs = stubs
        self._pool = pool
        self._monotonic = monotonic
        self._known: dict[str, KnownList] = {}
        self._held: dict[str, _Held] = {}
        self._asking: set[str] = set()
        self._lock = threading.Lock()

    def current(self, registry: str) -> KnownList | None:
        """Give what is known of a list now; None: its gateway must be asked."""
        known = self._known.get(registry)
        now = self._monotonic()
        if known is None or now - known.asked_at >= ASKED_AGAIN_SECONDS:
            self._ask_beside(registry)
        return known if known is not None and now - known.asked_at < KNOWN_SECONDS_MAX else None

    def forget(self, registry: str) -> None:
        """Count nothing as known of a gateway that is silent."""
        self._known.pop(registry, None)

    def _ask_beside(self, registry: str) -> None:
        with self._lock:
            if registry in self._asking:
                return
            self._asking.add(registry)
        try:
            self._pool.submit(self._ask, registry)
        except RuntimeError:  # the pool is shut down: the process ends
            self._asking.discard(registry)

    def _ask(self, registry: str) -> None:
        try:
            asked_at = self._monotonic()
            found = self._answer(registry, asked_at)
            if found is None:
                self.forget(registry)
            else:
                self._known[registry] = found
        except (grpc.RpcError, DomainError) as error:
            self.forget(registry)
            _log.warning("registry silent", registry=registry, error=type(error).__name__)
        except Exception:  # noqa: BLE001 - a fault is written down, and the gateway asked about each check
            self.forget(registry)
            _log.exception("a list is not known", registry=registry)
        finally:
            with self._lock:
                self._asking.discard(registry)

    def _answer(self, registry: str, asked_at: float) -> KnownList | None:
        status = self._stubs[registry].GetRegistryStatus(
            registry_pb2.GetRegistryStatusRequest(), timeout=STATUS_SECONDS_MAX
        )
        if not status.import_id or not is_of_known_form(status.list_version):
            return None
        as_of = parse_wire_date(status.as_of_date, "as_of_date")
        held = self._held.get(registry, _Held())
        if held.list_version != status.list_version or (
            held.keys is None and asked_at - held.fetched_at >= NOT_FETCHED_AGAIN_SECONDS
        ):
            self.forget(registry)  # the fetch may take long
            held = self._fetched(registry, status.list_version)
            self._held[registry] = held
        return None if held.keys is None else KnownList(as_of, held.keys, asked_at)

    def _fetched(self, registry: str, wanted: bytes) -> _Held:
        """Fetch the filter of a list version; without keys where the gateway does not give it."""
        bits = bytearray()
        versions: set[bytes] = set()
        size_bytes = 0
        parts = self._stubs[registry].ReadKeyFilter(
            registry_pb2.ReadKeyFilterRequest(), timeout=FILTER_SECONDS_MAX
        )
        try:
            for part in parts:
                size_bytes = part.size_bytes
                if not is_size(size_bytes) or len(bits) + len(part.bits) > size_bytes:
                    parts.cancel()
                    break
                versions.add(part.list_version)
                bits += part.bits
        except grpc.RpcError as error:
            _log.warning("no filter of a list", registry=registry, code=str(error.code()))
            versions.clear()
        whole = versions == {wanted} and len(bits) == size_bytes
        keys = KeyFilter(bytes(bits)) if whole else None
        return _Held(wanted, keys, self._monotonic())
