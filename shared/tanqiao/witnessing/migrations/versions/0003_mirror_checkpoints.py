"""Checkpoints that show what a mirror is worth."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import install, never_decreases, remove, undeletable

revision = "0003"
down_revision = "0002"

GUARDS = (undeletable("mirror_checkpoint"), never_decreases("mirror_checkpoint", "size"))


def upgrade() -> None:
    """Make the table and its guards."""
    op.create_table(
        "mirror_checkpoint",
        sa.Column("log", sa.String(length=192), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "kind", name=op.f("pk_mirror_checkpoint")),
    )
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS)
    op.drop_table("mirror_checkpoint")
