"""Sealed logs: tiles, trees, checkpoints, cosignatures; leaves of the regions; who seals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_bridge.storage.schema import GUARDS

revision = "0004"
down_revision = "0003"

TABLES = (
    "known_leaf_kind",
    "lease",
    "tree_checkpoint",
    "tree_cosignature",
    "tree_cosigned",
    "tree_tile",
    "region_leaf",
    "sealed_tree",
)


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "known_leaf_kind",
        sa.Column("witness", sa.String(length=96), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("witness", "kind", name=op.f("pk_known_leaf_kind")),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_lease_lease_epoch_is_positive")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
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
    op.create_table(
        "region_leaf",
        sa.Column("log", sa.String(length=128), nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "log_index", name=op.f("pk_region_leaf")),
    )
    op.create_table(
        "sealed_tree",
        sa.Column("log", sa.String(length=128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", name=op.f("pk_sealed_tree")),
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    for table in reversed(TABLES):
        op.drop_table(table)
