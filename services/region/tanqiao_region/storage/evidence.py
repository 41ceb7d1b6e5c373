"""Messages that cannot be accepted, or that contradict one another: kept for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao_region.storage.tables import evidence


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One case: the envelopes as bytes, the second empty where there is one."""

    kind: str
    party: str
    first_envelope: bytes
    second_envelope: bytes
    recorded_at: int
    evidence_id: int = 0


def insert_evidence(connection: sa.Connection, rows: Sequence[EvidenceRow]) -> None:
    """Keep evidence."""
    insert_rows(
        connection,
        evidence,
        [(row.kind, row.party, row.first_envelope, row.second_envelope, row.recorded_at) for row in rows],
        ("kind", "party", "first_envelope", "second_envelope", "recorded_at"),
    )


def is_kept(connection: sa.Connection, kind: str, party: str, first: bytes, second: bytes) -> bool:
    """Whether these two envelopes are evidence already."""
    columns = evidence.c
    row = connection.execute(
        sa.select(columns.evidence_id).where(
            columns.kind == kind,
            columns.party == party,
            columns.first_envelope == first,
            columns.second_envelope == second,
        )
    ).first()
    return row is not None


def list_evidence(
    connection: sa.Connection, *, after: int = 0, limit: int | None = None
) -> list[EvidenceRow]:
    """Give evidence behind a row's number, oldest first."""
    rows = connection.execute(
        sa.select(evidence)
        .where(evidence.c.evidence_id > after)
        .order_by(evidence.c.evidence_id)
        .limit(limit)
    )
    return [EvidenceRow(row[1], row[2], bytes(row[3]), bytes(row[4]), row[5], row[0]) for row in rows]
