"""Millions of claims into the bridge's own tables, past the bridge: by COPY, on SQLite by prepared rows.

Indexes and keys are dropped for the load and made again as they were, so that what is checked afterwards is
the schema that the bridge migrated, on more rows than could be declared in the time.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy.engine import make_url

from tanqiao.cli.local.members import BRIDGE_MEMBER
from tests.bench.many_claims import COLUMNS, Row, rows
from tests.bench.processes import Federation

CHUNK_ROWS: Final = 20_000
TABLES: Final = ("claim", "claim_key")
KEY_COLUMNS: Final = ("asset_key", "claim_id")
MEMORY: Final = "512MB"
"""For making an index."""


class Index(ABC):
    """The tables of the claim index of a bridge that does not run."""

    def __init__(self) -> None:
        self.claims = 0

    def fill(self, claims: int) -> None:
        """Load claims until there are so many."""
        if claims > self.claims:
            with self._without_indexes():
                self._load(rows(self.claims, claims))
            self.claims = claims

    @abstractmethod
    def bytes(self) -> int:
        """Give what the tables and their indexes take on the disk."""

    @abstractmethod
    def _load(self, claims: Iterator[tuple[Row, list[tuple[str, str]]]]) -> None:
        """Put rows into the tables."""

    @abstractmethod
    def _without_indexes(self) -> Any:
        """Drop what a load must keep up to date, and make it again afterwards."""


@contextmanager
def index_of(federation: Federation) -> Iterator[Index]:
    """Open the claim tables of the federation's bridge, which was migrated and does not run."""
    if federation.database == "postgres":
        kept = json.loads((federation.home.postgres / "databases.json").read_text(encoding="utf-8"))
        url = make_url(kept[BRIDGE_MEMBER.name][0]).set(
            drivername="postgresql", port=federation.postgres.port
        )
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            yield _Postgres(connection)
        return
    path = federation.home.node(BRIDGE_MEMBER) / "data" / f"{BRIDGE_MEMBER.name}.sqlite"
    file = sqlite3.connect(path, isolation_level=None)
    try:
        yield _Sqlite(file, path)
    finally:
        file.close()


class _Postgres(Index):
    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        super().__init__()
        self._connection = connection
        connection.execute(f"SET maintenance_work_mem = '{MEMORY}'")
        connection.execute("SET client_min_messages = error")

    def bytes(self) -> int:
        return sum(
            self._connection.execute("SELECT pg_total_relation_size(%s::regclass)", (table,)).fetchall()[0][0]
            for table in TABLES
        )

    def _load(self, claims: Iterator[tuple[Row, list[tuple[str, str]]]]) -> None:
        """Copy as text; every column is written as the server reads it."""
        while part := list(itertools.islice(claims, CHUNK_ROWS)):
            self._copy("claim", COLUMNS, (row for row, _ in part))
            self._copy("claim_key", KEY_COLUMNS, (key for _, keys in part for key in keys))

    def _copy(self, table: str, columns: Sequence[str], values: Iterator[Sequence[object]]) -> None:
        text = "".join("\t".join(map(_text, row)) + "\n" for row in values)
        names = ", ".join(f'"{name}"' for name in columns)
        with self._connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            copy.write(text)

    @contextmanager
    def _without_indexes(self) -> Iterator[None]:
        fetch = self._connection.execute
        constraints = fetch(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype FROM pg_constraint "
            "WHERE contype IN ('p', 'f') AND conrelid::regclass::text = ANY (%s) "
            "OR contype = 'f' AND confrelid::regclass::text = ANY (%s)",
            (list(TABLES), list(TABLES)),
        ).fetchall()
        indexes = fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY (%s) AND indexname NOT IN "
            "(SELECT conname FROM pg_constraint)",
            (list(TABLES),),
        ).fetchall()
        constraints.sort(key=lambda row: row[3] == "p")  # foreign keys go first and come last
        for table, name, _, _ in constraints:
            fetch(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        for name, _ in indexes:
            fetch(f'DROP INDEX "{name}"')
        try:
            yield
        finally:
            for table, name, definition, _ in reversed(constraints):
                fetch(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
            for _, definition in indexes:
                fetch(definition)
            for table in TABLES:
                fetch(f"VACUUM (FREEZE, ANALYZE) {table}")


def _text(value: object) -> str:
    """Write a value for COPY; none of the texts has a tab, a line end or a backslash."""
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)


class _Sqlite(Index):
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__()
        self._connection = connection
        self._path = path
        self._before: int | None = None
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")

    def bytes(self) -> int:
        """What the file has grown by; pages are not told apart by table."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return self._path.stat().st_size - (self._before or 0)

    def _load(self, claims: Iterator[tuple[Row, list[tuple[str, str]]]]) -> None:
        insert = f"INSERT INTO claim ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
        while part := list(itertools.islice(claims, CHUNK_ROWS)):
            self._connection.execute("BEGIN")
            self._connection.executemany(insert, (row for row, _ in part))
            keys = (key for _, keys in part for key in keys)
            self._connection.executemany("INSERT INTO claim_key (asset_key, claim_id) VALUES (?, ?)", keys)
            self._connection.execute("COMMIT")

    @contextmanager
    def _without_indexes(self) -> Iterator[None]:
        if self._before is None:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._before = self._path.stat().st_size
        indexes = self._connection.execute(
            "SELECT name, sql FROM sqlite_master "
            "WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN (?, ?)",
            TABLES,
        ).fetchall()
        for name, _ in indexes:
            self._connection.execute(f'DROP INDEX "{name}"')
        try:
            yield
        finally:
            for _, definition in indexes:
                self._connection.execute(definition)
            self._connection.execute("ANALYZE")
