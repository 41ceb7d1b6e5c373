"""Encumbrances, what they bind now, and who signed their release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0007"
down_revision = "0006"

TABLES = (
    "encumbrance",
    "encumbered_block",
    "encumbrance_signature",
)


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "encumbrance",
        sa.Column("encumbrance_id", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("creditor_account_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("blocks", sa.LargeBinary(), nullable=False),
        sa.Column("document_reference", sa.Text(), nullable=False),
        sa.Column("document_digest", sa.LargeBinary(), nullable=False),
        sa.Column("begin_date", sa.String(length=10), nullable=False),
        sa.Column("release_date", sa.String(length=10), nullable=True),
        sa.Column("journal_index", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN (1, 2)", name=op.f("ck_encumbrance_state_known")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.account_id"], name=op.f("fk_encumbrance_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["creditor_account_id"],
            ["account.account_id"],
            name=op.f("fk_encumbrance_creditor_account_id_account"),
        ),
        sa.PrimaryKeyConstraint("encumbrance_id", name=op.f("pk_encumbrance")),
    )
    op.create_index(op.f("ix_encumbrance_account_id"), "encumbrance", ["account_id"], unique=False)
    op.create_index(
        op.f("ix_encumbrance_creditor_account_id"), "encumbrance", ["creditor_account_id"], unique=False
    )
    op.create_index("uq_encumbrance_journal_index", "encumbrance", ["journal_index"], unique=True)
    op.create_table(
        "encumbered_block",
        sa.Column("series_id", sa.String(length=160), nullable=False),
        sa.Column("start_serial", sa.BigInteger(), nullable=False),
        sa.Column("end_serial", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("encumbrance_id", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "start_serial >= 0 AND start_serial < end_serial", name=op.f("ck_encumbered_block_range_ordered")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.account_id"], name=op.f("fk_encumbered_block_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["encumbrance_id"],
            ["encumbrance.encumbrance_id"],
            name=op.f("fk_encumbered_block_encumbrance_id_encumbrance"),
        ),
        sa.PrimaryKeyConstraint("series_id", "start_serial", name=op.f("pk_encumbered_block")),
    )
    op.create_index(op.f("ix_encumbered_block_account_id"), "encumbered_block", ["account_id"], unique=False)
    op.create_index(
        op.f("ix_encumbered_block_encumbrance_id"), "encumbered_block", ["encumbrance_id"], unique=False
    )
    op.create_table(
        "encumbrance_signature",
        sa.Column("encumbrance_id", sa.LargeBinary(), nullable=False),
        sa.Column("release_digest", sa.LargeBinary(), nullable=False),
        sa.Column("side", sa.Integer(), nullable=False),
        sa.Column("party", sa.String(length=128), nullable=False),
        sa.Column("document_reference", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("side IN (1, 2)", name=op.f("ck_encumbrance_signature_side_known")),
        sa.ForeignKeyConstraint(
            ["encumbrance_id"],
            ["encumbrance.encumbrance_id"],
            name=op.f("fk_encumbrance_signature_encumbrance_id_encumbrance"),
        ),
        sa.PrimaryKeyConstraint(
            "encumbrance_id", "release_digest", "side", name=op.f("pk_encumbrance_signature")
        ),
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_table("encumbrance_signature")
    op.drop_index(op.f("ix_encumbered_block_encumbrance_id"), table_name="encumbered_block")
    op.drop_index(op.f("ix_encumbered_block_account_id"), table_name="encumbered_block")
    op.drop_table("encumbered_block")
    op.drop_index("uq_encumbrance_journal_index", table_name="encumbrance")
    op.drop_index(op.f("ix_encumbrance_creditor_account_id"), table_name="encumbrance")
    op.drop_index(op.f("ix_encumbrance_account_id"), table_name="encumbrance")
    op.drop_table("encumbrance")
