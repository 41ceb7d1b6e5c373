"""Mandates to trade as they stand, and what the registers say about those who are entrusted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import dossiers_pb2, registers_pb2
from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage.dossier_tables import dossier
from tanqiao_region.storage.mandate_tables import trading_mandate
from tanqiao_region.storage.tables import project

PROJECT_APPLICANT: Final = "project_applicant"
RIGHTS_PROVIDER: Final = "rights_provider"
ADMITTED: Final = "ADMITTED"
LEFT: Final = (
    registers_pb2.PROJECT_STATE_UNSPECIFIED,
    registers_pb2.PROJECT_STATE_WITHDRAWN,
    registers_pb2.PROJECT_STATE_REJECTED,
)
"""States in which the owner of a project is no longer, or never was, its applicant."""


@dataclass(frozen=True, slots=True)
class MandateRow:
    """A mandate; dates are ISO text, `end_date` is empty while nobody has ended it."""

    mandate_id: str
    principal_account_id: str
    agent_account_id: str
    start_date: str
    stop_date: str
    end_date: str
    given_by: str
    given_at: int


_COLUMNS: Final = tuple(MandateRow.__dataclass_fields__)
_OPEN: Final = ("principal_account_id", "agent_account_id", "end_date")


def insert_mandate(connection: sa.Connection, row: MandateRow) -> None:
    """Note a mandate."""
    insert_rows(connection, trading_mandate, [tuple(getattr(row, name) for name in _COLUMNS)], _COLUMNS)


def end_mandate(connection: sa.Connection, mandate_id: str, day: str) -> None:
    """Note from which day on, ISO, a mandate no longer stands."""
    update_by_key(connection, trading_mandate, ("mandate_id",), ("end_date",), [(mandate_id, day)])


def all_mandates(connection: sa.Connection) -> Iterator[MandateRow]:
    """Walk over every mandate, ended ones too."""
    for row in connection.execute(sa.select(*(trading_mandate.c[name] for name in _COLUMNS))):
        yield MandateRow(*row)


def load_mandate(connection: sa.Connection, mandate_id: str) -> MandateRow | None:
    """Give a mandate, or None."""
    rows = rows_by_key(connection, trading_mandate, ("mandate_id",), [(mandate_id,)], _COLUMNS)
    return MandateRow(*rows[0]) if rows else None


def open_mandates(connection: sa.Connection, pairs: Collection[tuple[str, str]]) -> list[MandateRow]:
    """Give those of pairs of principal and agent that nobody has ended, of whatever period.

    No two of a pair are for the same day.
    """
    keys = [(principal, agent, "") for principal, agent in sorted(pairs)]
    return [MandateRow(*row) for row in rows_by_key(connection, trading_mandate, _OPEN, keys, _COLUMNS)]


def load_mandates(
    connection: sa.Connection, pairs: Collection[tuple[str, str]], day: str
) -> Mapping[tuple[str, str], MandateRow]:
    """Give for pairs of principal and agent the mandate that stands on the day, ISO.

    A pair without one is missing.
    """
    standing = [row for row in open_mandates(connection, pairs) if row.start_date <= day < row.stop_date]
    return {(row.principal_account_id, row.agent_account_id): row for row in standing}


def list_mandates(
    connection: sa.Connection, account_id: str, *, after: str, limit: int
) -> Sequence[MandateRow]:
    """Give a page of the mandates on either side of an account, by id."""
    columns = trading_mandate.c
    rows = connection.execute(
        sa.select(*(columns[name] for name in _COLUMNS))
        .where(
            sa.or_(columns.principal_account_id == account_id, columns.agent_account_id == account_id),
            columns.mandate_id > after,
        )
        .order_by(columns.mandate_id)
        .limit(limit)
    )
    return [MandateRow(*row) for row in rows]


def load_entrustable(connection: sa.Connection, account_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """Give what the registers say that accounts are: applicant of a project, admitted rights provider."""
    if not account_ids:
        return {}
    applied = rows_by_key(
        connection,
        project,
        ("owner_account_id",),
        [(one,) for one in sorted(account_ids)],
        ("owner_account_id", "state"),
    )
    dossiers = rows_by_key(
        connection,
        dossier,
        ("account_id",),
        [(one,) for one in sorted(account_ids)],
        ("account_id", "kind", "state"),
    )
    roles = [(account_id, PROJECT_APPLICANT) for account_id, state in applied if state not in LEFT]
    roles += [
        (account_id, RIGHTS_PROVIDER)
        for account_id, kind, state in dossiers
        if kind == dossiers_pb2.DOSSIER_KIND_RIGHTS_PROVIDER and state == ADMITTED
    ]
    return {one: frozenset(role for owner, role in roles if owner == one) for one in account_ids}
