"""Rules of the Shenzhen measures (draft submitted for review) and of the plan, article by article.

Every function answers for one article; what the text leaves open is read from dated parameters. The draft
has no day-limits, appeals or corrections: where the node adds such a thing the rule id begins with POLICY.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tanqiao_region.domain.rules import (
    DatedParameters,
    Outcomes,
    PackData,
    Refusal,
    note,
    refuse,
    rule,
    structural,
)
from tanqiao_region.domain.rules.checks import (
    NOTHING,
    ClaimPolicy,
    assessment_missing,
    beyond_methodology,
    claim_outcomes,
    compliance_outcomes,
    grain_not_met,
    incomplete,
    methodology_unusable,
    panel_conflicts,
    ranges,
    recognition_missing,
)
from tanqiao_region.domain.rules.facts import (
    AppointPanel,
    AppointVerifier,
    ApproveIssuance,
    AssessMethodology,
    AssessProject,
    AssessScene,
    Cancel,
    ConvertHolding,
    HoldingKind,
    IssuanceFacts,
    IssuanceSource,
    LabelScene,
    MintPoints,
    OpenAccount,
    Panel,
    ProjectFacts,
    PublishMethodology,
    PublishProject,
    ReadPersonalRecords,
    ReceiveTransfer,
    ReconcileHolding,
    RegisterDataOperator,
    RegisterSceneNorm,
    Report,
    RequestIssuance,
    Retire,
    SignCertificate,
    Subject,
    SubjectType,
    SubmitActivityData,
    SubmitMethodology,
    SubmitProject,
    TransferLocal,
    TransferOut,
    UnitLot,
)

PROGRAMME: Final = "SZ_PHCER"
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
PLATFORM_ROLE: Final = "sz.platform_operator"
COMPLIANCE: Final = "compliance"
VOLUNTARY_PURPOSES: Final = frozenset(
    {"voluntary", "operations_neutrality", "event_neutrality", "personal_neutrality", "donation"}
)
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
        alone = [facts.holder] if _stands_alone(facts.holder) else []
        operators: tuple[str, ...] = ()
    elif isinstance(facts, TransferLocal):
        alone = [party for party in (facts.seller, facts.buyer) if _stands_alone(party)]
        operators = ()
    elif isinstance(facts, Retire):
        if parameters.boolean("sz.individual_direct_retirement"):
            return None
        alone = [facts.holder] if _stands_alone(facts.holder) else []
        operators = facts.registered_operators
    else:
        alone = [facts.participant] if facts.participant.is_individual else []
        operators = facts.registered_operators
    return refuse("INDIVIDUAL_NEEDS_OPERATOR", list=list(operators) or NOTHING) if alone else None


def _stands_alone(subject: Subject) -> bool:
    return subject.is_individual and subject.operator_id is None


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
    wanted = parameters.table("sz.expert_draw").get("n")
    draw = panel.draw if panel is not None else None
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


# --- Issuance ---------------------------------------------------------------------------------------------


@rule("SZ-9b", article="9", mark="MUST")
def only_own_methodologies(
    facts: SubmitProject | IssuanceFacts | ConvertHolding, _parameters: DatedParameters
) -> Outcomes:
    """Only the city's methodologies yield its units; a foreign unit stays foreign for ever.

    No article lets a low-carbon scene issue reductions: a norm is no methodology (slip D-23).
    """
    if isinstance(facts, ConvertHolding):
        foreign = [lot for lot in facts.lots if lot.origin_region != facts.node_region]
        if facts.holding is not HoldingKind.UNIT or not foreign:
            return None
        return refuse("FOREIGN_UNIT_STAYS_FOREIGN", region=foreign[0].origin_region, ranges=ranges(foreign))
    methodology = facts.methodology
    own = (
        methodology is not None
        and methodology.region == facts.node_region
        and methodology.programme == PROGRAMME
    )
    scene = isinstance(facts, IssuanceFacts) and facts.source is not IssuanceSource.PROJECT
    return None if own and not scene else refuse("METHODOLOGY_NOT_SHENZHEN")


@rule("SZ-31d", article="31(5)", mark="MUST")
def national_units_are_not_issued_here(facts: IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """CCER are registered in the national register; here only the city's own programme is issued."""
    return None if facts.programme == PROGRAMME else refuse("METHODOLOGY_NOT_SHENZHEN")


@rule("SZ-22", article="22", mark="MUST")
def not_applied_for_elsewhere(facts: IssuanceFacts | SubmitProject, parameters: DatedParameters) -> Outcomes:
    """A project already applied for elsewhere gets no units: at project level, whatever the period.

    The article bars issuance, not registration: at submission what was found is only noted.
    """
    if isinstance(facts, RequestIssuance | SubmitProject) and facts.claim is None:
        return None
    policy = ClaimPolicy(
        excluded=parameters.text_set("sz.exclusion.excluded_programmes"),
        ended_application=parameters.text("sz.exclusion.withdrawn_application_bars"),
        automatic_certificate=parameters.text("sz.exclusion.automatic_certificate_is_application"),
        other_asset="allow",
    )
    found = claim_outcomes(facts.claim, policy)
    if not isinstance(facts, SubmitProject):
        return found
    return tuple(
        note(bars_issuance=outcome.symbol, **outcome.metadata) if isinstance(outcome, Refusal) else outcome
        for outcome in found
    )


@rule("SZ-23b", article="23", mark="MUST")
def delivered_to_the_participant(facts: ApproveIssuance, _parameters: DatedParameters) -> Outcomes:
    """The only account that is credited is the participant's own."""
    if facts.credited_subject_id == facts.participant.subject_id:
        return None
    return refuse(
        "ROLE_NOT_PERMITTED",
        role=facts.credited_subject_id,
        action="ApproveIssuance (credit)",
        body=facts.participant.subject_id,
    )


@rule("SZ-31a", article="31(1)", mark="MUST")
def quantity_in_whole_grains(facts: IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """Measured in CO2-equivalent without a magnitude; the issuing grain is a parameter."""
    return grain_not_met(facts)


# --- Units ------------------------------------------------------------------------------------------------


@rule("SZ-8", article="8", mark="MUST")
@rule("SP-26", article="26", mark="MUST")
def border_needs_a_recognition_record(
    facts: TransferOut | ReceiveTransfer, _parameters: DatedParameters
) -> Outcomes:
    """探索 authorises nothing by itself: without a record signed by both authorities nothing crosses."""
    origin, target = (
        (facts.node_region, facts.destination_region)
        if isinstance(facts, TransferOut)
        else (facts.source_region, facts.node_region)
    )
    return recognition_missing(
        facts.lots, facts.recognitions, from_region=origin, to_region=target, on=facts.on
    )


@rule("SZ-5d", article="5¶2", mark="MUST")
def settlement_comes_from_the_platform_operator(
    facts: TransferLocal, _parameters: DatedParameters
) -> Outcomes:
    """The exchange organises trading: a settlement is handed in by it and by nobody else (inferred)."""
    if not facts.trade or facts.actor.role == PLATFORM_ROLE:
        return None
    return refuse(
        "ROLE_NOT_PERMITTED",
        role=facts.actor.role,
        action="TransferLocal (trade)",
        body="深圳排放权交易机构 (exchange)",
    )


@rule("SP-4a", article="4", mark="MUST")
def compliance_by_three_classes(facts: Retire, parameters: DatedParameters) -> Outcomes:
    """Compliance knows own units, national units and other ones that the bureau approved by decision.

    National units are surrendered in the national register, never here; a foreign unit is eligible only if
    an approval for its region and programme is in force.
    """
    if facts.purpose != COMPLIANCE or facts.year is None:
        return None
    outside = [lot for lot in facts.lots if not _approved(lot, facts, parameters)]
    if not outside:
        return None
    return refuse("OFFSET_SCOPE_EXCLUDED", year=facts.year, ranges=ranges(outside))


def _approved(lot: UnitLot, facts: Retire, parameters: DatedParameters) -> bool:
    if lot.origin_region == facts.node_region:
        return lot.programme == PROGRAMME
    return parameters.has(f"sz.approved_other[{lot.origin_region}/{lot.programme}]")


@rule("SZ-25", article="25", mark="MUST")
def compliance_within_the_annual_notice(facts: Retire, parameters: DatedParameters) -> Outcomes:
    """Scope, total and rules are set and published for each year; the total is counted in the same act."""
    if facts.purpose != COMPLIANCE or facts.year is None:
        return None
    notice = parameters.table(f"sz.offset_notice[{facts.year}]")
    return compliance_outcomes(facts, notice, lots=facts.lots, year=facts.year)


@rule("SZ-26a", article="26¶1", mark="MUST")
def voluntary_use_by_whom(facts: Retire, parameters: DatedParameters) -> Outcomes:
    """Bodies, enterprises, groups and persons may buy and cancel; persons through an operator (slip D-18)."""
    if facts.purpose not in VOLUNTARY_PURPOSES or parameters.boolean("sz.individual_direct_retirement"):
        return None
    if not _stands_alone(facts.holder):
        return None
    return refuse("INDIVIDUAL_NEEDS_OPERATOR", list=list(facts.registered_operators) or NOTHING)


@rule("SZ-26b", article="26¶2", mark="MUST")
def certificate_of_neutrality(facts: SignCertificate, parameters: DatedParameters) -> Outcomes:
    """Signed after recognition, on the city's own units retired voluntarily and behind no other certificate.

    Who recognises is not said: without the parameter there is no certificate (slip D-19).
    """
    recogniser = parameters.text("sz.certificate.recogniser")
    parameters.text("sz.certificate.standard")
    found: list[Refusal] = []
    if facts.recognised_by_role != recogniser:
        found.append(
            refuse("ROLE_NOT_PERMITTED", role=facts.recognised_by_role, action="recognise", body=recogniser)
        )
    foreign = [lot for lot in facts.lots if lot.programme != PROGRAMME]
    if foreign:
        found.append(
            refuse("FOREIGN_UNIT_STAYS_FOREIGN", region=foreign[0].origin_region, ranges=ranges(foreign))
        )
    if not facts.lots or any(purpose not in VOLUNTARY_PURPOSES for purpose in facts.retired_purposes):
        found.append(refuse("CERTIFICATE_UNITS_NOT_RETIRED"))
    used = {
        number: [
            lot for lot, other in zip(facts.lots, facts.used_in_certificates, strict=True) if other == number
        ]
        for number in sorted(set(facts.used_in_certificates) - {""})
    }
    found.extend(
        refuse("CERTIFICATE_UNITS_ALREADY_USED", number=number, ranges=ranges(lots))
        for number, lots in used.items()
    )
    return tuple(found)


@rule("SP-11a", article="11", mark="MUST")
@rule("SZ-16b", article="16", mark="MUST")
def points_need_a_published_rule(_facts: MintPoints, parameters: DatedParameters) -> Outcomes:
    """The exchange rule between reductions and points is made separately; no default rate exists."""
    parameters.table("sz.points_rule")
    return None


@rule("SZ-5a", article="5¶1", mark="MUST")
def the_journal_is_the_basis_of_title(facts: ReconcileHolding, _parameters: DatedParameters) -> Outcomes:
    """Title follows the node's journal; where another system differs, that one is corrected, by no import."""
    if facts.correct_node:
        return refuse("JOURNAL_MISMATCH", what=_difference(facts))
    return note(title="journal", difference=_difference(facts))


def _difference(facts: ReconcileHolding) -> str:
    return f"{facts.outside_system}: {facts.outside_kg} kg, journal: {facts.journal_kg} kg"


# --- What the platform must have --------------------------------------------------------------------------


@structural("SZ-5b", article="5¶1", mark="MUST")
@structural("SP-23a", article="23", mark="MUST")
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


# --- House policy: nothing in the text, and cited as policy ------------------------------------------------


@rule("POLICY-methodology-conditions", article="方法学适用条件 condition of the methodology", mark="POLICY")
def methodology_applies(facts: SubmitProject | IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """What a methodology says of its own reach: capacity, years after grid connection."""
    if facts.methodology is None:
        return None
    if isinstance(facts, SubmitProject):
        return beyond_methodology(facts.methodology, capacity_w=facts.capacity_w)
    return beyond_methodology(
        facts.methodology,
        capacity_w=facts.methodology.capacity_max_w,
        grid_connected_on=facts.grid_connected_on,
        period_end=facts.period_end,
    )


@rule("POLICY-correction", article="节点政策：更正须两人 node policy: two persons correct", mark="POLICY")
def correction_by_two_persons(facts: Cancel, _parameters: DatedParameters) -> Outcomes:
    """A correction has a reason, a document and a second approver who is another person."""
    second = facts.second_approver_id
    if not facts.reason.strip() or not facts.document.strip() or second is None:
        return refuse("REASON_REQUIRED")
    return refuse("SELF_APPROVAL_FORBIDDEN") if second == facts.actor.subject_id else None
