"""What every call of a client does: a deadline, bounded retries of the same bytes, refusals as `DomainError`.

A call is sent again only if its refusal says that the same bytes may succeed (retry class ``same-bytes``), or
that the server could not be reached or is busy (``wait`` with status UNAVAILABLE), and only if a second
sending is harmless: the request carries a request id, or the method only reads. Everything ends with the
deadline of the first sending.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import uniform
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import grpc
from google.protobuf.message import Message

from tanqiao.api.common.v1.envelope_pb2 import Envelope, EnvelopeBatch
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import Retry
from tanqiao.rpc.errors import RETRY_DELAY_MS, from_rpc_error

CALL_SECONDS: Final = 30.0
UPLOAD_SECONDS: Final = 600.0
ATTEMPTS_MAX: Final = 5
DELAY_SECONDS_MAX: Final = 4.0
JITTER: Final = 0.2

Untyped: TypeAlias = Any
"""What gRPC hands over without a type: its calls, its settings, and responses whose class is the stub's."""

_READS: Final = re.compile(r"/(Get|List|LookUp|Check|BatchCheck|Trace)[A-Z][A-Za-z]*$")


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How long a call may take and how often it is sent.

    Args:
        call_seconds: deadline of a call that names none, over all its attempts.
        upload_seconds: deadline of an upload that names none.
        attempts_max: sendings of one request, the first included.
    """

    call_seconds: float = CALL_SECONDS
    upload_seconds: float = UPLOAD_SECONDS
    attempts_max: int = ATTEMPTS_MAX


def is_repeatable(method: str, request: Message) -> bool:
    """Whether a second sending is harmless.

    The method only reads; or the request, or each one of a batch, carries a request id; or it carries signed
    messages, which are answered once (PROTOCOL R4).
    """
    if _READS.search(method) is not None or _has_request_id(request):
        return True
    fields: dict[str, Any] = {descriptor.name: value for descriptor, value in request.ListFields()}
    if any(isinstance(value, Envelope | EnvelopeBatch) for value in fields.values()):
        return True
    items: Sequence[object] = fields.get("requests", ())
    return len(items) > 0 and all(_has_request_id(item) for item in items)


def _has_request_id(message: object) -> bool:
    request_id: object = getattr(message, "request_id", "")
    return bool(request_id)


ENDS_BY_ITSELF: Final = frozenset({"UNIT_PENDING"})
"""Refusals that end within seconds without anybody's doing: credited units await their witnesses (R10)."""


def may_retry(refusal: DomainError) -> bool:
    """Whether the same bytes may succeed shortly: not where people or registers must act first."""
    reason = refusal.reason
    return reason.retry is Retry.SAME_BYTES or (
        reason.retry is Retry.WAIT
        and (reason.grpc_status == "UNAVAILABLE" or refusal.symbol in ENDS_BY_ITSELF)
    )


def delay_seconds(refusal: DomainError, attempt: int) -> float:
    """Give the pause after an attempt (from 1): doubled each time, bounded, spread by a fifth."""
    base = RETRY_DELAY_MS[refusal.reason.retry] / 1000 * 2 ** (attempt - 1)
    spread: float = uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, keeps no secret
    return float(min(base, DELAY_SECONDS_MAX) * spread)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is called, for the sentences of refusals, and by which policy."""

    party: str
    address: str
    policy: CallPolicy

    def refusal(self, error: Exception) -> DomainError:
        """Give the refusal behind what gRPC raised; a channel that was closed meanwhile is CALL_CANCELLED."""
        if isinstance(error, grpc.RpcError):
            return from_rpc_error(error, peer=self.party, address=self.address)
        return DomainError("CALL_CANCELLED")


_FAILURES: Final = (grpc.RpcError, ValueError)
"""What a call raises: ValueError is that the channel is closed."""


class _OneInOneOut:
    """A method with one request and one response."""

    def __init__(
        self, inner: grpc.UnaryUnaryMultiCallable[Untyped, Untyped], method: str, peer: Peer
    ) -> None:
        self._inner = inner
        self._method = method
        self._peer = peer

    def __call__(self, request: Message, timeout: float | None = None, **settings: Untyped) -> Untyped:
        """Send, and send again while that may help."""
        return self._repeat(request, timeout, lambda left: self._inner(request, timeout=left, **settings))

    def with_call(self, request: Message, timeout: float | None = None, **settings: Untyped) -> Untyped:
        """Send as above and give the response with its call."""
        return self._repeat(
            request, timeout, lambda left: self._inner.with_call(request, timeout=left, **settings)
        )

    def future(self, request: Message, timeout: float | None = None, **settings: Untyped) -> Untyped:
        """Send once, in the background; the result raises what gRPC raises."""
        return self._inner.future(request, timeout=timeout or self._peer.policy.call_seconds, **settings)

    def _repeat(self, request: Message, timeout: float | None, send: Callable[[float], Untyped]) -> Untyped:
        end = time.monotonic() + (timeout or self._peer.policy.call_seconds)
        for attempt in count(1):
            try:
                return send(max(end - time.monotonic(), 0.0))
            except _FAILURES as error:
                refusal = self._peer.refusal(error)
                if not may_retry(refusal) or attempt >= self._peer.policy.attempts_max:
                    raise refusal from error
                pause = delay_seconds(refusal, attempt)
                if time.monotonic() + pause >= end or not is_repeatable(self._method, request):
                    raise refusal from error
                time.sleep(pause)
        return None  # pragma: no cover - the loop ends by returning or raising


class _ManyInOneOut:
    """An upload, sent once: its parts are gone when they are sent."""

    def __init__(self, inner: grpc.StreamUnaryMultiCallable[Untyped, Untyped], peer: Peer) -> None:
        self._inner = inner
        self._peer = peer

    def __call__(
        self, request_iterator: Iterator[Message], timeout: float | None = None, **settings: Untyped
    ) -> Untyped:
        """Send every part and give the response."""
        return self._once(self._inner, request_iterator, timeout, settings)

    def with_call(
        self, request_iterator: Iterator[Message], timeout: float | None = None, **settings: Untyped
    ) -> Untyped:
        """Send as above and give the response with its call."""
        return self._once(self._inner.with_call, request_iterator, timeout, settings)

    def future(
        self, request_iterator: Iterator[Message], timeout: float | None = None, **settings: Untyped
    ) -> Untyped:
        """Send in the background; the result raises what gRPC raises."""
        seconds = timeout or self._peer.policy.upload_seconds
        return self._inner.future(request_iterator, timeout=seconds, **settings)

    def _once(
        self,
        send: Callable[..., Untyped],
        request_iterator: Iterator[Message],
        timeout: float | None,
        settings: dict[str, Untyped],
    ) -> Untyped:
        try:
            return send(request_iterator, timeout=timeout or self._peer.policy.upload_seconds, **settings)
        except _FAILURES as error:
            raise self._peer.refusal(error) from error


class _Stream:
    """A stream of responses whose failures are refusals; everything else is the call's own."""

    def __init__(self, call: Untyped, peer: Peer) -> None:
        self._call = call
        self._peer = peer

    def __iter__(self) -> Iterator[Untyped]:
        return self

    def __next__(self) -> Untyped:
        try:
            return next(self._call)
        except _FAILURES as error:
            raise self._peer.refusal(error) from error

    def __getattr__(self, name: str) -> Untyped:
        return getattr(self._call, name)


class _ManyOut:
    """A method that answers with a stream; it has no deadline unless the caller names one."""

    def __init__(self, inner: Callable[..., Untyped], peer: Peer) -> None:
        self._inner = inner
        self._peer = peer

    def __call__(self, request: Untyped, timeout: float | None = None, **settings: Untyped) -> Untyped:
        """Open the stream; where it is cut, the caller resumes it."""
        try:
            return _Stream(self._inner(request, timeout=timeout, **settings), self._peer)
        except _FAILURES as error:
            raise self._peer.refusal(error) from error


class ClientChannel(grpc.Channel):
    """A channel whose calls have deadlines, bounded repeats and refusals; stubs are made from it as from any.

    It wraps the methods of the plain channel once, when a stub is made. gRPC's own interceptors make them
    anew for each call, which is slower, and which ends the process where another thread has closed the
    channel.
    """

    def __init__(
        self, inner: grpc.Channel, party: str, address: str, policy: CallPolicy | None = None
    ) -> None:
        self._inner = inner
        self._peer = Peer(party, address, policy or CallPolicy())

    def unary_unary(self, method: str, *arguments: Untyped, **settings: Untyped) -> Untyped:
        """Give a method with one request and one response."""
        return _OneInOneOut(self._inner.unary_unary(method, *arguments, **settings), method, self._peer)

    def stream_unary(self, method: str, *arguments: Untyped, **settings: Untyped) -> Untyped:
        """Give a method that takes a stream."""
        return _ManyInOneOut(self._inner.stream_unary(method, *arguments, **settings), self._peer)

    def unary_stream(self, method: str, *arguments: Untyped, **settings: Untyped) -> Untyped:
        """Give a method that answers with a stream."""
        return _ManyOut(self._inner.unary_stream(method, *arguments, **settings), self._peer)

    def stream_stream(self, method: str, *arguments: Untyped, **settings: Untyped) -> Untyped:
        """Give a method with streams in both directions."""
        return _ManyOut(self._inner.stream_stream(method, *arguments, **settings), self._peer)

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool = False,  # noqa: FBT001, FBT002 - gRPC's signature
    ) -> None:
        """Watch the state of the connection."""
        self._inner.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """Watch no longer."""
        self._inner.unsubscribe(callback)

    def close(self) -> None:
        """End the connection and every call on it."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.close()
        return None
