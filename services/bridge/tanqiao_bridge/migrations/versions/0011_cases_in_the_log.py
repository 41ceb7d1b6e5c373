"""How many leaves there were when a case was opened: what conflicts stood at an earlier index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

# Of a case that is there already the moment is known to a second: leaves of that second count as before it.
_LEAVES_BEFORE = """
UPDATE conflict_case SET log_size = COALESCE((
    SELECT log_leaf.log_index + 1 FROM log_leaf WHERE log_leaf.recorded_at <= conflict_case.opened_at
    ORDER BY log_leaf.log_index DESC LIMIT 1
), 0)
"""


def upgrade() -> None:
    """Add the column and fill it."""
    op.add_column("conflict_case", sa.Column("log_size", sa.BigInteger(), server_default="0", nullable=False))
    op.execute(_LEAVES_BEFORE)


def downgrade() -> None:
    """Undo it."""
    op.drop_column("conflict_case", "log_size")
