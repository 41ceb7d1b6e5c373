"""Undecided promises that regions report to a bridge that was restored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "recovery_paper",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(length=96), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("message_hash", sa.LargeBinary(), nullable=False),
        sa.Column("region", sa.String(length=96), nullable=False),
        sa.Column("paper", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "epoch", "source", "transfer_id", "message_hash", name=op.f("pk_recovery_paper")
        ),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("recovery_paper")
