from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError, InvariantBroken, Period
from tanqiao.kernel.periods import coalesce_periods, parse_date

DAYS = st.dates(date(2000, 1, 1), date(2059, 12, 31))
PERIODS = st.builds(
    lambda start, days: Period(start, start + timedelta(days=days)),
    DAYS,
    st.integers(min_value=1, max_value=800),
)


def days_of(*periods: Period) -> set[date]:
    return {period.start + timedelta(days=offset) for period in periods for offset in range(period.days)}


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", date(2026, 1, 1), date(2027, 1, 1)),
        ("2026-01", date(2026, 1, 1), date(2026, 2, 1)),
        ("2026-12", date(2026, 12, 1), date(2027, 1, 1)),
        ("2024-02-29", date(2024, 2, 29), date(2024, 3, 1)),
        ("2026-01-15/2026-02-01", date(2026, 1, 15), date(2026, 2, 1)),
    ],
)
def test_a_period_is_read_as_half_open(text: str, start: date, end: date) -> None:
    assert Period.parse(text) == Period(start, end)


@pytest.mark.parametrize(
    "text",
    ["", "26-01", "2026-13", "2026-00", "2026-1", "2025-02-29", "2026-01-01/", "/2026-01-01", "20260101",
     "2026-01-01/2026-02-01/2026-03-01", "2026-01-01T00:00/2026-02-01", "9999", "0000",
     "２０２６-01", "2026-W01-1"],
)  # fmt: skip
def test_text_that_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        Period.parse(text)
    assert refusal.value.symbol == "FIELD_INVALID"


@pytest.mark.parametrize("text", ["2026-02-01/2026-02-01", "2026-02-02/2026-02-01"])
def test_an_empty_or_reversed_period_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        Period.parse(text)
    assert refusal.value.symbol == "RANGE_REVERSED"


def test_a_period_of_more_than_two_hundred_years_is_taken_for_a_slip() -> None:
    with pytest.raises(DomainError) as refusal:
        Period(date(1000, 1, 1), date(2026, 1, 1))
    assert refusal.value.symbol == "FIELD_INVALID"


def test_moments_are_not_dates() -> None:
    with pytest.raises(InvariantBroken):
        Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


def test_periods_that_touch_do_not_overlap() -> None:
    january, february = Period.parse("2026-01"), Period.parse("2026-02")
    assert not january.overlaps(february)
    assert january.intersection(february) is None
    assert not january.contains(february.start)
    assert january.contains(january.last_day)
    assert coalesce_periods([february, january]) == (Period(january.start, february.end),)


def test_months_are_those_that_the_period_meets_whole_and_in_order() -> None:
    months = Period.parse("2025-12-31/2026-02-02").months()
    assert months == (Period.parse("2025-12"), Period.parse("2026-01"), Period.parse("2026-02"))
    assert Period.parse("2025-12-31/2026-01-01").years() == (2025,)
    assert Period.parse("2025-12-31/2026-01-02").years() == (2025, 2026)
    assert Period.parse("2026").is_whole_months
    assert not Period.parse("2026-01-01/2026-01-31").is_whole_months


@given(PERIODS)
def test_reading_what_was_written_gives_the_same_period(period: Period) -> None:
    assert Period.parse(str(period)) == period


@given(PERIODS, PERIODS)
def test_intersection_and_difference_are_those_of_the_days(first: Period, second: Period) -> None:
    common = first.intersection(second)
    assert days_of(*([common] if common else [])) == days_of(first) & days_of(second)
    assert days_of(*first.subtract(second)) == days_of(first) - days_of(second)
    assert first.overlaps(second) is (common is not None)
    assert first.covers(second) is (days_of(second) <= days_of(first))


@given(PERIODS)
def test_months_cover_the_period_and_follow_each_other(period: Period) -> None:
    months = period.months()
    assert all(month.is_whole_months and month.overlaps(period) for month in months)
    assert all(earlier.end == later.start for earlier, later in pairwise(months))
    assert months[0].start <= period.start
    assert period.end <= months[-1].end


@given(st.lists(PERIODS, max_size=8))
def test_joined_periods_hold_the_same_days_and_lie_apart(periods: list[Period]) -> None:
    joined = coalesce_periods(periods)
    assert days_of(*joined) == days_of(*periods)
    assert all(earlier.end < later.start for earlier, later in pairwise(joined))


@given(DAYS)
def test_a_date_is_read_as_written(day: date) -> None:
    assert parse_date(day.isoformat()) == day
    assert Period.of_day(day).days == 1
