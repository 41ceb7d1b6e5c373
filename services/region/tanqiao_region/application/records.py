"""What authorities sign and the bridge passes on: keys, agreements, freezes, corrections (rows 10, 11, 14).

A record is believed for the root signatures on it, never for the bridge that brings it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.protocol_facts import log_index_of
from tanqiao.signing.approvals import CORRECTION_TYPE, FREEZE_TYPE
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.federation import authority_of, open_key_record
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE, parse_party
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Verifier, allow, require_signers
from tanqiao_region.application import cases, corrections, freezes, journal
from tanqiao_region.application.group import Group
from tanqiao_region.domain.rules.facts import Recognition
from tanqiao_region.storage import node, versions

KEY_RECORD_TYPE: Final = payload_type_of(messages_pb2.KeyRecord)
RECOGNITION_TYPE: Final = payload_type_of(messages_pb2.RecognitionRecord)
EPOCH_TYPE: Final = payload_type_of(recovery_pb2.EpochRecord)
RECOGNITION_ALLOWED: Final = allow(
    messages_pb2.RecognitionRecord,
    senders=("authority/*",),
    role=KeyRole.ROOT,
    audience=BRIDGE,
    signatures_max=2,
)

Recognitions = Mapping[tuple[str, str], tuple[Recognition, ...]]


def take_record(group: Group, notice: messages_pb2.RecordNotice) -> None:
    """Keep a record and use it from now on.

    Raises:
        DomainError: what is wrong with it; nothing is kept then.
    """
    log_index_of(notice.log_index)
    match notice.record.payload_type:
        case payload_type if payload_type == KEY_RECORD_TYPE:
            _take_key(group, notice)
        case payload_type if payload_type == RECOGNITION_TYPE:
            _take_recognition(group, notice)
        case payload_type if payload_type == EPOCH_TYPE:
            pass  # taken with the Hello, before anything of the epoch (`recovery.Recovery.take_epoch`)
        case payload_type if payload_type == FREEZE_TYPE:
            freezes.take_freeze(group, notice.record, _directory(group), log_index=notice.log_index)
        case payload_type if payload_type == CORRECTION_TYPE:
            corrections.take_correction(group, notice, _directory(group))
        case other:
            raise DomainError("PAYLOAD_TYPE_NOT_ALLOWED", sender=BRIDGE, payload_type=other[:96])
    group.applied_log_index = max(group.applied_log_index, notice.log_index)


def _directory(group: Group) -> KeyDirectory:
    return group.aftermath.directory or group.context.directory


def _take_key(group: Group, notice: messages_pb2.RecordNotice) -> None:
    _keep_key(group, notice.record, max(0, notice.log_index))


def take_keys(group: Group, records: Sequence[envelope_pb2.Envelope]) -> None:
    """Keep key records that came beside the numbered traffic, as those are kept that come in it.

    Raises:
        DomainError: what is wrong with one; nothing is kept then.
    """
    for envelope in records:
        _keep_key(group, envelope, _index_of_signer(_directory(group), envelope))


def _keep_key(group: Group, envelope: envelope_pb2.Envelope, at_index: int) -> None:
    directory = _directory(group)
    record = open_key_record(group.context.verifier, envelope, directory, at_index=at_index)
    _require_first_key_record(group, record, envelope)
    renewed = directory.with_records([record])
    entry = KeyEntry.of_record(record)
    node.store_key_record(
        group.connection,
        {
            "key_id": entry.key_id,
            "owner": entry.owner,
            "role": int(entry.role),
            "suite": int(entry.suite),
            "public_key": entry.public_key,
            "key_epoch": entry.epoch,
            "valid_from_index": entry.valid_from_index,
            "valid_to_index": entry.valid_to_index or 0,
            "revoked": entry.revoked,
            "envelope": envelope.SerializeToString(),
        },
    )
    group.aftermath.directory = renewed


def _require_first_key_record(
    group: Group, record: messages_pb2.KeyRecord, envelope: envelope_pb2.Envelope
) -> None:
    """R4: a key's record is changed by later ones, so the id of each is that of its message."""
    header = record.header
    for data in node.load_key_envelopes(group.connection):
        known = envelope_pb2.Envelope.FromString(data)
        before = messages_pb2.KeyRecord.FromString(known.payload).header
        same = (before.sender, before.message_id) == (header.sender, header.message_id)
        if same and known.payload != envelope.payload:
            second = envelope.SerializeToString()
            raise cases.second_record(group, header.sender, header.message_id, data, second)


def _index_of_signer(directory: KeyDirectory, envelope: envelope_pb2.Envelope) -> int:
    """Give an index at which the signer of a record counted; its own index is not known here."""
    signer = directory.get(envelope.signatures[0].key_id) if envelope.signatures else None
    return 0 if signer is None else signer.valid_from_index


def _take_recognition(group: Group, notice: messages_pb2.RecordNotice) -> None:
    record = open_recognition(
        group.context.verifier, notice.record, _directory(group), at_index=notice.log_index
    )
    for payload, first in node.load_recognitions(group.connection):
        known = messages_pb2.RecognitionRecord.FromString(payload)
        if known.agreement_id == record.agreement_id:
            if payload != notice.record.payload:
                sender, second = record.header.sender, notice.record.SerializeToString()
                raise cases.second_record(group, sender, record.agreement_id.encode(), first, second)
            return
    start, end = _date(record.period.start_date), _date(record.period.end_date)
    node.store_recognition(
        group.connection,
        {
            "agreement_id": record.agreement_id,
            "from_region": record.from_region,
            "to_region": record.to_region,
            "start_date": start.isoformat(),
            "end_date": end.isoformat(),
            "payload": notice.record.payload,
            "envelope": notice.record.SerializeToString(),
        },
    )
    index = group.journal.append(
        journal.AGREEMENT_RECORDED,
        record.agreement_id,
        details={
            "from_region": record.from_region,
            "to_region": record.to_region,
            "from": start.isoformat(),
            "to": end.isoformat(),
        },
        message_hash=message_hash(RECOGNITION_TYPE, notice.record.payload),
    )
    versions.keep_version_from(
        group.connection, versions.AGREEMENT, record.agreement_id, notice.record.payload, index
    )
    group.aftermath.recognitions = load_recognitions(group.connection)


def open_recognition(
    verifier: Verifier, envelope: envelope_pb2.Envelope, directory: KeyDirectory, *, at_index: int
) -> messages_pb2.RecognitionRecord:
    """Open a recognition record; the roots of both regions have signed it.

    Raises:
        DomainError: what `Verifier.open_envelope` raises, SIGNATURE_MISSING, FIELD_INVALID.
    """
    opened = verifier.open_envelope(
        envelope, directory, allowed=RECOGNITION_ALLOWED, peer=None, at_index=at_index
    )
    record: messages_pb2.RecognitionRecord = opened.message
    owners = [authority_of(record.from_region), authority_of(record.to_region)]
    require_signers(opened, owners, KeyRole.ROOT)
    _date(record.period.start_date)
    _date(record.period.end_date)
    if not record.agreement_id:
        raise DomainError("FIELD_MISSING", field="agreement_id")
    return record


def load_recognitions(connection: sa.Connection) -> Recognitions:
    """Give every recognition record that is stored, by direction, as the rules read it."""
    found: dict[tuple[str, str], list[Recognition]] = {}
    for payload, _ in node.load_recognitions(connection):
        fact = recognition_of(messages_pb2.RecognitionRecord.FromString(payload))
        found.setdefault((fact.from_region, fact.to_region), []).append(fact)
    return {pair: tuple(facts) for pair, facts in found.items()}


def recognition_of(record: messages_pb2.RecognitionRecord) -> Recognition:
    """Give a record as the rules read it: division codes, legal dates."""
    from_region, to_region = parse_party(record.from_region).code, parse_party(record.to_region).code
    return Recognition(
        agreement_id=record.agreement_id,
        from_region=from_region,
        to_region=to_region,
        signed_by=frozenset({from_region, to_region}),
        valid_from=_date(record.period.start_date),
        valid_to=_date(record.period.end_date),
        programmes=frozenset(record.programmes),
        unit_classes=frozenset(record.unit_classes),
        purposes=frozenset(record.purposes),
    )


def _date(message: values_pb2.Date) -> date:
    try:
        return date(message.year, message.month, message.day)
    except ValueError:
        raise DomainError("FIELD_INVALID", field="period", detail="no such day") from None


def with_key_records(verifier: Verifier, directory: KeyDirectory, envelopes: Iterable[bytes]) -> KeyDirectory:
    """Give the directory with the key records that came over the line, each verified again.

    Each was judged at its own index when it came; here its signer is judged at an index at which it was
    valid. Roots come first: a later root vouches for keys that came after it.
    """
    parsed = [envelope_pb2.Envelope.FromString(data) for data in envelopes]
    records = [(messages_pb2.KeyRecord.FromString(one.payload), one) for one in parsed]
    records.sort(key=lambda pair: (pair[0].role != messages_pb2.KEY_ROLE_ROOT, pair[0].key_epoch))
    for _, envelope in records:
        index = _index_of_signer(directory, envelope)
        directory = directory.with_records([open_key_record(verifier, envelope, directory, at_index=index)])
    return directory
