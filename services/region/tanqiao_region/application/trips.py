"""Trips of travel scenes: recorded once, kept as evidence; the same trips again change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from tanqiao.api.region.v1 import scenes_pb2
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import parse_timestamp, require_count, require_text
from tanqiao_region.application.activity import (
    RECORDS_PER_CALL_MAX,
    ask_rules,
    bounds_of,
    record_batch,
)
from tanqiao_region.application.activity_checks import Bounds
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import once, require_project
from tanqiao_region.domain.quantification.travel import DISTANCE_M_MAX, Travel
from tanqiao_region.storage import trips as store
from tanqiao_region.storage.trips import TripRow

PERSONS_MAX: Final = 1000
"""Most passengers of one order; beyond it the number is a slip."""
DURATION_SECONDS_MAX: Final = 24 * 60 * 60
TOKEN_LENGTH_MAX: Final = 64
MODE_LENGTH_MAX: Final = 32


class Trips:
    """Trips handed in by calls.

    Args:
        submit: the node's writer.
    """

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def submit_trips(
        self, ask: Ask, request: scenes_pb2.SubmitTripsRequest
    ) -> scenes_pb2.SubmitTripsResponse:
        """Record trips, all or none."""
        kept = self._submit(lambda group: once(group, ask, lambda: _submit_trips(group, ask.by, request)))
        return scenes_pb2.SubmitTripsResponse.FromString(kept)


def days_of(rows: Sequence[TripRow]) -> Period:
    """Give the period from the first to the last day of the trips."""
    days = [date.fromisoformat(row.day) for row in rows]
    return Period(min(days), max(days) + timedelta(days=1))


def _submit_trips(
    group: Group, by: By, request: scenes_pb2.SubmitTripsRequest
) -> scenes_pb2.SubmitTripsResponse:
    row = require_project(group, request.project_id)
    require_count(request.trips, "trips", limit=RECORDS_PER_CALL_MAX)
    bounds = bounds_of(row, group.legal_date)
    rows = [
        _checked(bounds, trip, group.now, f"trips[{position}]") for position, trip in enumerate(request.trips)
    ]
    known = store.known_trips(group.connection, row.project.project_id, (one.order_id for one in rows))
    # What is recorded asks for no consent: the same trips again change nothing, whoever has withdrawn since.
    new = [one for one in rows if one.order_id not in known]
    verdict = ask_rules(group, by, row, days_of(rows), Travel.name, (new,))
    fresh = _fresh(rows, known)
    if fresh:
        batch_id = record_batch(group, by, row, verdict, digest=_digest(fresh), row_count=len(fresh))
        store.insert_trips(
            group.connection, row.project.project_id, fresh, batch_id=batch_id, recorded_at=group.now
        )
    return scenes_pb2.SubmitTripsResponse(accepted_count=len(rows), unchanged_count=len(rows) - len(fresh))


def _checked(bounds: Bounds, given: scenes_pb2.TripRecord, now: int, at: str) -> TripRow:
    """Give a trip that can be true."""
    for name in ("start_time", "end_time"):
        if not given.HasField(name):
            raise DomainError("FIELD_MISSING", field=f"{at}.{name}")
    start = parse_timestamp(given.start_time, f"{at}.start_time")
    end = parse_timestamp(given.end_time, f"{at}.end_time")
    first, last = int(start.timestamp()), int(end.timestamp())
    if not 0 < last - first <= DURATION_SECONDS_MAX:
        raise DomainError("RANGE_REVERSED", field=f"{at}.end_time", start=start, end=end)
    day = legal_date(start)
    if last > now:
        raise DomainError(
            "DATE_NOT_ALLOWED",
            field=f"{at}.end_time",
            date=day.isoformat(),
            detail=Bilingual("行程尚未结束", "the trip is not over"),
        )
    period = Period(day, day + timedelta(days=1))
    if not bounds.crediting.covers(period):
        raise DomainError(
            "PERIOD_OUTSIDE_CLAIM", field=f"{at}.start_time", period=str(period), claim_id=bounds.claim_id
        )
    for name, value, least, most in (
        ("distance_m", given.distance_m, 1, DISTANCE_M_MAX),
        ("person_count", given.person_count, 1, PERSONS_MAX),
    ):
        if not least <= value <= most:
            raise DomainError("FIELD_INVALID", field=f"{at}.{name}", detail=f"{value}: {least} … {most}")
    return TripRow(
        require_text(given.order_id, f"{at}.order_id", length_max=TOKEN_LENGTH_MAX),
        day.isoformat(),
        require_text(given.user_token, f"{at}.user_token", length_max=TOKEN_LENGTH_MAX),
        require_text(given.mode, f"{at}.mode", length_max=MODE_LENGTH_MAX),
        first,
        last,
        given.distance_m,
        given.person_count,
        given.inside_region,
    )


def _fresh(rows: Sequence[TripRow], known: Mapping[str, TripRow]) -> list[TripRow]:
    """Give the trips that are not recorded yet; one order with two contents is refused."""
    seen: dict[str, TripRow] = {}
    for position, row in enumerate(rows):
        if row.order_id in seen:
            raise DomainError(
                "DUPLICATE_KEY", field=f"trips[{position}].order_id", key=row.order_id, where="trips"
            )
        seen[row.order_id] = row
    for position, row in enumerate(rows):
        if known.get(row.order_id, row) != row:
            raise DomainError(
                "DUPLICATE_KEY",
                field=f"trips[{position}].order_id",
                key=row.order_id,
                where="recorded before",
            )
    return [row for row in rows if row.order_id not in known]


def _digest(rows: Sequence[TripRow]) -> bytes:
    """Give SHA-256 over the trips in the order of their numbers: what the batch is named by."""
    digest = hashlib.sha256()
    for row in sorted(rows):
        values = (getattr(row, name) for name in TripRow.__dataclass_fields__)
        digest.update(("\t".join(str(value) for value in values) + "\n").encode())
    return digest.digest()
