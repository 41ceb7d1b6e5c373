"""Table of users' mandates and consents; units as in `tanqiao_region.storage.tables`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    text,
)

from tanqiao.db.guards import Guard, immutable, undeletable, write_once
from tanqiao_region.storage.tables import metadata

IN_FORCE: Final = "state = 1"

consent = Table(
    "consent",
    metadata,
    Column("consent_id", LargeBinary, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("recipient_account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_token", String(64), nullable=False),
    Column("account_id", String(32), nullable=False),
    Column("text_version", String(64), nullable=False),
    Column("text_digest", LargeBinary, nullable=False),
    Column("start_date", String(10), nullable=False),
    Column("end_date", String(10), nullable=False),
    Column("state", Integer, nullable=False),
    Column("given_at", BigInteger, nullable=False),
    Column("withdraw_date", String(10), nullable=False),
    Column("journal_index", BigInteger, nullable=False),
    Column("withdraw_journal_index", BigInteger, nullable=True),
    CheckConstraint("kind IN (1, 2) AND state IN (1, 2, 3)", name="known"),
    Index(None, "recipient_account_id", "user_token"),
    Index(None, "account_id"),
    Index(
        "uq_consent_in_force",
        "recipient_account_id",
        "project_id",
        "kind",
        "user_token",
        unique=True,
        sqlite_where=text(IN_FORCE),
        postgresql_where=text(IN_FORCE),
    ),
)
"""Mandates and consents; `account_id` is emptied when the person behind it is forgotten.

The token stays: it is what the recipient calls its user, and what records that were taken hold anyway.
Without the account nothing here leads from it to a person, and what was withdrawn stays withdrawn.
"""

GUARDS: Final[tuple[Guard, ...]] = (
    undeletable("consent"),
    immutable(
        "consent",
        "kind",
        "recipient_account_id",
        "project_id",
        "user_token",
        "text_version",
        "text_digest",
        "start_date",
        "end_date",
        "given_at",
        "journal_index",
    ),
    write_once("consent", "withdraw_journal_index"),
)
