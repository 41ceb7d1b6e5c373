"""The region's log (PROTOCOL section 8): one leaf for each journal entry, sealed with the node's own key."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.db.engine import Database
from tanqiao.db.sealed_logs import DatabaseLogStore, StoredCheckpoint
from tanqiao.signing.forms import FIRST_HASH, SECOND_HASH, Form, place
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.leaf import make_leaf
from tanqiao.tlog.merkle import HASH_SIZE_BYTES
from tanqiao.tlog.sealing import Sealer, SignersNow
from tanqiao_region.storage.journal import FIRST_INDEX, JournalRow, read_entries
from tanqiao_region.storage.tables import sealed_logs

LEAF_KIND: Final = "journal"
FORMS_KEPT_MAX: Final = 1_024
_INDEX_BYTES: Final = 8
_INDEX: Final = place(6, _INDEX_BYTES)

Salt = Callable[[int], bytes]
"""Gives the salt of the entry at an index of the journal."""


def leaf_of(row: JournalRow, salt: bytes) -> bytes:
    """Give the leaf of a journal entry.

    Its commitment is SHA-256(entry ‖ salt): with the entry and the salt anybody can check what the log says.
    """
    message_hash = journal_pb2.JournalEntry.FromString(row.entry).message_hash
    named = (message_hash,) if len(message_hash) == HASH_SIZE_BYTES else ()
    form = _leaf_form(row.kind, row.legal_date, len(named))
    entry = hashlib.sha256(row.entry + salt).digest()
    return form.fill(entry, row.journal_index.to_bytes(_INDEX_BYTES, "big"), *named)


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _leaf_form(kind: int, legal_date: str, named: int) -> Form:
    """Give the leaf of all entries of a kind and day that name so many messages, 0 or 1."""
    places = (FIRST_HASH, _INDEX, SECOND_HASH)[: 2 + named]
    leaf = make_leaf(
        LEAF_KIND,
        message_hashes=places[2:],
        public={
            "entry": FIRST_HASH,
            "index": _INDEX,
            "kind": str(kind).encode(),
            "legal_date": legal_date.encode(),
        },
    )
    return Form(leaf.encode(), places)


__all__ = ["OwnLog", "StoredCheckpoint", "leaf_of"]


class OwnLog:
    """One node's log.

    Args:
        database: of the node.
        signer: its checkpoint key, or what gives those that sign now.
        party: name of the node.
        salt: salts of the entries.
    """

    def __init__(
        self,
        database: Database,
        signer: NoteSigner | SignersNow,
        party: str,
        salt: Salt,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._party = party
        self._salt = salt
        self._made: tuple[int, list[bytes]] = (0, [])
        self._sealer = Sealer(DatabaseLogStore(database, sealed_logs, party, self._read, now_ms), signer)

    def seal(self) -> bool:
        """Seal what the journal has grown by, up to what one seal takes; whether there is more.

        Raises:
            TlogError: the journal is not what was sealed before; nothing is signed.
        """
        sealed = self._sealer.seal()
        return sealed is not None and sealed.more

    def checkpoint(self) -> StoredCheckpoint | None:
        """Give the newest checkpoint."""
        with self._database.reading() as connection:
            return sealed_logs.checkpoint(connection, self._party)

    def leaves(self, start: int, limit: int) -> list[bytes]:
        """Give leaves from an index of the log on; those made for the last seal are not made again."""
        first, made = self._made
        if first <= start and start + limit <= first + len(made):
            return made[start - first : start - first + limit]
        with self._database.reading() as connection:
            return list(self._read(connection, start, limit))

    def _read(self, connection: sa.Connection, start: int, limit: int) -> Sequence[bytes]:
        rows = read_entries(connection, from_index=start + FIRST_INDEX, limit=limit)
        leaves = [leaf_of(row, self._salt(row.journal_index)) for row in rows]
        self._made = (start, leaves)
        return leaves
