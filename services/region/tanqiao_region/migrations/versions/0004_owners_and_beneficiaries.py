"""Whose an account is, and for whom a use is where that may be a person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Every account there is its owner's first; a suspense account has the owner of the closed one."""
    op.add_column("account", sa.Column("owner_id", sa.String(length=32), server_default="", nullable=False))
    account = sa.table(
        "account", sa.column("account_id"), sa.column("suspense_of"), sa.column("owner_id", sa.String)
    )
    op.execute(
        account.update().values(
            owner_id=sa.case(
                (account.c.suspense_of != sa.literal(""), account.c.suspense_of), else_=account.c.account_id
            )
        )
    )
    op.create_table(
        "beneficiary_data",
        sa.Column("transfer_id", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transfer_id"],
            ["outgoing_transfer.transfer_id"],
            name=op.f("fk_beneficiary_data_transfer_id_outgoing_transfer"),
        ),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_beneficiary_data")),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("beneficiary_data")
    op.drop_column("account", "owner_id")
