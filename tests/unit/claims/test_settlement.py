from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from tanqiao.claims.model import Activity, Attribute, Claim, GecStateName, Metering, PeriodActivity, Programme
from tanqiao.claims.moments import Interval
from tanqiao.claims.settlement import Settlement, settle
from tests.unit.claims.builders import a_certificate, an_applicant

MONTHS = tuple(Interval.of_dates(date(2025, month, 1), date(2025, month + 1, 1)) for month in range(1, 5))
SAME_ASSETS = frozenset({"a1"})


def an_instalment(*quantities: int) -> Claim:
    periods = tuple(
        PeriodActivity(interval, quantity, "MWh")
        for interval, quantity in zip(MONTHS, quantities, strict=False)
    )
    return an_applicant(
        Programme.CCER,
        interval=Interval(MONTHS[0].start_second, periods[-1].interval.end_second),
        activity=Activity(sum(quantities), "MWh"),
        activity_by_period=periods,
        project="P1",
    )


def a_reading(month: int, quantity: int, unit: str = "MWh", asset_id: str = "a1") -> Metering:
    return Metering(asset_id, Attribute.RE_GEN, MONTHS[month], quantity, unit)


def a_batch(claim_id: str, month: int, quantity: int) -> Claim:
    return a_certificate(
        claim_id, GecStateName.FROZEN, interval=MONTHS[month], activity=Activity(quantity, "MWh")
    )


quantities = st.integers(0, 50)
months = st.integers(0, 3)
batches = st.lists(st.tuples(months, quantities), max_size=6)


@given(st.lists(st.tuples(quantities, quantities), min_size=1, max_size=4), batches, batches)
def test_nothing_is_credited_twice_and_nothing_is_cancelled_beyond_what_is_credited(
    claimed_and_metered: list[tuple[int, int]], sold: list[tuple[int, int]], unsold: list[tuple[int, int]]
) -> None:
    applicant = an_instalment(*(claimed for claimed, _ in claimed_and_metered))
    metering = [a_reading(month, metered) for month, (_, metered) in enumerate(claimed_and_metered)]
    taken = [a_batch(f"s{index}", month, quantity) for index, (month, quantity) in enumerate(sold)]
    free = [a_batch(f"u{index}", month, quantity) for index, (month, quantity) in enumerate(unsold)]
    settlement = settle(applicant, metering, SAME_ASSETS, taken, free)
    assert not settlement.undecided
    allowed = settlement.allowed.by_period if settlement.allowed is not None else ()
    for month, period in enumerate(allowed):
        claimed, metered = claimed_and_metered[month]
        sold_here = sum(quantity for where, quantity in sold if where == month)
        assert period.quantity == min(claimed, max(0, metered - sold_here))
        cancelled = sum(
            order.quantity for order in settlement.orders if unsold[int(order.claim_id[1:])][0] == month
        )
        available = sum(quantity for where, quantity in unsold if where == month)
        assert cancelled == min(period.quantity, available)
    assert settlement.all_allowed == (
        sum(period.quantity for period in allowed) == sum(claimed for claimed, _ in claimed_and_metered)
    )


def test_without_a_cut_a_single_reading_of_the_whole_period_serves() -> None:
    applicant = replace(an_instalment(10), activity_by_period=None)
    assert settle(applicant, [a_reading(0, 10)], SAME_ASSETS, [], []).all_allowed


def undecided(applicant: Claim, *metering: Metering) -> Settlement:
    settlement = settle(applicant, list(metering), SAME_ASSETS, [], [])
    assert settlement.undecided
    return settlement


def test_months_of_readings_that_fill_the_claimed_quarter_count_together() -> None:
    quarter = Interval(MONTHS[0].start_second, MONTHS[2].end_second)
    applicant = an_applicant(
        Programme.CCER,
        interval=quarter,
        activity=Activity(30, "MWh"),
        activity_by_period=(PeriodActivity(quarter, 30, "MWh"),),
    )
    readings = [a_reading(month, 10) for month in range(3)]
    assert settle(applicant, readings, SAME_ASSETS, [], []).all_allowed
    undecided(applicant, *readings[:2])
    undecided(applicant, readings[0], readings[2])


def test_a_reading_of_another_asset_or_attribute_is_no_reading() -> None:
    undecided(an_instalment(10), a_reading(0, 10, asset_id="a2"))
    methane = Metering("a1", Attribute.CH4_DESTRUCTION, MONTHS[0], 10, "MWh")
    undecided(an_instalment(10), methane)


def test_two_readings_of_one_month_that_differ_are_for_a_person() -> None:
    undecided(an_instalment(10), a_reading(0, 10), a_reading(0, 11))
    assert settle(an_instalment(10), [a_reading(0, 10)] * 2, SAME_ASSETS, [], []).all_allowed


def test_a_unit_that_is_none_of_electricity_is_for_a_person() -> None:
    undecided(an_instalment(10), a_reading(0, 10, unit="t"))


def test_a_cut_that_contradicts_the_claim_is_for_a_person() -> None:
    applicant = an_instalment(10, 20)
    readings = (a_reading(0, 50), a_reading(1, 50))
    undecided(replace(applicant, activity=Activity(31, "MWh")), *readings)
    undecided(replace(applicant, interval=MONTHS[0]), *readings)
    periods = applicant.activity_by_period
    assert periods is not None
    undecided(replace(applicant, activity_by_period=(*periods, periods[0]), activity=None), *readings)
    mixed = (periods[0], replace(periods[1], unit="kWh"))
    undecided(replace(applicant, activity_by_period=mixed, activity=None), *readings)


def test_a_sale_of_unknown_quantity_is_named() -> None:
    sale = replace(a_batch("s1", 0, 5), activity=None)
    settlement = settle(an_instalment(10), [a_reading(0, 10)], SAME_ASSETS, [sale], [])
    assert settlement.undecided
    assert settlement.unclear_claims == {"s1"}
