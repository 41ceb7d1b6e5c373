"""What a bridge that was restored collects: items of the regions' reports, and who has reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import delete_by_key, insert_rows, rows_by_key, update_by_key
from tanqiao.db.node_state import get_state
from tanqiao.protocol.types import TransferKey
from tanqiao_bridge.storage.tables import node_state, recovery_item, recovery_paper, recovery_report, region

EPOCH_RECORD: Final = "epoch_record"
"""The EpochRecord of the present epoch as an envelope, base64; absent in the first."""
CONTINUES_FROM: Final = "continues_from_index"
REFUSED: Final = -1
"""Index of an item that contradicts what the bridge has: kept as evidence, never adopted."""


class Item(NamedTuple):
    """One reported message: its type, the index that it was signed with, the serialised ReportItem."""

    message_hash: bytes
    region: str
    kind: str
    old_index: int
    item: bytes


class Paper(NamedTuple):
    """An undecided promise of a region: whose transfer, its message hash, the serialised Papers."""

    source: str
    transfer_id: bytes
    message_hash: bytes
    region: str
    paper: bytes


def continues_from(connection: sa.Connection) -> int | None:
    """Give the index that this epoch continues from; None in the first epoch."""
    value = get_state(connection, node_state, CONTINUES_FROM)
    return None if value is None else int(value)


def insert_items(connection: sa.Connection, epoch: int, items: Sequence[Item]) -> int:
    """Keep reported messages; those that are kept already stay. Gives the number of new ones."""
    keys = [(epoch, one.message_hash, one.region) for one in items]
    known = {
        (bytes(row[0]), row[1])
        for row in rows_by_key(
            connection,
            recovery_item,
            ("epoch", "message_hash", "region"),
            keys,
            ("message_hash", "region"),
        )
    }
    fresh = {
        (one.message_hash, one.region): one for one in items if (one.message_hash, one.region) not in known
    }
    insert_rows(
        connection,
        recovery_item,
        [(epoch, one.message_hash, one.region, one.kind, one.old_index, one.item) for one in fresh.values()],
        ("epoch", "message_hash", "region", "kind", "old_index", "item"),
    )
    return len(fresh)


def insert_papers(connection: sa.Connection, epoch: int, papers: Sequence[Paper]) -> int:
    """Keep undecided promises; those that are kept already stay. Gives the number of new ones."""
    names = ("epoch", "source", "transfer_id", "message_hash")
    keys = {(epoch, one.source, one.transfer_id, one.message_hash): one for one in papers}
    for row in rows_by_key(connection, recovery_paper, names, list(keys), names):
        del keys[row[0], row[1], bytes(row[2]), bytes(row[3])]
    insert_rows(connection, recovery_paper, [(epoch, *one) for one in keys.values()])
    return len(keys)


def forget_papers(connection: sa.Connection, epoch: int, serving: Iterable[TransferKey] = ()) -> None:
    """Delete the promises of older epochs, and of this one those that are of none of these transfers."""
    columns = recovery_paper.c
    connection.execute(sa.delete(recovery_paper).where(columns.epoch < epoch))
    kept = {(key.source, key.transfer_id) for key in serving}
    rows = connection.execute(
        sa.select(columns.source, columns.transfer_id).where(columns.epoch == epoch).distinct()
    )
    gone = [(epoch, row[0], bytes(row[1])) for row in rows if (row[0], bytes(row[1])) not in kept]
    delete_by_key(connection, recovery_paper, ("epoch", "source", "transfer_id"), gone)


def load_papers(
    connection: sa.Connection, epoch: int, keys: Iterable[TransferKey]
) -> dict[TransferKey, list[Paper]]:
    """Give the undecided promises that were reported of these transfers, in the order of their hashes."""
    found: dict[TransferKey, list[Paper]] = {}
    wanted = [(epoch, key.source, key.transfer_id) for key in keys]
    names = ("epoch", "source", "transfer_id")
    for row in sorted(rows_by_key(connection, recovery_paper, names, wanted, Paper._fields)):
        paper = Paper(row[0], bytes(row[1]), bytes(row[2]), row[3], bytes(row[4]))
        found.setdefault(TransferKey(paper.source, paper.transfer_id), []).append(paper)
    return found


def waiting_items(connection: sa.Connection, epoch: int) -> list[Item]:
    """Give what is not adopted yet, in the order in which the epoch before decided it."""
    columns = recovery_item.c
    rows = connection.execute(
        sa.select(columns.message_hash, columns.region, columns.kind, columns.old_index, columns.item)
        .where(columns.epoch == epoch, columns.log_index.is_(None))
        .order_by(columns.old_index, columns.message_hash, columns.region)
    )
    return [Item(bytes(row[0]), row[1], row[2], row[3], bytes(row[4])) for row in rows]


def note_adopted(connection: sa.Connection, epoch: int, rows: Iterable[tuple[bytes, str, int]]) -> None:
    """Note at which index items were adopted: (message hash, region, log index)."""
    update_by_key(
        connection,
        recovery_item,
        ("epoch", "message_hash", "region"),
        ("log_index",),
        [(epoch, message_hash, party, log_index) for message_hash, party, log_index in rows],
    )


def note_report(connection: sa.Connection, epoch: int, party: str, now: int) -> None:
    """Note that a region has reported; the first time counts."""
    known = connection.execute(
        sa.select(recovery_report.c.region).where(
            recovery_report.c.epoch == epoch, recovery_report.c.region == party
        )
    ).first()
    if known is None:
        insert_rows(connection, recovery_report, [(epoch, party, now)])


def missing_regions(connection: sa.Connection, epoch: int) -> frozenset[str]:
    """Give the regions that have not reported to this epoch; none in the first."""
    if continues_from(connection) is None:
        return frozenset()
    reported = sa.select(recovery_report.c.region).where(recovery_report.c.epoch == epoch)
    return frozenset(
        connection.execute(sa.select(region.c.region).where(region.c.region.not_in(reported))).scalars()
    )


def counts(connection: sa.Connection, epoch: int) -> tuple[int, int, int]:
    """Give how many items were collected, are adopted, and wait."""
    columns = recovery_item.c
    row = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(columns.log_index),
        ).where(columns.epoch == epoch)
    ).one()
    return int(row[0]), int(row[1]), int(row[0] - row[1])


def last_adopted_index(connection: sa.Connection, epoch: int) -> int:
    """Give the highest index at which something of an older epoch was adopted; -1 for nothing."""
    value = connection.execute(
        sa.select(sa.func.max(recovery_item.c.log_index)).where(recovery_item.c.epoch == epoch)
    ).scalar()
    return -1 if value is None else int(value)
