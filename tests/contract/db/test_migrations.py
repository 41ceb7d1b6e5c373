"""Migrations of an invented service with two revisions, on both databases."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tanqiao.db import guards, migrations
from tanqiao.db.engine import Database
from tanqiao.db.faults import violated_guard
from tanqiao.db.migrations import Schema, check_current, current_revision, drift, migrate, step_down
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import run

PACKAGE = "invented_service"
FIRST = """
    import sqlalchemy as sa
    from alembic import op
    from tanqiao.db.guards import append_only, install

    revision = "0001"
    down_revision = None

    def upgrade():
        op.create_table(
            "journal",
            sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("text", sa.Text, nullable=False),
            sa.CheckConstraint("number > 0", name="journal_number_is_positive"),
        )
        op.create_table(
            "entry",
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("number", sa.BigInteger, sa.ForeignKey("journal.number"), nullable=False),
        )
        install(op.get_bind(), [append_only("journal")])

    def downgrade():
        op.drop_table("entry")
        op.drop_table("journal")
"""
SECOND = """
    import sqlalchemy as sa
    from alembic import op
    from tanqiao.db.guards import append_only, install

    revision = "0002"
    down_revision = "0001"

    def upgrade():
        rebuild = "always" if op.get_bind().dialect.name == "sqlite" else "auto"
        with op.batch_alter_table("journal", recreate=rebuild) as batch:
            batch.add_column(sa.Column("origin", sa.Text))
        {reinstall}

    def downgrade():
        with op.batch_alter_table("journal") as batch:
            batch.drop_column("origin")
        install(op.get_bind(), [append_only("journal")])
"""
GUARDS = (guards.append_only("journal"),)


def metadata(*, origin: bool = True) -> sa.MetaData:
    tables = sa.MetaData()
    sa.Table(
        "journal",
        tables,
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        *([sa.Column("origin", sa.Text)] if origin else []),
        sa.CheckConstraint("number > 0", name="journal_number_is_positive"),
    )
    sa.Table(
        "entry",
        tables,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, sa.ForeignKey("journal.number"), nullable=False),
    )
    return tables


class Service:
    """A package with migrations, written for the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = folder / PACKAGE / "migrations" / "versions"
        self.versions.mkdir(parents=True)
        for package in (folder / PACKAGE, folder / PACKAGE / "migrations"):
            (package / "__init__.py").touch()
        self.schema = Schema(f"{PACKAGE}.migrations", metadata(), GUARDS)

    def write(self, revision: str, text: str) -> None:
        (self.versions / f"{revision}.py").write_text(textwrap.dedent(text), "utf-8")

    def write_both(self, *, reinstall: bool = True) -> None:
        self.write("0001", FIRST)
        kept = 'install(op.get_bind(), [append_only("journal")])' if reinstall else "pass"
        self.write("0002", SECOND.format(reinstall=kept))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Service(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def owner(database: DatabaseUnderTest) -> Database:
    return database.open(owner=True)


def revision_of(node: Database) -> str | None:
    with node.reading() as connection:
        return current_revision(connection)


def tables_of(node: Database) -> set[str]:
    with node.reading() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_an_empty_database_is_brought_to_the_head_and_again_without_effect(
    service: Service, owner: Database
) -> None:
    service.write_both()
    assert migrate(owner, service.schema) == ["0001", "0002"]
    assert migrate(owner, service.schema) == []
    assert revision_of(owner) == "0002"
    assert drift(owner, service.schema) == []


def test_a_node_starts_on_the_head_only(
    service: Service, owner: Database, database: DatabaseUnderTest
) -> None:
    service.write_both()
    migrate(owner, service.schema, "0001")
    reader = database.open("reader")
    with pytest.raises(DomainError) as refusal:
        check_current(reader, service.schema)
    assert refusal.value.symbol == "MIGRATION_PENDING"
    assert refusal.value.metadata == {"current": "0001", "needed": "0002"}
    migrate(owner, service.schema)
    check_current(reader, service.schema)


def test_an_empty_database_is_pending(service: Service, owner: Database) -> None:
    service.write_both()
    with pytest.raises(DomainError) as refusal:
        check_current(owner, service.schema)
    assert refusal.value.metadata == {"current": "none", "needed": "0002"}


def test_one_step_down_and_up_again_keeps_rows_and_guards(service: Service, owner: Database) -> None:
    service.write_both()
    migrate(owner, service.schema)
    run(owner, "INSERT INTO journal (number, text) VALUES (1, 'kept')", "INSERT INTO entry VALUES (1, 1)")
    assert step_down(owner, service.schema) == "0001"
    assert migrate(owner, service.schema) == ["0002"]
    with pytest.raises(sa.exc.IntegrityError) as refusal:
        run(owner, "DELETE FROM journal")
    assert violated_guard(refusal.value) == "journal_append_only"
    with owner.reading() as connection:
        assert connection.exec_driver_sql("SELECT text FROM journal").scalars().all() == ["kept"]
    assert step_down(owner, service.schema, "base") is None
    assert tables_of(owner) == {migrations.VERSION_TABLE}


def test_foreign_keys_are_enforced_again_after_a_migration(service: Service, owner: Database) -> None:
    service.write_both()
    migrate(owner, service.schema)
    with pytest.raises(sa.exc.IntegrityError):
        run(owner, "INSERT INTO entry VALUES (1, 77)")


def test_a_migration_that_loses_a_guard_is_rolled_back(
    service: Service, owner: Database, database_kind: str
) -> None:
    """Alembic's batch mode rebuilds a table on SQLite and forgets its triggers."""
    service.write_both(reinstall=False)
    if database_kind == "postgresql":
        service.write(
            "0002", SECOND.format(reinstall="op.execute('DROP FUNCTION journal_append_only CASCADE')")
        )
    migrate(owner, service.schema, "0001")
    with pytest.raises(DomainError) as refusal:
        migrate(owner, service.schema)
    assert refusal.value.symbol == "DATABASE_GUARD_MISSING"
    assert "journal_append_only" in refusal.value.sentence("zh")
    assert revision_of(owner) == "0001"
    with pytest.raises(sa.exc.IntegrityError):
        run(owner, "INSERT INTO journal VALUES (1, 'x')", "DELETE FROM journal")


def test_a_migration_that_fails_half_way_leaves_nothing(service: Service, owner: Database) -> None:
    service.write(
        "0001",
        FIRST.replace(
            "install(op.get_bind()", "op.execute('SELECT nonsense')\n        install(op.get_bind()"
        ),
    )
    with pytest.raises(sa.exc.DBAPIError):
        migrate(owner, service.schema)
    assert tables_of(owner) == set()


def test_a_database_of_a_newer_program_is_refused(service: Service, owner: Database) -> None:
    service.write_both()
    migrate(owner, service.schema)
    (service.versions / "0002.py").unlink()
    with pytest.raises(DomainError) as refusal:
        migrate(owner, service.schema)
    assert refusal.value.symbol == "SETTING_INVALID"
    assert "0002" in refusal.value.sentence("en")


def test_a_guard_removed_by_hand_stops_the_start(
    service: Service, owner: Database, database: DatabaseUnderTest, database_kind: str
) -> None:
    service.write_both()
    migrate(owner, service.schema)
    with UnitOfWork(owner) as unit:
        guards.remove(unit.connection, GUARDS)
        unit.commit()
    with pytest.raises(DomainError) as refusal:
        check_current(database.open("reader"), service.schema)
    assert refusal.value.symbol == "DATABASE_GUARD_MISSING"
    with pytest.raises(DomainError):
        migrate(owner, service.schema)


def test_drift_names_each_difference(service: Service, owner: Database) -> None:
    service.write_both()
    migrate(owner, service.schema)
    other = metadata(origin=False)
    sa.Table("unknown", other, sa.Column("id", sa.BigInteger, primary_key=True))
    other.tables["journal"].append_constraint(sa.CheckConstraint("number < 10", name="journal_is_short"))
    found = " | ".join(drift(owner, Schema(service.schema.package, other, GUARDS)))
    for part in ("unknown", "origin", "journal_is_short"):
        assert part in found


def test_two_processes_that_migrate_at_once_both_succeed(
    service: Service, database: DatabaseUnderTest, database_kind: str
) -> None:
    """On SQLite the second process is refused by the writer lock, or waits its turn by starting again."""
    service.write_both()
    program = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(service.folder)!r})
        import sqlalchemy as sa
        from tanqiao.db.engine import open_engine
        from tanqiao.db.guards import append_only
        from tanqiao.db.migrations import Schema, migrate
        from tanqiao.kernel.errors import DomainError
        for attempt in range(1000):
            try:
                node = open_engine({database.owner_url!r}, role="writer")
                break
            except DomainError as refusal:
                if refusal.symbol != "WRITER_ALREADY_RUNNING":
                    raise
                time.sleep(0.05)
        schema = Schema("{PACKAGE}.migrations", sa.MetaData(), (append_only("journal"),))
        print(len(migrate(node, schema)))
        node.close()
        """
    )
    command = [sys.executable, "-B", "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=100)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(outputs) == ["0", "0", "2"]
    assert revision_of(database.open(owner=True)) == "0002"


def test_the_service_role_owns_nothing_and_may_not_touch_the_schema(
    service: Service, owner: Database, database: DatabaseUnderTest, database_kind: str
) -> None:
    if database_kind == "sqlite":
        assert database.url == database.owner_url  # a file has no roles; its directory's mode protects it
        return
    service.write_both()
    migrate(owner, service.schema)
    with pytest.raises(DomainError) as refusal:
        check_current(owner, service.schema)
    assert refusal.value.symbol == "SETTING_INVALID"
    node = database.open()
    check_current(node, service.schema)
    run(node, "INSERT INTO journal (number, text) VALUES (1, 'x')")
    for statement in (
        "DROP TABLE entry",
        "TRUNCATE entry",
        "ALTER TABLE journal DISABLE TRIGGER ALL",
        "DROP TRIGGER journal_append_only_update ON journal",
        "CREATE OR REPLACE FUNCTION journal_append_only() RETURNS trigger AS 'BEGIN END' LANGUAGE plpgsql",
        "CREATE TABLE shadow (id int)",
        "CREATE TEMPORARY TABLE journal (number bigint)",
        "SET session_replication_role = replica",
        "SET ROLE tanqiao_admin",
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        with pytest.raises(sa.exc.ProgrammingError) as denied:
            run(node, statement)
        assert "denied" in str(denied.value) or "must be owner" in str(denied.value), statement
