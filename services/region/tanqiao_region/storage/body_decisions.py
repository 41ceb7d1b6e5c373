"""What bodies have signed with keys of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao_region.storage.decision_tables import body_signature, body_statement


class StatementRow(NamedTuple):
    """The bytes that were signed, and when they were taken; `expires_at` 0: never."""

    message_hash: bytes
    kind: int
    object_id: str
    decision_digest: bytes
    payload: bytes
    expires_at: int
    log_index: int
    taken_at: int


class SignatureRow(NamedTuple):
    """A signature over a decision."""

    decision_digest: bytes
    key_id: bytes
    message_hash: bytes
    signature: bytes
    party: str
    holder: str


def insert_statement(
    connection: sa.Connection, row: StatementRow, signatures: Sequence[SignatureRow]
) -> None:
    """Keep a decision with its signatures; those that are kept already stay as they are."""
    columns = body_statement.c
    known = connection.execute(
        sa.select(columns.message_hash).where(columns.message_hash == row.message_hash)
    ).first()
    if known is None:
        insert_rows(connection, body_statement, [row])
    kept = body_signature.c
    keys = set(
        connection.execute(
            sa.select(kept.key_id).where(
                kept.decision_digest == row.decision_digest, kept.message_hash == row.message_hash
            )
        ).scalars()
    )
    fresh = [one for one in signatures if one.key_id not in keys]
    if fresh:
        insert_rows(connection, body_signature, fresh)


def is_known(connection: sa.Connection, message_hash: bytes) -> bool:
    """Whether a decision was taken before."""
    columns = body_statement.c
    found = connection.execute(
        sa.select(columns.message_hash).where(columns.message_hash == message_hash)
    ).first()
    return found is not None


def signatures_under(connection: sa.Connection, message_hash: bytes) -> list[SignatureRow]:
    """Give the signatures of one decision, as it was taken."""
    columns = body_signature.c
    rows = connection.execute(
        sa.select(body_signature).where(columns.message_hash == message_hash).order_by(columns.key_id)
    )
    return [_signature(row) for row in rows]


def signatures_over(connection: sa.Connection, decision_digest: bytes, *, at: int) -> list[SignatureRow]:
    """Give the signatures over a decision that have not expired, by party."""
    columns = body_signature.c
    rows = connection.execute(
        sa.select(body_signature)
        .join(body_statement, body_statement.c.message_hash == columns.message_hash)
        .where(
            columns.decision_digest == decision_digest,
            sa.or_(body_statement.c.expires_at == 0, body_statement.c.expires_at > at),
        )
        .order_by(columns.party, columns.key_id)
    )
    return [_signature(row) for row in rows]


def list_statements(
    connection: sa.Connection, object_id: str, kind: int, *, after: tuple[int, bytes], limit: int
) -> list[tuple[StatementRow, list[SignatureRow]]]:
    """Give a page of the decisions about an object in the order in which they were taken.

    Args:
        connection: an open connection.
        object_id: the object.
        kind: only of this kind; 0: of every kind.
        after: moment and hash of the last one of the page before.
        limit: most rows.
    """
    columns = body_statement.c
    beyond = sa.or_(
        columns.taken_at > after[0],
        sa.and_(columns.taken_at == after[0], columns.message_hash > after[1]),
    )
    asked = sa.select(body_statement).where(columns.object_id == object_id, beyond)
    if kind:
        asked = asked.where(columns.kind == kind)
    rows = connection.execute(asked.order_by(columns.taken_at, columns.message_hash).limit(limit))
    statements = [_statement(row) for row in rows]
    return [(one, signatures_under(connection, one.message_hash)) for one in statements]


def digests_signed(connection: sa.Connection) -> dict[bytes, set[str]]:
    """Give for each decision that was signed the parties whose signatures are kept: for fsck."""
    columns = body_signature.c
    found: dict[bytes, set[str]] = {}
    for row in connection.execute(sa.select(columns.decision_digest, columns.party).distinct()):
        found.setdefault(bytes(row.decision_digest), set()).add(row.party)
    return found


def all_statements(connection: sa.Connection) -> Iterator[tuple[StatementRow, list[SignatureRow]]]:
    """Give every decision with its signatures, by hash."""
    signed = connection.execute(sa.select(body_signature).order_by(body_signature.c.message_hash))
    by_hash = {
        key: [_signature(row) for row in rows]
        for key, rows in groupby(signed, key=lambda row: bytes(row.message_hash))
    }
    for row in connection.execute(sa.select(body_statement).order_by(body_statement.c.message_hash)):
        statement = _statement(row)
        yield statement, by_hash.get(statement.message_hash, [])


def _statement(row: sa.Row[Any]) -> StatementRow:
    return StatementRow(
        bytes(row.message_hash),
        row.kind,
        row.object_id,
        bytes(row.decision_digest),
        bytes(row.payload),
        row.expires_at,
        row.log_index,
        row.taken_at,
    )


def _signature(row: sa.Row[Any]) -> SignatureRow:
    return SignatureRow(
        bytes(row.decision_digest),
        bytes(row.key_id),
        bytes(row.message_hash),
        bytes(row.signature),
        row.party,
        row.holder,
    )
