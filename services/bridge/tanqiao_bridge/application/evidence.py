"""Evidence and cases: what is kept of contradictions and of messages that cannot be accepted (R4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tanqiao.api.common.v1.envelope_pb2 import Envelope
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.protocol.effects import EvidenceKind
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.batch import item_envelope
from tanqiao_bridge.application.commands import Material
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage.tables import conflict_case, message, signature
from tanqiao_bridge.storage.tables import evidence as evidence_table

OPEN = "open"
SETTLED = "settled"
UNACCEPTABLE = "message not accepted"
"""Kind of a numbered message under a valid signature that cannot be accepted (PROTOCOL section 3)."""

NACK_RECEIVED = "nack received"
"""Kind of a Nack: a region could not accept what the bridge sent."""


def keep(
    group: Group,
    kind: EvidenceKind,
    party: str,
    key: TransferKey,
    hashes: Sequence[bytes],
    material: Material | None,
) -> None:
    """Keep the two envelopes that contradict each other; the same pair is kept once."""
    envelopes = [_envelope_of(group, value, key, material) for value in hashes[:2]]
    envelopes += [b""] * (2 - len(envelopes))
    keep_two(group, kind.value, party, envelopes[0], envelopes[1])


def keep_two(group: Group, kind: str, party: str, first: bytes, second: bytes) -> None:
    """Keep two envelopes for ever; the same are kept once."""
    table = evidence_table.c
    known = group.connection.execute(
        sa.select(table.evidence_id).where(
            table.kind == kind,
            table.party == party,
            table.first_envelope == first,
            table.second_envelope == second,
        )
    ).first()
    if known is None:
        group.connection.execute(
            sa.insert(evidence_table).values(
                kind=kind,
                party=party,
                first_envelope=first,
                second_envelope=second,
                recorded_at=group.now,
            )
        )


def _envelope_of(group: Group, wanted: bytes, key: TransferKey, material: Material | None) -> bytes:
    if material is not None and material.opened.message_hash == wanted:
        return _material_envelope(material)
    entry = group.overlay.get(key)
    if entry is not None:
        for known in (entry.lock, entry.answer):
            if known is not None and known.opened.message_hash == wanted:
                return _material_envelope(known)
    # The first of the two may have come in this very group, whose messages are written at its end.
    row: Any = next((one for one in group.messages if one.message_hash == wanted), None)
    if row is None:
        row = group.connection.execute(
            sa.select(message.c.payload, message.c.signature_id, message.c.item_index).where(
                message.c.message_hash == wanted
            )
        ).first()
    if row is None:
        return b""
    rows = load_signatures(group.connection, signature, [row.signature_id])
    return envelope_from(rows[row.signature_id], bytes(row.payload), row.item_index).SerializeToString()


def _material_envelope(material: Material) -> bytes:
    if material.batch is not None:
        return item_envelope(material.batch, material.opened.envelope_index).SerializeToString()
    return material.envelope.SerializeToString() if material.envelope is not None else b""


def keep_unacceptable(group: Group, party: str, envelope: Envelope, refused_hash: bytes) -> None:
    """Keep a numbered message that cannot be accepted, and open a case for people to settle."""
    keep_two(group, UNACCEPTABLE, party, envelope.SerializeToString(), b"")
    open_case_about(group, UNACCEPTABLE, party, f"{party}:{refused_hash.hex()}")


def open_case(group: Group, kind: EvidenceKind, party: str, key: TransferKey) -> None:
    """Open a case for people to settle; one for each kind, party and transfer."""
    open_case_about(group, kind.value, party, case_subject(key))


def case_subject(key: TransferKey) -> str:
    """Name a transfer as the subject of a case."""
    return f"{key.source}:{key.transfer_id.hex()}"


def open_case_about(group: Group, kind: str, party: str, subject: str, details: str = "") -> None:
    """Open a case about anything; one for each kind and subject while it is open.

    Args:
        group: the transaction.
        kind: what it is, for people.
        party: whose message or state gave rise to it.
        subject: what it is about.
        details: further facts as JSON text; empty: the party alone.
    """
    table = conflict_case.c
    known = group.connection.execute(
        sa.select(table.case_id).where(table.kind == kind, table.subject == subject, table.state == OPEN)
    ).first()
    if known is None:
        group.connection.execute(
            sa.insert(conflict_case).values(
                kind=kind,
                state=OPEN,
                subject=subject,
                blocking=False,
                details=details or json.dumps({"party": party}),
                opened_at=group.now,
            )
        )


def settle_cases(group: Group, subject: str) -> None:
    """Close the open cases about a subject: a correction has settled them (row 14)."""
    table = conflict_case.c
    group.connection.execute(
        sa.update(conflict_case)
        .where(table.subject == subject, table.state == OPEN, table.blocking.is_(sa.false()))
        .values(state=SETTLED)
    )
