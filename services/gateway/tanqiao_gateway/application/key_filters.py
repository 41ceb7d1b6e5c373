"""The filter of the keys of the list in force, made when it is first asked for and kept while the list is."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

from tanqiao.claims.key_filter import KEYS_MAX, bits_of, version_of
from tanqiao.db.engine import Database
from tanqiao_gateway.storage import records
from tanqiao_gateway.storage.records import ImportRow


@dataclass(frozen=True, slots=True)
class ListFilter:
    """The filter of one list; without bits where there is no list, or one with too many keys."""

    list_version: bytes = b""
    bits: bytes = b""


def list_version(row: ImportRow) -> bytes:
    """Name a list by the form of its keys and all that its records were made of.

    Another database's first import is another list, and so is the same one under keys of another form.
    """
    facts = (row.import_number, row.digest, row.mapping, row.as_of_date, row.imported_at, row.row_count)
    return version_of(hashlib.sha256(repr(facts).encode()).digest())


class KeyFilters:
    """Makes filters, one at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made = ListFilter()
        self._lock = threading.Lock()

    def current(self) -> ListFilter:
        """Give the filter of the list in force."""
        with self._lock, self._database.reading() as connection:
            row = records.current_import(connection)
            if row is None:
                return ListFilter()
            version = list_version(row)
            if self._made.list_version != version:
                number = row.import_number
                count = records.count_keys(connection, number)
                bits = bits_of(records.all_keys(connection, number), count) if count <= KEYS_MAX else b""
                self._made = ListFilter(version, bits)
            return self._made
