from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import InvariantBroken, legal_date
from tanqiao.kernel.clock import legal_time_text, start_of_legal_date


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 1, 1, 15, 59, 59, 999999, tzinfo=UTC), date(2026, 1, 1)),
        (datetime(2026, 1, 1, 16, 0, tzinfo=UTC), date(2026, 1, 2)),
        (datetime(2025, 12, 31, 16, 0, tzinfo=UTC), date(2026, 1, 1)),
        (datetime(1988, 7, 1, 15, 30, tzinfo=UTC), date(1988, 7, 1)),
    ],
)
def test_the_legal_date_changes_at_sixteen_hours_utc_also_in_years_that_had_summer_time(
    moment: datetime, expected: date
) -> None:
    assert legal_date(moment) == expected


def test_a_moment_without_a_zone_has_no_legal_date() -> None:
    with pytest.raises(InvariantBroken):
        legal_date(datetime(2026, 1, 1))  # noqa: DTZ001 - the fault under test


def test_legal_time_is_written_with_its_offset() -> None:
    assert legal_time_text(datetime(2026, 1, 1, 16, 0, 5, tzinfo=UTC)) == "2026-01-02T00:00:05+08:00"


@given(st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_the_zone_of_server_or_reader_changes_nothing(moment: datetime, offset_minutes: int) -> None:
    aware = moment.replace(tzinfo=UTC)
    elsewhere = aware.astimezone(timezone(timedelta(minutes=offset_minutes)))
    assert legal_date(elsewhere) == legal_date(aware)


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)))
def test_a_legal_date_begins_where_the_one_before_it_ends(day: date) -> None:
    first = start_of_legal_date(day)
    assert legal_date(first) == day
    assert legal_date(first - timedelta(microseconds=1)) == day - timedelta(days=1)
