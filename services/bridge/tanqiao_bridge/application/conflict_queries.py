"""Conflicts: cases by what they name, and the feed of what becomes of cases and verdicts (CLAIMS section 7).

The feed has no table of its own. Case histories and the log are both in order; a place in the feed is a place
in each of them. Each change comes at least once; who resumes at a place misses nothing and may see a change
of one instant in another order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.record import record
from tanqiao_bridge.application.claim_aliases import AliasBook
from tanqiao_bridge.application.claim_search import as_of, fits
from tanqiao_bridge.application.query_roles import Sight
from tanqiao_bridge.storage import cases, conflicts, log
from tanqiao_bridge.storage.cases import CaseRow, EventRow
from tanqiao_bridge.storage.claim_search import Filter, steps_of
from tanqiao_bridge.storage.claims import ReceiptRow
from tanqiao_bridge.storage.conflicts import CaseFilter

__all__ = ["CaseChange", "CaseFilter", "ConflictQueries", "Part", "Place", "Standing", "VerdictChange"]

CASES_LOOKED_AT_MAX: Final = 5_000
"""Cases that one page looks at; where few of them fit, the page is short and its token goes on behind."""
EVENTS_PER_PART_MAX: Final = 200
LEAVES_PER_PART_MAX: Final = 500
ALLOW: Final = claims_pb2.VERDICT_KIND_ALLOW
_PLACE: Final = re.compile(r"(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})")


@record
class Place:
    """A place in the feed: the last event that was given, and the next leaf that is looked at."""

    event_id: int = 0
    log_index: int = 0

    @staticmethod
    def parse(text: str) -> Place:
        """Read a resume token; an empty one is the beginning.

        Raises:
            DomainError: PAGE_TOKEN_INVALID.
        """
        if not text:
            return Place()
        found = _PLACE.fullmatch(text) if text.isascii() else None
        if found is None:
            raise DomainError("PAGE_TOKEN_INVALID", field="resume_token")
        return Place(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.event_id}.{self.log_index}"


@record
class CaseChange:
    """A line of the history of a case, and the case as it stands now."""

    case: CaseRow
    event: EventRow

    @property
    def changed_at(self) -> int:
        """Epoch seconds."""
        return self.event.happened_at


@record
class VerdictChange:
    """A receipt that says something else than that all is as it was; `before` is 0 where nothing was said."""

    receipt: claims_pb2.ClaimReceipt
    region: str
    before: int

    @property
    def changed_at(self) -> int:
        """Epoch seconds."""
        return int(self.receipt.receipt_time.seconds)


@record
class Part:
    """A part of the feed, the place behind it, and whether the feed ends there for now."""

    changes: tuple[CaseChange | VerdictChange, ...]
    place: Place
    log_size: int
    complete: bool


@record
class Standing:
    """How a claim that a case names must stand, and when; empty fits any.

    Args:
        statuses: of the wire; one of them is the claim's at the index.
        methodology_id: of the claim.
        as_of_index: number of leaves that the answer may rest on; 0: all.
    """

    statuses: frozenset[int] = frozenset()
    methodology_id: str = ""
    as_of_index: int = 0


ANY_STANDING: Final = Standing()


@record
class CasePage:
    """Cases that fit, behind which number the next page begins (0: there is none), and the index."""

    rows: tuple[CaseRow, ...]
    next_after: int
    as_of_index: int


class ConflictQueries:
    """Reads of one bridge's database, each in one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cases(
        self, wanted: CaseFilter, standing: Standing = ANY_STANDING, *, after: int, limit: int
    ) -> CasePage:
        """Give a page of the cases that fit behind a number.

        Raises:
            DomainError: FIELD_INVALID for an index that the log has not come to.
        """
        with self._database.reading() as connection:
            size = log.log_size(connection)
            if standing.as_of_index > size:
                raise DomainError("FIELD_INVALID", field="as_of_index", detail=f"the log has {size} leaves")
            at = standing.as_of_index or size
            keys = AliasBook.load(connection, wanted.claims.keys).expand(wanted.claims.keys)
            with_classes = _with_keys(wanted, keys)
            found: list[CaseRow] = []
            looked_at = 0
            while True:
                rows = conflicts.find_cases(
                    connection, with_classes, as_of_index=standing.as_of_index, after=after, limit=limit + 1
                )
                fitting = _fitting(connection, rows, with_classes.claims, standing, at)
                for row in rows:
                    after = row.case_id
                    if row.case_id in fitting:
                        found.append(row)
                        if len(found) > limit:
                            return CasePage(tuple(found[:limit]), found[limit - 1].case_id, at)
                looked_at += len(rows)
                if len(rows) <= limit:
                    return CasePage(tuple(found), 0, at)
                if looked_at >= CASES_LOOKED_AT_MAX:
                    return CasePage(tuple(found), after, at)

    def require_reached(self, place: Place) -> None:
        """Refuse a place that the feed has not come to, as of another bridge or from before a restore.

        Raises:
            DomainError: PAGE_TOKEN_INVALID.
        """
        with self._database.reading() as connection:
            last, size = conflicts.last_event_id(connection), log.log_size(connection)
        if place.event_id > last or place.log_index > size:
            raise DomainError("PAGE_TOKEN_INVALID", field="resume_token")

    def part(self, place: Place, sight: Sight) -> Part:
        """Give what follows a place, as far as a caller sees it, in order of time."""
        with self._database.reading() as connection:
            events = conflicts.events_after(connection, place.event_id, EVENTS_PER_PART_MAX)
            receipts, leaves = conflicts.receipts_from(connection, place.log_index, LEAVES_PER_PART_MAX)
            changes: list[CaseChange | VerdictChange] = [
                *_case_changes(connection, events, sight),
                *_verdict_changes(connection, receipts, sight),
            ]
            size = log.log_size(connection)
        behind = Place(events[-1][0] if events else place.event_id, place.log_index + leaves)
        complete = len(events) < EVENTS_PER_PART_MAX and leaves < LEAVES_PER_PART_MAX
        return Part(tuple(sorted(changes, key=lambda one: one.changed_at)), behind, size, complete)


def _with_keys(wanted: CaseFilter, keys: Sequence[str]) -> CaseFilter:
    return replace(wanted, claims=replace(wanted.claims, keys=tuple(keys)))


def _fitting(
    connection: sa.Connection, rows: Sequence[CaseRow], wanted: Filter, standing: Standing, at: int
) -> set[int]:
    """Give the cases of these that name one claim which fits both the filter and how it must stand."""
    numbers = [row.case_id for row in rows]
    if not standing.statuses and not standing.methodology_id:
        return set(numbers)
    named = conflicts.fitting_claims(connection, numbers, wanted)
    steps = steps_of(connection, {row.claim_id for _, row in named})
    found = ((number, as_of(row, steps.get(row.claim_id, ()), at)) for number, row in named)
    return {
        number
        for number, entry in found
        if entry is not None and fits(entry, standing.statuses, standing.methodology_id)
    }


def _case_changes(
    connection: sa.Connection, events: Sequence[tuple[int, int, EventRow]], sight: Sight
) -> list[CaseChange]:
    rows = {row.case_id: row for row in cases.load_cases(connection, [case_id for _, case_id, _ in events])}
    regions = conflicts.regions_of_claims(connection, list(rows.values()))
    return [
        CaseChange(rows[case_id], event)
        for _, case_id, event in events
        if sight.sees_case(rows[case_id].body, [regions.get(one, "") for one in rows[case_id].claim_ids])
    ]


def _verdict_changes(
    connection: sa.Connection, rows: Sequence[ReceiptRow], sight: Sight
) -> list[VerdictChange]:
    """Give the receipts of these that carry news of a verdict.

    News is a verdict that is not ALLOW, one other than the claim's last, and whatever the bridge did alone.
    """
    read = [claims_pb2.ClaimReceipt.FromString(row.payload) for row in rows]
    told = [one for one in read if one.HasField("verdict") or one.bridge_reason]
    earlier = conflicts.receipts_of_claims(connection, [one.claim_id for one in told])
    found = []
    for receipt in told:
        before = _verdict_before(earlier[receipt.claim_id], receipt.log_index)
        after = receipt.verdict.verdict
        if after == ALLOW and before in (0, ALLOW) and not receipt.bridge_reason:
            continue
        region = receipt.header.audience[0] if receipt.header.audience else ""
        named = [one.region for one in receipt.verdict.colliding_claims]
        if sight.sees_case("", [region, *named]):
            found.append(VerdictChange(receipt, region, before))
    return found


def _verdict_before(rows: Sequence[ReceiptRow], log_index: int) -> int:
    for row in reversed(rows):
        if row.log_index < log_index:
            receipt = claims_pb2.ClaimReceipt.FromString(row.payload)
            if receipt.HasField("verdict"):
                return int(receipt.verdict.verdict)
    return 0
