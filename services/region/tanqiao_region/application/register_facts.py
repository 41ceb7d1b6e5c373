"""From registers and verdicts to the facts of the rule pack; nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_refusal
from tanqiao.rpc.validation import parse_wire_date
from tanqiao_region.application.rules import subject_of
from tanqiao_region.domain.panel_draw import Candidate, drawn_again, pool_digest, record_digest
from tanqiao_region.domain.rules.facts import (
    Assessment,
    ClaimAnswer,
    ClaimOutcome,
    Collision,
    CollisionKind,
    CollisionLevel,
    Commitment,
    Consultation,
    ExpertDraw,
    MethodologyKind,
    MethodologyVersion,
    Notice,
    Panel,
    PanelMember,
    Report,
    SilentRegistry,
    Subject,
    ThirdParty,
)
from tanqiao_region.domain.rules.pack import MethodologyTemplate, RulePack
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage.accounts import AccountRow

KINDS: Final = {
    registers_pb2.METHODOLOGY_KIND_PROJECT: MethodologyKind.PROJECT,
    registers_pb2.METHODOLOGY_KIND_SCENE: MethodologyKind.SCENE,
}
REPORTS: Final = {"validation_report": "validation", "verification_report": "verification"}
"""Kinds of documents that are reports of a third party."""
SMALL_MICRO_PROOF: Final = "small_micro_proof"
DECLARATION: Final = "no_profit_declaration"
WATTS_PER_KILOWATT: Final = 1000
CERTIFICATE_PROGRAMMES: Final = frozenset({"GEC", "IREC"})

_OUTCOMES: Final = {
    claims_pb2.VERDICT_KIND_ALLOW: ClaimOutcome.ALLOW,
    claims_pb2.VERDICT_KIND_BLOCK: ClaimOutcome.BLOCK,
    claims_pb2.VERDICT_KIND_HOLD: ClaimOutcome.HOLD,
    claims_pb2.VERDICT_KIND_FREEZE_OTHER: ClaimOutcome.FREEZE_OTHER,
    claims_pb2.VERDICT_KIND_SPLIT: ClaimOutcome.SPLIT,
}
_ENDED: Final = frozenset(
    {
        claims_pb2.CLAIM_STATUS_WITHDRAWN,
        claims_pb2.CLAIM_STATUS_REJECTED,
        claims_pb2.CLAIM_STATUS_LAPSED,
        claims_pb2.CLAIM_STATUS_CANCELLED,
        claims_pb2.CLAIM_STATUS_SUPERSEDED,
    }
)
CLEARED: Final = ClaimAnswer(outcome=ClaimOutcome.ALLOW)
"""The answer under which everything but the claim is checked, before the bridge is asked."""


def date_or_none(message: values_pb2.Date, field: str = "date") -> date | None:
    """Give a date, or None where it is not set; FIELD_INVALID for a day that there is not."""
    if (message.year, message.month, message.day) == (0, 0, 0):
        return None
    return parse_wire_date(message, field)


def template_of(pack: RulePack, methodology: registers_pb2.Methodology) -> MethodologyTemplate | None:
    """Give what public sources say about a methodology: by its number, else by plug-in, kind and class."""
    kind = KINDS[methodology.kind].value
    by_number = [one for one in pack.data.methodologies if one.number == methodology.methodology_id]
    by_content = [
        one
        for one in pack.data.methodologies
        if one.number is None
        and one.plug_in == methodology.quantification
        and one.kind == kind
        and one.unit_class == methodology.unit_class
    ]
    found = by_number or by_content
    return found[0] if found else None


def methodology_version(
    pack: RulePack, methodology: registers_pb2.Methodology | None, *, for_a_new_project: bool = False
) -> MethodologyVersion | None:
    """Give a methodology of this node's register as the rules see it.

    One that was superseded is at its end for a new project; projects that run keep it.
    """
    if methodology is None:
        return None
    template = template_of(pack, methodology)
    factors = template.factors if template is not None else {}
    capacity_max_kw = factors.get("capacity_max_kw")
    crediting_years_max = factors.get("crediting_years_max")
    ends = [date_or_none(methodology.stop_date)]
    if for_a_new_project:
        ends.append(date_or_none(methodology.supersede_date))
    return MethodologyVersion(
        number=methodology.methodology_id,
        region=pack.region,
        programme=pack.units.programme,
        kind=KINDS[methodology.kind],
        unit_class=methodology.unit_class,
        published_on=date_or_none(methodology.publish_date),
        stopped_on=min((day for day in ends if day is not None), default=None),
        capacity_max_w=int(capacity_max_kw) * WATTS_PER_KILOWATT if capacity_max_kw is not None else None,
        crediting_years_max=int(crediting_years_max) if crediting_years_max is not None else None,
    )


def participant_of(
    account: AccountRow, project: registers_pb2.Project, region_code: str, on: date
) -> Subject:
    """Give the owner of a project with what the file says of it: commitment, declaration, proof of size."""
    holder = subject_of(account, region_code)
    kinds = {document.kind: document.name for document in project.documents}
    return Subject(
        subject_id=holder.subject_id,
        subject_type=holder.subject_type,
        seat_region=holder.seat_region,
        acts_in_region=project.asset.region_code or None,
        operator_id=holder.operator_id,
        registered_from=holder.registered_from,
        declaration_signed_on=on if DECLARATION in kinds else None,
        small_micro_document=kinds.get(SMALL_MICRO_PROOF),
        commitment=Commitment(signed_on=on) if project.no_duplicate_commitment else None,
        qualified_to_trade=holder.qualified_to_trade,
        covered_emitter=holder.covered_emitter or project.asset.ets_covered,
        roles_held=holder.roles_held | {"project_applicant"},
    )


def document_kinds(documents: Iterable[registers_pb2.ProjectDocument]) -> frozenset[str]:
    """Give the kinds of documents in a file."""
    return frozenset(document.kind for document in documents)


def reports_of(documents: Iterable[registers_pb2.ProjectDocument]) -> tuple[Report, ...]:
    """Give the reports of third parties in a file."""
    return tuple(
        Report(kind=REPORTS[document.kind], third_party=ThirdParty(body=document.body))
        for document in documents
        if document.kind in REPORTS
    )


def assessment_of(message: registers_pb2.TechnicalAssessment | None) -> Assessment | None:
    """Give an assessment that is on record."""
    if message is None:
        return None
    assessed_on = date_or_none(message.assess_date)
    if assessed_on is None:
        return None
    return Assessment(
        passed=message.passed,
        assessed_on=assessed_on,
        assessor_ids=frozenset(message.assessors),
        reasons=message.opinion,
    )


def consultation_of(message: registers_pb2.PublicConsultation, working_days: int) -> Consultation | None:
    """Give a public consultation; `working_days` are counted by the calendar."""
    first, last = date_or_none(message.first_day), date_or_none(message.last_day)
    if first is None or last is None:
        return None
    return Consultation(
        first_day=first,
        last_day=last,
        comments_answered=message.comments_answered,
        working_days=working_days,
    )


def panel_of(message: registers_pb2.ExpertPanel) -> Panel:
    """Give a panel of experts with its draw, which is held again from the record."""
    candidates = tuple(
        Candidate(one.expert_id, frozenset(one.fields), one.excluded_because) for one in message.candidates
    )
    by_id = {one.expert_id: one for one in candidates}
    eligible, again = drawn_again(candidates, message.field, message.seed, message.wanted)
    members = []
    for expert_id in message.members:
        known = by_id.get(expert_id)
        members.append(
            PanelMember(
                expert_id=expert_id,
                in_pool=known is not None,
                fields=known.fields if known is not None else frozenset(),
                declared_interest=known.excluded_because if known is not None else "",
            )
        )
    return Panel(
        members=tuple(members),
        draw=ExpertDraw(
            record_digest=record_digest(candidates, message.field, message.seed, message.wanted, again),
            pool_digest=pool_digest(candidates),
            field=message.field,
            wanted=message.wanted,
            eligible=eligible,
            recomputed=tuple(message.members) == again,
        ),
    )


def notice_of(project: registers_pb2.Project) -> Notice | None:
    """Give the public notice of a project as it was computed when it opened."""
    first, last = date_or_none(project.notice_first_day), date_or_none(project.notice_last_day)
    if first is None or last is None:
        return None
    return Notice(
        first_day=first,
        last_day=last,
        working_days=project.notice_working_days,
        first_day_counted=project.notice_first_day_counted,
        objections_unanswered=sum(1 for one in project.objections if not one.answer),
    )


# -- verdicts of the claim check


def claim_answer(verdict: claims_pb2.Verdict, claim_id: str, on: date) -> ClaimAnswer:
    """Give the bridge's verdict as the rules see it."""
    level = verdict.level or CollisionLevel.POLICY.value
    return ClaimAnswer(
        outcome=_OUTCOMES[verdict.verdict],
        claim_id=claim_id,
        collisions=tuple(
            _collision(one, CollisionLevel(level), on, _as_of(verdict, one))
            for one in verdict.colliding_claims
        ),
        silent=tuple(
            SilentRegistry(registry=one.registry, as_of=date_or_none(one.as_of_date))
            for one in verdict.registries
            if not one.answered
        )
        if verdict.verdict == claims_pb2.VERDICT_KIND_HOLD
        else (),
        cases=tuple(one.claim_id for one in verdict.colliding_claims),
    )


def _as_of(verdict: claims_pb2.Verdict, colliding: claims_pb2.CollidingClaim) -> date | None:
    registry = colliding.claim_id.partition(":")[0]
    for one in verdict.registries:
        if one.registry == registry:
            return date_or_none(one.as_of_date)
    return None


def _collision(
    message: claims_pb2.CollidingClaim, level: CollisionLevel, on: date, as_of: date | None
) -> Collision:
    programme = claims_pb2.Programme.Name(message.programme).removeprefix("PROGRAMME_")
    overlap = ""
    if message.HasField("overlap"):
        start, end = date_or_none(message.overlap.start_date), date_or_none(message.overlap.end_date)
        overlap = f"{start}/{end}"
    return Collision(
        programme=programme,
        reference=message.reference or message.claim_id.partition(":")[2] or message.claim_id,
        applied_on=as_of or on,
        kind=_kind(programme, message, level),
        level=level,
        same_asset=level is not CollisionLevel.SUBJECT,
        overlap=overlap,
    )


def _kind(programme: str, message: claims_pb2.CollidingClaim, level: CollisionLevel) -> CollisionKind:
    if message.status in _ENDED:
        return CollisionKind.ENDED_APPLICATION
    if programme in CERTIFICATE_PROGRAMMES:
        # The matrix looks at sold certificates at project level and at others at the level of policy (CLAIMS
        # section 2).
        sold = level is CollisionLevel.PROJECT
        return CollisionKind.CERTIFICATE_SOLD if sold else CollisionKind.CERTIFICATE_UNTRADED
    return CollisionKind.LIVE


def refusal_of_verdict(verdict: claims_pb2.Verdict, rules: Verdict) -> DomainError:
    """Give the refusal of a verdict that does not pass: in the rule pack's words where it says the same.

    The bridge's reason stands; if the region's own law refuses for the same reason, its article is cited in
    both languages beside what the bridge has found.
    """
    refusal = from_refusal(verdict.refusal)
    for finding in rules.refusals:
        if finding.reason_symbol == refusal.symbol:
            own = finding.error()
            own.metadata = {**own.metadata, **refusal.metadata}
            own.metadata["rule_pack"] = str(rules.pack)
            return own
    return refusal


def needs_a_person(verdict: claims_pb2.Verdict) -> bool:
    """Whether the verdict waits for a person."""
    return bool(verdict.verdict == claims_pb2.VERDICT_KIND_HOLD)


def is_barred(verdict: claims_pb2.Verdict) -> bool:
    """Whether the verdict lets nothing pass as it was asked."""
    return verdict.verdict in (claims_pb2.VERDICT_KIND_BLOCK, claims_pb2.VERDICT_KIND_SPLIT)


def claim_refusals(verdict: Verdict, claim_free: Verdict) -> Sequence[str]:
    """Give the rules that refuse only because of the claim."""
    free = {finding.rule_id for finding in claim_free.refusals}
    return [finding.rule_id for finding in verdict.refusals if finding.rule_id not in free]
