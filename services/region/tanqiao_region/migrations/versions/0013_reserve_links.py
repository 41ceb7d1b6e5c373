"""Links of reserve entries to applications elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0013"
down_revision = "0012"


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table == "resource_link"]


def upgrade() -> None:
    """Make the table and its guards."""
    op.create_table(
        "resource_link",
        sa.Column("entry_id", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["resource.entry_id"], name=op.f("fk_resource_link_entry_id_resource")
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_resource_link")),
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_table("resource_link")
