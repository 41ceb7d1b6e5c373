"""Answers about claims, cases and units are signed beside the question, with their index (虚构)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import (
    cases_pb2,
    cases_pb2_grpc,
    claim_queries_pb2,
    claim_queries_pb2_grpc,
    claims_pb2,
    claims_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
)
from tanqiao.api.common.v1 import values_pb2
from tanqiao.signing.verify import Verifier, allow
from tanqiao.testing.network import BRIDGE, SHANGHAI
from tests.contract.bridge.case_office import ALLOW, contest, resolve
from tests.contract.bridge.conflict_office import NATIONAL, conflicts
from tests.contract.bridge.harness import (
    SERIES,
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    claim_of,
    declare,
    issue_units,
)

ANSWERS = allow(claim_queries_pb2.SignedAnswer, senders=(BRIDGE,))
CLAIM = "310000:instalment:1"
REFERENCE = claims_pb2.AssetReference(scheme="gec_filing_code", value="99310000000000701")
SERVICE = "/tanqiao.api.bridge.v1."
QUESTIONS: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("ClaimService/GetClaim", claims_pb2_grpc.ClaimServiceStub, claims_pb2.GetClaimRequest(claim_id=CLAIM)),
    ("ClaimService/ListClaims", claims_pb2_grpc.ClaimServiceStub, claims_pb2.ListClaimsRequest()),
    ("CaseService/ListCases", cases_pb2_grpc.CaseServiceStub, cases_pb2.ListCasesRequest(state="open")),
    ("CaseService/GetCase", cases_pb2_grpc.CaseServiceStub, cases_pb2.GetCaseRequest(case_id=1)),
    (
        "CaseService/ListAliases",
        cases_pb2_grpc.CaseServiceStub,
        cases_pb2.ListAliasesRequest(reference=REFERENCE),
    ),
    (
        "ClaimQueryService/GetClaimHistory",
        claim_queries_pb2_grpc.ClaimQueryServiceStub,
        claim_queries_pb2.GetClaimHistoryRequest(claim_id=CLAIM),
    ),
    (
        "ClaimQueryService/ListQueries",
        claim_queries_pb2_grpc.ClaimQueryServiceStub,
        claim_queries_pb2.ListQueriesRequest(),
    ),
]


def opened(running: Running, envelope: Any) -> claim_queries_pb2.SignedAnswer:
    message: claim_queries_pb2.SignedAnswer = (
        Verifier(running.network.network_id, NATIONAL)
        .open_envelope(envelope, running.network.directory, allowed=ANSWERS, peer=None, at_index=1_000_000)
        .message
    )
    return message


def require_signed(running: Running, method: str, request: Any, response: Any) -> None:
    """Demand that what was signed is this question and this answer."""
    answer = opened(running, response.envelope)
    assert (answer.method, answer.as_of_index) == (f"{SERVICE}{method}", response.as_of_index)
    assert type(request).FromString(answer.request) == request
    bare = type(response)()
    bare.CopyFrom(response)
    bare.ClearField("envelope")
    for step in getattr(bare, "steps", ()):
        if method == "LocationService/TraceUnits":
            step.ClearField("envelopes")
    assert answer.response == bare.SerializeToString()


def test_answers_are_signed_beside_the_question(running: Running) -> None:
    declare(running, SHANGHAI, claim_of(CLAIM))
    contest(running, CLAIM)
    for method, stub, request in QUESTIONS:
        call = getattr(stub(running.channel(NATIONAL)), method.rpartition("/")[2])
        response = call(request, timeout=WAIT_SECONDS)
        assert response.as_of_index == running.bridge.context.log_size, method
        require_signed(running, method, request, response)


def test_a_trace_is_signed_without_the_messages_that_prove_themselves(
    running: Running, shanghai: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted
    block = values_pb2.UnitBlock(series_id=SERIES, start_serial=0, end_serial=600)
    request = directory_pb2.TraceUnitsRequest(block=block)
    stub = directory_pb2_grpc.LocationServiceStub(running.channel(NATIONAL))
    response = stub.TraceUnits(request, timeout=WAIT_SECONDS)
    assert response.steps
    assert any(step.envelopes for step in response.steps)
    require_signed(running, "LocationService/TraceUnits", request, response)
    named = response.steps[0].transfer_id
    for transfer_id, found in ((named, [named]), (b"x" * 16, [])):
        request = directory_pb2.TraceUnitsRequest(block=block, transfer_id=transfer_id)
        response = stub.TraceUnits(request, timeout=WAIT_SECONDS)
        assert [step.transfer_id for step in response.steps] == found
        require_signed(running, "LocationService/TraceUnits", request, response)


@pytest.mark.parametrize("status", [claims_pb2.CLAIM_STATUS_DECLARED, claims_pb2.CLAIM_STATUS_WITHDRAWN])
def test_conflicts_by_methodology_and_status(running: Running, status: int) -> None:
    claim = claim_of(CLAIM)
    claim.methodology_id = "SHCER-01-V01"
    declare(running, SHANGHAI, claim)
    case_id = contest(running, CLAIM)
    found = [case_id] if status == claims_pb2.CLAIM_STATUS_DECLARED else []
    for claims, expected in (
        ({"statuses": [status]}, found),
        ({"methodology_id": "SHCER-01-V01"}, [case_id]),
        ({"methodology_id": "SHCER-01-V01", "statuses": [status], "region": SHANGHAI}, found),
        ({"methodology_id": "SHCER-02-V01"}, []),
        ({"methodology_id": "SHCER-01-V01", "region": "region/440300"}, []),
    ):
        assert conflicts(running, claims=claims) == expected, claims


def test_conflicts_stand_as_of_an_earlier_index(running: Running) -> None:
    context = running.bridge.context
    before = context.log_size
    declare(running, SHANGHAI, claim_of(CLAIM))
    declared = context.log_size
    case_id = contest(running, CLAIM)
    resolve(running, case_id, ALLOW)
    resolved = context.log_size
    assert before < declared < resolved
    for at, state, expected in (
        (before, "", []),
        (declared, "", [case_id]),
        (declared, "open", [case_id]),
        (declared, "allowed", []),
        (resolved, "open", []),
        (resolved, "allowed", [case_id]),
        (0, "allowed", [case_id]),
    ):
        assert conflicts(running, as_of_index=at, state=state) == expected, (at, state)
    lived = {"statuses": [claims_pb2.CLAIM_STATUS_DECLARED]}
    assert conflicts(running, as_of_index=declared, claims=lived) == [case_id]
