"""Trips of travel scenes, and on which issuance each rests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage.issuance import FREE
from tanqiao_region.storage.scene_tables import trip


@dataclass(frozen=True, slots=True, order=True)
class TripRow:
    """One trip; `day` is ISO text, times are seconds since 1970."""

    order_id: str
    day: str
    user_token: str
    mode: str
    start_time: int
    end_time: int
    distance_m: int
    person_count: int
    inside_region: bool

    @property
    def last_day(self) -> str:
        """Its one day."""
        return self.day


_TRIP: Final = tuple(TripRow.__dataclass_fields__)


def _row(values: Sequence[object]) -> TripRow:
    found = dict(zip(_TRIP, values, strict=True))
    found["inside_region"] = bool(found["inside_region"])
    return TripRow(**found)  # type: ignore[arg-type]  # columns of these types


def insert_trips(
    connection: sa.Connection, project_id: str, rows: Sequence[TripRow], *, batch_id: int, recorded_at: int
) -> None:
    """Record trips on which no issuance rests yet."""
    insert_rows(
        connection,
        trip,
        [(project_id, *(getattr(row, name) for name in _TRIP), FREE, batch_id, recorded_at) for row in rows],
        ("project_id", *_TRIP, "issuance_id", "batch_id", "recorded_at"),
    )


def known_trips(connection: sa.Connection, project_id: str, order_ids: Iterable[str]) -> dict[str, TripRow]:
    """Give the recorded trips with these orders, by order."""
    wanted = [(project_id, order_id) for order_id in order_ids]
    rows = rows_by_key(connection, trip, ("project_id", "order_id"), wanted, _TRIP)
    return {row.order_id: row for row in map(_row, rows)}


def free_trips(connection: sa.Connection, project_id: str, start_date: str, end_date: str) -> list[TripRow]:
    """Give the trips of the half-open period on which no issuance rests, by day and order."""
    columns = trip.c
    rows = connection.execute(
        sa.select(*(columns[name] for name in _TRIP))
        .where(
            columns.project_id == project_id,
            columns.issuance_id == FREE,
            columns.day >= start_date,
            columns.day < end_date,
        )
        .order_by(columns.day, columns.order_id)
    )
    return [_row(tuple(row)) for row in rows]


def take_trips(connection: sa.Connection, project_id: str, rows: Sequence[TripRow], issuance_id: str) -> int:
    """Let an issuance rest on these trips; the number of trips that were there."""
    return update_by_key(
        connection,
        trip,
        ("project_id", "order_id"),
        ("issuance_id",),
        [(project_id, row.order_id, issuance_id) for row in rows],
    )


def release_trips(connection: sa.Connection, project_id: str, issuance_id: str) -> None:
    """Free the trips of an issuance that was refused."""
    columns = trip.c
    connection.execute(
        sa.update(trip)
        .where(columns.project_id == project_id, columns.issuance_id == issuance_id)
        .values(issuance_id=FREE)
    )
