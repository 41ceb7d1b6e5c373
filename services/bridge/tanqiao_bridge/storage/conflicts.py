"""Reads of conflicts: cases by the claims that they name, and what became of cases and verdicts, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import rows_by_key
from tanqiao.kernel.record import record
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.domain.claim_cases import CLAIM_CASES, CaseKind
from tanqiao_bridge.storage import cases, claims, log
from tanqiao_bridge.storage.cases import CaseRow, EventRow
from tanqiao_bridge.storage.claim_search import Filter, fitting
from tanqiao_bridge.storage.claim_tables import case_claim, case_event
from tanqiao_bridge.storage.claims import RECEIPT_COLUMNS, ClaimRow, ReceiptRow
from tanqiao_bridge.storage.tables import claim, claim_receipt, conflict_case

CLAIM_LEAF: Final = "claim"
OUTSIDE_PREFIXES: Final = {4: "ccer:", 5: "gec:", 6: "gec:", 7: "vcs:", 8: "gs:", 9: "cdm:"}
"""Programme of the wire → how the records of its list are named in cases."""
_EVENT_COLUMNS: Final = tuple(EventRow.__dataclass_fields__)


@record
class CaseFilter:
    """What a case must fit; empty fits any.

    Args:
        claims: of a claim that it names.
        body: in whose queue.
        claim_id: that it names, of the index or of an outside list.
        state: of the case.
        kind: of the case.
        concerning: authority and region of an office that sees no others; None: all are seen.
    """

    claims: Filter = Filter()
    body: str = ""
    claim_id: str = ""
    state: str = ""
    kind: str = ""
    concerning: tuple[str, str] | None = None


def find_cases(
    connection: sa.Connection, wanted: CaseFilter, *, as_of_index: int = 0, after: int, limit: int
) -> list[CaseRow]:
    """Give cases that fit in order of number behind one, with the claims that they name.

    Args:
        connection: of a snapshot.
        wanted: what they must fit.
        as_of_index: number of leaves that they stand at; 0: as they stand now. Other than of cases about
            claims no history is kept, so that of an earlier index there are no others.
        after: number of the case behind which it begins.
        limit: most rows.
    """
    columns = conflict_case.c
    statement = sa.select(columns.case_id).where(columns.case_id > after)
    for name in ("body", "kind"):
        value = getattr(wanted, name)
        if value:
            statement = statement.where(columns[name] == value)
    ended = _ended_before(as_of_index)
    if as_of_index:
        statement = statement.where(columns.kind.in_(sorted(CLAIM_CASES)), columns.log_size <= as_of_index)
    if wanted.state == cases.OPEN and as_of_index:
        statement = statement.where((columns.state == cases.OPEN) | ~ended)
    elif wanted.state:
        statement = statement.where(columns.state == wanted.state, *([ended] if as_of_index else []))
    if wanted.claim_id:
        naming = sa.select(case_claim.c.case_id).where(case_claim.c.claim_id == wanted.claim_id)
        statement = statement.where(columns.case_id.in_(naming))
    if wanted.claims != Filter():
        statement = statement.where(_names(wanted.claims))
    if wanted.concerning is not None:
        authority, region = wanted.concerning
        own = columns.body == authority if authority else sa.false()
        statement = statement.where(own | _names(Filter(region=region)) if region else own)
    numbers = list(connection.execute(statement.order_by(columns.case_id).limit(limit)).scalars())
    rows = cases.load_cases(connection, numbers)
    if not as_of_index:
        return rows
    over = sa.select(columns.case_id).where(columns.case_id.in_(numbers), ended)
    known = set(connection.execute(over).scalars())
    return [row if row.case_id in known or row.state == cases.OPEN else _open_again(row) for row in rows]


def _ended_before(log_index: int) -> sa.ColumnElement[bool]:
    """Whether the leaf that ends a case is among the first so many."""
    event = case_event.c
    return (
        sa.select(1)
        .where(
            event.case_id == conflict_case.c.case_id,
            event.what == cases.RESOLVED,
            event.log_index.between(0, log_index - 1),
        )
        .exists()
    )


def _open_again(row: CaseRow) -> CaseRow:
    """Give a case as it stood before it ended; of those about claims one kind stops units."""
    return replace(row, state=cases.OPEN, blocking=row.kind == CaseKind.UNITS)


def fitting_claims(
    connection: sa.Connection, case_ids: Sequence[int], wanted: Filter
) -> list[tuple[int, ClaimRow]]:
    """Give the claims that cases name and that fit, each with the number of its case."""
    statement = (
        sa.select(case_claim.c.case_id, *(claim.c[name] for name in claims.COLUMNS))
        .select_from(case_claim.join(claim, claim.c.claim_id == case_claim.c.claim_id))
        .where(case_claim.c.case_id.in_(case_ids), *fitting(wanted))
    )
    return [(row[0], claims.claim_of_columns(row[1:])) for row in connection.execute(statement)]


def _names(wanted: Filter) -> sa.ColumnElement[bool]:
    """Whether a case names a claim of the index that fits, or a record of an outside list."""
    named = case_claim.c.case_id == conflict_case.c.case_id
    found: sa.ColumnElement[bool] = (
        sa.select(1)
        .select_from(case_claim.join(claim, claim.c.claim_id == case_claim.c.claim_id))
        .where(named, *fitting(wanted))
        .exists()
    )
    prefix = OUTSIDE_PREFIXES.get(wanted.programme)
    if prefix is not None and wanted == Filter(programme=wanted.programme):
        outside = sa.select(1).where(named, case_claim.c.claim_id.startswith(prefix, autoescape=True))
        found |= outside.exists()
    return found


def events_after(connection: sa.Connection, event_id: int, limit: int) -> list[tuple[int, int, EventRow]]:
    """Give (event, case, line) of the histories of all cases, in order, behind an event."""
    columns = case_event.c
    rows = connection.execute(
        sa.select(columns.event_id, columns.case_id, *(columns[name] for name in _EVENT_COLUMNS))
        .where(columns.event_id > event_id)
        .order_by(columns.event_id)
        .limit(limit)
    )
    return [(row[0], row[1], EventRow(row[2], row[3], row[4], row[5], row[6], bytes(row[7]))) for row in rows]


def last_event_id(connection: sa.Connection) -> int:
    """Give the number of the latest event; 0: there is none."""
    return int(connection.execute(sa.select(sa.func.max(case_event.c.event_id))).scalar() or 0)


def receipts_from(connection: sa.Connection, log_index: int, limit: int) -> tuple[list[ReceiptRow], int]:
    """Give the receipts of claims among the next `limit` leaves from an index on, and how many leaves."""
    leaves = log.read_leaves(connection, log_index, limit)
    wanted = [
        ((decode_leaf(leaf.leaf).get("claim_id") or b"").decode(), leaf.log_index)
        for leaf in leaves
        if leaf.kind == CLAIM_LEAF
    ]
    rows = rows_by_key(connection, claim_receipt, ("claim_id", "log_index"), wanted, RECEIPT_COLUMNS)
    found = sorted((claims.receipt_of_columns(row) for row in rows), key=lambda row: row.log_index)
    return found, len(leaves)


def receipts_of_claims(connection: sa.Connection, claim_ids: Iterable[str]) -> dict[str, list[ReceiptRow]]:
    """Give every receipt of these claims, oldest first."""
    wanted = [(claim_id,) for claim_id in dict.fromkeys(claim_ids)]
    found: dict[str, list[ReceiptRow]] = {}
    for row in rows_by_key(connection, claim_receipt, ("claim_id",), wanted, RECEIPT_COLUMNS):
        found.setdefault(row[0], []).append(claims.receipt_of_columns(row))
    for receipts in found.values():
        receipts.sort(key=lambda row: row.log_index)
    return found


def regions_of_claims(connection: sa.Connection, rows: Sequence[CaseRow]) -> dict[str, str]:
    """Give the region of each claim of the index that one of these cases names."""
    wanted = [(claim_id,) for row in rows for claim_id in row.claim_ids]
    return dict(rows_by_key(connection, claim, ("claim_id",), wanted, ("claim_id", "region")))
