"""Values of parameters that the competent body has published."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0008"
down_revision = "0007"

TABLES = ("rule_parameter",)


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "rule_parameter",
        sa.Column("parameter_key", sa.String(length=128), nullable=False),
        sa.Column("start_date", sa.String(length=10), nullable=False),
        sa.Column("end_date", sa.String(length=10), nullable=False),
        sa.Column("value_json", sa.Text(), nullable=False),
        sa.Column("document_reference", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("second_approver", sa.String(length=128), nullable=False),
        sa.Column("journal_index", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("parameter_key", "start_date", name=op.f("pk_rule_parameter")),
    )
    op.create_index("uq_rule_parameter_journal_index", "rule_parameter", ["journal_index"], unique=True)
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index("uq_rule_parameter_journal_index", table_name="rule_parameter")
    op.drop_table("rule_parameter")
