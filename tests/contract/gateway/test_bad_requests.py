"""Bad requests at a gateway: every method has a refusing case with its reason, and nothing is written."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.common.v1 import clock_pb2, envelope_pb2, values_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as orders_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHANGHAI_CENTRE
from tanqiao_gateway.server.callers import CALLERS
from tanqiao_gateway.storage.tables import metadata
from tests.contract.gateway.conftest import WAIT_SECONDS, RunningGateway
from tests.contract.gateway.test_imports import row, table

CLOCK = "/tanqiao.api.common.v1.ClockService/"
REGISTRY = "/tanqiao.api.gateway.v1.RegistryService/"
ORDERS = "/tanqiao.api.gateway.v1.RegistryOrderService/"
UNKNOWN_FIELD = b"\xf8\x3f\x01"
START = registry_pb2.ImportListRequest.Start
PART = registry_pb2.ImportListRequest
UNDO = registry_pb2.UndoImportRequest
Parts = tuple[Message | bytes, ...]


def digest(running: RunningGateway) -> str:
    """Digest every row of every table."""
    total = hashlib.sha256()
    with running.gateway.database.reading() as connection:
        for each in metadata.sorted_tables:
            rows = sorted(repr(tuple(found)) for found in connection.execute(sa.select(each)))
            total.update(repr((each.name, rows)).encode())
    return total.hexdigest()


def call(running: RunningGateway, method: str, parts: Parts, party: str) -> None:
    """Send messages or bytes to a method; the refusal as the server raised it."""
    data = [part if isinstance(part, bytes) else part.SerializeToString() for part in parts]
    with open_channel(running.gateway.server.address, running.network.network.tls(party)) as channel:
        try:
            if method == f"{REGISTRY}ImportList":
                stream: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(method)
                stream(iter(data), timeout=WAIT_SECONDS)
            elif method == f"{REGISTRY}ReadKeyFilter":
                answers: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)
                list(answers(data[0], timeout=WAIT_SECONDS))
            else:
                unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
                unary(data[0], timeout=WAIT_SECONDS)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None


def start(**changes: object) -> Message:
    values = {
        "request_id": "import-2",
        "format": registry_pb2.LIST_FORMAT_CSV,
        "source": "test",
        "as_of_date": values_pb2.Date(year=2026, month=3, day=1),
        "file_name": "list.csv",
    }
    return PART(start=START(**{**values, **changes}))  # type: ignore[arg-type] # fields of many types


def rows() -> Message:
    return PART(chunk=table(row(7)))


def asked(*references: tuple[str, str], subject: str = "") -> Message:
    query = registry_pb2.AssetQuery(
        references=[claims_pb2.AssetReference(scheme=scheme, value=value) for scheme, value in references],
        subject_uscc=subject,
    )
    return registry_pb2.LookUpAssetsRequest(queries=[query])


def sign_step(**changes: object) -> Message:
    values = {
        "request_id": "step-1",
        "step": coordination_pb2.COORDINATION_STEP_REGISTER,
        "claim": claims_pb2.Claim(claim_id="ccer:farm", programme=claims_pb2.PROGRAMME_CCER),
    }
    return orders_pb2.SignStepRequest(**{**values, **changes})  # type: ignore[arg-type] # many types


def decide(**changes: object) -> Message:
    values = {"request_id": "decision-1", "order_id": bytes(16)}
    return orders_pb2.DecideOrderRequest(**{**values, **changes})  # type: ignore[arg-type] # many types


TONNES = coordination_pb2.PeriodQuantity(
    period=values_pb2.Period(
        start_date=values_pb2.Date(year=2026, month=1, day=1),
        end_date=values_pb2.Date(year=2026, month=2, day=1),
    ),
    quantity=5,
    unit="t",
)
UNSIGNED = orders_pb2.PlaceOrderRequest(
    envelope=envelope_pb2.Envelope(
        payload=b"x", payload_type="application/vnd.tanqiao.registry-order.v1+protobuf"
    )
)


@dataclass(frozen=True)
class Case:
    """One way to be refused."""

    method: str
    name: str
    symbol: str
    parts: Parts
    party: str = SHANGHAI_CENTRE

    def __str__(self) -> str:
        return f"{self.method.rpartition('/')[2]}: {self.name}".replace(" ", "_")


IMPORT = f"{REGISTRY}ImportList"
LOOK_UP = f"{REGISTRY}LookUpAssets"
CASES = (
    Case(f"{CLOCK}GetClock", "an unknown field", "UNKNOWN_FIELD", (UNKNOWN_FIELD,)),
    Case(f"{CLOCK}AdvanceTestClock", "no moment", "FIELD_MISSING", (clock_pb2.AdvanceTestClockRequest(),)),
    Case(f"{CLOCK}AdvanceTestClock", "by a region", "CALLER_NOT_PERMITTED", (b"",), SHANGHAI),
    Case(IMPORT, "nothing", "FIELD_MISSING", ()),
    Case(IMPORT, "no start", "FIELD_MISSING", (rows(),)),
    Case(IMPORT, "two starts", "FIELD_INVALID", (start(), start())),
    Case(IMPORT, "no file", "FILE_EMPTY", (start(),)),
    Case(IMPORT, "no request id", "REQUEST_ID_INVALID", (start(request_id=""), rows())),
    Case(IMPORT, "a bad request id", "REQUEST_ID_INVALID", (start(request_id="a b"), rows())),
    Case(IMPORT, "no format", "FIELD_MISSING", (start(format=0), rows())),
    Case(IMPORT, "an unknown format", "ENUM_UNKNOWN", (start(format=9), rows())),
    Case(IMPORT, "no source", "FIELD_MISSING", (start(source=" "), rows())),
    Case(IMPORT, "a long source", "TEXT_TOO_LONG", (start(source="x" * 257), rows())),
    Case(IMPORT, "no date", "FIELD_MISSING", (start(as_of_date=values_pb2.Date()), rows())),
    Case(
        IMPORT,
        "no such day",
        "FIELD_INVALID",
        (start(as_of_date=values_pb2.Date(year=2026, month=2, day=30)), rows()),
    ),
    Case(IMPORT, "no name", "FIELD_MISSING", (start(file_name=""), rows())),
    Case(IMPORT, "an unknown mapping", "FIELD_INVALID", (start(mapping="../secrets"), rows())),
    Case(IMPORT, "a large chunk", "MESSAGE_TOO_LARGE", (start(), PART(chunk=bytes((256 << 10) + 1)))),
    Case(IMPORT, "junk behind the start", "MESSAGE_MALFORMED", (start(), b"\xff" * 9)),
    Case(IMPORT, "by a region", "CALLER_NOT_PERMITTED", (start(), rows()), SHANGHAI),
    Case(
        f"{REGISTRY}ListImports",
        "a negative page",
        "FIELD_INVALID",
        (registry_pb2.ListImportsRequest(page_size=-1),),
    ),
    Case(
        f"{REGISTRY}ListImports",
        "a token that is none",
        "PAGE_TOKEN_INVALID",
        (registry_pb2.ListImportsRequest(page_token="AAAA"),),
    ),
    Case(LOOK_UP, "nothing", "BATCH_EMPTY", (registry_pb2.LookUpAssetsRequest(),), BRIDGE),
    Case(
        LOOK_UP,
        "5001 queries",
        "BATCH_TOO_LARGE",
        (registry_pb2.LookUpAssetsRequest(queries=[registry_pb2.AssetQuery()] * 5_001),),
        BRIDGE,
    ),
    Case(LOOK_UP, "33 references", "BATCH_TOO_LARGE", (asked(*[("vcs", "1")] * 33),), BRIDGE),
    Case(LOOK_UP, "a scheme that is none", "FIELD_INVALID", (asked(("!", "1")),), BRIDGE),
    Case(LOOK_UP, "an empty reference", "FIELD_INVALID", (asked(("vcs", "")),), BRIDGE),
    Case(
        LOOK_UP,
        "a credit code with a zero byte",
        "IDENTITY_CODE_INVALID",
        (asked(subject="9144030070846113\x00T"),),
        BRIDGE,
    ),
    Case(LOOK_UP, "by a region", "CALLER_NOT_PERMITTED", (asked(("vcs", "1")),), SHANGHAI),
    Case(
        f"{REGISTRY}ListRecords",
        "a zero byte",
        "FIELD_INVALID",
        (registry_pb2.ListRecordsRequest(text="a\x00b"),),
    ),
    Case(
        f"{REGISTRY}ListRecords",
        "a token of another query",
        "PAGE_TOKEN_INVALID",
        (registry_pb2.ListRecordsRequest(page_token="AAAAAAAAAAAx"),),
    ),
    Case(f"{REGISTRY}UndoImport", "no request id", "REQUEST_ID_INVALID", (UNDO(import_id="1"),)),
    Case(f"{REGISTRY}UndoImport", "no reason", "FIELD_MISSING", (UNDO(request_id="u", import_id="1"),)),
    Case(
        f"{REGISTRY}UndoImport",
        "no number",
        "FIELD_INVALID",
        (UNDO(request_id="u", import_id="-1", reason="x"),),
    ),
    Case(
        f"{REGISTRY}UndoImport",
        "an import that is not there",
        "NOT_FOUND",
        (UNDO(request_id="u", import_id="999", reason="x"),),
    ),
    Case(f"{REGISTRY}UndoImport", "by a region", "CALLER_NOT_PERMITTED", (UNDO(),), SHANGHAI),
    Case(
        f"{REGISTRY}ListChanges",
        "an import that is not there",
        "NOT_FOUND",
        (registry_pb2.ListChangesRequest(from_import_id="77"),),
    ),
    Case(
        f"{REGISTRY}ListChanges",
        "no number",
        "FIELD_INVALID",
        (registry_pb2.ListChangesRequest(to_import_id="x"),),
    ),
    Case(f"{REGISTRY}GetRegistryStatus", "an unknown field", "UNKNOWN_FIELD", (UNKNOWN_FIELD,)),
    Case(f"{REGISTRY}ReadKeyFilter", "an unknown field", "UNKNOWN_FIELD", (UNKNOWN_FIELD,), BRIDGE),
    Case(f"{REGISTRY}ReadKeyFilter", "by an operator", "CALLER_NOT_PERMITTED", (b"",)),
    Case(f"{ORDERS}SignStep", "no request id", "REQUEST_ID_INVALID", (orders_pb2.SignStepRequest(),)),
    Case(f"{ORDERS}SignStep", "no step", "FIELD_MISSING", (sign_step(step=0),)),
    Case(f"{ORDERS}SignStep", "no claim", "FIELD_MISSING", (sign_step(claim=claims_pb2.Claim()),)),
    Case(f"{ORDERS}SignStep", "electricity in tonnes", "FIELD_INVALID", (sign_step(activity=[TONNES]),)),
    Case(f"{ORDERS}SignStep", "half a hash", "FIELD_INVALID", (sign_step(split_verdict_hash=bytes(16)),)),
    Case(f"{ORDERS}SignStep", "at the certificates' registry", "METHOD_UNKNOWN", (sign_step(),)),
    Case(f"{ORDERS}SignStep", "by a region", "CALLER_NOT_PERMITTED", (sign_step(),), SHANGHAI),
    Case(f"{ORDERS}PlaceOrder", "no order", "FIELD_MISSING", (orders_pb2.PlaceOrderRequest(),), BRIDGE),
    Case(
        f"{ORDERS}PlaceOrder",
        "by an operator",
        "CALLER_NOT_PERMITTED",
        (orders_pb2.PlaceOrderRequest(),),
    ),
    Case(f"{ORDERS}PlaceOrder", "an order without a signature", "SIGNATURE_MISSING", (UNSIGNED,), BRIDGE),
    Case(f"{ORDERS}DecideOrder", "no request id", "REQUEST_ID_INVALID", (orders_pb2.DecideOrderRequest(),)),
    Case(f"{ORDERS}DecideOrder", "a short id", "FIELD_INVALID", (decide(order_id=b"x"),)),
    Case(f"{ORDERS}DecideOrder", "less than nothing", "FIELD_INVALID", (decide(quantity_mwh=-1),)),
    Case(f"{ORDERS}DecideOrder", "an order that is not there", "NOT_FOUND", (decide(),)),
    Case(
        f"{ORDERS}ListReceivedOrders",
        "a token that is none",
        "PAGE_TOKEN_INVALID",
        (orders_pb2.ListReceivedOrdersRequest(page_token="AAAA"),),
    ),
)


@pytest.fixture
def filled(running: RunningGateway) -> RunningGateway:
    """A gateway with a list."""
    assert running.send(table(row(1), row(2))).committed
    return running


def test_every_bad_request_is_refused_with_its_reason_and_writes_nothing(filled: RunningGateway) -> None:
    before = digest(filled)
    found: list[tuple[str, str]] = []
    for case in CASES:
        try:
            call(filled, case.method, case.parts, case.party)
        except DomainError as refusal:
            told = refusal.sentence("zh") and refusal.sentence("en")
            found.append((str(case), refusal.symbol if told else "without a sentence"))
        else:
            found.append((str(case), "accepted"))
        assert digest(filled) == before, str(case)
    assert found == [(str(case), case.symbol) for case in CASES]


def test_a_token_with_a_forged_position_is_refused(filled: RunningGateway) -> None:
    stub = filled.stub()
    lists: list[tuple[str, Callable[[str], Message]]] = [
        ("ListRecords", lambda token: registry_pb2.ListRecordsRequest(page_size=1, page_token=token)),
    ]
    good = stub.ListRecords(
        registry_pb2.ListRecordsRequest(page_size=1), timeout=WAIT_SECONDS
    ).next_page_token
    raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    for position in (b"x", b"-1", b"9" * 30, b"1.5"):
        token = base64.urlsafe_b64encode(raw[:8] + position).decode().rstrip("=")
        for method, build in lists:
            with pytest.raises(DomainError) as caught:
                call(filled, f"{REGISTRY}{method}", (build(token),), SHANGHAI_CENTRE)
            assert caught.value.symbol == "PAGE_TOKEN_INVALID"


def test_every_method_of_a_gateway_has_a_refusing_case() -> None:
    assert {case.method for case in CASES} == set(CALLERS)
