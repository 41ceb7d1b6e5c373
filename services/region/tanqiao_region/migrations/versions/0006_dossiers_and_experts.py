"""Dossiers with their steps and signatures, the expert pool, and when a methodology ends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0006"
down_revision = "0005"

TABLES = ("dossier", "dossier_signature", "dossier_step", "expert")
ENDS = ("stop_date", "supersede_date")


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "dossier",
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("dossier_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("submitted_by", sa.String(length=96), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "dossier_id", name=op.f("pk_dossier")),
    )
    op.create_index(op.f("ix_dossier_account_id"), "dossier", ["account_id"], unique=False)
    op.create_index(
        op.f("ix_dossier_kind_state_dossier_id"), "dossier", ["kind", "state", "dossier_id"], unique=False
    )
    op.create_table(
        "dossier_signature",
        sa.Column("decision_digest", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("party", sa.String(length=96), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("decision_digest", "role", name=op.f("pk_dossier_signature")),
    )
    op.create_table(
        "expert",
        sa.Column("expert_id", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("expert_id", name=op.f("pk_expert")),
    )
    op.create_table(
        "dossier_step",
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("dossier_id", sa.String(length=64), nullable=False),
        sa.Column("step_number", sa.Integer(), nullable=False),
        sa.Column("taken_by", sa.String(length=96), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["kind", "dossier_id"],
            ["dossier.kind", "dossier.dossier_id"],
            name=op.f("fk_dossier_step_kind_dossier_id_dossier"),
        ),
        sa.PrimaryKeyConstraint("kind", "dossier_id", "step_number", name=op.f("pk_dossier_step")),
    )
    for name in ENDS:
        op.add_column("methodology", sa.Column(name, sa.String(length=10), server_default="", nullable=False))
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    for name in ENDS:
        op.drop_column("methodology", name)
    op.drop_table("dossier_step")
    op.drop_table("expert")
    op.drop_table("dossier_signature")
    op.drop_table("dossier")
