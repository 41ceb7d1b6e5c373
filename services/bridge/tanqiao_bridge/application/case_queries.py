"""Reads of cases and aliases, each in one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.application.alias_decisions import CLAIMS_JUDGED_MAX
from tanqiao_bridge.application.claim_aliases import AliasBook
from tanqiao_bridge.application.claim_facts import ReadClaim
from tanqiao_bridge.application.judging import read_stored
from tanqiao_bridge.application.query_roles import Role, Sight
from tanqiao_bridge.storage import cases, conflicts, log
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.aliases import DecisionRow
from tanqiao_bridge.storage.cases import CaseRow, EventRow

__all__ = ["CaseQueries", "CaseRow", "DecisionRow", "EventRow"]

NATIONAL: Final = Sight(Role.NATIONAL)


def regions_of(connection: sa.Connection, row: CaseRow) -> set[str]:
    """Give the regions of the claims of the index that a case names."""
    return set(conflicts.regions_of_claims(connection, [row]).values())


class CaseQueries:
    """Reads of one bridge's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def case(self, case_id: int, sight: Sight = NATIONAL) -> tuple[CaseRow, list[EventRow], int]:
        """Give one case with its history and the size of the log.

        Raises:
            DomainError: CASE_UNKNOWN if there is none that the caller sees.
        """
        with self._database.reading() as connection:
            row = cases.load_case(connection, case_id)
            if row is None or not sight.sees_case(row.body, regions_of(connection, row)):
                raise DomainError("CASE_UNKNOWN", case_id=case_id)
            return row, cases.events_of(connection, case_id), log.log_size(connection)

    def subject_of(self, case_id: int) -> tuple[ReadClaim | None, AliasBook]:
        """Give the claim that a case is about, if it is one of the index, with the aliases of its keys."""
        row = self.case(case_id)[0]
        with self._database.reading() as connection:
            found = claim_rows.load_claims(connection, row.claim_ids[:1])
            reads = [read_stored(one) for one in found.values()]
            return (reads[0] if reads else None), AliasBook.load(
                connection, {key for read in reads for key in read.keys}
            )

    def live_on(self, keys: Sequence[str]) -> tuple[list[ReadClaim], AliasBook]:
        """Give the live claims on the classes of these keys, in order of id, and the aliases.

        Raises:
            DomainError: BATCH_TOO_LARGE, beyond `CLAIMS_JUDGED_MAX`.
        """
        with self._database.reading() as connection:
            book = AliasBook.load(connection, keys)
            found = claim_rows.claims_by_key(connection, book.expand(keys))
            ids = sorted({claim_id for named in found.values() for claim_id in named})
            if len(ids) > CLAIMS_JUDGED_MAX:
                raise DomainError("BATCH_TOO_LARGE", limit=CLAIMS_JUDGED_MAX, count=len(ids))
            rows = claim_rows.load_claims(connection, ids)
        reads = [read_stored(rows[claim_id]) for claim_id in ids]
        return [read for read in reads if read.claim.is_live], book

    def aliases(self, key: str) -> tuple[tuple[str, ...], Sequence[DecisionRow], int]:
        """Give the class of a key, the decisions that name a member, and the size of the log."""
        with self._database.reading() as connection:
            book = AliasBook.load(connection, [key])
            size = log.log_size(connection)
        return tuple(sorted(book.expand([key]))), book.decisions, size
