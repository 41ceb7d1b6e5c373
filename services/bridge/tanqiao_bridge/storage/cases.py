"""Cases that people settle: rows, the claims that they name, their history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao.kernel.record import record
from tanqiao_bridge.storage.claim_tables import case_claim, case_event
from tanqiao_bridge.storage.tables import conflict_case

OPEN: Final = "open"
ALLOWED: Final = "allowed"
BLOCKED: Final = "blocked"
SPLIT: Final = "split"
SETTLED: Final = "settled"


@record
class CaseRow:
    """One case; times in epoch seconds, a deadline of 0 means none."""

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


def events_of(connection: sa.Connection, case_id: int) -> list[EventRow]:
    """Give the history of a case, oldest first."""
    rows = connection.execute(
        sa.select(*(case_event.c[name] for name in _EVENT_COLUMNS))
        .where(case_event.c.case_id == case_id)
        .order_by(case_event.c.event_id)
    )
    return [EventRow(row[0], row[1], row[2], row[3], row[4], bytes(row[5])) for row in rows]


def list_cases(
    connection: sa.Connection, *, body: str, state: str, claim_id: str, after: int, limit: int
) -> list[CaseRow]:
    """Give cases in order of number behind one, filtered."""
    statement = _SELECT.where(conflict_case.c.case_id > after)
    if body:
        statement = statement.where(conflict_case.c.body == body)
    if state:
        statement = statement.where(conflict_case.c.state == state)
    if claim_id:
        named = sa.select(case_claim.c.case_id).where(case_claim.c.claim_id == claim_id)
        statement = statement.where(conflict_case.c.case_id.in_(named))
    rows = connection.execute(statement.order_by(conflict_case.c.case_id).limit(limit)).all()
    return _with_claims(connection, rows)


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
