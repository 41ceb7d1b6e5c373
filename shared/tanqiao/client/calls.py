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
from random import uniform
from typing import Any, Final, NamedTuple

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


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


def _with_timeout(details: Any, timeout: float | None) -> Any:  # noqa: ANN401 - gRPC's own record, untyped
    return _Details(
        details.method,
        timeout,
        details.metadata,
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )


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


def may_retry(refusal: DomainError) -> bool:
    """Whether the same bytes may succeed shortly: not where people or registers must act first."""
    reason = refusal.reason
    return reason.retry is Retry.SAME_BYTES or (
        reason.retry is Retry.WAIT and reason.grpc_status == "UNAVAILABLE"
    )


def delay_seconds(refusal: DomainError, attempt: int) -> float:
    """Give the pause after an attempt (from 1): doubled each time, bounded, spread by a fifth."""
    base = RETRY_DELAY_MS[refusal.reason.retry] / 1000 * 2 ** (attempt - 1)
    spread: float = uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, keeps no secret
    return float(min(base, DELAY_SECONDS_MAX) * spread)


class _Stream:
    """A stream of responses whose failures are refusals; everything else is the call's own."""

    def __init__(self, call: Any, peer: str, address: str) -> None:  # noqa: ANN401 - gRPC's call, untyped
        self._call = call
        self._peer = peer
        self._address = address

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - the response's class is the stub's
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise from_rpc_error(error, peer=self._peer, address=self._address) from error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - delegates to the call
        return getattr(self._call, name)


class Calls(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """The interceptor of a client's channel."""

    def __init__(self, peer: str, address: str, policy: CallPolicy) -> None:
        self._peer = peer
        self._address = address
        self._policy = policy

    def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401 - gRPC's own record, untyped
        request: Any,  # noqa: ANN401 - any message
    ) -> Any:  # noqa: ANN401 - the finished call
        """Send, and send again while that may help."""
        timeout = client_call_details.timeout or self._policy.call_seconds
        end = time.monotonic() + timeout
        attempt = 1
        while True:
            left = max(end - time.monotonic(), 0.0)
            outcome = continuation(_with_timeout(client_call_details, left), request)
            refusal = self._refusal_of(outcome)
            if refusal is None:
                return outcome
            pause = delay_seconds(refusal, attempt) if may_retry(refusal) else 0.0
            again = may_retry(refusal) and attempt < self._policy.attempts_max
            if not again or time.monotonic() + pause >= end:
                raise refusal
            if not is_repeatable(str(client_call_details.method), request):
                raise refusal
            time.sleep(pause)
            attempt += 1

    def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401 - as above
        request_iterator: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Send an upload once: its parts are gone when they are sent."""
        timeout = client_call_details.timeout or self._policy.upload_seconds
        outcome = continuation(_with_timeout(client_call_details, timeout), request_iterator)
        refusal = self._refusal_of(outcome)
        if refusal is not None:
            raise refusal
        return outcome

    def intercept_unary_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401 - as above
        request: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Read a stream; it has no deadline unless the caller names one, and is resumed by the caller."""
        return _Stream(continuation(client_call_details, request), self._peer, self._address)

    def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401 - as above
        request_iterator: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Open a stream in both directions, as above."""
        return _Stream(continuation(client_call_details, request_iterator), self._peer, self._address)

    def _refusal_of(self, outcome: Any) -> DomainError | None:  # noqa: ANN401 - a finished call or a failure
        error = outcome.exception()
        if error is None:
            return None
        if isinstance(error, grpc.RpcError):
            return from_rpc_error(error, peer=self._peer, address=self._address)
        raise error


def intercept(
    channel: grpc.Channel, *, peer: str, address: str, policy: CallPolicy | None = None
) -> grpc.Channel:
    """Give the channel with deadlines, retries and refusals; stubs are made from it as from any other."""
    return grpc.intercept_channel(channel, Calls(peer, address, policy or CallPolicy()))
