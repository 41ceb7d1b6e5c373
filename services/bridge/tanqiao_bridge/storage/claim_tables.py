"""Tables of the claim index beside the claims: cases, aliases, the bridge's own time, noted queries."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from tanqiao_bridge.storage.tables import metadata

__all__ = [
    "alias_decision",
    "alias_root",
    "bridge_time",
    "case_claim",
    "case_event",
    "claim_query",
    "claim_token",
    "metadata",
    "token_use",
]

case_claim = Table(
    "case_claim",
    metadata,
    Column("case_id", BigInteger, ForeignKey("conflict_case.case_id"), primary_key=True, autoincrement=False),
    Column("claim_id", String(96), primary_key=True),
    Column("is_subject", Boolean, nullable=False),
    Index(None, "claim_id"),
)
"""Claims that a case names; `is_subject` for the one that it is about."""

case_event = Table(
    "case_event",
    metadata,
    Column("event_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("case_id", BigInteger, ForeignKey("conflict_case.case_id"), nullable=False),
    Column("what", String(32), nullable=False),
    Column("party", String(96), nullable=False),
    Column("document", Text, nullable=False),
    Column("happened_at", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Index(None, "case_id"),
)
"""History of a case; `log_index` is -1 for what is no leaf, `envelope` empty for what nobody signed."""

alias_root = Table(
    "alias_root",
    metadata,
    Column("asset_key", String(160), primary_key=True),
    Column("root_key", String(160), nullable=False),
    Index(None, "root_key"),
)
"""Root of the alias class of each key that a decision has named: its least member; derived from those."""

alias_decision = Table(
    "alias_decision",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("first_key", String(160), nullable=False),
    Column("second_key", String(160), nullable=False),
    Column("relation", Integer, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    CheckConstraint("first_key < second_key", name="pair_ordered"),
    Index(None, "first_key"),
    Index(None, "second_key"),
)
"""Reviewed pairs, 1 the same asset, 2 different ones; of one pair the latest counts."""

bridge_time = Table(
    "bridge_time",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""`alive_at`: when the bridge was last known to run; `down_seconds`: how long it was down, in all."""

claim_query = Table(
    "claim_query",
    metadata,
    Column("query_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("party", String(128), nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("method", String(64), nullable=False),
    Column("query", Text, nullable=False),
    Column("as_of_index", BigInteger, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Index(None, "party", "query_id"),
)
"""Queries of the national index: each office reads its own."""

claim_token = Table(
    "claim_token",
    metadata,
    Column("claim_id", String(96), ForeignKey("claim.claim_id"), primary_key=True),
    Column("key_epoch", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
    Index(None, "key_epoch"),
)
"""Tokens of a claim's identifiers under one key epoch: a serialised `RenewedTokens`."""

token_use = Table(
    "token_use",
    metadata,
    Column("region", String(96), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("elements", BigInteger, nullable=False),
)
"""How many elements a region had evaluated on a legal date; what they were is nowhere."""
