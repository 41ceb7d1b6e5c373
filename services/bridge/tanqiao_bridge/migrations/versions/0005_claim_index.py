"""Cases, aliases, leases and polygons of the claim index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_bridge.storage.schema import GUARDS

revision = "0005"
down_revision = "0004"

TABLES = ("conflict_case", "case_event", "alias_decision")


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "alias_decision",
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_key", sa.String(length=160), nullable=False),
        sa.Column("second_key", sa.String(length=160), nullable=False),
        sa.Column("relation", sa.Integer(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("first_key < second_key", name=op.f("ck_alias_decision_pair_ordered")),
        sa.PrimaryKeyConstraint("log_index", name=op.f("pk_alias_decision")),
    )
    op.create_index(op.f("ix_alias_decision_first_key"), "alias_decision", ["first_key"], unique=False)
    op.create_index(op.f("ix_alias_decision_second_key"), "alias_decision", ["second_key"], unique=False)
    op.create_table(
        "alias_root",
        sa.Column("asset_key", sa.String(length=160), nullable=False),
        sa.Column("root_key", sa.String(length=160), nullable=False),
        sa.PrimaryKeyConstraint("asset_key", name=op.f("pk_alias_root")),
    )
    op.create_index(op.f("ix_alias_root_root_key"), "alias_root", ["root_key"], unique=False)
    op.create_table(
        "bridge_time",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bridge_time")),
    )
    op.create_table(
        "case_claim",
        sa.Column("case_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("claim_id", sa.String(length=96), nullable=False),
        sa.Column("is_subject", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["conflict_case.case_id"], name=op.f("fk_case_claim_case_id_conflict_case")
        ),
        sa.PrimaryKeyConstraint("case_id", "claim_id", name=op.f("pk_case_claim")),
    )
    op.create_index(op.f("ix_case_claim_claim_id"), "case_claim", ["claim_id"], unique=False)
    op.create_table(
        "case_event",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("party", sa.String(length=96), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["conflict_case.case_id"], name=op.f("fk_case_event_case_id_conflict_case")
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_case_event")),
    )
    op.create_index(op.f("ix_case_event_case_id"), "case_event", ["case_id"], unique=False)
    op.add_column("claim", sa.Column("lapses_at", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(
        "ix_claim_lapsing",
        "claim",
        ["lapses_at"],
        unique=False,
        sqlite_where=sa.text("status = 2 AND lapses_at > 0"),
        postgresql_where=sa.text("status = 2 AND lapses_at > 0"),
    )
    op.add_column(
        "conflict_case",
        sa.Column("body", sa.String(length=96), server_default="authority/bridge", nullable=False),
    )
    op.add_column(
        "conflict_case", sa.Column("deadline_at", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "conflict_case", sa.Column("matrix_version", sa.String(length=64), server_default="", nullable=False)
    )
    op.add_column("conflict_case", sa.Column("article", sa.Text(), server_default="", nullable=False))
    op.create_index(op.f("ix_conflict_case_body_state"), "conflict_case", ["body", "state"], unique=False)
    op.create_index(op.f("ix_issue_claim_id"), "issue", ["claim_id"], unique=False)
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index(op.f("ix_issue_claim_id"), table_name="issue")
    op.drop_index(op.f("ix_conflict_case_body_state"), table_name="conflict_case")
    op.drop_column("conflict_case", "article")
    op.drop_column("conflict_case", "matrix_version")
    op.drop_column("conflict_case", "deadline_at")
    op.drop_column("conflict_case", "body")
    op.drop_index(
        "ix_claim_lapsing",
        table_name="claim",
        sqlite_where=sa.text("status = 2 AND lapses_at > 0"),
        postgresql_where=sa.text("status = 2 AND lapses_at > 0"),
    )
    op.drop_column("claim", "lapses_at")
    op.drop_index(op.f("ix_case_event_case_id"), table_name="case_event")
    op.drop_table("case_event")
    op.drop_index(op.f("ix_case_claim_claim_id"), table_name="case_claim")
    op.drop_table("case_claim")
    op.drop_table("bridge_time")
    op.drop_index(op.f("ix_alias_root_root_key"), table_name="alias_root")
    op.drop_table("alias_root")
    op.drop_index(op.f("ix_alias_decision_second_key"), table_name="alias_decision")
    op.drop_index(op.f("ix_alias_decision_first_key"), table_name="alias_decision")
    op.drop_table("alias_decision")
