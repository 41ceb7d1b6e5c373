"""Changes of the group of witnesses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import append_only, install, remove

revision = "0012"
down_revision = "0011"

GUARDS = (append_only("witness_group_change"),)


def upgrade() -> None:
    """Make the table and its guard."""
    op.create_table(
        "witness_group_change",
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change_id", sa.LargeBinary(), nullable=False),
        sa.Column("witnesses", sa.Text(), nullable=False),
        sa.Column("quorum", sa.Integer(), nullable=False),
        sa.Column("by_roots", sa.Boolean(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("handover", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log_index", name=op.f("pk_witness_group_change")),
        sa.UniqueConstraint("change_id", name=op.f("uq_witness_group_change_change_id")),
    )
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS)
    op.drop_table("witness_group_change")
