"""First schema of a region node."""

from __future__ import annotations

from alembic import op

from tanqiao.db.guards import install
from tanqiao_region.storage.schema import GUARDS
from tanqiao_region.storage.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    install(connection, GUARDS)


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
