"""What awaits the quorum of witnesses, and the node's own sealed log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0005"
down_revision = "0004"

TABLES = (
    "sealed_tree",
    "transfer_finality",
    "tree_checkpoint",
    "tree_cosignature",
    "tree_cosigned",
    "tree_tile",
)


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "sealed_tree",
        sa.Column("log", sa.String(length=128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", name=op.f("pk_sealed_tree")),
    )
    op.create_table(
        "transfer_finality",
        sa.Column("source", sa.String(length=96), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("decision_hash", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("blocks", sa.LargeBinary(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("final_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("bundle", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "transfer_id", name=op.f("pk_transfer_finality")),
    )
    op.create_index(
        "ix_transfer_finality_pending",
        "transfer_finality",
        ["log_index"],
        unique=False,
        sqlite_where=sa.text("final_at_ms IS NULL"),
        postgresql_where=sa.text("final_at_ms IS NULL"),
    )
    op.create_table(
        "tree_checkpoint",
        sa.Column("log", sa.String(length=128), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("log", "size", name=op.f("pk_tree_checkpoint")),
    )
    op.create_table(
        "tree_cosignature",
        sa.Column("log", sa.String(length=128), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("witness", sa.String(length=128), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("log", "size", "witness", name=op.f("pk_tree_cosignature")),
    )
    op.create_table(
        "tree_cosigned",
        sa.Column("log", sa.String(length=128), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("cosigned_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("log", "size", name=op.f("pk_tree_cosigned")),
    )
    op.create_table(
        "tree_tile",
        sa.Column("log", sa.String(length=128), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("width BETWEEN 1 AND 256", name=op.f("ck_tree_tile_width_of_a_tile")),
        sa.PrimaryKeyConstraint("log", "level", "number", name=op.f("pk_tree_tile")),
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    for table in reversed(TABLES):
        op.drop_table(table)
