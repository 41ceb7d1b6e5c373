"""Moments and half-open intervals of claims.

A claim's bounds are legal dates or date-times; both become whole seconds since 1970-01-01T00:00:00Z, so that
comparing two intervals is comparing integers. A date without a time is midnight in Asia/Shanghai, which has
stood at UTC+8 without summer time since 1991 (DOMAIN section 10); earlier moments get the same offset, for
no programme of the matrix credits reductions of that time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from tanqiao.kernel.errors import require

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""The legal time of every date that a claim carries."""

SECONDS_OF_A_DAY: Final = 86_400
_SHANGHAI_OFFSET_SECONDS: Final = 8 * 3_600
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MICROSECONDS_OF_A_SECOND: Final = 1_000_000
_DAY_LENGTH: Final = len("2026-01-01")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def second_of_date(day: date) -> int:
    """Give midnight of the legal date in Asia/Shanghai, in seconds since the epoch."""
    return (day.toordinal() - _EPOCH_ORDINAL) * SECONDS_OF_A_DAY - _SHANGHAI_OFFSET_SECONDS


def microsecond_of(moment: datetime) -> int:
    """Give an offset-aware date-time in microseconds since the epoch; a naive one breaks an invariant."""
    require(moment.tzinfo is not None, "a moment carries its offset")
    return (moment - _EPOCH) // _MICROSECOND


def parse_day(text: str) -> date:
    """Read a legal date YYYY-MM-DD: neither a week date nor one without hyphens, which ISO 8601 knows too.

    Raises:
        ValueError: the text is none.
    """
    if _DAY.fullmatch(text) is None:
        raise ValueError("a date is written YYYY-MM-DD")
    return date.fromisoformat(text)


def parse_microsecond(text: str) -> int:
    """Read a date (midnight in Asia/Shanghai) or a date-time with an offset or ``Z``.

    Raises:
        ValueError: the text is neither, or a date-time without an offset.
    """
    day = parse_day(text[:_DAY_LENGTH])
    if len(text) == _DAY_LENGTH:
        return second_of_date(day) * _MICROSECONDS_OF_A_SECOND
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a date-time needs an offset or Z")
    microsecond = microsecond_of(moment)
    _day_of(microsecond // _MICROSECONDS_OF_A_SECOND)  # in Shanghai too, it is a day of the years 1 to 9999
    return microsecond


def parse_second(text: str) -> int:
    """Read a bound of an interval, exact to the second.

    Raises:
        ValueError: not a date or date-time, or it carries a fraction of a second.
    """
    seconds, fraction = divmod(parse_microsecond(text), _MICROSECONDS_OF_A_SECOND)
    if fraction:
        raise ValueError("a bound of a claim is exact to the second")
    return seconds


def format_second(second: int) -> str:
    """Write a moment as a date where it is midnight in Asia/Shanghai, else as a date-time of that zone."""
    day = _day_of(second).isoformat()
    in_the_day = (second + _SHANGHAI_OFFSET_SECONDS) % SECONDS_OF_A_DAY
    if in_the_day == 0:
        return day
    minutes, seconds = divmod(in_the_day, 60)
    return f"{day}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}+08:00"


def _day_of(second: int) -> date:
    return date.fromordinal((second + _SHANGHAI_OFFSET_SECONDS) // SECONDS_OF_A_DAY + _EPOCH_ORDINAL)


@dataclass(frozen=True, slots=True)
class Interval:
    """A non-empty half-open interval ``[start_second, end_second)`` of seconds since the epoch.

    Two intervals meet iff each starts before the other ends: those that only touch do not meet.
    """

    start_second: int
    end_second: int

    def __post_init__(self) -> None:
        require(self.start_second < self.end_second, "an interval ends after it starts")

    @staticmethod
    def of_dates(start: date, end: date) -> Interval:
        """Give ``[start, end)`` of two legal dates."""
        return Interval(second_of_date(start), second_of_date(end))

    def meets(self, other: Interval) -> bool:
        """Whether at least one moment lies in both."""
        return self.start_second < other.end_second and other.start_second < self.end_second

    def covers(self, other: Interval) -> bool:
        """Whether every moment of the other lies in this one."""
        return self.start_second <= other.start_second and other.end_second <= self.end_second

    def overlap(self, other: Interval) -> Interval | None:
        """Give the common part, or None where they do not meet."""
        if not self.meets(other):
            return None
        return Interval(max(self.start_second, other.start_second), min(self.end_second, other.end_second))

    def legal_dates(self) -> tuple[date, date]:
        """Give the half-open range of legal dates that holds the interval: a begun day counts as a whole."""
        first = _day_of(self.start_second)
        last = _day_of(self.end_second - 1)
        return first, last + timedelta(days=1)

    def __str__(self) -> str:
        return f"[{format_second(self.start_second)}, {format_second(self.end_second)})"
