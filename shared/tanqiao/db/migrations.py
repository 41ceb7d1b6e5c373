"""Migrations of a service's schema: one set for both databases, in one transaction, under one lock.

A service's package holds `versions/*.py`, Alembic revisions; the environment is the same for all services.
Two processes that start at once are fine: the second waits for the first and finds nothing to do. A migration
that would leave a guard missing or a foreign key broken, or that waits too long for a lock, is rolled back.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tanqiao.db.engine import Database, open_engine
from tanqiao.db.faults import setting_invalid
from tanqiao.db.guards import Guard, guard_object_names, require_guards
from tanqiao.db.postgres import session_setting
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

VERSION_TABLE: Final = "alembic_version"
LOCK_TIMEOUT_MS: Final = 4_000
STATEMENT_TIMEOUT_MS: Final = 600_000
OTHER_MIGRATION_TIMEOUT_MS: Final = 120_000
# A number that no other program on the same database takes: "tanqiao" in ASCII.
ADVISORY_LOCK_KEY: Final = 0x74616E7169616F
SCHEMAS_KEPT_MAX: Final = 16
EMPTY: Final = "none"
MIGRATION_PENDING: Final = "MIGRATION_PENDING"
HEAD: Final = "head"
ONE_STEP_DOWN: Final = "-1"

_ENVIRONMENT: Final = Path(__file__).with_name("alembic_environment")


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema that a service's program needs.

    Attributes:
        package: that holds `versions/`, for instance `tanqiao_region.migrations`.
        metadata: tables as the program uses them, compared with what the migrations make.
        guards: looked for by name after each migration and at each start.
    """

    package: str
    metadata: sa.MetaData
    guards: Sequence[Guard]


def migrate(database: Database, schema: Schema, target: str = HEAD) -> list[str]:
    """Bring the database up to a revision; the revisions applied, in order; none when it is there.

    Args:
        database: opened as a writer; on PostgreSQL by the role that owns the tables.
        schema: of the service.
        target: `head` or a later revision than the database's.

    Raises:
        DomainError: DATABASE_GUARD_MISSING, SETTING_INVALID (the database is of a newer program), BUSY (a
            lock was not given in time), or what the storage refuses; nothing is changed then.
    """
    config = _config(schema)
    with database.migrating() as connection:
        return _upgrade(connection, config, schema, target)


def step_down(database: Database, schema: Schema, target: str = ONE_STEP_DOWN) -> str | None:
    """Undo migrations, one by default; the revision then. Its guards are those of an older program."""
    config = _config(schema)
    with database.migrating() as connection:
        _wait_for_other_migrations(connection)
        config.attributes["connection"] = connection
        command.downgrade(config, target)
        revision = current_revision(connection)
        connection.commit()
    return revision


def current_revision(connection: sa.Connection) -> str | None:
    """Give the revision of the database; None for an empty one."""
    if connection.dialect.name == "sqlite":
        there = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{VERSION_TABLE}'"  # noqa: S608
    else:
        there = f"SELECT 1 WHERE to_regclass('{VERSION_TABLE}') IS NOT NULL"
    if connection.exec_driver_sql(there).first() is None:
        return None
    row = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").one_or_none()  # noqa: S608
    return None if row is None else str(row[0])


def head_revision(schema: Schema) -> str | None:
    """Give the revision that this program needs."""
    return _scripts(_config(schema)).get_current_head()


def check_current(database: Database, schema: Schema) -> None:
    """Refuse to start on a schema that this program does not know, that lost a guard, or as its owner.

    Raises:
        DomainError: MIGRATION_PENDING, DATABASE_GUARD_MISSING, SETTING_INVALID (on PostgreSQL the role owns
            the tables, so that it could switch a guard off).
    """
    needed = head_revision(schema)
    with database.reading() as connection:
        found = current_revision(connection)
        if found != needed:
            raise DomainError(MIGRATION_PENDING, current=found or EMPTY, needed=needed or EMPTY)
        require_guards(connection, schema.guards)
        if connection.dialect.name == "postgresql":
            _require_no_ownership(connection)


def open_migrated(url: str, owner_url: str, schema: Schema, *, migrating: bool = True) -> Database:
    """Open a node's database as its one writer, migrated first where its schema is not this program's.

    Args:
        url: of the node's own role.
        owner_url: of the role that owns the tables and migrates them; empty where that is the same.
        schema: of the service.
        migrating: whether to migrate, or to refuse what is not migrated.

    Raises:
        DomainError: WRITER_ALREADY_RUNNING, DIRECTORY_MISSING, MIGRATION_PENDING, DATABASE_GUARD_MISSING, …
    """
    database = open_engine(url, role="writer")
    try:
        try:
            check_current(database, schema)
        except DomainError as refusal:
            if not migrating or refusal.symbol != MIGRATION_PENDING:
                raise
            if owner_url:
                with open_engine(owner_url, role="writer") as owner:
                    migrate(owner, schema)
            else:
                migrate(database, schema)
            check_current(database, schema)
    except BaseException:
        database.close()
        raise
    return database


def drift(database: Database, schema: Schema) -> list[str]:
    """Describe each difference between the program's tables and those of the database; none is right."""
    of_guards = guard_object_names(schema.guards)

    def compared(_item: object, name: str | None, kind: str, _reflected: object, _other: object) -> bool:
        return not (kind in {"index", "unique_constraint"} and name in of_guards)

    options = {"include_object": compared, "version_table": VERSION_TABLE}
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts=options)
        found = [str(difference) for difference in compare_metadata(context, schema.metadata)]
        return found + _differences_unseen_by_alembic(connection, schema.metadata)


def _config(schema: Schema) -> Config:
    spec = importlib.util.find_spec(schema.package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    require(bool(places), f"the package {schema.package} of the migrations does not exist")
    config = Config()
    config.set_main_option("script_location", str(_ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(Path(places[0]) / "versions").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["metadata"] = schema.metadata
    config.attributes["version_table"] = VERSION_TABLE
    return config


def _scripts(config: Config) -> ScriptDirectory:
    """Give the migrations: read once, however often a program looks at them while their files stay."""
    folder = str(config.get_main_option("version_locations"))
    files = (entry for entry in os.scandir(folder) if entry.name.endswith(".py"))
    states = frozenset((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in files)
    return _read_scripts(folder, states)


@lru_cache(maxsize=SCHEMAS_KEPT_MAX)
def _read_scripts(folder: str, _states: frozenset[tuple[str, int, int]]) -> ScriptDirectory:
    """Read the migrations of a folder whose files are in these states."""
    return ScriptDirectory(str(_ENVIRONMENT), version_locations=[folder])


def _upgrade(connection: sa.Connection, config: Config, schema: Schema, target: str) -> list[str]:
    """Run the steps in the open transaction of the connection, prove the result, commit."""
    _wait_for_other_migrations(connection)
    script = _scripts(config)
    before = current_revision(connection)
    if before is not None and before not in {step.revision for step in script.walk_revisions()}:
        raise setting_invalid(f"the database is at revision {before}, which this program does not know")
    steps = [step.revision for step in script.iterate_revisions(target, before or "base")]
    if steps:
        config.attributes["connection"] = connection
        command.upgrade(config, target)
    if target == HEAD:
        require_guards(connection, schema.guards)
    if connection.dialect.name == "postgresql":
        _keep_others_from_the_version(connection)
    else:
        _require_foreign_keys_hold(connection)
    connection.commit()
    return steps[::-1]


def _wait_for_other_migrations(connection: sa.Connection) -> None:
    """Hold the migration lock to the end of the transaction; on SQLite BEGIN IMMEDIATE is that lock."""
    if connection.dialect.name != "postgresql":
        return
    session_setting(connection, "lock_timeout", str(OTHER_MIGRATION_TIMEOUT_MS))
    session_setting(connection, "statement_timeout", str(OTHER_MIGRATION_TIMEOUT_MS))
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK_KEY)))
    # A migration that waits for a table lock makes everybody behind it wait as well.
    session_setting(connection, "lock_timeout", str(LOCK_TIMEOUT_MS))
    session_setting(connection, "statement_timeout", str(STATEMENT_TIMEOUT_MS))


def _require_foreign_keys_hold(connection: sa.Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(1)
    require(not broken, f"the migration would break a foreign key: {broken}")


def _keep_others_from_the_version(connection: sa.Connection) -> None:
    """Let the service role read the revision and no more."""
    grantees = connection.execute(
        sa.text(
            "SELECT DISTINCT grantee FROM information_schema.role_table_grants "
            "WHERE table_name = :table AND table_schema = current_schema() AND grantee <> current_user"
        ),
        {"table": VERSION_TABLE},
    ).scalars()
    quote = connection.dialect.identifier_preparer.quote
    for grantee in grantees.all():
        role = "PUBLIC" if grantee == "PUBLIC" else quote(grantee)
        rights = "INSERT, UPDATE, DELETE, TRUNCATE"
        connection.exec_driver_sql(f"REVOKE {rights} ON {quote(VERSION_TABLE)} FROM {role}")


def _require_no_ownership(connection: sa.Connection) -> None:
    role, is_super, owned = connection.execute(
        sa.text(
            "SELECT current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), "
            "(SELECT count(*) FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace "
            "AND c.relkind IN ('r', 'p') AND pg_has_role(current_user, c.relowner, 'MEMBER'))"
        )
    ).one()
    if is_super or owned:
        raise setting_invalid(
            f"the role {role} could switch off the guards of its database; "
            "run the node as the service role, which owns no table"
        )


def _differences_unseen_by_alembic(connection: sa.Connection, metadata: sa.MetaData) -> list[str]:
    """Compare primary keys and the names of CHECK constraints, which autogenerate does not."""
    inspector = sa.inspect(connection)
    found: list[str] = []
    present = set(inspector.get_table_names())
    for table in metadata.tables.values():
        if table.name not in present:
            continue  # told by Alembic
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        if key != [column.name for column in table.primary_key.columns]:
            found.append(f"the primary key of {table.name} is {key}")
        wanted = {item.name for item in table.constraints if isinstance(item, sa.CheckConstraint)}
        checks = {item["name"] for item in inspector.get_check_constraints(table.name)}
        found += [f"{table.name} has an unknown CHECK {name}" for name in sorted(map(str, checks - wanted))]
        found += [f"{table.name} lacks the CHECK {name}" for name in sorted(map(str, wanted - checks))]
    return found
