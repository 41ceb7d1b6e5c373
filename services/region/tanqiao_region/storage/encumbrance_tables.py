"""Tables of encumbrances; units as in `tanqiao_region.storage.tables`."""

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
    Text,
)

from tanqiao.db.guards import (
    BlockColumns,
    Guard,
    append_only,
    immutable,
    no_overlap,
    undeletable,
    write_once,
)
from tanqiao_region.storage.tables import metadata

encumbrance = Table(
    "encumbrance",
    metadata,
    Column("encumbrance_id", LargeBinary, primary_key=True),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("creditor_account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("state", Integer, nullable=False),
    Column("blocks", LargeBinary, nullable=False),
    Column("document_reference", Text, nullable=False),
    Column("document_digest", LargeBinary, nullable=False),
    Column("begin_date", String(10), nullable=False),
    Column("release_date", String(10), nullable=True),
    Column("journal_index", BigInteger, nullable=False),
    CheckConstraint("state IN (1, 2)", name="state_known"),
    Index("uq_encumbrance_journal_index", "journal_index", unique=True),
    Index(None, "account_id"),
    Index(None, "creditor_account_id"),
)
"""Encumbrances: 1 in force, 2 released. `blocks` are those that it began with."""

encumbered_block = Table(
    "encumbered_block",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("start_serial", BigInteger, primary_key=True),
    Column("end_serial", BigInteger, nullable=False),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column(
        "encumbrance_id", LargeBinary, ForeignKey("encumbrance.encumbrance_id"), nullable=False, index=True
    ),
    CheckConstraint("start_serial >= 0 AND start_serial < end_serial", name="range_ordered"),
    Index(None, "account_id"),
)
"""Units that are encumbered now, each at most once; made again from the journal by fsck."""

encumbrance_signature = Table(
    "encumbrance_signature",
    metadata,
    Column("encumbrance_id", LargeBinary, ForeignKey("encumbrance.encumbrance_id"), primary_key=True),
    Column("release_digest", LargeBinary, primary_key=True),
    Column("side", Integer, primary_key=True),
    Column("party", String(128), nullable=False),
    Column("document_reference", Text, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    CheckConstraint("side IN (1, 2)", name="side_known"),
)
"""Who signed a release: 1 the holder, 2 the creditor, over the digest of encumbrance and deed."""

release_statement = Table(
    "release_statement",
    metadata,
    Column("encumbrance_id", LargeBinary, ForeignKey("encumbrance.encumbrance_id"), primary_key=True),
    Column("release_digest", LargeBinary, primary_key=True),
    Column("side", Integer, primary_key=True),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("authority_certificate", LargeBinary, nullable=False),
    Column("judged_at", BigInteger, nullable=False),
    CheckConstraint("side IN (1, 2)", name="side_known"),
)
"""What each side of a release has signed, with the certificate of its key and that of the CA; append-only."""

GUARDS: Final[tuple[Guard, ...]] = (
    undeletable("encumbrance"),
    append_only("release_statement"),
    immutable(
        "encumbrance", "encumbrance_id", "account_id", "creditor_account_id", "blocks", "journal_index"
    ),
    write_once("encumbrance", "release_date"),
    no_overlap(
        "encumbered_block",
        BlockColumns(("series_id",), "start_serial", "end_serial"),
        series_table="series",
        series_key=("series_id",),
        start_is_key=True,
    ),
)
