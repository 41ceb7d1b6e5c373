"""Receipts of claims: an index and a leaf each, one signature for a batch (CLAIMS section 3).

A receipt answers a statement of a region. Where the bridge moves a claim by itself, because its lease ran out
or a case was resolved, the receipt follows the claim's last receipt, whose hash stands in place of the
statement's: two moves after one receipt cannot both be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import require
from tanqiao.kernel.record import record
from tanqiao.signing.batch import item_envelope_bytes, sign_batch
from tanqiao.signing.forms import ID_BYTES, Sender
from tanqiao.signing.merkle import tree_levels
from tanqiao.signing.pae import message_hashes
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.claim_forms import CLAIM_KIND, Made, RandomIds, claim_leaf, receipt_payload
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import log

RECEIPT_TYPE: Final = payload_type_of(claims_pb2.ClaimReceipt)


@record
class Receipted:
    """A receipt as stored: its bytes, and its envelope serialised."""

    payload: bytes
    signed: bytes

    @property
    def envelope(self) -> envelope_pb2.Envelope:
        """Its envelope."""
        return envelope_pb2.Envelope.FromString(self.signed)


def write_receipts(group: Group, made: Sequence[Made]) -> None:
    """Make the receipts of a batch: an index each, one leaf each, the payload with the index in it."""
    if not made:
        return
    first_index = log.reserve_indexes(group.connection, len(made))
    context = group.context
    sender, ids = Sender.of(context), RandomIds(context.random_bytes(ID_BYTES * len(made)))
    for position, item in enumerate(made):
        item.log_index = first_index + position
        item.payload = receipt_payload(sender, ids(), item, group.now)
    own = context.signer.key_id
    leaves: list[bytes] = []
    hashes = message_hashes(RECEIPT_TYPE, [item.payload for item in made])
    for item, receipt_hash in zip(made, hashes, strict=True):
        item.receipt_hash = receipt_hash
        leaves.append(claim_leaf(item, (item.signer_key_id, own) if item.signer_key_id else (own,)))
    log.write_encoded(group.connection, first_index, CLAIM_KIND, leaves, recorded_at=group.now)


def insert_receipts(group: Group, made: Sequence[Made]) -> dict[str, Receipted]:
    """Sign the receipts as one batch and store each with its own envelope."""
    if not made:
        return {}
    hashes = [item.receipt_hash for item in made]
    batch = sign_batch(group.context.signer, RECEIPT_TYPE, [item.payload for item in made], hashes=hashes)
    envelopes = item_envelope_bytes(batch, range(len(made)), tree_levels(hashes))
    claim_rows.insert_receipts(
        group.connection,
        [
            claim_rows.ReceiptRow(
                item.claim_id,
                item.log_index,
                item.answers,
                item.status,
                item.payload,
                item.receipt_hash,
                envelope,
            )
            for item, envelope in zip(made, envelopes, strict=True)
        ],
    )
    return {
        item.claim_id: Receipted(item.payload, envelope)
        for item, envelope in zip(made, envelopes, strict=True)
    }


def move_by_bridge(
    group: Group,
    claims: Sequence[claim_rows.ClaimRow],
    status: int,
    reason: str,
    verdict: bytes | None = None,
) -> tuple[list[Made], dict[str, Receipted]]:
    """Move claims of which no region asked; each with a leaf and a signed receipt behind its last one.

    Args:
        group: the transaction.
        claims: to be moved.
        status: of them from now on.
        reason: why.
        verdict: of a claim that was judged for it, serialised; None: nothing was judged.

    Returns:
        What was made and the receipts by claim: the regions are to be told (`claim_notices`).
    """
    if not claims:
        return [], {}
    last = claim_rows.last_receipts(group.connection, [row.claim_id for row in claims])
    require(len(last) == len(claims), "every claim has a receipt")
    made = [
        Made(
            row.claim_id,
            row.region,
            last[row.claim_id].receipt_hash,
            b"",
            status,
            row.content_digest,
            verdict,
            bridge_reason=reason,
        )
        for row in claims
    ]
    write_receipts(group, made)
    claim_rows.set_status(group.connection, [(row.claim_id, status) for row in claims])
    return made, insert_receipts(group, made)
