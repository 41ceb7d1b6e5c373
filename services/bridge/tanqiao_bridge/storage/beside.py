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
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import Leaf
from tanqiao_bridge.storage.tables import claim_receipt, correction, freeze_order, issue, message, signature

RECEIPT_TYPE: Final = payload_type_of(messages_pb2.IssueReceipt)


def envelopes_beside(connection: sa.Connection, leaves: Sequence[Leaf]) -> list[list[envelope_pb2.Envelope]]:
    """Give for each leaf the messages that it names, in its order, as far as they are kept."""
    found = _messages(connection, [value for leaf in leaves for value in leaf.message_hashes])
    found |= _issue_receipts(connection, [leaf for leaf in leaves if leaf.kind == "issue"])
    found |= _claim_receipts(connection, [leaf for leaf in leaves if leaf.kind == "claim"])
    found |= _orders(connection, leaves)
    return [[found[value] for value in leaf.message_hashes if value in found] for leaf in leaves]


def _messages(connection: sa.Connection, hashes: Sequence[bytes]) -> dict[bytes, envelope_pb2.Envelope]:
    keys = [(value,) for value in dict.fromkeys(hashes)]
    columns = ("message_hash", "payload", "signature_id", "item_index")
    return _made(connection, rows_by_key(connection, message, ("message_hash",), keys, columns))


def _issue_receipts(connection: sa.Connection, leaves: Sequence[Leaf]) -> dict[bytes, envelope_pb2.Envelope]:
    keys = [((leaf.get("region") or b"").decode(), leaf.get("issue_id") or b"") for leaf in leaves]
    columns = ("receipt_hash", "receipt_payload", "signature_id", "item_index")
    return _made(connection, rows_by_key(connection, issue, ("region", "issue_id"), keys, columns))


def _made(connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> dict[bytes, envelope_pb2.Envelope]:
    signatures = load_signatures(connection, signature, [row[2] for row in rows])
    return {bytes(row[0]): envelope_from(signatures[row[2]], bytes(row[1]), row[3]) for row in rows}


def _claim_receipts(connection: sa.Connection, leaves: Sequence[Leaf]) -> dict[bytes, envelope_pb2.Envelope]:
    keys = [(leaf.message_hashes[0],) for leaf in leaves if leaf.message_hashes]
    rows = rows_by_key(connection, claim_receipt, ("statement_hash",), keys, ("receipt_hash", "envelope"))
    return {bytes(row[0]): envelope_pb2.Envelope.FromString(bytes(row[1])) for row in rows}


def _orders(connection: sa.Connection, leaves: Sequence[Leaf]) -> dict[bytes, envelope_pb2.Envelope]:
    """Give freezes, their lifting and corrections as their approvers signed them."""
    found = {}
    for table, column, kinds in (
        (freeze_order, "order_id", ("freeze", "unfreeze")),
        (correction, "correction_id", ("correction",)),
    ):
        keys = [(leaf.get(column) or b"",) for leaf in leaves if leaf.kind in kinds and leaf.message_hashes]
        for row in rows_by_key(connection, table, (column,), keys, ("envelope",)):
            envelope = envelope_pb2.Envelope.FromString(bytes(row[0]))
            found[message_hash(envelope.payload_type, envelope.payload)] = envelope
    return found
