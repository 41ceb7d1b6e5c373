"""Tables of reduction scenes and of experience values; units as in `tanqiao_region.storage.tables`."""

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
    String,
    Table,
)

from tanqiao.db.guards import Guard, append_only, immutable, undeletable
from tanqiao_region.storage.tables import metadata

trip = Table(
    "trip",
    metadata,
    Column("project_id", String(64), ForeignKey("project.project_id"), primary_key=True),
    Column("order_id", String(64), primary_key=True),
    Column("day", String(10), nullable=False),
    Column("user_token", String(64), nullable=False),
    Column("mode", String(32), nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),
    Column("distance_m", BigInteger, nullable=False),
    Column("person_count", Integer, nullable=False),
    Column("inside_region", Boolean, nullable=False),
    Column("issuance_id", String(32), nullable=False),
    Column("batch_id", BigInteger, ForeignKey("activity_batch.batch_id"), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    CheckConstraint("distance_m >= 0 AND person_count > 0 AND start_time < end_time", name="possible"),
    Index(None, "project_id", "day"),
)
"""Trips of travel scenes; `day` is the legal date of the start, `issuance_id` empty until one rests on it."""

experience = Table(
    "experience",
    metadata,
    Column("scene_id", String(64), primary_key=True),
    Column("record_id", String(64), primary_key=True),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("journal_index", BigInteger, nullable=False),
    CheckConstraint("value <> 0", name="value_not_zero"),
    Index(None, "account_id", "scene_id"),
)
"""Experience values, each record once: no table of units or points refers to them."""

GUARDS: Final[tuple[Guard, ...]] = (
    undeletable("trip"),
    immutable(
        "trip",
        "day",
        "user_token",
        "mode",
        "start_time",
        "end_time",
        "distance_m",
        "person_count",
        "inside_region",
        "batch_id",
    ),
    append_only("experience"),
)
