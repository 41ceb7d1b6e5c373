"""Which requests a client may send again, and when."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2, directory_pb2, sync_pb2
from tanqiao.api.common.v1 import clock_pb2, envelope_pb2
from tanqiao.api.region.v1 import accounts_pb2, ledger_pb2
from tanqiao.client.calls import DELAY_SECONDS_MAX, JITTER, delay_seconds, is_repeatable, may_retry
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import CATALOGUE, Retry

REGION = "/tanqiao.api.region.v1."
BRIDGE = "/tanqiao.api.bridge.v1."
TRANSFER = ledger_pb2.CreateTransferRequest(request_id="r-1")
BATCH = envelope_pb2.EnvelopeBatch(payload_type="t")


@pytest.mark.parametrize(
    ("method", "request_message"),
    [
        (f"{REGION}AccountService/GetAccount", accounts_pb2.GetAccountRequest()),
        (f"{REGION}AccountService/ListAccounts", accounts_pb2.ListAccountsRequest()),
        (f"{BRIDGE}ClaimService/CheckClaim", claims_pb2.CheckClaimRequest()),
        (f"{BRIDGE}ClaimService/BatchCheckClaims", claims_pb2.BatchCheckClaimsRequest()),
        (f"{BRIDGE}LocationService/TraceUnits", directory_pb2.TraceUnitsRequest()),
        ("/tanqiao.api.gateway.v1.RegistryService/LookUpAssets", clock_pb2.GetClockRequest()),
        (f"{REGION}TransferService/CreateTransfer", TRANSFER),
        (
            f"{REGION}TransferService/BatchCreateTransfers",
            ledger_pb2.BatchCreateTransfersRequest(requests=[TRANSFER, TRANSFER]),
        ),
        (f"{BRIDGE}SyncService/SubmitMessages", sync_pb2.SubmitMessagesRequest(batch=BATCH)),
        (f"{BRIDGE}ClaimService/BatchDeclareClaims", claims_pb2.BatchDeclareClaimsRequest(batch=BATCH)),
    ],
)
def test_reading_and_what_carries_an_id_may_be_sent_again(method: str, request_message: Message) -> None:
    assert is_repeatable(method, request_message)


@pytest.mark.parametrize(
    ("method", "request_message"),
    [
        (f"{REGION}TransferService/CreateTransfer", ledger_pb2.CreateTransferRequest()),
        (f"{REGION}TransferService/BatchCreateTransfers", ledger_pb2.BatchCreateTransfersRequest()),
        (
            f"{REGION}TransferService/BatchCreateTransfers",
            ledger_pb2.BatchCreateTransfersRequest(requests=[TRANSFER, ledger_pb2.CreateTransferRequest()]),
        ),
        ("/tanqiao.api.common.v1.ClockService/AdvanceTestClock", clock_pb2.AdvanceTestClockRequest()),
        (f"{BRIDGE}SyncService/SubmitMessages", sync_pb2.SubmitMessagesRequest()),
        ("/x.Getters/Put", clock_pb2.GetClockRequest()),
        ("/x.Y/Getaway", clock_pb2.GetClockRequest()),
    ],
)
def test_what_could_act_twice_is_not_sent_again(method: str, request_message: Message) -> None:
    assert not is_repeatable(method, request_message)


@pytest.mark.parametrize("reason", CATALOGUE.values(), ids=lambda reason: reason.symbol)
def test_only_what_the_same_bytes_can_mend_is_sent_again(reason: object) -> None:
    refusal = DomainError(str(getattr(reason, "symbol", "")))
    retry = refusal.reason.retry
    if may_retry(refusal):
        assert retry is Retry.SAME_BYTES or (
            retry is Retry.WAIT
            and (refusal.reason.grpc_status == "UNAVAILABLE" or refusal.symbol == "UNIT_PENDING")
        )
        pauses = [delay_seconds(refusal, attempt) for attempt in range(1, 12)]
        assert all(0 < pause <= DELAY_SECONDS_MAX * (1 + JITTER) for pause in pauses)
        assert pauses[3] > pauses[0]
    else:
        assert retry is not Retry.SAME_BYTES


@pytest.mark.parametrize("symbol", ["PEER_UNREACHABLE", "BUSY", "SERVER_STOPPING", "DATABASE_UNAVAILABLE"])
def test_a_server_that_is_down_or_busy_is_asked_again(symbol: str) -> None:
    assert may_retry(DomainError(symbol))


@pytest.mark.parametrize(
    "symbol", ["APPROVERS_MISSING", "FIELD_MISSING", "CALLER_NOT_PERMITTED", "CLOCK_SET_BACK"]
)
def test_what_people_must_mend_is_not_asked_again(symbol: str) -> None:
    assert not may_retry(DomainError(symbol))
