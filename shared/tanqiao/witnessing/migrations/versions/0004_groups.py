"""Changes of the group of witnesses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import append_only, install, remove

revision = "0004"
down_revision = "0003"

GUARDS = (append_only("witness_group_change"), append_only("witness_handover"))


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "witness_group_change",
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("witnesses", sa.Text(), nullable=False),
        sa.Column("quorum", sa.Integer(), nullable=False),
        sa.Column("by_roots", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("log_index", name=op.f("pk_witness_group_change")),
    )
    op.create_table(
        "witness_handover",
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log_index", name=op.f("pk_witness_handover")),
    )
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS)
    op.drop_table("witness_handover")
    op.drop_table("witness_group_change")
