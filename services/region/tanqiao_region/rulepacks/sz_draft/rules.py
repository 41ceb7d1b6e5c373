"""Rules of the Shenzhen measures (draft submitted for review) and of the plan: parties, files, projects.

Every function answers for one article; what the text leaves open is read from dated parameters. The draft
has no day-limits and no appeals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tanqiao_region.domain.rules import (
    DatedParameters,
    Outcomes,
    PackData,
    Refusal,
    refuse,
    rule,
    structural,
)
from tanqiao_region.domain.rules.checks import (
    NOTHING,
    assessment_missing,
    incomplete,
    methodology_unusable,
    panel_conflicts,
)
from tanqiao_region.domain.rules.facts import (
    AppointPanel,
    AppointVerifier,
    ApproveIssuance,
    AssessMethodology,
    AssessProject,
    AssessScene,
    IssuanceFacts,
    LabelScene,
    OpenAccount,
    Panel,
    ProjectFacts,
    PublishMethodology,
    PublishProject,
    ReadPersonalRecords,
    RegisterDataOperator,
    RegisterSceneNorm,
    Report,
    Retire,
    SubjectType,
    SubmitActivityData,
    SubmitMethodology,
    SubmitProject,
    TransferLocal,
)

METHODOLOGY_PARTS: Final = frozenset(
    {
        "baseline_scenario",
        "reduction_scenario",
        "computation",
        "applicability",
        "inclusiveness",
        "additionality",
    }
)
"""What Article 9 says a methodology is."""
OPERATOR_FIELDS: Final = frozenset({"travel", "consumption", "life", "charity"})
"""Fields of inclusion behaviour by the definition of Article 31 (6)."""
PROJECT_FORM: Final = "project_registration_form"
REDUCTIONS_FORM: Final = "reductions_registration_form"
BOTH_FORMS: Final = frozenset({PROJECT_FORM, REDUCTIONS_FORM})
BUREAU_ROLE: Final = "sz.bureau"
PLATFORM_EVENTS: Final[Mapping[str, frozenset[str]]] = {
    "points": frozenset({"发放", "兑换"}),
    "projects": frozenset({"登记", "管理"}),
    "units": frozenset({"签发", "持有", "转移", "消纳"}),
}
"""Verbs that Article 5 lists, by register; the plan repeats issue, register, transfer, consume."""
MINIMUM_LISTS: Final = frozenset({"methodologies", "low-carbon-scenes", "issue-and-use", "expert-pool"})
"""The four lists of Article 27, which are a minimum (等)."""


# --- Participants -----------------------------------------------------------------------------------------


@rule("SZ-20f", article="20¶3", mark="MUST")
def individuals_act_through_an_operator(
    facts: OpenAccount | SubmitProject | IssuanceFacts | TransferLocal | Retire, parameters: DatedParameters
) -> Outcomes:
    """Households and persons take part only through an operator, in issuance, trade and consumption alike."""
    if isinstance(facts, OpenAccount):
        alone = [facts.holder] if facts.holder.acts_alone else []
        operators: tuple[str, ...] = ()
    elif isinstance(facts, TransferLocal):
        alone = [party for party in (facts.seller, facts.buyer) if party.acts_alone]
        operators = ()
    elif isinstance(facts, Retire):
        if parameters.boolean("sz.individual_direct_retirement"):
            return None
        alone = [facts.holder] if facts.holder.acts_alone else []
        operators = facts.registered_operators
    else:
        alone = [facts.participant] if facts.participant.is_individual else []
        operators = facts.registered_operators
    return refuse("INDIVIDUAL_NEEDS_OPERATOR", list=list(operators) or NOTHING) if alone else None


@rule("SZ-20e", article="20¶3", mark="MUST")
def participants_are_operators_and_small_enterprises(
    facts: SubmitProject | IssuanceFacts, parameters: DatedParameters
) -> Outcomes:
    """A larger enterprise or a covered emitter is not in the list (inferred from Articles 20 and 31 (1))."""
    subject = facts.participant
    if subject.is_individual:
        return None
    allowed = parameters.text_set("sz.participant_types")
    if subject.subject_type.value not in allowed or subject.covered_emitter:
        return refuse("PARTICIPANT_TYPE_NOT_ALLOWED")
    if subject.subject_type is SubjectType.SMALL_MICRO_ENTERPRISE and not subject.small_micro_document:
        return refuse("APPLICATION_INCOMPLETE", documents="小微企业证明 proof of small or micro size")
    return None


@rule("SZ-20a", article="20¶1", mark="MUST")
def operator_registered_with_the_bureau(
    facts: SubmitProject | IssuanceFacts | SubmitActivityData, _parameters: DatedParameters
) -> Outcomes:
    """An operator is participant only after the bureau registered it, and while it is not suspended."""
    subject = facts.submitter if isinstance(facts, SubmitActivityData) else facts.participant
    if subject.subject_type is not SubjectType.DATA_OPERATOR or subject.registered(facts.on):
        return None
    return refuse("OPERATOR_NOT_REGISTERED")


@rule("SZ-20b", article="20¶1", mark="MUST")
def operator_declares_not_to_profit(
    facts: RegisterDataOperator | SubmitProject, _parameters: DatedParameters
) -> Outcomes:
    """The declaration not to profit from public data is on file before the operator takes part."""
    subject = facts.applicant if isinstance(facts, RegisterDataOperator) else facts.participant
    if isinstance(facts, SubmitProject) and subject.subject_type is not SubjectType.DATA_OPERATOR:
        return None
    signed = subject.declaration_signed_on
    return None if signed is not None and signed <= facts.on else refuse("DECLARATION_MISSING")


@rule("SZ-31e", article="31(6)", mark="MUST")
def operator_is_a_platform_with_accounts(
    facts: RegisterDataOperator, _parameters: DatedParameters
) -> Outcomes:
    """Personal accounts, recording of behaviour, and a field among travel, consumption, life, charity."""
    fits = facts.has_personal_accounts and facts.records_behaviour and bool(OPERATOR_FIELDS & facts.fields)
    return None if fits else refuse("PARTICIPANT_TYPE_NOT_ALLOWED")


@rule("SZ-20c", article="20¶1", mark="MUST")
def behaviour_data_within_a_mandate(facts: SubmitActivityData, _parameters: DatedParameters) -> Outcomes:
    """Behaviour outside a user's mandate cannot go into a claim; those lines are named."""
    if not facts.lines_outside_mandate:
        return None
    period = f"{facts.period_start}/{facts.period_end}"
    return refuse("MANDATE_NOT_IN_FORCE", who=list(facts.lines_outside_mandate), period=period)


@rule("SZ-20d", article="20¶2", mark="MUST")
def data_given_voluntarily(facts: SubmitActivityData, _parameters: DatedParameters) -> Outcomes:
    """Without consent, or after its withdrawal, a record is not used."""
    return (
        None if facts.lines_without_consent == 0 else refuse("CONSENT_MISSING", n=facts.lines_without_consent)
    )


@rule("SZ-23a", article="23", mark="MUST")
def behaviour_data_stay_in_the_region(facts: ReadPersonalRecords, _parameters: DatedParameters) -> Outcomes:
    """Raw records of trips and households never leave the region, and every reading has a purpose."""
    if facts.purpose.strip() and not facts.leaves_region:
        return None
    return refuse(
        "ROLE_NOT_PERMITTED",
        role=facts.actor.role,
        action="ReadPersonalRecords",
        body="市生态环境主管部门 (bureau)",
    )


# --- Methodologies, experts, scenes -----------------------------------------------------------------------


@rule("SZ-9a", article="9", mark="MUST")
def methodology_has_its_parts(
    facts: SubmitMethodology | PublishMethodology, _parameters: DatedParameters
) -> Outcomes:
    """Scenarios, computation, and the conditions applicability, inclusiveness and additionality."""
    return incomplete(METHODOLOGY_PARTS, facts.parts)


@rule("SZ-10b", article="10¶2", mark="MUST")
def methodology_file_complete(
    facts: SubmitMethodology | PublishMethodology, parameters: DatedParameters
) -> Outcomes:
    """The three documents that the text names, and further ones by parameter."""
    return incomplete(parameters.text_set("sz.methodology_documents"), facts.documents)


@rule("SZ-6a", article="6¶1", mark="MUST")
def experts_stand_aside(
    facts: AppointPanel | AssessMethodology | AssessProject, _parameters: DatedParameters
) -> Outcomes:
    """One pool develops and assesses: an author, or a colleague of the author, stands aside (inferred)."""
    return panel_conflicts(facts.panel) if facts.panel is not None else None


@rule("SZ-11a", article="11", mark="MUST")
def experts_are_drawn(
    facts: AppointPanel | AssessMethodology | PublishMethodology, parameters: DatedParameters
) -> Outcomes:
    """Experts of the field are drawn from the pool; the record can be redone (inferred)."""
    if isinstance(facts, AppointPanel) and facts.panel_for != "methodology":
        return None
    return _draw_missing(facts.panel, parameters)


def _draw_missing(panel: Panel | None, parameters: DatedParameters) -> Refusal | None:
    draw = panel.draw if panel is not None else None
    if not parameters.has("sz.expert_draw"):
        return refuse("EXPERT_DRAW_MISSING", n=NOTHING, m=0 if draw is None else draw.eligible)
    wanted = parameters.table("sz.expert_draw").get("n")
    if panel is None or draw is None or not draw.recomputed:
        return refuse("EXPERT_DRAW_MISSING", n=wanted, m=0 if draw is None else draw.eligible)
    enough = isinstance(wanted, int) and draw.wanted == wanted and draw.eligible >= wanted
    drawn = len(panel.members) == wanted and all(
        member.in_pool and draw.field in member.fields for member in panel.members
    )
    return None if enough and drawn else refuse("EXPERT_DRAW_MISSING", n=wanted, m=draw.eligible)


@rule("SZ-11b", article="11", mark="MUST")
def methodology_passed_and_complete(
    facts: PublishMethodology | SubmitProject | IssuanceFacts, _parameters: DatedParameters
) -> Outcomes:
    """Passed and complete, then registered and published in one act; used from publication (inferred)."""
    if not isinstance(facts, PublishMethodology):
        return methodology_unusable(facts.methodology, facts.on)
    failed = assessment_missing(facts.assessment)
    missing = sorted(facts.missing_documents)
    found = [failed] if failed is not None else []
    if missing:
        found.append(refuse("APPLICATION_INCOMPLETE", documents=missing))
    return tuple(found)


@rule("SZ-13a", article="13", mark="MUST")
def norm_assessed_by_field_experts(facts: RegisterSceneNorm, _parameters: DatedParameters) -> Outcomes:
    """The counterpart department has the norm assessed by experts of its field; no pool, no draw."""
    return assessment_missing(facts.assessment)


@rule("SZ-14a", article="14", mark="MUST")
def scene_evaluated_by_pool_experts(facts: AssessScene, _parameters: DatedParameters) -> Outcomes:
    """Experts of the pool evaluate a scene against one norm version; a draw is not ordered here."""
    outside = (
        []
        if facts.panel is None
        else [expert.expert_id for expert in facts.panel.members if not expert.in_pool]
    )
    if facts.panel is None or not facts.panel.members or outside:
        shown = f"非专家库专家 not in the pool: {', '.join(outside) or NOTHING}"
        return refuse("ASSESSMENT_NOT_PASSED", reasons=shown)
    if not facts.norm_version:
        return refuse("ASSESSMENT_NOT_PASSED", reasons="未指明评价规范 no norm version named")
    return None


@rule("SZ-14b", article="14", mark="MUST")
def label_after_evaluation(facts: LabelScene, _parameters: DatedParameters) -> Outcomes:
    """The bureau grants the label after the department's evaluation, on a complete file."""
    missing = set(facts.missing_documents)
    if facts.evaluation is None:
        missing.add("对口主管部门评价记录 evaluation by the department")
    found = [refuse("APPLICATION_INCOMPLETE", documents=sorted(missing))] if missing else []
    if facts.evaluation is not None and not facts.evaluation.passed:
        found.append(refuse("ASSESSMENT_NOT_PASSED", reasons=facts.evaluation.reasons or NOTHING))
    return tuple(found)


# --- Projects ---------------------------------------------------------------------------------------------


@rule("SZ-21a", article="21¶1", mark="MUST")
def operator_track_verifier_by_the_bureau(
    facts: SubmitProject | AppointVerifier | PublishProject | ApproveIssuance, parameters: DatedParameters
) -> Outcomes:
    """Operator track: two forms; the bureau commissions validation and verification, one body may do both."""
    if facts.participant.subject_type is not SubjectType.DATA_OPERATOR:
        return None
    if isinstance(facts, SubmitProject):
        return incomplete(BOTH_FORMS, facts.documents)
    if isinstance(facts, AppointVerifier):
        by_bureau = facts.actor.role == BUREAU_ROLE
        return None if by_bureau else refuse("VERIFIER_NOT_APPOINTED_BY_BUREAU")
    found = _reports_missing(facts.reports)
    if any(report.appointed_by_role != BUREAU_ROLE for report in facts.reports):
        found.append(refuse("VERIFIER_NOT_APPOINTED_BY_BUREAU"))
    bodies = {report.kind: report.third_party.body for report in facts.reports}
    same_body = bodies.get("validation") is not None and bodies["validation"] == bodies.get("verification")
    if same_body and not parameters.boolean("sz.verifier_may_do_both"):
        found.append(refuse("VERIFIER_NOT_QUALIFIED", body=bodies["validation"]))
    return tuple(found)


def _reports_missing(reports: tuple[Report, ...]) -> list[Refusal]:
    kinds = {report.kind for report in reports}
    return [
        refuse("VERIFICATION_REPORT_MISSING", kind=shown)
        for kind, shown in (("validation", "审定 validation"), ("verification", "核证 verification"))
        if kind not in kinds
    ]


@rule("SZ-21b", article="21¶2", mark="MUST")
def small_enterprise_track_brings_reports(
    facts: SubmitProject | PublishProject | ApproveIssuance, _parameters: DatedParameters
) -> Outcomes:
    """Small-enterprise track: two forms and both reports, by bodies that meet the national rules."""
    if facts.participant.subject_type is not SubjectType.SMALL_MICRO_ENTERPRISE:
        return None
    found: list[Refusal] = []
    if isinstance(facts, SubmitProject):
        missing = incomplete(BOTH_FORMS, facts.documents)
        found.extend([missing] if missing is not None else [])
    found.extend(_reports_missing(facts.reports))
    unqualified = sorted(
        {report.third_party.body for report in facts.reports if not report.third_party.qualified}
    )
    found.extend(refuse("VERIFIER_NOT_QUALIFIED", body=body) for body in unqualified)
    return tuple(found)


@rule("SZ-30", article="30", mark="MUST")
def suspended_third_party(facts: ProjectFacts | IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """A suspended body's report is not accepted (effect inferred: the text orders penalties only)."""
    bodies = [report.third_party for report in facts.reports]
    if isinstance(facts, AppointVerifier):
        bodies.append(facts.third_party)
    return tuple(
        refuse(
            "VERIFIER_SUSPENDED",
            body=body.body,
            date=body.suspended_from.isoformat() if body.suspended_from is not None else NOTHING,
        )
        for body in bodies
        if body.suspended(facts.on)
    )


@rule("SZ-21c", article="21¶3", mark="MUST")
def assessed_then_reviewed(facts: PublishProject | ApproveIssuance, _parameters: DatedParameters) -> Outcomes:
    """Experts assess, the bureau reviews their result; the reviewer is none of the experts (inferred)."""
    failed = assessment_missing(facts.assessment)
    if failed is not None or facts.assessment is None:
        return failed
    if facts.reviewer_id is None:
        return refuse("ASSESSMENT_NOT_PASSED", reasons="主管部门未审查 not reviewed by the bureau")
    if facts.reviewer_id in facts.assessment.assessor_ids:
        return refuse("SELF_APPROVAL_FORBIDDEN")
    return None


# --- What the platform must have --------------------------------------------------------------------------


@structural("SZ-5b", article="5¶1", mark="MUST")
@structural("SP-23a", article="（八）23", mark="MUST")
def an_event_type_for_each_verb(pack: PackData) -> str | None:
    """Points, projects and units each have an event type for every verb that the text lists."""
    missing = [
        f"{register}: {verb}"
        for register, verbs in PLATFORM_EVENTS.items()
        for verb in sorted(verbs - set(pack.events.get(register, {})))
    ]
    return f"no event type for {', '.join(missing)}" if missing else None


@structural("SZ-5c", article="5¶1", mark="MUST")
@structural("SP-23c", article="23", mark="MUST")
def every_disclosure_has_a_page(pack: PackData) -> str | None:
    """What is to be made public stands on the platform's own window, each list under a stable address."""
    slugs = [shown.slug for shown in pack.disclosures]
    if len(set(slugs)) != len(slugs):
        return "two lists share one page"
    empty = [shown.slug for shown in pack.disclosures if not shown.fields]
    if empty:
        return f"nothing is shown on {', '.join(empty)}"
    return None if "policies" in slugs else "no page for policies"


@structural("SZ-27", article="27", mark="MUST")
def four_lists_at_least(pack: PackData) -> str | None:
    """Methodologies, scenes, issue and use, and the expert pool are the least that is published."""
    missing = sorted(MINIMUM_LISTS - {shown.slug for shown in pack.disclosures if shown.ordered_by_law})
    return f"no list of {', '.join(missing)}" if missing else None


@structural("SZ-31b", article="31(2)", mark="MUST")
def second_definition_is_read_with_the_first(pack: PackData) -> str | None:
    """Two definitions of methodology stand in the text; the reading is on record (slip D-16)."""
    return None if any(slip.slip_id == "D-16" for slip in pack.slips) else "slip D-16 is not recorded"
