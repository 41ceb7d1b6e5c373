"""Who acts for an account: the party whose certificate its holder uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Accounts that are there are nobody's to act for until their office has named a party."""
    op.add_column(
        "account", sa.Column("holder_party", sa.String(length=128), server_default="", nullable=False)
    )
    op.create_index(op.f("ix_account_holder_party"), "account", ["holder_party"], unique=False)


def downgrade() -> None:
    """Undo it."""
    op.drop_index(op.f("ix_account_holder_party"), table_name="account")
    op.drop_column("account", "holder_party")
