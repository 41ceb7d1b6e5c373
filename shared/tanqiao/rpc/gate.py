"""What every call passes: who is it, may it call this, is its request strictly read; how a refusal leaves.

Handlers are wrapped once, when the server is built, so that a call costs no look-up of interceptors. Requests
arrive here as bytes: what cannot be read is refused with its reason instead of gRPC's own text.
"""

from __future__ import annotations

import secrets
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.protobuf.message import Message
from grpc_status import rpc_status

from tanqiao.kernel.errors import DomainError, require
from tanqiao.rpc.caller import Caller, CallerTable, enter_call, leave_call, require_permitted
from tanqiao.rpc.errors import to_status
from tanqiao.signing.certificates import peer_party
from tanqiao.signing.strict import parse_strict

REQUEST_BYTES_MAX: Final = 8 << 20
RESPONSE_BYTES_MAX: Final = 8 << 20
CORRELATION_ID_BYTES: Final = 8
FRAMES_LOGGED_MAX: Final = 12
CUT_SECONDS: Final = 0.05
"""How long the end of a stream of requests is held against a cancellation that may be on its heels."""

_LOG: Final = structlog.get_logger("tanqiao.rpc")
Behaviour = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Gate:
    """Wraps the handlers of one server.

    Args:
        network_id: network that a caller's certificate must name.
        callers: who may call what.
    """

    network_id: str
    callers: CallerTable

    def wrap(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any], message_class: type[Message]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Give the handler behind the gate; it takes and gives bytes.

        Args:
            method: full name, ``/package.Service/Method``.
            handler: as generated code registers it.
            message_class: class of its requests.
        """
        if handler.request_streaming and handler.response_streaming:
            behaviour = self._many_in(method, _present(handler.stream_stream), message_class, streams=True)
            return grpc.stream_stream_rpc_method_handler(behaviour)
        if handler.request_streaming:
            behaviour = self._many_in(method, _present(handler.stream_unary), message_class, streams=False)
            return grpc.stream_unary_rpc_method_handler(behaviour)
        if handler.response_streaming:
            original = _present(handler.unary_stream)
            if getattr(original, "experimental_non_blocking", False):
                behaviour = self._one_in_calls_back(method, original, message_class)
            else:
                behaviour = self._one_in_many_out(method, original, message_class)
            return grpc.unary_stream_rpc_method_handler(behaviour)
        behaviour = self._one_in_one_out(method, _present(handler.unary_unary), message_class)
        return grpc.unary_unary_rpc_method_handler(behaviour)

    def _one_in_one_out(self, method: str, behaviour: Behaviour, message_class: type[Message]) -> Behaviour:
        def call(data: bytes, context: grpc.ServicerContext) -> bytes:
            caller = None
            try:
                caller = self._admit(method, context)
                request = read_request(message_class, data)
                token = enter_call(caller)
                try:
                    return write_response(behaviour(request, context))
                finally:
                    leave_call(token)
            except Exception as error:  # noqa: BLE001 - nothing but a status leaves a server
                refuse(error, method, caller, context)

        return call

    def _one_in_many_out(self, method: str, behaviour: Behaviour, message_class: type[Message]) -> Behaviour:
        def call(data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            caller = None
            try:
                caller = self._admit(method, context)
                request = read_request(message_class, data)
                token = enter_call(caller)
                try:
                    for response in behaviour(request, context):
                        yield write_response(response)
                finally:
                    leave_call(token)
            except Exception as error:  # noqa: BLE001 - as above
                refuse(error, method, caller, context)

        return call

    def _one_in_calls_back(
        self, method: str, behaviour: Behaviour, message_class: type[Message]
    ) -> Behaviour:
        """Wrap a stream that holds no thread: health's Watch pushes through a callback."""

        def call(data: bytes, context: grpc.ServicerContext, send: Callable[[bytes | None], None]) -> None:
            caller = None
            try:
                caller = self._admit(method, context)
                request = read_request(message_class, data)
                behaviour(
                    request,
                    context,
                    lambda response: send(None if response is None else write_response(response)),
                )
            except Exception as error:  # noqa: BLE001 - as above
                refuse(error, method, caller, context)

        call.experimental_non_blocking = True  # type: ignore[attr-defined] # how gRPC is told so
        return call

    def _many_in(
        self, method: str, behaviour: Behaviour, message_class: type[Message], *, streams: bool
    ) -> Behaviour:
        def requests(stream: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[Message]:
            for data in stream:
                yield read_request(message_class, data)
            if not streams:
                require_not_cut(context)

        def call_one(stream: Iterable[bytes], context: grpc.ServicerContext) -> bytes:
            caller = None
            try:
                caller = self._admit(method, context)
                token = enter_call(caller)
                try:
                    return write_response(behaviour(requests(stream, context), context))
                finally:
                    leave_call(token)
            except Exception as error:  # noqa: BLE001 - as above
                refuse(error, method, caller, context)

        def call_many(stream: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            caller = None
            try:
                caller = self._admit(method, context)
                token = enter_call(caller)
                try:
                    for response in behaviour(requests(stream, context), context):
                        yield write_response(response)
                finally:
                    leave_call(token)
            except Exception as error:  # noqa: BLE001 - as above
                refuse(error, method, caller, context)

        return call_many if streams else call_one

    def _admit(self, method: str, context: grpc.ServicerContext) -> Caller:
        party = peer_party(context.auth_context(), self.network_id)
        return require_permitted(party, method, self.callers)


def _present(behaviour: Behaviour | None) -> Behaviour:
    require(behaviour is not None, "a handler has the behaviour of its kind")
    return behaviour  # type: ignore[return-value] # required above


def require_not_cut(context: grpc.ServicerContext) -> None:
    """Demand that a stream was ended by its sender.

    gRPC shows a cancelled one as ended, and half a file as a file.

    The stream's end and the cancellation behind it come as two events, the second a moment later.

    Raises:
        DomainError: CALL_CANCELLED.
    """
    cut = threading.Event()
    if not context.add_callback(cut.set) or cut.wait(CUT_SECONDS):
        raise DomainError("CALL_CANCELLED")


def read_request(message_class: type[Message], data: bytes) -> Message:
    """Read a request strictly.

    Raises:
        DomainError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, UNKNOWN_FIELD, ENUM_UNKNOWN.
    """
    if len(data) > REQUEST_BYTES_MAX:
        raise DomainError("MESSAGE_TOO_LARGE", size=len(data), limit=REQUEST_BYTES_MAX)
    return parse_strict(message_class, data)


def write_response(response: Message | bytes) -> bytes:
    """Give the bytes of a response, which a servicer may have encoded itself.

    Raises:
        DomainError: RESPONSE_TOO_LARGE for one that is too large for the wire.
    """
    data = response if isinstance(response, bytes) else response.SerializeToString()
    if len(data) > RESPONSE_BYTES_MAX:
        raise DomainError("RESPONSE_TOO_LARGE", limit=RESPONSE_BYTES_MAX)
    return data


def refuse(error: Exception, method: str, caller: Caller | None, context: grpc.ServicerContext) -> NoReturn:
    """End the call with the status of the error; what is no `DomainError` is INTERNAL with a correlation id.

    Neither payloads nor the text of foreign exceptions are logged: they can hold what is personal. The frames
    say where it happened.
    """
    party = caller.party if caller is not None else "-"
    code = context.code()  # type: ignore[attr-defined] # newer than its stub
    if code is grpc.StatusCode.UNIMPLEMENTED:  # set by generated classes for a method left to them
        error = DomainError("METHOD_UNKNOWN", method=method)
    elif type(error) is Exception and code is not None:
        raise error  # the servicer has aborted the call itself
    if isinstance(error, DomainError):
        party = error.metadata.get("caller", party) if caller is None else party
        _LOG.info("call_refused", method=method, caller=party, reason=error.symbol, field=error.field)
        context.abort_with_status(rpc_status.to_status(to_status(error)))
    correlation_id = secrets.token_hex(CORRELATION_ID_BYTES)
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_LOGGED_MAX:]
    _LOG.error(
        "call_failed",
        method=method,
        caller=party,
        correlation_id=correlation_id,
        exception=f"{type(error).__module__}.{type(error).__qualname__}",
        frames=[f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    )
    internal = DomainError("INTERNAL", correlation_id=correlation_id)
    context.abort_with_status(rpc_status.to_status(to_status(internal)))
