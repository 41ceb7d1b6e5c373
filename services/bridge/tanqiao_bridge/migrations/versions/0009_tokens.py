"""Tokens of claims on persons and vehicles, and how many were made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "claim_token",
        sa.Column("claim_id", sa.String(length=96), nullable=False),
        sa.Column("key_epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.claim_id"], name=op.f("fk_claim_token_claim_id_claim")),
        sa.PrimaryKeyConstraint("claim_id", "key_epoch", name=op.f("pk_claim_token")),
    )
    op.create_index(op.f("ix_claim_token_key_epoch"), "claim_token", ["key_epoch"], unique=False)
    op.create_table(
        "token_use",
        sa.Column("region", sa.String(length=96), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("elements", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("region", "day", name=op.f("pk_token_use")),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("token_use")
    op.drop_table("claim_token")
