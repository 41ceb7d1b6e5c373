"""Receipts of claims: an index and a leaf each, one signature for a batch (CLAIMS section 3).

A receipt answers a statement of a region. Where the bridge moves a claim by itself, because its lease ran out
or a case was resolved, the receipt follows the claim's last receipt, whose hash stands in place of the
statement's: two moves after one receipt cannot both be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import require
from tanqiao.kernel.record import record
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import Leaf, make_leaf
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import log

RECEIPT_TYPE: Final = payload_type_of(claims_pb2.ClaimReceipt)


@record
class Receipted:
    """A receipt as stored: its bytes and its envelope."""

    payload: bytes
    envelope: envelope_pb2.Envelope


@dataclass(slots=True)
class Made:
    """A receipt on its way into the tables.

    Args:
        claim_id: of the claim.
        region: its region.
        answers: hash of the statement that it answers, or of the receipt that it follows.
        signer_key_id: key of the statement; empty where the bridge moves the claim by itself.
        status: of the claim from now on.
        digest: of the claim.
        verdict: that it was judged by; None: nothing was judged.
        keys: under which the claim is found.
        bridge_reason: why the bridge moved it by itself.
    """

    claim_id: str
    region: str
    answers: bytes
    signer_key_id: bytes
    status: int
    digest: bytes
    verdict: claims_pb2.Verdict | None = None
    log_index: int = -1
    payload: bytes = b""
    keys: tuple[str, ...] = field(default_factory=tuple)
    bridge_reason: str = ""


def write_receipts(group: Group, made: Sequence[Made]) -> None:
    """Make the receipts of a batch: an index each, one leaf each, the payload with the index in it."""
    if not made:
        return
    first_index = log.reserve_indexes(group.connection, len(made))
    leaves: list[Leaf] = []
    for position, item in enumerate(made):
        item.log_index = first_index + position
        receipt = claims_pb2.ClaimReceipt(
            header=group.context.header((item.region,), prev_hash=item.answers),
            claim_id=item.claim_id,
            status=item.status,  # type: ignore[arg-type]  # the table's numbers are the wire's
            verdict=item.verdict,
            log_index=item.log_index,
            receipt_time=Timestamp(seconds=group.now),
            claim_digest=item.digest,
            bridge_reason=item.bridge_reason,
        )
        item.payload = receipt.SerializeToString()
        signers = [item.signer_key_id] if item.signer_key_id else []
        leaves.append(
            make_leaf(
                "claim",
                message_hashes=[item.answers, message_hash(RECEIPT_TYPE, item.payload)],
                signer_key_ids=[*signers, group.context.signer.key_id],
                public={
                    "claim_digest": item.digest,
                    "claim_id": item.claim_id.encode(),
                    "region": item.region.encode(),
                    "status": claims_pb2.ClaimStatus.Name(item.status).encode(),  # type: ignore[arg-type]
                },
            )
        )
    log.write_leaves(group.connection, first_index, leaves, recorded_at=group.now)


def insert_receipts(group: Group, made: Sequence[Made]) -> dict[str, Receipted]:
    """Sign the receipts as one batch and store each with its own envelope."""
    if not made:
        return {}
    batch = sign_batch(group.context.signer, RECEIPT_TYPE, [item.payload for item in made])
    envelopes = item_envelopes(batch)
    claim_rows.insert_receipts(
        group.connection,
        [
            claim_rows.ReceiptRow(
                item.claim_id,
                item.log_index,
                item.answers,
                item.status,
                item.payload,
                message_hash(RECEIPT_TYPE, item.payload),
                envelope.SerializeToString(),
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
    verdicts: Mapping[str, claims_pb2.Verdict] | None = None,
) -> list[Made]:
    """Move claims of which no region asked; each with a leaf and a signed receipt behind its last one."""
    if not claims:
        return []
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
            (verdicts or {}).get(row.claim_id),
            bridge_reason=reason,
        )
        for row in claims
    ]
    write_receipts(group, made)
    claim_rows.set_status(group.connection, [(row.claim_id, status) for row in claims])
    insert_receipts(group, made)
    return made
