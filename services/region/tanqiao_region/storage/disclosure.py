"""Sums that public lists show: by series, by purpose, by project; nothing of an account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import rows_by_key
from tanqiao.kernel.units import UnitBlock
from tanqiao_region.storage.dossier_tables import dossier
from tanqiao_region.storage.holdings import CANCELLED, HELD, LOCKED, RETIRING, USED
from tanqiao_region.storage.tables import (
    frozen,
    holding,
    issuance,
    issuance_basis,
    methodology,
    retirement,
    series,
)

ISSUED: Final = 2
YEAR: Final = 4


class UseSum(NamedTuple):
    """Kilograms used for a purpose in a year; of one series, or of a class."""

    key: str
    purpose: str
    year: str
    quantity_kg: int


class SeriesSums(NamedTuple):
    """Kilograms of a series at this node."""

    held_kg: int
    frozen_kg: int
    cancelled_kg: int


_SPAN: Final = sa.func.sum(holding.c.end_serial - holding.c.start_serial)
_USED_IN: Final = sa.func.substr(retirement.c.decision_date, 1, YEAR)


def uses_by_class(connection: sa.Connection) -> list[UseSum]:
    """Give what was used at this node by purpose, class and year."""
    return _uses(connection, series.c.unit_class, None)


def uses_by_series(connection: sa.Connection, series_ids: Iterable[str]) -> list[UseSum]:
    """Give what was used of some series by purpose and year."""
    return _uses(connection, series.c.series_id, sorted(set(series_ids)))


def _uses(
    connection: sa.Connection, key: sa.ColumnElement[str], series_ids: list[str] | None
) -> list[UseSum]:
    statement = (
        sa.select(key, retirement.c.purpose, _USED_IN, _SPAN)
        .select_from(holding)
        .join(retirement, retirement.c.transfer_id == holding.c.transfer_id)
        .join(series, series.c.series_id == holding.c.series_id)
        .where(holding.c.state == USED)
        .group_by(key, retirement.c.purpose, _USED_IN)
        .order_by(key, retirement.c.purpose, _USED_IN)
    )
    if series_ids is not None:
        statement = statement.where(holding.c.series_id.in_(series_ids))
    return [UseSum(row[0], row[1], row[2], int(row[3])) for row in connection.execute(statement)]


def sums_of_series(connection: sa.Connection, series_ids: Iterable[str]) -> dict[str, SeriesSums]:
    """Give what some series hold, have frozen and cancelled here."""
    wanted = sorted(set(series_ids))
    held: dict[str, int] = {}
    cancelled: dict[str, int] = {}
    rows = connection.execute(
        sa.select(holding.c.series_id, holding.c.state, _SPAN)
        .where(holding.c.series_id.in_(wanted))
        .group_by(holding.c.series_id, holding.c.state)
    )
    for series_id, state, quantity_kg in rows:
        if state in (HELD, LOCKED, RETIRING):
            held[series_id] = held.get(series_id, 0) + int(quantity_kg)
        elif state == CANCELLED:
            cancelled[series_id] = int(quantity_kg)
    columns = frozen.c
    stopped = [
        UnitBlock(row.series_id, row.start_serial, row.end_serial)
        for row in connection.execute(
            sa.select(columns.series_id, columns.start_serial, columns.end_serial).where(
                columns.series_id.in_(wanted)
            )
        )
    ]
    bound = covered_kg(stopped)
    return {one: SeriesSums(held.get(one, 0), bound.get(one, 0), cancelled.get(one, 0)) for one in wanted}


def covered_kg(blocks: Iterable[UnitBlock]) -> dict[str, int]:
    """Give kilograms by series that at least one of the blocks covers: orders of freezes may overlap."""
    covered: dict[str, int] = {}
    ends: dict[str, int] = {}
    for block in sorted(blocks):
        start = max(block.start, ends.get(block.series_id, 0))
        covered[block.series_id] = covered.get(block.series_id, 0) + max(0, block.end - start)
        ends[block.series_id] = max(start, block.end)
    return covered


def count_methodologies(connection: sa.Connection) -> int:
    """Give how many methodologies were published here, those that are stopped or superseded too."""
    return connection.execute(sa.select(sa.func.count()).select_from(methodology)).scalar_one()


def count_dossiers(connection: sa.Connection, kind: int, states: Sequence[str]) -> int:
    """Give how many dossiers of a kind stand in these states."""
    columns = dossier.c
    statement = sa.select(sa.func.count()).where(columns.kind == kind, columns.state.in_(states))
    return connection.execute(statement).scalar_one()


def issued_of_projects(connection: sa.Connection, project_ids: Iterable[str]) -> dict[str, int]:
    """Give how many kilograms some projects have been issued."""
    columns = issuance.c
    rows = connection.execute(
        sa.select(columns.project_id, sa.func.sum(columns.end_serial - columns.start_serial))
        .where(columns.state == ISSUED, columns.project_id.in_(sorted(set(project_ids))))
        .group_by(columns.project_id)
    )
    return {row[0]: int(row[1]) for row in rows}


def issued_by_project(connection: sa.Connection, issuance_ids: Iterable[str]) -> list[tuple[str, int]]:
    """Give (project, kilograms) of some issuances."""
    keys = [(one,) for one in sorted(set(issuance_ids))]
    wanted = ("project_id", "start_serial", "end_serial")
    return [
        (row[0], int(row[2] - row[1]))
        for row in rows_by_key(connection, issuance, ("issuance_id",), keys, wanted)
    ]


def requests_of_issuances(connection: sa.Connection, issuance_ids: Iterable[str]) -> dict[str, bytes]:
    """Give the requests that some issuances rest on."""
    keys = [(one,) for one in dict.fromkeys(issuance_ids)]
    rows = rows_by_key(connection, issuance_basis, ("issuance_id",), keys, ("issuance_id", "request"))
    return {row[0]: bytes(row[1]) for row in rows}
