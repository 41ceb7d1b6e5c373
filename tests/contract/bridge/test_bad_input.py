"""Bad input at a bridge, over the wire: every method and every frame, on both databases.

Each refusal has a reason of the catalogue and a sentence in Chinese and in English, and leaves every table as
it was; where the protocol itself keeps evidence, opens a case or freezes (R4, section 3), those tables alone.
The cases are data, and a method of the table of callers without one fails the suite.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import (
    claims_pb2,
    directory_pb2,
    messages_pb2,
    sync_pb2,
)
from tanqiao.api.common.v1 import clock_pb2, envelope_pb2, values_pb2
from tanqiao.rpc.gate import REQUEST_BYTES_MAX
from tanqiao.signing.parties import party_matches
from tanqiao.testing.network import SHANGHAI, SHANGHAI_CENTRE, SHENZHEN
from tanqiao_bridge.server.callers import CALLERS
from tests.contract.bridge.bad_cases import BAD_CASES, BAD_QUERIES
from tests.contract.bridge.bad_claims import BAD_CLAIMS, wrong_claim
from tests.contract.bridge.bad_conflicts import BAD_CONFLICTS
from tests.contract.bridge.bad_coordination import BAD_COORDINATION
from tests.contract.bridge.bad_log import BAD_LOG
from tests.contract.bridge.bad_orders import BAD_ORDERS
from tests.contract.bridge.bad_recovery import RECOVERY_AND_RECONCILIATION
from tests.contract.bridge.bad_tokens import BAD_TOKENS, BAD_TOKENS_OF_CLAIMS
from tests.contract.bridge.bad_witness_groups import BAD_WITNESS_GROUPS
from tests.contract.bridge.cases import Build, Case, plain
from tests.contract.bridge.harness import SERIES
from tests.contract.bridge.unchanged import (
    API,
    CLOCK,
    READER,
    UNKNOWN_FIELD,
    World,
    period,
    recognition,
    refused,
    row,
    spoil,
    world,
)

__all__ = ["world"]


# -- requests -----------------------------------------------------------------------------------------------


def declared(**changes: Any) -> Build:
    """Declare an invented claim in which something is wrong."""

    def build(world: World) -> Message:
        statement = claims_pb2.DeclareStatement(claim=wrong_claim(**changes))
        return claims_pb2.DeclareClaimRequest(envelope=world.network.envelope(statement, SHANGHAI))

    return build


def checked(**changes: Any) -> Build:
    return plain(claims_pb2.CheckClaimRequest(claim=wrong_claim(**changes)))


def batch_of(world: World, messages: Sequence[Any], party: str = SHANGHAI) -> envelope_pb2.EnvelopeBatch:
    return world.network.batch(list(messages), party)


def moved(status: int, party: str = SHANGHAI, **changes: Any) -> Callable[[World], envelope_pb2.Envelope]:
    def build(world: World) -> envelope_pb2.Envelope:
        statement = claims_pb2.ClaimStatement(claim_id="310000:instalment:2", status=status)  # type: ignore[arg-type]
        return world.network.envelope(spoil(statement, **changes), party)

    return build


def registering(status: int, party: str = SHANGHAI, **changes: Any) -> Build:
    return lambda world: claims_pb2.RegisterClaimRequest(envelope=moved(status, party, **changes)(world))


def releasing(status: int, party: str = SHANGHAI, **changes: Any) -> Build:
    return lambda world: claims_pb2.ReleaseClaimRequest(envelope=moved(status, party, **changes)(world))


def recognising(
    signers: tuple[str, ...] = ("authority/310000", "authority/440300"),
    request_id: str = "R-1",
    **changes: Any,
) -> Build:
    def build(world: World) -> Message:
        record = spoil(recognition("A-8"), **changes)
        return directory_pb2.SubmitRecognitionRequest(
            request_id=request_id, record=world.running.signed_by_roots(record, signers)
        )

    return build


def key_record(signer: str = "authority/310000", request_id: str = "K-1", **changes: Any) -> Build:
    def build(world: World) -> Message:
        record = messages_pb2.KeyRecord(
            owner=SHANGHAI,
            role=messages_pb2.KEY_ROLE_MESSAGE,
            suite=messages_pb2.SUITE_ED25519,
            public_key=secrets.token_bytes(32),
            key_epoch=2,
        )
        envelope = world.running.signed_by_roots(spoil(record, **changes), (signer,))
        return directory_pb2.SubmitKeyRecordRequest(request_id=request_id, record=envelope)

    return build


def forged_token(world: World) -> str:
    """Take a good token of a list and put another position into it."""
    page = directory_pb2.ListLocationsResponse.FromString(
        world.send(
            f"{API}LocationService/ListLocations",
            directory_pb2.ListLocationsRequest(page_size=1).SerializeToString(),
            SHANGHAI,
        )
    )
    raw = base64.urlsafe_b64decode(page.next_page_token + "=" * (-len(page.next_page_token) % 4))
    return base64.urlsafe_b64encode(raw[:8] + b"x nonsense").decode().rstrip("=")


def other_token(world: World) -> str:
    """Take a good token of another query."""
    page = directory_pb2.ListLocationsResponse.FromString(
        world.send(
            f"{API}LocationService/ListLocations",
            directory_pb2.ListLocationsRequest(page_size=1).SerializeToString(),
            SHANGHAI,
        )
    )
    assert page.next_page_token
    return page.next_page_token


def submit(messages: Callable[[World], Sequence[Any]], party: str = SHANGHAI) -> Build:
    return lambda world: sync_pb2.SubmitMessagesRequest(batch=batch_of(world, messages(world), party))


SYNC: Final = f"{API}SyncService/"
DIRECTORY: Final = f"{API}DirectoryService/"
RECOGNITION: Final = f"{API}RecognitionService/"
DECISION: Final = f"{API}DecisionService/"
LOCATION: Final = f"{API}LocationService/"
CLAIM: Final = f"{API}ClaimService/"
NOTICE: Final = claims_pb2.CLAIM_STATUS_NOTICE
WITHDRAWN: Final = claims_pb2.CLAIM_STATUS_WITHDRAWN
LOCATIONS: Final = directory_pb2.ListLocationsRequest
ENTRIES: Final = directory_pb2.ListLogEntriesRequest
OUTCOME: Final = directory_pb2.GetOutcomeRequest
TRACE: Final = directory_pb2.TraceUnitsRequest


def traced(start: int, end: int, series_id: str = SERIES) -> Build:
    block = values_pb2.UnitBlock(series_id=series_id, start_serial=start, end_serial=end)
    return plain(TRACE(block=block))


def at(seconds: int, nanos: int = 0) -> Build:
    moment = Timestamp(seconds=seconds, nanos=nanos)
    return plain(clock_pb2.AdvanceTestClockRequest(to_time=moment))


CASES: Final[tuple[Case, ...]] = (
    Case(f"{CLOCK}GetClock", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(
        f"{CLOCK}AdvanceTestClock",
        "no moment",
        "FIELD_MISSING",
        plain(clock_pb2.AdvanceTestClockRequest()),
        SHANGHAI_CENTRE,
    ),
    Case(f"{CLOCK}AdvanceTestClock", "set back", "CLOCK_SET_BACK", at(1_600_000_000), SHANGHAI_CENTRE),
    Case(f"{CLOCK}AdvanceTestClock", "beyond all years", "FIELD_INVALID", at(2**40), SHANGHAI_CENTRE),
    Case(f"{CLOCK}AdvanceTestClock", "by a region", "CALLER_NOT_PERMITTED", at(2_000_000_000), SHANGHAI),
    Case(f"{SYNC}Connect", "nothing said", "FIELD_MISSING", plain(sync_pb2.ConnectRequest())),
    Case(
        f"{SYNC}Connect",
        "a frame before Hello",
        "FIELD_MISSING",
        plain(sync_pb2.ConnectRequest(acknowledge=sync_pb2.Acknowledge(up_to_number=1))),
    ),
    Case(f"{SYNC}Connect", "junk", "MESSAGE_MALFORMED", plain(b"\xff" * 40)),
    Case(f"{SYNC}Connect", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(f"{SYNC}Connect", "by a reader", "CALLER_NOT_PERMITTED", plain(sync_pb2.ConnectRequest()), READER),
    Case(f"{SYNC}SubmitMessages", "no batch", "FIELD_MISSING", plain(sync_pb2.SubmitMessagesRequest())),
    Case(
        f"{SYNC}SubmitMessages",
        "an empty batch",
        "BATCH_EMPTY",
        plain(sync_pb2.SubmitMessagesRequest(batch=envelope_pb2.EnvelopeBatch())),
    ),
    Case(
        f"{SYNC}SubmitMessages",
        "too many items",
        "BATCH_TOO_LARGE",
        plain(sync_pb2.SubmitMessagesRequest(batch=envelope_pb2.EnvelopeBatch(payloads=[b""] * 1001))),
    ),
    Case(
        f"{SYNC}SubmitMessages",
        "a numbered type",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        submit(lambda _: [messages_pb2.SourceFinal()]),
    ),
    Case(
        f"{SYNC}SubmitMessages", "a Hello", "PAYLOAD_TYPE_NOT_ALLOWED", submit(lambda _: [sync_pb2.Hello()])
    ),
    Case(f"{DIRECTORY}ListRegions", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(
        f"{DIRECTORY}ListKeys",
        "an owner that is none",
        "FIELD_INVALID",
        plain(directory_pb2.ListKeysRequest(owner="nobody/at/all")),
    ),
    Case(f"{DIRECTORY}SubmitKeyRecord", "no request id", "REQUEST_ID_INVALID", key_record(request_id="")),
    Case(
        f"{DIRECTORY}SubmitKeyRecord",
        "no record",
        "FIELD_MISSING",
        plain(directory_pb2.SubmitKeyRecordRequest(request_id="K-1")),
    ),
    Case(
        f"{DIRECTORY}SubmitKeyRecord",
        "another authority's root",
        "SENDER_MISMATCH",
        key_record("authority/440300"),
    ),
    Case(f"{DIRECTORY}SubmitKeyRecord", "a short key", "FIELD_INVALID", key_record(public_key=b"short")),
    Case(f"{DIRECTORY}SubmitKeyRecord", "no role", "FIELD_INVALID", key_record(role=0)),
    Case(f"{DIRECTORY}SubmitKeyRecord", "an unknown role", "ENUM_UNKNOWN", key_record(role=77)),
    Case(
        f"{DIRECTORY}SubmitKeyRecord",
        "a suite not accepted yet",
        "SUITE_NOT_SUPPORTED",
        key_record(suite=messages_pb2.SUITE_SM2_SM3),
    ),
    Case(f"{DIRECTORY}SubmitKeyRecord", "an owner that is none", "FIELD_INVALID", key_record(owner="x/y")),
    Case(f"{DIRECTORY}SubmitKeyRecord", "a negative epoch", "FIELD_INVALID", key_record(key_epoch=-1)),
    Case(
        f"{DIRECTORY}SubmitKeyRecord",
        "a reversed validity",
        "RANGE_REVERSED",
        key_record(valid_from_index=9, valid_to_index=3),
    ),
    Case(f"{DIRECTORY}SubmitKeyRecord", "a reader's", "CALLER_NOT_PERMITTED", key_record(), READER),
    Case(
        f"{RECOGNITION}SubmitRecognition", "no request id", "REQUEST_ID_INVALID", recognising(request_id="")
    ),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "a request id used",
        "REQUEST_ID_REUSED",
        recognising(request_id="A-1"),
    ),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "no record",
        "FIELD_MISSING",
        plain(directory_pb2.SubmitRecognitionRequest(request_id="R-1")),
    ),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "one root alone",
        "AGREEMENT_NOT_SIGNED",
        recognising(("authority/310000",)),
    ),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "a root of a third",
        "AGREEMENT_NOT_SIGNED",
        recognising(("authority/310000", "authority/530000")),
    ),
    Case(f"{RECOGNITION}SubmitRecognition", "no id", "FIELD_MISSING", recognising(agreement_id="")),
    Case(f"{RECOGNITION}SubmitRecognition", "a long id", "TEXT_TOO_LONG", recognising(agreement_id="x" * 65)),
    Case(f"{RECOGNITION}SubmitRecognition", "a zero byte", "FIELD_INVALID", recognising(document="\x00")),
    Case(f"{RECOGNITION}SubmitRecognition", "no programmes", "FIELD_MISSING", recognising(programmes=None)),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "101 purposes",
        "BATCH_TOO_LARGE",
        recognising(purposes=[f"p{number}" for number in range(101)]),
    ),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "a negative cap",
        "QUANTITY_NOT_POSITIVE",
        recognising(quantity_cap_kg=-1),
    ),
    Case(f"{RECOGNITION}SubmitRecognition", "no period", "FIELD_INVALID", recognising(period=None)),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "a reversed period",
        "RANGE_REVERSED",
        recognising(period=period((2027, 1, 1), (2026, 1, 1))),
    ),
    Case(
        f"{RECOGNITION}SubmitRecognition",
        "more than a whole discount",
        "FIELD_INVALID",
        recognising(discount_at_use_ppm=1_000_001),
    ),
    Case(
        f"{RECOGNITION}ListRecognitions",
        "a region that is none",
        "FIELD_INVALID",
        plain(directory_pb2.ListRecognitionsRequest(from_region="\x00")),
    ),
    Case(f"{DECISION}GetOutcome", "no source", "FIELD_MISSING", plain(OUTCOME(transfer_id=bytes(16)))),
    Case(
        f"{DECISION}GetOutcome",
        "a source that is no region",
        "FIELD_INVALID",
        plain(OUTCOME(source="bridge", transfer_id=bytes(16))),
    ),
    Case(f"{DECISION}GetOutcome", "no id", "FIELD_MISSING", plain(OUTCOME(source=SHANGHAI))),
    Case(
        f"{DECISION}GetOutcome",
        "a short id",
        "FIELD_INVALID",
        plain(OUTCOME(source=SHANGHAI, transfer_id=bytes(15))),
    ),
    Case(f"{DECISION}ListLogEntries", "a negative index", "FIELD_INVALID", plain(ENTRIES(from_index=-1))),
    Case(f"{DECISION}ListLogEntries", "a negative page", "FIELD_INVALID", plain(ENTRIES(page_size=-1))),
    *RECOVERY_AND_RECONCILIATION,
    Case(f"{DECISION}GetLogStatus", "an unknown field", "UNKNOWN_FIELD", plain(UNKNOWN_FIELD)),
    Case(f"{LOCATION}ListLocations", "a negative page", "FIELD_INVALID", plain(LOCATIONS(page_size=-1))),
    Case(
        f"{LOCATION}ListLocations",
        "a token of another query",
        "PAGE_TOKEN_INVALID",
        lambda world: LOCATIONS(page_token=other_token(world), region=SHANGHAI),
    ),
    Case(
        f"{LOCATION}ListLocations",
        "a forged token",
        "PAGE_TOKEN_INVALID",
        lambda world: LOCATIONS(page_token=forged_token(world)),
    ),
    Case(
        f"{LOCATION}ListLocations",
        "a token that is none",
        "PAGE_TOKEN_INVALID",
        plain(LOCATIONS(page_token="%%%")),
    ),
    Case(
        f"{LOCATION}ListLocations",
        "a long token",
        "PAGE_TOKEN_INVALID",
        plain(LOCATIONS(page_token="a" * 513)),
    ),
    Case(f"{LOCATION}ListLocations", "a zero byte", "FIELD_INVALID", plain(LOCATIONS(series_id="\x00"))),
    Case(
        f"{LOCATION}ListLocations", "a region that is none", "FIELD_INVALID", plain(LOCATIONS(region="\x00"))
    ),
    Case(f"{LOCATION}TraceUnits", "no block", "FIELD_MISSING", plain(TRACE())),
    Case(
        f"{LOCATION}TraceUnits",
        "half a transfer",
        "FIELD_INVALID",
        plain(TRACE(block=values_pb2.UnitBlock(series_id="x", end_serial=1), transfer_id=b"x" * 8)),
    ),
    Case(f"{LOCATION}TraceUnits", "no series", "FIELD_MISSING", traced(0, 1, "")),
    Case(f"{LOCATION}TraceUnits", "an unknown series", "SERIES_UNKNOWN", traced(0, 1, "310000:X:Y:2026:1")),
    Case(f"{LOCATION}TraceUnits", "a reversed range", "RANGE_REVERSED", traced(5, 1)),
    Case(f"{LOCATION}TraceUnits", "an empty range", "RANGE_REVERSED", traced(5, 5)),
    Case(f"{LOCATION}TraceUnits", "negative serials", "FIELD_INVALID", traced(-5, 5)),
    *(
        Case(f"{API}LogService/{method}", name, symbol, plain(request), party)
        for method, name, symbol, request, party in BAD_LOG
    ),
    *(Case(f"{CLAIM}CheckClaim", name, symbol, checked(**changes)) for name, symbol, changes in BAD_CLAIMS),
    *(
        Case(f"{CLAIM}DeclareClaim", name, symbol, declared(**changes))
        for name, symbol, changes in BAD_CLAIMS
    ),
    *(
        Case(f"{CLAIM}{method}", name, symbol, build(**changes))
        for method, build in (("CheckClaim", checked), ("DeclareClaim", declared))
        for name, symbol, changes in BAD_TOKENS_OF_CLAIMS
    ),
    *BAD_TOKENS,
    Case(f"{CLAIM}CheckClaim", "no claim", "FIELD_MISSING", plain(claims_pb2.CheckClaimRequest())),
    Case(f"{CLAIM}CheckClaim", "by a gateway", "CALLER_NOT_PERMITTED", checked(), "gateway/gec"),
    Case(f"{CLAIM}BatchCheckClaims", "nothing", "BATCH_EMPTY", plain(claims_pb2.BatchCheckClaimsRequest())),
    Case(
        f"{CLAIM}BatchCheckClaims",
        "1001 claims",
        "BATCH_TOO_LARGE",
        plain(claims_pb2.BatchCheckClaimsRequest(claims=[claims_pb2.Claim()] * 1001)),
    ),
    Case(
        f"{CLAIM}BatchCheckClaims",
        "a bad claim",
        "FIELD_MISSING",
        plain(claims_pb2.BatchCheckClaimsRequest(claims=[wrong_claim(), wrong_claim(claim_id="")])),
    ),
    Case(f"{CLAIM}DeclareClaim", "no envelope", "FIELD_MISSING", plain(claims_pb2.DeclareClaimRequest())),
    Case(
        f"{CLAIM}DeclareClaim",
        "a claim of another region",
        "REGION_SCOPE_MISMATCH",
        declared(region=SHENZHEN),
    ),
    Case(
        f"{CLAIM}DeclareClaim",
        "a known id with another content",
        "REQUEST_ID_REUSED",
        declared(claim_id="310000:instalment:2"),
    ),
    Case(
        f"{CLAIM}DeclareClaim",
        "the statement of a step",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        lambda world: claims_pb2.DeclareClaimRequest(envelope=moved(NOTICE)(world)),
    ),
    Case(
        f"{CLAIM}BatchDeclareClaims",
        "no batch",
        "FIELD_MISSING",
        plain(claims_pb2.BatchDeclareClaimsRequest()),
    ),
    Case(
        f"{CLAIM}BatchDeclareClaims",
        "an empty batch",
        "BATCH_EMPTY",
        plain(claims_pb2.BatchDeclareClaimsRequest(batch=envelope_pb2.EnvelopeBatch())),
    ),
    Case(
        f"{CLAIM}BatchDeclareClaims",
        "a type that is none here",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        lambda world: claims_pb2.BatchDeclareClaimsRequest(batch=batch_of(world, [messages_pb2.Issue()])),
    ),
    Case(f"{CLAIM}RegisterClaim", "no envelope", "FIELD_MISSING", plain(claims_pb2.RegisterClaimRequest())),
    Case(f"{CLAIM}RegisterClaim", "no status", "FIELD_MISSING", registering(0)),
    Case(f"{CLAIM}RegisterClaim", "an unknown status", "ENUM_UNKNOWN", registering(99)),
    Case(f"{CLAIM}RegisterClaim", "an end", "FIELD_INVALID", registering(WITHDRAWN)),
    Case(
        f"{CLAIM}RegisterClaim",
        "a step that is none",
        "CLAIM_STATE_WRONG",
        registering(claims_pb2.CLAIM_STATUS_ISSUED),
    ),
    Case(f"{CLAIM}RegisterClaim", "no claim", "FIELD_MISSING", registering(NOTICE, claim_id="")),
    Case(f"{CLAIM}RegisterClaim", "an unknown claim", "CLAIM_UNKNOWN", registering(NOTICE, claim_id="x")),
    Case(f"{CLAIM}RegisterClaim", "a long reason", "TEXT_TOO_LONG", registering(NOTICE, reason="x" * 257)),
    Case(
        f"{CLAIM}RegisterClaim",
        "another region",
        "REGION_SCOPE_MISMATCH",
        registering(NOTICE, SHENZHEN),
        SHENZHEN,
    ),
    Case(f"{CLAIM}RegisterClaim", "in another's name", "PEER_NOT_SENDER", registering(NOTICE), SHENZHEN),
    Case(f"{CLAIM}ReleaseClaim", "no envelope", "FIELD_MISSING", plain(claims_pb2.ReleaseClaimRequest())),
    Case(f"{CLAIM}ReleaseClaim", "no end", "FIELD_INVALID", releasing(NOTICE)),
    Case(f"{CLAIM}ReleaseClaim", "an unknown claim", "CLAIM_UNKNOWN", releasing(WITHDRAWN, claim_id="x")),
    Case(
        f"{CLAIM}ReleaseClaim",
        "another region",
        "REGION_SCOPE_MISMATCH",
        releasing(WITHDRAWN, SHENZHEN),
        SHENZHEN,
    ),
    Case(
        f"{CLAIM}ReleaseClaim",
        "a claim that is issued",
        "CLAIM_STATE_WRONG",
        releasing(WITHDRAWN, claim_id="310000:instalment:1"),
    ),
    Case(f"{CLAIM}GetClaim", "no id", "FIELD_MISSING", plain(claims_pb2.GetClaimRequest())),
    Case(
        f"{CLAIM}GetClaim", "an unknown id", "CLAIM_UNKNOWN", plain(claims_pb2.GetClaimRequest(claim_id="x"))
    ),
    Case(
        f"{CLAIM}GetClaim", "a long id", "TEXT_TOO_LONG", plain(claims_pb2.GetClaimRequest(claim_id="x" * 97))
    ),
    Case(
        f"{CLAIM}ListClaims",
        "a negative page",
        "FIELD_INVALID",
        plain(claims_pb2.ListClaimsRequest(page_size=-1)),
    ),
    Case(
        f"{CLAIM}ListClaims",
        "a region that is none",
        "FIELD_INVALID",
        plain(claims_pb2.ListClaimsRequest(region="\x00")),
    ),
    Case(
        f"{CLAIM}ListClaims",
        "an unknown programme",
        "ENUM_UNKNOWN",
        plain(claims_pb2.ListClaimsRequest(programme=99)),  # type: ignore[arg-type] # the point
    ),
    Case(
        f"{CLAIM}ListClaims",
        "a scheme that is none",
        "FIELD_INVALID",
        plain(claims_pb2.ListClaimsRequest(reference=claims_pb2.AssetReference(scheme="!", value="1"))),
    ),
    Case(
        f"{CLAIM}ListClaims",
        "a token of another list",
        "PAGE_TOKEN_INVALID",
        lambda world: claims_pb2.ListClaimsRequest(page_token=other_token(world)),
    ),
    *(Case(*bad) for bad in BAD_ORDERS),
    *BAD_CASES,
    *BAD_COORDINATION,
    *BAD_QUERIES,
    *BAD_CONFLICTS,
    *BAD_WITNESS_GROUPS,
)


@pytest.mark.parametrize("method", sorted(CALLERS))
def test_a_bad_request_is_refused_with_its_reason_and_changes_nothing(world: World, method: str) -> None:
    with row(world) as row_of_method:
        for case in CASES:
            if case.method == method:
                with row_of_method.of(case):
                    request = case.build(world)
                    data = request if isinstance(request, bytes) else request.SerializeToString()
                    error = refused(world.send, case.method, data, case.party)
                    assert error.symbol == case.symbol, error


def test_every_method_of_the_bridge_has_a_refusing_case() -> None:
    assert {case.method for case in CASES} == set(CALLERS)


UNREADABLE: Final = (
    ("an unknown field", UNKNOWN_FIELD, "UNKNOWN_FIELD"),
    ("junk", b"\xff" * 24, "MESSAGE_MALFORMED"),
    ("a request above the bound", b"\xfa\x3f" + b"\x80\x80\x80\x04" + bytes(8 << 20), "MESSAGE_TOO_LARGE"),
)


@pytest.mark.parametrize("method", sorted(CALLERS))
def test_what_cannot_be_read_reaches_no_method(world: World, method: str) -> None:
    """Nothing of this reaches a database: the request above the bound, the dearest, is sent on SQLite."""
    may = any(party_matches(pattern, SHANGHAI) for pattern in CALLERS[method])
    party = SHANGHAI if may else SHANGHAI_CENTRE
    with row(world) as row_of_method:
        for name, data, symbol in UNREADABLE:
            assert len(data) < REQUEST_BYTES_MAX or symbol == "MESSAGE_TOO_LARGE"
            if symbol == "MESSAGE_TOO_LARGE" and world.database.dialect != "sqlite":
                continue
            with row_of_method.of(name):
                assert refused(world.send, method, data, party).symbol == symbol
