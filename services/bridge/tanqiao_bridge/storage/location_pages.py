"""Pages of the location map as each location root found them: what a proof of an older root is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.db.location_pages import LocationPages
from tanqiao.offline.location_map import MapPage, PageKey
from tanqiao_bridge.storage.tables import location, location_page

PAGES: Final = LocationPages(location)
"""The map as it is now."""


def insert_versions(
    connection: sa.Connection, log_index: int, pages: Iterable[tuple[PageKey, MapPage | None]]
) -> None:
    """Keep pages as of the root at an index."""
    insert_rows(
        connection,
        location_page,
        [
            (*key, log_index, 0, b"") if page is None else (*key, log_index, page.size, page.root)
            for key, page in pages
        ],
        ("series_id", "number", "log_index", "size", "root"),
    )


def newest_root_index(connection: sa.Connection, before_index: int) -> int | None:
    """Give the index of the newest location root before an index, None where there is none."""
    found = connection.execute(
        sa.select(sa.func.max(location_page.c.log_index)).where(location_page.c.log_index < before_index)
    ).scalar()
    return None if found is None else int(found)


def pages_at(connection: sa.Connection, root_index: int) -> list[MapPage]:
    """Give the pages of the map whose root stands at an index, in the order of the tree."""
    columns = location_page.c
    newest = (
        sa.select(columns.series_id, columns.number, sa.func.max(columns.log_index).label("log_index"))
        .where(columns.log_index <= root_index)
        .group_by(columns.series_id, columns.number)
        .subquery()
    )
    rows = connection.execute(
        sa.select(columns.series_id, columns.number, columns.size, columns.root)
        .join(
            newest,
            sa.and_(
                columns.series_id == newest.c.series_id,
                columns.number == newest.c.number,
                columns.log_index == newest.c.log_index,
            ),
        )
        .where(columns.size > 0)
    )
    return sorted(MapPage(row[0], row[1], row[2], bytes(row[3])) for row in rows)
