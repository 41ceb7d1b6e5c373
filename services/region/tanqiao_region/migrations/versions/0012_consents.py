"""Mandates and consents of users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0012"
down_revision = "0011"


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table == "consent"]


def upgrade() -> None:
    """Make the tables and their guards."""
    op.create_table(
        "consent",
        sa.Column("consent_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("recipient_account_id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_token", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("text_version", sa.String(length=64), nullable=False),
        sa.Column("text_digest", sa.LargeBinary(), nullable=False),
        sa.Column("start_date", sa.String(length=10), nullable=False),
        sa.Column("end_date", sa.String(length=10), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.Column("withdraw_date", sa.String(length=10), nullable=False),
        sa.Column("journal_index", sa.BigInteger(), nullable=False),
        sa.Column("withdraw_journal_index", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN (1, 2) AND state IN (1, 2, 3)", name=op.f("ck_consent_known")),
        sa.ForeignKeyConstraint(
            ["recipient_account_id"],
            ["account.account_id"],
            name=op.f("fk_consent_recipient_account_id_account"),
        ),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_consent")),
    )
    op.create_index(op.f("ix_consent_account_id"), "consent", ["account_id"], unique=False)
    op.create_index(
        op.f("ix_consent_recipient_account_id_user_token"),
        "consent",
        ["recipient_account_id", "user_token"],
        unique=False,
    )
    op.create_index(
        "uq_consent_in_force",
        "consent",
        ["recipient_account_id", "project_id", "kind", "user_token"],
        unique=True,
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    install(op.get_bind(), _own_guards())


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index("uq_consent_in_force", table_name="consent")
    op.drop_index(op.f("ix_consent_recipient_account_id_user_token"), table_name="consent")
    op.drop_index(op.f("ix_consent_account_id"), table_name="consent")
    op.drop_table("consent")
