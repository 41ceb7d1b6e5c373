"""Pages of the location map, as each location root found them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import append_only, install, remove

revision = "0008"
down_revision = "0007"
GUARDS = (append_only("location_page"),)


def upgrade() -> None:
    """Make the table and its guard."""
    op.create_table(
        "location_page",
        sa.Column("series_id", sa.String(length=160), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("number >= 0 AND size >= 0", name=op.f("ck_location_page_page_counts")),
        sa.PrimaryKeyConstraint("series_id", "number", "log_index", name=op.f("pk_location_page")),
    )
    op.create_index(op.f("ix_location_page_log_index"), "location_page", ["log_index"], unique=False)
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS)
    op.drop_table("location_page")
