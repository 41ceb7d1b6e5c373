"""Leaves of decisions: of most of them the greater part is alike (`tanqiao.signing.forms`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tanqiao.protocol.types import Kind, OpenTransfer, Outcome
from tanqiao.signing.forms import FIRST_HASH, PREV_HASH, SECOND_HASH, TRANSFER_ID, Form, place
from tanqiao.tlog.leaf import make_leaf

DECISION_KIND: Final = "decision"
BLOCKS_IN_LEAF_MAX: Final = 300
"""Blocks named in a leaf, which is bounded in size; the lock's hash names them all."""
FORMS_KEPT_MAX: Final = 1_024
_BLOCKS_PLACE: Final = 6
_HASHES: Final = (PREV_HASH, FIRST_HASH, SECOND_HASH)


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _leaf_form(
    source: str,
    destination: str,
    kind: Kind,
    outcome: Outcome,
    legal_date: str,
    signers: tuple[bytes, ...],
    blocks_length: int,
) -> Form:
    """Give the leaf of all decisions that differ in ids, hashes and serials of the same length."""
    hashes, blocks = _HASHES[: len(signers)], place(_BLOCKS_PLACE, blocks_length)
    leaf = make_leaf(
        DECISION_KIND,
        message_hashes=hashes,
        signer_key_ids=signers,
        public={
            "blocks": blocks,
            "destination": destination.encode(),
            "kind": kind.name.encode(),
            "legal_date": legal_date.encode(),
            "outcome": outcome.name.encode(),
            "source": source.encode(),
            "transfer_id": TRANSFER_ID,
        },
    )
    return Form(leaf.encode(), (blocks, *hashes, TRANSFER_ID))


def decision_leaf(
    transfer: OpenTransfer,
    outcome: Outcome,
    legal_date: str,
    hashes: tuple[bytes, ...],
    signers: tuple[bytes, ...],
) -> bytes:
    """Give the encoded leaf of a decision.

    Args:
        transfer: that was decided.
        outcome: of it.
        legal_date: of the decision, ISO.
        hashes: of lock, Ready where there is one, and Decision.
        signers: ids of the keys under which these stand.
    """
    named = "\n".join(map(str, transfer.blocks[:BLOCKS_IN_LEAF_MAX])).encode()
    form = _leaf_form(
        transfer.key.source, transfer.destination, transfer.kind, outcome, legal_date, signers, len(named)
    )
    return form.fill(named, *hashes, transfer.key.transfer_id)
