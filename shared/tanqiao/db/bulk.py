"""Set-based statements for the hot paths: one statement for a batch, whatever its size, on both databases.

PostgreSQL takes whole columns as arrays (`unnest`): one round trip and one plan. SQLite runs a prepared
statement per row inside the library, which needs no round trip. Values pass the driver as they are: integers,
text, bytes, booleans (integers on SQLite) and None.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tanqiao.db.direct import fetch, write, write_each

Row = Sequence[Any]

# SQLite's own bound on the parameters of a statement is 32,766 since 3.32 (https://sqlite.org/limits.html).
PARAMETERS_PER_STATEMENT_MAX: Final = 30_000
ALIKE_LOOKED_FOR_MIN: Final = 64
"""Rows of a batch in which values that are alike are looked for."""
_UNLESS_THERE: Final = " ON CONFLICT DO NOTHING"
_POSTGRESQL: Final[sa.Dialect] = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]


def insert_rows(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row], columns: Sequence[str] | None = None
) -> None:
    """Insert the rows with one statement.

    Args:
        connection: inside a write transaction.
        table: where to.
        rows: values in the order of `columns`.
        columns: names of the columns given; all of the table's when left out.
    """
    if not rows:
        return
    names = tuple(columns if columns is not None else table.columns.keys())
    if connection.dialect.name == "sqlite":
        write_each(connection, _sqlite_insert(table, names), [tuple(row) for row in rows])
    else:
        statement, values = _postgres_insert_of(table, names, rows)
        write(connection, statement, values)


def insert_missing(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row], columns: Sequence[str] | None = None
) -> None:
    """Insert those of the rows that no unique key of the table has yet; the others stay as they are.

    Arguments as for `insert_rows`. Give the rows in the order of their key where others may insert the same
    ones: whoever waits for another then never waits crosswise.
    """
    if not rows:
        return
    names = tuple(columns if columns is not None else table.columns.keys())
    if connection.dialect.name == "sqlite":
        statement = _sqlite_insert(table, names) + _UNLESS_THERE
        write_each(connection, statement, [tuple(row) for row in rows])
    else:
        statement, values = _postgres_insert_of(table, names, rows)
        write(connection, statement + _UNLESS_THERE, values)


def rows_by_key(
    connection: sa.Connection,
    table: sa.Table,
    key_columns: Sequence[str],
    keys: Sequence[Row],
    columns: Sequence[str] | None = None,
) -> list[tuple[Any, ...]]:
    """Select the rows whose key columns equal one of the keys, each key looked up in the table's index.

    Args:
        connection: inside a transaction.
        table: where from.
        key_columns: names of the columns that a key gives, best a prefix of an index.
        keys: values in that order; a key given twice gives its rows twice.
        columns: names of the columns wanted; all of the table's when left out.

    Returns:
        Rows in no particular order, with the driver's own values.
    """
    if not keys:
        return []
    wanted = tuple(columns if columns is not None else table.columns.keys())
    if connection.dialect.name != "sqlite":
        statement = _postgres_select(table, tuple(key_columns), wanted)
        return fetch(connection, statement, _columns_of(keys))
    found: list[tuple[Any, ...]] = []
    no_key = (None,) * len(key_columns)
    for part in slices(keys, PARAMETERS_PER_STATEMENT_MAX // len(key_columns) // 2):
        size = statement_size(len(part))
        statement = _sqlite_select(table, tuple(key_columns), wanted, size)
        values = tuple(value for key in (*part, *[no_key] * (size - len(part))) for value in key)
        found += fetch(connection, statement, values)
    return found


def delete_by_key(
    connection: sa.Connection, table: sa.Table, key_columns: Sequence[str], keys: Sequence[Row]
) -> int:
    """Delete the rows whose key columns equal one of the keys; the number of rows that were there."""
    if not keys:
        return 0
    if connection.dialect.name == "sqlite":
        statement = _sqlite_delete(table, tuple(key_columns))
        return write_each(connection, statement, [tuple(key) for key in keys])
    statement = _postgres_delete(table, tuple(key_columns))
    return write(connection, statement, _columns_of(keys))


def update_by_key(
    connection: sa.Connection,
    table: sa.Table,
    key_columns: Sequence[str],
    value_columns: Sequence[str],
    rows: Sequence[Row],
) -> int:
    """Set the value columns of the rows found by key; the number of rows that were there.

    Args:
        connection: inside a write transaction.
        table: what to change.
        key_columns: names of the columns that identify a row.
        value_columns: names of the columns to set.
        rows: each the key's values and then the new values, in the order of the names; no key twice.
    """
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        key_count = len(key_columns)
        statement = _sqlite_update(table, tuple(key_columns), tuple(value_columns))
        values = [(*row[key_count:], *row[:key_count]) for row in rows]
        return write_each(connection, statement, values)
    statement = _postgres_update(table, tuple(key_columns), tuple(value_columns))
    return write(connection, statement, _columns_of(rows))


def statement_size(count: int) -> int:
    """Give the number of keys for which a statement on SQLite is made: the next power of two.

    Groups come in every size, and SQLite compiles every text that it has not met lately: a key of NULLs
    equals nothing and fills the statement up.
    """
    return 1 << (count - 1).bit_length()


def slices(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    """Cut a sequence into pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _columns_of(rows: Sequence[Row]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))


def _quoted(names: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{name}"' for name in names)


def _arrays(table: sa.Table, names: Sequence[str]) -> str:
    """Give one parameter per column, cast to the array of its type, in the fast binary form."""
    return ", ".join(f"{_value(table, name)}[]" for name in names)


def _value(table: sa.Table, name: str) -> str:
    return f"%b::{table.columns[name].type.compile(dialect=_POSTGRESQL)}"


def _equal(left: str, right: str, names: Sequence[str]) -> str:
    return " AND ".join(f'{left}."{name}" = {right}."{name}"' for name in names)


# The statements are made of the names of our own tables only; every value is a parameter.


@lru_cache(maxsize=512)
def _sqlite_insert(table: sa.Table, names: tuple[str, ...]) -> str:
    places = ", ".join("?" for _ in names)
    return f'INSERT INTO "{table.name}" ({_quoted(names)}) VALUES ({places})'  # noqa: S608


def _postgres_insert_of(
    table: sa.Table, names: tuple[str, ...], rows: Sequence[Row]
) -> tuple[str, tuple[Any, ...]]:
    """Give the statement for these rows and its values.

    In a large batch many columns are alike in all rows (region, status, moment): such a value is sent once.
    Writing an array into the driver's form takes longer than looking whether it is needed.
    """
    columns = _columns_of(rows)
    if len(rows) < ALIKE_LOOKED_FOR_MIN:
        return _postgres_insert(table, names, frozenset()), columns
    alike = frozenset(
        name for name, column in zip(names, columns, strict=True) if column.count(column[0]) == len(column)
    )
    if len(alike) == len(names):
        alike -= {names[0]}  # one array says how many rows there are
    by_name = dict(zip(names, columns, strict=True))
    once = [column[0] for name, column in by_name.items() if name in alike]
    many = [column for name, column in by_name.items() if name not in alike]
    return _postgres_insert(table, names, alike), (*once, *many)


@lru_cache(maxsize=512)
def _postgres_insert(table: sa.Table, names: tuple[str, ...], alike: frozenset[str]) -> str:
    """Give the statement; its parameters are the values that are alike, then the arrays of the others."""
    if not alike:
        return (
            f'INSERT INTO "{table.name}" ({_quoted(names)}) '  # noqa: S608
            f"SELECT * FROM unnest({_arrays(table, names)})"
        )
    different = [name for name in names if name not in alike]
    values = ", ".join(_value(table, name) if name in alike else f'k."{name}"' for name in names)
    return (
        f'INSERT INTO "{table.name}" ({_quoted(names)}) SELECT {values} '  # noqa: S608
        f"FROM unnest({_arrays(table, different)}) AS k ({_quoted(different)})"
    )


@lru_cache(maxsize=512)
def _sqlite_select(table: sa.Table, keys: tuple[str, ...], wanted: tuple[str, ...], size: int) -> str:
    row = f"({', '.join('?' for _ in keys)})"
    return (
        f"WITH k ({_quoted(keys)}) AS (VALUES {', '.join([row] * size)}) "  # noqa: S608
        # CROSS JOIN keeps the keys outside: one index look-up for each.
        f'SELECT {_quoted(wanted, "t.")} FROM k CROSS JOIN "{table.name}" AS t ON {_equal("t", "k", keys)}'
    )


@lru_cache(maxsize=512)
def _postgres_select(table: sa.Table, keys: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    return (
        f"SELECT {_quoted(wanted, 't.')} FROM unnest({_arrays(table, keys)}) AS k ({_quoted(keys)}) "  # noqa: S608
        f'JOIN "{table.name}" AS t ON {_equal("t", "k", keys)}'
    )


@lru_cache(maxsize=512)
def _sqlite_delete(table: sa.Table, keys: tuple[str, ...]) -> str:
    return f'DELETE FROM "{table.name}" WHERE ' + " AND ".join(f'"{name}" = ?' for name in keys)  # noqa: S608


@lru_cache(maxsize=512)
def _postgres_delete(table: sa.Table, keys: tuple[str, ...]) -> str:
    return (
        f'DELETE FROM "{table.name}" AS t USING unnest({_arrays(table, keys)}) AS k ({_quoted(keys)}) '  # noqa: S608
        f"WHERE {_equal('t', 'k', keys)}"
    )


@lru_cache(maxsize=512)
def _sqlite_update(table: sa.Table, keys: tuple[str, ...], values: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{name}" = ?' for name in values)
    return f'UPDATE "{table.name}" SET {changes} WHERE ' + " AND ".join(f'"{name}" = ?' for name in keys)  # noqa: S608


@lru_cache(maxsize=512)
def _postgres_update(table: sa.Table, keys: tuple[str, ...], values: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{name}" = k."{name}"' for name in values)
    names = (*keys, *values)
    return (
        f'UPDATE "{table.name}" AS t SET {changes} '  # noqa: S608
        f"FROM unnest({_arrays(table, names)}) AS k ({_quoted(names)}) WHERE {_equal('t', 'k', keys)}"
    )
