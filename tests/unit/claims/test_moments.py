from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tanqiao.claims.moments import (
    Interval,
    format_second,
    microsecond_of,
    parse_microsecond,
    parse_second,
    second_of_date,
)
from tanqiao.kernel.errors import InvariantBroken


def test_a_date_is_midnight_in_shanghai() -> None:
    assert second_of_date(date(1970, 1, 2)) == 16 * 3600
    assert parse_second("2025-05-01") == parse_second("2025-04-30T16:00:00Z")
    assert parse_second("2025-05-01") == parse_second("2025-05-01T00:00:00+08:00")


@pytest.mark.parametrize(
    "text",
    [
        "2025-05-01T00:00:00",
        "2025-13-01",
        "tomorrow",
        "2025-05-01T00:00:00.5Z",
        "2025-W18-4",
        "2025-W18-4T00:00:00Z",
        "20250501T000000Z",
        "9999-12-31T16:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_bound_without_an_offset_or_with_a_fraction_is_no_bound(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_second(text)


def test_a_declaration_is_known_to_the_microsecond() -> None:
    assert parse_microsecond("1970-01-01T00:00:00.000001Z") == 1
    assert microsecond_of(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1_000_000


def test_a_moment_without_an_offset_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken):
        microsecond_of(datetime(2025, 1, 1))  # noqa: DTZ001 - the fault that is tested


def test_midnight_is_written_as_a_date_and_everything_else_with_its_time() -> None:
    assert format_second(parse_second("2025-05-01")) == "2025-05-01"
    assert format_second(parse_second("2025-05-01T01:02:03Z")) == "2025-05-01T09:02:03+08:00"


def test_the_first_and_the_last_day_of_the_calendar_are_written_as_they_are_read() -> None:
    assert format_second(parse_second("0001-01-01")) == "0001-01-01"
    assert format_second(parse_second("9999-12-31T15:59:59Z")) == "9999-12-31T23:59:59+08:00"


def test_an_interval_that_is_empty_or_reversed_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken):
        Interval(5, 5)
    with pytest.raises(InvariantBroken):
        Interval.of_dates(date(2025, 1, 2), date(2025, 1, 1))


def test_an_interval_is_written_half_open() -> None:
    assert str(Interval.of_dates(date(2025, 1, 1), date(2025, 2, 1))) == "[2025-01-01, 2025-02-01)"


def test_touching_intervals_have_no_overlap() -> None:
    first, second = Interval(0, 5), Interval(5, 9)
    assert not first.meets(second)
    assert first.overlap(second) is None
    assert Interval(0, 6).overlap(second) == Interval(5, 6)


def test_the_legal_dates_of_an_interval_hold_every_begun_day() -> None:
    may = Interval.of_dates(date(2025, 5, 1), date(2025, 6, 1))
    assert may.legal_dates() == (date(2025, 5, 1), date(2025, 6, 1))
    trip = Interval(parse_second("2025-05-01T15:59:59Z"), parse_second("2025-05-01T16:00:01Z"))
    assert trip.legal_dates() == (date(2025, 5, 1), date(2025, 5, 3))
