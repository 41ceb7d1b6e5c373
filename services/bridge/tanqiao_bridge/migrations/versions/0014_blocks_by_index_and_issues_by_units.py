"""The blocks of decisions are found by the index of the log, accepted Issues by the units that they made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the indexes."""
    op.create_index(op.f("ix_decision_block_log_index"), "decision_block", ["log_index"], unique=False)
    op.create_index(
        "ix_issue_units",
        "issue",
        ["series_id", "start_serial"],
        unique=False,
        sqlite_where=sa.text("accepted"),
        postgresql_where=sa.text("accepted"),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_index("ix_issue_units", table_name="issue")
    op.drop_index(op.f("ix_decision_block_log_index"), table_name="decision_block")
