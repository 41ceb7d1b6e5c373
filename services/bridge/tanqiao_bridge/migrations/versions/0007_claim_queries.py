"""Queries of the claim index are noted; claims are found by their project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_bridge.storage.schema import GUARDS

revision = "0007"
down_revision = "0006"


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table == "claim_query"]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "claim_query",
        sa.Column(
            "query_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("party", sa.String(length=128), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("as_of_index", sa.BigInteger(), nullable=False),
        sa.Column("entry_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("query_id", name=op.f("pk_claim_query")),
    )
    op.create_index(op.f("ix_claim_query_party_query_id"), "claim_query", ["party", "query_id"], unique=False)
    op.create_index(op.f("ix_claim_project_id"), "claim", ["project_id"], unique=False)
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index(op.f("ix_claim_project_id"), table_name="claim")
    op.drop_index(op.f("ix_claim_query_party_query_id"), table_name="claim_query")
    op.drop_table("claim_query")
