"""What a driver's error means for the node: a refusal with a reason, a conflict to run again, or a bug.

SQLite speaks in extended result codes (https://sqlite.org/rescode.html), PostgreSQL in SQLSTATEs (appendix A
of its manual). Everything that is not listed here is a fault of the program or a broken constraint and is
left as it is.
"""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from tanqiao.kernel.errors import DomainError

DETAIL_CHARACTERS_MAX: Final = 300
_PRIMARY_CODE_MASK: Final = 0xFF
_PROBE_BYTES: Final = 64 * 1024
# The largest single write of SQLite is one page and its frame header.
_LARGEST_WRITE_BYTES: Final = 65_536 + 24

DISK_FULL: Final = "DISK_FULL"
DATABASE_READ_ONLY: Final = "DATABASE_READ_ONLY"
DATABASE_UNAVAILABLE: Final = "DATABASE_UNAVAILABLE"
BUSY: Final = "BUSY"


@dataclass(frozen=True, slots=True)
class Fault:
    """A condition of the storage that a caller is told about.

    Attributes:
        symbol: reason of the catalogue.
        detail: one line, without parameter values.
        stops_writing: whether the storage can no longer be trusted: no write before a restart.
        is_conflict: whether the same transaction can succeed when it is run again as a whole.
    """

    symbol: str
    detail: str
    stops_writing: bool = False
    is_conflict: bool = False

    def refusal(self, place: str) -> DomainError:
        """Give the refusal; `place` is the directory or server where an operator looks."""
        return DomainError(self.symbol, directory=place, detail=self.detail)


def setting_invalid(detail: str) -> DomainError:
    """Give the refusal of a database that cannot be used as it is set up; `detail` says what to do."""
    return DomainError("SETTING_INVALID", setting="database", detail=detail)


def classify(
    error: BaseException, sqlite_path: Path | None = None, *, disconnected: bool = False
) -> Fault | None:
    """Tell what a driver's error means; None when it is no condition of the storage.

    Args:
        error: as raised by sqlite3 or psycopg.
        sqlite_path: the database file, looked at to tell a full disk from a broken one.
        disconnected: whether the connection was lost with this error.
    """
    if isinstance(error, sqlite3.Error):
        return _classify_sqlite(error, sqlite_path)
    if isinstance(error, psycopg.Error):
        return _classify_postgres(error, disconnected=disconnected)
    return None


def one_line(error: BaseException | str) -> str:
    """Give the first line of an error's text, bounded, for a reason's detail."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    return first[:DETAIL_CHARACTERS_MAX]


def _classify_sqlite(error: sqlite3.Error, path: Path | None) -> Fault | None:  # noqa: PLR0911 - one per code
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & _PRIMARY_CODE_MASK
    detail = f"{getattr(error, 'sqlite_errorname', code)}: {one_line(error)}"
    if primary == sqlite3.SQLITE_FULL:
        return Fault(DISK_FULL, detail)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return Fault(DATABASE_READ_ONLY, detail)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Fault(BUSY, detail, is_conflict=True)
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        # SQLite says FULL only for ENOSPC. A file size limit or a quota comes as an I/O error of a write,
        # and a disk without room for the shared-memory file as one of its own: a full disk to an operator.
        if code in _CODES_OF_A_DISK_WITHOUT_ROOM and path is not None and _is_without_room(path):
            return Fault(DISK_FULL, detail)
        return Fault(DATABASE_UNAVAILABLE, detail, stops_writing=primary == sqlite3.SQLITE_IOERR)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Fault(DATABASE_UNAVAILABLE, detail, stops_writing=True)
    if primary in (sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS):
        return Fault(DATABASE_UNAVAILABLE, detail)
    return None


_CODES_OF_A_DISK_WITHOUT_ROOM: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def _is_without_room(path: Path) -> bool:
    """Ask the file system itself whether one more page fits, for SQLite does not hand on the errno."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY:
        for suffix in ("", "-wal", "-shm", "-journal"):
            try:
                size = path.with_name(path.name + suffix).stat().st_size
            except OSError:
                continue
            if size + _LARGEST_WRITE_BYTES > limit:
                return True
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as refusal:
        return refusal.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return False


_FORGOTTEN: Final = "26000"
_NOT_SUPPORTED: Final = "0A000"
_CHECKS_A_PLAN: Final = "RevalidateCachedQuery"
"""The server's function that refuses a prepared statement whose columns have got another type since."""


def is_of_a_plan(state: str, function: str) -> bool:
    """Whether a prepared statement alone is refused: the same one succeeds when it is prepared anew.

    Args:
        state: SQLSTATE.
        function: of the server's source in which the error was raised; sentences are in any language.
    """
    return state == _FORGOTTEN or (state == _NOT_SUPPORTED and function == _CHECKS_A_PLAN)


# SQLSTATE → symbol; the longest prefix that fits decides.
_POSTGRES_FAULTS: Final[dict[str, tuple[str, bool, bool]]] = {
    # prefix: (symbol, stops writing, is a conflict)
    "53100": (DISK_FULL, False, False),
    "53": (DATABASE_UNAVAILABLE, False, False),  # out of memory, too many connections
    "58": (DATABASE_UNAVAILABLE, False, False),  # system error outside the database
    "58030": (DATABASE_UNAVAILABLE, True, False),  # I/O error
    "58P01": (DATABASE_UNAVAILABLE, True, False),  # a file is gone
    "XX001": (DATABASE_UNAVAILABLE, True, False),  # corrupted data
    "XX002": (DATABASE_UNAVAILABLE, True, False),  # corrupted index
    "25006": (DATABASE_READ_ONLY, False, False),  # a standby, or default_transaction_read_only
    "40": (BUSY, False, True),  # serialization failure, deadlock
    "40003": (DATABASE_UNAVAILABLE, False, False),  # completion unknown: not to be run again by us
    "55P03": (BUSY, False, True),  # lock time-out
    "57014": (BUSY, False, False),  # statement time-out
    "57P": (DATABASE_UNAVAILABLE, False, False),  # shutting down, starting up, crashed
    "25P03": (DATABASE_UNAVAILABLE, False, False),  # idle too long inside a transaction: connection closed
    "25P04": (DATABASE_UNAVAILABLE, False, False),  # transaction took too long: connection closed
    "08": (DATABASE_UNAVAILABLE, False, False),
    "28": (DATABASE_UNAVAILABLE, False, False),  # the role or password is refused
    "3D000": (DATABASE_UNAVAILABLE, False, False),  # no such database
}
_SQLSTATE_PREFIX_LENGTHS: Final = (5, 3, 2)


def _classify_postgres(error: psycopg.Error, *, disconnected: bool) -> Fault | None:
    state = error.sqlstate
    if state is None:
        # libpq gives no SQLSTATE when the server cannot be reached or went away.
        if disconnected or isinstance(error, psycopg.OperationalError):
            return Fault(DATABASE_UNAVAILABLE, one_line(error))
        return None
    if is_of_a_plan(state, error.diag.source_function or ""):
        return Fault(BUSY, f"{state}: {one_line(error.diag.message_primary or str(error))}", is_conflict=True)
    for length in _SQLSTATE_PREFIX_LENGTHS:
        known = _POSTGRES_FAULTS.get(state[:length])
        if known is not None:
            symbol, stops_writing, is_conflict = known
            detail = f"{state}: {one_line(error.diag.message_primary or str(error))}"
            return Fault(symbol, detail, stops_writing=stops_writing, is_conflict=is_conflict)
    if disconnected:
        return Fault(DATABASE_UNAVAILABLE, one_line(error))
    return None


def violated_guard(error: BaseException) -> str | None:
    """Name the constraint, index or guard that refused a statement; None when it was none of them.

    Accepts SQLAlchemy's IntegrityError or the driver's own. A guard of `tanqiao.db.guards` gives its name on
    both databases. SQLite names a plain unique index by its columns (``table.column, table.column``).
    """
    original = getattr(error, "orig", None) or error
    if isinstance(original, psycopg.IntegrityError):
        return original.diag.constraint_name
    if isinstance(original, sqlite3.IntegrityError):
        text = str(original)
        if getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
            return text.partition(":")[0]
        subject = text.partition(" constraint failed: ")[2]
        return subject.removeprefix("index ").strip("'") or None
    return None
