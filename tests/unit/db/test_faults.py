"""What a driver's error means, code by code; errors made by the drivers themselves where that is possible."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tanqiao.db.faults import classify, one_line
from tanqiao.db.postgres import _REQUIRED, _require_settings
from tanqiao.kernel.errors import DomainError


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("made by the test")
    error.sqlite_errorcode = code
    error.sqlite_errorname = f"CODE_{code}"
    return error


@pytest.mark.parametrize(
    ("code", "symbol", "stops", "conflict"),
    [
        (sqlite3.SQLITE_FULL, "DISK_FULL", False, False),
        (sqlite3.SQLITE_READONLY, "DATABASE_READ_ONLY", False, False),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "DATABASE_READ_ONLY", False, False),
        (sqlite3.SQLITE_READONLY_DBMOVED, "DATABASE_READ_ONLY", False, False),
        (sqlite3.SQLITE_PERM, "DATABASE_READ_ONLY", False, False),
        (sqlite3.SQLITE_BUSY, "BUSY", False, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "BUSY", False, True),
        (sqlite3.SQLITE_LOCKED, "BUSY", False, True),
        (sqlite3.SQLITE_IOERR_FSYNC, "DATABASE_UNAVAILABLE", True, False),
        (sqlite3.SQLITE_IOERR_DIR_FSYNC, "DATABASE_UNAVAILABLE", True, False),
        (sqlite3.SQLITE_IOERR_READ, "DATABASE_UNAVAILABLE", True, False),
        (sqlite3.SQLITE_IOERR_WRITE, "DATABASE_UNAVAILABLE", True, False),
        (sqlite3.SQLITE_CORRUPT, "DATABASE_UNAVAILABLE", True, False),
        (sqlite3.SQLITE_NOTADB, "DATABASE_UNAVAILABLE", True, False),
        (sqlite3.SQLITE_CANTOPEN, "DATABASE_UNAVAILABLE", False, False),
        (sqlite3.SQLITE_NOMEM, "DATABASE_UNAVAILABLE", False, False),
    ],
)
def test_a_result_code_of_sqlite_means(
    tmp_path: Path, code: int, symbol: str, stops: bool, conflict: bool
) -> None:
    fault = classify(sqlite_error(code), tmp_path / "node.db")
    assert fault is not None
    assert (fault.symbol, fault.stops_writing, fault.is_conflict) == (symbol, stops, conflict)
    assert fault.detail == f"CODE_{code}: made by the test"


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE]
)
def test_a_broken_constraint_or_statement_is_no_fault_of_the_storage(code: int) -> None:
    assert classify(sqlite_error(code)) is None


def test_an_error_of_the_driver_alone_is_no_fault_of_the_storage() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError) as closed:
        connection.execute("SELECT 1")
    assert classify(closed.value) is None
    assert classify(ValueError("x")) is None


POSTGRES: list[tuple[type[psycopg.Error], str, bool, bool]] = [
    (psycopg.errors.DiskFull, "DISK_FULL", False, False),
    (psycopg.errors.IoError, "DATABASE_UNAVAILABLE", True, False),
    (psycopg.errors.UndefinedFile, "DATABASE_UNAVAILABLE", True, False),
    (psycopg.errors.DataCorrupted, "DATABASE_UNAVAILABLE", True, False),
    (psycopg.errors.IndexCorrupted, "DATABASE_UNAVAILABLE", True, False),
    (psycopg.errors.OutOfMemory, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.TooManyConnections, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.ReadOnlySqlTransaction, "DATABASE_READ_ONLY", False, False),
    (psycopg.errors.SerializationFailure, "BUSY", False, True),
    (psycopg.errors.DeadlockDetected, "BUSY", False, True),
    (psycopg.errors.StatementCompletionUnknown, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.LockNotAvailable, "BUSY", False, True),
    (psycopg.errors.InvalidSqlStatementName, "BUSY", False, True),
    (psycopg.errors.QueryCanceled, "BUSY", False, False),
    (psycopg.errors.AdminShutdown, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.CrashShutdown, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.CannotConnectNow, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.InvalidPassword, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.InvalidCatalogName, "DATABASE_UNAVAILABLE", False, False),
    (psycopg.errors.ConnectionFailure, "DATABASE_UNAVAILABLE", False, False),
]


@pytest.mark.parametrize(("kind", "symbol", "stops", "conflict"), POSTGRES)
def test_a_state_of_postgresql_means(
    kind: type[psycopg.Error], symbol: str, stops: bool, conflict: bool
) -> None:
    fault = classify(kind("made by the test\nsecond line"))
    assert fault is not None
    assert (fault.symbol, fault.stops_writing, fault.is_conflict) == (symbol, stops, conflict)
    assert "\n" not in fault.detail


@pytest.mark.parametrize(
    "kind",
    [
        psycopg.errors.UniqueViolation,
        psycopg.errors.UndefinedTable,
        psycopg.errors.InternalError_,
        psycopg.errors.FeatureNotSupported,
    ],
)
def test_a_constraint_or_a_bug_on_postgresql_is_no_fault_of_the_storage(kind: type[psycopg.Error]) -> None:
    assert classify(kind("made by the test")) is None


def test_a_lost_connection_has_no_state_and_is_a_fault() -> None:
    fault = classify(
        psycopg.OperationalError("server closed the connection unexpectedly\n\tmore"), disconnected=True
    )
    assert fault is not None
    assert fault.symbol == "DATABASE_UNAVAILABLE"
    assert classify(psycopg.InterfaceError("closed"), disconnected=True) is not None
    assert classify(psycopg.ProgrammingError("wrong placeholder")) is None


def test_a_refusal_says_where_to_look() -> None:
    fault = classify(sqlite_error(sqlite3.SQLITE_FULL))
    assert fault is not None
    assert "/srv/node" in fault.refusal("/srv/node").sentence("en")


@pytest.mark.parametrize(("text", "line"), [("", "ValueError"), ("a\nb", "a"), ("x" * 400, "x" * 300)])
def test_a_detail_is_one_bounded_line(text: str, line: str) -> None:
    assert one_line(ValueError(text)) == line


def good_settings() -> list[object]:
    return [min(accepted) for accepted in _REQUIRED.values()] + [180_004]


def spoil(index: int, value: object) -> Callable[[], tuple[object, ...]]:
    def make() -> tuple[object, ...]:
        row = good_settings()
        row[index] = value
        return tuple(row)

    return make


def test_a_server_with_every_promise_is_accepted() -> None:
    _require_settings(tuple(good_settings()))


@pytest.mark.parametrize("name", list(_REQUIRED))
def test_each_single_setting_is_demanded(name: str) -> None:
    row = spoil(list(_REQUIRED).index(name), "something else")()
    with pytest.raises(DomainError) as refusal:
        _require_settings(row)
    assert name in refusal.value.sentence("en")


def test_an_old_server_is_refused() -> None:
    with pytest.raises(DomainError) as refusal:
        _require_settings(spoil(-1, 130_011)())
    assert "13" in refusal.value.sentence("en")
    with pytest.raises(DomainError):
        _require_settings(None)
