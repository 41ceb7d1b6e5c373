"""Orders to other registries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import append_only, install, remove

revision = "0006"
down_revision = "0005"

GUARDS = (append_only("registry_order"), append_only("registry_answer"))


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "registry_order",
        sa.Column("order_id", sa.LargeBinary(), nullable=False),
        sa.Column("registry", sa.String(length=32), nullable=False),
        sa.Column("claim_id", sa.String(length=96), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("statement_hash", sa.LargeBinary(), nullable=False),
        sa.Column("order_hash", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("ordered_at", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_registry_order")),
    )
    op.create_index(op.f("ix_registry_order_claim_id"), "registry_order", ["claim_id"], unique=False)
    op.create_index(op.f("ix_registry_order_log_index"), "registry_order", ["log_index"], unique=False)
    op.create_table(
        "registry_answer",
        sa.Column("order_id", sa.LargeBinary(), nullable=False),
        sa.Column("decided", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["registry_order.order_id"], name="fk_registry_answer_order_id_registry_order"
        ),
        sa.PrimaryKeyConstraint("order_id", "decided", name="pk_registry_answer"),
    )
    install(op.get_bind(), GUARDS)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS)
    op.drop_table("registry_answer")
    op.drop_index(op.f("ix_registry_order_log_index"), table_name="registry_order")
    op.drop_index(op.f("ix_registry_order_claim_id"), table_name="registry_order")
    op.drop_table("registry_order")
