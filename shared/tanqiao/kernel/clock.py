"""Time as a parameter, and the legal date of the registry.

The kernel reads no clock: a `Clock` is handed in. Legal time is Beijing time, UTC+8 without summer time
since 1991 (DOMAIN section 10), so that the offset is a constant and no time-zone database is read.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, Protocol

from tanqiao.kernel.invariants import require

LEGAL_UTC_OFFSET_HOURS: Final = 8
LEGAL_TIME_ZONE: Final = timezone(timedelta(hours=LEGAL_UTC_OFFSET_HOURS), "Asia/Shanghai")


class Clock(Protocol):
    """Where a process gets its time from; tests hand in one that they turn."""

    def now(self) -> datetime:
        """Give the present moment as an aware datetime in UTC."""
        ...  # pragma: no cover - a protocol has no body


def legal_time(moment: datetime) -> datetime:
    """Give the moment in legal time (UTC+8); a naive datetime breaks an invariant."""
    require(moment.utcoffset() is not None, "a moment without a time zone has no legal date")
    return moment.astimezone(LEGAL_TIME_ZONE)


def legal_date(moment: datetime) -> date:
    """Give the date in Asia/Shanghai; it changes at 16:00 UTC."""
    return legal_time(moment).date()


def legal_time_text(moment: datetime) -> str:
    """Give legal time to the second as ISO 8601 with its offset, for receipts and screens."""
    return legal_time(moment).isoformat(timespec="seconds")


def start_of_legal_date(day: date) -> datetime:
    """Give the first moment of a legal date, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=LEGAL_TIME_ZONE).astimezone(UTC)
