r"""Many messages of one type under one signature, each provable alone (PROTOCOL section 2).

The batch statement is ``tanqiao-batch-v1\0``, the number of items as 8 bytes big-endian, and the RFC 6962
root over their message hashes; PAE of it with the batch's own payload type is what is signed. An item's hash
is that of its own type and payload, so that an item may travel again in another batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError, require
from tanqiao.signing.envelope import Signer
from tanqiao.signing.merkle import audit_path, tree_levels, tree_root
from tanqiao.signing.pae import message_hashes, pae
from tanqiao.signing.payload_types import BATCH_PAYLOAD_TYPE

BATCH_ITEMS_MAX: Final = 1000
BATCH_DOMAIN: Final = b"tanqiao-batch-v1\x00"


def batch_statement(size: int, root: bytes) -> bytes:
    """Give the bytes that stand for a batch: domain, size, root."""
    return BATCH_DOMAIN + size.to_bytes(8, "big") + root


def signed_bytes(size: int, root: bytes) -> bytes:
    """Give the bytes under a batch's signature."""
    return pae(BATCH_PAYLOAD_TYPE, batch_statement(size, root))


def sign_batch(
    signer: Signer, payload_type: str, payloads: Sequence[bytes], companions: Sequence[bytes] = ()
) -> envelope_pb2.EnvelopeBatch:
    """Sign 1 to `BATCH_ITEMS_MAX` payloads of one type with one signature.

    Args:
        signer: the sender that every item's header names.
        payload_type: type of every item.
        payloads: the messages' bytes, in the order in which they shall be handled.
        companions: what travels beside each item without being signed; none, or one for each.

    Raises:
        DomainError: BATCH_EMPTY, BATCH_TOO_LARGE.
    """
    items = list(payloads)
    if not items:
        raise DomainError("BATCH_EMPTY")
    if len(items) > BATCH_ITEMS_MAX:
        raise DomainError("BATCH_TOO_LARGE", limit=BATCH_ITEMS_MAX, count=len(items))
    require(len(companions) in (0, len(items)), "companions go with every item or with none")
    root = tree_root(message_hashes(payload_type, items))
    return envelope_pb2.EnvelopeBatch(
        payload_type=payload_type,
        payloads=items,
        signatures=[signer.signature(signed_bytes(len(items), root))],
        companions=companions,
    )


def batch_hashes(batch: envelope_pb2.EnvelopeBatch) -> list[bytes]:
    """Give the message hash of each item, in order."""
    return message_hashes(batch.payload_type, list(batch.payloads))


def item_envelopes(
    batch: envelope_pb2.EnvelopeBatch, indexes: Sequence[int] | None = None
) -> list[envelope_pb2.Envelope]:
    """Give the envelopes of the items (all, or those named), each with the path that proves it alone.

    The tree is built once; ask for many items in one call.
    """
    levels = tree_levels(batch_hashes(batch))
    size = len(batch.payloads)
    return [
        envelope_pb2.Envelope(
            payload=batch.payloads[index],
            payload_type=batch.payload_type,
            signatures=batch.signatures,
            batch_proof=envelope_pb2.BatchProof(size=size, index=index, path=audit_path(levels, index)),
        )
        for index in (range(size) if indexes is None else indexes)
    ]


def item_envelope(batch: envelope_pb2.EnvelopeBatch, index: int) -> envelope_pb2.Envelope:
    """Give the envelope of one item with its path; for many, `item_envelopes` builds the tree once."""
    return item_envelopes(batch, (index,))[0]
