"""A copy of a running SQLite node's database; PostgreSQL has its own tools (pg_basebackup, pg_dump).

A file of a running node must never be opened, copied or hashed by its own process in any other way: closing
any descriptor of a file drops all locks of the process on it (fcntl(2)), and the next program that opens and
closes the database would remove the write-ahead log under the node.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from tanqiao.db.engine import Database
from tanqiao.db.faults import setting_invalid
from tanqiao.kernel.invariants import require

PAGES_PER_STEP: Final = 1_000
_FILE_MODE: Final = 0o600


def copy_database(database: Database, target: Path) -> None:
    """Write one consistent snapshot to a new file, durable when this returns; writers go on meanwhile.

    Args:
        database: an open SQLite database, as writer or reader.
        target: does not exist yet; its name appears only once the copy is whole.

    Raises:
        DomainError: SETTING_INVALID when the target exists or the database is no file.
    """
    if database.dialect != "sqlite":
        raise setting_invalid("a PostgreSQL database is backed up with pg_basebackup or pg_dump")
    if target.exists():
        raise setting_invalid(f"{target} exists already")
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(_FILE_MODE)
    try:
        with database.reading() as connection:
            source = connection.connection.driver_connection
            require(isinstance(source, sqlite3.Connection), "an SQLite database is read by sqlite3")
            copy = sqlite3.connect(draft, isolation_level=None)
            try:
                # The open snapshot keeps the pages as they are; writers append to the log meanwhile.
                source.backup(copy, pages=PAGES_PER_STEP)  # type: ignore[union-attr]
                copy.execute("PRAGMA journal_mode = DELETE").fetchone()
            finally:
                copy.close()
        _make_durable(draft)
        draft.rename(target)
        _make_durable(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
