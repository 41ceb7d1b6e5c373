"""Experience values: recorded, summed, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao_region.storage.scene_tables import experience


@dataclass(frozen=True, slots=True)
class ExperienceRow:
    """One record of a behaviour scene."""

    record_id: str
    account_id: str
    value: int


def insert_experience(
    connection: sa.Connection, scene_id: str, rows: Sequence[ExperienceRow], *, journal_index: int
) -> None:
    """Record values."""
    insert_rows(
        connection,
        experience,
        [(scene_id, row.record_id, row.account_id, row.value, journal_index) for row in rows],
    )


def known_experience(
    connection: sa.Connection, scene_id: str, record_ids: Iterable[str]
) -> dict[str, ExperienceRow]:
    """Give the recorded values with these numbers, by number."""
    wanted = [(scene_id, record_id) for record_id in record_ids]
    names = ("record_id", "account_id", "value")
    rows = rows_by_key(connection, experience, ("scene_id", "record_id"), wanted, names)
    return {row[0]: ExperienceRow(*row) for row in rows}


def experience_of(connection: sa.Connection, account_ids: Iterable[str]) -> dict[tuple[str, str], int]:
    """Give the sums of accounts, by account and scene."""
    columns = experience.c
    statement = (
        sa.select(columns.account_id, columns.scene_id, sa.func.sum(columns.value))
        .where(columns.account_id.in_(sorted(set(account_ids))))
        .group_by(columns.account_id, columns.scene_id)
        .order_by(columns.account_id, columns.scene_id)
    )
    return {(row[0], row[1]): int(row[2]) for row in connection.execute(statement)}
