"""The calendar of working days: the published notices, and those that an operator has loaded.

`chinese_calendar` carries the State Council's notices of the years that are published. A later year is a file
of the operator in a directory: one `<year>.toml` with ``holidays``, ``makeup_workdays`` (lists of dates) and
``source``, the notice's number. A year that neither knows is refused by the calendar itself (RULES section
11.6).
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Final

from chinese_calendar import constants

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.working_days import Calendar, CalendarYear

PUBLISHED_SOURCE: Final = "国务院办公厅节假日安排通知 (chinesecalendar)"
FILE_BYTES_MAX: Final = 64 * 1024
_KEYS: Final = {"holidays", "makeup_workdays", "source"}


def published_calendar() -> Calendar:
    """Give the calendar of the notices that the library carries."""
    years = sorted({day.year for day in constants.holidays})
    return Calendar(
        {
            year: CalendarYear(
                frozenset(day for day in constants.holidays if day.year == year),
                frozenset(day for day in constants.workdays if day.year == year),
                PUBLISHED_SOURCE,
            )
            for year in years
        }
    )


def load_calendar(directory: Path | None = None) -> Calendar:
    """Give the published calendar with the operator's notices over it.

    Raises:
        DomainError: SETTING_INVALID for a file that is no notice, with its name.
    """
    calendar = published_calendar()
    if directory is None:
        return calendar
    for path in sorted(directory.glob("*.toml")):
        calendar = calendar.with_year(*_notice(path))
    return calendar


def _notice(path: Path) -> tuple[int, CalendarYear]:
    try:
        return _read(path)
    except (OSError, ValueError, DomainError) as error:
        raise DomainError("SETTING_INVALID", setting="calendar", detail=f"{path.name}: {error}") from error


def _read(path: Path) -> tuple[int, CalendarYear]:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    if not (path.stem.isascii() and path.stem.isdigit()) or set(table) != _KEYS:
        raise ValueError(f"<year>.toml with {', '.join(sorted(_KEYS))} is wanted")
    if not isinstance(table["source"], str) or not table["source"].strip():
        raise ValueError("the notice that it comes from is not named")
    year = int(path.stem)
    return year, CalendarYear(
        _days(table["holidays"], year), _days(table["makeup_workdays"], year), table["source"]
    )


def _days(value: object, year: int) -> frozenset[date]:
    if not isinstance(value, list) or any(type(day) is not date or day.year != year for day in value):
        raise ValueError(f"a list of dates of {year} is wanted")
    return frozenset(value)
