"""Every row of a database in one value: before and after are compared in the tests of what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import lru_cache
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from tanqiao.db.engine import Database

METADATA_KEPT_MAX = 8
_known: WeakKeyDictionary[Database, dict[tuple[int, tuple[str, ...]], tuple[int, str]]] = WeakKeyDictionary()
"""What each connection of an SQLite database showed last, and the number of that state."""


def digest_of_rows(database: Database, metadata: sa.MetaData, leaving_out: Collection[str]) -> str:
    """Digest every row of every table but some; the order of rows does not matter."""
    tables = _tables(metadata, frozenset(leaving_out))
    with database.reading() as connection:
        if database.dialect == "postgresql":
            found = connection.exec_driver_sql(_in_one_question(tables)).all()
            return hashlib.sha256(repr(sorted(map(tuple, found))).encode()).hexdigest()
        # The number stays, on one connection, while no other one has committed; readers commit nothing.
        version = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        known = _known.setdefault(database, {})
        key = (id(connection.connection.dbapi_connection), tables)
        if known.get(key, (None, ""))[0] != version:
            known[key] = (version, _digest_of(connection, tables))
        return known[key][1]


def _digest_of(connection: sa.Connection, tables: tuple[str, ...]) -> str:
    total = hashlib.sha256()
    for name in tables:
        rows = sorted(repr(tuple(row)) for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'))
        total.update("\n".join([f"{name}:{len(rows)}", *rows, ""]).encode())
    return total.hexdigest()


@lru_cache(maxsize=METADATA_KEPT_MAX)
def _tables(metadata: sa.MetaData, leaving_out: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(set(metadata.tables) - leaving_out))


@lru_cache(maxsize=METADATA_KEPT_MAX)
def _in_one_question(tables: tuple[str, ...]) -> str:
    """The server digests the text of the rows itself: one round trip for sixty tables."""
    return " UNION ALL ".join(
        f"""SELECT '{name}', count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"""
        f' FROM "{name}" AS t'
        for name in tables
    )
