"""Cases are found by what they are about: every decision of a transfer asks for those of its series."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        op.f("ix_conflict_case_subject_state"), "conflict_case", ["subject", "state"], unique=False
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_index(op.f("ix_conflict_case_subject_state"), table_name="conflict_case")
