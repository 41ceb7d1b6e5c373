"""Cases that people settle: rows, the claims that they name, their history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao.kernel.record import record
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.claim_tables import case_claim, case_event
from tanqiao_bridge.storage.tables import conflict_case

OPEN: Final = "open"
ALLOWED: Final = "allowed"
BLOCKED: Final = "blocked"
SPLIT: Final = "split"
SETTLED: Final = "settled"
RESOLVED: Final = "resolved"
"""Line of a history that ends a case about claims; it has a leaf."""


@record
class CaseRow:
    """One case; times in epoch seconds, a deadline of 0 means none; `log_size` is set as it is inserted."""

    case_id: int
    kind: str
    state: str
    subject: str
    blocking: bool
    details: str
    opened_at: int
    body: str
    deadline_at: int
    matrix_version: str
    article: str
    log_size: int = 0
    claim_ids: tuple[str, ...] = ()


@record
class EventRow:
    """One line of a case's history."""

    what: str
    party: str
    document: str
    happened_at: int
    log_index: int
    envelope: bytes


_COLUMNS: Final = tuple(name for name in CaseRow.__dataclass_fields__ if name != "claim_ids")
_EVENT_COLUMNS: Final = tuple(EventRow.__dataclass_fields__)


def insert_case(connection: sa.Connection, row: CaseRow) -> int:
    """Open a case with the claims that it names, the one that it is about first; its number."""
    values = {name: getattr(row, name) for name in _COLUMNS if name != "case_id"}
    values["log_size"] = log.log_size(connection)
    result = connection.execute(sa.insert(conflict_case).values(**values).returning(conflict_case.c.case_id))
    case_id = int(result.scalar_one())
    named = [(case_id, claim_id, position == 0) for position, claim_id in enumerate(row.claim_ids)]
    insert_rows(connection, case_claim, named, ("case_id", "claim_id", "is_subject"))
    return case_id


def add_event(connection: sa.Connection, case_id: int, event: EventRow) -> None:
    """Add a line to a case's history."""
    values = (case_id, *(getattr(event, name) for name in _EVENT_COLUMNS))
    insert_rows(connection, case_event, [values], ("case_id", *_EVENT_COLUMNS))


def set_state(connection: sa.Connection, case_id: int, state: str) -> None:
    """Set the state of a case; one that is not open blocks nothing."""
    connection.execute(
        sa.update(conflict_case).where(conflict_case.c.case_id == case_id).values(state=state, blocking=False)
    )


def load_case(connection: sa.Connection, case_id: int) -> CaseRow | None:
    """Give one case with its claims."""
    rows = _with_claims(
        connection,
        connection.execute(_SELECT.where(conflict_case.c.case_id == case_id)).all(),
    )
    return rows[0] if rows else None


def load_cases(connection: sa.Connection, case_ids: Sequence[int]) -> list[CaseRow]:
    """Give the cases of these numbers with their claims, in order of number."""
    wanted = [(case_id,) for case_id in sorted(set(case_ids))]
    rows = rows_by_key(connection, conflict_case, ("case_id",), wanted, _COLUMNS)
    return _with_claims(connection, sorted(rows))


def open_about(connection: sa.Connection, kind: str, subject: str) -> list[int]:
    """Give the open cases of a kind about a subject, in order of number."""
    columns = conflict_case.c
    wanted = sa.select(columns.case_id).where(
        columns.kind == kind, columns.state == OPEN, columns.subject == subject
    )
    return list(connection.execute(wanted.order_by(columns.case_id)).scalars())


def events_of(connection: sa.Connection, case_id: int) -> list[EventRow]:
    """Give the history of a case, oldest first."""
    rows = connection.execute(
        sa.select(*(case_event.c[name] for name in _EVENT_COLUMNS))
        .where(case_event.c.case_id == case_id)
        .order_by(case_event.c.event_id)
    )
    return [EventRow(row[0], row[1], row[2], row[3], row[4], bytes(row[5])) for row in rows]


def cases_of_claims(connection: sa.Connection, claim_ids: Iterable[str]) -> list[CaseRow]:
    """Give every case that names one of these claims, in order of number."""
    wanted = [(claim_id,) for claim_id in dict.fromkeys(claim_ids)]
    found = rows_by_key(connection, case_claim, ("claim_id",), wanted, ("case_id",))
    numbers = [(number,) for number in sorted({row[0] for row in found})]
    rows = rows_by_key(connection, conflict_case, ("case_id",), numbers, _COLUMNS)
    return _with_claims(connection, sorted(rows))


def _with_claims(connection: sa.Connection, rows: Sequence[Sequence[Any]]) -> list[CaseRow]:
    numbers = [(row[0],) for row in rows]
    named: dict[object, list[tuple[bool, str]]] = {}
    columns = ("case_id", "is_subject", "claim_id")
    for case_id, is_subject, claim_id in rows_by_key(connection, case_claim, ("case_id",), numbers, columns):
        named.setdefault(case_id, []).append((not is_subject, claim_id))
    return [
        replace(_row(row), claim_ids=tuple(claim_id for _, claim_id in sorted(named.get(row[0], ()))))
        for row in rows
    ]


def _row(values: Sequence[Any]) -> CaseRow:
    return CaseRow(*values)


_SELECT: Final = sa.select(*(conflict_case.c[name] for name in _COLUMNS))
