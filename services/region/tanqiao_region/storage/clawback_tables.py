"""Tables of clawbacks; units as in `tanqiao_region.storage.tables`."""

from __future__ import annotations

from typing import Final

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
)

from tanqiao.db.guards import Guard, append_only, immutable, undeletable
from tanqiao_region.storage.tables import metadata

clawback = Table(
    "clawback",
    metadata,
    Column("clawback_id", LargeBinary, primary_key=True),
    Column("issuance_id", String(32), ForeignKey("issuance.issuance_id"), nullable=False),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("blocks", LargeBinary, nullable=False),
    Column("state", String(32), nullable=False),
    Column("due_date", String(10), nullable=False),
    Column("calendar_version", String(64), nullable=False),
    Column("steps", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Index(None, "issuance_id"),
)
"""Clawbacks as two approvers have ordered them; the day and the calendar it was computed with are kept."""

clawback_use = Table(
    "clawback_use",
    metadata,
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("clawback_id", LargeBinary, ForeignKey("clawback.clawback_id"), nullable=False),
    Column("is_replacement", Boolean, nullable=False),
    Index(None, "clawback_id"),
)
"""Cancellations that belong to a clawback: of its own units, or of those that replace them."""

clawed_block = Table(
    "clawed_block",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("start_serial", BigInteger, primary_key=True),
    Column("end_serial", BigInteger, nullable=False),
    Column("clawback_id", LargeBinary, ForeignKey("clawback.clawback_id"), nullable=False),
    Column("document", String(1000), nullable=False),
    CheckConstraint("start_serial >= 0 AND start_serial < end_serial", name="range_ordered"),
    Index(None, "clawback_id"),
)
"""Units that move no more because they were wrongly issued, until they are cancelled or replaced."""

GUARDS: Final[tuple[Guard, ...]] = (
    undeletable("clawback"),
    immutable(
        "clawback",
        "issuance_id",
        "account_id",
        "blocks",
        "due_date",
        "calendar_version",
        "payload",
        "envelope",
    ),
    append_only("clawback_use"),
)
