"""Small durable facts of the node: its identity, how far the bridge's log has been applied, its test clock.

`bridge_stream` says how far the numbered traffic of the bridge has taken effect (PROTOCOL section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao.db.direct import Prepared
from tanqiao.protocol.numbering import InboxState
from tanqiao_region.storage.tables import inbox, key_record, node_state, recognition

BRIDGE: Final = "bridge"

INCARNATION: Final = "incarnation"
SESSION_NUMBER: Final = "session_number"
APPLIED_LOG_INDEX: Final = "applied_log_index"
RECOVERING: Final = "recovering"
"""Not empty while the node recovers from an old backup: it serves reads only (PROTOCOL section 6)."""
EPOCH_RECORD: Final = "bridge_epoch_record"
"""The newest EpochRecord of the bridge as an envelope, base64: the bridge was restored."""
REPORT_FROM: Final = "bridge_report_from"
"""Lowest index that an epoch of the bridge has continued from: what is reported to it begins there."""
WITNESS_QUORUM: Final = "witness_quorum"
"""Smallest number of witnesses that makes the newest leaf final, as this node last believed it."""
FINGERPRINT: Final = "fingerprint_of_the_secret"
WRITER: Final = "writer"
"""A row that every writing transaction locks on PostgreSQL: one writer at a time, whatever the processes."""

FIRST_INCARNATION: Final = 1
NOTHING_APPLIED: Final = -1


def load_values(connection: sa.Connection, names: Iterable[str]) -> dict[str, str]:
    """Give the facts that are there, by name."""
    found = rows_by_key(connection, node_state, ("name",), [(name,) for name in names], ("name", "value"))
    return {row[0]: row[1] for row in found}


def store_value(connection: sa.Connection, name: str, value: object) -> None:
    """Write one fact."""
    if update_by_key(connection, node_state, ("name",), ("value",), [(name, str(value))]) == 0:
        insert_rows(connection, node_state, [(name, str(value))])


_LOCK_WRITER: Final = Prepared(
    sa.select(node_state.c.value).where(node_state.c.name == WRITER).with_for_update()
)


def lock_writer(connection: sa.Connection) -> dict[str, str]:
    """Begin the work of a writing transaction; gives the facts that it needs.

    On PostgreSQL several processes may serve one node: the row `writer` is locked to the end of the
    transaction, so that the journal's index stays dense and nobody waits half-way for another.
    """
    if connection.dialect.name != "sqlite":
        _LOCK_WRITER.rows(connection)
    return load_values(connection, (APPLIED_LOG_INDEX, INCARNATION, RECOVERING))


_BRIDGE_STREAM: Final = Prepared(
    sa.select(inbox.streams.c.incarnation, inbox.streams.c.received_number)
    .where(inbox.streams.c.sender == BRIDGE)
    .order_by(inbox.streams.c.incarnation.desc())
    .limit(1)
)


def bridge_stream(connection: sa.Connection) -> InboxState:
    """Give the bridge's newest incarnation and the number received of it."""
    rows = _BRIDGE_STREAM.rows(connection)
    return InboxState(rows[0][0], rows[0][1]) if rows else InboxState()


def load_key_envelopes(connection: sa.Connection) -> list[bytes]:
    """Give the envelopes of the key records that came over the line, oldest epoch first."""
    rows = connection.execute(
        sa.select(key_record.c.envelope).order_by(key_record.c.valid_from_index, key_record.c.key_epoch)
    )
    return [bytes(row.envelope) for row in rows]


def store_key_record(connection: sa.Connection, values: Mapping[str, object]) -> None:
    """Keep a key record; a later one of the same key replaces it."""
    connection.execute(sa.delete(key_record).where(key_record.c.key_id == values["key_id"]))
    connection.execute(sa.insert(key_record).values(**values))


def load_recognitions(connection: sa.Connection) -> list[tuple[bytes, bytes]]:
    """Give (payload, envelope) of every recognition record."""
    rows = connection.execute(sa.select(recognition.c.payload, recognition.c.envelope))
    return [(bytes(row.payload), bytes(row.envelope)) for row in rows]


def store_recognition(connection: sa.Connection, values: Mapping[str, object]) -> None:
    """Keep a recognition record; an agreement has one."""
    connection.execute(sa.insert(recognition).values(**values))
