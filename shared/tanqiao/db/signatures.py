"""Signatures kept beside the payloads that they stand over: one row for a whole batch (PROTOCOL section 2).

A payload is stored once, in the table of what it is about, with the id of its signature row and its
position in the batch. From the two the very envelope can be made again, with the path that proves the item
alone. Rows are never changed or removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.direct import Prepared
from tanqiao.kernel.invariants import require
from tanqiao.signing.batch import ItemWriter
from tanqiao.signing.forms import bytes_field
from tanqiao.signing.merkle import tree_levels
from tanqiao.signing.pae import message_hashes

HASH_BYTES: Final = 32
SINGLE: Final = 0
"""Size of a row whose signature was received with one envelope; its proof, if any, stands in the row."""
LEVELS_KEPT_MAX: Final = 64
ROWS_PER_PAGE: Final = 1_000
TABLES_MAX: Final = 8
_PAYLOAD: Final = envelope_pb2.Envelope.PAYLOAD_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """What stands over one payload (size 0) or a batch of them."""

    payload_type: str
    size: int
    hashes: bytes
    signatures: bytes


def store_batch(
    connection: sa.Connection,
    table: sa.Table,
    batch: envelope_pb2.EnvelopeBatch,
    hashes: Sequence[bytes] = (),
) -> int:
    """Keep the signature of a batch, made or received; the id to store beside each payload.

    `hashes` are the message hashes of its items where they are known, and made here where they are left out.
    """
    require(len(hashes) in (0, len(batch.payloads)), "hashes of all items are known, or of none")
    hashes = hashes or message_hashes(batch.payload_type, list(batch.payloads))
    frame = envelope_pb2.EnvelopeBatch(payload_type=batch.payload_type, signatures=batch.signatures)
    return _insert(
        connection, table, batch.payload_type, len(hashes), b"".join(hashes), frame.SerializeToString()
    )


def store_envelope(connection: sa.Connection, table: sa.Table, envelope: envelope_pb2.Envelope) -> int:
    """Keep the signatures of one envelope (and its batch proof); its item index is 0."""
    frame = envelope_pb2.Envelope()
    frame.CopyFrom(envelope)
    frame.ClearField("payload")
    return _insert(connection, table, envelope.payload_type, SINGLE, b"", frame.SerializeToString())


def _insert(
    connection: sa.Connection, table: sa.Table, payload_type: str, size: int, hashes: bytes, signatures: bytes
) -> int:
    rows = _insert_into(table).rows(
        connection, payload_type=payload_type, size=size, hashes=hashes, signatures=signatures
    )
    require(len(rows) == 1, "the database gave no id to a signature")
    return int(rows[0][0])


@lru_cache(maxsize=TABLES_MAX)
def _insert_into(table: sa.Table) -> Prepared:
    statement = sa.insert(table).returning(table.c.signature_id)
    return Prepared(statement, ("payload_type", "size", "hashes", "signatures"))


def load_signatures(
    connection: sa.Connection, table: sa.Table, ids: Iterable[int | None]
) -> Mapping[int, SignatureRow]:
    """Give the rows of these ids; None is skipped."""
    wanted = sorted({signature_id for signature_id in ids if signature_id is not None})
    rows = rows_by_key(
        connection,
        table,
        ("signature_id",),
        [(signature_id,) for signature_id in wanted],
        ("signature_id", "payload_type", "size", "hashes", "signatures"),
    )
    return {row[0]: SignatureRow(row[1], row[2], bytes(row[3]), bytes(row[4])) for row in rows}


Write = Callable[[bytes, int], bytes]
"""Gives the serialised envelope of a payload as stored, with its position in the batch."""


def envelope_writer(row: SignatureRow) -> Write:
    """Give what makes the very envelopes of a signature's payloads again, each with its own path."""
    if row.size == SINGLE:
        # Fields of serialised messages that are put one behind the other read as one message.
        return lambda payload, _item_index: bytes_field(_PAYLOAD, payload) + row.signatures
    frame = envelope_pb2.EnvelopeBatch.FromString(row.signatures)
    return ItemWriter(row.payload_type, frame.signatures, _levels(row.hashes)).write


def envelope_from(row: SignatureRow, payload: bytes, item_index: int) -> envelope_pb2.Envelope:
    """Make one envelope again, read; for many of one signature, `envelope_writer` is made once."""
    return envelope_pb2.Envelope.FromString(envelope_writer(row)(payload, item_index))


def envelopes_by_batch(
    connection: sa.Connection, table: sa.Table, selected: sa.Select[Any]
) -> Iterator[tuple[Any, envelope_pb2.Envelope]]:
    """Make the envelopes of very many stored payloads, batch after batch: the tree of each is made once.

    Args:
        connection: inside a transaction, which reads on while this goes on.
        table: of the signatures.
        selected: gives `payload`, `signature_id` and `item_index`, and whatever else the caller wants.

    Yields:
        Each row with its envelope, in the order of the signatures.
    """
    ordered = selected.order_by("signature_id", "item_index")
    result = connection.execution_options(yield_per=ROWS_PER_PAGE).execute(ordered)
    for rows in result.partitions():
        signatures = load_signatures(connection, table, [row.signature_id for row in rows])
        writers = {signature_id: envelope_writer(row) for signature_id, row in signatures.items()}
        for row in rows:
            written = writers[row.signature_id](bytes(row.payload), row.item_index)
            yield row, envelope_pb2.Envelope.FromString(written)


@lru_cache(maxsize=LEVELS_KEPT_MAX)
def _levels(hashes: bytes) -> Sequence[Sequence[bytes]]:
    return tree_levels([hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)])


def signature_table(metadata: sa.MetaData, name: str = "signature") -> sa.Table:
    """Define the table; see the module's text. `hashes` are 32 bytes per item, in order."""
    integer: Any = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Table(
        name,
        metadata,
        sa.Column("signature_id", integer, primary_key=True, autoincrement=True),
        sa.Column("payload_type", sa.String(96), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.Column("signatures", sa.LargeBinary, nullable=False),
    )
