"""Tables of what bodies have signed with keys of their own; append-only."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from tanqiao.db.guards import Guard, append_only
from tanqiao_region.storage.tables import metadata

body_statement = Table(
    "body_statement",
    metadata,
    Column("message_hash", LargeBinary, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("object_id", String(128), nullable=False),
    Column("decision_digest", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("taken_at", BigInteger, nullable=False),
)
"""The bytes that were signed, and the log index at which the keys were judged; `expires_at` 0: never."""

body_signature = Table(
    "body_signature",
    metadata,
    Column("decision_digest", LargeBinary, primary_key=True),
    Column("key_id", LargeBinary, primary_key=True),
    Column("message_hash", LargeBinary, ForeignKey("body_statement.message_hash"), primary_key=True),
    Column("signature", LargeBinary, nullable=False),
    Column("party", String(128), nullable=False),
    Column("holder", String(96), nullable=False),
    Index(None, "message_hash"),
)
"""Whose signature stands over which decision; the digest covers the file's version (RULES section 7.3)."""

GUARDS: Final[tuple[Guard, ...]] = (append_only("body_statement"),)
