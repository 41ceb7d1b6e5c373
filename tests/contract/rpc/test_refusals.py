"""A refusal crosses the line whole, in both languages; anything else leaves only a number."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from structlog.testing import capture_logs

from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.api.region.v1 import accounts_pb2, accounts_pb2_grpc
from tanqiao.kernel.errors import DomainError, require
from tanqiao.kernel.reasons import CATALOGUE, Reason, Retry
from tanqiao.rpc.errors import ERROR_DOMAIN, STATUS_BYTES_MAX, from_rpc_error
from tests.contract.rpc.toys import CLOCK, Toy

SECONDS = 50
SECRET = "110101199003078515"  # an invented identity number with a right check digit


def failure(clock: clock_pb2_grpc.ClockServiceStub) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        clock.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS)
    return error.value


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # a failed call is both
    assert status is not None
    return status


def filled(reason: Reason) -> DomainError:
    metadata = {name: f"{name}-值" for name in reason.placeholders if name not in ("field", "article")}
    return DomainError(reason.symbol, field="path.of[0].field", article="第十二条", **metadata)


@pytest.mark.parametrize("reason", CATALOGUE.values(), ids=lambda reason: reason.symbol)
def test_every_reason_crosses_the_line_whole(
    clock: clock_pb2_grpc.ClockServiceStub, toy: Toy, reason: Reason
) -> None:
    sent = filled(reason)
    toy.behaviour = raising(sent)
    error = failure(clock)
    received = from_rpc_error(error)
    assert received.reason is reason
    assert (received.field, received.article, received.metadata) == (sent.field, sent.article, sent.metadata)
    for language in ("zh", "en"):
        assert received.sentence(language) == sent.sentence(language)
    assert error.code().name == reason.grpc_status


def details_of(status: status_pb2.Status, kind: Any) -> list[Any]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Is(message.DESCRIPTOR) and detail.Unpack(message):
            found.append(message)
    return found


def test_a_status_says_the_same_to_any_client(clock: clock_pb2_grpc.ClockServiceStub, toy: Toy) -> None:
    sent = DomainError("QUANTITY_NOT_POSITIVE", field="quantity_kg", quantity_kg=-5)
    toy.behaviour = raising(sent)
    status = status_of(failure(clock))
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    (info,) = details_of(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == ("QUANTITY_NOT_POSITIVE", ERROR_DOMAIN)
    assert dict(info.metadata) == {
        "quantity_kg": "-5",
        "reason_number": "2004",
        "retry_class": "after-fix",
        "field": "quantity_kg",
    }
    texts = details_of(status, error_details_pb2.LocalizedMessage)
    assert {text.locale: text.message for text in texts} == {
        "zh-CN": "数量须为大于零的整数千克，收到-5。",
        "en": "The quantity must be a whole number of kilograms above zero; -5 was given.",
    }
    (bad_request,) = details_of(status, error_details_pb2.BadRequest)
    assert [violation.field for violation in bad_request.field_violations] == ["quantity_kg"]
    assert status.message.startswith("QUANTITY_NOT_POSITIVE: ")
    assert not details_of(status, error_details_pb2.RetryInfo)


def test_the_article_that_decides_is_named(clock: clock_pb2_grpc.ClockServiceStub, toy: Toy) -> None:
    toy.behaviour = raising(DomainError("NO_TRADING_AT_THIS_NODE", article="第三十条"))
    status = status_of(failure(clock))
    (violations,) = details_of(status, error_details_pb2.PreconditionFailure)
    assert [one.subject for one in violations.violations] == ["第三十条"]
    (info,) = details_of(status, error_details_pb2.ErrorInfo)
    assert info.metadata["article"] == "第三十条"
    assert "第三十条" in details_of(status, error_details_pb2.LocalizedMessage)[0].message


def test_a_transient_refusal_says_when_to_come_back(clock: clock_pb2_grpc.ClockServiceStub, toy: Toy) -> None:
    toy.behaviour = raising(DomainError("BUSY"))
    (retry,) = details_of(status_of(failure(clock)), error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() > 0
    assert from_rpc_error(failure(clock)).reason.retry is Retry.SAME_BYTES


@pytest.mark.parametrize("text", ["块" * 100_000, "x" * 100_000, "\n" * 10_000])
def test_an_endless_refusal_still_fits_the_line(
    clock: clock_pb2_grpc.ClockServiceStub, toy: Toy, text: str
) -> None:
    metadata = {f"more_{number}": text for number in range(40)}
    sent = DomainError("RANGE_OVERLAP", field="blocks", ranges=text, **metadata)
    toy.behaviour = raising(sent)
    error = failure(clock)
    assert status_of(error).ByteSize() <= STATUS_BYTES_MAX
    assert from_rpc_error(error).symbol == "RANGE_OVERLAP"


@pytest.mark.parametrize(
    "fault",
    [
        ValueError(f"bad id {SECRET}"),
        KeyError(SECRET),
        sqlite3.OperationalError(f"INSERT … {SECRET}"),
        RuntimeError("多字节"),
        AssertionError(),
        RecursionError("deep"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_what_is_no_refusal_is_internal_with_a_number_and_nothing_else(
    clock: clock_pb2_grpc.ClockServiceStub, toy: Toy, fault: Exception
) -> None:
    toy.behaviour = raising(fault)
    with capture_logs() as lines:
        error = failure(clock)
    received = from_rpc_error(error)
    assert received.symbol == "INTERNAL"
    number = received.metadata["correlation_id"]
    assert re.fullmatch(r"[0-9a-f]{16}", number)
    assert set(received.metadata) == {"correlation_id"}
    status = status_of(error)
    for leak in (SECRET, "多字节", "deep", "Traceback", ".py"):
        assert leak not in str(status)
    (line,) = lines
    assert line["correlation_id"] == number
    assert line["exception"].endswith(type(fault).__name__)
    assert line["method"] == f"{CLOCK}GetClock"
    assert any("toys.py" in frame for frame in line["frames"])
    assert SECRET not in repr(line)


def test_two_faults_have_two_numbers(clock: clock_pb2_grpc.ClockServiceStub, toy: Toy) -> None:
    toy.behaviour = raising(ValueError())
    numbers = {from_rpc_error(failure(clock)).metadata["correlation_id"] for _ in range(3)}
    assert len(numbers) == 3


def test_a_broken_invariant_is_internal(clock: clock_pb2_grpc.ClockServiceStub, toy: Toy) -> None:
    toy.behaviour = lambda: require(condition=False, message=f"supply of {SECRET} conserved")
    assert from_rpc_error(failure(clock)).symbol == "INTERNAL"


def test_a_servicer_that_returns_nothing_is_internal(
    centre: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "answer", None)
    stub = accounts_pb2_grpc.AccountServiceStub(centre)
    with pytest.raises(grpc.RpcError) as error:
        stub.OpenAccount(accounts_pb2.OpenAccountRequest(), timeout=SECONDS)
    assert from_rpc_error(error.value).symbol == "INTERNAL"


def test_a_method_that_a_servicer_left_out_is_unknown(centre: grpc.Channel) -> None:
    stub = accounts_pb2_grpc.AccountServiceStub(centre)
    with pytest.raises(grpc.RpcError) as error:
        stub.GetAccount(accounts_pb2.GetAccountRequest(), timeout=SECONDS)
    refusal = from_rpc_error(error.value)
    assert refusal.symbol == "METHOD_UNKNOWN"
    assert refusal.metadata["method"].endswith("/GetAccount")


def test_a_refused_call_is_logged_with_its_reason_and_no_metadata(
    clock: clock_pb2_grpc.ClockServiceStub, toy: Toy
) -> None:
    toy.behaviour = raising(DomainError("ACCOUNT_UNKNOWN", account_id=SECRET))
    with capture_logs() as lines:
        failure(clock)
    (line,) = lines
    assert (line["event"], line["reason"]) == ("call_refused", "ACCOUNT_UNKNOWN")
    assert SECRET not in repr(line)


def test_a_call_after_a_refused_one_is_served(clock: clock_pb2_grpc.ClockServiceStub, toy: Toy) -> None:
    toy.behaviour = raising(ValueError())
    failure(clock)
    toy.behaviour = lambda: None
    assert clock.GetClock(clock_pb2.GetClockRequest(), timeout=SECONDS).network_id
