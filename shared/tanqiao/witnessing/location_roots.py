"""The location map of a witness: what it compares a location root with (PROTOCOL section 8).

The pages are kept as hashes; those that the replayed leaves changed are read again when a root comes. The
first root after a start, and one that does not agree, is compared with the whole table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tanqiao.db.engine import Database
from tanqiao.db.location_pages import LocationPages
from tanqiao.offline.location_map import LOCATION_ROOT_KIND, LocationMap, PageKey, page_key
from tanqiao.protocol.locations import LocationRow
from tanqiao.tlog.leaf import Leaf
from tanqiao.witnessing import tables
from tanqiao.witnessing.replay import Place, SeenLeaf

PAGES: Final = LocationPages(tables.location)
_START: Final = Leaf(LOCATION_ROOT_KIND).encode()[:-1]


def until_location_root(leaves: Sequence[SeenLeaf]) -> Sequence[SeenLeaf]:
    """Cut a stretch before a location root that is not its first leaf: it is compared with what is stored."""
    for position, leaf in enumerate(leaves):
        if position and is_location_root(leaf):
            return leaves[:position]
    return leaves


def is_location_root(leaf: SeenLeaf) -> bool:
    """Whether a leaf states a location root, by its first bytes."""
    return leaf.data.startswith(_START)


class WitnessMap:
    """The map of one witness's table.

    Args:
        database: of the witness.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._map: LocationMap | None = None
        self._changed: set[PageKey] = set()

    def note(self, rows: Iterable[LocationRow[Place]]) -> None:
        """Note rows that were written or taken out."""
        self._changed.update(page_key(row.series_id, row.start) for row in rows)

    def is_root(self, size: int, root: bytes) -> bool:
        """Whether a root is that of the map as it is stored."""
        is_fresh = self._map is None
        located = self._brought_up()
        if not is_fresh and (located.size, located.root) != (size, root):
            self._map = None
            located = self._brought_up()
        return (located.size, located.root) == (size, root)

    def _brought_up(self) -> LocationMap:
        with self._database.reading() as connection:
            if self._map is None:
                self._map = LocationMap()
                self._map.put(PAGES.read_all(connection))
            else:
                self._map.put(PAGES.pages_of(connection, self._changed))
        self._changed.clear()
        return self._map
