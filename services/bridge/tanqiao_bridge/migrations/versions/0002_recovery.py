"""Recovery of a bridge that was restored; results of reconciliations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import append_only, install, remove, undeletable

revision = "0002"
down_revision = "0001"

GUARDS = (undeletable("recovery_item"), append_only("recovery_report"), append_only("reconciliation"))


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "recovery_item",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_hash", sa.LargeBinary(), nullable=False),
        sa.Column("region", sa.String(length=96), nullable=False),
        sa.Column("kind", sa.String(length=96), nullable=False),
        sa.Column("old_index", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("epoch", "message_hash", "region", name="pk_recovery_item"),
    )
    op.create_table(
        "recovery_report",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("region", sa.String(length=96), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "region", name="pk_recovery_report"),
    )
    op.create_table(
        "reconciliation",
        sa.Column("run_id", sa.LargeBinary(), nullable=False),
        sa.Column("region", sa.String(length=96), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("applied_index", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("series_count", sa.BigInteger(), nullable=False),
        sa.Column("block_count", sa.BigInteger(), nullable=False),
        sa.Column("quantity_kg", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_reconciliation"),
    )
    op.create_index(
        "ix_reconciliation_region_log_index", "reconciliation", ["region", "log_index"], unique=False
    )
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it: what was collected and found is gone from the tables, its leaves stay."""
    remove(op.get_bind(), GUARDS)
    op.drop_index("ix_reconciliation_region_log_index", table_name="reconciliation")
    op.drop_table("reconciliation")
    op.drop_table("recovery_report")
    op.drop_table("recovery_item")
