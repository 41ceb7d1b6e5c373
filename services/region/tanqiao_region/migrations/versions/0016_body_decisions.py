"""Decisions that bodies have signed with keys of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0016"
down_revision = "0015"

TABLES = ("body_signature", "body_statement")


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "body_statement",
        sa.Column("message_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.String(length=128), nullable=False),
        sa.Column("decision_digest", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_hash", name=op.f("pk_body_statement")),
    )
    op.create_table(
        "body_signature",
        sa.Column("decision_digest", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("message_hash", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("party", sa.String(length=128), nullable=False),
        sa.Column("holder", sa.String(length=96), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_hash"],
            ["body_statement.message_hash"],
            name=op.f("fk_body_signature_message_hash_body_statement"),
        ),
        sa.PrimaryKeyConstraint("decision_digest", "key_id", "message_hash", name=op.f("pk_body_signature")),
    )
    op.create_index(op.f("ix_body_signature_message_hash"), "body_signature", ["message_hash"], unique=False)
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index(op.f("ix_body_signature_message_hash"), table_name="body_signature")
    op.drop_table("body_signature")
    op.drop_table("body_statement")
