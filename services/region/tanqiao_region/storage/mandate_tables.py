"""Mandates to trade; units as in `tanqiao_region.storage.tables`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, String, Table

from tanqiao.db.guards import Guard, immutable, undeletable
from tanqiao_region.storage.tables import metadata

trading_mandate = Table(
    "trading_mandate",
    metadata,
    Column("mandate_id", String(32), primary_key=True),
    Column("principal_account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("agent_account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("start_date", String(10), nullable=False),
    Column("stop_date", String(10), nullable=False),
    Column("end_date", String(10), nullable=False),
    Column("given_by", String(96), nullable=False),
    Column("given_at", BigInteger, nullable=False),
    CheckConstraint("start_date < stop_date", name="period_ordered"),
    Index(None, "principal_account_id", "agent_account_id", "end_date"),
    Index(None, "agent_account_id"),
)
"""Who entrusted whom: a half-open period, and `end_date`, empty until one side ended it before."""

GUARDS: Final[tuple[Guard, ...]] = (
    undeletable("trading_mandate"),
    immutable(
        "trading_mandate", "principal_account_id", "agent_account_id", "start_date", "stop_date", "given_by"
    ),
)
