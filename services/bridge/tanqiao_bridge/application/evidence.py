"""Evidence, freezes on evidence, cases.

What R4 and row 10 ask of the bridge when somebody contradicts himself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1.envelope_pb2 import Envelope
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.protocol.effects import EvidenceKind, FreezePair, FreezeSender, OpenCase, StoreEvidence
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.batch import item_envelope
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.commands import Material
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.tables import conflict_case, frozen, message, signature
from tanqiao_bridge.storage.tables import evidence as evidence_table

OPEN = "open"
ON_EVIDENCE = "evidence"
UNACCEPTABLE = "message not accepted"
"""Kind of a numbered message under a valid signature that cannot be accepted (PROTOCOL section 3)."""


def carry_out(
    group: Group,
    effect: StoreEvidence | FreezePair | FreezeSender | OpenCase,
    party: str,
    key: TransferKey,
    material: Material | None,
) -> None:
    """Carry out one effect of a contradiction."""
    match effect:
        case StoreEvidence(kind=kind, hashes=hashes):
            keep(group, kind, party, key, hashes, material)
        case FreezePair(first=first, second=second):
            freeze_pair(group, first, second)
        case FreezeSender(party=sender):
            freeze_party(group, sender)
        case OpenCase(kind=kind):
            open_case(group, kind, party, key)


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
    table = evidence_table.c
    known = group.connection.execute(
        sa.select(table.evidence_id).where(
            table.kind == kind.value, table.party == party, table.second_envelope == envelopes[1]
        )
    ).first()
    if known is None:
        group.connection.execute(
            sa.insert(evidence_table).values(
                kind=kind.value,
                party=party,
                first_envelope=envelopes[0],
                second_envelope=envelopes[1],
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
    group.connection.execute(
        sa.insert(evidence_table).values(
            kind=UNACCEPTABLE,
            party=party,
            first_envelope=envelope.SerializeToString(),
            second_envelope=b"",
            recorded_at=group.now,
        )
    )
    group.connection.execute(
        sa.insert(conflict_case).values(
            kind=UNACCEPTABLE,
            state=OPEN,
            subject=f"{party}:{refused_hash.hex()}",
            blocking=False,
            details=json.dumps({"party": party}),
            opened_at=group.now,
        )
    )


def open_case(group: Group, kind: EvidenceKind, party: str, key: TransferKey) -> None:
    """Open a case for people to settle; one for each kind, party and transfer."""
    subject = f"{key.source}:{key.transfer_id.hex()}"
    table = conflict_case.c
    known = group.connection.execute(
        sa.select(table.case_id).where(
            table.kind == kind.value, table.subject == subject, table.state == OPEN
        )
    ).first()
    if known is None:
        group.connection.execute(
            sa.insert(conflict_case).values(
                kind=kind.value,
                state=OPEN,
                subject=subject,
                blocking=False,
                details=json.dumps({"party": party}),
                opened_at=group.now,
            )
        )


def freeze_pair(group: Group, first: str, second: str) -> None:
    """Freeze both directions between two parties on evidence (R4), with a leaf that names it."""
    _freeze(group, messages_pb2.FREEZE_SCOPE_PAIR, first, second)


def freeze_party(group: Group, party: str) -> None:
    """Freeze a region on evidence (R4), with a leaf that names it."""
    _freeze(group, messages_pb2.FREEZE_SCOPE_REGION, party, "")


def _freeze(group: Group, scope: int, region: str, other_region: str) -> None:
    table = frozen.c
    known = group.connection.execute(
        sa.select(table.frozen_id).where(
            table.scope == scope, table.region == region, table.other_region == other_region
        )
    ).first()
    if known is not None:
        return
    order_id = group.context.random_bytes(16)
    group.connection.execute(
        sa.insert(frozen).values(
            order_id=order_id,
            scope=scope,
            series_id="",
            start_serial=0,
            end_serial=0,
            pseudonym=b"",
            region=region,
            other_region=other_region,
            document=ON_EVIDENCE,
        )
    )
    leaf = make_leaf(
        "freeze",
        signer_key_ids=[group.context.signer.key_id],
        public={"region": region.encode(), "other_region": other_region.encode(), "order_id": order_id},
    )
    log.append_leaves(group.connection, [leaf], recorded_at=group.now)
