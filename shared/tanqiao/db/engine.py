"""One `Database` over SQLite or PostgreSQL, with its durability settings read back before the first use.

Writes go through `Database.writing()` (used by `tanqiao.db.unit_of_work`), reads through `reading()`, which
gives one snapshot on both databases. On SQLite all writes of the process share one connection and one lock,
and the process holds the node's writer lock; on PostgreSQL there is a pool for each of the two.

After an I/O error or a report of corruption the database is marked failed: the operating system may have
dropped what it could not write, so that neither a retry nor a later write can be trusted (the lesson of
PostgreSQL's fsync discussion of 2018). Reads go on; writes need a restart, which recovers from the log.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import ExceptionContext

from tanqiao.db import away, postgres, sqlite
from tanqiao.db.faults import BUSY, DATABASE_UNAVAILABLE, Fault, classify, one_line, setting_invalid
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

Role = Literal["writer", "reader"]
Dialect = Literal["sqlite", "postgresql"]

READER_CONNECTIONS_MAX: Final = 8
WRITER_CONNECTIONS_MAX: Final = 8
CONNECTION_WAIT_SECONDS_MAX: Final = 10.0


class TransactionConflictError(DomainError):
    """The transaction lost against another one and wrote nothing; the whole of it may be run again.

    Where nobody runs it again it is what a caller is told: BUSY, send the same once more.
    """

    @classmethod
    def of(cls, detail: str, place: str = "") -> Self:
        """Make one; `place` is where an operator looks."""
        return cls(BUSY, directory=place, detail=detail)


class _WriterGate:
    """Lets one thread at a time write to SQLite, and finds a thread that would wait for itself."""

    def __init__(self, *, one_at_a_time: bool) -> None:
        self._lock = threading.Lock() if one_at_a_time else None
        self._thread = threading.local()

    @contextmanager
    def hold(self, wait_seconds_max: float) -> Iterator[None]:
        inside = getattr(self._thread, "inside", False)
        require(not inside, "a write transaction was begun inside another one of the same thread")
        if self._lock is not None and not self._lock.acquire(timeout=wait_seconds_max):
            raise DomainError(BUSY, detail="another write transaction did not end in time")
        self._thread.inside = True
        try:
            yield
        finally:
            self._thread.inside = False
            if self._lock is not None:
                self._lock.release()


class Closeable(Protocol):
    """Anything that is released when the database is closed."""

    def close(self) -> None:
        """Release it; a second call does nothing."""


class Database:
    """An open database. Thread-safe; not to be used in a forked child."""

    def __init__(
        self,
        url: URL,
        *,
        writer: sa.Engine | None,
        reader: sa.Engine,
        connection_wait_seconds_max: float,
        writer_lock: Closeable | None = None,
        sqlite_path: Path | None = None,
    ) -> None:
        self.url: Final = url
        self.dialect: Final[Dialect] = "sqlite" if sqlite_path is not None else "postgresql"
        self.sqlite_path: Final = sqlite_path
        self._writer = writer
        self._reader = reader
        self._wait_seconds_max = connection_wait_seconds_max
        self._writer_lock = writer_lock
        self._gate = _WriterGate(one_at_a_time=sqlite_path is not None)
        self._failure: str | None = None
        self._closed = False
        self._doubts_end = threading.Event()
        self._doubts: list[DomainError] = []  # of commits that are asked about
        self._on_doubt: list[Callable[[DomainError], None]] = []
        self._last = threading.local()  # the refusal of the transaction that this thread is in
        for engine in {writer, reader} - {None}:
            sa.event.listen(engine, "handle_error", self._translate)
            sa.event.listen(engine, "commit", self._require_whole)
            sa.event.listen(engine, "checkin", self._close_late)

    @property
    def failure(self) -> str | None:
        """Why writing stopped until a restart; None while the storage can be trusted."""
        return self._failure

    @property
    def place(self) -> str:
        """Where an operator looks: the file's directory, or server and database without the password."""
        if self.sqlite_path is not None:
            return str(self.sqlite_path.parent)
        return f"{self.url.host or 'local socket'}:{self.url.port or 5432}/{self.url.database}"

    @property
    def is_writer(self) -> bool:
        """Whether this process opened the database to write to it."""
        return self._writer is not None

    def mark_failed(self, detail: str) -> None:
        """Refuse every later write of this process; the first reason given is kept."""
        if self._failure is None:
            self._failure = detail

    def mark_of(self, connection: sa.Connection) -> str:
        """Give what `was_committed` asks about; empty where nothing was written, or nothing will be."""
        return "" if self._is_broken(connection) else away.mark_of(connection)

    def was_committed(self, mark: str) -> bool:
        """Ask what became of a commit whose answer was lost; waits for the server.

        Until it is known, writes are refused: they would wait behind it for as long as the server is away.
        Where nobody can say it, every later write of this process is refused: its memory cannot be right.
        """
        refusal = DomainError(
            DATABASE_UNAVAILABLE,
            directory=self.place,
            detail=f"the server went away during a commit; transaction {mark} is asked about",
        )
        self._doubts.append(refusal)
        try:
            for listener in self._on_doubt:
                listener(refusal)
            found = away.was_committed(self, mark, self._doubts_end)
            if found is None:
                self.mark_failed(f"the server cannot say whether transaction {mark} was committed")
        finally:
            self._doubts.remove(refusal)
        return bool(found)

    def on_doubt(self, listener: Callable[[DomainError], None]) -> None:
        """Call with a refusal, from the thread that commits, when it is not known what became of a commit."""
        self._on_doubt.append(listener)

    def end_doubts(self) -> None:
        """Let nobody wait any longer for the outcome of a commit: the process ends."""
        self._doubts_end.set()

    def require_writable(self) -> None:
        """Raise DATABASE_UNAVAILABLE after a failure of the storage, and while a commit is in doubt."""
        if self._failure is not None:
            raise DomainError(
                DATABASE_UNAVAILABLE,
                detail=f"writing stopped until this process is restarted, after: {self._failure}",
                state="FAILED",
            )
        for refusal in self._doubts:
            raise copy(refusal)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection inside a new write transaction; what is not committed is rolled back.

        Raises:
            DomainError: BUSY, DISK_FULL, DATABASE_READ_ONLY or DATABASE_UNAVAILABLE.
            TransactionConflictError: another transaction won (serialization, deadlock, lock time-out).
        """
        with (
            self._gate.hold(self._wait_seconds_max),
            self._transaction(self._required_writer()) as connection,
        ):
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[sa.Connection]:
        """Give a write transaction in which tables may be rebuilt; what is not committed is rolled back.

        On SQLite foreign keys are not enforced in it, for a table is rebuilt by copying and dropping it;
        the caller checks them before it commits.
        """
        if self.dialect == "postgresql":
            with self.writing() as connection:
                yield connection
            return
        writer = self._required_writer()
        with self._gate.hold(self._wait_seconds_max), writer.connect() as connection:
            driver = connection.connection.driver_connection
            sqlite.enforce_foreign_keys(driver, enforced=False)
            try:
                connection.begin()
                yield connection
            finally:
                if connection.in_transaction():
                    connection.rollback()
                sqlite.enforce_foreign_keys(driver, enforced=True)

    def _required_writer(self) -> sa.Engine:
        require(self._writer is not None, "this database was opened for reading only")
        self.require_writable()
        return self._writer  # type: ignore[return-value]  # require() does not narrow

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection inside a read-only transaction that sees one snapshot to its end."""
        with self._transaction(self._reader) as connection:
            yield connection
            if (
                self.dialect == "postgresql"
                and connection.in_transaction()
                and not self._is_broken(connection)
            ):
                # At a ROLLBACK the driver forgets every statement that it has prepared.
                connection.commit()

    @contextmanager
    def reading_once(self) -> Iterator[sa.Connection]:
        """Give a connection for one statement that reads: a snapshot of its own, in one round trip.

        On SQLite, where there is no trip, it is `reading`.
        """
        if self.dialect == "sqlite":
            with self.reading() as connection:
                yield connection
            return
        with self._connected(self._reader) as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        with self._connected(engine) as connection:
            self._last.refusal = None
            connection.begin()
            try:
                yield connection
            except sa.exc.SQLAlchemyError as error:
                # What fails after a condition of the storage was passed over fails because of it.
                refusal = self._passed_over()
                if refusal is None:
                    raise
                raise refusal from error
            finally:
                if connection.in_transaction():
                    connection.rollback()

    @staticmethod
    @contextmanager
    def _connected(engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            connection = engine.connect()
        except sa.exc.TimeoutError as error:
            raise DomainError(BUSY, detail="every connection to the database is in use") from error
        with connection:
            yield connection

    def _translate(self, context: ExceptionContext) -> None:
        if context.is_pre_ping:
            return  # the pool finds out that a connection is dead, and makes another one
        fault = classify(
            context.original_exception, self.sqlite_path, disconnected=bool(context.is_disconnect)
        )
        if fault is None:
            return
        if fault.stops_writing:
            self.mark_failed(fault.detail)
        refusal = (
            TransactionConflictError.of(fault.detail, self.place)
            if fault.is_conflict
            else fault.refusal(self.place)
        )
        self._last.refusal = refusal
        if context.connection is not None and self._was_rolled_back(context.connection):
            # What follows would be committed statement by statement.
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False
        raise refusal

    def _require_whole(self, connection: sa.Connection) -> None:
        """Refuse to commit what is no longer whole, because an error in it was caught and passed over.

        PostgreSQL answers the COMMIT of a failed transaction with a rollback and no error.
        """
        if self._is_broken(connection):
            refusal = self._passed_over()
            if refusal is not None:
                raise refusal
            require(condition=False, message="a statement failed, and its transaction was to be committed")

    def _passed_over(self) -> DomainError | None:
        """Give the last condition of the storage that was raised in this thread's transaction."""
        refusal: DomainError | None = getattr(self._last, "refusal", None)
        return refusal

    def _is_broken(self, connection: sa.Connection) -> bool:
        if self.dialect == "sqlite":
            return self._was_rolled_back(connection)
        driver = connection.connection.driver_connection
        return bool(driver.info.transaction_status == psycopg.pq.TransactionStatus.INERROR)  # type: ignore[union-attr]

    def _was_rolled_back(self, connection: sa.Connection) -> bool:
        """Tell whether SQLite ended the transaction by itself, as it does when the disk is full."""
        if self.dialect != "sqlite" or connection.closed or connection.invalidated:
            return False
        return not connection.connection.driver_connection.in_transaction  # type: ignore[union-attr]

    def _close_late(self, _connection: object, record: sa.pool.ConnectionPoolEntry) -> None:
        """Close what a thread that was still reading gives back after the end: no pool keeps it."""
        if self._closed:
            record.invalidate()

    def close(self) -> None:
        """Close every idle connection, the others when they are given back, and give up the writer lock."""
        self._closed = True
        for engine in (self._reader, self._writer):
            if engine is not None:
                engine.dispose()
        if self._writer_lock is not None:
            self._writer_lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_engine(
    url: str | URL,
    *,
    role: Role,
    reader_connections_max: int = READER_CONNECTIONS_MAX,
    writer_connections_max: int = WRITER_CONNECTIONS_MAX,
    connection_wait_seconds_max: float = CONNECTION_WAIT_SECONDS_MAX,
) -> Database:
    """Open ``sqlite:///path`` or ``postgresql+psycopg://…`` and read its durability settings back.

    Args:
        url: `sqlite:///relative`, `sqlite:////absolute` or a PostgreSQL URL.
        role: a writer of an SQLite file is alone; a reader never creates or changes anything.
        reader_connections_max: connections for `reading()`.
        writer_connections_max: connections for `writing()` on PostgreSQL; SQLite has one.
        connection_wait_seconds_max: how long a caller waits for a connection before BUSY.

    Raises:
        DomainError: WRITER_ALREADY_RUNNING, DIRECTORY_MISSING, FILE_MISSING (a reader of nothing),
            DATABASE_READ_ONLY (permissions), SETTING_INVALID (not a database, an unsafe setting of the
            server or file, an address nobody understands, a user, password or database that a server
            refuses), DATABASE_UNAVAILABLE (unreachable, starting).
    """
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise setting_invalid("the address is neither sqlite:///path nor postgresql+psycopg://…") from error
    pools = _Pools(reader_connections_max, writer_connections_max, connection_wait_seconds_max)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, role, pools)
    if parsed.drivername in {"postgresql+psycopg", "postgresql"}:
        return _open_postgres(parsed.set(drivername="postgresql+psycopg"), role, pools)
    raise setting_invalid(f"databases of type {parsed.drivername} are not supported")


class _Pools:
    """How many connections each engine may hold, and how long a caller waits for one."""

    def __init__(self, readers: int, writers: int, wait_seconds: float) -> None:
        self.readers = readers
        self.writers = writers
        self.wait_seconds = wait_seconds

    def options(self, size: int) -> dict[str, Any]:
        return {"pool_size": size, "max_overflow": 0, "pool_timeout": self.wait_seconds}


def _open_sqlite(url: URL, role: Role, pools: _Pools) -> Database:
    path = sqlite.database_path(url)
    lock: sqlite.WriterLock | None = None
    writer: sa.Engine | None = None
    if role == "writer":
        sqlite.prepare_for_writing(path)
        lock = sqlite.WriterLock.take(path)
        writer = sqlite.writer_engine(path, **pools.options(1))
    else:
        sqlite.prepare_for_reading(path)
    database = Database(
        url,
        writer=writer,
        reader=sqlite.reader_engine(path, **pools.options(pools.readers)),
        connection_wait_seconds_max=pools.wait_seconds,
        writer_lock=lock,
        sqlite_path=path,
    )
    _prove(database)
    return database


def _open_postgres(url: URL, role: Role, pools: _Pools) -> Database:
    try:
        return _prove_postgres(url, role, pools)
    except DomainError as refusal:
        if not _is_login_refused(url, refusal):
            raise
    # The server refuses this session, or it was starting a moment ago: the second answer tells.
    try:
        return _prove_postgres(url, role, pools)
    except DomainError as refusal:
        if not _is_login_refused(url, refusal):
            raise
        raise postgres.login_refused(refusal) from refusal


def _is_login_refused(url: URL, refusal: DomainError) -> bool:
    """Whether a server that is there refused the session itself: nothing that passes by waiting."""
    return (
        refusal.symbol == DATABASE_UNAVAILABLE and not postgres.is_full(refusal) and postgres.is_serving(url)
    )


def _prove_postgres(url: URL, role: Role, pools: _Pools) -> Database:
    database = Database(
        url,
        writer=postgres.writer_engine(url, **pools.options(pools.writers)) if role == "writer" else None,
        reader=postgres.reader_engine(url, **pools.options(pools.readers)),
        connection_wait_seconds_max=pools.wait_seconds,
    )
    _prove(database)
    return database


def _prove(database: Database) -> None:
    """Open one connection of each kind, whose settings are checked as it is made; close all on refusal."""
    try:
        if database.is_writer:
            with database.writing():
                pass
        with database.reading() as connection:
            connection.exec_driver_sql("SELECT 1")
    except (sa.exc.DBAPIError, sqlite3.Error, psycopg.Error) as error:
        # The driver's own errors come from the checks of a new connection, before SQLAlchemy has it.
        database.close()
        original = error.orig or error if isinstance(error, sa.exc.DBAPIError) else error
        fault = classify(original, database.sqlite_path) or Fault(DATABASE_UNAVAILABLE, one_line(original))
        raise fault.refusal(database.place) from error
    except BaseException:
        database.close()
        raise
