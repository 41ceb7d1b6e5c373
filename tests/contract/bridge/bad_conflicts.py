"""Bad questions about conflicts: bulk checks, explanations, lists of conflicts, the feed."""

from __future__ import annotations

from typing import Any, Final

from tanqiao.api.bridge.v1 import conflicts_pb2
from tanqiao.testing.network import SHANGHAI
from tests.contract.bridge.bad_claims import wrong_claim
from tests.contract.bridge.cases import Build, Case, plain
from tests.contract.bridge.unchanged import API, READER, spoil

CONFLICTS: Final = f"{API}ConflictService/"
GATEWAY: Final = "gateway/gec"


def listing(**changes: Any) -> Build:
    return plain(spoil(conflicts_pb2.ListConflictsRequest(), **changes))


def asking(count: int = 1, **changes: Any) -> Build:
    question = spoil(conflicts_pb2.ClaimQuestion(claim=wrong_claim()), **changes)
    return plain(conflicts_pb2.CheckClaimsRequest(questions=[question] * count))


def finding(party: str = READER, **changes: Any) -> tuple[Build, str]:
    return plain(spoil(conflicts_pb2.FindAssetsRequest(), **changes)), party


BAD_CONFLICTS: Final = (
    *(
        Case(f"{CONFLICTS}FindAssets", name, symbol, *found)
        for name, symbol, found in (
            ("nothing", "FIELD_MISSING", finding()),
            ("a long name", "TEXT_TOO_LONG", finding(name="x" * 257)),
            ("half a place", "FIELD_INVALID", finding(place_code="3")),
            ("a place in full-width digits", "FIELD_INVALID", finding(place_code="３１")),
            ("a negative capacity", "FIELD_INVALID", finding(capacity_kw_min=-1)),
            ("a reversed capacity", "RANGE_REVERSED", finding(capacity_kw_min=2, capacity_kw_max=1)),
            ("no polygon", "FIELD_INVALID", finding(geometry="{")),
            ("a credit code whose check fails", "IDENTITY_CODE_INVALID", finding(owner="91110000600037341M")),
            ("a forged token", "PAGE_TOKEN_INVALID", finding(name="x", page_token="eA")),
            ("a negative page", "FIELD_INVALID", finding(name="x", page_size=-1)),
            ("an owner, by a region", "CALLER_NOT_PERMITTED", finding(SHANGHAI, owner="x")),
            ("by a gateway", "CALLER_NOT_PERMITTED", finding(GATEWAY, name="x")),
        )
    ),
    Case(f"{CONFLICTS}CheckClaims", "nothing", "BATCH_EMPTY", plain(conflicts_pb2.CheckClaimsRequest())),
    Case(f"{CONFLICTS}CheckClaims", "1001 questions", "BATCH_TOO_LARGE", asking(1_001)),
    Case(f"{CONFLICTS}CheckClaims", "a long id", "TEXT_TOO_LONG", asking(question_id="x" * 97)),
    Case(f"{CONFLICTS}CheckClaims", "no message", "MESSAGE_MALFORMED", plain(b"\xff\xff")),
    Case(f"{CONFLICTS}CheckClaims", "by a gateway", "CALLER_NOT_PERMITTED", asking(), GATEWAY),
    Case(
        f"{CONFLICTS}ExplainVerdict", "nothing", "FIELD_MISSING", plain(conflicts_pb2.ExplainVerdictRequest())
    ),
    Case(
        f"{CONFLICTS}ExplainVerdict",
        "an empty id",
        "FIELD_MISSING",
        plain(conflicts_pb2.ExplainVerdictRequest(claim_id="")),
    ),
    Case(
        f"{CONFLICTS}ExplainVerdict",
        "an unknown claim",
        "CLAIM_UNKNOWN",
        plain(conflicts_pb2.ExplainVerdictRequest(claim_id="x")),
    ),
    Case(
        f"{CONFLICTS}ExplainVerdict",
        "a claim without a programme",
        "FIELD_MISSING",
        plain(conflicts_pb2.ExplainVerdictRequest(claim=wrong_claim(programme=0))),
    ),
    Case(
        f"{CONFLICTS}ExplainVerdict",
        "an identity number",
        "PERSONAL_IDENTIFIER_SENT",
        plain(
            conflicts_pb2.ExplainVerdictRequest(claim=wrong_claim(asset__references__0__scheme="resident_id"))
        ),
    ),
    Case(
        f"{CONFLICTS}ExplainVerdict",
        "by a gateway",
        "CALLER_NOT_PERMITTED",
        plain(conflicts_pb2.ExplainVerdictRequest(claim_id="x")),
        GATEWAY,
    ),
    Case(f"{CONFLICTS}ListConflicts", "an unknown state", "FIELD_INVALID", listing(filter__state="x")),
    Case(f"{CONFLICTS}ListConflicts", "an unknown kind", "FIELD_INVALID", listing(filter__kind="x")),
    Case(f"{CONFLICTS}ListConflicts", "a body that is none", "FIELD_INVALID", listing(filter__body="x")),
    Case(f"{CONFLICTS}ListConflicts", "a negative page", "FIELD_INVALID", listing(page_size=-1)),
    Case(f"{CONFLICTS}ListConflicts", "a forged token", "PAGE_TOKEN_INVALID", listing(page_token="eA")),
    Case(
        f"{CONFLICTS}ListConflicts",
        "a region that is none",
        "FIELD_INVALID",
        listing(filter__claims__region="x"),
        field="filter.claims.region",
    ),
    Case(
        f"{CONFLICTS}ListConflicts",
        "seventeen statuses",
        "BATCH_TOO_LARGE",
        listing(filter__claims__statuses=[2] * 17),
        field="filter.claims.statuses",
    ),
    Case(
        f"{CONFLICTS}ListConflicts",
        "an index that is not reached",
        "FIELD_INVALID",
        listing(as_of_index=10**9),
        field="as_of_index",
    ),
    Case(
        f"{CONFLICTS}ListConflicts",
        "an index below none",
        "FIELD_INVALID",
        listing(as_of_index=-1),
        field="as_of_index",
    ),
    Case(
        f"{CONFLICTS}ListConflicts",
        "another's subject",
        "CALLER_NOT_PERMITTED",
        listing(filter__claims__subject_uscc="91440300708461136T"),
    ),
    Case(
        f"{CONFLICTS}ListConflicts",
        "an unknown programme",
        "ENUM_UNKNOWN",
        listing(filter__claims__programme=99),
    ),
    Case(f"{CONFLICTS}ListConflicts", "by a reader", "CALLER_NOT_PERMITTED", listing(), "reader/statistics"),
    Case(
        f"{CONFLICTS}WatchConflicts",
        "a place that is none",
        "PAGE_TOKEN_INVALID",
        plain(conflicts_pb2.WatchConflictsRequest(resume_token="x")),
    ),
    Case(
        f"{CONFLICTS}WatchConflicts",
        "a place to come",
        "PAGE_TOKEN_INVALID",
        plain(conflicts_pb2.WatchConflictsRequest(resume_token="0.999999")),
    ),
    Case(
        f"{CONFLICTS}WatchConflicts",
        "by a reader",
        "CALLER_NOT_PERMITTED",
        plain(conflicts_pb2.WatchConflictsRequest()),
        "reader/statistics",
    ),
    Case(
        f"{CONFLICTS}GetConflictPack",
        "no case",
        "FIELD_MISSING",
        plain(conflicts_pb2.GetConflictPackRequest()),
    ),
    Case(
        f"{CONFLICTS}GetConflictPack",
        "a negative case",
        "FIELD_MISSING",
        plain(conflicts_pb2.GetConflictPackRequest(case_id=-1)),
    ),
    Case(
        f"{CONFLICTS}GetConflictPack",
        "an unknown case",
        "CASE_UNKNOWN",
        plain(conflicts_pb2.GetConflictPackRequest(case_id=404)),
    ),
    Case(
        f"{CONFLICTS}GetConflictPack",
        "by a reader",
        "CALLER_NOT_PERMITTED",
        plain(conflicts_pb2.GetConflictPackRequest(case_id=1)),
        "reader/statistics",
    ),
)
