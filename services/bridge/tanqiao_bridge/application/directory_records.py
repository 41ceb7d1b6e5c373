"""Records of the directory and of policy (PROTOCOL row 11).

Each is a leaf, and goes to the regions it concerns. A record is a promise (R4): another one under the id of
the first is evidence against its sender, whose region is frozen until two approvers lift it. An agreement
has an id of its own; a key's record is changed by later ones, so its id is that of its message.
"""

from __future__ import annotations

import json

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.protocol import notary
from tanqiao.protocol.effects import Decide
from tanqiao.protocol.types import TransferView
from tanqiao.rpc.protocol_facts import date_of
from tanqiao.rpc.validation import optional_text, require_text
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.commands import Answer, SubmitKeyRecord, SubmitRecognition
from tanqiao_bridge.application.context import NO_TRANSFER, Group, PendingDecision
from tanqiao_bridge.application.freezes import equivocating_record
from tanqiao_bridge.application.records import answered_before, note_answer, notify
from tanqiao_bridge.application.start import key_facts
from tanqiao_bridge.storage import log, policy
from tanqiao_bridge.storage.tables import agreement, agreement_use, key_record, message, signature
from tanqiao_bridge.storage.tokens import resting_claims

KEY_RECORD_TYPE = payload_type_of(messages_pb2.KeyRecord)
TEXTS_PER_LIST_MAX = 100


def submit_key_record(group: Group, command: SubmitKeyRecord) -> Answer:
    """Add or end a key; a revocation acts at once on what is undecided and rests on the key."""
    answer = Answer()
    if answered_before(group, command.request, answer):
        return answer
    if _came_before(group, command):
        # Also where a later record of the key replaced it: the later one stands.
        key_id = KeyEntry.of_record(command.record).key_id
        answer.log_index = group.connection.execute(
            sa.select(key_record.c.log_index).where(key_record.c.key_id == key_id)
        ).scalar_one()
        note_answer(group, command.request, answer)
        return answer
    before = group.directory or group.context.directory
    directory = before.with_records([command.record])
    entry = next(
        found
        for found in directory.owned_by(command.record.owner)
        if found.public_key == command.record.public_key
    )
    _check_change(group, before, entry)
    leaf = make_leaf(
        "key_record",
        message_hashes=[command.message_hash],
        signer_key_ids=list(command.signer_key_ids),
        public=key_facts(entry),
    )
    answer.log_index = log.append_leaves(group.connection, [leaf], recorded_at=group.now)
    group.keep_record(command.envelope, command.message_hash, command.record.header.sender)
    group.connection.execute(sa.delete(key_record).where(key_record.c.key_id == entry.key_id))
    group.connection.execute(
        sa.insert(key_record).values(
            key_id=entry.key_id,
            owner=entry.owner,
            role=int(entry.role),
            suite=entry.suite,
            public_key=entry.public_key,
            key_epoch=entry.epoch,
            valid_from_index=entry.valid_from_index,
            valid_to_index=entry.valid_to_index or 0,
            revoked=entry.revoked,
            envelope=command.envelope.SerializeToString(),
            log_index=answer.log_index,
        )
    )
    group.directory = directory
    if entry.revoked:
        _abort_resting_on(group, entry.key_id)
    for region in sorted(policy.known_regions(group.connection)):
        notify(group, region, command.envelope, answer.log_index)
    note_answer(group, command.request, answer)
    return answer


def _came_before(group: Group, command: SubmitKeyRecord) -> bool:
    """Whether this record was taken already (R4): under one message id an authority signs one.

    Raises:
        DomainError: EQUIVOCATION for another one; both are kept, and its region is frozen.
    """
    header = command.record.header
    rows = group.connection.execute(sa.select(key_record.c.envelope))
    known = [envelope_pb2.Envelope.FromString(bytes(row.envelope)) for row in rows]
    for one in known + _kept_records(group, header.sender):
        before = messages_pb2.KeyRecord.FromString(one.payload).header
        if (before.sender, before.message_id) != (header.sender, header.message_id):
            continue
        if one.payload == command.envelope.payload:
            return True
        equivocating_record(
            group,
            header.sender,
            header.message_id,
            one.SerializeToString(),
            command.envelope.SerializeToString(),
        )
    return False


def _kept_records(group: Group, sender: str) -> list[envelope_pb2.Envelope]:
    """Give every key record of an authority that came to this bridge, as it was signed."""
    columns = (message.c.payload, message.c.signature_id, message.c.item_index)
    of_no_transfer = (
        message.c.source == NO_TRANSFER.source,
        message.c.transfer_id == NO_TRANSFER.transfer_id,
    )
    of_sender = (message.c.payload_type == KEY_RECORD_TYPE, message.c.sender == sender)
    rows = group.connection.execute(sa.select(*columns).where(*of_no_transfer, *of_sender)).all()
    signatures = load_signatures(group.connection, signature, [row.signature_id for row in rows])
    return [envelope_from(signatures[row.signature_id], bytes(row.payload), row.item_index) for row in rows]


def _check_change(group: Group, before: KeyDirectory, entry: KeyEntry) -> None:
    """Check a planned change of a key; a revocation asks for nobody's leave (PROTOCOL section 2).

    Raises:
        DomainError: KEY_INDEX_PAST for a beginning or end that is written already, KEY_IN_USE for the end of
            a key that undecided transfers or live claims rest on or that has no successor.
    """
    claims = resting_claims(group.connection, entry.epoch) if entry.role is KeyRole.TOKEN else 0
    if claims and (entry.revoked or entry.valid_to_index is not None):
        # Without the key nobody finds these claims again: their tokens are renewed first.
        raise DomainError("KEY_IN_USE", key_id=entry.key_id, count=claims)
    if entry.revoked:
        return
    known, size = before.get(entry.key_id), log.log_size(group.connection)
    begins = (
        entry.valid_from_index if known is None or known.valid_from_index != entry.valid_from_index else size
    )
    # A first record may begin at 0: the key counts from its own leaf on.
    if 0 < begins < size:
        raise DomainError("KEY_INDEX_PAST", field="valid_from_index", index=begins, size=size)
    ends = entry.valid_to_index
    if ends is None or (known is not None and known.valid_to_index == ends):
        return
    if ends < size:
        raise DomainError("KEY_INDEX_PAST", field="valid_to_index", index=ends, size=size)
    resting = sum(
        1
        for _, one in group.overlay.all()
        if entry.key_id in (one.transfer.lock_key_id, one.transfer.ready_key_id)
    )
    followed = any(
        other.key_id != entry.key_id and not other.revoked and other.valid_at(ends)
        for other in before.owned_by(entry.owner, entry.role)
    )
    if resting or not followed:
        raise DomainError("KEY_IN_USE", key_id=entry.key_id, count=resting)


def _abort_resting_on(group: Group, key_id: bytes) -> None:
    for key, open_entry in group.overlay.all():
        after = notary.on_key_revoked(TransferView(open_entry.transfer), key_id)
        for effect in after.effects:
            if isinstance(effect, Decide) and key not in group.pending:
                group.pending[key] = PendingDecision(key, effect)


def submit_recognition(group: Group, command: SubmitRecognition) -> Answer:
    """Put an agreement in force for its direction and period; an id is used once.

    Raises:
        DomainError: EQUIVOCATION for another body under its id; what `check_recognition` raises.
    """
    answer = Answer()
    if answered_before(group, command.request, answer):
        return answer
    record = command.record
    known = group.connection.execute(
        sa.select(agreement.c.envelope, agreement.c.log_index).where(
            agreement.c.agreement_id == record.agreement_id
        )
    ).first()
    envelope_bytes = command.envelope.SerializeToString()
    if known is not None:
        stored = envelope_pb2.Envelope.FromString(bytes(known.envelope))
        if stored.payload != command.envelope.payload:
            equivocating_record(
                group,
                record.header.sender,
                record.agreement_id.encode(),
                stored.SerializeToString(),
                envelope_bytes,
            )
        answer.log_index = known.log_index
        note_answer(group, command.request, answer)
        return answer
    period = check_recognition(record, policy.known_regions(group.connection))
    leaf = make_leaf(
        "recognition",
        message_hashes=[command.message_hash],
        signer_key_ids=list(command.signer_key_ids),
        public={
            "agreement_id": record.agreement_id.encode(),
            "from_region": record.from_region.encode(),
            "to_region": record.to_region.encode(),
        },
    )
    answer.log_index = log.append_leaves(group.connection, [leaf], recorded_at=group.now)
    group.keep_record(command.envelope, command.message_hash, record.header.sender)
    group.connection.execute(
        sa.insert(agreement).values(
            agreement_id=record.agreement_id,
            from_region=record.from_region,
            to_region=record.to_region,
            programmes=json.dumps(list(record.programmes)),
            unit_classes=json.dumps(list(record.unit_classes)),
            purposes=json.dumps(list(record.purposes)),
            quantity_cap_kg=record.quantity_cap_kg,
            start_date=period.start.isoformat(),
            end_date=period.end.isoformat(),
            document=record.document,
            envelope=envelope_bytes,
            log_index=answer.log_index,
        )
    )
    group.connection.execute(sa.insert(agreement_use).values(agreement_id=record.agreement_id, used_kg=0))
    for region in (record.from_region, record.to_region):
        notify(group, region, command.envelope, answer.log_index)
    note_answer(group, command.request, answer)
    return answer


def check_recognition(record: messages_pb2.RecognitionRecord, regions: frozenset[str]) -> Period:
    """Check what an agreement states; its period.

    Raises:
        DomainError: FIELD_MISSING, FIELD_INVALID, REGION_UNKNOWN, QUANTITY_NOT_POSITIVE, RANGE_REVERSED.
    """
    require_text(record.agreement_id, "agreement_id", length_max=_AGREEMENT_ID_LENGTH_MAX)
    optional_text(record.document, "document")
    for field, region in (("from_region", record.from_region), ("to_region", record.to_region)):
        if region not in regions:
            raise DomainError("REGION_UNKNOWN", field=field, region=region[:96])
    if record.from_region == record.to_region:
        raise DomainError("FIELD_INVALID", field="to_region", detail="both regions are the same")
    if not record.programmes or not record.unit_classes:
        raise DomainError("FIELD_MISSING", field="programmes")
    for name, texts in (
        ("programmes", record.programmes),
        ("unit_classes", record.unit_classes),
        ("purposes", record.purposes),
    ):
        if len(texts) > TEXTS_PER_LIST_MAX:
            raise DomainError("BATCH_TOO_LARGE", field=name, limit=TEXTS_PER_LIST_MAX, count=len(texts))
        for text in texts:
            optional_text(text, name, length_max=_AGREEMENT_ID_LENGTH_MAX)
    if not 0 <= record.discount_at_use_ppm <= _WHOLE_PPM:
        raise DomainError(
            "FIELD_INVALID", field="discount_at_use_ppm", detail=str(record.discount_at_use_ppm)
        )
    if record.quantity_cap_kg < 0:
        raise DomainError(
            "QUANTITY_NOT_POSITIVE", field="quantity_cap_kg", quantity_kg=record.quantity_cap_kg
        )
    return Period(
        date_of(record.period.start_date, "period.start_date"),
        date_of(record.period.end_date, "period.end_date"),
    )


_AGREEMENT_ID_LENGTH_MAX = 64
_WHOLE_PPM = 1_000_000
