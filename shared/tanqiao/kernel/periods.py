"""Half-open intervals of legal dates.

A period is [start, end): 2026-01 is 2026-01-01 to 2026-02-01, and two periods that touch do not overlap
(RULES section 11.8, CLAIMS section 8). Dates are local dates in Asia/Shanghai.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

MONTHS_MAX: Final = 12 * 200
"""Most months that one period may meet; a longer one is a slip of the pen."""

_DAY: Final = timedelta(days=1)
_YEAR_TEXT: Final = re.compile(r"[0-9]{4}", re.ASCII)
_MONTH_TEXT: Final = re.compile(r"([0-9]{4})-([0-9]{2})", re.ASCII)
_DATE_TEXT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TEXT_LENGTH_MAX: Final = 21


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A non-empty half-open interval [start, end) of legal dates.

    Raises:
        DomainError: RANGE_REVERSED, if the start is not before the end.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        """Refuse an empty or reversed period, and one too long to be meant."""
        for bound in (self.start, self.end):
            require(
                not isinstance(bound, datetime),
                "a period is of dates, not moments",
            )
        if self.start >= self.end:
            raise DomainError("RANGE_REVERSED", field="period", start=self.start, end=self.end)
        if _month_index(self.end) - _month_index(self.start) >= MONTHS_MAX:
            raise DomainError("FIELD_INVALID", field="period", detail=f"{self.start}/{self.end}")

    @staticmethod
    def of_year(year: int) -> Period:
        """Give the calendar year."""
        return Period(_date(year, 1, 1), _date(year + 1, 1, 1))

    @staticmethod
    def of_month(year: int, month: int) -> Period:
        """Give the calendar month."""
        start = _date(year, month, 1)
        return Period(start, _first_of_next_month(start))

    @staticmethod
    def of_day(day: date) -> Period:
        """Give one day."""
        return Period(day, day + _DAY)

    @staticmethod
    def parse(text: str) -> Period:
        """Read ``2026``, ``2026-01``, ``2026-01-15`` or ``2026-01-01/2026-02-01`` (half-open).

        Raises:
            DomainError: FIELD_INVALID or RANGE_REVERSED.
        """
        if _YEAR_TEXT.fullmatch(text):
            return Period.of_year(int(text))
        month = _MONTH_TEXT.fullmatch(text)
        if month is not None:
            return Period.of_month(int(month.group(1)), int(month.group(2)))
        start, separator, end = text.partition("/")
        if not separator:
            return Period.of_day(parse_date(text))
        return Period(parse_date(start), parse_date(end))

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days

    @property
    def last_day(self) -> date:
        """The last day that lies within."""
        return self.end - _DAY

    @property
    def is_whole_months(self) -> bool:
        """Whether the period begins and ends with a calendar month."""
        return self.start.day == 1 and self.end.day == 1

    def contains(self, day: date) -> bool:
        """Whether the day lies within."""
        return self.start <= day < self.end

    def covers(self, other: Period) -> bool:
        """Whether the whole of the other lies within."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Period) -> bool:
        """Whether a day is common to both."""
        return self.start < other.end and other.start < self.end

    def intersection(self, other: Period) -> Period | None:
        """Give the days common to both, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None

    def subtract(self, other: Period) -> tuple[Period, ...]:
        """Give what is left without the other's days: none, one or two periods, in order."""
        rest = ((self.start, min(self.end, other.start)), (max(self.start, other.end), self.end))
        return tuple(Period(start, end) for start, end in rest if start < end)

    def months(self) -> tuple[Period, ...]:
        """Give each calendar month that the period meets, whole and in order."""
        found: list[Period] = []
        first = self.start.replace(day=1)
        while first < self.end:
            month = Period(first, _first_of_next_month(first))
            found.append(month)
            first = month.end
        return tuple(found)

    def years(self) -> tuple[int, ...]:
        """Give each calendar year that the period meets."""
        return tuple(range(self.start.year, self.last_day.year + 1))

    def __str__(self) -> str:
        return f"{self.start.isoformat()}/{self.end.isoformat()}"


def coalesce_periods(periods: Iterable[Period]) -> tuple[Period, ...]:
    """Join what touches or overlaps; the result is in order and its parts are apart."""
    joined: list[Period] = []
    for period in sorted(periods):
        if joined and period.start <= joined[-1].end:
            joined[-1] = Period(joined[-1].start, max(joined[-1].end, period.end))
        else:
            joined.append(period)
    return tuple(joined)


def parse_date(text: str) -> date:
    """Read ``YYYY-MM-DD`` and nothing else.

    Raises:
        DomainError: FIELD_INVALID.
    """
    if _DATE_TEXT.fullmatch(text) is None:
        raise DomainError("FIELD_INVALID", field="date", detail=text[:_TEXT_LENGTH_MAX])
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DomainError("FIELD_INVALID", field="date", detail=text) from error


def _date(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise DomainError("FIELD_INVALID", field="date", detail=f"{year}-{month}-{day}") from error


def _first_of_next_month(first: date) -> date:
    december = 12
    return _date(first.year + 1, 1, 1) if first.month == december else _date(first.year, first.month + 1, 1)


def _month_index(day: date) -> int:
    return day.year * 12 + day.month
