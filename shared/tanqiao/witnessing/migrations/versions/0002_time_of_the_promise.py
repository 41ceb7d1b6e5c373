"""The latest time that a witness has stated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import install, never_decreases, remove

revision = "0002"
down_revision = "0001"

GUARDS = (never_decreases("witness_promise", "time_seconds"),)


def upgrade() -> None:
    """Add the column; of a promise from before the time is not known."""
    column = sa.Column("time_seconds", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("witness_promise", column)
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS)
    op.drop_column("witness_promise", "time_seconds")
