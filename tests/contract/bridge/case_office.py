"""Short ways to contest claims, resolve cases and decide aliases at a bridge under test (虚构)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import cases_pb2, cases_pb2_grpc, claims_pb2, claims_pb2_grpc
from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tests.contract.bridge.approvers import BRIDGE_AUTHORITY, SHANGHAI_AUTHORITY, Signers, signed
from tests.contract.bridge.claims_office import call
from tests.contract.bridge.harness import START, WAIT_SECONDS, Running

TWO_BODIES: Signers = ((BRIDGE_AUTHORITY, 0), (SHANGHAI_AUTHORITY, 0))
ALLOW = cases_pb2.RESOLUTION_ALLOW
BLOCK = cases_pb2.RESOLUTION_BLOCK
SAME = cases_pb2.ALIAS_RELATION_SAME
DIFFERENT = cases_pb2.ALIAS_RELATION_DIFFERENT
NATIONAL = "reader/national"
CLOCK_OPERATOR = "operator/310000/sh.centre"


def cases_stub(running: Running, party: str = SHANGHAI) -> cases_pb2_grpc.CaseServiceStub:
    """Give the case service as a party calls it."""
    return cases_pb2_grpc.CaseServiceStub(running.channel(party))


def contest(running: Running, claim_id: str, region: str = SHENZHEN) -> int:
    """Contest a claim as a region; the number of the case."""
    statement = cases_pb2.ContestStatement(claim_id=claim_id, reason="invented", document="evidence 1")
    request = cases_pb2.ContestClaimRequest(envelope=running.network.envelope(statement, region))
    response = call(lambda: cases_stub(running, region).ContestClaim(request, timeout=WAIT_SECONDS))
    again = call(lambda: cases_stub(running, region).ContestClaim(request, timeout=WAIT_SECONDS))
    assert again == response
    return int(response.case_id)


def resolve(
    running: Running,
    case_id: int,
    resolution: int,
    claim_ids: Sequence[str] = (),
    signers: Signers = TWO_BODIES,
) -> cases_pb2.ResolveCaseResponse:
    """Sign a resolution and bring it, twice: the answer is the same."""
    message = cases_pb2.CaseResolution(
        case_id=case_id,
        resolution=resolution,  # type: ignore[arg-type]
        claim_ids=claim_ids,
        reason="invented",
        document="minutes 7",
    )
    request = cases_pb2.ResolveCaseRequest(
        request_id=secrets.token_hex(8), resolution=signed(running.network, message, signers[0][0], signers)
    )
    response = call(lambda: cases_stub(running).ResolveCase(request, timeout=WAIT_SECONDS))
    request.request_id = secrets.token_hex(8)
    assert call(lambda: cases_stub(running).ResolveCase(request, timeout=WAIT_SECONDS)) == response
    return response  # type: ignore[no-any-return]


def decide(running: Running, first: tuple[str, str], second: tuple[str, str], relation: int = SAME) -> int:
    """Decide that two references mean one asset, or two; the log index."""
    message = cases_pb2.AliasDecision(
        first=claims_pb2.AssetReference(scheme=first[0], value=first[1]),
        second=claims_pb2.AssetReference(scheme=second[0], value=second[1]),
        relation=relation,  # type: ignore[arg-type]
        reason="invented",
        document="review 3",
    )
    request = cases_pb2.DecideAliasRequest(
        request_id=secrets.token_hex(8),
        decision=signed(running.network, message, TWO_BODIES[0][0], TWO_BODIES),
    )
    response = call(lambda: cases_stub(running).DecideAlias(request, timeout=WAIT_SECONDS))
    return int(response.log_index)


def cases_of(running: Running, **filters: Any) -> list[cases_pb2.Case]:
    """List cases as an authority sees them."""
    request = cases_pb2.ListCasesRequest(page_size=100, **filters)
    return list(cases_stub(running, NATIONAL).ListCases(request, timeout=WAIT_SECONDS).cases)


def status_of(running: Running, claim_id: str) -> int:
    """Give where a claim stands."""
    stub = claims_pb2_grpc.ClaimServiceStub(running.channel(SHANGHAI))
    request = claims_pb2.GetClaimRequest(claim_id=claim_id)
    return int(stub.GetClaim(request, timeout=WAIT_SECONDS).claim.status)


def square(west: float, south: float, side: float = 0.01) -> str:
    """Give a square parcel in degrees as GeoJSON."""
    east, north = west + side, south + side
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return json.dumps({"type": "Polygon", "coordinates": [ring]})


def parcel(claim: claims_pb2.Claim, geometry: str, **changes: Any) -> claims_pb2.Claim:
    """Make a claim to the carbon of a parcel that only its polygon tells from others."""
    del claim.asset.references[:]
    claim.asset.kind = "forest"
    claim.asset.geometry = geometry
    claim.attribute = claims_pb2.ATTRIBUTE_CARBON_STOCK
    claim.MergeFrom(claims_pb2.Claim(**changes))
    return claim


def advance_days(running: Running, days: int) -> None:
    """Put the test clock forward, counted from the start of the tests."""
    moment = Timestamp()
    moment.FromDatetime(datetime.fromisoformat(START).astimezone(UTC) + timedelta(days=days))
    stub = clock_pb2_grpc.ClockServiceStub(running.channel(CLOCK_OPERATOR))
    stub.AdvanceTestClock(clock_pb2.AdvanceTestClockRequest(to_time=moment), timeout=WAIT_SECONDS)
