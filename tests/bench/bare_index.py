"""The bare indexed read and write: a table with one index and nothing else, on the database of the nodes.

What a claim check or a declaration lacks to these is spent on parsing, rules, look-ups elsewhere, signatures,
the log and the language. Reads fetch rows by key in one statement for a batch; writes insert a batch of rows
of the size of a claim and commit them durably.
"""

from __future__ import annotations

import itertools
import secrets
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from tanqiao.db.provision import drop_postgres, provision_postgres
from tests.bench.processes import Federation

NAME: Final = "bench_bare_index"
ROW_BYTES: Final = 600
"""About what a claim with its keys takes."""
ROWS: Final = 20_000
KEY: Final = "asset:gec_filing_code:{:017d}"


class BareIndex(ABC):
    """The table; `first_free` keys are not taken yet."""

    def __init__(self) -> None:
        self._free = itertools.count(0)

    def fill(self, rows: int) -> None:
        """Put so many rows into it."""
        self.write(rows)
        self.size = rows

    def keys(self, count: int) -> list[str]:
        """Give keys of rows that are there, anywhere in the table."""
        return [KEY.format(secrets.randbelow(self.size)) for _ in range(count)]

    def fresh(self, count: int) -> list[tuple[str, bytes]]:
        """Give new rows."""
        content = secrets.token_bytes(ROW_BYTES)
        return [(KEY.format(next(self._free)), content) for _ in range(count)]

    @abstractmethod
    def read(self, count: int) -> int:
        """Fetch so many rows by key with one statement; how many came."""

    @abstractmethod
    def write(self, count: int) -> None:
        """Insert so many rows and commit."""

    def rates(
        self, work: Callable[[int], object], batch: int, *, rounds: int, seconds: float
    ) -> tuple[float, ...]:
        """Do the work for some seconds, several times; rows a second."""
        measured = []
        for _ in range(rounds):
            begun = time.perf_counter()
            done = 0
            while (elapsed := time.perf_counter() - begun) < seconds:
                work(batch)
                done += batch
            measured.append(done / elapsed)
        return tuple(measured)

    def read_ms(self, count: int) -> list[float]:
        """Give how long each of so many reads of one row took, in milliseconds."""
        took = []
        for _ in range(count):
            begun = time.perf_counter()
            self.read(1)
            took.append((time.perf_counter() - begun) * 1000)
        return took


class _Postgres(BareIndex):
    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        super().__init__()
        self._connection = connection
        connection.execute("CREATE TABLE bare (asset_key varchar(160) PRIMARY KEY, content bytea NOT NULL)")
        connection.commit()

    def read(self, count: int) -> int:
        statement = "SELECT content FROM bare WHERE asset_key = ANY (%s)"
        rows = self._connection.execute(statement, (self.keys(count),), prepare=True).fetchall()
        self._connection.commit()
        return len(rows)

    def write(self, count: int) -> None:
        keys, contents = map(list, zip(*self.fresh(count), strict=True))
        self._connection.execute(
            "INSERT INTO bare SELECT * FROM unnest(%b::varchar[], %b::bytea[])", (keys, contents)
        )
        self._connection.commit()


class _Sqlite(BareIndex):
    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE bare (asset_key TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")

    def read(self, count: int) -> int:
        places = ", ".join("?" * count)
        statement = f"SELECT content FROM bare WHERE asset_key IN ({places})"
        return len(self._connection.execute(statement, self.keys(count)).fetchall())

    def write(self, count: int) -> None:
        with self._connection:
            self._connection.executemany("INSERT INTO bare VALUES (?, ?)", self.fresh(count))


@contextmanager
def bare_index(federation: Federation, rows: int = ROWS) -> Iterator[BareIndex]:
    """Make the table beside the nodes' own databases, on the same server and the same disk."""
    made: BareIndex
    if federation.database == "postgres":
        admin = federation.postgres.admin_url
        urls = provision_postgres(admin, NAME)
        try:
            url = urls.owner.set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(url) as connection:
                made = _Postgres(connection)
                made.fill(rows)
                yield made
        finally:
            drop_postgres(admin, NAME)
        return
    path = Path(federation.home.path) / "bare.sqlite"
    file = sqlite3.connect(path)
    try:
        made = _Sqlite(file)
        made.fill(rows)
        yield made
    finally:
        file.close()
        for one in path.parent.glob("bare.sqlite*"):
            one.unlink()
