"""SQLite as the durable store of one node: WAL, full synchronisation, one writer process and connection.

Settings are set and read back on each connection. A transaction of the writer begins with BEGIN IMMEDIATE,
so that it never has to upgrade a read lock and fail half-way; the driver's own transaction handling is
switched off for that (https://docs.sqlalchemy.org/en/20/dialects/sqlite.html, "transactions").
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL

from tanqiao.db.faults import DATABASE_READ_ONLY, setting_invalid
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

BUSY_TIMEOUT_MS: Final = 5_000
# The log is copied into the file every so many pages; fewer copies, fewer long commits.
CHECKPOINT_PAGES: Final = 4_000
PAGE_CACHE_KIBIBYTES: Final = 16_384
STATEMENTS_KEPT_MAX: Final = 512
"""Compiled statements that a connection keeps; a node has about two hundred, some in several sizes."""
# RETURNING (3.35) and STRICT tables (3.37) are used.
VERSION_MIN: Final = (3, 37, 0)

_FILE_MODE: Final = 0o600
_SYNCHRONOUS_FULL: Final = 2
_PAGE_BYTES_MIN: Final = 512

# pragma → (value set, value read back)
_Settings = dict[str, tuple[str, object]]
_WRITER_SETTINGS: Final[_Settings] = {
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", _SYNCHRONOUS_FULL),
    "foreign_keys": ("ON", 1),
    "recursive_triggers": ("ON", 1),
    "busy_timeout": (str(BUSY_TIMEOUT_MS), BUSY_TIMEOUT_MS),
    "wal_autocheckpoint": (str(CHECKPOINT_PAGES), CHECKPOINT_PAGES),
    "cache_size": (str(-PAGE_CACHE_KIBIBYTES), -PAGE_CACHE_KIBIBYTES),
    "trusted_schema": ("OFF", 0),
}
_READER_SETTINGS: Final[_Settings] = {
    "query_only": ("ON", 1),
    "busy_timeout": (str(BUSY_TIMEOUT_MS), BUSY_TIMEOUT_MS),
    "trusted_schema": ("OFF", 0),
}


class WriterLock:
    """The operating system's lock that makes one process per node the writer; freed when the process dies."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, database_path: Path) -> WriterLock:
        """Take the lock beside the database file, or raise WRITER_ALREADY_RUNNING with the holder's pid."""
        path = lock_path(database_path)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        except OSError as error:
            raise _read_only(path, f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise DomainError(
                "WRITER_ALREADY_RUNNING",
                directory=database_path.parent,
                file=database_path.name,
                process=holder,
            ) from error
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError:
            # The number is a help for people; on a full disk the lock counts without it.
            pass
        return cls(descriptor)

    def close(self) -> None:
        """Give the lock up. The file stays: removing it would let two processes lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_path(database_path: Path) -> Path:
    """Give the path of the writer lock of a database file."""
    return database_path.with_name(database_path.name + ".writer-lock")


def database_path(url: URL) -> Path:
    """Give the real path in the address; one in memory keeps nothing and is refused."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise setting_invalid("an SQLite address names a file: sqlite:///path/to/node.db")
    # One file has one name and one lock, by whatever links it is reached.
    return Path(url.database).resolve()


def prepare_for_writing(path: Path) -> None:
    """Check what an operator can get wrong, and make an empty file that only its owner may read."""
    _require_directory(path)
    if not path.exists():
        _create(path)
    _require_file(path)
    if not os.access(path, os.R_OK | os.W_OK):
        raise _read_only(path, f"{path} may not be written by this user; check its owner and mode")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _read_only(path, f"the directory {path.parent} may not be written by this user")
    if path.stat().st_mode & stat.S_IWOTH:
        raise setting_invalid(f"{path} may be written by everybody; run chmod 600 on it")


def prepare_for_reading(path: Path) -> None:
    """Check that there is a database to read."""
    _require_directory(path)
    if not path.exists():
        raise DomainError("FILE_MISSING", file=path)
    _require_file(path)


def _read_only(path: Path, detail: str) -> DomainError:
    return DomainError(DATABASE_READ_ONLY, directory=path.parent, detail=detail)


def _require_directory(path: Path) -> None:
    if not path.parent.is_dir():
        raise DomainError("DIRECTORY_MISSING", directory=path.parent)


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _read_only(path, f"cannot create {path}: {error.strerror}") from error


def _require_file(path: Path) -> None:
    # Only SQLite looks inside. The locks of a process on a file are dropped when it closes any descriptor of
    # that file (fcntl(2)), and a node that looked into a database which it has open would lose it.
    if not path.is_file():
        raise setting_invalid(f"{path} is not a file")
    # What is shorter than a page SQLite takes for empty, and overwrites.
    if 0 < path.stat().st_size < _PAGE_BYTES_MIN:
        raise setting_invalid(f"{path} is not an SQLite database")


def writer_engine(path: Path, **pool: Any) -> sa.Engine:  # noqa: ANN401 - handed on to SQLAlchemy
    """Make the engine of the only connection that writes."""
    require(sqlite3.sqlite_version_info >= VERSION_MIN, f"SQLite {sqlite3.sqlite_version} is too old")
    engine = sa.create_engine(
        _engine_url(path, "rw"),
        hide_parameters=True,
        connect_args={"cached_statements": STATEMENTS_KEPT_MAX},
        **pool,
    )
    _install(engine, path, _WRITER_SETTINGS, "BEGIN IMMEDIATE")
    return engine


def reader_engine(path: Path, **pool: Any) -> sa.Engine:  # noqa: ANN401 - handed on to SQLAlchemy
    """Make the engine of connections that cannot write, each with its own snapshot."""
    engine = sa.create_engine(
        _engine_url(path, "rw"),
        hide_parameters=True,
        connect_args={"cached_statements": STATEMENTS_KEPT_MAX},
        **pool,
    )
    _install(engine, path, _READER_SETTINGS, "BEGIN")
    return engine


def enforce_foreign_keys(connection: Any, *, enforced: bool) -> None:  # noqa: ANN401 - the driver's own
    """Switch the enforcement of foreign keys; asserted, for inside a transaction SQLite ignores it."""
    connection.execute(f"PRAGMA foreign_keys = {'ON' if enforced else 'OFF'}")
    found = connection.execute("PRAGMA foreign_keys").fetchone()[0]
    require(found == int(enforced), "foreign keys cannot be switched inside a transaction")


def _engine_url(path: Path, mode: str) -> str:
    # mode=rw: a file that vanished since it was checked is an error, not a new empty ledger.
    return f"sqlite:///file:{quote(str(path))}?mode={mode}&uri=true"


def _install(engine: sa.Engine, path: Path, settings: _Settings, begin: str) -> None:
    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        try:
            connection.isolation_level = None
            _apply(connection, settings)
        except sqlite3.Error as error:
            connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise setting_invalid(f"{path} is not an SQLite database") from error
            raise
        except BaseException:
            connection.close()
            raise

    @sa.event.listens_for(engine, "begin")
    def begin_transaction(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)


def _apply(connection: sqlite3.Connection, settings: _Settings) -> None:
    """Look into the file, set each setting and read it back."""
    connection.execute("PRAGMA schema_version").fetchone()
    for pragma, (value, expected) in settings.items():
        connection.execute(f"PRAGMA {pragma} = {value}").close()
        found = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        if found != expected:
            raise setting_invalid(f"SQLite keeps {pragma} = {found} and refuses {value} for this file")
