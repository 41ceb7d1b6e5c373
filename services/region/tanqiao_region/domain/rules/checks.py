"""Checks that more than one pack makes: completeness, notices, claims, recognition, caps, grain.

A pack's rule calls one of these with what its own text says; the rule id and the article stay the pack's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.kernel.quantities import KG_PER_TONNE
from tanqiao.kernel.regions import RegionCode
from tanqiao_region.domain.rules.facts import (
    Assessment,
    ClaimAnswer,
    ClaimOutcome,
    Collision,
    CollisionKind,
    CollisionLevel,
    IssuanceFacts,
    MethodologyVersion,
    Notice,
    Panel,
    Recognition,
    Retire,
    UnitLot,
)
from tanqiao_region.domain.rules.verdicts import Outcome, Refusal, note, refuse

NOTHING: Final = "–"
"""What a sentence shows where there is nothing to name."""


def tonnes(quantity_kg: int) -> str:
    """Write kilograms as tonnes with up to three decimals, exactly."""
    whole, rest = divmod(abs(quantity_kg), KG_PER_TONNE)
    sign = "-" if quantity_kg < 0 else ""
    return f"{sign}{whole}" if rest == 0 else f"{sign}{whole}.{rest:03d}".rstrip("0")


def ranges(lots: Iterable[UnitLot]) -> list[str]:
    """Name the lots by series and range, as the sentences show them."""
    return [str(lot) for lot in lots]


def encumbered(lots: Iterable[UnitLot]) -> Refusal | None:
    """Refuse units in which a creditor has a right, naming exactly those."""
    found = [lot for lot in lots if lot.encumbered]
    return refuse("UNIT_ENCUMBERED", ranges=ranges(found)) if found else None


def lies_within(region: str, place: str | None) -> bool:
    """Whether a division lies in the region; no division lies nowhere."""
    return place is not None and RegionCode(region).contains(RegionCode(place))


def incomplete(required: Iterable[str], present: Iterable[str]) -> Refusal | None:
    """Refuse a file that lacks something, naming every missing part in order."""
    missing = sorted(set(required) - set(present))
    return refuse("APPLICATION_INCOMPLETE", documents=missing) if missing else None


def assessment_missing(assessment: Assessment | None) -> Refusal | None:
    """Refuse where no technical assessment is on record, or it was not passed."""
    if assessment is None:
        return refuse("ASSESSMENT_NOT_PASSED", reasons="无评估记录 no assessment on record")
    if not assessment.passed:
        return refuse("ASSESSMENT_NOT_PASSED", reasons=assessment.reasons or NOTHING)
    return None


def notice_running(notice: Notice | None, *, on: date, working_days: int) -> Refusal | None:
    """Refuse publication before the day after a notice of the ordered length, or with open objections.

    A notice that was never opened or was too short counts as running.
    """
    if notice is None:
        return refuse("NOTICE_PERIOD_RUNNING", last_day="未公示 not opened")
    if notice.working_days < working_days or on <= notice.last_day:
        return refuse("NOTICE_PERIOD_RUNNING", last_day=notice.last_day.isoformat())
    if notice.objections_unanswered > 0:
        shown = f"{notice.last_day}（异议未答复 objections unanswered: {notice.objections_unanswered}）"
        return refuse("NOTICE_PERIOD_RUNNING", last_day=shown)
    return None


def methodology_unusable(methodology: MethodologyVersion | None, on: date) -> Refusal | None:
    """Refuse a methodology that is not named, not yet published or no longer in use."""
    if methodology is None:
        return refuse("METHODOLOGY_NOT_PUBLISHED", number=NOTHING)
    if not methodology.usable(on):
        return refuse("METHODOLOGY_NOT_PUBLISHED", number=methodology.number)
    return None


def panel_conflicts(panel: Panel) -> tuple[Refusal, ...]:
    """Refuse each expert who wrote the file, works for its author or the applicant, or has an interest."""
    found: list[Refusal] = []
    for member in panel.members:
        grounds = {
            "编制人 author": member.wrote_the_file,
            "编制单位雇员 employed by the author": member.employed_by_author,
            "申请人雇员 employed by the applicant": member.employed_by_applicant,
            f"申报利益 {member.declared_interest}": bool(member.declared_interest),
        }
        reasons = [ground for ground, holds in grounds.items() if holds]
        if reasons:
            found.append(refuse("EXPERT_CONFLICT", id=member.expert_id, reason=reasons))
    return tuple(found)


def grain_not_met(facts: IssuanceFacts) -> Refusal | None:
    """Refuse a quantity that is no positive multiple of the grain, naming what is to be carried."""
    rest = facts.quantity_kg % facts.grain_kg
    if facts.quantity_kg > 0 and rest == 0:
        return None
    return refuse("GRAIN_NOT_MET", grain=f"{facts.grain_kg} kg", rest=f"{rest} kg")


def recognition_missing(
    lots: Iterable[UnitLot],
    recognitions: Iterable[Recognition],
    *,
    from_region: str,
    to_region: str,
    on: date,
) -> Refusal | None:
    """Refuse unless every lot is covered by a record in force for this direction: default is deny."""
    records = tuple(recognitions)
    uncovered = [
        lot
        for lot in lots
        if not any(
            record.covers(lot, from_region=from_region, to_region=to_region, on=on) for record in records
        )
    ]
    if not uncovered:
        return None
    return refuse("RECOGNITION_NOT_IN_FORCE", a=from_region, b=to_region, ranges=ranges(uncovered))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPolicy:
    """How a text meets what the claim check found.

    Args:
        excluded: programmes that exclude units of this region.
        green_power: those of them that are green power or its certificates, where the text names them apart.
        ended_application: ``allow``, ``hold`` or ``block``: an application that was withdrawn or rejected.
        automatic_certificate: ``allow``, ``hold`` or ``block``: a certificate issued without the owner's act.
        other_asset: ``allow``, ``hold`` or ``block``: a claim of the subject on another asset.
    """

    excluded: frozenset[str]
    green_power: frozenset[str] = frozenset()
    ended_application: str = "allow"
    automatic_certificate: str = "hold"
    other_asset: str = "hold"


def claim_outcomes(answer: ClaimAnswer | None, policy: ClaimPolicy) -> tuple[Outcome, ...]:
    """Turn the answer of the claim check into refusals and notes.

    No answer, a silent list and a case are refusals that wait: nothing is issued on a guess. A BLOCK that no
    collision explains is refused as an overlap.
    """
    if answer is None:
        return (refuse("EXTERNAL_REGISTRY_SILENT", registry="bridge", as_of=NOTHING),)
    found: list[Outcome] = [_meet(collision, policy) for collision in answer.collisions]
    found.extend(
        refuse(
            "EXTERNAL_REGISTRY_SILENT",
            registry=silent.registry,
            as_of=silent.as_of.isoformat() if silent.as_of is not None else NOTHING,
        )
        for silent in answer.silent
    )
    if any(isinstance(outcome, Refusal) for outcome in found):
        return tuple(found)
    match answer.outcome:
        case ClaimOutcome.ALLOW:
            pass
        case ClaimOutcome.BLOCK | ClaimOutcome.SPLIT:
            overlaps = [collision.overlap for collision in answer.collisions if collision.overlap]
            claims = [_name(collision) for collision in answer.collisions] or [answer.claim_id or NOTHING]
            found.append(refuse("CLAIM_OVERLAP", claims=claims, overlap=overlaps or NOTHING))
        case ClaimOutcome.HOLD:
            found.append(refuse("CLAIM_HOLD", cases=list(answer.cases) or NOTHING))
        case ClaimOutcome.FREEZE_OTHER:
            if not all(collision.freeze_confirmed for collision in answer.collisions):
                found.append(refuse("EXTERNAL_REGISTRY_SILENT", registry="GEC", as_of=NOTHING))
    return tuple(found)


def _name(collision: Collision) -> str:
    return f"{collision.programme} {collision.reference}"


def _meet(collision: Collision, policy: ClaimPolicy) -> Outcome:
    """Meet one collision: a note where it is no bar, else the refusal of the level it lies on."""
    if collision.programme not in policy.excluded or collision.level in (
        CollisionLevel.INTERVAL,
        CollisionLevel.QUANTITY,
    ):
        if collision.kind is CollisionKind.LIVE and collision.same_asset:
            overlap = collision.overlap or NOTHING
            return refuse("CLAIM_OVERLAP", claims=_name(collision), overlap=overlap)
        return note(claim=_name(collision), kind=collision.kind.value)
    if not collision.same_asset:
        return _graded(policy.other_asset, collision, policy)
    match collision.kind:
        case CollisionKind.LIVE | CollisionKind.CERTIFICATE_SOLD:
            return _barred(collision, policy)
        case CollisionKind.ENDED_APPLICATION:
            return _graded(policy.ended_application, collision, policy)
        case CollisionKind.CERTIFICATE_UNTRADED:
            if collision.freeze_confirmed:
                return note(claim=_name(collision), freeze="confirmed")
            return _graded(policy.automatic_certificate, collision, policy)
        case CollisionKind.CERTIFICATE_NOT_TRADABLE:
            return note(claim=_name(collision), kind=collision.kind.value)


def _graded(grade: str, collision: Collision, policy: ClaimPolicy) -> Outcome:
    match grade:
        case "allow":
            return note(claim=_name(collision), kind=collision.kind.value)
        case "hold":
            return refuse("CLAIM_HOLD", cases=_name(collision))
        case "block":
            return _barred(collision, policy)
        case _:
            raise InvariantBroken(f"{grade} is neither allow, hold nor block")


def _barred(collision: Collision, policy: ClaimPolicy) -> Refusal:
    if collision.programme in policy.green_power:
        return refuse("GREEN_POWER_PARTICIPATION", reference=_name(collision))
    return refuse(
        "DUPLICATE_PROGRAMME_APPLIED",
        programme=collision.programme,
        reference=collision.reference,
        date=collision.applied_on.isoformat(),
    )


def compliance_outcomes(
    facts: Retire, notice: Mapping[str, object], *, lots: tuple[UnitLot, ...], year: int
) -> tuple[Refusal, ...]:
    """Hold a compliance use against the notice of its year: scope, yearly total, share of the holder's duty.

    The notice is a table with ``cap_kg`` (yearly total), ``vintages`` (years covered; absent = all),
    ``programmes`` (absent = all) and ``share_ppm`` (greatest part of the holder's duty; absent = no limit).
    """
    vintages, programmes = notice.get("vintages"), notice.get("programmes")
    outside = [
        lot
        for lot in lots
        if (isinstance(vintages, list) and lot.vintage not in vintages)
        or (isinstance(programmes, list) and lot.programme not in programmes)
    ]
    found: list[Refusal] = []
    if outside:
        found.append(refuse("OFFSET_SCOPE_EXCLUDED", year=year, ranges=ranges(outside)))
    cap_kg = notice.get("cap_kg")
    if isinstance(cap_kg, int) and facts.used_in_year_kg + facts.quantity_kg > cap_kg:
        left_kg = max(0, cap_kg - facts.used_in_year_kg)
        found.append(_cap(year, left_kg, facts.quantity_kg))
    share_ppm = notice.get("share_ppm")
    if isinstance(share_ppm, int):
        if facts.holder_duty_kg is None:
            found.append(refuse("PURPOSE_DETAIL_MISSING", purpose=facts.purpose, documents="surrender duty"))
        else:
            share_kg = facts.holder_duty_kg * share_ppm // 1_000_000
            left_kg = max(0, share_kg - facts.used_by_holder_in_year_kg)
            if facts.quantity_kg > left_kg:
                found.append(_cap(year, left_kg, facts.quantity_kg))
    return tuple(found)


def _cap(year: int, left_kg: int, asked_kg: int) -> Refusal:
    return refuse("OFFSET_CAP_REACHED", year=year, left=tonnes(left_kg), asked=tonnes(asked_kg))


def beyond_methodology(
    methodology: MethodologyVersion,
    *,
    capacity_w: int | None = None,
    grid_connected_on: date | None = None,
    period_end: date | None = None,
) -> Refusal | None:
    """Refuse what a methodology does not apply to: a larger plant, or a time after its crediting years."""
    reasons: list[str] = []
    if methodology.capacity_max_w is not None and (
        capacity_w is None or capacity_w > methodology.capacity_max_w
    ):
        shown = NOTHING if capacity_w is None else f"{capacity_w} W"
        reasons.append(f"装机容量 capacity {shown} > {methodology.capacity_max_w} W")
    years = methodology.crediting_years_max
    if years is not None and period_end is not None:
        if grid_connected_on is None:
            reasons.append("缺少并网日期 no date of grid connection")
        elif period_end > _years_after(grid_connected_on, years):
            reasons.append(f"超过并网后{years}年 more than {years} years after grid connection")
    return refuse("ASSESSMENT_NOT_PASSED", reasons=reasons) if reasons else None


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
