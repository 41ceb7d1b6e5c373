"""Pairs that an office nominates: a case each, decided by an alias decision, on both databases (虚构)."""

from __future__ import annotations

import json
from typing import Any

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.testing.network import SHANGHAI
from tanqiao_bridge.application.nominating import NOMINATIONS_KEPT_MAX
from tests.contract.bridge.case_office import (
    ALLOW,
    DIFFERENT,
    SAME,
    cases_of,
    cases_stub,
    decide,
    resolve,
)
from tests.contract.bridge.claims_office import PROJECT, Office, in_shenzhen, lists, office, refusal
from tests.contract.bridge.harness import WAIT_SECONDS, Running, claim_of, declare

__all__ = ["lists", "office"]

OPERATOR = "operator/310000/sh.centre"
FILED, CDM, VCS = ("gec_filing_code", "99310000000000701"), ("cdm", "1234"), ("vcs", "99")


def pair(first: tuple[str, str], second: tuple[str, str], **changes: Any) -> cases_pb2.NominatedPair:
    values: dict[str, Any] = {
        "probability_ppm": 987_654,
        "explanation": "name +9.1 (equal); capacity +2.0 (equal)",
        "first_row": json.dumps({"name": "虚构电站"}),
        "second_row": json.dumps({"title": "Invented plant"}),
    }
    return cases_pb2.NominatedPair(
        first=claims_pb2.AssetReference(scheme=first[0], value=first[1]),
        second=claims_pb2.AssetReference(scheme=second[0], value=second[1]),
        **{**values, **changes},
    )


def nominate(running: Running, *pairs: cases_pb2.NominatedPair) -> list[tuple[int, int]]:
    """Nominate twice: the second time changes nothing."""
    stub, request = cases_stub(running, OPERATOR), cases_pb2.NominatePairsRequest(pairs=pairs)
    answer = stub.NominatePairs(request, timeout=WAIT_SECONDS)
    before = cases_of(running)
    assert stub.NominatePairs(request, timeout=WAIT_SECONDS) == answer
    assert cases_of(running) == before
    return [(int(one.case_id), int(one.relation)) for one in answer.cases]


def events(running: Running, case_id: int) -> list[cases_pb2.CaseEvent]:
    request = cases_pb2.GetCaseRequest(case_id=case_id)
    return list(cases_stub(running, "reader/national").GetCase(request, timeout=WAIT_SECONDS).events)


def test_a_nominated_pair_is_a_case_until_two_bodies_decide_what_it_is(office: Office) -> None:
    running = office.running
    declare(running, SHANGHAI, claim_of("310000:project:1", kind=PROJECT))
    (case_id, _), (other, _) = nominate(running, pair(CDM, FILED), pair(CDM, VCS))
    case, national = cases_of(running)
    assert (case.case_id, case.kind, case.state) == (case_id, "nominated pair", "open")
    assert (case.body, list(case.claim_ids)) == ("authority/310000", ["310000:project:1"])
    assert (national.case_id, national.body, list(national.claim_ids)) == (other, "authority/bridge", [])
    told = json.loads(case.details)
    assert told["probability"] == 0.987654
    assert "capacity" in told["explanation"]
    assert told["first"] == {"reference": "asset:cdm:1234", "row": {"name": "虚构电站"}}
    assert told["second"]["row"] == {"title": "Invented plant"}
    # Nothing is stopped by it.
    assert office.check(in_shenzhen("440300:project:9", filing_code="99310000000000799")).verdict
    office.move("310000:project:1", claims_pb2.CLAIM_STATUS_NOTICE)
    # It is no claim that may stand or not: an alias decision ends it.
    wrong = refusal(resolve, running, case_id, ALLOW)
    assert (wrong.symbol, wrong.field) == ("FIELD_INVALID", "case_id")
    index = decide(running, FILED, CDM, SAME)
    (closed,) = cases_of(running, state="settled")
    assert closed.case_id == case_id
    last = events(running, case_id)[-1]
    assert (last.what, last.log_index) == ("resolved", index)
    assert last.envelope.payload
    assert [one.case_id for one in cases_of(running, state="open")] == [other]
    # What was decided is not asked again; what follows from it is not either.
    decide(running, CDM, VCS, DIFFERENT)
    assert nominate(running, pair(FILED, CDM), pair(VCS, CDM)) == [(0, SAME), (0, DIFFERENT)]
    assert not cases_of(running, state="open")
    office.require_clean()


def test_other_evidence_is_a_line_of_the_same_case(office: Office) -> None:
    running = office.running
    ((case_id, _),) = nominate(running, pair(CDM, VCS))
    # The same pair the other way round, with the rows where they belong, says nothing new.
    swapped = pair(VCS, CDM, first_row=pair(CDM, VCS).second_row, second_row=pair(CDM, VCS).first_row)
    assert nominate(running, swapped) == [(case_id, 0)]
    assert [event.what for event in events(running, case_id)] == ["nominated"]
    assert nominate(running, pair(CDM, VCS, probability_ppm=999_000)) == [(case_id, 0)]
    assert [(event.what, event.by) for event in events(running, case_id)] == [
        ("nominated", OPERATOR),
        ("nominated again", OPERATOR),
    ]


def test_a_case_keeps_a_bounded_history_and_is_answered_all_the_same(office: Office) -> None:
    running = office.running
    scores = range(1, NOMINATIONS_KEPT_MAX + 3)
    found = nominate(running, *(pair(CDM, VCS, probability_ppm=one) for one in scores))
    (case_id,) = {one for one, _ in found}
    assert len(found) == len(scores)
    told = [json.loads(event.document)["probability"] for event in events(running, case_id)]
    assert told == [one / 1_000_000 for one in scores[:NOMINATIONS_KEPT_MAX]]
    # The decision is a line all the same.
    decide(running, CDM, VCS, SAME)
    assert [event.what for event in events(running, case_id)][NOMINATIONS_KEPT_MAX:] == ["resolved"]
