"""Tables of certificates, and histories of registers that are no dossiers; units as in `tables`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, text

from tanqiao.db.guards import Guard, append_only, immutable, undeletable
from tanqiao_region.storage.tables import metadata

LIVE: Final = "state IN ('REQUESTED', 'RECOGNISED', 'CERTIFIED')"

register_step = Table(
    "register_step",
    metadata,
    Column("register", String(32), primary_key=True),
    Column("object_id", String(64), primary_key=True),
    Column("step_number", Integer, primary_key=True),
    Column("taken_by", String(128), nullable=False),
    Column("content", LargeBinary, nullable=False),
)
"""Every step of an object of a register, dense from 1: the serialised DossierStep."""

certificate = Table(
    "certificate",
    metadata,
    Column("number", String(64), primary_key=True),
    Column("transfer_id", LargeBinary, nullable=False),
    Column("state", String(32), nullable=False),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("submitted_by", String(128), nullable=False),
    Column("steps", Integer, nullable=False),
    Column("journal_index", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index(None, "state", "number"),
    Index(
        "uq_certificate_live_transfer_id",
        "transfer_id",
        unique=True,
        sqlite_where=text(LIVE),
        postgresql_where=text(LIVE),
    ),
)
"""Certificates; `content` is the serialised Certificate. A retirement backs one that lives."""

GUARDS: Final[tuple[Guard, ...]] = (
    append_only("register_step"),
    undeletable("certificate"),
    immutable("certificate", "number", "transfer_id", "account_id", "submitted_by", "journal_index"),
)
