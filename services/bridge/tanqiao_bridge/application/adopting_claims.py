"""Receipts of claims of an epoch before: the index of claims as it was, with the old bytes.

What a receipt had caused at the registry of green certificates is ordered again. An order's id is made from
the statement that caused it, so that the registry answers with what it decided about the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.claims.model import Action
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.claim_facts import read_claim
from tanqiao_bridge.application.claim_tokens import store_tokens
from tanqiao_bridge.application.claims import NEXT_STATUSES, RELEASES, claim_row, lease_of
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.judging import read_stored
from tanqiao_bridge.application.registry_ordering import ask_to_freeze, release_frozen
from tanqiao_bridge.application.reported import OpenedItem
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import log, recovery

CLAIM_RECEIPT: Final = payload_type_of(claims_pb2.ClaimReceipt)


def in_order_of_life(messages: Sequence[list[OpenedItem]]) -> list[list[OpenedItem]]:
    """Put the receipts of each claim, among messages by their indexes, in the order in which they were given.

    Indexes of two epochs do not compare: the later one began at a lower index. Where a claim's receipts by
    index are no life of a claim, the bridge's time decides; the other messages stay where they are.
    """
    places: dict[str, list[int]] = {}
    for place, same in enumerate(messages):
        if same[0].row.kind == CLAIM_RECEIPT:
            places.setdefault(same[0].opened.message.claim_id, []).append(place)
    ordered = list(messages)
    for own in places.values():
        receipts = [messages[place] for place in own]
        statuses = [same[0].opened.message.status for same in receipts]
        if not all(after in NEXT_STATUSES.get(before, ()) for before, after in pairwise(statuses)):
            receipts.sort(key=_given_at)
            for place, same in zip(own, receipts, strict=True):
                ordered[place] = same
    return ordered


def _given_at(same: Sequence[OpenedItem]) -> int:
    return int(same[0].opened.message.receipt_time.ToNanoseconds())


def adopt_claim(group: Group, item: OpenedItem) -> int | None:
    """Write a claim or its next state with the receipt of old; nothing is judged again.

    None where the declaration of a claim that moved on has not been reported.
    """
    statement, receipt = item.statement, item.opened.message
    if statement is None:
        return None
    known = claim_rows.receipts_by_statement(group.connection, [statement.message_hash])
    if known:
        stored = known[statement.message_hash]
        return stored.log_index if stored.receipt_hash == item.row.message_hash else recovery.REFUSED
    declares = isinstance(statement.message, claims_pb2.DeclareStatement)
    if not declares and receipt.claim_id not in claim_rows.load_claims(group.connection, [receipt.claim_id]):
        return None
    leaf = make_leaf(
        "claim",
        message_hashes=[statement.message_hash, item.row.message_hash],
        signer_key_ids=[statement.key_id, item.opened.key_id],
        public={
            "adopted_index": str(receipt.log_index).encode(),
            "claim_digest": receipt.claim_digest,
            "claim_id": receipt.claim_id.encode(),
            "region": item.row.region.encode(),
            "status": claims_pb2.ClaimStatus.Name(receipt.status).encode(),
        },
    )
    log_index = log.append_leaves(group.connection, [leaf], recorded_at=group.now)
    if declares:
        claim = statement.message.claim
        try:
            read = read_claim(claim, action=Action.REGISTER, status=receipt.status, declared_index=log_index)
        except DomainError:
            return recovery.REFUSED
        claim_rows.lock_rows(group.connection, read.locks)
        lapses_at = lease_of(group, read.message.object)
        row = claim_row(read, item.row.region, receipt.status, group.now, log_index, lapses_at)
        claim_rows.insert_claims(group.connection, [(row, read.keys)])
        if read.buckets:
            store_tokens(group.connection, [read])
    else:
        claim_rows.set_status(group.connection, [(receipt.claim_id, receipt.status)])
    claim_rows.insert_receipts(
        group.connection,
        [
            claim_rows.ReceiptRow(
                receipt.claim_id,
                log_index,
                statement.message_hash,
                receipt.status,
                item.opened.payload,
                item.row.message_hash,
                item.envelope.SerializeToString(),
            )
        ],
    )
    _order_again(group, receipt, statement.message_hash, log_index, declares=declares)
    return log_index


def _order_again(
    group: Group, receipt: claims_pb2.ClaimReceipt, statement_hash: bytes, log_index: int, *, declares: bool
) -> None:
    """Order what the receipt caused: an instalment asks as it is declared, a project in its notice."""
    if receipt.status in RELEASES:
        release_frozen(group, receipt.claim_id, statement_hash, log_index)
        return
    if receipt.verdict.verdict != claims_pb2.VERDICT_KIND_FREEZE_OTHER:
        return
    read = read_stored(claim_rows.load_claims(group.connection, [receipt.claim_id])[receipt.claim_id])
    if not declares or read.message.object == claims_pb2.CLAIM_OBJECT_INSTALMENT:
        ask_to_freeze(group, read, statement_hash, receipt.verdict.article, log_index)
