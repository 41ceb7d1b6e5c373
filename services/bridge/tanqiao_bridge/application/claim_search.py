"""The national query: claims that fit a filter, now or as of an earlier index, and the history of one.

As of an index a claim has the status that its last step before that index gave it; one that had no step yet
did not exist. Steps are the receipts of the claim and the Issues that rest on it, both of the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock
from tanqiao_bridge.application.claim_aliases import AliasBook
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage import cases, log
from tanqiao_bridge.storage import claim_search as rows
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.claim_search import Filter, QueryRow, Step
from tanqiao_bridge.storage.claims import ClaimRow, ReceiptRow

__all__ = ["ClaimRow", "ClaimSearch", "Filter", "NoteQuery", "QueryRow", "ReceiptRow", "Step", "note_query"]

ROWS_LOOKED_AT_MAX: Final = 5_000
"""Claims that one page looks at; where few of them fit, the page is short and its token goes on behind."""


@record
class Found:
    """A claim that fits, with the step that gave it its status."""

    row: ClaimRow
    declared_index: int
    step: Step


@record
class Page:
    """What fits, behind which id the next page begins (empty: there is none), and the index it stands at."""

    entries: tuple[Found, ...]
    next_after: str
    as_of_index: int


@record
class History:
    """One claim with its receipts, the units that rest on it and the cases that name it."""

    row: ClaimRow
    receipts: tuple[ReceiptRow, ...]
    issued: tuple[tuple[int, UnitBlock], ...]
    case_ids: tuple[int, ...]
    log_size: int


@dataclass(frozen=True, slots=True)
class NoteQuery:
    """A query that was answered, to be noted for the office of who asked."""

    party: str
    method: str
    query: str
    as_of_index: int
    entry_count: int


def note_query(group: Group, command: object) -> None:
    """Note a query."""
    noted = cast("NoteQuery", command)
    rows.insert_query(
        group.connection,
        QueryRow(0, noted.party, group.now, noted.method, noted.query, noted.as_of_index, noted.entry_count),
    )


class ClaimSearch:
    """Searches of one bridge's database, each in one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(
        self,
        wanted: Filter,
        *,
        statuses: frozenset[int],
        methodology_id: str,
        as_of_index: int,
        after: str,
        limit: int,
    ) -> Page:
        """Give a page of the claims that fit.

        Raises:
            DomainError: FIELD_INVALID for an index that the log has not come to.
        """
        with self._database.reading() as connection:
            size = log.log_size(connection)
            if as_of_index > size:
                raise DomainError("FIELD_INVALID", field="as_of_index", detail=f"the log has {size} leaves")
            at = as_of_index or size
            keys = AliasBook.load(connection, wanted.keys).expand(wanted.keys)
            with_classes = replace(wanted, keys=keys)
            found: list[Found] = []
            looked_at = 0
            while True:
                page = rows.find_claims(connection, with_classes, after=after, limit=limit + 1)
                steps = rows.steps_of(connection, [row.claim_id for row in page])
                for row in page:
                    after = row.claim_id
                    entry = as_of(row, steps.get(row.claim_id, ()), at)
                    if entry is not None and fits(entry, statuses, methodology_id):
                        found.append(entry)
                        if len(found) > limit:
                            return Page(tuple(found[:limit]), found[limit - 1].row.claim_id, at)
                looked_at += len(page)
                if len(page) <= limit:
                    return Page(tuple(found), "", at)
                if looked_at >= ROWS_LOOKED_AT_MAX:
                    return Page(tuple(found), after, at)

    def history(self, claim_id: str) -> History:
        """Give every step of one claim; CLAIM_UNKNOWN if there is none."""
        with self._database.reading() as connection:
            row = claim_rows.load_claims(connection, [claim_id]).get(claim_id)
            if row is None:
                raise DomainError("CLAIM_UNKNOWN", claim_id=claim_id)
            issued = [
                (log_index, UnitBlock(series_id, start, end))
                for log_index, series_id, start, end in rows.issues_on(connection, claim_id)
            ]
            named = cases.cases_of_claims(connection, [claim_id])
            return History(
                row,
                tuple(claim_rows.receipts_of(connection, claim_id)),
                tuple(issued),
                tuple(case.case_id for case in named),
                log.log_size(connection),
            )

    def queries(self, party: str, *, before: int, limit: int) -> tuple[list[QueryRow], int]:
        """Give what a party has asked, latest first, and the size of the log."""
        with self._database.reading() as connection:
            return rows.queries_of(connection, party, before=before, limit=limit), log.log_size(connection)


def as_of(row: ClaimRow, steps: Sequence[Step], at: int) -> Found | None:
    """Give a claim with its last step among so many leaves; None where it had none yet."""
    taken = [step for step in steps if step.log_index < at]
    return Found(row, taken[0].log_index, taken[-1]) if taken else None


def fits(entry: Found, statuses: frozenset[int], methodology_id: str) -> bool:
    """Whether a claim had one of the statuses, and is under the methodology; empty ones fit any."""
    if statuses and entry.step.status not in statuses:
        return False
    if not methodology_id:
        return True
    return claims_pb2.Claim.FromString(entry.row.content).methodology_id == methodology_id
