"""Messages of the hot path: their bytes, of which most are alike for all messages of a batch.

What is not said here of a message stands in PROTOCOL section 4; every one is byte for byte what
protobuf makes of the same fields, which a test compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.units import UnitBlock, total_quantity_kg
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.protocol_facts import block_bytes, date_message
from tanqiao.signing.forms import (
    FIRST_HASH,
    ID_BYTES,
    MESSAGE_ID,
    PREV_HASH,
    SECOND_HASH,
    TRANSFER_ID,
    Form,
    Sender,
    bytes_field,
    number_field,
)
from tanqiao_region.application.context import BRIDGE, RegionContext

FORMS_KEPT_MAX: Final = 1_024
_BLOCKS: Final = messages_pb2.LockAssertion.BLOCKS_FIELD_NUMBER
_QUANTITY: Final = messages_pb2.LockAssertion.QUANTITY_KG_FIELD_NUMBER
_JOURNAL_INDEX: Final = messages_pb2.SourceFinal.JOURNAL_INDEX_FIELD_NUMBER

FinalClass = type[messages_pb2.SourceFinal] | type[messages_pb2.DestFinal]


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _lock_forms(
    sender: Sender, source: str, digest: str, destination: str, purpose: str
) -> tuple[Form, Form]:
    """Give the form of what stands before the blocks, and of what stands between them and the quantity."""
    before = messages_pb2.LockAssertion(
        header=sender.header((BRIDGE,), source, rules_digest=bytes.fromhex(digest))
    )
    behind = messages_pb2.LockAssertion(
        destination=destination,
        receiving_address_commitment=FIRST_HASH,
        owner_commitment=SECOND_HASH,
        purpose=purpose,
    )
    return Form.of(before, (MESSAGE_ID, TRANSFER_ID)), Form.of(behind, (FIRST_HASH, SECOND_HASH))


def lock_payload(
    context: RegionContext,
    ids: tuple[bytes, bytes],
    blocks: Sequence[UnitBlock],
    destination: str,
    commitments: tuple[bytes, bytes],
    *,
    purpose: str,
    digest: str,
) -> bytes:
    """Give the bytes of a LockAssertion (row 1).

    Args:
        context: of the source.
        ids: of the message and of the transfer.
        blocks: that are locked.
        destination: party that they go to.
        commitments: to the receiving address and to the owner's pseudonym.
        purpose: or nothing.
        digest: of the rules that allowed it, hexadecimal.
    """
    before, behind = _lock_forms(Sender.of(context), context.party, digest, destination, purpose)
    locked = [bytes_field(_BLOCKS, block_bytes(block)) for block in blocks]
    quantity = number_field(_QUANTITY, total_quantity_kg(blocks))
    return b"".join([before.fill(*ids), *locked, behind.fill(*commitments), quantity])


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _ready_form(sender: Sender, source: str, digest: str, legal_date: str) -> Form:
    message = messages_pb2.Ready(
        header=sender.header((BRIDGE,), source, prev_hash=PREV_HASH, rules_digest=bytes.fromhex(digest)),
        lock_hash=FIRST_HASH,
        legal_date=date_message(legal_date),
    )
    return Form.of(message, (MESSAGE_ID, TRANSFER_ID, PREV_HASH, FIRST_HASH))


def ready_payload(
    context: RegionContext,
    key: TransferKey,
    prepare_hash: bytes,
    lock_hash: bytes,
    *,
    legal_date: str,
    digest: str,
) -> bytes:
    """Give the bytes of a Ready (row 3) to a Prepare of this hash and legal date."""
    form = _ready_form(Sender.of(context), key.source, digest, legal_date)
    return form.fill(context.random_bytes(ID_BYTES), key.transfer_id, prepare_hash, lock_hash)


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _final_form(sender: Sender, message_class: FinalClass, source: str, state: int) -> Form:
    message = message_class(
        header=sender.header((BRIDGE,), source, prev_hash=PREV_HASH),
        decision_hash=FIRST_HASH,
        state=state,  # type: ignore[arg-type]  # the core's numbers are the wire's
    )
    return Form.of(message, (MESSAGE_ID, TRANSFER_ID, PREV_HASH, FIRST_HASH))


def final_payload(
    context: RegionContext,
    message_class: FinalClass,
    key: TransferKey,
    decision_hash: bytes,
    state: int,
    journal_index: int,
) -> bytes:
    """Give the bytes of a SourceFinal or DestFinal (row 5)."""
    # A class can be a key, whatever the stubs of protobuf say.
    form = _final_form(Sender.of(context), message_class, key.source, state)  # type: ignore[arg-type]
    filled = form.fill(context.random_bytes(ID_BYTES), key.transfer_id, decision_hash, decision_hash)
    return filled + number_field(_JOURNAL_INDEX, journal_index)
