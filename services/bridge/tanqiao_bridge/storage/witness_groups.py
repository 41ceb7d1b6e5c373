"""The changes of the group of witnesses, as their leaves state them (PROTOCOL section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.witness_groups import CHANGES_MAX, GroupChange
from tanqiao_bridge.storage.claim_tables import metadata
from tanqiao_bridge.storage.region_logs import leaves_of
from tanqiao_bridge.storage.tables import sealed_logs

witness_group_change = sa.Table(
    "witness_group_change",
    metadata,
    sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("change_id", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("witnesses", sa.Text, nullable=False),
    sa.Column("quorum", sa.Integer, nullable=False),
    sa.Column("by_roots", sa.Boolean, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("handover", sa.LargeBinary, nullable=False),
)
"""Who counts behind each change; `witnesses` a line each, `envelope` the record as it was signed.

`handover`: of a rebuilt bridge the checkpoint that the group before cosigned, as mirrors have kept it.
"""

_columns: Final = witness_group_change.c


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A change with its record; of a rebuilt bridge with the checkpoint of its handover."""

    change: GroupChange
    change_id: bytes
    envelope: bytes
    handover: bytes = b""


def insert_change(connection: sa.Connection, row: StoredChange) -> None:
    """Write a change."""
    connection.execute(
        sa.insert(witness_group_change).values(
            log_index=row.change.log_index,
            change_id=row.change_id,
            witnesses="\n".join(row.change.group.witnesses),
            quorum=row.change.group.quorum,
            by_roots=row.change.by_roots,
            envelope=row.envelope,
            handover=row.handover,
        )
    )


def load_changes(
    connection: sa.Connection, after_log_index: int = -1, limit: int = CHANGES_MAX
) -> list[StoredChange]:
    """Give changes behind a log index, in the order of the log."""
    rows = connection.execute(
        sa.select(witness_group_change)
        .where(_columns.log_index > after_log_index)
        .order_by(_columns.log_index)
        .limit(limit)
    ).all()
    return [_stored(row) for row in rows]


def find_change(connection: sa.Connection, change_id: bytes) -> StoredChange | None:
    """Give the change of an id."""
    row = connection.execute(sa.select(witness_group_change).where(_columns.change_id == change_id)).first()
    return None if row is None else _stored(row)


def _stored(row: sa.Row[tuple[object, ...]]) -> StoredChange:
    change = GroupChange(
        row.log_index, WitnessGroup(tuple(row.witnesses.split("\n")), row.quorum), bool(row.by_roots)
    )
    return StoredChange(change, bytes(row.change_id), bytes(row.envelope), bytes(row.handover))


def leaves_to_seal(connection: sa.Connection, start: int, limit: int) -> Sequence[bytes]:
    """Give the bridge's leaves that may be sealed: none behind a change that waits for the group before.

    That group cosigns the tree whose last leaf is the change; a larger one would need the new group, which
    would have nothing to rest on.
    """
    leaves = leaves_of(BRIDGE)(connection, start, limit)
    # Read behind the leaves: a change that is committed meanwhile is not overlooked.
    end = _waiting_size(connection, start + len(leaves))
    return leaves if end is None else leaves[: max(0, end - start)]


def _waiting_size(connection: sa.Connection, below: int) -> int | None:
    settled = sa.select(sa.func.coalesce(sa.func.max(_columns.log_index), -1)).where(
        _columns.by_roots, _columns.log_index < below
    )
    waiting = connection.execute(
        sa.select(_columns.log_index)
        .where(
            sa.not_(_columns.by_roots),
            _columns.log_index > settled.scalar_subquery(),
            _columns.handover == b"",
        )
        .order_by(_columns.log_index)
    ).scalars()
    sizes = [log_index + 1 for log_index in waiting]
    if not sizes:
        return None
    done = sealed_logs.cosigned_checkpoint(connection, BRIDGE)
    sealed = sealed_logs.tree(connection, BRIDGE).size
    return next(
        (size for size in sizes if size >= sealed and (done is None or size > done.size)),
        None,
    )
