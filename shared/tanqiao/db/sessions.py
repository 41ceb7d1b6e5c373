"""Statements that a PostgreSQL session has prepared, run by their names without a cursor in between.

The driver's cursor takes some 35 microseconds of the interpreter for each execution, and a group of commands
has some twenty. Here the values are dumped, the statement is run and the rows are loaded by the driver's own
parts (https://www.psycopg.org/psycopg3/docs/api/pq.html); what a value becomes and what an error means is as
with a cursor. Statements that were run less than `CALLS_BEFORE` times, and the first of a transaction, are
the cursor's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import psycopg
import sqlalchemy as sa
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from tanqiao.db.faults import is_of_a_plan

CALLS_BEFORE: Final = 5
"""As the driver's own `prepare_threshold`: what is run less often is not worth a second round trip."""
STATEMENTS_MAX: Final = 256
"""Of a session; what comes later is the cursor's."""
TEXTS_KEPT_MAX: Final = 4_096

_PLACE: Final = re.compile(r"%(?:\((?P<name>\w+)\))?(?P<form>[sbt%])")
_FORMATS: Final = {"s": PyFormat.AUTO, "b": PyFormat.BINARY, "t": PyFormat.TEXT}
_KEPT: Final = b"SELECT name FROM pg_prepared_statements WHERE name LIKE 'tanqiao%'"
_DONE: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]
_Key = tuple[str, tuple[int, ...]]


class Text(NamedTuple):
    """A statement in the server's notation."""

    sql: bytes
    formats: tuple[PyFormat, ...]
    names: tuple[str, ...]
    """Of its values by place; empty where they are given by place."""


class Pooled(Protocol):
    """A connection of SQLAlchemy's pool."""

    @property
    def driver_connection(self) -> Any:  # noqa: ANN401 - as SQLAlchemy gives it
        """The driver's."""

    @property
    def info(self) -> dict[Any, Any]:
        """Whatever is kept as long as the driver's connection lives."""


class Session:
    """What one session has prepared. To be used by the thread that holds the connection."""

    __slots__ = ("_calls", "_driver", "_is_in_doubt", "_made", "_names", "_transformer")

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._driver = driver
        self._transformer = Transformer(driver)
        self._calls: dict[_Key, int] = {}
        self._names: dict[_Key, bytes] = {}
        self._made = 0
        self._is_in_doubt = False

    def doubt(self) -> None:
        """Ask the server what it still has, before anything more is run."""
        self._is_in_doubt = True

    def rows(self, statement: str, parameters: Values) -> list[Row] | None:
        """Give the rows of a prepared statement; None where it is the cursor's to run, and nothing was done.

        Raises:
            psycopg.Error: as a cursor would.
        """
        result = self._run(statement, parameters)
        if result is None:
            return None
        self._transformer.set_pgresult(result)
        rows = self._transformer.load_rows(0, result.ntuples, tuple)
        self._transformer.set_pgresult(None)  # else it would keep the server's answer until the next one
        return rows

    def write(self, statement: str, parameters: Values) -> int | None:
        """Give the number of rows that a prepared statement wrote; None and errors as for `rows`."""
        result = self._run(statement, parameters)
        return None if result is None else result.command_tuples or 0

    def _run(self, statement: str, parameters: Values) -> PGresult | None:
        pgconn = self._driver.pgconn
        status = pgconn.transaction_status
        if status != TransactionStatus.INTRANS and not (
            status == TransactionStatus.IDLE and self._driver.autocommit
        ):
            return None  # the cursor begins the transaction, and says that one has failed
        text = _text_of(statement)
        try:
            values: Any = [parameters[name] for name in text.names] if text.names else parameters  # type: ignore[call-overload]
        except (KeyError, TypeError):
            return None  # the cursor says what is wrong
        if len(values) != len(text.formats):
            return None  # as above
        transformer = self._transformer
        dumped: Any = transformer.dump_sequence(values, text.formats)
        key = (statement, transformer.types or ())
        if self._is_in_doubt:
            self._ask()
        name = self._names.get(key) or self._prepared(key, text.sql)
        if name is None:
            return None
        result = pgconn.exec_prepared(name, dumped, transformer.formats, Format.BINARY)
        if result.status not in _DONE:
            if _is_of_a_plan(result):
                # Outside a transaction no ROLLBACK would follow, and every later call would fail as this one.
                del self._names[key]
                self.doubt()
                if pgconn.transaction_status == TransactionStatus.IDLE:
                    return None
            raise self._error(result)
        return result

    def _ask(self) -> None:
        result = self._driver.pgconn.exec_(_KEPT)
        if result.status not in _DONE:
            raise self._error(result)
        kept = {result.get_value(row, 0) for row in range(result.ntuples)}
        self._names = {key: name for key, name in self._names.items() if name in kept}
        self._is_in_doubt = False

    def _prepared(self, key: _Key, sql: bytes) -> bytes | None:
        if len(self._names) >= STATEMENTS_MAX:
            return None
        if len(self._calls) >= STATEMENTS_MAX:
            self._calls.clear()
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls <= CALLS_BEFORE:
            return None
        name = b"tanqiao_%d" % self._made
        self._made += 1
        result = self._driver.pgconn.prepare(name, sql, key[1])
        if result.status not in _DONE:
            raise self._error(result)
        del self._calls[key]
        self._names[key] = name
        return name

    def _error(self, result: PGresult) -> psycopg.Error:
        if self._driver.pgconn.status == ConnStatus.BAD:
            return psycopg.OperationalError(self._driver.pgconn.get_error_message())
        return psycopg.errors.error_from_result(result, encoding="utf-8")


def session_of(pooled: Pooled) -> Session:
    """Give what the session of a pooled connection has prepared."""
    found: Session | None = pooled.info.get(Session)
    if found is None:
        found = pooled.info[Session] = Session(pooled.driver_connection)
    return found


def doubt_with_the_driver(engine: sa.Engine) -> None:
    """Doubt what a session has prepared whenever the driver may have told the server to forget everything.

    That is after each ROLLBACK, also to a savepoint
    (https://www.psycopg.org/psycopg3/docs/advanced/prepare.html).
    """

    def doubt(driver: psycopg.Connection[Any] | None, info: dict[Any, Any]) -> None:
        session: Session | None = info.get(Session)
        is_idle = driver is None or driver.info.transaction_status == TransactionStatus.IDLE
        if session is not None and not is_idle:
            session.doubt()

    @sa.event.listens_for(engine, "rollback")
    def rolled_back(connection: sa.Connection) -> None:
        if not connection.invalidated:
            doubt(connection.connection.driver_connection, connection.connection.info)

    @sa.event.listens_for(engine, "rollback_savepoint")
    def rolled_back_inside(connection: sa.Connection, _name: str, _context: object) -> None:
        rolled_back(connection)

    @sa.event.listens_for(engine, "reset")
    def never_ended(
        driver: psycopg.Connection[Any], record: sa.pool.ConnectionPoolEntry, _state: object
    ) -> None:
        doubt(driver, record.info)


def _is_of_a_plan(result: PGresult) -> bool:
    state, function = (
        (result.error_field(field) or b"").decode("ascii", "replace")
        for field in (DiagnosticField.SQLSTATE, DiagnosticField.SOURCE_FUNCTION)
    )
    return is_of_a_plan(state, function)


@lru_cache(maxsize=TEXTS_KEPT_MAX)
def _text_of(statement: str) -> Text:
    """Give a statement with ``$1`` for each of the driver's places; a name has one place."""
    formats: list[PyFormat] = []
    names: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        if found["form"] == "%":
            return "%"
        name = found["name"]
        if name in names:
            return f"${names[name]}"
        formats.append(_FORMATS[found["form"]])
        if name is not None:
            names[name] = len(formats)
        return f"${len(formats)}"

    sql = _PLACE.sub(place, statement)
    return Text(sql.encode(), tuple(formats), tuple(names))
