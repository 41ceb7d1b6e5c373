"""Trips of reduction scenes, and experience values."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0009"
down_revision = "0008"

TABLES = ("experience", "trip")


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table in TABLES]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "experience",
        sa.Column("scene_id", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("journal_index", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("value <> 0", name=op.f("ck_experience_value_not_zero")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.account_id"], name=op.f("fk_experience_account_id_account")
        ),
        sa.PrimaryKeyConstraint("scene_id", "record_id", name=op.f("pk_experience")),
    )
    op.create_index(
        op.f("ix_experience_account_id_scene_id"), "experience", ["account_id", "scene_id"], unique=False
    )
    op.create_table(
        "trip",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("user_token", sa.String(length=64), nullable=False),
        sa.Column("mode", sa.String(length=32), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=False),
        sa.Column("distance_m", sa.BigInteger(), nullable=False),
        sa.Column("person_count", sa.Integer(), nullable=False),
        sa.Column("inside_region", sa.Boolean(), nullable=False),
        sa.Column("issuance_id", sa.String(length=32), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "distance_m >= 0 AND person_count > 0 AND start_time < end_time", name=op.f("ck_trip_possible")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["activity_batch.batch_id"], name=op.f("fk_trip_batch_id_activity_batch")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.project_id"], name=op.f("fk_trip_project_id_project")
        ),
        sa.PrimaryKeyConstraint("project_id", "order_id", name=op.f("pk_trip")),
    )
    op.create_index(op.f("ix_trip_project_id_day"), "trip", ["project_id", "day"], unique=False)
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_table("trip")
    op.drop_table("experience")
