"""Refusals as messages and back, and what a failed call without one means."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import CATALOGUE, Reason
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.errors import (
    BLOCKS_MAX,
    METADATA_TEXT_MAX,
    from_refusal,
    from_rpc_error,
    from_status,
    item_status,
    to_refusal,
    to_status,
)


@pytest.mark.parametrize("reason", CATALOGUE.values(), ids=lambda reason: reason.symbol)
def test_every_reason_is_the_same_after_a_message(reason: Reason) -> None:
    names = reason.placeholders - {"field"}
    sent = DomainError(reason.symbol, field="a.b", article="第九条", **dict.fromkeys(names, "值"))
    refusal = to_refusal(sent)
    assert (refusal.reason, refusal.reason_number) == (reason.symbol, reason.number)
    assert refusal.retry_class != values_pb2.RETRY_CLASS_UNSPECIFIED
    received = from_refusal(values_pb2.Refusal.FromString(refusal.SerializeToString()))
    assert received.reason is reason
    assert (received.field, received.article, received.metadata) == (sent.field, sent.article, sent.metadata)
    assert refusal.sentence_zh == received.sentence("zh")
    assert refusal.sentence_en == received.sentence("en")


def test_a_refusal_names_the_blocks_concerned_up_to_a_bound() -> None:
    blocks = [UnitBlock("s:X:y:2026:1", number, number + 1) for number in range(BLOCKS_MAX + 50)]
    refusal = to_refusal(DomainError("BUSY"), blocks)
    assert len(refusal.blocks) == BLOCKS_MAX
    assert refusal.blocks[7] == values_pb2.UnitBlock(series_id="s:X:y:2026:1", start_serial=7, end_serial=8)


def test_an_endless_value_is_clipped() -> None:
    refusal = to_refusal(DomainError("NOT_FOUND", what="account", id="块" * 100_000))
    assert len(refusal.metadata["id"]) == METADATA_TEXT_MAX
    assert refusal.metadata["id"].endswith("…")


def test_a_reason_of_a_newer_peer_is_shown_as_it_came() -> None:
    newer = values_pb2.Refusal(
        reason="UNIT_SPUN", sentence_en="The unit was spun.", article="Article 99", metadata={"field": "spin"}
    )
    received = from_refusal(newer)
    assert received.symbol == "PEER_REFUSED"
    assert received.metadata == {"code": "UNIT_SPUN", "detail": "The unit was spun."}
    assert (received.field, received.article) == ("spin", "Article 99")
    assert "UNIT_SPUN" in received.sentence("zh")


@pytest.mark.parametrize("symbol", ["", "with space", "x" * 100, "小", "A\nB"])
def test_a_symbol_that_is_none_is_not_repeated(symbol: str) -> None:
    assert from_refusal(values_pb2.Refusal(reason=symbol)).metadata["code"] == "?"


def test_an_item_that_went_well_has_code_zero() -> None:
    assert item_status(None) == values_pb2.ItemStatus()
    refused = item_status(DomainError("ACCOUNT_UNKNOWN", account_id="x"))
    assert refused.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert refused.refusal.reason == "ACCOUNT_UNKNOWN"


def packed(message: error_details_pb2.ErrorInfo) -> any_pb2.Any:
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail


def test_a_status_of_another_domain_is_not_ours() -> None:
    foreign = error_details_pb2.ErrorInfo(reason="BUSY", domain="googleapis.com")
    assert from_status(status_pb2.Status(code=14, details=[packed(foreign)])) is None
    assert from_status(status_pb2.Status(code=14)) is None


def test_a_status_whose_details_are_damaged_is_not_ours() -> None:
    damaged = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    good = packed(error_details_pb2.ErrorInfo(reason="BUSY", domain="tanqiao"))
    assert from_status(status_pb2.Status(details=[damaged])) is None
    refusal = from_status(status_pb2.Status(details=[damaged, good]))
    assert refusal is not None
    assert refusal.symbol == "BUSY"


def test_reserved_names_of_the_metadata_do_not_come_back_as_values() -> None:
    refusal = from_status(to_status(DomainError("FIELD_MISSING", field="name")))
    assert refusal is not None
    assert refusal.metadata == {}
    assert refusal.field == "name"


class Failed(grpc.RpcError, grpc.Call):
    """A call that failed without a refusal of ours, as gRPC raises it."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[()]:
        return ()

    def initial_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: object) -> bool:
        return False


HANDSHAKE = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed: "
)


@pytest.mark.parametrize(
    ("code", "details", "symbol", "words"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Connection refused", "PEER_UNREACHABLE", "nothing listens there"),
        (
            grpc.StatusCode.UNAVAILABLE,
            f"{HANDSHAKE}CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
            "PEER_UNREACHABLE",
            "not from the CA of this network",
        ),
        (
            grpc.StatusCode.UNAVAILABLE,
            f"{HANDSHAKE}CERTIFICATE_VERIFY_FAILED: certificate has expired",
            "PEER_UNREACHABLE",
            "has expired",
        ),
        (grpc.StatusCode.UNAVAILABLE, "", "PEER_UNREACHABLE", "no answer"),
        (grpc.StatusCode.UNAVAILABLE, "odd\nsecond line", "PEER_UNREACHABLE", "odd"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "DEADLINE_EXCEEDED", "same request id"),
        (grpc.StatusCode.CANCELLED, "", "CALL_CANCELLED", "cancelled"),
        (grpc.StatusCode.UNIMPLEMENTED, "", "METHOD_UNKNOWN", "region/310000"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (99 vs. 10)",
            "MESSAGE_TOO_LARGE",
            "99 bytes",
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", "BUSY", "busy"),
        (grpc.StatusCode.UNKNOWN, "Traceback", "INTERNAL", "-"),
        (grpc.StatusCode.DATA_LOSS, "", "INTERNAL", "-"),
    ],
)
def test_a_failed_call_without_a_refusal_says_what_went_wrong(
    code: grpc.StatusCode, details: str, symbol: str, words: str
) -> None:
    refusal = from_rpc_error(Failed(code, details), peer="region/310000", address="127.0.0.1:7431")
    assert refusal.symbol == symbol
    assert words in refusal.sentence("en")
    assert "\n" not in refusal.sentence("en")


def test_an_error_that_is_no_call_is_unreachable() -> None:
    refusal = from_rpc_error(grpc.RpcError(), peer="bridge", address="a:1")
    assert refusal.symbol == "PEER_UNREACHABLE"
    assert refusal.metadata["peer"] == "bridge"
