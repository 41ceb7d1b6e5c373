"""Mandates to trade."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0010"
down_revision = "0009"


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table == "trading_mandate"]


def upgrade() -> None:
    """Make the table and its guards."""
    op.create_table(
        "trading_mandate",
        sa.Column("mandate_id", sa.String(length=32), nullable=False),
        sa.Column("principal_account_id", sa.String(length=32), nullable=False),
        sa.Column("agent_account_id", sa.String(length=32), nullable=False),
        sa.Column("start_date", sa.String(length=10), nullable=False),
        sa.Column("stop_date", sa.String(length=10), nullable=False),
        sa.Column("end_date", sa.String(length=10), nullable=False),
        sa.Column("given_by", sa.String(length=96), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("start_date < stop_date", name=op.f("ck_trading_mandate_period_ordered")),
        sa.ForeignKeyConstraint(
            ["agent_account_id"],
            ["account.account_id"],
            name=op.f("fk_trading_mandate_agent_account_id_account"),
        ),
        sa.ForeignKeyConstraint(
            ["principal_account_id"],
            ["account.account_id"],
            name=op.f("fk_trading_mandate_principal_account_id_account"),
        ),
        sa.PrimaryKeyConstraint("mandate_id", name=op.f("pk_trading_mandate")),
    )
    op.create_index(
        op.f("ix_trading_mandate_principal_account_id_agent_account_id_end_date"),
        "trading_mandate",
        ["principal_account_id", "agent_account_id", "end_date"],
        unique=False,
    )
    op.create_index(
        op.f("ix_trading_mandate_agent_account_id"), "trading_mandate", ["agent_account_id"], unique=False
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_table("trading_mandate")
