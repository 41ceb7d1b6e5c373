"""Quantity level: claimed, metered and sold electricity of one plant, per metering period (rule 8).

free = metered - taken, allowed = min(claimed, free). Taken is what was sold or credited already. The
certificates of the allowed electricity are cancelled in the order listed, rounded up to whole certificates.
Without a meter reading for a period, or where a period cuts another, only a person can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tanqiao.claims.energy import kwh, whole_units_covering, whole_units_within
from tanqiao.claims.model import (
    Activity,
    Allowed,
    Claim,
    Metering,
    OrderKind,
    PeriodActivity,
    RegistryOrder,
)
from tanqiao.claims.moments import Interval


@dataclass(frozen=True, slots=True)
class Settlement:
    """What may be credited.

    `undecided`: a reading is missing or a period is cut; `unclear_claims` are the claims concerned.
    `cut_by` are the sold claims in periods that were cut. `allowed` is None where nothing may be credited;
    with `all_allowed` it is the whole claim.
    """

    undecided: bool = False
    unclear_claims: frozenset[str] = frozenset()
    all_allowed: bool = False
    allowed: Allowed | None = None
    cut_by: tuple[str, ...] = ()
    orders: tuple[RegistryOrder, ...] = ()


@dataclass(slots=True)
class _Ledger:
    """Running result over the periods."""

    by_period: list[PeriodActivity] = field(default_factory=list)
    cut_by: list[str] = field(default_factory=list)
    orders: list[RegistryOrder] = field(default_factory=list)
    claimed: int = 0
    allowed: int = 0


_UNDECIDED = Settlement(undecided=True)


def settle(
    applicant: Claim,
    metering: Sequence[Metering],
    same_assets: frozenset[str],
    taken: Sequence[Claim],
    cancellable: Sequence[Claim],
) -> Settlement:
    """Settle the applicant's electricity against its meter.

    Args:
        applicant: an instalment with its activity, cut by metering period where there are several.
        metering: readings of any assets; those of `same_assets` for the applicant's attribute count.
        same_assets: ids of the assets that are certainly the applicant's.
        taken: sold certificates, green power and other instalments that meet the applicant's period.
        cancellable: unsold certificates and those frozen for the project, in the order listed.
    """
    readings = _readings(applicant, metering, same_assets)
    periods = _claimed_periods(applicant, readings)
    if periods is None:
        return _UNDECIDED
    ledger = _Ledger()
    for period in periods:
        unclear = frozenset(
            claim.claim_id
            for claim in (*taken, *cancellable)
            if claim.interval.meets(period.interval) and not _countable(claim, period.interval)
        )
        metered_kwh = _metered_kwh(period.interval, readings)
        claimed_kwh = kwh(period.quantity, period.unit)
        if metered_kwh is None or claimed_kwh is None:
            return Settlement(undecided=True, unclear_claims=unclear)
        taken_here = [claim for claim in taken if period.interval.covers(claim.interval)]
        free_kwh = max(0, metered_kwh - sum(_activity_kwh(claim) for claim in taken_here))
        all_free = claimed_kwh <= free_kwh
        allowed = period.quantity if all_free else whole_units_within(free_kwh, period.unit)
        if unclear and allowed > 0:  # where nothing is left they can take nothing more
            return Settlement(undecided=True, unclear_claims=unclear)
        if not all_free:
            ledger.cut_by.extend(claim.claim_id for claim in taken_here)
        _credit(ledger, period, allowed, cancellable)
    return _settled(ledger, periods, cancellable)


def _credit(ledger: _Ledger, period: PeriodActivity, allowed: int, cancellable: Sequence[Claim]) -> None:
    ledger.claimed += period.quantity
    ledger.allowed += allowed
    ledger.by_period.append(PeriodActivity(period.interval, allowed, period.unit))
    left_kwh = kwh(allowed, period.unit) or 0
    for claim in cancellable:
        activity = claim.activity
        if left_kwh <= 0:
            break
        if activity is None or not period.interval.covers(claim.interval):
            continue
        quantity = min(activity.quantity, whole_units_covering(left_kwh, activity.unit))
        if quantity > 0:
            ledger.orders.append(RegistryOrder(claim.claim_id, OrderKind.CANCEL, quantity, activity.unit))
            left_kwh -= kwh(quantity, activity.unit) or 0


def _settled(ledger: _Ledger, periods: Sequence[PeriodActivity], cancellable: Sequence[Claim]) -> Settlement:
    position = {claim.claim_id: place for place, claim in enumerate(cancellable)}
    orders = tuple(sorted(ledger.orders, key=lambda order: position[order.claim_id]))
    allowed = None
    if ledger.allowed > 0:
        activity = Activity(ledger.allowed, periods[0].unit)
        allowed = Allowed(activity, tuple(ledger.by_period))
    return Settlement(
        all_allowed=ledger.allowed == ledger.claimed,
        allowed=allowed,
        cut_by=tuple(ledger.cut_by),
        orders=orders,
    )


def _readings(
    applicant: Claim, metering: Iterable[Metering], same_assets: frozenset[str]
) -> tuple[Metering, ...]:
    return tuple(
        reading
        for reading in metering
        if reading.asset_id in same_assets
        and reading.attribute is applicant.attribute
        and reading.interval.meets(applicant.interval)
    )


def _claimed_periods(applicant: Claim, readings: Sequence[Metering]) -> tuple[PeriodActivity, ...] | None:
    """Give the claimed activity per period, or None where it is not known or contradicts itself."""
    activity = applicant.activity
    periods = applicant.activity_by_period
    if not periods:
        if activity is None or not readings:
            return None
        return (PeriodActivity(applicant.interval, activity.quantity, activity.unit),)
    unit = periods[0].unit
    if any(period.unit != unit or not applicant.interval.covers(period.interval) for period in periods):
        return None
    ordered = sorted(periods, key=lambda period: period.interval.start_second)
    if any(earlier.interval.meets(later.interval) for earlier, later in pairwise(ordered)):
        return None
    total = sum(period.quantity for period in periods)
    if activity is not None and not _is_equal(activity, Activity(total, unit)):
        return None
    return periods


def _is_equal(first: Activity, second: Activity) -> bool:
    """Whether two quantities are one electricity, in whatever unit each is written."""
    first_kwh = kwh(first.quantity, first.unit)
    return first_kwh is not None and first_kwh == kwh(second.quantity, second.unit)


def _metered_kwh(interval: Interval, readings: Sequence[Metering]) -> int | None:
    """Sum the readings that fill the interval without gap, overlap or cut; None where they do not.

    A reading that appears twice with one quantity (two entries of one asset) counts once.
    """
    inside: dict[Interval, int] = {}
    for reading in readings:
        if not reading.interval.meets(interval):
            continue
        quantity_kwh = kwh(reading.quantity, reading.unit)
        known = inside.get(reading.interval, quantity_kwh)
        if quantity_kwh is None or known != quantity_kwh or not interval.covers(reading.interval):
            return None
        inside[reading.interval] = quantity_kwh
    reached = interval.start_second
    for part in sorted(inside, key=lambda part: part.start_second):
        if part.start_second != reached:
            return None
        reached = part.end_second
    return sum(inside.values()) if reached == interval.end_second else None


def _countable(claim: Claim, interval: Interval) -> bool:
    """Whether a claim's whole quantity lies in the interval and is electricity."""
    activity = claim.activity
    if activity is None or kwh(activity.quantity, activity.unit) is None:
        return False
    return interval.covers(claim.interval)


def _activity_kwh(claim: Claim) -> int:
    activity = claim.activity
    return 0 if activity is None else kwh(activity.quantity, activity.unit) or 0
