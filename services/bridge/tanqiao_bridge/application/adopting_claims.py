"""Receipts of claims of an epoch before: the index of claims as it was, with the old bytes."""

from __future__ import annotations

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.claims.model import Action
from tanqiao.kernel.errors import DomainError
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.claim_facts import read_claim
from tanqiao_bridge.application.claim_tokens import store_tokens
from tanqiao_bridge.application.claims import claim_row, lease_of
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.reported import OpenedItem
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import log, recovery


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
    return log_index
