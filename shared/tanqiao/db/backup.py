"""A copy of a running SQLite node's database, and the way back; PostgreSQL has pg_basebackup and pg_dump.

A file of a running node must never be opened, copied or hashed by its own process in any other way: closing
any descriptor of a file drops all locks of the process on it (fcntl(2)), and the next program that opens and
closes the database would remove the write-ahead log under the node.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from tanqiao.db.engine import Database
from tanqiao.db.faults import setting_invalid
from tanqiao.db.sqlite import WriterLock, database_path
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

PAGES_PER_STEP: Final = 1_000
_FILE_MODE: Final = 0o600
_SIDE_FILES: Final = ("-wal", "-shm")


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


@contextmanager
def put_back(database_url: str, source: Path) -> Iterator[str]:
    """Put a backup in the place of a stopped SQLite node's file; what was there is kept beside it.

    Gives the address of the copy while it is not in place yet: what must be written into it is written in
    the body, so that no node ever serves a restored file that does not know that it was restored.

    Raises:
        DomainError: SETTING_INVALID for PostgreSQL, whose own tools restore it, FILE_MISSING,
            WRITER_ALREADY_RUNNING.
    """
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        raise setting_invalid("restore a PostgreSQL database with pg_restore, then run this without --from")
    if not source.is_file():
        raise DomainError("FILE_MISSING", file=source)
    target = database_path(url)
    draft = target.with_name(f".{target.name}.restored")
    lock = WriterLock.take(target)
    try:
        _copy_file(source, draft)
        yield f"sqlite:///{draft}"
        for suffix in _SIDE_FILES:
            require(
                not (side := draft.with_name(draft.name + suffix)).exists() or side.stat().st_size == 0,
                "the copy was closed",
            )
        _keep_aside(target)
        draft.rename(target)
        _make_durable(target.parent)
    finally:
        for suffix in ("", *_SIDE_FILES, ".writer-lock"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)
        lock.close()


def _copy_file(source: Path, draft: Path) -> None:
    """Copy by SQLite itself: a log beside the source is part of it."""
    draft.unlink(missing_ok=True)
    draft.touch(_FILE_MODE)
    origin = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    try:
        copy = sqlite3.connect(draft, isolation_level=None)
        try:
            origin.backup(copy, pages=PAGES_PER_STEP)
        finally:
            copy.close()
    except sqlite3.DatabaseError as error:
        raise setting_invalid(f"{source} is no SQLite database: {error}") from error
    finally:
        origin.close()


def _keep_aside(target: Path) -> None:
    """Rename what is in the place, with its log; nothing of a damaged file is thrown away."""
    number = 1
    while target.with_name(f"{target.name}.replaced-{number}").exists():
        number += 1
    for suffix in ("", *_SIDE_FILES):
        path = target.with_name(target.name + suffix)
        if path.exists():
            path.rename(target.with_name(f"{target.name}.replaced-{number}{suffix}"))


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
