"""Who sees what of the claim index: every cell of the table, seen over the wire, on both databases (虚构)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tanqiao.api.bridge.v1 import (
    cases_pb2,
    claim_queries_pb2,
    claim_queries_pb2_grpc,
    claims_pb2,
    claims_pb2_grpc,
    conflicts_pb2,
)
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.network import SHANGHAI, SHANGHAI_CENTRE, SHENZHEN
from tanqiao_bridge.application.query_roles import TABLE, Fact, Reach, Role, Sight
from tanqiao_bridge.server.claim_answers import sees_whole, shown_claim
from tanqiao_bridge.storage.claim_search import queries_of
from tanqiao_bridge.storage.claims import ClaimRow
from tests.contract.bridge.case_office import cases_stub, contest, square
from tests.contract.bridge.claims_office import call, in_shenzhen, refusal
from tests.contract.bridge.conflict_office import changes, conflicts
from tests.contract.bridge.conflict_office import stub_of as conflicts_stub
from tests.contract.bridge.harness import WAIT_SECONDS, Running, claim_of, declare

ALL, CONCERNED, OWN, NONE = Reach.ALL, Reach.CONCERNED, Reach.OWN, Reach.NONE
EXPECTED: Final = {
    "reader/national": (ALL, ALL, ALL, ALL, NONE, ALL, ALL, OWN),
    SHANGHAI: (ALL, OWN, OWN, OWN, OWN, CONCERNED, CONCERNED, OWN),
    SHANGHAI_CENTRE: (ALL, OWN, OWN, OWN, OWN, CONCERNED, CONCERNED, OWN),
    "reader/statistics": (ALL, NONE, NONE, NONE, NONE, NONE, NONE, OWN),
    "gateway/gec": (ALL, NONE, NONE, NONE, NONE, NONE, NONE, NONE),
}
"""Party → whose of each kind of fact, in order of `Fact`; written out once more, by hand."""
ROLES: Final = {
    "reader/national": Role.NATIONAL,
    "authority/bridge": Role.NATIONAL,
    "operator/bridge/duty": Role.NATIONAL,
    SHANGHAI: Role.REGIONAL,
    "authority/310000": Role.REGIONAL,
    SHANGHAI_CENTRE: Role.REGIONAL,
    "reader/statistics": Role.READER,
    "gateway/gec": Role.OTHER,
    "holder/310000/sh.holder/acme": Role.OTHER,
    "witness/w1": Role.OTHER,
    "bridge": Role.OTHER,
}
USCC: Final = "91440300708461136T"


def whole(claim: claims_pb2.Claim, west: float) -> claims_pb2.Claim:
    claim.subject_uscc, claim.subject_name = USCC, "虚构公司"
    claim.asset.geometry = square(west, 31.0)
    return claim


def reach(own: bool, other: bool, partly: Reach = OWN) -> Reach:
    """Give whose is seen of two things of which one is the office's own."""
    return ALL if own and other else partly if own else NONE


def answer_or_reason(work: Callable[[], Any]) -> tuple[Any, str]:
    """Give what a call answers, or the reason that refuses it."""
    try:
        return call(work), ""
    except DomainError as refused:
        return None, refused.symbol


def of_claims(running: Running, party: str) -> list[claims_pb2.Claim]:
    request = claims_pb2.ListClaimsRequest()
    listed = claims_pb2_grpc.ClaimServiceStub(running.channel(party)).ListClaims(request, timeout=60).claims
    stub = claim_queries_pb2_grpc.ClaimQueryServiceStub(running.channel(party))
    found, reason = answer_or_reason(
        lambda: stub.SearchClaims(claim_queries_pb2.SearchClaimsRequest(), timeout=60)
    )
    assert reason in ("", "CALLER_NOT_PERMITTED")
    if not reason:
        shown = [entry.claim for entry in found.list.entries]
        assert shown == list(listed), "one table, whatever is called"
    return list(listed)


def of_cases(running: Running, party: str, own: int, other: int) -> Reach:
    stub = cases_stub(running, party)
    found, reason = answer_or_reason(lambda: conflicts(running, party))
    if reason:
        for work in (
            lambda: stub.ListCases(cases_pb2.ListCasesRequest(), timeout=60),
            lambda: stub.GetCase(cases_pb2.GetCaseRequest(case_id=own), timeout=60),
            lambda: changes(running, 1, party),
        ):
            assert answer_or_reason(work)[1] == reason == "CALLER_NOT_PERMITTED"
        return NONE
    listed = call(lambda: stub.ListCases(cases_pb2.ListCasesRequest(), timeout=WAIT_SECONDS)).cases
    assert [case.case_id for case in listed] == found
    told = changes(running, len(found), party)
    assert [change.case_change.case.case_id for change, _ in told] == found
    for case_id in (own, other):
        request = cases_pb2.GetCaseRequest(case_id=case_id)
        _, reason = answer_or_reason(lambda: stub.GetCase(request, timeout=60))  # noqa: B023 - run now
        assert reason == ("" if case_id in found else "CASE_UNKNOWN")
    return reach(own in found, other in found, CONCERNED)


def of_packs(running: Running, party: str, own: int, other: int) -> Reach:
    """Ask for the evidence of both cases; of a claim that the office does not see whole, no content."""
    stub = conflicts_stub(running, party)
    seen = []
    for case_id in (own, other):
        request = conflicts_pb2.GetConflictPackRequest(case_id=case_id)
        answer, reason = answer_or_reason(lambda: stub.GetConflictPack(request, timeout=60))  # noqa: B023
        assert reason in ("", "CALLER_NOT_PERMITTED", "CASE_UNKNOWN")
        seen.append(not reason)
        if not reason:
            (claim,) = answer.pack.claims
            assert bool(claim.content) == (party == "reader/national" or claim.claim_id.startswith("310000"))
    return reach(seen[0], seen[1], CONCERNED)


def of_queries(running: Running, party: str) -> Reach:
    stub = claim_queries_pb2_grpc.ClaimQueryServiceStub(running.channel(party))
    request = claim_queries_pb2.ListQueriesRequest(page_size=1_000)
    found, reason = answer_or_reason(lambda: stub.ListQueries(request, timeout=60).queries)
    if reason:
        assert reason == "CALLER_NOT_PERMITTED"
        return NONE
    assert found
    with running.bridge.database.reading() as connection:
        own = queries_of(connection, party, before=0, limit=1_000)
    assert [one.query_id for one in found] == [row.query_id for row in own]
    return OWN


def test_each_party_has_its_role() -> None:
    assert {party: Sight.of(party).role for party in ROLES} == ROLES
    assert {role: tuple(row) for role, row in TABLE.items()} == dict.fromkeys(Role, tuple(Fact))
    for party, row in EXPECTED.items():
        assert tuple(TABLE[ROLES[party]].values()) == row, party


def test_tokens_are_shown_to_the_region_that_made_them() -> None:
    for party, row in EXPECTED.items():
        seen = []
        for region in (SHANGHAI, SHENZHEN):
            claim = claim_of("c", region=region)
            claim.asset.pseudonyms.add(scheme="vin", key_epoch=1, tokens=[bytes(32)])
            stored = ClaimRow(
                "c", region, 2, "", 2, "", 2, 1, "", "", "", claim.SerializeToString(), b"", 0, 0
            )
            shown = shown_claim(stored, 2, Sight.of(party))
            assert bool(shown.asset.name) == Sight.of(party).sees(Fact.SUBJECT, region)
            seen.append(bool(shown.asset.pseudonyms))
            assert sees_whole(stored, Sight.of(party)) == seen[-1], party
        assert reach(seen[0], seen[1]) is row[list(Fact).index(Fact.TOKENS)], party


def test_every_cell_of_the_table_holds_over_the_wire(running: Running) -> None:
    declare(running, SHANGHAI, whole(claim_of("310000:instalment:1"), 121.0))
    elsewhere = in_shenzhen("440300:instalment:1", filing_code="99310000000000777", project_id="P-0002")
    declare(running, SHENZHEN, whole(elsewhere, 114.0))
    own = contest(running, "310000:instalment:1", SHANGHAI)
    other = contest(running, "440300:instalment:1", SHENZHEN)
    for party, row in EXPECTED.items():
        mine, others = of_claims(running, party)
        seen = {
            Fact.CLAIM: reach(mine.project_id == "P-0001", others.project_id == "P-0002"),
            Fact.SUBJECT: reach(bool(mine.subject_uscc), bool(others.subject_uscc)),
            Fact.QUANTITY: reach(bool(mine.activity_quantity), bool(others.activity_quantity)),
            Fact.POSITION: reach(bool(mine.asset.geometry), bool(others.asset.geometry)),
            Fact.CASE: of_cases(running, party, own, other),
            Fact.PACK: of_packs(running, party, own, other),
            Fact.QUERIES: of_queries(running, party),
        }
        for claim in (mine, others):
            hidden = [bool(claim.subject_name), bool(claim.activity_unit), claim.quantity_kg > 0]
            assert hidden in ([True] * 3, [False] * 3)
        expected = dict(zip(Fact, row, strict=True))
        assert seen == {fact: expected[fact] for fact in Fact if fact is not Fact.TOKENS}, party
    # Who does not see whose claims they are may not ask for a subject either.
    for party, region, permitted in (
        ("reader/national", "", True),
        ("reader/statistics", "", False),
        (SHANGHAI, "", False),
        (SHANGHAI, SHANGHAI, True),
        (SHANGHAI, SHENZHEN, False),
    ):
        wanted = claim_queries_pb2.ClaimFilter(subject_uscc=USCC, region=region)
        stub = claim_queries_pb2_grpc.ClaimQueryServiceStub(running.channel(party))
        request = claim_queries_pb2.SearchClaimsRequest(filter=wanted)
        if permitted:
            assert stub.SearchClaims(request, timeout=WAIT_SECONDS).list.entries
        else:
            error = refusal(lambda: stub.SearchClaims(request, timeout=WAIT_SECONDS))  # noqa: B023 - run now
            assert error.symbol == "CALLER_NOT_PERMITTED"
