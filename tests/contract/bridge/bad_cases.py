"""Bad contests, resolutions and alias decisions, each with the reason that it is refused for."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import cases_pb2, claim_queries_pb2, claims_pb2
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tests.contract.bridge.approvers import BRIDGE_AUTHORITY, SHANGHAI_AUTHORITY, Signers, both, signed
from tests.contract.bridge.cases import Build, Case, plain
from tests.contract.bridge.unchanged import API, World, spoil

CASES: Final = f"{API}CaseService/"
NOMINATE: Final = f"{CASES}NominatePairs"
OPERATOR: Final = "operator/310000/sh.centre"
TWO_BODIES: Final[Signers] = ((BRIDGE_AUTHORITY, 0), (SHANGHAI_AUTHORITY, 0))


def contesting(party: str = SHENZHEN, **changes: Any) -> Build:
    """Contest an invented claim with something wrong."""

    def build(world: World) -> Message:
        statement = cases_pb2.ContestStatement(claim_id="310000:none", reason="x", document="y")
        return cases_pb2.ContestClaimRequest(
            envelope=world.network.envelope(spoil(statement, **changes), party)
        )

    return build


def resolving(signers: Signers = TWO_BODIES, request_id: str = "R-1", **changes: Any) -> Build:
    """Resolve a case that is none, with something wrong."""

    def build(world: World) -> Message:
        message = cases_pb2.CaseResolution(
            case_id=404, resolution=cases_pb2.RESOLUTION_ALLOW, reason="x", document="y"
        )
        envelope = signed(world.network, spoil(message, **changes), signers[0][0], signers)
        return cases_pb2.ResolveCaseRequest(request_id=request_id, resolution=envelope)

    return build


def deciding(signers: Signers = TWO_BODIES, request_id: str = "D-1", **changes: Any) -> Build:
    """Decide an alias with something wrong."""

    def build(world: World) -> Message:
        message = cases_pb2.AliasDecision(
            first=claims_pb2.AssetReference(scheme="cdm", value="1"),
            second=claims_pb2.AssetReference(scheme="vcs", value="2"),
            relation=cases_pb2.ALIAS_RELATION_SAME,
            reason="x",
            document="y",
        )
        envelope = signed(world.network, spoil(message, **changes), signers[0][0], signers)
        return cases_pb2.DecideAliasRequest(request_id=request_id, decision=envelope)

    return build


def nominating(times: int = 1, **changes: Any) -> Build:
    """Nominate a pair, so many times, with something wrong."""
    pair = cases_pb2.NominatedPair(
        first=claims_pb2.AssetReference(scheme="cdm", value="1"),
        second=claims_pb2.AssetReference(scheme="vcs", value="2"),
        probability_ppm=990_000,
        explanation="x",
    )
    return plain(cases_pb2.NominatePairsRequest(pairs=[spoil(pair, **changes)] * times))


BAD_CASES: Final = (
    Case(f"{CASES}ContestClaim", "nothing", "FIELD_MISSING", plain(cases_pb2.ContestClaimRequest())),
    Case(f"{CASES}ContestClaim", "an unknown claim", "CLAIM_UNKNOWN", contesting(), SHENZHEN),
    Case(f"{CASES}ContestClaim", "no reason", "FIELD_MISSING", contesting(reason=""), SHENZHEN),
    Case(f"{CASES}ContestClaim", "no claim", "FIELD_MISSING", contesting(claim_id=""), SHENZHEN),
    Case(
        f"{CASES}ContestClaim",
        "a long document",
        "TEXT_TOO_LONG",
        contesting(document="x" * 501),
        SHENZHEN,
    ),
    Case(f"{CASES}ContestClaim", "in another's name", "PEER_NOT_SENDER", contesting(), SHANGHAI),
    Case(f"{CASES}ResolveCase", "no request id", "REQUEST_ID_INVALID", resolving(request_id="")),
    Case(
        f"{CASES}ResolveCase",
        "nothing signed",
        "FIELD_MISSING",
        plain(cases_pb2.ResolveCaseRequest(request_id="R-1")),
    ),
    Case(f"{CASES}ResolveCase", "an unknown case", "CASE_UNKNOWN", resolving()),
    Case(f"{CASES}ResolveCase", "no resolution", "FIELD_MISSING", resolving(resolution=0)),
    Case(f"{CASES}ResolveCase", "an unknown resolution", "ENUM_UNKNOWN", resolving(resolution=9)),
    Case(f"{CASES}ResolveCase", "no document", "FIELD_MISSING", resolving(document="")),
    Case(f"{CASES}ResolveCase", "an ALLOW that bars", "FIELD_INVALID", resolving(claim_ids=["x"])),
    Case(f"{CASES}ResolveCase", "101 claims", "BATCH_TOO_LARGE", resolving(claim_ids=["x"] * 101)),
    Case(f"{CASES}ResolveCase", "one body", "APPROVERS_MISSING", resolving(both(BRIDGE_AUTHORITY))),
    Case(
        f"{CASES}ResolveCase",
        "an alias decision",
        "PAYLOAD_TYPE_NOT_ALLOWED",
        lambda world: cases_pb2.ResolveCaseRequest(
            request_id="R-1",
            resolution=deciding()(world).decision,  # type: ignore[union-attr]
        ),
    ),
    Case(f"{CASES}DecideAlias", "no request id", "REQUEST_ID_INVALID", deciding(request_id="")),
    Case(
        f"{CASES}DecideAlias",
        "nothing signed",
        "FIELD_MISSING",
        plain(cases_pb2.DecideAliasRequest(request_id="D-1")),
    ),
    Case(f"{CASES}DecideAlias", "no relation", "FIELD_MISSING", deciding(relation=0)),
    Case(f"{CASES}DecideAlias", "an unknown relation", "ENUM_UNKNOWN", deciding(relation=9)),
    Case(f"{CASES}DecideAlias", "one approver", "APPROVERS_MISSING", deciding(((SHANGHAI_AUTHORITY, 0),))),
    Case(
        f"{CASES}DecideAlias",
        "a name",
        "FIELD_INVALID",
        deciding(first__scheme="name", first__value="plant"),
    ),
    Case(
        f"{CASES}DecideAlias",
        "one reference twice",
        "FIELD_INVALID",
        deciding(second__scheme="cdm", second__value="1"),
    ),
    Case(
        f"{CASES}ListCases",
        "a body that is none",
        "FIELD_INVALID",
        plain(cases_pb2.ListCasesRequest(body="x")),
    ),
    Case(
        f"{CASES}ListCases", "an unknown state", "FIELD_INVALID", plain(cases_pb2.ListCasesRequest(state="x"))
    ),
    Case(
        f"{CASES}ListCases",
        "a negative page",
        "FIELD_INVALID",
        plain(cases_pb2.ListCasesRequest(page_size=-1)),
    ),
    Case(f"{CASES}GetCase", "no case", "FIELD_MISSING", plain(cases_pb2.GetCaseRequest())),
    Case(f"{CASES}GetCase", "an unknown case", "CASE_UNKNOWN", plain(cases_pb2.GetCaseRequest(case_id=404))),
    Case(NOMINATE, "nothing", "BATCH_EMPTY", plain(cases_pb2.NominatePairsRequest()), OPERATOR),
    Case(NOMINATE, "101 pairs", "BATCH_TOO_LARGE", nominating(times=101), OPERATOR),
    Case(NOMINATE, "by a region", "CALLER_NOT_PERMITTED", nominating(), SHANGHAI),
    Case(NOMINATE, "a name", "FIELD_INVALID", nominating(first__scheme="name"), OPERATOR),
    Case(
        NOMINATE,
        "a vehicle",
        "PERSONAL_IDENTIFIER_SENT",
        nominating(first__scheme="vin", first__value="1M8GDM9AXKP042788"),
        OPERATOR,
    ),
    Case(
        NOMINATE,
        "one reference twice",
        "FIELD_INVALID",
        nominating(second__scheme="cdm", second__value="1"),
        OPERATOR,
    ),
    Case(NOMINATE, "no score", "FIELD_INVALID", nominating(probability_ppm=0), OPERATOR),
    Case(
        NOMINATE,
        "more than certain",
        "FIELD_INVALID",
        nominating(probability_ppm=1_000_001),
        OPERATOR,
    ),
    Case(NOMINATE, "no reason", "FIELD_MISSING", nominating(explanation=""), OPERATOR),
    Case(NOMINATE, "a long row", "TEXT_TOO_LONG", nominating(first_row="x" * 8_001), OPERATOR),
    Case(NOMINATE, "no JSON", "FIELD_INVALID", nominating(first_row="{"), OPERATOR),
    *(
        Case(
            NOMINATE,
            f"half a surrogate pair in a {where}",
            "FIELD_INVALID",
            nominating(first_row=row),
            OPERATOR,
        )
        for where, row in (("cell", '{"name": "\\ud800"}'), ("column", '{"\\udfff": "x"}'))
    ),
    *(
        Case(
            NOMINATE,
            f"{what} in {field}",
            "PERSONAL_IDENTIFIER_SENT",
            nominating(1, **{field: text}),
            OPERATOR,
        )
        for what, field, text in (
            ("a column of vehicles", "first_row", '{"VIN": "x"}'),
            ("a number as a column", "second_row", '{"13900000001": "x"}'),
            ("a resident", "second_row", '{"owner": "虚构 990000190001010016"}'),
            ("a telephone", "explanation", "电话：139-0000-0001。"),
        )
    ),
    Case(
        NOMINATE,
        "a row of rows",
        "FIELD_INVALID",
        nominating(second_row='{"a": {}}'),
        OPERATOR,
    ),
    Case(f"{CASES}ListAliases", "no reference", "FIELD_MISSING", plain(cases_pb2.ListAliasesRequest())),
)

QUERIES: Final = f"{API}ClaimQueryService/"


def searching(**changes: Any) -> Build:
    """Search with something wrong in the filter."""
    return plain(spoil(claim_queries_pb2.SearchClaimsRequest(), **changes))


BAD_QUERIES: Final = (
    Case(
        f"{QUERIES}SearchClaims",
        "an index to come",
        "FIELD_INVALID",
        plain(claim_queries_pb2.SearchClaimsRequest(as_of_index=10**9)),
    ),
    Case(
        f"{QUERIES}SearchClaims",
        "a negative index",
        "FIELD_INVALID",
        plain(claim_queries_pb2.SearchClaimsRequest(as_of_index=-1)),
    ),
    Case(f"{QUERIES}SearchClaims", "a region that is none", "FIELD_INVALID", searching(filter__region="x")),
    Case(
        f"{QUERIES}SearchClaims",
        "half a certificate",
        "FIELD_INVALID",
        searching(filter__certificate_code="9" * 17),
    ),
    Case(
        f"{QUERIES}SearchClaims",
        "an unknown programme",
        "ENUM_UNKNOWN",
        searching(filter__programme=99),
    ),
    Case(
        f"{QUERIES}SearchClaims",
        "seventeen statuses",
        "BATCH_TOO_LARGE",
        searching(filter__statuses=[2] * 17),
    ),
    Case(
        f"{QUERIES}SearchClaims",
        "a long project",
        "TEXT_TOO_LONG",
        searching(filter__project_id="x" * 97),
    ),
    Case(f"{QUERIES}SearchClaims", "by a gateway", "CALLER_NOT_PERMITTED", searching(), "gateway/gec"),
    Case(
        f"{QUERIES}GetClaimHistory",
        "no claim",
        "FIELD_MISSING",
        plain(claim_queries_pb2.GetClaimHistoryRequest()),
    ),
    Case(
        f"{QUERIES}GetClaimHistory",
        "an unknown claim",
        "CLAIM_UNKNOWN",
        plain(claim_queries_pb2.GetClaimHistoryRequest(claim_id="x")),
    ),
    Case(
        f"{QUERIES}ListQueries",
        "a negative page",
        "FIELD_INVALID",
        plain(claim_queries_pb2.ListQueriesRequest(page_size=-1)),
    ),
)
