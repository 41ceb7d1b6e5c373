"""Working days by the yearly notices of the State Council.

A day is worked if it is a make-up day, or a Monday to Friday that is no holiday (DOMAIN section 10). Which
days those are is data that an operator loads year by year; a year that is not loaded is refused, for a
notice must never end early because a calendar was guessed (RULES section 11.6).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

WORKING_DAYS_MAX: Final = 1_000
"""Longest term that is counted; the longest known one has 60."""

_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """What the notices say of one year.

    Args:
        holidays: days off; weekend days among them change nothing.
        makeup_workdays: Saturdays and Sundays that are worked. A weekday may be among them: the second
            notice of 2020 made a day that was off a working day again.
        source: the notice or notices, as cited beside a computed last day.
    """

    holidays: frozenset[date]
    makeup_workdays: frozenset[date]
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse a day that is both off and worked."""
        both = self.holidays & self.makeup_workdays
        if both:
            raise _invalid(min(both))


@dataclass(frozen=True, slots=True)
class Calendar:
    """The loaded years; a value that is handed in, never looked up.

    Raises:
        DomainError: FIELD_INVALID if a day is filed under another year than its own.
    """

    years: Mapping[int, CalendarYear] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep an own copy of the mapping and check that each day lies in its year."""
        for year, content in self.years.items():
            for day in sorted(content.holidays | content.makeup_workdays):
                if day.year != year:
                    raise _invalid(day)
        object.__setattr__(self, "years", MappingProxyType(dict(self.years)))

    def __hash__(self) -> int:
        return hash(frozenset(self.years.items()))

    @staticmethod
    def of(years: Mapping[int, tuple[Iterable[date], Iterable[date]]]) -> Calendar:
        """Make a calendar of year -> (holidays, make-up workdays)."""
        return Calendar(
            {year: CalendarYear(frozenset(off), frozenset(worked)) for year, (off, worked) in years.items()}
        )

    @staticmethod
    def from_notices(notices: Mapping[int, tuple[Iterable[date], Iterable[date]]]) -> Calendar:
        """Make a calendar of notices: notice year -> (days off, weekend days worked).

        The notice of a year may also speak of the last days of December before it, as those of 2019 and 2023
        did; of two notices on one day the later holds. Days of a year without a notice are left aside.
        """
        off: dict[int, set[date]] = {year: set() for year in notices}
        worked: dict[int, set[date]] = {year: set() for year in notices}
        for notice_year in sorted(notices):
            for chosen, other, days in zip((off, worked), (worked, off), notices[notice_year], strict=True):
                for day in days:
                    if day.year in notices:
                        chosen[day.year].add(day)
                        other[day.year].discard(day)
        return Calendar.of({year: (off[year], worked[year]) for year in notices})

    def with_year(self, year: int, content: CalendarYear) -> Calendar:
        """Give a calendar in which the year is as stated, loaded newly or by a second notice."""
        return Calendar({**self.years, year: content})

    @property
    def version(self) -> str:
        """Digest of the loaded days, to be stored beside what was computed with them (RULES section 11.7)."""
        digest = hashlib.sha256()
        for year in sorted(self.years):
            content = self.years[year]
            for kind, days in (("year", ()), ("off", content.holidays), ("worked", content.makeup_workdays)):
                digest.update(f"{year} {kind} {' '.join(day.isoformat() for day in sorted(days))}\n".encode())
        return digest.hexdigest()

    def is_working_day(self, day: date) -> bool:
        """Whether the day is worked.

        Raises:
            DomainError: CALENDAR_NOT_LOADED, if its year is not loaded.
        """
        content = self.years.get(day.year)
        if content is None:
            raise DomainError("CALENDAR_NOT_LOADED", year=day.year)
        if day in content.makeup_workdays:
            return True
        return day.weekday() < _SATURDAY and day not in content.holidays

    def last_day(self, start: date, n: int, *, first_day_counts: bool) -> date:
        """Give the day on which a term of n working days ends; it ends with that day, at 24:00 legal time.

        Args:
            start: day on which the term is opened; counted only if it is a working day.
            n: length in working days, at least 1.
            first_day_counts: whether the day of opening can be the first day; the rule pack says so.

        Raises:
            DomainError: CALENDAR_NOT_LOADED, if the term reaches a year that is not loaded.
        """
        require(1 <= n <= WORKING_DAYS_MAX, f"a term has 1 to {WORKING_DAYS_MAX} working days")
        counted = 0
        for day in _days_from(start if first_day_counts else start + _DAY):
            counted += self.is_working_day(day)
            if counted == n:
                return day
        raise DomainError("CALENDAR_NOT_LOADED", year=date.max.year + 1)

    def first_day_after(self, start: date, n: int, *, first_day_counts: bool) -> date:
        """Give the first date on which what waited for the term may be done: the day after its last day."""
        return self.last_day(start, n, first_day_counts=first_day_counts) + _DAY

    def next_working_day(self, day: date) -> date:
        """Give the day itself if it is worked, else the next that is."""
        return self.last_day(day, 1, first_day_counts=True)

    def count(self, start: date, end: date) -> int:
        """Count the working days in [start, end)."""
        return sum(self.is_working_day(start + _DAY * offset) for offset in range((end - start).days))


def _days_from(first: date) -> Iterator[date]:
    """Give the days in order, up to the last one that the type can hold."""
    day = first
    while True:
        yield day
        if day == date.max:
            return
        day += _DAY


def _invalid(day: date) -> DomainError:
    return DomainError("FIELD_INVALID", field="calendar", detail=day.isoformat())
