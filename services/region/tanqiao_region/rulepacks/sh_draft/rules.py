"""Rules of the Shanghai measures (draft for public comment), article by article.

Every function answers for one article; what the text leaves open is read from dated parameters. Where the
node adds a duty that no article orders, the rule id begins with POLICY.
"""

from __future__ import annotations

from typing import Final

from tanqiao_region.domain.rules import DatedParameters, Outcomes, PackData, Refusal, refuse, rule, structural
from tanqiao_region.domain.rules.checks import (
    NOTHING,
    ClaimPolicy,
    assessment_missing,
    beyond_methodology,
    claim_outcomes,
    compliance_outcomes,
    grain_not_met,
    incomplete,
    lies_within,
    methodology_unusable,
    notice_running,
    panel_conflicts,
    ranges,
    recognition_missing,
)
from tanqiao_region.domain.rules.facts import (
    AdmitRightsProvider,
    AppointPanel,
    ApproveIssuance,
    Cancel,
    ConnectScene,
    ConvertHolding,
    DecideBehaviourScene,
    DiscloseField,
    HoldingKind,
    IssuanceFacts,
    IssuanceSource,
    MethodologyKind,
    OpenNotice,
    PublishMethodology,
    PublishProject,
    PublishScene,
    ReadPersonalRecords,
    ReceiveTransfer,
    RequestIssuance,
    Retire,
    SceneKind,
    Subject,
    SubmitActivityData,
    SubmitMethodology,
    SubmitProject,
    SubmitScene,
    TransferLocal,
    TransferOut,
)

NOTICE_WORKING_DAYS: Final = 5
"""Length that Articles 12 and 13 order for both public notices."""
METHODOLOGY_PARTS: Final = frozenset({"baseline", "additionality", "computation", "monitoring_plan"})
"""Parts of a methodology by the definition of Article 25."""
REGISTERS: Final = frozenset(
    {
        "methodology",
        "project",
        "reduction_scene",
        "behaviour_scene",
        "reductions",
        "points",
        "credit_standing",
    }
)
"""What Article 7 lists for the platform."""
EVIDENCE_OF_DATA: Final = frozenset({"data_batch_digest", "submitter_signature"})
EVIDENCE_OF_UNITS: Final = EVIDENCE_OF_DATA | {"methodology_version", "factor"}
ENTRUSTABLE: Final = frozenset({"project_applicant", "rights_provider"})
"""Whom Article 18 lets a trading subject entrust."""
COMPLIANCE: Final = "compliance"
DONATION: Final = "donation"
ECOLOGICAL_DAMAGE: Final = "ecological_damage"
EXCHANGE_ROLE: Final = "sh.exchange"


# --- Participants, rule documents -------------------------------------------------------------------------


@rule("SH-2", article="2", mark="MUST")
def subject_of_this_city(facts: SubmitProject | SubmitScene, parameters: DatedParameters) -> Outcomes:
    """本市 limits the subject; by seat or by place of the act is a parameter."""
    subject: Subject = facts.participant if isinstance(facts, SubmitProject) else facts.applicant
    seat = lies_within(facts.node_region, subject.seat_region)
    place = lies_within(facts.node_region, subject.acts_in_region)
    local = {"seat": seat, "place_of_act": place, "either": seat or place}[
        parameters.text("sh.subject_locality")
    ]
    return None if local else refuse("REGION_SCOPE_MISMATCH", region=subject.seat_region)


@rule("SH-8a", article="8¶1", mark="MUST")
def rule_document_loaded(
    facts: SubmitMethodology | SubmitProject | SubmitScene | DecideBehaviourScene | TransferLocal,
    parameters: DatedParameters,
) -> Outcomes:
    """A step that one of the five rule documents governs waits until the document is loaded."""
    if isinstance(facts, TransferLocal) and not facts.trade:
        return None
    documents = {
        SubmitMethodology: "methodology_guide",
        SubmitProject: "project_and_scene_guide",
        SubmitScene: "project_and_scene_guide",
        DecideBehaviourScene: "behaviour_scene_rules",
        TransferLocal: "trading_rules",
    }
    parameters.text(f"sh.rule_document[{documents[type(facts)]}]")
    return None


@structural("SH-5a", article="5", mark="MUST")
def assessments_lie_with_centre_and_exchange(pack: PackData) -> str | None:
    """Centre and exchange organise assessments; the specific articles say which of them (inferred)."""
    bodies = frozenset({"sh.centre", EXCHANGE_ROLE})
    for act in ("AssessMethodology", "AssessProject", "AssessScene"):
        if not pack.roles.roles_for(act) or not pack.roles.roles_for(act) <= bodies:
            return f"{act} lies with another body than centre or exchange"
    return None


@structural("SH-7", article="7", mark="MUST")
def seven_registers(pack: PackData) -> str | None:
    """The platform covers seven things; trading is not among them."""
    missing = sorted(REGISTERS - pack.registers)
    return f"no register for {', '.join(missing)}" if missing else None


# --- Methodologies ----------------------------------------------------------------------------------------


@rule("SH-6", article="6", mark="MUST")
def experts_stand_aside(facts: AppointPanel, _parameters: DatedParameters) -> Outcomes:
    """An expert does not sit on a file of the expert's own (inferred)."""
    return panel_conflicts(facts.panel)


@rule("SH-9", article="9", mark="MUST")
def kind_and_class_of_methodology(
    facts: SubmitProject | SubmitScene | PublishMethodology | IssuanceFacts, _parameters: DatedParameters
) -> Outcomes:
    """Projects and scenes each use a methodology of their kind; class I or II is fixed at publication."""
    if isinstance(facts, PublishMethodology):
        classed = facts.methodology.unit_class in ("I", "II")
        return None if classed else refuse("APPLICATION_INCOMPLETE", documents="methodology class I/II")
    wanted = _kind_wanted(facts)
    if wanted is None or facts.methodology is None or facts.methodology.kind is wanted:
        return None
    return refuse("METHODOLOGY_KIND_MISMATCH")


def _kind_wanted(facts: SubmitProject | SubmitScene | IssuanceFacts) -> MethodologyKind | None:
    if isinstance(facts, SubmitProject):
        return MethodologyKind.PROJECT
    if isinstance(facts, SubmitScene):
        return MethodologyKind.SCENE if facts.scene_kind is SceneKind.REDUCTION else None
    if facts.source is IssuanceSource.PROJECT:
        return MethodologyKind.PROJECT
    return MethodologyKind.SCENE if facts.source is IssuanceSource.REDUCTION_SCENE else None


@rule("SH-25a", article="25", mark="MUST")
def methodology_has_its_parts(
    facts: SubmitMethodology | PublishMethodology, _parameters: DatedParameters
) -> Outcomes:
    """A methodology states baseline, additionality, computation and monitoring plan."""
    return incomplete(METHODOLOGY_PARTS, facts.parts)


@rule("SH-11", article="11", mark="MUST")
def methodology_assessed_consulted_published(
    facts: PublishMethodology | SubmitProject | SubmitScene | IssuanceFacts, parameters: DatedParameters
) -> Outcomes:
    """Assessment and public consultation are closed before publication; only then is it used."""
    if not isinstance(facts, PublishMethodology):
        if isinstance(facts, SubmitScene) and facts.scene_kind is not SceneKind.REDUCTION:
            return None
        if isinstance(facts, IssuanceFacts) and facts.source is IssuanceSource.BEHAVIOUR_SCENE:
            return None
        return methodology_unusable(facts.methodology, facts.on)
    failed = assessment_missing(facts.assessment)
    consultation = facts.consultation
    wanted = parameters.integer("sh.consultation_days")
    held = consultation is not None and consultation.closed(facts.on)
    if consultation is not None and held:
        counted = parameters.text("sh.consultation_counts")
        length = consultation.working_days if counted == "working" else consultation.calendar_days
        held = length >= wanted
    found = [failed] if failed is not None else []
    if not held:
        found.append(refuse("CONSULTATION_NOT_HELD"))
    return tuple(found)


# --- Projects and scenes ----------------------------------------------------------------------------------


@rule("SH-14", article="14", mark="MUST")
def commitment_not_to_take_part_elsewhere(
    facts: SubmitProject | SubmitScene | OpenNotice | IssuanceFacts, parameters: DatedParameters
) -> Outcomes:
    """The subject has promised not to take part elsewhere, and nothing found says that it does.

    The commitment is asked for when a project, a scene or an issuance is submitted (moment inferred). The
    claim check must have answered before a notice opens and before units are issued.
    """
    if isinstance(facts, SubmitScene) and facts.scene_kind is not SceneKind.REDUCTION:
        return None
    found = [] if isinstance(facts, OpenNotice) else _commitment_missing(facts)
    if facts.claim is None and isinstance(facts, SubmitProject | SubmitScene | RequestIssuance):
        return tuple(found)
    return (*found, *claim_outcomes(facts.claim, _policy(parameters)))


def _commitment_missing(facts: SubmitProject | SubmitScene | IssuanceFacts) -> list[Refusal]:
    subject = facts.applicant if isinstance(facts, SubmitScene) else facts.participant
    held = subject.commitment is not None and subject.commitment.in_force(facts.on)
    return [] if held else [refuse("COMMITMENT_MISSING")]


def _policy(parameters: DatedParameters) -> ClaimPolicy:
    """Article 14 bars taking part *again* in voluntary projects, and green power *at all* (slip D-10)."""
    scope = parameters.text("sh.commitment.scope")
    return ClaimPolicy(
        excluded=parameters.text_set("sh.exclusion.excluded_programmes"),
        green_power=parameters.text_set("sh.exclusion.green_power_programmes"),
        ended_application="allow",
        automatic_certificate="hold",
        other_asset={"asset": "allow", "asset_block_subject_hold": "hold", "subject": "block"}[scope],
    )


@rule("SH-12", article="12", mark="MUST")
def project_notice_of_five_working_days(
    facts: OpenNotice | PublishProject, _parameters: DatedParameters
) -> Outcomes:
    """A project that passed is shown for five working days, and published after them."""
    if isinstance(facts, OpenNotice):
        return assessment_missing(facts.assessment) if facts.object_kind == "project" else None
    failed = assessment_missing(facts.assessment)
    running = notice_running(facts.notice, on=facts.on, working_days=NOTICE_WORKING_DAYS)
    return tuple(refusal for refusal in (failed, running) if refusal is not None)


@rule("SH-13b", article="13¶1", mark="MUST")
def scene_notice_of_five_working_days(
    facts: OpenNotice | PublishScene, _parameters: DatedParameters
) -> Outcomes:
    """A scene that passed is shown for five working days, and published after them."""
    if isinstance(facts, OpenNotice):
        return assessment_missing(facts.assessment) if facts.object_kind == "scene" else None
    failed = assessment_missing(facts.assessment)
    running = notice_running(facts.notice, on=facts.on, working_days=NOTICE_WORKING_DAYS)
    return tuple(refusal for refusal in (failed, running) if refusal is not None)


@rule("SH-13c", article="13¶1", mark="MUST")
def scene_data_validated(
    facts: ConnectScene | SubmitActivityData | IssuanceFacts, _parameters: DatedParameters
) -> Outcomes:
    """Data of a scene count only after the feed passed its validation and was connected."""
    if isinstance(facts, ConnectScene):
        ready = facts.validated_on is not None and facts.validated_on <= facts.on
        published = facts.published_on is not None and facts.published_on <= facts.on
        return None if ready and published else refuse("SCENE_DATA_NOT_VALIDATED")
    if facts.source is not IssuanceSource.REDUCTION_SCENE or facts.feed_validated:
        return None
    return refuse("SCENE_DATA_NOT_VALIDATED")


@rule("SH-25d", article="25", mark="MUST")
def scene_has_an_information_system(facts: ConnectScene, _parameters: DatedParameters) -> Outcomes:
    """A reduction scene records behaviour and computes in a system that is connected to the platform."""
    return None if facts.has_information_system else refuse("SCENE_DATA_NOT_VALIDATED")


@rule("SH-10", article="10", mark="MUST")
def behaviour_scenes_yield_experience_values(
    facts: DecideBehaviourScene | ConvertHolding, _parameters: DatedParameters
) -> Outcomes:
    """What cannot be measured exactly yields experience values, which never become tonnes or points."""
    if isinstance(facts, DecideBehaviourScene):
        return None if facts.yields == "experience_value" else refuse("BEHAVIOUR_SCENE_ISSUES_NO_UNITS")
    match facts.holding:
        case HoldingKind.EXPERIENCE_VALUE:
            return refuse("EXPERIENCE_VALUE_NOT_CONVERTIBLE")
        case HoldingKind.BEHAVIOUR_ESTIMATE:
            return refuse("BEHAVIOUR_SCENE_ISSUES_NO_UNITS")
        case HoldingKind.UNIT | HoldingKind.POINTS:
            return None


# --- Issuance ---------------------------------------------------------------------------------------------


@rule("SH-15a", article="15¶1", mark="MUST")
def reductions_are_of_projects_and_scenes(facts: IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """There are project reductions and scene reductions; a behaviour scene has none."""
    if facts.source in (IssuanceSource.PROJECT, IssuanceSource.REDUCTION_SCENE):
        return None
    return refuse("BEHAVIOUR_SCENE_ISSUES_NO_UNITS")


@rule("SH-15b", article="15¶2", mark="MUST")
def project_issuance_audited_and_yearly(facts: IssuanceFacts, parameters: DatedParameters) -> Outcomes:
    """Audited, published, and in principle once a year unless overridden by reason and second approver."""
    if facts.source is not IssuanceSource.PROJECT:
        return None
    found = []
    if _issued_this_year(facts, parameters) and not _override_stands(facts, parameters):
        found.append(refuse("ISSUANCE_TOO_FREQUENT", year=facts.on.year))
    if isinstance(facts, ApproveIssuance):
        if facts.audit is None or not facts.audit.passed or facts.audit.audited_on > facts.on:
            found.append(refuse("AUDIT_NOT_PASSED"))
        if facts.published_on is None or facts.published_on > facts.on:
            found.append(
                refuse(
                    "STATE_NOT_ALLOWED",
                    what="项目 project",
                    id=facts.source_id,
                    state="未公布 not published",
                    needed="PUBLISHED",
                )
            )
    return tuple(found)


def _issued_this_year(facts: IssuanceFacts, parameters: DatedParameters) -> bool:
    if parameters.text("sh.issuance_year_basis") == "calendar":
        return any(earlier.year == facts.on.year for earlier in facts.earlier_issuances)
    days_of_a_year = 365
    return any(0 <= (facts.on - earlier).days < days_of_a_year for earlier in facts.earlier_issuances)


def _override_stands(facts: IssuanceFacts, parameters: DatedParameters) -> bool:
    override = facts.override
    if override is None or not override.reason.strip():
        return False
    other_person = override.second_approver_id not in ("", facts.actor.subject_id, facts.submitted_by)
    return other_person and override.second_approver_role in parameters.text_set(
        "sh.issuance_override_approvers"
    )


@rule("SH-15c", article="15¶3", mark="MUST")
def scene_issuance_authorised_and_recomputed(
    facts: IssuanceFacts | SubmitActivityData, _parameters: DatedParameters
) -> Outcomes:
    """The authorised scene body supplies data for its period; the node's recomputation agrees (inferred)."""
    if facts.source is not IssuanceSource.REDUCTION_SCENE:
        return None
    authorised = facts.authorisation is not None and facts.authorisation.covers(
        facts.period_start, facts.period_end
    )
    found = []
    if not authorised:
        found.append(refuse("SCENE_NOT_AUTHORISED", period=f"{facts.period_start}/{facts.period_end}"))
    if isinstance(facts, ApproveIssuance) and facts.computed_kg != facts.submitted_kg:
        found.append(
            refuse(
                "COMPUTATION_DIFFERS",
                ours=f"{facts.computed_kg} kg",
                theirs=f"{facts.submitted_kg} kg",
                lines=facts.source_id,
            )
        )
    return tuple(found)


@rule("SH-25b", article="25", mark="MUST")
def quantity_in_whole_grains(facts: IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """Stated in tonnes; the least quantity that is issued is a parameter, the rest is carried."""
    return grain_not_met(facts)


@rule("SH-22a", article="22", mark="MUST")
def data_are_traceable(facts: SubmitActivityData | ApproveIssuance, _parameters: DatedParameters) -> Outcomes:
    """From any serial one query leads to audit, methodology, factor, batch digest and signature."""
    required = set(EVIDENCE_OF_DATA)
    if isinstance(facts, ApproveIssuance):
        required = set(EVIDENCE_OF_UNITS)
        if facts.source is IssuanceSource.PROJECT:
            required.add("audit")
    missing = sorted(required - facts.evidence)
    return refuse("EVIDENCE_CHAIN_BROKEN", missing=missing) if missing else None


@rule("SH-22b", article="22", mark="MUST")
def secrets_and_privacy_are_kept(
    facts: DiscloseField | ReadPersonalRecords, _parameters: DatedParameters
) -> Outcomes:
    """Only public fields reach the public and the bridge; records of persons stay in the region."""
    if isinstance(facts, ReadPersonalRecords):
        leaves = facts.leaves_region
        shown = "records of persons"
    else:
        leaves = facts.field_class != "public" and facts.audience in ("public", "bridge")
        shown = facts.field_class
    if not leaves:
        return None
    return refuse("ROLE_NOT_PERMITTED", role=facts.actor.role, action=f"{facts.act()}: {shown}", body=NOTHING)


# --- Use, trade, conversion -------------------------------------------------------------------------------


@rule("SH-17b", article="17", mark="MUST")
def compliance_by_the_surrender_rule(facts: Retire, parameters: DatedParameters) -> Outcomes:
    """Class I units are surrendered by the separate rule of the year; without it nothing is."""
    if facts.purpose != COMPLIANCE or facts.year is None:
        return None
    lots = tuple(lot for lot in facts.lots if lot.unit_class == "I")
    if not lots:
        return None
    notice = parameters.table(f"sh.surrender_rule[{facts.year}]")
    return compliance_outcomes(facts, notice, lots=lots, year=facts.year)


@rule("SH-19", article="19", mark="MUST")
def donation_names_its_donee(facts: Retire, _parameters: DatedParameters) -> Outcomes:
    """A donation offsets the donee's emissions: the beneficiary is somebody else."""
    if facts.purpose != DONATION or facts.beneficiary_id not in ("", facts.holder.subject_id):
        return None
    return refuse("PURPOSE_DETAIL_MISSING", purpose=facts.purpose, documents="受赠主体 donee")


@rule("SH-20", article="20", mark="MUST")
def ecological_damage_needs_a_court_document(facts: Retire, _parameters: DatedParameters) -> Outcomes:
    """It rests on a document of a court or procuratorate, and goes no further than that orders."""
    if facts.purpose != ECOLOGICAL_DAMAGE:
        return None
    document = facts.document
    if document is None or not document.issuer or not document.number or document.dated is None:
        return refuse("COURT_DOCUMENT_MISSING")
    if document.dated > facts.on:
        return refuse("COURT_DOCUMENT_MISSING")
    if document.ordered_kg is not None and facts.quantity_kg > document.ordered_kg:
        return refuse("FIELD_INVALID", field="quantity", detail=f"> {document.ordered_kg} kg")
    return None


@rule("SH-18", article="18", mark="MUST")
def trading_subjects_and_their_agents(facts: TransferLocal, _parameters: DatedParameters) -> Outcomes:
    """Only qualified subjects trade; only a project applicant or a rights provider may be entrusted."""
    if not facts.trade:
        return None
    found = [
        refuse("TRADING_SUBJECT_NOT_QUALIFIED", subject=party.subject_id)
        for party in (facts.seller, facts.buyer)
        if not party.qualified_to_trade
    ]
    agent = facts.agent
    if agent is not None:
        if not ENTRUSTABLE & agent.roles_held:
            found.append(refuse("TRADING_SUBJECT_NOT_QUALIFIED", subject=agent.subject_id))
        mandate = facts.mandate
        stands = (
            mandate is not None
            and mandate.in_force(facts.on)
            and (mandate.principal_id, mandate.agent_id) == (facts.seller.subject_id, agent.subject_id)
        )
        if not stands:
            found.append(refuse("MANDATE_NOT_IN_FORCE", who=agent.subject_id, period=facts.on.isoformat()))
    return tuple(found)


@rule("SH-21b", article="21", mark="MUST")
def units_converted_back_are_only_retired(
    facts: TransferLocal | TransferOut | ConvertHolding, _parameters: DatedParameters
) -> Outcomes:
    """What was converted back from points must be consumed: no trade, no export, no second conversion."""
    flagged = [lot for lot in facts.lots if lot.must_be_consumed]
    return refuse("MUST_CONSUME_UNIT", ranges=ranges(flagged)) if flagged else None


@rule("SH-5d", article="5", mark="MUST")
def settlement_comes_from_the_exchange(facts: TransferLocal, _parameters: DatedParameters) -> Outcomes:
    """The exchange manages trading: a settlement is handed in by it and by nobody else (inferred)."""
    if not facts.trade or facts.actor.role == EXCHANGE_ROLE:
        return None
    return refuse(
        "ROLE_NOT_PERMITTED",
        role=facts.actor.role,
        action="TransferLocal (trade)",
        body="上海环交所 (exchange)",
    )


@rule("SH-25c", article="25", mark="MUST")
def rights_provider_is_a_body(facts: AdmitRightsProvider, _parameters: DatedParameters) -> Outcomes:
    """A rights provider supplies goods or services for points; a person cannot be one."""
    return refuse("RIGHTS_PROVIDER_ONLY") if facts.applicant.is_individual else None


# --- House policy: nothing in the text, and cited as policy ------------------------------------------------


@rule(
    "POLICY-recognition", article="节点政策：跨区域须有互认记录 node policy: deny by default", mark="POLICY"
)
def border_needs_a_recognition_record(
    facts: TransferOut | ReceiveTransfer, _parameters: DatedParameters
) -> Outcomes:
    """No article speaks of transfers across the border; without a record in force nothing crosses."""
    origin, target = (
        (facts.node_region, facts.destination_region)
        if isinstance(facts, TransferOut)
        else (facts.source_region, facts.node_region)
    )
    return recognition_missing(
        facts.lots, facts.recognitions, from_region=origin, to_region=target, on=facts.on
    )


@rule("POLICY-foreign-unit", article="节点政策 node policy", mark="POLICY")
def foreign_units_stay_foreign(facts: ConvertHolding, _parameters: DatedParameters) -> Outcomes:
    """A unit keeps its name for ever: nothing turns a foreign unit into a local one or into points."""
    foreign = [lot for lot in facts.lots if lot.origin_region != facts.node_region]
    if not foreign:
        return None
    return refuse("FOREIGN_UNIT_STAYS_FOREIGN", region=foreign[0].origin_region, ranges=ranges(foreign))


@rule("POLICY-ets-covered", article="节点政策 node policy (sh.ets_exclusion)", mark="POLICY")
def covered_emitters_wait(facts: SubmitProject | IssuanceFacts, parameters: DatedParameters) -> Outcomes:
    """This draft has no rule on covered emitters; the parameter says whether their files wait (inferred)."""
    if not facts.participant.covered_emitter:
        return None
    match parameters.text("sh.ets_exclusion"):
        case "block":
            return refuse("PARTICIPANT_TYPE_NOT_ALLOWED")
        case "hold":
            return refuse("CLAIM_HOLD", cases="重点排放单位 covered emitter")
        case _:
            return None


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
