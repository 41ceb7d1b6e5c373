from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao_region.application import fsck
from tanqiao_region.application.commands import By
from tanqiao_region.application.disclosure import Disclosures
from tests.contract.region.harness import Node
from tests.contract.region_registers.approvals import approve_issuance
from tests.contract.region_registers.claim_bridge import ClaimBridge, barred
from tests.contract.region_registers.office import (
    APPLICANT,
    BUREAU,
    CENTRE,
    EXCHANGE,
    PROJECT,
    SZ_BUREAU,
    SZ_EXPERT,
    SZ_SME,
    Office,
    ask,
    methodology_request,
    month,
    project_request,
)


def refused(symbol: str, call: Callable[[], object], *, article: str = "") -> DomainError:
    """The refusal of a call: its symbol, sentences in both languages, and the article where a law decides."""
    with pytest.raises(DomainError) as caught:
        call()
    error = caught.value
    assert error.symbol == symbol, error
    assert error.sentence("zh")
    assert error.sentence("en")
    assert error.sentence("zh") != error.sentence("en")
    if article:
        shown = {
            error.article or "",
            error.metadata.get("article_zh", ""),
            error.metadata.get("article_en", ""),
        }
        assert any(article in text for text in shown), error.metadata
    return error


def nothing_written(node: Node, since: int) -> bool:
    """Whether the journal has stood still since an index."""
    return int(node.queries.status().journal_size) == since


def journal_size(node: Node) -> int:
    return int(node.queries.status().journal_size)


# -- methodologies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "symbol", "article"),
    [
        ({"consultation": registers_pb2.PublicConsultation()}, "CONSULTATION_NOT_HELD", "第十一条"),
        (
            {
                "consultation": registers_pb2.PublicConsultation(
                    first_day=wire_date(date(2026, 1, 12)),
                    last_day=wire_date(date(2026, 1, 20)),
                    comments_answered=True,
                )
            },
            "CONSULTATION_NOT_HELD",
            "第十一条",
        ),
        ({"assessment": registers_pb2.TechnicalAssessment()}, "ASSESSMENT_NOT_PASSED", "第十一条"),
        ({"parts": ["baseline"]}, "APPLICATION_INCOMPLETE", "第二十五条"),
        ({"unit_class": ""}, "APPLICATION_INCOMPLETE", "第九条"),
        ({"methodology_id": "CCER-01-001-V01"}, "FIELD_INVALID", ""),
        ({"methodology_id": ""}, "FIELD_MISSING", ""),
        ({"kind": 0}, "FIELD_MISSING", ""),
    ],
)
def test_a_methodology_that_is_not_ready_is_not_published(
    shanghai: Office, fields: dict[str, Any], symbol: str, article: str
) -> None:
    before = journal_size(shanghai.node)
    refused(symbol, lambda: shanghai.publish_methodology(**fields), article=article)
    assert nothing_written(shanghai.node, before)
    assert shanghai.office.reads.methodologies("", 10) == []


def test_only_the_bureau_publishes_a_methodology_and_only_once(shanghai: Office) -> None:
    refused("ROLE_NOT_PERMITTED", lambda: shanghai.publish_methodology(by=CENTRE), article="第五条")
    published = shanghai.publish_methodology()
    assert published.publish_date.month == 3
    refused("ALREADY_EXISTS", lambda: shanghai.publish_methodology(unit_class="II"))
    shown = shanghai.office.reads.methodologies("", 10)
    assert [one.unit_class for one in shown] == ["I"]


# -- projects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "symbol", "article"),
    [
        ({"no_duplicate_commitment": False}, "COMMITMENT_MISSING", "第十四条"),
        ({"methodology_id": "SHCER01010022024I"}, "METHODOLOGY_NOT_PUBLISHED", ""),
        ({"capacity_kw": 1001}, "ASSESSMENT_NOT_PASSED", ""),
        ({"project_id": ""}, "FIELD_MISSING", ""),
        ({"project_id": "a:b"}, "FIELD_INVALID", ""),
        ({"title": "   "}, "FIELD_MISSING", ""),
        ({"attribute": 0}, "FIELD_MISSING", ""),
        ({"owner_account_id": "A0000000000000000"}, "ACCOUNT_UNKNOWN", ""),
        (
            {
                "crediting_period": values_pb2.Period(
                    start_date=wire_date(date(2026, 1, 1)), end_date=wire_date(date(2025, 1, 1))
                )
            },
            "RANGE_REVERSED",
            "",
        ),
        ({"documents": [registers_pb2.ProjectDocument(kind="f", digest=b"short")]}, "FIELD_INVALID", ""),
    ],
)
def test_a_project_that_is_not_in_order_is_refused_before_the_bridge_is_asked(
    shanghai: Office, bridge: ClaimBridge, fields: dict[str, Any], symbol: str, article: str
) -> None:
    shanghai.publish_methodology()
    before = journal_size(shanghai.node)
    refused(symbol, lambda: shanghai.submit(**fields), article=article)
    assert bridge.claims.received == []
    assert nothing_written(shanghai.node, before)


@pytest.mark.parametrize(
    ("judge", "symbol", "article"),
    [
        (
            barred(
                "DUPLICATE_PROGRAMME_APPLIED", programme="CCER", reference="CCER-01-001", date="2026-03-01"
            ),
            "DUPLICATE_PROGRAMME_APPLIED",
            "第十四条",
        ),
        (
            barred("GREEN_POWER_PARTICIPATION", other=claims_pb2.PROGRAMME_GEC, reference="GEC PV0100"),
            "GREEN_POWER_PARTICIPATION",
            "第十四条",
        ),
        (
            barred(
                "CLAIM_OVERLAP",
                level="interval",
                other=claims_pb2.PROGRAMME_SZ_PHCER,
                article="",
                region="region/440300",
                claims="440300:project:X",
                overlap="2026-01-01/2026-02-01",
            ),
            "CLAIM_OVERLAP",
            "",
        ),
        (
            barred("CERTIFICATE_SOLD", other=claims_pb2.PROGRAMME_GEC, article="第十四条 / Art. 14"),
            "CERTIFICATE_SOLD",
            "第十四条",
        ),
    ],
)
def test_a_project_whose_claim_is_barred_is_refused_with_the_bridges_reason_and_the_article(
    shanghai: Office, bridge: ClaimBridge, judge: Any, symbol: str, article: str
) -> None:
    shanghai.publish_methodology()
    bridge.claims.judge = judge
    request = project_request(shanghai.owner)
    error = refused(symbol, lambda: shanghai.send_project(request), article=article)
    again = refused(symbol, lambda: shanghai.send_project(request), article=article)
    assert error.sentence("zh") == again.sentence("zh")
    assert bridge.claims.received == ["DeclareStatement"]
    project = shanghai.project()
    assert project.state == registers_pb2.PROJECT_STATE_REJECTED
    assert symbol in project.state_reason
    assert project.claim_receipt.payload
    refused("STATE_NOT_ALLOWED", shanghai.assess)


def test_a_project_that_a_person_must_look_at_is_held_and_can_be_withdrawn(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    shanghai.publish_methodology()
    bridge.claims.judge = barred("CLAIM_HOLD", kind=claims_pb2.VERDICT_KIND_HOLD, cases="ccer:CCER-01-001")
    response = shanghai.submit()
    assert response.project.state == registers_pb2.PROJECT_STATE_HELD_FOR_REVIEW
    assert response.verdict.verdict == claims_pb2.VERDICT_KIND_HOLD
    assert "CLAIM_HOLD" in response.project.state_reason
    refused("STATE_NOT_ALLOWED", shanghai.assess)
    refused("ROLE_NOT_PERMITTED", lambda: shanghai.withdraw(by=CENTRE))
    assert shanghai.withdraw().state == registers_pb2.PROJECT_STATE_WITHDRAWN


def test_validating_a_project_writes_nothing_here_and_declares_nothing_there(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    shanghai.publish_methodology()
    before = journal_size(shanghai.node)
    response = shanghai.submit(validate_only=True)
    assert response.verdict.verdict == claims_pb2.VERDICT_KIND_ALLOW
    bridge.claims.judge = barred(
        "DUPLICATE_PROGRAMME_APPLIED", programme="CCER", reference="CCER-01-001", date="2026-03-01"
    )
    refused("DUPLICATE_PROGRAMME_APPLIED", lambda: shanghai.submit(validate_only=True), article="第十四条")
    assert bridge.claims.received == []
    assert nothing_written(shanghai.node, before)
    refused("NOT_FOUND", shanghai.project)


def test_a_project_is_assessed_by_the_centre_and_not_by_its_applicant(shanghai: Office) -> None:
    shanghai.publish_methodology()
    shanghai.submit(by=APPLICANT)
    refused("ROLE_NOT_PERMITTED", lambda: shanghai.assess(by=EXCHANGE), article="第五条")
    refused("NOT_FOUND", lambda: shanghai.assess(project_id="NONE"))
    project = shanghai.assess(opinion="符合 fit")
    assert project.state == registers_pb2.PROJECT_STATE_ASSESSED
    assert list(project.assessment.assessors) == [CENTRE.party]
    refused("STATE_NOT_ALLOWED", shanghai.assess)


def test_a_failed_assessment_ends_the_project_and_its_claim(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    project = shanghai.assess(passed=False, opinion="数据不足 too few data")
    assert project.state == registers_pb2.PROJECT_STATE_REJECTED
    assert shanghai.office.steps.resume() == 1
    assert bridge.claims.status[project.claim_id] == claims_pb2.CLAIM_STATUS_REJECTED
    assert shanghai.office.steps.resume() == 0
    refused("STATE_NOT_ALLOWED", shanghai.open_notice)


def test_publication_waits_for_the_day_after_the_notice(shanghai: Office) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    refused("STATE_NOT_ALLOWED", shanghai.open_notice)
    shanghai.assess()
    refused("STATE_NOT_ALLOWED", shanghai.publish)
    notice = shanghai.open_notice()
    assert (notice.notice_working_days, notice.notice_first_day_counted) == (5, False)
    refused("STATE_NOT_ALLOWED", shanghai.open_notice)
    shanghai.turn_to(date(2026, 3, 9))
    error = refused("NOTICE_PERIOD_RUNNING", shanghai.publish, article="第十二条")
    assert "2026-03-09" in error.sentence("zh")
    shanghai.turn_to(date(2026, 3, 10))
    refused("ROLE_NOT_PERMITTED", lambda: shanghai.publish(by=EXCHANGE), article="第五条")
    published = shanghai.publish()
    assert published.publish_date.day == 10
    assert [
        p.project_id for p in shanghai.office.reads.projects(registers_pb2.PROJECT_STATE_PUBLISHED, "", 9)
    ] == [PROJECT]
    refused("STATE_NOT_ALLOWED", shanghai.withdraw)


@pytest.mark.parametrize(
    ("opened", "last"),
    [
        # Vectors of the State Council's notice of 2026, first day not counted (DOMAIN section 10).
        (date(2026, 4, 30), date(2026, 5, 11)),
        (date(2026, 9, 18), date(2026, 9, 24)),
        (date(2026, 9, 24), date(2026, 10, 9)),
    ],
)
def test_the_last_day_of_a_notice_follows_the_make_up_workdays(
    shanghai: Office, opened: date, last: date
) -> None:
    shanghai.turn_to(opened)
    shanghai.publish_methodology()
    shanghai.submit()
    shanghai.assess()
    shown = shanghai.open_notice().notice_last_day
    assert date(shown.year, shown.month, shown.day) == last


def test_a_notice_into_a_year_without_a_calendar_is_refused(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.turn_to(date(2026, 12, 28))
    shanghai.publish_methodology()
    shanghai.submit()
    shanghai.assess()
    error = refused("CALENDAR_NOT_LOADED", shanghai.open_notice)
    assert error.metadata["year"] == "2027"
    assert bridge.claims.received == ["DeclareStatement"]
    assert shanghai.project().state == registers_pb2.PROJECT_STATE_ASSESSED


def test_a_notice_that_the_bridge_refuses_leaves_the_project_as_it_was(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    shanghai.assess()
    bridge.claims.refuse_moves = DomainError("CLAIM_OVERTAKEN", claim_id="x", other="y")
    refused("CLAIM_OVERTAKEN", shanghai.open_notice)
    assert shanghai.project().state == registers_pb2.PROJECT_STATE_ASSESSED
    bridge.claims.refuse_moves = None
    assert shanghai.open_notice().state == registers_pb2.PROJECT_STATE_NOTICE


def test_a_withdrawn_project_lets_its_claim_go(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    refused("FIELD_MISSING", lambda: shanghai.withdraw(reason=" "))
    withdrawn = shanghai.withdraw()
    assert withdrawn.state == registers_pb2.PROJECT_STATE_WITHDRAWN
    assert bridge.claims.status[withdrawn.claim_id] == claims_pb2.CLAIM_STATUS_WITHDRAWN
    refused("STATE_NOT_ALLOWED", shanghai.withdraw)


# -- issuance ------------------------------------------------------------------------------------------------


def test_units_of_a_project_that_is_not_published_are_refused(shanghai: Office) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    shanghai.meter(month("2026-01", 10_000_000))
    refused("STATE_NOT_ALLOWED", shanghai.issue)
    refused("NOT_FOUND", lambda: shanghai.issue(project_id="NONE"))


def test_each_thing_that_an_issuance_lacks_is_refused_before_the_bridge_is_asked(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    shanghai.published()
    refused("METERING_MISSING", shanghai.issue)
    shanghai.meter(month("2026-01", 10_000_000))
    shanghai.turn_to(date(2026, 5, 1))
    shanghai.meter(month("2026-03", 10_000_000))
    gap = refused("METERING_MISSING", shanghai.issue)
    assert "2026-02-01/2026-03-01" in gap.sentence("en")
    refused("FIELD_INVALID", lambda: shanghai.issue("2026-01-15/2026-02-01"))
    refused("AUDIT_NOT_PASSED", lambda: shanghai.issue("2026-01", audit=None), article="第十五条")
    failed = registers_pb2.IssuanceAudit(passed=False, audit_date=wire_date(date(2026, 3, 1)))
    refused("AUDIT_NOT_PASSED", lambda: shanghai.issue("2026-01", audit=failed), article="第十五条")
    refused("ROLE_NOT_PERMITTED", lambda: shanghai.issue("2026-01", by=BUREAU), article="第四条")
    refused("RANGE_REVERSED", lambda: _reversed(shanghai))
    assert "310000:instalment" not in " ".join(bridge.claims.claims)
    assert shanghai.quantify("2026-01").issuable_kg == 4000


def _reversed(office: Office) -> object:
    request = office.issue_request("2026-01")
    request.period.start_date.month = 6
    return office.office.issuances.issue_units(ask(request, CENTRE), request)


BOTH = ((CENTRE.party, 1), (BUREAU.party, 1))
"""The centre that issues, and the bureau that approves beside it."""


def test_a_second_issuance_in_a_year_needs_a_reason_and_another_approver(on_the_line: Office) -> None:
    office = on_the_line
    office.published()
    office.meter(month("2026-01", 10_000_000), month("2026-02", 10_000_000))
    office.issue("2026-01")
    again = "2026-02"
    refused("ISSUANCE_TOO_FREQUENT", lambda: office.issue(again), article="第十五条")
    refused("ISSUANCE_TOO_FREQUENT", lambda: office.issue(again, override_reason="急 urgent"))
    named: dict[str, Any] = {"override_reason": "急 urgent", "second_approver": BUREAU.party}
    refused("ISSUANCE_TOO_FREQUENT", lambda: office.issue(again, **named))
    refused("ISSUANCE_TOO_FREQUENT", lambda: office.issue(again, hands=BOTH))
    urgent: dict[str, Any] = {"override_reason": "急 urgent"}
    exchange = ((CENTRE.party, 1), (EXCHANGE.party, 1))
    refused("ISSUANCE_TOO_FREQUENT", lambda: office.issue(again, hands=exchange, **urgent))
    refused("APPROVERS_MISSING", lambda: office.issue(again, hands=((BUREAU.party, 1),), **urgent))
    other = approve_issuance(office.node.network, office.issue_request("2026-03", **urgent), *BOTH)
    refused("DECISION_DIFFERS", lambda: office.issue(again, approval=other.approval, **urgent))
    assert office.issue(again, hands=BOTH, validate_only=True, **urgent).quantity_kg
    asked = approve_issuance(office.node.network, office.issue_request(again, **urgent), *BOTH)
    issued = office.issue(again, approval=asked.approval, **urgent)
    assert issued.state == registers_pb2.ISSUANCE_STATE_ISSUED
    kept = fsck.check_database(office.node.region.database, office.node.network.network.federation)
    assert (kept.checked["decisions"], kept.clean) == (1, True), kept.findings
    lists = Disclosures(office.node.context, office.node.region.database)
    part = lists.page("issuances", "", 10, 0)
    shown = [dict(zip(part.disclosure.fields, values, strict=True)) for _, values in part.rows]
    assert sorted((row["override"], row["approved_by"]) for row in shown) == [
        ("", ""),
        ("急 urgent", "operator/310000/sh.bureau; operator/310000/sh.centre"),
    ]


def test_an_instalment_that_the_claim_check_bars_is_refused_and_its_activity_stays_free(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    shanghai.published()
    shanghai.meter(month("2026-01", 10_000_000))
    bridge.claims.judge = barred(
        "CLAIM_OVERLAP",
        level="interval",
        other=claims_pb2.PROGRAMME_SZ_PHCER,
        region="region/440300",
        claims="440300:instalment:1",
        overlap="2026-01-01/2026-02-01",
    )
    before = journal_size(shanghai.node)
    refused("CLAIM_OVERLAP", shanghai.issue, article="第十四条")
    assert nothing_written(shanghai.node, before)
    assert shanghai.quantify().issuable_kg == 4000
    issuances, _, _ = shanghai.office.issuances.list("", (-1, ""), 10)
    assert issuances == []


def test_validating_an_issuance_writes_nothing(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.published()
    shanghai.meter(month("2026-01", 10_000_000))
    declared = len(bridge.claims.received)
    before = journal_size(shanghai.node)
    preview = shanghai.issue(validate_only=True)
    assert (preview.quantity_kg, preview.carried_out_g, preview.issuance_id) == (4000, 200_000, "")
    bridge.claims.judge = barred("CLAIM_HOLD", kind=claims_pb2.VERDICT_KIND_HOLD, cases="x")
    refused("CLAIM_HOLD", lambda: shanghai.issue(validate_only=True))
    assert len(bridge.claims.received) == declared
    assert nothing_written(shanghai.node, before)


def test_a_second_issuance_waits_for_the_receipt_of_the_first(shanghai: Office) -> None:
    shanghai.published()
    shanghai.office.issuances._receipt_seconds = 0.0
    shanghai.meter(month("2026-01", 10_000_000), month("2026-02", 10_000_000))
    shanghai.issue("2026-01")
    refused(
        "STATE_NOT_ALLOWED",
        lambda: shanghai.issue("2026-02", override_reason="急", hands=BOTH),
    )


def test_a_period_over_the_new_year_or_outside_of_the_crediting_period_is_refused(shanghai: Office) -> None:
    shanghai.published()
    shanghai.meter(month("2025-12", 10_000_000), month("2026-01", 10_000_000))
    refused("FIELD_INVALID", lambda: shanghai.issue("2025-12-01/2026-02-01"))
    refused("PERIOD_OUTSIDE_CLAIM", lambda: shanghai.meter(month("2024-12", 1)))


# -- Shenzhen ------------------------------------------------------------------------------------------------


DRAWN = ["E-6", "E-5", "E-2"]
"""Lowest SHA-256 of seed and id first, worked apart from the code: ``printf seedE-2 | sha256sum`` …"""


def sz_panel() -> registers_pb2.ExpertPanel:
    candidates = [
        registers_pb2.PanelCandidate(expert_id=f"E-{number}", fields=["solar"]) for number in range(1, 8)
    ]
    candidates[0].excluded_because = "编制人 author"
    return registers_pb2.ExpertPanel(candidates=candidates, field="solar", seed=b"seed", wanted=3)


def sz_methodology(**fields: Any) -> Any:
    panel = sz_panel()
    panel.members.extend(DRAWN)
    values: dict[str, Any] = {
        "methodology_id": "SZ-PV-01",
        "unit_class": "",
        "parts": [
            "baseline_scenario",
            "reduction_scenario",
            "computation",
            "applicability",
            "inclusiveness",
            "additionality",
        ],
        "documents": [
            registers_pb2.ProjectDocument(kind=kind, name=kind)
            for kind in ("application_form", "methodology_text", "compilation_notes")
        ],
        "panel": panel,
        **fields,
    }
    return methodology_request(**values)


SZ_DOCUMENTS = [
    registers_pb2.ProjectDocument(kind="project_registration_form", name="表一"),
    registers_pb2.ProjectDocument(kind="reductions_registration_form", name="表二"),
    registers_pb2.ProjectDocument(kind="validation_report", name="审定", body="虚构机构 invented"),
    registers_pb2.ProjectDocument(kind="verification_report", name="核证", body="虚构机构 invented"),
    registers_pb2.ProjectDocument(kind="small_micro_proof", name="小微证明"),
]


def publish_sz(office: Office, **fields: Any) -> Any:
    request = sz_methodology(**fields)
    return office.office.methodologies.publish(ask(request, SZ_BUREAU), request).methodology


def submit_sz(office: Office, **fields: Any) -> Any:
    values: dict[str, Any] = {
        "methodology_id": "SZ-PV-01",
        "place": "440305",
        "documents": SZ_DOCUMENTS,
        **fields,
    }
    return office.submit(by=SZ_SME, **values)


def test_a_shenzhen_methodology_needs_a_draw_that_can_be_held_again(shenzhen: Office) -> None:
    panel = sz_panel()
    panel.members.extend([*DRAWN[1:], "E-1"])
    refused("EXPERT_DRAW_MISSING", lambda: publish_sz(shenzhen, panel=panel), article="第十一条")
    refused("EXPERT_DRAW_MISSING", lambda: publish_sz(shenzhen, panel=None), article="第十一条")
    refused("APPLICATION_INCOMPLETE", lambda: publish_sz(shenzhen, documents=[]), article="第十条")
    assert publish_sz(shenzhen).methodology_id == "SZ-PV-01"


def test_a_shenzhen_project_applied_for_under_ccer_is_refused_under_article_22(
    shenzhen: Office, bridge: ClaimBridge
) -> None:
    publish_sz(shenzhen)
    bridge.claims.judge = barred(
        "DUPLICATE_PROGRAMME_APPLIED",
        article="深圳市碳普惠管理办法（送审稿）第二十二条 / Shenzhen measures (draft), Art. 22",
        programme="CCER",
        reference="CCER-01-001",
        date="2026-03-01",
    )
    error = refused("DUPLICATE_PROGRAMME_APPLIED", lambda: submit_sz(shenzhen), article="第二十二条")
    assert "CCER-01-001" in error.sentence("zh")
    assert "CCER-01-001" in error.sentence("en")


def test_a_shenzhen_project_is_published_without_a_notice_after_the_bureaus_review(
    shenzhen: Office, bridge: ClaimBridge
) -> None:
    publish_sz(shenzhen)
    missing = [one for one in SZ_DOCUMENTS if one.kind != "verification_report"]
    refused(
        "VERIFICATION_REPORT_MISSING", lambda: submit_sz(shenzhen, documents=missing), article="第二十一条"
    )
    refused("ROLE_NOT_PERMITTED", lambda: shenzhen.submit(by=SZ_BUREAU, methodology_id="SZ-PV-01"))
    submitted = submit_sz(shenzhen).project
    assert bridge.claims.claims[submitted.claim_id].programme == claims_pb2.PROGRAMME_SZ_PHCER
    shenzhen.assess(by=SZ_EXPERT)
    refused("STATE_NOT_ALLOWED", lambda: shenzhen.open_notice(by=SZ_BUREAU))
    published = shenzhen.publish(by=SZ_BUREAU)
    assert published.state == registers_pb2.PROJECT_STATE_PUBLISHED
    # No public source gives Shenzhen's factor: the node does not guess one.
    shenzhen.meter(month("2026-01", 10_000_000), by=SZ_SME)
    error = refused("PARAMETER_NOT_SET", lambda: shenzhen.issue(by=SZ_BUREAU))
    assert "emission_factor_kg_per_kwh" in error.sentence("en")


def test_an_enterprise_that_is_not_small_may_not_apply_in_shenzhen(shenzhen: Office) -> None:
    publish_sz(shenzhen)
    large = shenzhen.node.open_account().account_id
    refused(
        "PARTICIPANT_TYPE_NOT_ALLOWED",
        lambda: submit_sz(shenzhen, owner_account_id=large),
        article="第二十条",
    )


# -- whose project -------------------------------------------------------------------------------------------

OWNER = By("holder/310000/sh.holder/owner", "sh.holder")
STRANGER = By("holder/310000/sh.holder/stranger", "sh.holder")


@pytest.fixture
def held(shanghai: Office) -> Office:
    """The office with an account that names its holder's certificate."""
    return Office(shanghai.node, shanghai.node.open_account(holder_party=OWNER.party).account_id)


def test_a_holder_hands_in_for_its_own_account_and_for_no_other(held: Office) -> None:
    held.publish_methodology()
    since = journal_size(held.node)
    refused("ACCOUNT_OF_ANOTHER", lambda: held.submit(by=STRANGER))
    assert nothing_written(held.node, since)
    assert held.submit(by=OWNER).project.owner_account_id == held.owner


def test_a_holder_hands_in_data_of_its_own_project_and_of_no_other(held: Office) -> None:
    held.published()
    since = journal_size(held.node)
    refused("ACCOUNT_OF_ANOTHER", lambda: held.meter(month("2026-02", 1_000_000), by=STRANGER))
    assert nothing_written(held.node, since)
    assert held.meter(month("2026-02", 1_000_000), by=OWNER)
    assert not nothing_written(held.node, since)
