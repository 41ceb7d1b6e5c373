"""The papers beside a numbered message, for a region that recovers (PROTOCOL R9, section 6).

The bridge never trims: what a decision or a receipt rests on stands in the message table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.signatures import SignatureRow, envelope_from, load_signatures
from tanqiao.db.streams import PendingMessage
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.protocol_facts import block_of
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.storage import policy
from tanqiao_bridge.storage.tables import message, signature

DECISION_TYPE: Final = payload_type_of(messages_pb2.Decision)
RECEIPT_TYPE: Final = payload_type_of(messages_pb2.IssueReceipt)
ADOPTED_TYPE: Final = payload_type_of(recovery_pb2.AdoptedNotice)
LOCK_TYPES: Final = frozenset(map(payload_type_of, (messages_pb2.LockAssertion, messages_pb2.Use)))
READY_TYPE: Final = payload_type_of(messages_pb2.Ready)
FINAL_TYPES: Final = frozenset(map(payload_type_of, (messages_pb2.SourceFinal, messages_pb2.DestFinal)))
ISSUE_TYPE: Final = payload_type_of(messages_pb2.Issue)
_COLUMNS: Final = (
    "payload_type",
    "sender",
    "source",
    "transfer_id",
    "payload",
    "signature_id",
    "item_index",
    "companion",
)


def papers_of(connection: sa.Connection, party: str, rows: Sequence[PendingMessage]) -> list[bytes]:
    """Give for each numbered message the serialised papers that go beside it; empty where there are none."""
    keys = [_key_of(row, party) for row in rows]
    wanted = [(key.source, key.transfer_id) for key in keys if key is not None]
    found = rows_by_key(connection, message, ("source", "transfer_id"), list(dict.fromkeys(wanted)), _COLUMNS)
    signatures = load_signatures(connection, signature, [row[5] for row in found])
    by_key: dict[TransferKey, list[Any]] = {}
    for row in found:
        by_key.setdefault(TransferKey(row[2], bytes(row[3])), []).append(row)
    return [
        b""
        if key is None
        else _papers(connection, party, by_key.get(key, []), signatures).SerializeToString()
        for key in keys
    ]


def _key_of(row: PendingMessage, party: str) -> TransferKey | None:
    if row.kind == DECISION_TYPE:
        header = messages_pb2.Decision.FromString(row.payload).header
        return TransferKey(header.source, header.transfer_id)
    if row.kind == ADOPTED_TYPE:
        header = recovery_pb2.AdoptedNotice.FromString(row.payload).header
        return TransferKey(header.source, header.transfer_id)
    if row.kind == RECEIPT_TYPE:
        return TransferKey(party, messages_pb2.IssueReceipt.FromString(row.payload).issue_id)
    return None


def _papers(
    connection: sa.Connection, party: str, rows: Sequence[Any], signatures: Mapping[int, SignatureRow]
) -> recovery_pb2.Papers:
    papers = recovery_pb2.Papers()
    for payload_type, sender, _, _, payload, signature_id, item_index, companion in rows:
        envelope = envelope_from(signatures[signature_id], bytes(payload), item_index)
        if payload_type in LOCK_TYPES:
            papers.lock.CopyFrom(envelope)
            if companion:
                papers.openings.CopyFrom(messages_pb2.Openings.FromString(bytes(companion)))
            if payload_type not in _USES:
                papers.series.extend(_series(connection, envelope))
        elif sender == party and payload_type == READY_TYPE:
            papers.ready.CopyFrom(envelope)
        elif sender == party and payload_type in FINAL_TYPES:
            papers.final.CopyFrom(envelope)
        elif sender == party and payload_type == ISSUE_TYPE:
            papers.issue.CopyFrom(envelope)
    return papers


_USES: Final = frozenset({payload_type_of(messages_pb2.Use)})


def _series(connection: sa.Connection, lock: envelope_pb2.Envelope) -> list[Any]:
    blocks = messages_pb2.LockAssertion.FromString(lock.payload).blocks
    rows = policy.load_series(connection, {block_of(block).series_id for block in blocks})
    return [policy.series_message(row) for _, row in sorted(rows.items())]
