"""Refusals on the wire: `DomainError` ↔ google.rpc.Status ↔ common.v1.Refusal.

A status carries exactly one ErrorInfo of the domain ``tanqiao`` whose reason is the symbol of the catalogue,
the sentence in Chinese and in English, and the article where one decides. What is no `DomainError` is
INTERNAL with a correlation id and nothing else. The client turns the reason back into the same error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import CATALOGUE, Retry
from tanqiao.kernel.units import UnitBlock

ERROR_DOMAIN: Final = "tanqiao"
RETRY_DELAY_MS: Final[Mapping[Retry, int]] = {Retry.SAME_BYTES: 100, Retry.WAIT: 1000}
METADATA_TEXT_MAX: Final = 512
METADATA_ENTRIES_MAX: Final = 24
STATUS_BYTES_MAX: Final = 4800
"""A status travels in base64 in trailing metadata, of which stock clients take 8 KiB in all."""
ERROR_INFO_BYTES_MAX: Final = 2000
SENTENCE_BYTES_MAX: Final = 900
STATUS_TEXT_BYTES_MAX: Final = 400
"""The text beside the details is percent-encoded on the wire, three bytes for one."""
BLOCKS_MAX: Final = 100
LANGUAGES: Final = {"zh": "zh-CN", "en": "en"}
_RESERVED: Final = frozenset({"reason_number", "retry_class", "article", "field"})
_CLIPPED: Final = "…"
_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}", re.ASCII)
_RETRY_CLASSES: Final = {
    Retry.NEVER: values_pb2.RETRY_CLASS_NEVER,
    Retry.SAME_BYTES: values_pb2.RETRY_CLASS_SAME_BYTES,
    Retry.AFTER_FIX: values_pb2.RETRY_CLASS_AFTER_FIX,
    Retry.WAIT: values_pb2.RETRY_CLASS_WAIT,
}


def _clip(text: str) -> str:
    return text if len(text) <= METADATA_TEXT_MAX else text[: METADATA_TEXT_MAX - 1] + _CLIPPED


def _clip_bytes(text: str, limit: int) -> str:
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - len(_CLIPPED.encode())].decode(errors="ignore") + _CLIPPED


def error_metadata(error: DomainError) -> dict[str, str]:
    """Give the metadata of the ErrorInfo: what the catalogue adds, then its own while there is room."""
    metadata = {"reason_number": str(error.reason.number), "retry_class": error.reason.retry.value}
    if error.article is not None:
        metadata["article"] = _clip(error.article)
    if error.field is not None:
        metadata["field"] = _clip(error.field)
    room = ERROR_INFO_BYTES_MAX
    for key, value in list(error.metadata.items())[:METADATA_ENTRIES_MAX]:
        shown = _clip_bytes(value, METADATA_TEXT_MAX)
        room -= len(key) + len(shown.encode())
        if room < 0:
            break
        metadata.setdefault(key, shown)
    return metadata


def to_status(error: DomainError) -> status_pb2.Status:
    """Give the google.rpc.Status of a refusal."""
    code: int = grpc.StatusCode[error.reason.grpc_status].value[0]
    info = error_details_pb2.ErrorInfo(
        reason=error.symbol, domain=ERROR_DOMAIN, metadata=error_metadata(error)
    )
    english = _clip_bytes(error.sentence_with_article("en"), STATUS_TEXT_BYTES_MAX)
    details: list[any_pb2.Any] = [_packed(info)]
    for language, locale in LANGUAGES.items():
        sentence = error.sentence_with_article("zh" if language == "zh" else "en")
        sentence = _clip_bytes(sentence, SENTENCE_BYTES_MAX)
        details.append(_packed(error_details_pb2.LocalizedMessage(locale=locale, message=sentence)))
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=english)
        details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    if error.article is not None:
        law = error_details_pb2.PreconditionFailure.Violation(
            type="ARTICLE", subject=error.article, description=english
        )
        details.append(_packed(error_details_pb2.PreconditionFailure(violations=[law])))
    if error.reason.retry in RETRY_DELAY_MS:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(RETRY_DELAY_MS[error.reason.retry])
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    status = status_pb2.Status(code=code, message=f"{error.symbol}: {english}", details=details)
    while status.ByteSize() > STATUS_BYTES_MAX and len(status.details) > 1:
        del status.details[-1]
    return status


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def from_status(status: status_pb2.Status) -> DomainError | None:
    """Give the refusal that a status carries, or None if it is not one of ours."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        try:
            if not (detail.Is(info.DESCRIPTOR) and detail.Unpack(info)) or info.domain != ERROR_DOMAIN:
                continue
        except DecodeError:
            continue
        return _known_or_peer(info.reason, dict(info.metadata), status.message)
    return None


def _known_or_peer(symbol: str, metadata: dict[str, str], sentence: str) -> DomainError:
    article, field = metadata.get("article"), metadata.get("field")
    if symbol not in CATALOGUE:
        code = symbol if _SYMBOL.fullmatch(symbol) else "?"
        return DomainError("PEER_REFUSED", article=article, field=field, code=code, detail=_clip(sentence))
    own = {key: value for key, value in metadata.items() if key not in _RESERVED}
    error = DomainError(symbol, field=field, article=article)
    error.metadata.update(own)
    return error


def from_rpc_error(error: grpc.RpcError, *, peer: str = "peer", address: str = "") -> DomainError:
    """Turn a failed call into the refusal that the server raised, or into one that says what went wrong.

    Args:
        error: what the stub raised.
        peer: name of the server for the sentence.
        address: its address for the sentence.
    """
    call: object = error  # a failed call is both; the stubs of the types do not say so
    if isinstance(call, grpc.Call):
        try:
            status = rpc_status.from_call(call)
        except ValueError:  # a status that contradicts its own call is not one of ours
            status = None
        refusal = from_status(status) if status is not None else None
        return refusal or _of_code(call.code(), call.details() or "", peer, address)
    return DomainError("PEER_UNREACHABLE", peer=peer, address=address, detail=type(error).__name__)


def _of_code(code: grpc.StatusCode, details: str, peer: str, address: str) -> DomainError:
    if code == grpc.StatusCode.UNAVAILABLE:
        return DomainError("PEER_UNREACHABLE", peer=peer, address=address, detail=connection_fault(details))
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DomainError("DEADLINE_EXCEEDED")
    if code == grpc.StatusCode.CANCELLED:
        return DomainError("CALL_CANCELLED")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return DomainError("METHOD_UNKNOWN", method=peer)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        size = re.search(r"larger than max \((\d+) vs\. (\d+)\)", details)
        if size is not None:
            return DomainError("MESSAGE_TOO_LARGE", size=size.group(1), limit=size.group(2))
        return DomainError("BUSY")
    return DomainError("INTERNAL", correlation_id="-", status=code.name)


def connection_fault(details: str) -> str:
    """Say in a few words why a connection failed, from gRPC's own text."""
    known = {
        "certificate has expired": "the certificate on the line has expired",
        "CERTIFICATE_VERIFY_FAILED": "its certificate is not from the CA of this network",
        "Hostname Verification": "its certificate does not name this address",
        "Connection refused": "nothing listens there",
        "Socket closed": "it closed the connection, perhaps because it does not accept our certificate",
        "Name or service not known": "the name is not known",
        "DNS resolution failed": "the name is not known",
    }
    for text, meaning in known.items():
        if text.lower() in details.lower():
            return meaning
    return _clip(details.splitlines()[0]) if details else "no answer"


def to_refusal(error: DomainError, blocks: Iterable[UnitBlock] = ()) -> values_pb2.Refusal:
    """Give the refusal as a message, for item statuses and signed answers; at most `BLOCKS_MAX` blocks."""
    metadata = {key: _clip(value) for key, value in list(error.metadata.items())[:METADATA_ENTRIES_MAX]}
    if error.field is not None:
        metadata.setdefault("field", error.field)
    refusal = values_pb2.Refusal(
        reason=error.symbol,
        reason_number=error.reason.number,
        sentence_zh=_clip(error.sentence("zh")),
        sentence_en=_clip(error.sentence("en")),
        article=error.article or "",
        metadata=metadata,
        retry_class=_RETRY_CLASSES[error.reason.retry],
    )
    for block, _ in zip(blocks, range(BLOCKS_MAX), strict=False):
        refusal.blocks.add(series_id=block.series_id, start_serial=block.start, end_serial=block.end)
    return refusal


def from_refusal(refusal: values_pb2.Refusal) -> DomainError:
    """Give the error that a refusal message states; a reason of a newer peer becomes PEER_REFUSED."""
    metadata = dict(refusal.metadata)
    if refusal.article:
        metadata["article"] = refusal.article
    return _known_or_peer(refusal.reason, metadata, refusal.sentence_en)


def item_status(error: DomainError | None) -> values_pb2.ItemStatus:
    """Give the outcome of one item of a batch: code 0, or the status code and the refusal."""
    if error is None:
        return values_pb2.ItemStatus()
    code: int = grpc.StatusCode[error.reason.grpc_status].value[0]
    return values_pb2.ItemStatus(code=code, refusal=to_refusal(error))
