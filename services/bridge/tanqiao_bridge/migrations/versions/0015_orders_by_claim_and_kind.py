"""The newest order of a kind for a claim is found by an index, however many orders the claim has."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the index that has the other one's column first."""
    op.create_index(
        op.f("ix_registry_order_claim_id_kind_log_index"),
        "registry_order",
        ["claim_id", "kind", "log_index"],
        unique=False,
    )
    op.drop_index(op.f("ix_registry_order_claim_id"), table_name="registry_order")


def downgrade() -> None:
    """Undo it."""
    op.create_index(op.f("ix_registry_order_claim_id"), "registry_order", ["claim_id"], unique=False)
    op.drop_index(op.f("ix_registry_order_claim_id_kind_log_index"), table_name="registry_order")
