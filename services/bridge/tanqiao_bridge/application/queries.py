"""Reads for the public services, each in one snapshot; servicers translate what these give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, reconcile_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.db.streams import PendingMessage
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import TransferKey
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.application.claim_aliases import AliasBook, with_alias_references
from tanqiao_bridge.application.claim_facts import ReadClaim
from tanqiao_bridge.application.judging import Index, Judged, judge_claim, read_stored
from tanqiao_bridge.application.papers import papers_of
from tanqiao_bridge.application.reconciling import load_latest
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import log, policy, reads, recovery
from tanqiao_bridge.storage.beside import envelopes_beside
from tanqiao_bridge.storage.claims import ClaimRow, ReceiptRow
from tanqiao_bridge.storage.decisions import DESTINATION_SIDE, SOURCE_SIDE
from tanqiao_bridge.storage.locations import LocationRow
from tanqiao_bridge.storage.log import StoredLeaf
from tanqiao_bridge.storage.policy import SeriesRow, series_message
from tanqiao_bridge.storage.reads import TraceRow
from tanqiao_bridge.storage.tables import agreement, agreement_use, key_record, outbox, region

__all__ = [
    "ClaimRow",
    "LocationRow",
    "PendingMessage",
    "Queries",
    "ReceiptRow",
    "SeriesRow",
    "StoredLeaf",
    "TraceRow",
    "series_message",
]

ROWS_PER_ANSWER_MAX: Final = 5_000
FREE_ASKED_MAX: Final = 64
"""Most claims of which it is asked first whether they meet anything."""


@dataclass(frozen=True, slots=True)
class KnownOutcome:
    """A decision with which sides have sent their receipt."""

    decision: envelope_pb2.Envelope
    outcome: int
    log_index: int
    source_final: bool
    destination_final: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """A block's series, its history with every signed message, and where it is."""

    series: SeriesRow
    steps: tuple[tuple[TraceRow, tuple[envelope_pb2.Envelope, ...]], ...]
    locations: tuple[LocationRow, ...]
    log_size: int


class Queries:
    """Reads of one bridge's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- directory and policy ------------------------------------------------------------------------------

    def regions(self) -> Sequence[sa.Row[Any]]:
        """Give the regions, in order of name."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(region).order_by(region.c.region)).all()

    def keys(self, owner: str) -> Sequence[sa.Row[Any]]:
        """Give the keys of an owner, or all if it is empty, oldest epoch first."""
        statement = sa.select(key_record).order_by(key_record.c.owner, key_record.c.key_epoch)
        if owner:
            statement = statement.where(key_record.c.owner == owner)
        with self._database.reading() as connection:
            return connection.execute(statement.limit(ROWS_PER_ANSWER_MAX)).all()

    def key(self, public_key: bytes) -> sa.Row[Any] | None:
        """Give the key with these bytes."""
        with self._database.reading() as connection:
            return connection.execute(
                sa.select(key_record).where(key_record.c.public_key == public_key)
            ).first()

    def agreements(self, from_region: str, to_region: str) -> Sequence[Any]:
        """Give (envelope, log index, used kilograms) of agreements, oldest first; empty: any region."""
        statement = (
            sa.select(agreement.c.envelope, agreement.c.log_index, agreement_use.c.used_kg)
            .join(agreement_use, agreement_use.c.agreement_id == agreement.c.agreement_id)
            .order_by(agreement.c.log_index)
        )
        if from_region:
            statement = statement.where(agreement.c.from_region == from_region)
        if to_region:
            statement = statement.where(agreement.c.to_region == to_region)
        with self._database.reading() as connection:
            return connection.execute(statement.limit(ROWS_PER_ANSWER_MAX)).all()

    # -- decisions and the log -----------------------------------------------------------------------------

    def outcome(self, key: TransferKey) -> KnownOutcome | None:
        """Give the decision of a transfer, None if there is none."""
        with self._database.reading() as connection:
            found = reads.decision_envelope(connection, key)
            if found is None:
                return None
            finals = reads.finals_of(connection, key)
        return KnownOutcome(found[0], found[1], found[2], SOURCE_SIDE in finals, DESTINATION_SIDE in finals)

    def log_entries(
        self, from_index: int, limit: int, *, with_envelopes: bool
    ) -> tuple[list[tuple[StoredLeaf, list[envelope_pb2.Envelope]]], int]:
        """Give leaves from an index on with the envelopes beside them, and the size of the log."""
        with self._database.reading() as connection:
            size = log.log_size(connection)
            leaves = log.read_leaves(connection, from_index, limit)
            beside: list[list[envelope_pb2.Envelope]] = [[] for _ in leaves]
            if with_envelopes:
                beside = envelopes_beside(connection, [decode_leaf(leaf.leaf) for leaf in leaves])
        return list(zip(leaves, beside, strict=True)), size

    # -- locations -----------------------------------------------------------------------------------------

    def locations(
        self, *, series_id: str, region_party: str, begin: tuple[str, int], limit: int
    ) -> tuple[list[LocationRow], int]:
        """Give location rows that reach beyond a serial or follow it, and the size of the log then."""
        with self._database.reading() as connection:
            rows = reads.list_locations(
                connection, series_id=series_id, region=region_party, begin=begin, limit=limit
            )
            return rows, log.log_size(connection)

    def trace(self, block: UnitBlock) -> Trace:
        """Give a block's history; SERIES_UNKNOWN if nothing of its series was ever issued."""
        with self._database.reading() as connection:
            known = policy.load_series(connection, [block.series_id]).get(block.series_id)
            if known is None:
                raise DomainError("SERIES_UNKNOWN", series_id=block.series_id)
            steps = tuple(
                (
                    row,
                    (
                        (envelope_pb2.Envelope.FromString(row.envelope),)
                        if row.envelope
                        else tuple(
                            reads.envelopes_of_transfer(connection, TransferKey(row.source, row.transfer_id))
                        )
                    ),
                )
                for row in reads.trace(connection, block)
            )
            places = tuple(reads.locations_of(connection, block))
            return Trace(known, steps, places, log.log_size(connection))

    # -- claims --------------------------------------------------------------------------------------------

    def judge(
        self, claims: Sequence[ReadClaim], answers: Answers, decided_on: date
    ) -> tuple[list[Judged], int]:
        """Judge claims on one snapshot of the index; the verdicts and the size of the log."""
        index, size = self.index_of(claims)
        judged = [
            judge_claim(read, index, answers, position, decided_on=decided_on)
            for position, read in enumerate(claims)
        ]
        return judged, size

    def index_of(self, claims: Sequence[ReadClaim]) -> tuple[Index, int]:
        """Give what claims may meet, and the size of the log, in one snapshot.

        Of few claims, most of which meet nothing, that is asked first: it takes one trip to the server.
        """
        if len(claims) <= FREE_ASKED_MAX and self._database.dialect == "postgresql":
            keys, subjects = Index.looked_up(claims)
            with self._database.reading_once() as connection:
                free_at = claim_rows.size_if_free(connection, keys, subjects)
            if free_at is not None:
                return Index(), free_at
        with self._database.reading() as connection:
            return Index.load(connection, claims, stored=False), log.log_size(connection)

    def claim(self, claim_id: str) -> tuple[ClaimRow, list[ReceiptRow], int]:
        """Give a claim with its receipts, and the size of the log; CLAIM_UNKNOWN if there is none."""
        with self._database.reading() as connection:
            row = claim_rows.load_claims(connection, [claim_id]).get(claim_id)
            if row is None:
                raise DomainError("CLAIM_UNKNOWN", claim_id=claim_id)
            return row, claim_rows.receipts_of(connection, claim_id), log.log_size(connection)

    def stored_claim(self, claim_id: str) -> ReadClaim:
        """Give a claim of the index as it stands; CLAIM_UNKNOWN if there is none."""
        return read_stored(self.claim(claim_id)[0])

    def with_aliases(self, reads: Sequence[ReadClaim]) -> tuple[list[claims_pb2.Claim], frozenset[str]]:
        """Give claims as the registries are asked about them, with every reference that means their assets.

        Returns:
            The claims, and the keys that were added.
        """
        with self._database.reading() as connection:
            book = AliasBook.load(connection, {key for read in reads for key in read.keys})
        return with_alias_references(reads, book)

    def claims(
        self, *, region_party: str, programme: int, asset_key: str, after: str, limit: int
    ) -> tuple[list[ClaimRow], int]:
        """Give claims in order of id behind one, filtered, and the size of the log."""
        with self._database.reading() as connection:
            rows = claim_rows.list_claims(
                connection,
                region=region_party,
                programme=programme,
                asset_key=asset_key,
                after=after,
                limit=limit,
            )
            return rows, log.log_size(connection)

    # -- numbered traffic ----------------------------------------------------------------------------------

    def papers(self, party: str, rows: Sequence[PendingMessage]) -> list[bytes]:
        """Give what goes beside numbered messages to a region that recovers."""
        with self._database.reading() as connection:
            return papers_of(connection, party, rows)

    def reconciliations(self, region: str) -> list[reconcile_pb2.Reconciliation]:
        """Give the latest result of each region, or of one."""
        with self._database.reading() as connection:
            return load_latest(connection, region)

    def recovery_counts(self, epoch: int) -> tuple[int, int, int, int]:
        """Give the index that the epoch continues from, and how much was collected, is adopted, and waits."""
        with self._database.reading() as connection:
            return (
                recovery.continues_from(connection) or 0,
                *recovery.counts(connection, epoch),
            )

    def unsent(self, party: str, epoch: int, *, after: int, limit: int) -> list[PendingMessage]:
        """Give the next numbered messages to a region."""
        with self._database.reading_once() as connection:
            return outbox.pending(connection, party, epoch, after=after, limit=limit)
