"""Tables of dossiers and of the expert pool; units as in `tanqiao_region.storage.tables`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Table

from tanqiao.db.guards import Guard, immutable, undeletable
from tanqiao_region.storage.tables import metadata

dossier = Table(
    "dossier",
    metadata,
    Column("kind", Integer, primary_key=True),
    Column("dossier_id", String(64), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("account_id", String(32), nullable=False),
    Column("submitted_by", String(96), nullable=False),
    Column("steps", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index(None, "kind", "state", "dossier_id"),
    Index(None, "account_id"),
)
"""Applications on their way and what became of them; `content` is the serialised Dossier."""

dossier_step = Table(
    "dossier_step",
    metadata,
    Column("kind", Integer, primary_key=True),
    Column("dossier_id", String(64), primary_key=True),
    Column("step_number", Integer, primary_key=True),
    Column("taken_by", String(96), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    ForeignKeyConstraint(("kind", "dossier_id"), ("dossier.kind", "dossier.dossier_id")),
)
"""Every step, dense from 1: the serialised DossierStep, and the StepEvidence it stood on."""

dossier_signature = Table(
    "dossier_signature",
    metadata,
    Column("decision_digest", LargeBinary, primary_key=True),
    Column("role", String(64), primary_key=True),
    Column("party", String(96), nullable=False),
    Column("signed_at", BigInteger, nullable=False),
)
"""What the node noted before bodies signed with keys of their own; kept, and written no more."""

expert = Table(
    "expert",
    metadata,
    Column("expert_id", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""The pool of experts: the serialised Expert as it stands; the journal has what stood before."""

GUARDS: Final[tuple[Guard, ...]] = (
    undeletable("dossier"),
    immutable("dossier", "kind", "dossier_id", "account_id", "submitted_by"),
    undeletable("expert"),
)
