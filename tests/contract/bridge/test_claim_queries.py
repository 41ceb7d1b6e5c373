"""The national query: who claims what, now and as of an index, signed and noted, on both databases."""

from __future__ import annotations

import json
from typing import Any

from tanqiao.api.bridge.v1 import claim_queries_pb2, claim_queries_pb2_grpc, claims_pb2
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.verify import Verifier, allow
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tests.contract.bridge.case_office import decide
from tests.contract.bridge.claims_office import DECLARED, ISSUED, in_shenzhen
from tests.contract.bridge.harness import (
    SERIES,
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    claim_of,
    declare,
    issue_units,
)

NATIONAL = "reader/national"
FILED = "99310000000000701"
OTHER = "99310000000000702"


def stub_of(running: Running, party: str = NATIONAL) -> claim_queries_pb2_grpc.ClaimQueryServiceStub:
    return claim_queries_pb2_grpc.ClaimQueryServiceStub(running.channel(party))


def search(
    running: Running, party: str = NATIONAL, as_of_index: int = 0, **filters: Any
) -> claim_queries_pb2.ClaimList:
    """Search all pages of one entry each; every answer is as the bridge signed it."""
    found = claim_queries_pb2.ClaimList()
    request = claim_queries_pb2.SearchClaimsRequest(
        filter=claim_queries_pb2.ClaimFilter(**filters), as_of_index=as_of_index, page_size=1
    )
    verifier = Verifier(running.network.network_id, party)
    while True:
        response = stub_of(running, party).SearchClaims(request, timeout=WAIT_SECONDS)
        opened = verifier.open_envelope(
            response.envelope,
            running.network.directory,
            allowed=allow(claim_queries_pb2.ClaimList, senders=(BRIDGE,)),
            peer=None,
            at_index=1_000_000,
        )
        assert opened.message == response.list
        assert response.list.filter == request.filter
        found.entries.extend(response.list.entries)
        found.as_of_index = response.list.as_of_index
        if not response.list.next_page_token:
            return found
        request.page_token = response.list.next_page_token
        request.as_of_index = response.list.as_of_index


def ids(found: claim_queries_pb2.ClaimList) -> list[str]:
    return [entry.claim.claim_id for entry in found.entries]


def test_claims_are_found_by_what_an_authority_asks_for_and_as_of_an_earlier_index(
    running: Running, shanghai: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted
    before = search(running).as_of_index
    second = in_shenzhen("440300:instalment:1", filing_code=OTHER, project_id="P-0002")
    second.methodology_id = "PV-1"
    second.subject_uscc = "91440300708461136T"
    second.period.start_date.CopyFrom(date_message("2026-02-01"))
    second.period.end_date.CopyFrom(date_message("2026-03-01"))
    declare(running, SHENZHEN, second)
    first, other = "310000:instalment:1", "440300:instalment:1"
    reference = claims_pb2.AssetReference(scheme="gec_filing_code", value=OTHER)
    for filters, expected in (
        ({}, [first, other]),
        ({"reference": reference}, [other]),
        ({"certificate_code": f"{FILED}202601000000001"}, [first]),
        ({"programme": claims_pb2.PROGRAMME_SZ_PHCER}, [other]),
        ({"region": SHANGHAI}, [first]),
        ({"project_id": "P-0002"}, [other]),
        ({"subject_uscc": "91440300708461136T"}, [other]),
        ({"methodology_id": "PV-1"}, [other]),
        ({"period": second.period}, [other]),
        ({"statuses": [ISSUED]}, [first]),
        ({"series_id": SERIES}, [first]),
        ({"attribute": claims_pb2.ATTRIBUTE_CARBON_STOCK}, []),
        ({"project_id": "P-0002", "region": SHANGHAI}, []),
    ):
        assert ids(search(running, **filters)) == expected, filters
    assert ids(search(running, as_of_index=before)) == [first]
    declared_index = search(running).entries[0].declared_index
    (declared,) = search(running, as_of_index=declared_index + 1).entries
    assert (declared.claim.status, declared.status_index) == (DECLARED, declared_index)
    assert search(running).entries[0].claim.status == ISSUED
    assert ids(search(running, as_of_index=declared_index)) == []
    decide(running, ("cdm", "77"), ("gec_filing_code", OTHER))
    assert ids(search(running, reference=claims_pb2.AssetReference(scheme="cdm", value="77"))) == [other]
    history = stub_of(running).GetClaimHistory(
        claim_queries_pb2.GetClaimHistoryRequest(claim_id=first), timeout=WAIT_SECONDS
    )
    assert [step.status for step in history.steps] == [DECLARED, ISSUED]
    assert [one.end_serial for one in history.issued_blocks] == [100_000]


def test_each_office_reads_what_it_asked_and_nothing_of_another(running: Running) -> None:
    declare(running, SHANGHAI, claim_of("310000:instalment:1"))
    search(running, SHANGHAI, region=SHANGHAI)
    search(running, project_id="P-0001")
    request = claim_queries_pb2.ListQueriesRequest()
    (own,) = stub_of(running).ListQueries(request, timeout=WAIT_SECONDS).queries
    assert (own.method, json.loads(own.query), own.entry_count) == (
        "SearchClaims",
        {"project_id": "P-0001"},
        1,
    )
    (regional,) = stub_of(running, SHANGHAI).ListQueries(request, timeout=WAIT_SECONDS).queries
    assert json.loads(regional.query) == {"region": SHANGHAI}
    assert list(stub_of(running, SHENZHEN).ListQueries(request, timeout=WAIT_SECONDS).queries) == []
