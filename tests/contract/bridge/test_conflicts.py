"""Bulk checks, explanations, conflicts and their feed, on both databases (虚构)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from tanqiao.api.bridge.v1 import (
    claim_queries_pb2,
    claim_queries_pb2_grpc,
    claims_pb2,
    conflicts_pb2,
)
from tanqiao.rpc.caller import Caller, enter_call, leave_call
from tanqiao.rpc.errors import from_refusal
from tanqiao.signing.batch import item_envelopes
from tanqiao.signing.parties import parse_party
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tanqiao_bridge.domain.claim_cases import CaseKind
from tanqiao_bridge.server.conflict_servicer import (
    STREAMS_MAX,
    STREAMS_OF_ONE_MAX,
    ConflictServicer,
)
from tests.contract.bridge.case_office import ALLOW as PASSES
from tests.contract.bridge.case_office import cases_of, contest, decide, resolve
from tests.contract.bridge.claims_office import (
    ALLOW,
    APPLIED,
    BLOCK,
    FREE,
    REJECTED,
    Office,
    in_shenzhen,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.conflict_office import (
    NATIONAL,
    changes,
    conflicts,
    explain,
    signed_by_bridge,
    stub_of,
)
from tests.contract.bridge.harness import WAIT_SECONDS, Running, claim_of, declare
from tests.contract.bridge.lists import ccer_project

__all__ = ["lists", "office"]

SERVICE = "tanqiao.api.bridge.v1.ConflictService"


def question(number: int, **changes: Any) -> conflicts_pb2.ClaimQuestion:
    claim = claim_of(f"310000:asked:{number}", **changes)
    return conflicts_pb2.ClaimQuestion(question_id=f"q-{number}", claim=claim)


def test_a_stream_of_checks_answers_each_question_in_its_place_under_its_own_id(office: Office) -> None:
    unreadable = question(3)
    unreadable.claim.claim_id = ""
    batches = [
        conflicts_pb2.CheckClaimsRequest(questions=[question(1), question(2, filing_code=APPLIED)]),
        conflicts_pb2.CheckClaimsRequest(questions=[unreadable, question(4)]),
        conflicts_pb2.CheckClaimsRequest(questions=[unreadable]),
    ]
    answers = list(stub_of(office.running).CheckClaims(iter(batches), timeout=WAIT_SECONDS))
    assert [answer.batch_number for answer in answers] == [1, 2, 3]
    assert [[one.question_id for one in answer.answers] for answer in answers] == [
        ["q-1", "q-2"],
        ["q-3", "q-4"],
        ["q-3"],
    ]
    assert [one.verdict.verdict for one in answers[0].answers] == [ALLOW, BLOCK]
    refused = from_refusal(answers[1].answers[0].refusal)
    assert (refused.symbol, refused.field) == ("FIELD_MISSING", "claim.claim_id")
    assert refused.sentence("zh")
    assert not answers[2].HasField("batch"), "nothing was judged, nothing is signed"
    for answer in answers[:2]:
        verdicts = [one.verdict for one in answer.answers if one.HasField("verdict")]
        for verdict, envelope in zip(verdicts, item_envelopes(answer.batch), strict=True):
            signed_by_bridge(office.running, envelope, verdict)
            assert verdict.as_of_index == answer.as_of_index
    queries = claim_queries_pb2_grpc.ClaimQueryServiceStub(office.running.channel(NATIONAL))
    asked = queries.ListQueries(claim_queries_pb2.ListQueriesRequest(), timeout=WAIT_SECONDS).queries
    # What an office checks is noted; a region's own node checks before each declaration.
    single = claims_pb2.CheckClaimRequest(claim=claim_of("310000:asked:1"))
    office.stub(SHANGHAI).CheckClaim(single, timeout=WAIT_SECONDS)
    of_node = claim_queries_pb2_grpc.ClaimQueryServiceStub(office.running.channel(SHANGHAI))
    assert not of_node.ListQueries(claim_queries_pb2.ListQueriesRequest(), timeout=WAIT_SECONDS).queries
    office.stub(NATIONAL).CheckClaim(single, timeout=WAIT_SECONDS)
    newest = queries.ListQueries(claim_queries_pb2.ListQueriesRequest(), timeout=WAIT_SECONDS).queries[0]
    assert newest.method == "CheckClaim"
    assert [(one.method, one.entry_count) for one in asked] == [
        ("CheckClaims", 1),
        ("CheckClaims", 2),
    ]


def test_no_batch_is_read_before_the_answers_before_it_were_taken(running: Running) -> None:
    bridge, read = running.bridge, []

    def batches() -> Iterator[conflicts_pb2.CheckClaimsRequest]:
        for number in range(3):
            read.append(number)
            yield conflicts_pb2.CheckClaimsRequest(questions=[question(number)])

    servicer = ConflictServicer(bridge.context, bridge.database, bridge.writer, bridge.gateways)
    token = enter_call(Caller.of(parse_party(NATIONAL), "CheckClaims"))
    try:
        answers = servicer.CheckClaims(batches(), None)  # type: ignore[arg-type] # it asks the call nothing
        for taken in range(3):
            assert next(answers).batch_number == taken + 1
            assert len(read) == taken + 1
        assert list(answers) == []
    finally:
        leave_call(token)


def test_streams_are_bounded_in_all_and_for_each_caller(running: Running) -> None:
    bridge = running.bridge
    servicer = ConflictServicer(bridge.context, bridge.database, bridge.writer, bridge.gateways)
    asked = conflicts_pb2.CheckClaimsRequest(questions=[question(1)])

    def opened(party: str) -> Iterator[conflicts_pb2.CheckClaimsResponse]:
        stream = servicer.CheckClaims(iter([asked]), None)  # type: ignore[arg-type] # it asks the call nothing
        token = enter_call(Caller.of(parse_party(party), "CheckClaims"))
        try:
            assert next(stream).batch_number == 1
        finally:
            leave_call(token)
        return stream

    streams = [opened(NATIONAL) for _ in range(STREAMS_OF_ONE_MAX)]
    refused = refusal(opened, NATIONAL)
    assert (refused.symbol, NATIONAL in refused.sentence("en")) == ("QUOTA_EXCEEDED", True)
    # Others are not kept out by who has all of its own.
    streams += [opened(f"reader/office-{number}") for number in range(STREAMS_MAX - STREAMS_OF_ONE_MAX)]
    refused = refusal(opened, "reader/one-more")
    assert (refused.symbol, f"{STREAMS_MAX} streams" in refused.sentence("en")) == ("QUOTA_EXCEEDED", True)
    # A place that is left, at the end of a stream or because its caller is gone, is free again.
    assert list(streams[0]) == []
    streams[1].close()  # type: ignore[attr-defined] # a generator, as the server closes it
    assert [list(opened(NATIONAL)) for _ in range(STREAMS_OF_ONE_MAX + 1)] == [[], [], []]


def test_an_explanation_names_findings_articles_claims_compared_aliases_and_the_age_of_lists(
    office: Office,
) -> None:
    running = office.running
    told = explain(running, claim=claim_of("310000:asked:1", filing_code=APPLIED))
    assert told.verdict.verdict == BLOCK
    assert told.verdict.level == "project"
    deciding = [one for one in told.findings if one.verdict == BLOCK]
    assert deciding
    assert deciding[0].sentence_zh in told.summary_zh
    assert deciding[0].sentence_en in told.summary_en
    assert deciding[0].article_code == "SH-14"
    assert not deciding[0].bridge_policy
    (project,) = [one for one in told.compared if one.collides]
    assert (project.claim_id, project.registry, project.live) == ("ccer:CCER-77", "ccer", True)
    assert [one.value for one in project.shared_references] == [APPLIED]
    assert {one.registry: (one.answered, one.age_days >= 0) for one in told.lists} == {
        "ccer": (True, True),
        "gec": (True, True),
    }
    assert told.lists[0].source == "虚构 invented"
    # A claim of the index: with the receipt that it has, its cases, and the alias that made it collide.
    office.declared(claim_of("310000:instalment:1", filing_code=FREE))
    assert explain(running, claim_id="310000:instalment:1").verdict.verdict == ALLOW
    case_id = contest(running, "310000:instalment:1")
    decide(running, ("gec_filing_code", FREE), ("gec_filing_code", APPLIED))
    told = explain(running, claim_id="310000:instalment:1")
    assert told.verdict.verdict == BLOCK
    assert [(one.first.value, one.second.value) for one in told.aliases] == [(FREE, APPLIED)]
    (found,) = [case for case in cases_of(running) if case.kind == CaseKind.ALIAS]
    assert list(found.claim_ids) == ["310000:instalment:1", "ccer:CCER-77"]
    assert list(told.case_ids) == [case_id, found.case_id]
    receipt = office.verified(told.last_receipt, SHANGHAI).message
    assert receipt.verdict.verdict == ALLOW, "what was signed then stays as it was"
    assert refusal(lambda: explain(running, claim_id="310000:none")).symbol == "CLAIM_UNKNOWN"


def test_conflicts_are_found_by_what_an_authority_asks_for(office: Office) -> None:
    running, elsewhere = office.running, "99310000000000777"
    office.declared(claim_of("310000:instalment:1", filing_code=FREE))
    contested = contest(running, "310000:instalment:1")
    later = in_shenzhen("440300:instalment:1", filing_code=elsewhere, project_id="P-0009")
    office.declared(later)
    other = contest(running, "440300:instalment:1", SHANGHAI)
    watch = office.running.bridge.lists
    assert watch.look("ccer") == 0
    office.lists["ccer"].load([ccer_project("CCER-99", FREE)], as_of=date(2026, 3, 1))
    assert watch.look("ccer") == 1
    (late,) = conflicts(running, kind=CaseKind.LATE_FACT.value)
    decide(running, ("gec_filing_code", FREE), ("gec_filing_code", elsewhere))
    aliased = conflicts(running, kind=CaseKind.ALIAS.value)
    assert len(aliased) == 2, "a pair, and one claim with the project on its asset"
    of_both = conflicts(running, kind=CaseKind.ALIAS.value, claims={"region": SHENZHEN})
    assert set(of_both) <= set(aliased)
    outside = [case.case_id for case in cases_of(running) if "ccer:CCER-99" in case.claim_ids]
    assert late in outside
    reference = claims_pb2.AssetReference(scheme="gec_filing_code", value=elsewhere)
    everything = [contested, other, late, *aliased]
    for filters, expected in (
        ({}, everything),
        ({"claims": {"region": SHANGHAI}}, [contested, late, *aliased]),
        ({"claims": {"programme": claims_pb2.PROGRAMME_SZ_PHCER}}, [other, *of_both]),
        ({"claims": {"programme": claims_pb2.PROGRAMME_CCER}}, outside),
        ({"claims": {"project_id": "P-0009"}}, [other, *of_both]),
        ({"claims": {"reference": reference}}, everything),
        ({"claims": {"period": later.period}}, everything),
        ({"state": "allowed"}, []),
        ({"body": "authority/bridge"}, everything),
        ({"body": "authority/310000"}, []),
    ):
        assert conflicts(running, **filters) == expected, filters


def test_the_feed_tells_each_change_and_goes_on_where_it_was_cut(office: Office) -> None:
    running = office.running
    office.declared(claim_of("310000:instalment:1", filing_code=FREE))
    office.declared(claim_of("310000:instalment:2", filing_code=APPLIED))
    told = changes(running, 1)
    (blocked,) = [change.verdict_change for change, _ in told]
    assert (blocked.claim_id, blocked.region, blocked.status) == ("310000:instalment:2", SHANGHAI, REJECTED)
    assert (blocked.before, blocked.after, blocked.level) == (0, BLOCK, "project")
    assert list(blocked.colliding_claim_ids) == ["ccer:CCER-77"]
    assert blocked.article
    # After a cut it goes on behind what was told, whatever has happened meanwhile.
    case_id = contest(running, "310000:instalment:1")
    resolve(running, case_id, PASSES)
    after = changes(running, 2, resume_token=told[-1][1])
    assert [change.case_change.event.what for change, _ in after] == ["contested", "resolved"]
    assert {change.case_change.case.case_id for change, _ in after} == {case_id}
    assert after[-1][0].case_change.case.state == "allowed"
    assert after[-1][0].case_change.event.HasField("envelope")
    # From the beginning the same is told again; an office hears of what concerns it.
    again = [str(change.WhichOneof("change")) for change, _ in changes(running, 3)]
    assert sorted(again) == ["case_change", "case_change", "verdict_change"]
    office.declared(in_shenzhen("440300:instalment:1", filing_code=APPLIED, project_id="P-0002"))
    (own,) = changes(running, 1, SHENZHEN)
    assert own[0].verdict_change.claim_id == "440300:instalment:1"


def test_a_feed_ends_with_the_server_and_a_foreign_place_is_refused(running: Running) -> None:
    declare(running, SHANGHAI, claim_of("310000:instalment:1"))
    for token in ("x", "1", "1.2.3", "-1.0", "01.0", "0.99", "7.0", "９.0"):
        assert (
            refusal(lambda token=token: changes(running, 1, resume_token=token)).symbol
            == "PAGE_TOKEN_INVALID"
        )
    stream = stub_of(running).WatchConflicts(conflicts_pb2.WatchConflictsRequest(), timeout=WAIT_SECONDS)
    first = next(stream).push
    assert list(first.changes) == []
    assert first.resume_token == f"0.{first.as_of_index}"
    running.bridge.stop()
    assert list(stream) == []
