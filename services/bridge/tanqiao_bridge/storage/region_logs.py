"""Leaves of the bridge's own log and of the regions' logs, read alike by the name of the log's party."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.db.sealed_logs import ReadLeaves
from tanqiao.signing.parties import BRIDGE
from tanqiao_bridge.storage.log import log_size
from tanqiao_bridge.storage.tables import log_leaf, region_leaf


def leaves_of(party: str) -> ReadLeaves:
    """Give what reads the leaves of a party's log."""
    if party == BRIDGE:
        return _own_leaves

    def read(connection: sa.Connection, start: int, limit: int) -> Sequence[bytes]:
        rows = connection.execute(
            sa.select(region_leaf.c.leaf)
            .where(region_leaf.c.log == party, region_leaf.c.log_index >= start)
            .order_by(region_leaf.c.log_index)
            .limit(limit)
        )
        return [bytes(row[0]) for row in rows.all()]  # fetched row by row, each costs more

    return read


def _own_leaves(connection: sa.Connection, start: int, limit: int) -> Sequence[bytes]:
    rows = connection.execute(
        sa.select(log_leaf.c.leaf)
        .where(log_leaf.c.log_index >= start)
        .order_by(log_leaf.c.log_index)
        .limit(limit)
    )
    return [bytes(row[0]) for row in rows.all()]


def size_of(connection: sa.Connection, party: str) -> int:
    """Give the number of durable leaves of a party's log."""
    if party == BRIDGE:
        return log_size(connection)
    last = connection.execute(
        sa.select(sa.func.max(region_leaf.c.log_index)).where(region_leaf.c.log == party)
    ).scalar()
    return 0 if last is None else int(last) + 1


def append_region_leaves(
    connection: sa.Connection, party: str, first_index: int, leaves: Sequence[bytes]
) -> None:
    """Append leaves of a region's log; the caller has seen that they follow what is there."""
    insert_rows(connection, region_leaf, [(party, first_index + at, leaf) for at, leaf in enumerate(leaves)])
