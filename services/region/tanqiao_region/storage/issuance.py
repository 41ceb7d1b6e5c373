"""Metered activity and what issuances rest on; their own life is in `tanqiao_region.storage.issues`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage.tables import activity, activity_batch, issuance, issuance_basis, series

ISSUING: Final = 1
ISSUED: Final = 2
REFUSED: Final = 3
FREE: Final = ""
"""Stands in `issuance_id` of activity on which no issuance rests."""


@dataclass(frozen=True, slots=True, order=True)
class ActivityRow:
    """Metered energy of one meter in a half-open period; dates are ISO text, energy is in watt-hours."""

    meter: str
    start_date: str
    end_date: str
    on_grid_wh: int
    self_use_wh: int

    @property
    def energy_wh(self) -> int:
        """What the plant generated and delivered: on the grid and on the site."""
        return self.on_grid_wh + self.self_use_wh


_ACTIVITY: Final = ("meter", "start_date", "end_date", "on_grid_wh", "self_use_wh")


def insert_activity(
    connection: sa.Connection,
    project_id: str,
    rows: Sequence[ActivityRow],
    *,
    batch_id: int,
    recorded_at: int,
) -> None:
    """Record activity that no issuance rests on yet."""
    insert_rows(
        connection,
        activity,
        [
            (
                project_id,
                row.meter,
                row.start_date,
                row.end_date,
                row.on_grid_wh,
                row.self_use_wh,
                FREE,
                batch_id,
                recorded_at,
            )
            for row in rows
        ],
        (
            "project_id",
            "meter",
            "start_date",
            "end_date",
            "on_grid_wh",
            "self_use_wh",
            "issuance_id",
            "batch_id",
            "recorded_at",
        ),
    )


def insert_batch(
    connection: sa.Connection,
    *,
    batch_id: int,
    project_id: str,
    digest: bytes,
    row_count: int,
    submitted_by: str,
    recorded_at: int,
) -> None:
    """Note who handed in which rows."""
    insert_rows(
        connection, activity_batch, [(batch_id, project_id, digest, row_count, submitted_by, recorded_at)]
    )


def has_activity(connection: sa.Connection, project_id: str) -> bool:
    """Whether anything is recorded of a project."""
    row = connection.execute(
        sa.select(activity.c.meter).where(activity.c.project_id == project_id).limit(1)
    ).first()
    return row is not None


def activity_beside(
    connection: sa.Connection, project_id: str, rows: Iterable[ActivityRow]
) -> dict[str, list[ActivityRow]]:
    """Give by meter the recorded activity that shares a day with the span of the given rows of that meter."""
    spans: dict[str, tuple[str, str]] = {}
    for row in rows:
        start, end = spans.get(row.meter, (row.start_date, row.end_date))
        spans[row.meter] = (min(start, row.start_date), max(end, row.end_date))
    found: dict[str, list[ActivityRow]] = {}
    columns = activity.c
    for meter, (start, end) in spans.items():
        # The rows of one meter are disjoint: at most one of those that begin before the span reaches into it.
        reaching = (
            sa.select(sa.func.max(columns.start_date))
            .where(columns.project_id == project_id, columns.meter == meter, columns.start_date <= start)
            .scalar_subquery()
        )
        statement = sa.select(*(columns[name] for name in _ACTIVITY)).where(
            columns.project_id == project_id,
            columns.meter == meter,
            columns.start_date >= sa.func.coalesce(reaching, start),
            columns.start_date < end,
            columns.end_date > start,
        )
        rows_here = [ActivityRow(*values) for values in connection.execute(statement)]
        if rows_here:
            found[meter] = rows_here
    return found


def free_activity(
    connection: sa.Connection, project_id: str, start_date: str, end_date: str
) -> list[ActivityRow]:
    """Give the activity within the period on which no issuance rests, by time and meter."""
    columns = activity.c
    rows = connection.execute(
        sa.select(*(columns[name] for name in _ACTIVITY))
        .where(
            columns.project_id == project_id,
            columns.issuance_id == FREE,
            columns.start_date >= start_date,
            columns.end_date <= end_date,
        )
        .order_by(columns.start_date, columns.meter)
    )
    return [ActivityRow(*values) for values in rows]


def activity_cut_by(
    connection: sa.Connection, project_id: str, start_date: str, end_date: str
) -> list[ActivityRow]:
    """Give free activity that lies partly inside and partly outside of the period."""
    columns = activity.c
    rows = connection.execute(
        sa.select(*(columns[name] for name in _ACTIVITY))
        .where(
            columns.project_id == project_id,
            columns.issuance_id == FREE,
            columns.start_date < end_date,
            columns.end_date > start_date,
            sa.or_(columns.start_date < start_date, columns.end_date > end_date),
        )
        .order_by(columns.start_date, columns.meter)
    )
    return [ActivityRow(*values) for values in rows]


def take_activity(
    connection: sa.Connection, project_id: str, rows: Sequence[ActivityRow], issuance_id: str
) -> int:
    """Let an issuance rest on these rows; the number of rows that were there."""
    return update_by_key(
        connection,
        activity,
        ("project_id", "meter", "start_date"),
        ("issuance_id",),
        [(project_id, row.meter, row.start_date, issuance_id) for row in rows],
    )


def release_activity(connection: sa.Connection, project_id: str, issuance_id: str) -> None:
    """Free the activity of an issuance that was refused."""
    columns = activity.c
    connection.execute(
        sa.update(activity)
        .where(columns.project_id == project_id, columns.issuance_id == issuance_id)
        .values(issuance_id=FREE)
    )


# -- issuances


@dataclass(frozen=True, slots=True)
class Basis:
    """What an issuance rests on: who asked for what, under which claim, computed how."""

    issuance_id: str
    claim_id: str
    claim_receipt: bytes
    request: bytes
    requested_by: str
    working: bytes


@dataclass(frozen=True, slots=True)
class ShownIssuance:
    """An issuance as lists show it."""

    issuance_id: str
    project_id: str
    account_id: str
    start_date: str
    end_date: str
    series_id: str
    start_serial: int
    end_serial: int
    carried_out_g: int
    state: int
    payload: bytes
    receipt: bytes
    reasons: bytes
    legal_date: str
    rule_pack_id: str
    rule_pack_version: str
    created_at: int


_SHOWN: Final = tuple(ShownIssuance.__dataclass_fields__)


def insert_basis(connection: sa.Connection, row: Basis) -> None:
    """Keep what an issuance rests on."""
    insert_rows(
        connection,
        issuance_basis,
        [(row.issuance_id, row.claim_id, row.claim_receipt, row.request, row.requested_by, row.working)],
    )


def load_issuance(connection: sa.Connection, issuance_id: str) -> ShownIssuance | None:
    """Give an issuance, or None."""
    rows = rows_by_key(connection, issuance, ("issuance_id",), [(issuance_id,)], _SHOWN)
    return _shown(rows[0]) if rows else None


def list_issuances(
    connection: sa.Connection, *, project_id: str, after: tuple[int, str], limit: int
) -> list[ShownIssuance]:
    """Give a page of issuances, oldest first, of one project or of all."""
    columns = issuance.c
    statement = (
        sa.select(*(columns[name] for name in _SHOWN))
        .where(
            sa.or_(
                columns.created_at > after[0],
                sa.and_(columns.created_at == after[0], columns.issuance_id > after[1]),
            )
        )
        .order_by(columns.created_at, columns.issuance_id)
        .limit(limit)
    )
    if project_id:
        statement = statement.where(columns.project_id == project_id)
    return [_shown(tuple(row)) for row in connection.execute(statement)]


def _shown(row: Sequence[Any]) -> ShownIssuance:
    values = dict(zip(_SHOWN, row, strict=True))
    for name in ("payload", "receipt", "reasons"):
        values[name] = bytes(values[name])
    return ShownIssuance(**values)


def dates_of_issuances(connection: sa.Connection, project_id: str) -> list[str]:
    """Give the legal dates of the project's issuances that were not refused."""
    columns = issuance.c
    rows = connection.execute(
        sa.select(columns.legal_date)
        .where(columns.project_id == project_id, columns.state != REFUSED)
        .order_by(columns.legal_date)
    )
    return [row.legal_date for row in rows]


def undecided_issuance(connection: sa.Connection, project_id: str) -> str | None:
    """Give an issuance of the project that the bridge has not answered, if there is one."""
    columns = issuance.c
    return connection.execute(
        sa.select(columns.issuance_id)
        .where(columns.project_id == project_id, columns.state == ISSUING)
        .limit(1)
    ).scalar()


def last_batch_number(connection: sa.Connection, project_id: str, vintage_year: int) -> int:
    """Give the highest batch number of the project's vintage; refused ones count: they are not used again."""
    columns = issuance.c
    return int(
        connection.execute(
            sa.select(sa.func.max(columns.batch_number)).where(
                columns.project_id == project_id, columns.vintage_year == vintage_year
            )
        ).scalar()
        or 0
    )


def series_classes(connection: sa.Connection, series_ids: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Give (series, methodology, class) of series that are known."""
    rows = rows_by_key(
        connection,
        series,
        ("series_id",),
        [(series_id,) for series_id in dict.fromkeys(series_ids)],
        ("series_id", "methodology_id", "unit_class"),
    )
    yield from ((row[0], row[1], row[2]) for row in rows)
