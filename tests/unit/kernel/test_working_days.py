"""Vectors of the State Council notices for 2024 to 2026; the calendar is taken from chinesecalendar."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import chinese_calendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError, InvariantBroken
from tanqiao.kernel.working_days import WORKING_DAYS_MAX, Calendar, CalendarYear

YEARS = (2024, 2025, 2026)
DATA = Path(os.environ.get("TANQIAO_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


def of_year(days: Iterable[date], year: int) -> frozenset[date]:
    return frozenset(day for day in days if day.year == year)


def calendar_of_notices() -> Calendar:
    return Calendar(
        {
            year: CalendarYear(
                of_year(chinese_calendar.constants.holidays, year),
                of_year(chinese_calendar.constants.workdays, year),
                f"chinesecalendar {year}",
            )
            for year in YEARS
        }
    )


CALENDAR = calendar_of_notices()


def weekends_worked(text: str) -> set[date]:
    return {date.fromisoformat(day) for day in text.split()}


def test_the_weekend_days_worked_are_those_of_the_notices() -> None:
    expected = weekends_worked(
        "2024-02-04 2024-02-18 2024-04-07 2024-04-28 2024-05-11 2024-09-14 2024-09-29 2024-10-12 "
        "2025-01-26 2025-02-08 2025-04-27 2025-09-28 2025-10-11 "
        "2026-01-04 2026-02-14 2026-02-28 2026-05-09 2026-09-20 2026-10-10"
    )
    first, days = date(2024, 1, 1), (date(2027, 1, 1) - date(2024, 1, 1)).days
    weekend = [
        first + timedelta(days=offset)
        for offset in range(days)
        if (first + timedelta(days=offset)).weekday() > 4
    ]
    assert {day for day in weekend if CALENDAR.is_working_day(day)} == expected


@pytest.mark.parametrize(("year", "working_days"), [(2024, 251), (2025, 248), (2026, 248)])
def test_a_year_has_the_working_days_that_its_notice_leaves(year: int, working_days: int) -> None:
    assert CALENDAR.count(date(year, 1, 1), date(year + 1, 1, 1)) == working_days


@pytest.mark.parametrize(
    ("start", "n", "if_first_day_counts", "if_it_does_not"),
    [
        ("2025-01-24", 5, "2025-02-06", "2025-02-07"),
        ("2025-04-30", 5, "2025-05-09", "2025-05-12"),
        ("2025-09-29", 5, "2025-10-11", "2025-10-13"),
        ("2025-10-01", 5, "2025-10-14", "2025-10-14"),
        ("2025-12-30", 5, "2026-01-06", "2026-01-07"),
        ("2026-02-12", 5, "2026-02-25", "2026-02-26"),
        ("2026-04-30", 5, "2026-05-09", "2026-05-11"),
        ("2026-09-18", 5, "2026-09-23", "2026-09-24"),
        ("2026-09-24", 5, "2026-10-08", "2026-10-09"),
        ("2026-07-17", 20, "2026-08-13", "2026-08-14"),
        ("2024-02-08", 20, "2024-03-12", "2024-03-13"),
        ("2026-02-13", 15, "2026-03-11", "2026-03-12"),
    ],
)
def test_a_term_ends_on_the_day_that_the_notices_give(
    start: str, n: int, if_first_day_counts: str, if_it_does_not: str
) -> None:
    opened = date.fromisoformat(start)
    assert CALENDAR.last_day(opened, n, first_day_counts=True).isoformat() == if_first_day_counts
    assert CALENDAR.last_day(opened, n, first_day_counts=False).isoformat() == if_it_does_not
    after = CALENDAR.first_day_after(opened, n, first_day_counts=False)
    assert after == date.fromisoformat(if_it_does_not) + timedelta(days=1)


@pytest.mark.parametrize("first_day_counts", [True, False])
def test_a_term_that_reaches_a_year_not_loaded_is_refused_not_guessed(first_day_counts: bool) -> None:
    with pytest.raises(DomainError) as refusal:
        CALENDAR.last_day(date(2026, 12, 28), 5, first_day_counts=first_day_counts)
    assert refusal.value.symbol == "CALENDAR_NOT_LOADED"
    assert refusal.value.metadata == {"year": "2027"}


def test_a_day_of_a_year_not_loaded_is_neither_worked_nor_off() -> None:
    with pytest.raises(DomainError) as refusal:
        Calendar().is_working_day(date(2026, 1, 1))
    assert refusal.value.symbol == "CALENDAR_NOT_LOADED"


def test_the_last_day_that_the_type_can_hold_ends_the_search() -> None:
    calendar = Calendar.of({9999: ([date(9999, 12, 30), date(9999, 12, 31)], [])})
    with pytest.raises(DomainError) as refusal:
        calendar.last_day(date(9999, 12, 30), 1, first_day_counts=True)
    assert refusal.value.symbol == "CALENDAR_NOT_LOADED"


@pytest.mark.parametrize("n", [0, -1, WORKING_DAYS_MAX + 1])
def test_a_term_outside_its_bound_breaks_an_invariant(n: int) -> None:
    with pytest.raises(InvariantBroken):
        CALENDAR.last_day(date(2026, 1, 5), n, first_day_counts=True)


@pytest.mark.parametrize(
    ("off", "worked"),
    [
        ([date(2026, 2, 14)], [date(2026, 2, 14)]),
        ([date(2025, 12, 31)], []),
        ([], [date(2027, 1, 2)]),
    ],
    ids=["off and worked", "day of the year before", "day of the year after"],
)
def test_a_calendar_that_contradicts_itself_is_refused(off: list[date], worked: list[date]) -> None:
    with pytest.raises(DomainError) as refusal:
        Calendar.of({2026: (off, worked)})
    assert refusal.value.symbol == "FIELD_INVALID"


def test_a_second_notice_replaces_the_year_and_changes_the_version() -> None:
    changed = CALENDAR.with_year(2026, CalendarYear(frozenset({date(2026, 1, 5)}), frozenset()))
    assert CALENDAR.is_working_day(date(2026, 1, 5))
    assert not changed.is_working_day(date(2026, 1, 5))
    assert changed.version != CALENDAR.version
    assert calendar_of_notices().version == CALENDAR.version
    assert hash(calendar_of_notices()) == hash(CALENDAR)


def test_the_notice_of_a_year_can_speak_of_the_december_before_it() -> None:
    notices: dict[int, tuple[list[date], list[date]]] = {
        2018: ([date(2018, 12, 29)], []),
        2019: ([date(2018, 12, 31), date(2019, 1, 1)], [date(2018, 12, 29)]),
    }
    calendar = Calendar.from_notices(notices)
    assert calendar.is_working_day(date(2018, 12, 29))
    assert not calendar.is_working_day(date(2018, 12, 31))
    assert Calendar.from_notices({2019: notices[2019]}).years.keys() == {2019}


def test_a_second_notice_can_make_a_weekday_that_was_off_worked_again() -> None:
    calendar = Calendar.of({2020: ([date(2020, 1, 31)], [date(2020, 2, 3)])})
    assert not calendar.is_working_day(date(2020, 1, 31))
    assert calendar.is_working_day(date(2020, 2, 3))


def test_the_loaded_years_cannot_be_changed_behind_a_calendar() -> None:
    years = {2026: CalendarYear(frozenset(), frozenset())}
    calendar = Calendar(years)
    years.clear()
    assert calendar.is_working_day(date(2026, 1, 5))


@given(st.dates(date(2024, 1, 1), date(2026, 6, 1)), st.integers(1, 60), st.booleans())
def test_a_term_holds_exactly_its_number_of_working_days(start: date, n: int, first_day_counts: bool) -> None:
    last = CALENDAR.last_day(start, n, first_day_counts=first_day_counts)
    first = start if first_day_counts else start + timedelta(days=1)
    assert CALENDAR.is_working_day(last)
    assert CALENDAR.count(first, last + timedelta(days=1)) == n
    assert CALENDAR.next_working_day(last) == last


@given(st.dates(date(2024, 1, 1), date(2026, 6, 1)))
def test_a_longer_term_never_ends_earlier(start: date) -> None:
    ends = [CALENDAR.last_day(start, n, first_day_counts=False) for n in range(1, 20)]
    assert all(earlier < later for earlier, later in pairwise(ends))


def test_a_second_source_of_the_notices_gives_the_same_days() -> None:
    path = DATA / "holidays_cn.json"
    if not path.exists():
        pytest.skip("the reference data with the second source of the notices are not here (TANQIAO_DATA)")
    notices: dict[int, tuple[list[date], list[date]]] = {}
    for day, entry in json.loads(path.read_text(encoding="utf-8"))["days"].items():
        off, worked = notices.setdefault(entry["notice_year"], ([], []))
        (off if entry["kind"] == "holiday" else worked).append(date.fromisoformat(day))
    calendar = Calendar.from_notices(notices)
    first, days = date(2019, 1, 1), (date(2027, 1, 1) - date(2019, 1, 1)).days
    for offset in range(days):
        day = first + timedelta(days=offset)
        assert calendar.is_working_day(day) is chinese_calendar.is_workday(day), day
