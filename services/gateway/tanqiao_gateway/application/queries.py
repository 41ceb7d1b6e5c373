"""Reads of a gateway's list, each in one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao_gateway.application.orders import rows_as_they_stand
from tanqiao_gateway.storage import records
from tanqiao_gateway.storage.records import ImportRow

__all__ = ["Changes", "Found", "ImportRow", "Queries"]


@dataclass(frozen=True, slots=True)
class Found:
    """The records that answer each query, in the order of the queries, and the list they stand in."""

    current: ImportRow
    records: tuple[tuple[registry_pb2.RegistryRecord, ...], ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two imports: (reference, content before, content after); 0: before the first."""

    from_number: int
    to_number: int
    rows: tuple[tuple[str, bytes | None, bytes | None], ...]


class Queries:
    """Reads of one gateway's database; the current list is the one with the latest as-of date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> ImportRow | None:
        """Give the list that counts now, None if nothing was imported."""
        with self._database.reading() as connection:
            return records.current_import(connection)

    def imports(self, after: int, limit: int) -> list[tuple[ImportRow, tuple[int, str] | None]]:
        """Give imports, newest first, behind a number, with when and why one was undone."""
        with self._database.reading() as connection:
            rows = records.list_imports(connection, after, limit)
            gone = records.undone(connection, (row.import_number for row in rows))
            return [(row, gone.get(row.import_number)) for row in rows]

    def changes(self, from_number: int, to_number: int, *, after: str, limit: int) -> Changes:
        """Give what differs between two imports, by reference behind one; 0: the one before, the current.

        Raises:
            DomainError: NOT_FOUND for an import that is not there.
        """
        with self._database.reading() as connection:
            to = (
                records.load_import(connection, to_number)
                if to_number
                else records.current_import(connection)
            )
            if to is None:
                raise DomainError("NOT_FOUND", what="import", id=str(to_number or "–"))
            if from_number:
                since = records.load_import(connection, from_number)
                if since is None:
                    raise DomainError("NOT_FOUND", what="import", id=str(from_number))
            else:
                since = records.current_import(connection, before=to)
            number = 0 if since is None else since.import_number
            rows = records.list_changes(connection, number, to.import_number, after=after, limit=limit)
        return Changes(number, to.import_number, tuple(rows))

    def look_up(self, keys: Sequence[Sequence[str]], subjects: Sequence[str]) -> Found | None:
        """Give what carries one of the keys or the subject of each query; None if there is no list."""
        with self._database.reading() as connection:
            current = records.current_import(connection)
            if current is None:
                return None
            number = current.import_number
            by_key = records.rows_of_keys(connection, number, (key for one in keys for key in one))
            by_subject = records.rows_of_subjects(connection, number, subjects)
            wanted = {row for rows in (*by_key.values(), *by_subject.values()) for row in rows}
            found = rows_as_they_stand(connection, number, records.load_records(connection, number, wanted))
        if not wanted:  # as for almost every batch
            return Found(current, ((),) * len(keys))
        answers = []
        for one, subject in zip(keys, subjects, strict=True):
            numbers = {row for key in one for row in by_key.get(key, ())} | set(by_subject.get(subject, ()))
            parts = (part for row in sorted(numbers) for part in found[row])
            answers.append(tuple(islice(parts, records.FOUND_PER_QUERY_MAX)))
        return Found(current, tuple(answers))

    def search(self, text: str, after: int, limit: int) -> list[tuple[int, registry_pb2.RegistryRecord]]:
        """Give (row number, record) of the current list behind a row number; empty if there is no list.

        A row of which parts are frozen, cancelled or released is given in its parts, under one number.
        """
        with self._database.reading() as connection:
            current = records.current_import(connection)
            if current is None:
                return []
            number = current.import_number
            rows = dict(records.search_records(connection, number, text=text, after=after, limit=limit))
            standing = rows_as_they_stand(connection, number, rows)
            return [(row, part) for row in rows for part in standing[row]]
