"""Proofs of where a unit is under a location root (PROTOCOL section 8), made when they are asked for.

The row is that of the map before the root's leaf: as it stands where the series has not moved since, else
replayed from the series' own history up to there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.offline.location_map import LocationMap, MapRow, bucket_of, page_key, page_of_rows
from tanqiao.protocol.locations import LocationBook
from tanqiao.signing.parties import BRIDGE
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tanqiao_bridge.application.location_history import location_events, replay_into
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.location_pages import PAGES, newest_root_index, pages_at
from tanqiao_bridge.storage.tables import sealed_logs

EVENTS_MAX: Final = 200_000
"""Longest history of a series that is replayed for one answer; who wants more replays the log."""

Placed = tuple[int, bytes, Sequence[bytes]]
"""Index in its tree, framed bytes, path to the root."""


@dataclass(frozen=True, slots=True)
class LocationProof:
    """The leaf of a location root, a row of its map, and what stands between the two."""

    log_index: int
    leaf: bytes
    row: Placed
    page: Placed
    bucket: Placed


class LocationProofs:
    """Makes such proofs from one bridge's database."""

    def __init__(self, database: Database, quorum: Callable[[], int]) -> None:
        self._database = database
        self._quorum = quorum
        self._made: tuple[int, LocationMap] = (-1, LocationMap())
        """The map of the root that was asked for last: most ask for the newest."""

    def of(self, series_id: str, serial: int, before_index: int) -> LocationProof:
        """Prove where a unit is under the newest root that is final and stands before an index (0: any).

        Raises:
            DomainError: NOT_FOUND where there is no such root, or no such unit under it; BATCH_TOO_LARGE
                where the series has moved too often since to be replayed here.
        """
        with self._database.reading() as connection:
            final = self._final_size(connection)
            wanted = min(before_index or final, final)
            root_index = newest_root_index(connection, wanted)
            if root_index is None:
                raise DomainError("NOT_FOUND", what="location root", id=f"before {wanted}")
            located = self._map_at(connection, root_index)
            rows = _rows_at(connection, series_id, root_index)
            (leaf,) = log.read_leaves(connection, root_index, 1)
        row = next((one for one in rows if one.start <= serial < one.end), None)
        if row is None:
            raise DomainError("NOT_FOUND", what="unit", id=f"{series_id} {serial}")
        key = page_key(series_id, row.start)
        inside = [one for one in rows if page_key(one.series_id, one.start) == key]
        page = page_of_rows(key, [one.values for one in inside])
        require(page is not None and located.has(page), "the rows are those of the root's map")
        index, path = located.page_path(key)
        number = bucket_of(key)
        return LocationProof(
            root_index,
            leaf.leaf,
            _in_page(inside, row),
            (index, page.encode() if page is not None else b"", path),
            (number, located.bucket(number).encode(), located.bucket_path(number)),
        )

    def _map_at(self, connection: sa.Connection, root_index: int) -> LocationMap:
        known, located = self._made
        if known != root_index:
            located = LocationMap()
            located.put({page.key: page for page in pages_at(connection, root_index)})
            self._made = (root_index, located)
        return located

    def _final_size(self, connection: sa.Connection) -> int:
        if self._quorum():
            checkpoint = sealed_logs.cosigned_checkpoint(connection, BRIDGE)
            return 0 if checkpoint is None else checkpoint.size
        return sealed_logs.tree(connection, BRIDGE).size


def _rows_at(connection: sa.Connection, series_id: str, log_index: int) -> list[MapRow]:
    """Give the rows of a series as they were before an index."""
    if not location_events(connection, series_id, first_index=log_index, limit=1):
        return PAGES.rows_of_series(connection, series_id)
    events = location_events(connection, series_id, limit=EVENTS_MAX + 1)
    if len(events) > EVENTS_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="series_id", limit=EVENTS_MAX, count=len(events))
    book: LocationBook[tuple[str, int]] = LocationBook()
    for _ in replay_into(book, [event for event in events if event.log_index < log_index]):
        pass
    return [MapRow(row.series_id, row.start, row.end, *row.place) for row in book.rows()]


def _in_page(inside: Sequence[MapRow], row: MapRow) -> Placed:
    index = inside.index(row)
    return index, row.encode(), MemoryTree(hash_leaf(one.encode()) for one in inside).inclusion_proof(index)
