"""What cannot be accepted: kept as evidence, answered with a numbered Nack (PROTOCOL section 3).

The row of evidence is the case that people settle; nothing else of the state changes.
"""

from __future__ import annotations

from typing import Final

import structlog

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.effects import EvidenceKind
from tanqiao.protocol.types import Reasons, TransferKey
from tanqiao.rpc.protocol_facts import refusal_messages
from tanqiao.signing.batch import item_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application.commands import Frame, PrepareItem
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.group import Group
from tanqiao_region.storage.evidence import EvidenceRow, is_kept
from tanqiao_region.storage.offers import load_decision, load_prepares
from tanqiao_region.storage.transfers import IncomingRow

NACK_TYPE: Final = payload_type_of(messages_pb2.Nack)
UNACCEPTABLE: Final = "numbered message not acceptable"
NACK_RECEIVED: Final = "nack received"
RECORD_EQUIVOCATION: Final = "record equivocation"

_log = structlog.get_logger("tanqiao.region.cases")


def nack(group: Group, refused_hash: bytes, reasons: Reasons, key: TransferKey | None = None) -> None:
    """Answer a message that cannot be accepted."""
    payload = messages_pb2.Nack(
        header=group.context.header(
            (BRIDGE,),
            source=key.source if key is not None else "",
            transfer_id=key.transfer_id if key is not None else b"",
            prev_hash=refused_hash,
        ),
        message_hash=refused_hash,
        reasons=refusal_messages(reasons),
    ).SerializeToString()
    group.send_numbered(NACK_TYPE, payload)
    _log.warning("message_refused", reasons=[one.symbol for one in reasons], message_hash=refused_hash.hex())


def keep(group: Group, kind: str, party: str, first: bytes, second: bytes = b"") -> None:
    """Keep one or two envelopes for ever."""
    group.evidence.append(EvidenceRow(kind, party, first, second, group.now))


def item_bytes(frame: Frame, index: int) -> bytes:
    """Give one item of a received batch as an envelope's bytes, provable alone."""
    if frame.envelope is not None:
        return frame.envelope.SerializeToString()
    return item_envelope(frame.batch, index).SerializeToString()


def keep_two_locks(group: Group, kind: EvidenceKind, item: PrepareItem, known: IncomingRow | None) -> None:
    """Keep two LockAssertions of one source for one id: the one in hand, the one answered before (R4)."""
    before = b""
    if known is not None:
        before = stored_lock(group, item.facts.key)
    first = item.prepare.message.lock.SerializeToString()
    keep(group, kind.value, item.facts.key.source, first, before)


def second_record(group: Group, authority: str, identity: bytes, first: bytes, second: bytes) -> DomainError:
    """Keep two records that an authority signed under one id, once, and give the refusal of the second (R4).

    Args:
        group: the transaction.
        authority: who signed both.
        identity: the id that both have.
        first: envelope that is in force.
        second: envelope that came now; the bridge freezes its sender.
    """
    if not is_kept(group.connection, RECORD_EQUIVOCATION, authority, first, second):
        keep(group, RECORD_EQUIVOCATION, authority, first, second)
    return DomainError("EQUIVOCATION", peer=authority, id=identity.hex())


def stored_lock(group: Group, key: TransferKey) -> bytes:
    """Give the LockAssertion inside the Prepare that is stored for a transfer, as an envelope's bytes."""
    for row in load_prepares(group.connection, (key,)):
        prepare = messages_pb2.Prepare.FromString(row.payload)
        return prepare.lock.SerializeToString()
    return b""


def stored_decision(group: Group, key: TransferKey) -> bytes:
    """Give the decision that is stored for a transfer, if one is, as an envelope's bytes."""
    envelope = load_decision(group.connection, group.context.party, key)
    return envelope.SerializeToString() if envelope is not None else b""


def envelope_of(payload_type: str, payload: bytes) -> bytes:
    """Give bytes that did not verify in the form of an envelope without a signature."""
    return envelope_pb2.Envelope(payload=payload, payload_type=payload_type).SerializeToString()
