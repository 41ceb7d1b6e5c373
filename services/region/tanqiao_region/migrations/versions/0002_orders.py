"""Freezes and corrections that reach a region."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import append_only, install, remove

revision = "0002"
down_revision = "0001"

GUARDS = (append_only("freeze_order"), append_only("correction"))


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "freeze_order",
        sa.Column("order_id", sa.LargeBinary(), nullable=False),
        sa.Column("unfreeze", sa.Boolean(), nullable=False),
        sa.Column("ordered_by", sa.String(length=96), nullable=False),
        sa.Column("local", sa.Boolean(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("journal_index", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_freeze_order"),
    )
    op.create_index("uq_freeze_order_journal_index", "freeze_order", ["journal_index"], unique=True)
    op.create_table(
        "frozen",
        sa.Column(
            "frozen_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("order_id", sa.LargeBinary(), nullable=False),
        sa.Column("scope", sa.Integer(), nullable=False),
        sa.Column("series_id", sa.String(length=160), nullable=False),
        sa.Column("start_serial", sa.BigInteger(), nullable=False),
        sa.Column("end_serial", sa.BigInteger(), nullable=False),
        sa.Column("pseudonym", sa.LargeBinary(), nullable=False),
        sa.Column("region", sa.String(length=96), nullable=False),
        sa.Column("other_region", sa.String(length=96), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("ordered_by", sa.String(length=96), nullable=False),
        sa.Column("local", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("frozen_id", name="pk_frozen"),
    )
    op.create_index("ix_frozen_order_id", "frozen", ["order_id"], unique=False)
    op.create_table(
        "correction",
        sa.Column("correction_id", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("correction_id", name="pk_correction"),
    )
    op.create_table(
        "correction_wait",
        sa.Column("series_id", sa.String(length=160), nullable=False),
        sa.Column("start_serial", sa.BigInteger(), nullable=False),
        sa.Column("end_serial", sa.BigInteger(), nullable=False),
        sa.Column("correction_id", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["correction_id"],
            ["correction.correction_id"],
            name="fk_correction_wait_correction_id_correction",
        ),
        sa.PrimaryKeyConstraint("series_id", "start_serial", name="pk_correction_wait"),
    )
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it; orders are gone from the tables then, the journal keeps that they were given."""
    remove(op.get_bind(), GUARDS)
    op.drop_table("correction_wait")
    op.drop_table("correction")
    op.drop_index("ix_frozen_order_id", table_name="frozen")
    op.drop_table("frozen")
    op.drop_index("uq_freeze_order_journal_index", table_name="freeze_order")
    op.drop_table("freeze_order")
