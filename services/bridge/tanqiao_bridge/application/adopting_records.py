"""In which order records of authorities are taken back, and which of them count no more (PROTOCOL row 11).

A region keeps of each key the record that it was told last, without its place in the log, and one region may
have been told more than another. Whoever reports first, the same keys come out: what begins comes before what
ends, and within the epoch a record only narrows what another said of its key.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.reported import OpenedItem
from tanqiao_bridge.storage import recovery
from tanqiao_bridge.storage.tables import key_record


def in_order(items: Iterable[OpenedItem]) -> list[OpenedItem]:
    """Give reported records so that each finds what it rests on: roots, keys, ends, agreements."""
    return sorted(items, key=_place)


def _place(item: OpenedItem) -> tuple[int, int, int, bytes]:
    record = item.opened.message
    if not isinstance(record, messages_pb2.KeyRecord):
        return (3, 0, 0, item.row.message_hash)
    ends = 2 if record.revoked else 1 if record.valid_to_index else 0
    return (ends, int(int(record.role) != KeyRole.ROOT), record.key_epoch, item.row.message_hash)


def superseding_index(group: Group, record: messages_pb2.KeyRecord) -> int | None:
    """Give the index of what this epoch has taken of the key, if the record would only widen it."""
    entry = KeyEntry.of_record(record)
    known = (group.directory or group.context.directory).get(entry.key_id)
    first = recovery.continues_from(group.connection)
    if known is None or first is None or _narrows(entry, known):
        return None
    index = group.connection.execute(
        sa.select(key_record.c.log_index).where(key_record.c.key_id == entry.key_id)
    ).scalar_one()
    return int(index) if index >= first else None


def _narrows(entry: KeyEntry, known: KeyEntry) -> bool:
    if entry.revoked and not known.revoked:
        return True
    return entry.valid_to_index is not None and (
        known.valid_to_index is None or entry.valid_to_index < known.valid_to_index
    )
