"""Reads of a gateway's list, each in one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.db.engine import Database
from tanqiao_gateway.application.orders import rows_as_they_stand
from tanqiao_gateway.storage import records
from tanqiao_gateway.storage.records import ImportRow

__all__ = ["Found", "ImportRow", "Queries"]


@dataclass(frozen=True, slots=True)
class Found:
    """The records that answer each query, in the order of the queries, and the list they stand in."""

    current: ImportRow
    records: tuple[tuple[registry_pb2.RegistryRecord, ...], ...]


class Queries:
    """Reads of one gateway's database; the current list is the one with the latest as-of date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> ImportRow | None:
        """Give the list that counts now, None if nothing was imported."""
        with self._database.reading() as connection:
            return records.current_import(connection)

    def imports(self, after: int, limit: int) -> list[ImportRow]:
        """Give imports, newest first, behind a number."""
        with self._database.reading() as connection:
            return records.list_imports(connection, after, limit)

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
