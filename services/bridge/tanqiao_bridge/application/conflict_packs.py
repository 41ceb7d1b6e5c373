"""One conflict as a court gets it: case, claims, the leaves that prove them (CLAIMS section 7).

The bridge states what the log does not hold: the case, its history, the rows of outside lists. What the log
holds is named by its places; whoever makes the file fetches leaves, paths and messages from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.record import record
from tanqiao_bridge.application.claim_aliases import AliasBook
from tanqiao_bridge.application.claim_facts import ReadClaim
from tanqiao_bridge.application.judging import read_stored
from tanqiao_bridge.application.query_roles import Fact, Sight
from tanqiao_bridge.storage import cases, conflicts, log
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.cases import CaseRow, EventRow
from tanqiao_bridge.storage.claims import ClaimRow

LEAVES_PER_PACK_MAX: Final = 250
"""Leaves of one pack: each is three parts of a file that has at most 1,024."""


@record
class Pack:
    """What the tables hold of one conflict.

    Args:
        case: the case.
        events: its history.
        claims: those of the index that it names, the one that it is about first.
        reads: the same, as the registries are asked about them.
        log_indexes: leaves of receipts, alias decisions and the resolution, in order.
        log_size: index that it stands at.
    """

    case: CaseRow
    events: tuple[EventRow, ...]
    claims: tuple[ClaimRow, ...]
    reads: tuple[ReadClaim, ...]
    log_indexes: tuple[int, ...]
    log_size: int


class PackQueries:
    """Reads of one bridge's database, each in one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pack(self, case_id: int, sight: Sight) -> Pack:
        """Give one conflict.

        Raises:
            DomainError: CASE_UNKNOWN, also for one that does not concern the caller; BATCH_TOO_LARGE;
                NOT_FOUND where it names no claim of the index, so that no leaf is about it.
        """
        with self._database.reading() as connection:
            case = cases.load_case(connection, case_id)
            found = {} if case is None else claim_rows.load_claims(connection, case.claim_ids)
            regions = {row.region for row in found.values()}
            if case is None or not sight.sees_case(case.body, regions, Fact.PACK):
                raise DomainError("CASE_UNKNOWN", case_id=case_id)
            if not found:
                raise DomainError("NOT_FOUND", what="claim", id=f"case {case_id}")
            claims = tuple(found[claim_id] for claim_id in case.claim_ids if claim_id in found)
            reads = tuple(read_stored(row) for row in claims)
            events = cases.events_of(connection, case_id)
            indexes = _leaves_of(connection, claims, reads, events)
            if len(indexes) > LEAVES_PER_PACK_MAX:
                raise DomainError("BATCH_TOO_LARGE", limit=LEAVES_PER_PACK_MAX, count=len(indexes))
            return Pack(case, tuple(events), claims, reads, tuple(indexes), log.log_size(connection))


def _leaves_of(
    connection: sa.Connection,
    claims: Sequence[ClaimRow],
    reads: Sequence[ReadClaim],
    events: Sequence[EventRow],
) -> list[int]:
    receipts = conflicts.receipts_of_claims(connection, [row.claim_id for row in claims])
    keys = {key for read in reads for key in read.keys}
    book = AliasBook.load(connection, keys)
    concerned = set(book.expand(keys))
    found = {row.log_index for rows in receipts.values() for row in rows}
    found |= {event.log_index for event in events if event.log_index >= 0 and event.envelope}
    found |= {
        row.log_index for row in book.decisions if row.first_key in concerned or row.second_key in concerned
    }
    return sorted(found)
