"""What a row of metered activity must be, alone and beside others; used for calls and for files alike."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Final

from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import optional_text
from tanqiao_region.storage.issuance import ActivityRow

ENERGY_WH_MAX: Final = 10**15
"""More than any plant of the world generates in a year; beyond it a row is a slip."""
METER_LENGTH_MAX: Final = 64
METER_DEFAULT: Final = "main"
"""Name of the meter of a plant that has one."""
DAYS_MAX: Final = 366
PERIODS_KEPT_MAX: Final = 4096
HOURS_PER_DAY: Final = 24
WATTS_PER_KILOWATT: Final = 1000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What rows of a project are held against.

    Args:
        crediting: crediting period of the project.
        claim_id: its claim, for the sentence.
        today: legal date; only energy of days that are over has been metered.
        capacity_kw: installed capacity; 0 if it is not stated.
    """

    crediting: Period
    claim_id: str
    today: date
    capacity_kw: int


def checked_row(
    bounds: Bounds, period: Period, on_grid_wh: int, self_use_wh: int, meter: str, *, prefix: str = ""
) -> ActivityRow:
    """Give a row that can be true.

    Raises:
        DomainError: FIELD_INVALID, PERIOD_OUTSIDE_CLAIM, DATE_NOT_ALLOWED, TEXT_TOO_LONG, with the field.
    """
    start_date, end_date, limit_wh = _of_period(bounds, period, prefix)
    for name, value in (("on_grid_wh", on_grid_wh), ("self_use_wh", self_use_wh)):
        if not 0 <= value <= ENERGY_WH_MAX:
            raise DomainError(
                "FIELD_INVALID", field=f"{prefix}{name}", detail=f"{value}: 0 … {ENERGY_WH_MAX} Wh"
            )
    if bounds.capacity_kw and on_grid_wh + self_use_wh > limit_wh:
        raise DomainError(
            "FIELD_INVALID",
            field=f"{prefix}on_grid_wh",
            detail=Bilingual(
                f"超过装机{bounds.capacity_kw}千瓦在该期间的最大发电量{limit_wh} Wh",
                f"more than the {limit_wh} Wh that {bounds.capacity_kw} kW can generate in this time",
            ),
        )
    name = optional_text(meter, f"{prefix}meter", length_max=METER_LENGTH_MAX) or METER_DEFAULT
    return ActivityRow(name, start_date, end_date, on_grid_wh, self_use_wh)


@lru_cache(maxsize=PERIODS_KEPT_MAX)
def _of_period(bounds: Bounds, period: Period, prefix: str) -> tuple[str, str, int]:
    """Check a period alone; its two dates as text, and the most that the plant can generate in it.

    Many rows have one period, and many meters have one plant: each is looked at once.
    """
    if period.days > DAYS_MAX:
        raise DomainError("FIELD_INVALID", field=f"{prefix}period", detail=f"more than {DAYS_MAX} days")
    if not bounds.crediting.covers(period):
        raise DomainError(
            "PERIOD_OUTSIDE_CLAIM", field=f"{prefix}period", period=str(period), claim_id=bounds.claim_id
        )
    if period.end > bounds.today:
        raise DomainError(
            "DATE_NOT_ALLOWED",
            field=f"{prefix}period",
            date=period.end.isoformat(),
            detail=Bilingual("计量期尚未结束", "the metered period is not over"),
        )
    limit_wh = bounds.capacity_kw * WATTS_PER_KILOWATT * HOURS_PER_DAY * period.days
    return period.start.isoformat(), period.end.isoformat(), limit_wh


def within_one_another(rows: Sequence[ActivityRow]) -> None:
    """Refuse rows of one meter that share a day.

    Raises:
        DomainError: DUPLICATE_KEY for the same period twice, RANGE_OVERLAP for another.
    """
    ordered = sorted(rows)
    for first, second in pairwise(ordered):
        if first.meter == second.meter and second.start_date < first.end_date:
            raise clash(second, first, where="records")


def clash(row: ActivityRow, other: ActivityRow, *, where: str) -> DomainError:
    """Give the refusal of a row that shares days with another one of its meter."""
    if (row.start_date, row.end_date) == (other.start_date, other.end_date):
        return DomainError(
            "DUPLICATE_KEY", key=f"{row.meter} {row.start_date}/{row.end_date}", where=where, field="period"
        )
    ranges = [f"{one.meter} {one.start_date}/{one.end_date}" for one in (other, row)]
    return DomainError("RANGE_OVERLAP", field="period", ranges=ranges, first=ranges[0], second=ranges[1])


def recorded_or_clash(row: ActivityRow, recorded: Sequence[ActivityRow]) -> ActivityRow | None:
    """Find what is recorded over the days of a row: None, or the very same row.

    Args:
        row: to be recorded.
        recorded: rows of its meter in order of time, disjoint.

    Raises:
        DomainError: DUPLICATE_KEY or RANGE_OVERLAP where something else is recorded there.
    """
    at = bisect_left(recorded, row.start_date, key=lambda one: one.start_date)
    for other in recorded[max(at - 1, 0) : at + 1]:
        if other.start_date < row.end_date and row.start_date < other.end_date:
            if other == row:
                return other
            raise clash(row, other, where="recorded before")
    return None


class Digest:
    """SHA-256 over rows in the order of meter and time: what a batch is named by in the evidence."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, row: ActivityRow) -> None:
        """Take the next row in."""
        self._hash.update(
            f"{row.meter}\t{row.start_date}\t{row.end_date}\t{row.on_grid_wh}\t{row.self_use_wh}\n".encode()
        )

    def value(self) -> bytes:
        """Give the digest of the rows so far."""
        return self._hash.digest()


def digest_of(rows: Iterable[ActivityRow]) -> bytes:
    """Give the digest of rows that are in order."""
    digest = Digest()
    for row in rows:
        digest.add(row)
    return digest.value()
