"""Searches of the claim index, and who asked them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao.kernel.record import record
from tanqiao_bridge.storage.claim_tables import claim_query
from tanqiao_bridge.storage.claims import COLUMNS, ClaimRow, claim_of_columns
from tanqiao_bridge.storage.tables import claim, claim_key, claim_receipt, issue

ISSUED: Final = 5
"""Status of the wire that an accepted Issue gives its claim; it has a receipt of its own kind."""


@record
class Filter:
    """What a claim must fit; empty and 0 fit any.

    Args:
        keys: asset keys, one of which it has.
        programme: number of the wire.
        region: party.
        project_id: as its region names it.
        subject_uscc: credit code.
        start_date: its period ends behind this date.
        end_date: its period begins before this date.
        attribute: number of the wire.
        object: number of the wire.
        series_id: units of this series rest on it.
    """

    keys: tuple[str, ...] = ()
    programme: int = 0
    region: str = ""
    project_id: str = ""
    subject_uscc: str = ""
    start_date: str = ""
    end_date: str = ""
    attribute: int = 0
    object: int = 0
    series_id: str = ""


@record
class Step:
    """A step of a claim as the log has it."""

    log_index: int
    status: int


@record
class QueryRow:
    """One query as it was noted; time in epoch seconds."""

    query_id: int
    party: str
    asked_at: int
    method: str
    query: str
    as_of_index: int
    entry_count: int


_QUERY_COLUMNS: Final = tuple(QueryRow.__dataclass_fields__)


def fitting(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """Give what a row of `claim` must fulfil."""
    found: list[sa.ColumnElement[bool]] = []
    for name in ("programme", "region", "project_id", "subject_uscc", "attribute", "object"):
        value = getattr(wanted, name)
        if value:
            found.append(claim.c[name] == value)
    if wanted.start_date:
        found.append(claim.c.end_date > wanted.start_date)
    if wanted.end_date:
        found.append(claim.c.start_date < wanted.end_date)
    if wanted.keys:
        keyed = sa.select(claim_key.c.claim_id).where(claim_key.c.asset_key.in_(wanted.keys))
        found.append(claim.c.claim_id.in_(keyed))
    if wanted.series_id:
        resting = sa.select(issue.c.claim_id).where(issue.c.series_id == wanted.series_id, issue.c.accepted)
        found.append(claim.c.claim_id.in_(resting))
    return found


def find_claims(connection: sa.Connection, wanted: Filter, *, after: str, limit: int) -> list[ClaimRow]:
    """Give claims that fit, in order of id behind one."""
    statement = (
        sa.select(*(claim.c[name] for name in COLUMNS))
        .where(claim.c.claim_id > after, *fitting(wanted))
        .order_by(claim.c.claim_id)
        .limit(limit)
    )
    return [claim_of_columns(row) for row in connection.execute(statement)]


def steps_of(connection: sa.Connection, claim_ids: Iterable[str]) -> dict[str, list[Step]]:
    """Give every step of these claims in order of the log: their receipts, and the Issues on them."""
    wanted = [(claim_id,) for claim_id in dict.fromkeys(claim_ids)]
    found: dict[str, list[Step]] = {}
    columns = ("claim_id", "log_index", "status")
    for claim_id, log_index, status in rows_by_key(connection, claim_receipt, ("claim_id",), wanted, columns):
        found.setdefault(claim_id, []).append(Step(log_index, status))
    columns = ("claim_id", "log_index", "accepted")
    for claim_id, log_index, accepted in rows_by_key(connection, issue, ("claim_id",), wanted, columns):
        if accepted:
            found.setdefault(claim_id, []).append(Step(log_index, ISSUED))
    for steps in found.values():
        steps.sort(key=lambda step: step.log_index)
    return found


def issues_on(connection: sa.Connection, claim_id: str) -> list[tuple[int, str, int, int]]:
    """Give (log index, series, start, end) of the units that rest on a claim, in order of the log."""
    columns = issue.c
    rows = connection.execute(
        sa.select(columns.log_index, columns.series_id, columns.start_serial, columns.end_serial)
        .where(columns.claim_id == claim_id, columns.accepted)
        .order_by(columns.log_index)
    )
    return [(row.log_index, row.series_id, row.start_serial, row.end_serial) for row in rows]


def insert_query(connection: sa.Connection, row: QueryRow) -> None:
    """Note a query; its number is given by the table."""
    names = _QUERY_COLUMNS[1:]
    insert_rows(connection, claim_query, [tuple(getattr(row, name) for name in names)], names)


def queries_of(connection: sa.Connection, party: str, *, before: int, limit: int) -> list[QueryRow]:
    """Give what a party has asked, latest first, before a number; 0: from the latest on."""
    statement = sa.select(*(claim_query.c[name] for name in _QUERY_COLUMNS)).where(
        claim_query.c.party == party
    )
    if before:
        statement = statement.where(claim_query.c.query_id < before)
    rows = connection.execute(statement.order_by(claim_query.c.query_id.desc()).limit(limit))
    return [QueryRow(*row) for row in rows]
