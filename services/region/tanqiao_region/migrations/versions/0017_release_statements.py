"""What both sides of a release have signed with the keys of their certificates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0017"
down_revision = "0016"


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table == "release_statement"]


def upgrade() -> None:
    """Make the table and its guard."""
    op.create_table(
        "release_statement",
        sa.Column("encumbrance_id", sa.LargeBinary(), nullable=False),
        sa.Column("release_digest", sa.LargeBinary(), nullable=False),
        sa.Column("side", sa.Integer(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("authority_certificate", sa.LargeBinary(), nullable=False),
        sa.Column("judged_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("side IN (1, 2)", name=op.f("ck_release_statement_side_known")),
        sa.ForeignKeyConstraint(
            ["encumbrance_id"],
            ["encumbrance.encumbrance_id"],
            name=op.f("fk_release_statement_encumbrance_id_encumbrance"),
        ),
        sa.PrimaryKeyConstraint(
            "encumbrance_id", "release_digest", "side", name=op.f("pk_release_statement")
        ),
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_table("release_statement")
