"""The signed messages that travel beside leaves, outside the tree (PROTOCOL section 8).

Messages of transfers, Issues and records stand in `message`; receipts of claims and of Issues stand with what
they answer, and are found by what the leaf says of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.signatures import envelope_writer, load_signatures
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import Leaf
from tanqiao_bridge.storage.tables import claim_receipt, correction, freeze_order, issue, message, signature

RECEIPT_TYPE: Final = payload_type_of(messages_pb2.IssueReceipt)


def envelopes_beside(connection: sa.Connection, leaves: Sequence[Leaf]) -> list[list[envelope_pb2.Envelope]]:
    """Give for each leaf the messages that it names, in its order, as far as they are kept."""
    read = envelope_pb2.Envelope.FromString
    return [[read(one) for one in beside] for beside in written_beside(connection, leaves)]


def written_beside(connection: sa.Connection, leaves: Sequence[Leaf]) -> list[list[bytes]]:
    """Give the same envelopes serialised, as they are embedded in what is answered."""
    named = [leaf.message_hashes for leaf in leaves]
    found = _messages(connection, [value for hashes in named for value in hashes])
    found |= _issue_receipts(connection, [leaf for leaf in leaves if leaf.kind == "issue"])
    found |= _claim_receipts(connection, [leaf for leaf in leaves if leaf.kind == "claim"])
    found |= _orders(connection, leaves)
    return [[found[value] for value in hashes if value in found] for hashes in named]


def _messages(connection: sa.Connection, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
    keys = [(value,) for value in dict.fromkeys(hashes)]
    columns = ("message_hash", "payload", "signature_id", "item_index")
    return _made(connection, rows_by_key(connection, message, ("message_hash",), keys, columns))


def _issue_receipts(connection: sa.Connection, leaves: Sequence[Leaf]) -> dict[bytes, bytes]:
    keys = [((leaf.get("region") or b"").decode(), leaf.get("issue_id") or b"") for leaf in leaves]
    columns = ("receipt_hash", "receipt_payload", "signature_id", "item_index")
    return _made(connection, rows_by_key(connection, issue, ("region", "issue_id"), keys, columns))


def _made(connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> dict[bytes, bytes]:
    signatures = load_signatures(connection, signature, [row[2] for row in rows])
    writers = {signature_id: envelope_writer(row) for signature_id, row in signatures.items()}
    return {bytes(row[0]): writers[row[2]](bytes(row[1]), row[3]) for row in rows}


def _claim_receipts(connection: sa.Connection, leaves: Sequence[Leaf]) -> dict[bytes, bytes]:
    keys = [(leaf.message_hashes[0],) for leaf in leaves if leaf.message_hashes]
    rows = rows_by_key(connection, claim_receipt, ("statement_hash",), keys, ("receipt_hash", "envelope"))
    return {bytes(row[0]): bytes(row[1]) for row in rows}


def _orders(connection: sa.Connection, leaves: Sequence[Leaf]) -> dict[bytes, bytes]:
    """Give freezes, their lifting and corrections as their approvers signed them."""
    found = {}
    for table, column, kinds in (
        (freeze_order, "order_id", ("freeze", "unfreeze")),
        (correction, "correction_id", ("correction",)),
    ):
        keys = [(leaf.get(column) or b"",) for leaf in leaves if leaf.kind in kinds and leaf.message_hashes]
        for row in rows_by_key(connection, table, (column,), keys, ("envelope",)):
            written = bytes(row[0])
            envelope = envelope_pb2.Envelope.FromString(written)
            found[message_hash(envelope.payload_type, envelope.payload)] = written
    return found
