"""The decision log: dense indexes from 0, appended in the transaction of the fact that a leaf records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.db.direct import Prepared
from tanqiao.kernel.invariants import require
from tanqiao.tlog.leaf import Leaf, leaf_hash
from tanqiao_bridge.storage.leaf_kinds import FIRST_KINDS
from tanqiao_bridge.storage.tables import counter, log_leaf

LOG_SIZE: Final = "log_size"
LOG_ENTRIES_PER_PAGE_MAX: Final = 1000
# Made once: making a statement costs more than running it.
_SIZE: Final = Prepared(sa.select(counter.c.value).where(counter.c.name == LOG_SIZE))
_GROWN: Final = Prepared(
    sa.update(counter)
    .where(counter.c.name == LOG_SIZE)
    .values(value=counter.c.value + sa.bindparam("grown_by"))
    .returning(counter.c.value)
)


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """One entry of the log."""

    log_index: int
    kind: str
    leaf: bytes
    leaf_hash: bytes


def reserve_indexes(connection: sa.Connection, count: int) -> int:
    """Take `count` indexes; the first of them. The counter's row is locked to the end of the transaction."""
    rows = _GROWN.rows(connection, grown_by=count)
    require(len(rows) == 1, "the log has no counter: the migrations did not run")
    return int(rows[0][0]) - count


def write_leaves(
    connection: sa.Connection,
    first_index: int,
    leaves: Sequence[Leaf],
    *,
    recorded_at: int,
    announced: str = "",
) -> None:
    """Write leaves at the indexes reserved for them.

    Args:
        connection: of the transaction of the facts.
        first_index: reserved for them.
        leaves: of the kinds of the first version, and of `announced`.
        recorded_at: epoch seconds.
        announced: a later kind that `require_announced` has given back in this transaction.
    """
    unasked = {leaf.kind for leaf in leaves} - FIRST_KINDS - {announced}
    require(not unasked, f"leaves of kinds that no witness was asked for: {sorted(unasked)}")
    insert_rows(
        connection,
        log_leaf,
        [
            (first_index + position, leaf.kind, data, leaf_hash(data), recorded_at)
            for position, (leaf, data) in enumerate((leaf, leaf.encode()) for leaf in leaves)
        ],
    )


def write_encoded(
    connection: sa.Connection, first_index: int, kind: str, leaves: Sequence[bytes], *, recorded_at: int
) -> None:
    """Write encoded leaves of one kind of the first version at the indexes reserved for them."""
    require(kind in FIRST_KINDS, f"no witness was asked for leaves of the kind {kind}")
    insert_rows(
        connection,
        log_leaf,
        [
            (first_index + position, kind, data, leaf_hash(data), recorded_at)
            for position, data in enumerate(leaves)
        ],
    )


def append_leaves(
    connection: sa.Connection, leaves: Sequence[Leaf], *, recorded_at: int, announced: str = ""
) -> int:
    """Reserve and write; the index of the first leaf."""
    first_index = reserve_indexes(connection, len(leaves))
    write_leaves(connection, first_index, leaves, recorded_at=recorded_at, announced=announced)
    return first_index


def log_size(connection: sa.Connection) -> int:
    """Give the number of leaves, which is the index that the next one takes."""
    rows = _SIZE.rows(connection)
    return int(rows[0][0]) if rows else 0


def read_leaves(connection: sa.Connection, from_index: int, limit: int) -> list[StoredLeaf]:
    """Give up to `limit` leaves from an index on, in order."""
    require(
        0 < limit <= LOG_ENTRIES_PER_PAGE_MAX, f"a page of the log has 1 to {LOG_ENTRIES_PER_PAGE_MAX} leaves"
    )
    columns = log_leaf.c
    rows = connection.execute(
        sa.select(columns.log_index, columns.kind, columns.leaf, columns.leaf_hash)
        .where(columns.log_index >= from_index)
        .order_by(columns.log_index)
        .limit(limit)
    )
    return [StoredLeaf(row.log_index, row.kind, bytes(row.leaf), bytes(row.leaf_hash)) for row in rows]
