"""Who ordered a freeze; corrections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import append_only, install, remove

revision = "0003"
down_revision = "0002"

ORDERED_BY = "bridge"
GUARDS = (append_only("correction"), append_only("correction_block"))


def upgrade() -> None:
    """Add the columns and tables; a freeze from before was the bridge's own."""
    for table in ("freeze_order", "frozen"):
        op.add_column(
            table,
            sa.Column("ordered_by", sa.String(length=96), nullable=False, server_default=ORDERED_BY),
        )
    op.create_index("uq_freeze_order_log_index", "freeze_order", ["log_index"], unique=True)
    op.create_index("ix_frozen_order_id", "frozen", ["order_id"], unique=False)
    op.create_table(
        "correction",
        sa.Column("correction_id", sa.LargeBinary(), nullable=False),
        sa.Column("from_region", sa.String(length=96), nullable=False),
        sa.Column("to_region", sa.String(length=96), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("legal_date", sa.String(length=10), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("correction_id", name="pk_correction"),
    )
    op.create_index("uq_correction_log_index", "correction", ["log_index"], unique=True)
    op.create_table(
        "correction_block",
        sa.Column("series_id", sa.String(length=160), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("start_serial", sa.BigInteger(), nullable=False),
        sa.Column("end_serial", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "log_index", "start_serial", name="pk_correction_block"),
    )
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it; orders of authorities are gone from the tables then, their leaves stay."""
    remove(op.get_bind(), GUARDS)
    op.drop_table("correction_block")
    op.drop_table("correction")
    op.drop_index("ix_frozen_order_id", table_name="frozen")
    op.drop_index("uq_freeze_order_log_index", table_name="freeze_order")
    for table in ("frozen", "freeze_order"):
        op.drop_column(table, "ordered_by")
