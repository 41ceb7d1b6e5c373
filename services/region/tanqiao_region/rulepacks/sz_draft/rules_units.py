"""Rules of the Shenzhen measures and of the plan on issuance and units, article by article.

Every function answers for one article; what the text leaves open is read from dated parameters. The draft
has no corrections: where the node adds such a thing the rule id begins with POLICY.
"""

from __future__ import annotations

from typing import Final

from tanqiao_region.domain.rules import (
    DatedParameters,
    Outcomes,
    Refusal,
    note,
    refuse,
    rule,
)
from tanqiao_region.domain.rules.checks import (
    NOTHING,
    ClaimPolicy,
    beyond_methodology,
    claim_outcomes,
    compliance_outcomes,
    grain_not_met,
    ranges,
    recognition_missing,
)
from tanqiao_region.domain.rules.facts import (
    ApproveIssuance,
    Cancel,
    ConvertHolding,
    HoldingKind,
    IssuanceFacts,
    IssuanceSource,
    MintPoints,
    ReceiveTransfer,
    ReconcileHolding,
    RequestIssuance,
    Retire,
    SubmitProject,
    TransferLocal,
    TransferOut,
    UnitLot,
)

PROGRAMME: Final = "SZ_PHCER"
PLATFORM_ROLE: Final = "sz.platform_operator"
COMPLIANCE: Final = "compliance"
VOLUNTARY_PURPOSES: Final = frozenset(
    {"voluntary", "operations_neutrality", "event_neutrality", "personal_neutrality", "donation"}
)


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
@rule("SP-26", article="（九）26", mark="MUST")
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
    if not facts.holder.acts_alone:
        return None
    return refuse("INDIVIDUAL_NEEDS_OPERATOR", list=list(facts.registered_operators) or NOTHING)


@rule("SP-11a", article="（四）11", mark="MUST")
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
