"""Imports and their records: written in slices inside one transaction, looked up for many assets at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.keys import subject_key
from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao_gateway.storage.tables import list_import, list_undo, record, record_key

FOUND_PER_QUERY_MAX = 1_000
KEYS_PER_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One list as received."""

    import_number: int
    source: str
    as_of_date: str
    file_name: str
    mapping: str
    row_count: int
    digest: bytes
    imported_at: int
    imported_by: str


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One record, with the asset keys under which it is found."""

    row_number: int
    reference: str
    title: str
    subject_uscc: str
    content: bytes
    invented: bool
    keys: tuple[str, ...]


COLUMNS = tuple(ImportRow.__dataclass_fields__)


def _import_row(row: Sequence[Any]) -> ImportRow:
    values = list(row)
    values[6] = bytes(values[6])
    return ImportRow(*values)


def current_import(connection: sa.Connection, *, before: ImportRow | None = None) -> ImportRow | None:
    """Give the list that counts now: the latest as-of date, among equals the one received last.

    What was undone does not count. `before` asks for the one that counted before that import.
    """
    statement = sa.select(*(list_import.c[name] for name in COLUMNS)).where(_counts())
    if before is not None:
        place = (list_import.c.as_of_date, list_import.c.import_number)
        statement = statement.where(sa.tuple_(*place) < (before.as_of_date, before.import_number))
    row = connection.execute(
        statement.order_by(list_import.c.as_of_date.desc(), list_import.c.import_number.desc()).limit(1)
    ).first()
    return None if row is None else _import_row(row)


def _counts() -> sa.ColumnElement[bool]:
    return ~sa.exists().where(list_undo.c.import_number == list_import.c.import_number)


def undone(connection: sa.Connection, import_numbers: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Give when and why imports were undone, of those that were."""
    wanted = [(number,) for number in dict.fromkeys(import_numbers)]
    rows = rows_by_key(
        connection, list_undo, ("import_number",), wanted, ("import_number", "undone_at", "reason")
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def insert_undo(connection: sa.Connection, import_number: int, *, reason: str, now: int, by: str) -> None:
    """Note that an import counts no more."""
    insert_rows(
        connection,
        list_undo,
        [(import_number, reason, now, by)],
        ("import_number", "reason", "undone_at", "undone_by"),
    )


def list_changes(
    connection: sa.Connection, from_number: int, to_number: int, *, after: str, limit: int
) -> list[tuple[str, bytes | None, bytes | None]]:
    """Give (reference, content before, content after) of what differs between two imports, by reference."""
    old = sa.select(record.c.reference, record.c.content).where(record.c.import_number == from_number)
    new = sa.select(record.c.reference, record.c.content).where(record.c.import_number == to_number)
    if after:
        old, new = old.where(record.c.reference > after), new.where(record.c.reference > after)
    left, right = old.subquery("old"), new.subquery("new")
    reference = sa.func.coalesce(left.c.reference, right.c.reference)
    rows = connection.execute(
        sa.select(reference, left.c.content, right.c.content)
        .select_from(left.join(right, left.c.reference == right.c.reference, full=True))
        .where(left.c.content.is_distinct_from(right.c.content))
        .order_by(reference)
        .limit(limit)
    )
    return [
        (row[0], None if row[1] is None else bytes(row[1]), None if row[2] is None else bytes(row[2]))
        for row in rows
    ]


def find_import(connection: sa.Connection, digest: bytes, as_of: date, mapping: str) -> ImportRow | None:
    """Give the import of the very same file, if it was received before."""
    columns = [list_import.c[name] for name in COLUMNS]
    row = connection.execute(
        sa.select(*columns).where(
            list_import.c.digest == digest,
            list_import.c.as_of_date == as_of.isoformat(),
            list_import.c.mapping == mapping,
            _counts(),
        )
    ).first()
    return None if row is None else _import_row(row)


def load_import(connection: sa.Connection, import_number: int) -> ImportRow | None:
    """Give an import by its number."""
    columns = [list_import.c[name] for name in COLUMNS]
    row = connection.execute(sa.select(*columns).where(list_import.c.import_number == import_number)).first()
    return None if row is None else _import_row(row)


def next_import_number(connection: sa.Connection) -> int:
    """Give the number of the next import."""
    return int(connection.execute(sa.select(sa.func.max(list_import.c.import_number))).scalar() or 0) + 1


def insert_import(connection: sa.Connection, row: ImportRow) -> None:
    """Store the list itself."""
    insert_rows(connection, list_import, [tuple(getattr(row, name) for name in COLUMNS)], COLUMNS)


def insert_records(connection: sa.Connection, import_number: int, rows: Sequence[RecordRow]) -> None:
    """Store a slice of its records."""
    insert_rows(
        connection,
        record,
        [
            (
                import_number,
                row.row_number,
                row.reference,
                row.title,
                row.subject_uscc,
                row.content,
                row.invented,
            )
            for row in rows
        ],
        ("import_number", "row_number", "reference", "title", "subject_uscc", "content", "invented"),
    )
    insert_rows(
        connection,
        record_key,
        [(import_number, key, row.row_number) for row in rows for key in row.keys],
        ("import_number", "asset_key", "row_number"),
    )


def list_imports(connection: sa.Connection, after: int, limit: int) -> list[ImportRow]:
    """Give imports, newest first, behind a number (0: from the newest)."""
    statement = sa.select(*(list_import.c[name] for name in COLUMNS))
    if after:
        statement = statement.where(list_import.c.import_number < after)
    rows = connection.execute(statement.order_by(list_import.c.import_number.desc()).limit(limit))
    return [_import_row(row) for row in rows]


def rows_of_keys(connection: sa.Connection, import_number: int, keys: Iterable[str]) -> dict[str, list[int]]:
    """Give the row numbers found under each key of one import."""
    wanted = [(import_number, key) for key in dict.fromkeys(keys)]
    found: dict[str, list[int]] = {}
    for row in rows_by_key(
        connection, record_key, ("import_number", "asset_key"), wanted, ("asset_key", "row_number")
    ):
        found.setdefault(row[0], []).append(row[1])
    return found


def rows_of_subjects(
    connection: sa.Connection, import_number: int, credit_codes: Iterable[str]
) -> dict[str, list[int]]:
    """Give the row numbers of each subject of one import."""
    wanted = [(import_number, code) for code in dict.fromkeys(credit_codes) if code]
    found: dict[str, list[int]] = {}
    for row in rows_by_key(
        connection, record, ("import_number", "subject_uscc"), wanted, ("subject_uscc", "row_number")
    ):
        found.setdefault(row[0], []).append(row[1])
    return found


def count_keys(connection: sa.Connection, import_number: int) -> int:
    """Give how many keys and subjects `all_keys` gives of an import, at the most."""
    keys = sa.select(sa.func.count()).select_from(record_key)
    subjects = sa.select(sa.func.count()).select_from(record).where(record.c.subject_uscc != "")
    return sum(
        int(connection.execute(statement).scalar() or 0)
        for statement in (
            keys.where(record_key.c.import_number == import_number),
            subjects.where(record.c.import_number == import_number),
        )
    )


def all_keys(connection: sa.Connection, import_number: int) -> Iterator[str]:
    """Give every key under which a record of an import is found, its subjects as keys, each once."""
    yield from _each(connection, record_key.c.asset_key, record_key.c.import_number == import_number)
    for code in _each(connection, record.c.subject_uscc, record.c.import_number == import_number):
        yield subject_key(code)


def _each(connection: sa.Connection, column: sa.Column[str], of: sa.ColumnElement[bool]) -> Iterator[str]:
    """Give the different values of an indexed column, page by page; not the empty one."""
    last = ""
    while True:
        statement = (
            sa.select(column).where(of, column > last).distinct().order_by(column).limit(KEYS_PER_PAGE)
        )
        page = list(connection.execute(statement).scalars())
        yield from page
        if len(page) < KEYS_PER_PAGE:
            return
        last = page[-1]


def load_records(
    connection: sa.Connection, import_number: int, row_numbers: Iterable[int]
) -> dict[int, registry_pb2.RegistryRecord]:
    """Give records by row number."""
    wanted = [(import_number, number) for number in sorted(set(row_numbers))]
    rows = rows_by_key(connection, record, ("import_number", "row_number"), wanted, ("row_number", "content"))
    return {row[0]: registry_pb2.RegistryRecord.FromString(bytes(row[1])) for row in rows}


def search_records(
    connection: sa.Connection, import_number: int, *, text: str, after: int, limit: int
) -> list[tuple[int, registry_pb2.RegistryRecord]]:
    """Give records in order of the list.

    Behind a row number, whose title holds a text or whose reference is it.
    """
    columns = record.c
    statement = sa.select(columns.row_number, columns.content).where(
        columns.import_number == import_number, columns.row_number > after
    )
    if text:
        statement = statement.where(
            sa.or_(columns.reference == text, columns.title.contains(text, autoescape=True))
        )
    rows = connection.execute(statement.order_by(columns.row_number).limit(limit))
    return [(row.row_number, registry_pb2.RegistryRecord.FromString(bytes(row.content))) for row in rows]


def count_records(connection: sa.Connection, import_number: int) -> int:
    """Give the number of records of an import."""
    return int(
        connection.execute(
            sa.select(sa.func.count()).select_from(record).where(record.c.import_number == import_number)
        ).scalar()
        or 0
    )
