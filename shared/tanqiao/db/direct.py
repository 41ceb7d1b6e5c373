"""Statements handed to the driver as they are: SQLAlchemy would take several times as long to execute them.

A group of commands runs some twenty statements of a few rows each; making cursor results of them took a third
of a writer's time. What is skipped is the execution alone: connections, transactions and the meaning of
errors stay SQLAlchemy's and `tanqiao.db.engine`'s. Values pass the driver as they are: integers, text, bytes,
booleans (integers on SQLite) and None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import sqlalchemy as sa

from tanqiao.db.sessions import Row, Values, session_of
from tanqiao.kernel.invariants import require

_Text = tuple[str, tuple[str, ...] | None, dict[str, Any], frozenset[str]]
"""Of a statement: text, names by place, values that are fixed, names of those that are given."""


def fetch(
    connection: sa.Connection, statement: str, parameters: Sequence[Any] | Mapping[str, Any]
) -> list[Row]:
    """Run a statement in the driver's own notation and give its rows.

    Args:
        connection: inside a transaction, or the statement begins one.
        statement: with ``?`` on SQLite, ``%s``, ``%b`` or ``%(name)s`` on PostgreSQL.
        parameters: its values.

    Raises:
        DomainError: a condition of the storage, as `Database` translates it.
        sqlalchemy.exc.DBAPIError: any other error of the driver.
    """
    cursor = None
    try:
        if connection.dialect.name == "postgresql":
            found = session_of(connection.connection).rows(statement, parameters)
            if found is not None:
                return found
        cursor = cursor_of(connection)
        cursor.execute(statement, parameters)
        rows: list[Row] = cursor.fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error, statement, parameters, cursor)
    cursor.close()
    return rows


def write(connection: sa.Connection, statement: str, parameters: Values) -> int:
    """Run a statement that gives no rows; the number of rows that it wrote. Errors as for `fetch`."""
    cursor = None
    try:
        if connection.dialect.name == "postgresql":
            count = session_of(connection.connection).write(statement, parameters)
            if count is not None:
                return count
        cursor = cursor_of(connection)
        cursor.execute(statement, parameters)
        written: int = cursor.rowcount
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error, statement, parameters, cursor)
    cursor.close()
    return written


def write_each(connection: sa.Connection, statement: str, rows: Sequence[Row]) -> int:
    """Run a statement for each of the rows; the number of rows that it wrote. Errors as for `fetch`."""
    cursor = cursor_of(connection)
    try:
        cursor.executemany(statement, rows)
        written: int = cursor.rowcount
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error, statement, rows, cursor)
    cursor.close()
    return written


class Prepared:
    """A statement of SQLAlchemy that is made into the driver's text once for each kind of database.

    Args:
        statement: without lists that expand; made for the database where it names one.
        columns: of an INSERT, those whose values are given.

    A call that leaves a value out, or names one that the statement does not have, breaks an invariant: the
    driver would take what is missing for None.
    """

    def __init__(self, statement: sa.Executable, columns: Sequence[str] | None = None) -> None:
        self._statement: Final = statement
        self._columns: Final = None if columns is None else list(columns)
        self._texts: dict[str, _Text] = {}

    def rows(self, connection: sa.Connection, **values: object) -> list[Row]:
        """Run it and give its rows, with the driver's own values. Errors as for `fetch`."""
        return fetch(connection, *self._call(connection, values))

    def write(self, connection: sa.Connection, **values: object) -> int:
        """Run it; the number of rows that it wrote. Errors as for `fetch`."""
        return write(connection, *self._call(connection, values))

    def _call(
        self, connection: sa.Connection, values: Mapping[str, object]
    ) -> tuple[str, Sequence[Any] | Mapping[str, Any]]:
        made = self._texts.get(connection.dialect.name)
        if made is None:
            made = self._texts[connection.dialect.name] = self._made(connection.dialect)
        text, places, fixed, wanted = made
        require(values.keys() == wanted, "a statement is given the values that it names, and no others")
        given = {**fixed, **values}
        return text, given if places is None else tuple(given[name] for name in places)

    def _made(self, dialect: sa.Dialect) -> _Text:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)  # type: ignore[attr-defined]
        places = tuple(compiled.positiontup) if compiled.positional else None
        wanted = frozenset(name for name, bind in compiled.binds.items() if bind.required)
        fixed = {name: value for name, value in compiled.params.items() if name not in wanted}
        return str(compiled), places, fixed, wanted


def cursor_of(connection: sa.Connection) -> Any:  # noqa: ANN401 - the driver's
    """Give a cursor of the driver in the connection's transaction, which begins where there is none."""
    if not connection.in_transaction():
        connection.begin()
    return connection.connection.cursor()


def _raise(
    connection: sa.Connection, error: BaseException, statement: str, parameters: object, cursor: object
) -> NoReturn:
    """Treat an error as SQLAlchemy's own execution does: lost connections, our translation, its wrapping."""
    connection._handle_dbapi_exception(error, statement, parameters, cursor, None)  # type: ignore[arg-type]  # noqa: SLF001 - there is no public way
