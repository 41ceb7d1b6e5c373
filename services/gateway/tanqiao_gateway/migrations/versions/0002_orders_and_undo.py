"""Orders of the coordination notice and what they did; imports that were undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import install, remove
from tanqiao_gateway.storage.tables import GUARDS_OF_ORDERS_AND_UNDO

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables and their guards."""
    op.drop_index("uq_list_import_digest", table_name="list_import")
    op.create_index("ix_list_import_digest", "list_import", ["digest", "as_of_date", "mapping"], unique=False)
    op.create_table(
        "list_undo",
        sa.Column("import_number", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=False),
        sa.Column("undone_by", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_number"],
            ["list_import.import_number"],
            name="fk_list_undo_import_number_list_import",
        ),
        sa.PrimaryKeyConstraint("import_number", name="pk_list_undo"),
    )
    op.create_table(
        "registry_order",
        sa.Column("order_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("claim_id", sa.String(length=96), nullable=False),
        sa.Column("order_hash", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("standing_until", sa.String(length=10), nullable=False),
        sa.Column("received_answer", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Integer(), nullable=True),
        sa.Column("decided_answer", sa.LargeBinary(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_registry_order")),
    )
    op.create_index(op.f("ix_registry_order_claim_id"), "registry_order", ["claim_id"], unique=False)
    op.create_index(op.f("ix_registry_order_received_at"), "registry_order", ["received_at"], unique=False)
    op.create_table(
        "certificate_effect",
        sa.Column("effect_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", sa.LargeBinary(), nullable=False),
        sa.Column("claim_id", sa.String(length=96), nullable=False),
        sa.Column("asset_key", sa.String(length=160), nullable=False),
        sa.Column("start_date", sa.String(length=10), nullable=False),
        sa.Column("end_date", sa.String(length=10), nullable=False),
        sa.Column("frozen_mwh", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_mwh", sa.BigInteger(), nullable=False),
        sa.Column("unfrozen_mwh", sa.BigInteger(), nullable=False),
        sa.Column("import_number", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["registry_order.order_id"],
            name=op.f("fk_certificate_effect_order_id_registry_order"),
        ),
        sa.PrimaryKeyConstraint("effect_number", name=op.f("pk_certificate_effect")),
    )
    op.create_index(
        op.f("ix_certificate_effect_asset_key"), "certificate_effect", ["asset_key"], unique=False
    )
    op.create_index(op.f("ix_certificate_effect_claim_id"), "certificate_effect", ["claim_id"], unique=False)
    install(op.get_bind(), GUARDS_OF_ORDERS_AND_UNDO)


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), GUARDS_OF_ORDERS_AND_UNDO)
    op.drop_index(op.f("ix_certificate_effect_claim_id"), table_name="certificate_effect")
    op.drop_index(op.f("ix_certificate_effect_asset_key"), table_name="certificate_effect")
    op.drop_table("certificate_effect")
    op.drop_index(op.f("ix_registry_order_received_at"), table_name="registry_order")
    op.drop_index(op.f("ix_registry_order_claim_id"), table_name="registry_order")
    op.drop_table("registry_order")
    op.drop_table("list_undo")
    op.drop_index("ix_list_import_digest", table_name="list_import")
    op.create_index("uq_list_import_digest", "list_import", ["digest", "as_of_date", "mapping"], unique=True)
