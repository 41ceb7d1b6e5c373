r"""Many messages of one type under one signature, each provable alone (PROTOCOL section 2).

The batch statement is ``tanqiao-batch-v1\0``, the number of items as 8 bytes big-endian, and the RFC 6962
root over their message hashes; PAE of it with the batch's own payload type is what is signed. An item's hash
is that of its own type and payload, so that an item may travel again in another batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError, require
from tanqiao.signing.envelope import Signer
from tanqiao.signing.forms import bytes_field, number_field
from tanqiao.signing.merkle import HASH_BYTES, audit_path, tree_levels, tree_root
from tanqiao.signing.pae import message_hashes, pae
from tanqiao.signing.payload_types import BATCH_PAYLOAD_TYPE

BATCH_ITEMS_MAX: Final = 1000
BATCH_DOMAIN: Final = b"tanqiao-batch-v1\x00"
_BATCH_PROOF: Final = envelope_pb2.Envelope.BATCH_PROOF_FIELD_NUMBER
_PATH_NODE: Final = bytes_field(envelope_pb2.BatchProof.PATH_FIELD_NUMBER, bytes(HASH_BYTES))[:-HASH_BYTES]
"""What stands before each hash of a path: all are of one length."""


def batch_statement(size: int, root: bytes) -> bytes:
    """Give the bytes that stand for a batch: domain, size, root."""
    return BATCH_DOMAIN + size.to_bytes(8, "big") + root


def signed_bytes(size: int, root: bytes) -> bytes:
    """Give the bytes under a batch's signature."""
    return pae(BATCH_PAYLOAD_TYPE, batch_statement(size, root))


def sign_batch(
    signer: Signer,
    payload_type: str,
    payloads: Sequence[bytes],
    companions: Sequence[bytes] = (),
    hashes: Sequence[bytes] = (),
) -> envelope_pb2.EnvelopeBatch:
    """Sign 1 to `BATCH_ITEMS_MAX` payloads of one type with one signature.

    Args:
        signer: the sender that every item's header names.
        payload_type: type of every item.
        payloads: the messages' bytes, in the order in which they shall be handled.
        companions: what travels beside each item without being signed; none, or one for each.
        hashes: their message hashes where they are known; made here where they are left out.

    Raises:
        DomainError: BATCH_EMPTY, BATCH_TOO_LARGE.
    """
    items = list(payloads)
    if not items:
        raise DomainError("BATCH_EMPTY")
    if len(items) > BATCH_ITEMS_MAX:
        raise DomainError("BATCH_TOO_LARGE", limit=BATCH_ITEMS_MAX, count=len(items))
    require(len(companions) in (0, len(items)), "companions go with every item or with none")
    require(len(hashes) in (0, len(items)), "hashes of all items are known, or of none")
    root = tree_root(hashes or message_hashes(payload_type, items))
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
    batch: envelope_pb2.EnvelopeBatch,
    indexes: Sequence[int] | None = None,
    levels: Sequence[Sequence[bytes]] = (),
) -> list[envelope_pb2.Envelope]:
    """Give the envelopes of the items (all, or those named), each with the path that proves it alone.

    The tree is built once, if its levels are not known; ask for many items in one call.
    """
    levels = levels or tree_levels(batch_hashes(batch))
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


class ItemWriter:
    """Writes envelopes of a batch's items, serialised: what all items share is encoded once.

    Args:
        payload_type: of every item.
        signatures: of the batch.
        levels: nodes of the tree over the message hashes, leaves first (`merkle.tree_levels`).
    """

    __slots__ = ("_levels", "_shared", "_size")

    def __init__(
        self,
        payload_type: str,
        signatures: Iterable[envelope_pb2.Signature],
        levels: Sequence[Sequence[bytes]],
    ) -> None:
        shared = envelope_pb2.Envelope(payload_type=payload_type, signatures=signatures)
        self._shared = shared.SerializeToString()
        self._size = number_field(envelope_pb2.BatchProof.SIZE_FIELD_NUMBER, len(levels[0]))
        self._levels = levels

    def write(self, payload: bytes, index: int) -> bytes:
        """Give the envelope of one item with its own path."""
        proof = [self._size, number_field(envelope_pb2.BatchProof.INDEX_FIELD_NUMBER, index)]
        for node in audit_path(self._levels, index):
            proof += (_PATH_NODE, node)
        written = bytes_field(envelope_pb2.Envelope.PAYLOAD_FIELD_NUMBER, payload)
        return b"".join([written, self._shared, bytes_field(_BATCH_PROOF, b"".join(proof))])


def item_envelope_bytes(
    batch: envelope_pb2.EnvelopeBatch, indexes: Sequence[int], levels: Sequence[Sequence[bytes]]
) -> list[bytes]:
    """Give the same envelopes serialised, as they are embedded in other messages.

    `levels` are those of the batch's tree.
    """
    writer = ItemWriter(batch.payload_type, batch.signatures, levels)
    return [writer.write(batch.payloads[index], index) for index in indexes]


def item_envelope(batch: envelope_pb2.EnvelopeBatch, index: int) -> envelope_pb2.Envelope:
    """Give the envelope of one item with its path; for many, `item_envelopes` builds the tree once."""
    return item_envelopes(batch, (index,))[0]
