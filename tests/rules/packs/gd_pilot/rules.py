"""Invented rules of a fourth region, written as any pack is."""

from __future__ import annotations

from tanqiao_region.domain.rules import DatedParameters, Outcomes, refuse, rule
from tanqiao_region.domain.rules.checks import (
    ClaimPolicy,
    assessment_missing,
    claim_outcomes,
    grain_not_met,
    lies_within,
    methodology_unusable,
    notice_running,
    recognition_missing,
)
from tanqiao_region.domain.rules.facts import (
    ApproveIssuance,
    IssuanceFacts,
    PublishMethodology,
    PublishProject,
    ReceiveTransfer,
    Retire,
    SubmitProject,
    TransferOut,
)

EXCLUDED = frozenset({"CCER", "VCS", "GEC"})


@rule("GD-3", article="3", mark="MUST")
def participant_sits_in_the_province(facts: SubmitProject, _parameters: DatedParameters) -> Outcomes:
    """Only participants of the province apply."""
    seat = facts.participant.seat_region
    return None if lies_within(facts.node_region, seat) else refuse("REGION_SCOPE_MISMATCH", region=seat)


@rule("GD-4", article="4", mark="MUST")
def methodology_in_use(facts: SubmitProject | IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """A methodology is used from its publication."""
    return methodology_unusable(facts.methodology, facts.on)


@rule("GD-5", article="5", mark="MUST")
def methodology_assessed(facts: PublishMethodology, _parameters: DatedParameters) -> Outcomes:
    """A methodology is published after its assessment."""
    return assessment_missing(facts.assessment)


@rule("GD-6", article="6", mark="MUST")
def project_notice(facts: PublishProject, _parameters: DatedParameters) -> Outcomes:
    """A project is shown for seven working days."""
    return notice_running(facts.notice, on=facts.on, working_days=7)


@rule("GD-7", article="7", mark="MUST")
def not_claimed_elsewhere(facts: ApproveIssuance, _parameters: DatedParameters) -> Outcomes:
    """No units for what was applied for elsewhere."""
    return claim_outcomes(facts.claim, ClaimPolicy(excluded=EXCLUDED))


@rule("GD-8", article="8", mark="MUST")
def whole_grains(facts: IssuanceFacts, _parameters: DatedParameters) -> Outcomes:
    """Units are issued in steps of the grain."""
    return grain_not_met(facts)


@rule("GD-9", article="9", mark="MUST")
def border(facts: TransferOut | ReceiveTransfer, _parameters: DatedParameters) -> Outcomes:
    """Nothing crosses without an agreement in force."""
    origin, target = (
        (facts.node_region, facts.destination_region)
        if isinstance(facts, TransferOut)
        else (facts.source_region, facts.node_region)
    )
    return recognition_missing(
        facts.lots, facts.recognitions, from_region=origin, to_region=target, on=facts.on
    )


@rule("GD-11", article="11¶2", mark="MUST")
def use_says_what_for(facts: Retire, _parameters: DatedParameters) -> Outcomes:
    """A use says in words what it is for."""
    if facts.purpose_text.strip():
        return None
    return refuse("PURPOSE_DETAIL_MISSING", purpose=facts.purpose, documents="purpose_text")
