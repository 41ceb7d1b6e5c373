"""The journal: appended to by the writer, read by index, filtered by account and kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.db.direct import Prepared
from tanqiao_region.storage.accounts import Viewer, seen_among
from tanqiao_region.storage.tables import journal, journal_account

FIRST_INDEX: Final = 1
ACCOUNTS_PER_FILTER_MAX: Final = 1000


class JournalRow(NamedTuple):
    """An entry as stored; `entry` is the serialised JournalEntry without its index."""

    journal_index: int
    kind: int
    recorded_at: int
    legal_date: str
    subject_id: str
    entry: bytes


_HEAD: Final = Prepared(
    sa.select(journal.c.journal_index, journal.c.recorded_at)
    .order_by(journal.c.journal_index.desc())
    .limit(1)
)


def journal_head(connection: sa.Connection) -> tuple[int, int]:
    """Give the last index and the time recorded with it; zeros for an empty journal."""
    rows = _HEAD.rows(connection)
    return (rows[0][0], rows[0][1]) if rows else (0, 0)


def last_entry_of_account(connection: sa.Connection, account_id: str) -> int:
    """Give when the last entry that touches an account was recorded, epoch seconds; 0 without any."""
    last = sa.select(sa.func.max(journal_account.c.journal_index)).where(
        journal_account.c.account_id == account_id
    )
    row = connection.execute(
        sa.select(journal.c.recorded_at).where(journal.c.journal_index == last.scalar_subquery())
    ).first()
    return 0 if row is None else int(row[0])


def insert_entries(
    connection: sa.Connection, rows: Sequence[JournalRow], accounts: Sequence[tuple[str, int]]
) -> None:
    """Append entries, and which accounts they touch."""
    insert_rows(connection, journal, rows)
    insert_rows(connection, journal_account, accounts)


def read_entries(
    connection: sa.Connection,
    *,
    from_index: int,
    limit: int,
    accounts: Sequence[str] = (),
    kinds: Sequence[int] = (),
    viewer: Viewer | None = None,
) -> list[JournalRow]:
    """Give up to `limit` entries from an index on, in order; filtered where accounts or kinds are named.

    With a viewer only those that touch an account which this one may see.
    """
    statement = (
        sa.select(journal)
        .where(journal.c.journal_index >= from_index)
        .order_by(journal.c.journal_index)
        .limit(limit)
    )
    if accounts:
        touched = (
            sa.select(journal_account.c.journal_index)
            .where(journal_account.c.account_id.in_(accounts), journal_account.c.journal_index >= from_index)
            .distinct()
        )
        if len(accounts) == 1:
            touched = touched.order_by(journal_account.c.journal_index)
            if not kinds:
                touched = touched.limit(limit)
        statement = statement.where(journal.c.journal_index.in_(touched))
    if kinds:
        statement = statement.where(journal.c.kind.in_(kinds))
    if viewer is not None:
        statement = statement.where(
            journal.c.journal_index.in_(
                sa.select(journal_account.c.journal_index).where(
                    journal_account.c.journal_index >= from_index,
                    seen_among(journal_account.c.account_id, viewer),
                )
            )
        )
    return [
        JournalRow(row[0], row[1], row[2], row[3], row[4], bytes(row[5]))
        for row in connection.execute(statement).all()  # fetched row by row, each costs more
    ]


def accounts_seen(connection: sa.Connection, indexes: Sequence[int], viewer: Viewer) -> frozenset[str]:
    """Give the accounts touched by some entries that the viewer may see."""
    statement = (
        sa.select(journal_account.c.account_id)
        .where(journal_account.c.journal_index.in_(indexes), seen_among(journal_account.c.account_id, viewer))
        .distinct()
    )
    return frozenset(connection.execute(statement).scalars()) if indexes else frozenset()
