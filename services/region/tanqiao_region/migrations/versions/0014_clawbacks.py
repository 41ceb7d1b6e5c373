"""Clawbacks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0014"
down_revision = "0013"


TABLES = ("clawback", "clawback_use", "clawed_block")


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "clawback",
        sa.Column("clawback_id", sa.LargeBinary(), nullable=False),
        sa.Column("issuance_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("blocks", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("due_date", sa.String(length=10), nullable=False),
        sa.Column("calendar_version", sa.String(length=64), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.account_id"], name=op.f("fk_clawback_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["issuance_id"], ["issuance.issuance_id"], name=op.f("fk_clawback_issuance_id_issuance")
        ),
        sa.PrimaryKeyConstraint("clawback_id", name=op.f("pk_clawback")),
    )
    op.create_index(op.f("ix_clawback_issuance_id"), "clawback", ["issuance_id"], unique=False)
    op.create_table(
        "clawback_use",
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("clawback_id", sa.LargeBinary(), nullable=False),
        sa.Column("is_replacement", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clawback_id"], ["clawback.clawback_id"], name=op.f("fk_clawback_use_clawback_id_clawback")
        ),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_clawback_use")),
    )
    op.create_index(op.f("ix_clawback_use_clawback_id"), "clawback_use", ["clawback_id"], unique=False)
    op.create_table(
        "clawed_block",
        sa.Column("series_id", sa.String(length=160), nullable=False),
        sa.Column("start_serial", sa.BigInteger(), nullable=False),
        sa.Column("end_serial", sa.BigInteger(), nullable=False),
        sa.Column("clawback_id", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.String(length=1000), nullable=False),
        sa.CheckConstraint(
            "start_serial >= 0 AND start_serial < end_serial", name=op.f("ck_clawed_block_range_ordered")
        ),
        sa.ForeignKeyConstraint(
            ["clawback_id"], ["clawback.clawback_id"], name=op.f("fk_clawed_block_clawback_id_clawback")
        ),
        sa.PrimaryKeyConstraint("series_id", "start_serial", name=op.f("pk_clawed_block")),
    )
    op.create_index(op.f("ix_clawed_block_clawback_id"), "clawed_block", ["clawback_id"], unique=False)
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index(op.f("ix_clawed_block_clawback_id"), table_name="clawed_block")
    op.drop_table("clawed_block")
    op.drop_index(op.f("ix_clawback_use_clawback_id"), table_name="clawback_use")
    op.drop_table("clawback_use")
    op.drop_index(op.f("ix_clawback_issuance_id"), table_name="clawback")
    op.drop_table("clawback")
