"""Claims that a change of an outside list concerns are judged again (CLAIMS sections 3 and 4).

A list that is imported or undone says something new of the assets whose records appeared, vanished or
changed. Live claims on them are judged again on the index and on what the registries say now; one that would
not pass any more gets a case. A late fact never freezes by itself, and withdraws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.keys import Strength, asset_key, asset_ref, strength_of
from tanqiao.db.engine import Database
from tanqiao.db.node_state import get_state, set_state
from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.application.claim_aliases import AliasBook, with_alias_references
from tanqiao_bridge.application.claim_cases import open_about
from tanqiao_bridge.application.claim_tokens import with_renewed
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.engine import OtherHandler
from tanqiao_bridge.application.judging import Index, is_refused, judge_claim, read_stored
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.domain.claim_cases import CaseKind
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.tables import node_state

LIVE: Final = frozenset(
    {
        claims_pb2.CLAIM_STATUS_DECLARED,
        claims_pb2.CLAIM_STATUS_NOTICE,
        claims_pb2.CLAIM_STATUS_REGISTERED,
        claims_pb2.CLAIM_STATUS_ISSUED,
        claims_pb2.CLAIM_STATUS_RETIRED,
    }
)
CLAIMS_PER_REVIEW_MAX: Final = 100
"""Judged in one turn of the writer, for which decisions and declarations wait."""


@dataclass(frozen=True, slots=True)
class ReviewClaims:
    """Claims that a list's change concerns, with what the registries say of each now, in the same order."""

    claim_ids: tuple[str, ...]
    answers: Answers


@dataclass(frozen=True, slots=True)
class NoteList:
    """Everything that changed up to this import of a registry has been looked at."""

    registry: str
    import_id: str


def review_handlers() -> dict[type, OtherHandler]:
    """Give the handlers that the bridge's writer calls for the commands of this module."""
    return {ReviewClaims: review_claims, NoteList: note_list}


def review_claims(group: Group, command: object) -> int:
    """Judge claims again; the number of those that would not pass any more, each with its case.

    What a silent registry might say is no fact: a claim that only silence would hold is left alone.
    """
    if not isinstance(command, ReviewClaims):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="review")
    rows = claim_rows.load_claims(group.connection, command.claim_ids)
    places = {claim_id: place for place, claim_id in enumerate(command.claim_ids)}
    stored = [read_stored(row) for row in rows.values() if row.status in LIVE]
    reads = with_renewed(group.connection, stored)
    index = Index.load(group.connection, reads, resolved=True)
    decided_on = date.fromisoformat(group.legal_date)
    found = 0
    for read in reads:
        place = places[read.claim.claim_id]
        judged = judge_claim(read, index, command.answers, place, decided_on=decided_on)
        if is_refused(judged.verdict) and judged.verdict.colliding_claims:
            open_about(group, CaseKind.LATE_FACT, read, judged)
            found += 1
    return found


def note_list(group: Group, command: object) -> None:
    """Remember how far a registry's lists have been looked at."""
    if not isinstance(command, NoteList):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="list")
    set_state(group.connection, node_state, _name(command.registry), command.import_id)


def _name(registry: str) -> str:
    return f"list_seen/{registry}"


class ReviewQueries:
    """What the watch of lists reads at the bridge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, registry: str) -> str | None:
        """Give the import of a registry up to which changes were looked at; None: none yet."""
        with self._database.reading() as connection:
            return get_state(connection, node_state, _name(registry))

    def concerned(self, changes: Sequence[registry_pb2.RecordChange]) -> list[claims_pb2.Claim]:
        """Give the live claims on assets whose records changed, with every reference of those, by id."""
        keys = {key for change in changes for key in _keys_of(change)}
        if not keys:
            return []
        with self._database.reading() as connection:
            return _claims_on(connection, keys)

    def live_claims(self, after: str, limit: int) -> list[claims_pb2.Claim]:
        """Give the next live claims behind an id, with every reference of their assets, by id."""
        with self._database.reading() as connection:
            return _as_asked(connection, claim_rows.live_claims(connection, after=after, limit=limit))


def _keys_of(change: registry_pb2.RecordChange) -> set[str]:
    found = set()
    for record in (change.before, change.after):
        for reference in record.asset_references:
            try:
                if strength_of(reference.scheme) >= Strength.OTHER_REGISTRY:
                    found.add(asset_key(asset_ref(reference.scheme, reference.value)))
            except DomainError:  # what cannot be read is no key, of a claim neither
                continue
    return found


def _claims_on(connection: sa.Connection, keys: set[str]) -> list[claims_pb2.Claim]:
    expanded = AliasBook.load(connection, keys).expand(keys)
    ids = claim_rows.claims_by_key(connection, expanded)
    rows = claim_rows.load_claims(connection, {claim_id for one in ids.values() for claim_id in one})
    return _as_asked(connection, [rows[claim_id] for claim_id in sorted(rows)])


def _as_asked(connection: sa.Connection, rows: Sequence[claim_rows.ClaimRow]) -> list[claims_pb2.Claim]:
    reads = [read_stored(row) for row in rows if row.status in LIVE]
    book = AliasBook.load(connection, {key for read in reads for key in read.keys})
    return with_alias_references(reads, book)[0]
