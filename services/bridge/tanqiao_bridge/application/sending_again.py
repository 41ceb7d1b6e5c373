"""What a rebuilt bridge sends again: its numbered messages are gone, and a region may not have had all.

A region that reports says how much of the log has taken effect there. What stands behind that, and a stretch
before it, is numbered anew for it in the order of the log; what it has already changes nothing (R4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.node_state import get_state, set_state
from tanqiao.db.streams import OutboxMessage
from tanqiao.rpc.protocol_facts import blocks_of
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.deciding import DECISION_TYPE
from tanqiao_bridge.application.freezes import concerned
from tanqiao_bridge.application.issues import RECEIPT_TYPE
from tanqiao_bridge.application.records import notify
from tanqiao_bridge.storage import log, policy
from tanqiao_bridge.storage.beside import envelopes_beside
from tanqiao_bridge.storage.tables import decision, issue, node_state

REBUILT_SIZE: Final = "rebuilt_size"
"""Leaves that came from mirrors; absent in a bridge that was never rebuilt."""
STRETCH_BEFORE: Final = 1_000
"""Leaves before what has taken effect: an answer out of turn may have been ahead of the numbered messages."""
LEAVES_PER_PAGE: Final = 500
_TO_ALL: Final = frozenset({"key_record"})
_RECORDS: Final = frozenset({"key_record", "recognition", "freeze", "unfreeze", "correction"})


def send_again(group: Group, party: str, applied_size: int) -> int:
    """Number for a region what it may lack of the leaves that came from mirrors; how many messages.

    Args:
        group: the transaction.
        party: the region, which has reported.
        applied_size: size of the log that has taken effect there.
    """
    end = int(get_state(group.connection, node_state, REBUILT_SIZE) or 0)
    start = max(0, applied_size - STRETCH_BEFORE)
    before = get_state(group.connection, node_state, _sent_name(party))
    if end <= start or (before is not None and int(before) <= start):
        return 0
    set_state(group.connection, node_state, _sent_name(party), str(start))
    count = len(group.numbered)
    while start < end:
        page = log.read_leaves(group.connection, start, min(LEAVES_PER_PAGE, end - start))
        _send_page(group, party, start, [decode_leaf(stored.leaf) for stored in page])
        start += len(page)
    group.wake.add(party)
    return len(group.numbered) - count


def _sent_name(party: str) -> str:
    return f"again/{party}"[:64]


def _send_page(group: Group, party: str, first_index: int, leaves: Sequence[Leaf]) -> None:
    mine = [(first_index + at, leaf) for at, leaf in enumerate(leaves) if _is_for(leaf, party)]
    payloads = _payloads(group.connection, party, [leaf for _, leaf in mine])
    records = [leaf for _, leaf in mine if leaf.kind in _RECORDS]
    beside = iter(envelopes_beside(group.connection, records))
    for log_index, leaf in mine:
        if leaf.kind in _RECORDS:
            for envelope in next(beside)[:1]:
                _send_record(group, party, log_index, leaf, envelope)
        elif log_index in payloads:
            kind, payload = payloads[log_index]
            group.numbered.append(OutboxMessage(party, kind, payload))


def _is_for(leaf: Leaf, party: str) -> bool:
    named = {leaf.get(name) for name in ("source", "destination", "region", "from_region", "to_region")}
    return leaf.kind in _TO_ALL or leaf.kind in ("freeze", "unfreeze") or party.encode() in named


def _payloads(connection: sa.Connection, party: str, leaves: Sequence[Leaf]) -> dict[int, tuple[str, bytes]]:
    """Give decisions and receipts of Issues by their log index."""
    decided = [
        ((leaf.get("source") or b"").decode(), leaf.get("transfer_id") or b"")
        for leaf in leaves
        if leaf.kind == "decision"
    ]
    issued = [(party, leaf.get("issue_id") or b"") for leaf in leaves if leaf.kind == "issue"]
    found: dict[int, tuple[str, bytes]] = {}
    rows: list[tuple[Any, ...]] = rows_by_key(
        connection, decision, ("source", "transfer_id"), decided, ("log_index", "payload")
    )
    found.update((row[0], (DECISION_TYPE, bytes(row[1]))) for row in rows)
    rows = rows_by_key(connection, issue, ("region", "issue_id"), issued, ("log_index", "receipt_payload"))
    found.update((row[0], (RECEIPT_TYPE, bytes(row[1]))) for row in rows)
    return found


def _send_record(
    group: Group, party: str, log_index: int, leaf: Leaf, envelope: envelope_pb2.Envelope
) -> None:
    if leaf.kind in ("freeze", "unfreeze"):
        if party not in concerned(group, messages_pb2.Freeze.FromString(envelope.payload)):
            return
        notify(group, party, envelope, log_index)
        return
    series = []
    if leaf.kind == "correction":
        blocks = blocks_of(messages_pb2.Correction.FromString(envelope.payload).blocks)
        known = policy.load_series(group.connection, {block.series_id for block in blocks})
        series = [policy.series_message(row) for row in known.values()]
    notify(group, party, envelope, log_index, series)
