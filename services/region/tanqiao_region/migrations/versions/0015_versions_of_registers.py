"""What registers held before, for lists as of an earlier index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.db.guards import Guard, install, remove
from tanqiao_region.storage.schema import GUARDS

revision = "0015"
down_revision = "0014"

TABLE = "register_version"
KEPT_FROM = "kept-from"


def _own_guards() -> list[Guard]:
    return [guard for guard in GUARDS if guard.table == TABLE]


def upgrade() -> None:
    """Make the table; what stands is its first version, and lists before it cannot be given."""
    op.create_table(
        TABLE,
        sa.Column(
            "version_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("register", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=96), nullable=False),
        sa.Column("first_index", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_register_version")),
    )
    op.create_index(
        op.f("ix_register_version_register_object_id_version_id"),
        TABLE,
        ["register", "object_id", "version_id"],
        unique=False,
    )
    connection = op.get_bind()
    for register, query in (
        ("'project'", "SELECT project_id, content FROM project"),
        ("'expert'", "SELECT expert_id, content FROM expert"),
        ("'recognition'", "SELECT agreement_id, payload FROM recognition"),
        ("'dossier-' || kind", "SELECT dossier_id, content FROM dossier"),
    ):
        columns = query.removeprefix("SELECT ")
        connection.exec_driver_sql(
            f"INSERT INTO {TABLE} (first_index, register, object_id, content) SELECT 0, {register}, {columns}"
        )
    _take_methodologies(connection)
    head = connection.exec_driver_sql("SELECT MAX(journal_index) FROM journal").scalar()
    if head:
        connection.execute(
            sa.text(
                f"INSERT INTO {TABLE} (first_index, register, object_id, content) "  # noqa: S608 - our own words
                "VALUES (:head, :register, '', :content)"
            ),
            {"head": head, "register": KEPT_FROM, "content": b""},
        )
    install(connection, _own_guards())


def _take_methodologies(connection: sa.Connection) -> None:
    """Methodologies stand in columns: each is written as the message that lists show."""
    found = connection.exec_driver_sql(
        "SELECT methodology_id, kind, unit_class, title, quantification, document, invented, "
        "publish_date, stop_date, supersede_date FROM methodology"
    ).all()
    for row in found:
        message = registers_pb2.Methodology(
            methodology_id=row.methodology_id,
            kind=row.kind,
            unit_class=row.unit_class,
            title=row.title,
            quantification=row.quantification,
            document=row.document,
            invented=bool(row.invented),
        )
        for name in ("publish_date", "stop_date", "supersede_date"):
            day = getattr(row, name)
            if day:
                target = getattr(message, name)
                target.year, target.month, target.day = (int(part) for part in day.split("-"))
        connection.execute(
            sa.text(
                f"INSERT INTO {TABLE} (first_index, register, object_id, content) "  # noqa: S608 - our own words
                "VALUES (0, 'methodology', :object_id, :content)"
            ),
            {
                "object_id": row.methodology_id,
                "content": message.SerializeToString(deterministic=True),
            },
        )


def downgrade() -> None:
    """Undo it."""
    remove(op.get_bind(), _own_guards())
    op.drop_index(op.f("ix_register_version_register_object_id_version_id"), table_name=TABLE)
    op.drop_table(TABLE)
