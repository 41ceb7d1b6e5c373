"""Certificates of neutrality, and histories of registers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0011"
down_revision = "0010"


LIVE = "state IN ('REQUESTED', 'RECOGNISED', 'CERTIFIED')"
TABLES = ("certificate", "register_step")


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "register_step",
        sa.Column("register", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=64), nullable=False),
        sa.Column("step_number", sa.Integer(), nullable=False),
        sa.Column("taken_by", sa.String(length=128), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("register", "object_id", "step_number", name=op.f("pk_register_step")),
    )
    op.create_table(
        "certificate",
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("submitted_by", sa.String(length=128), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("journal_index", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.account_id"], name=op.f("fk_certificate_account_id_account")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_certificate")),
    )
    op.create_index(op.f("ix_certificate_state_number"), "certificate", ["state", "number"], unique=False)
    op.create_index(
        "uq_certificate_live_transfer_id",
        "certificate",
        ["transfer_id"],
        unique=True,
        sqlite_where=sa.text(LIVE),
        postgresql_where=sa.text(LIVE),
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index("uq_certificate_live_transfer_id", table_name="certificate")
    op.drop_index(op.f("ix_certificate_state_number"), table_name="certificate")
    op.drop_table("certificate")
    op.drop_table("register_step")
