"""The first start of a bridge.

It notes whose database it is, and the federation's first keys and regions as leaves.
"""

from __future__ import annotations

import base64

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.node_state import claim_database, get_state, set_state
from tanqiao.db.signatures import store_envelope
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.federation import Federation
from tanqiao.signing.pae import message_hash
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.context import BRIDGE, NO_TRANSFER
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.decisions import MessageRow, insert_messages
from tanqiao_bridge.storage.recovery import EPOCH_RECORD
from tanqiao_bridge.storage.tables import key_record, node_state, region, signature

EPOCH = "bridge_epoch"


def prepare(connection: sa.Connection, federation: Federation, *, now: int) -> int:
    """Make the database this bridge's at the first start, add keys and regions that are new; the epoch.

    Every key record is verified against the trust anchors before it is written, and is a leaf of the log.

    Raises:
        DomainError: SETTING_INVALID for another node's database; what verification of a record raises.
    """
    claim_database(connection, node_state, network_id=federation.network_id, party=BRIDGE)
    epoch = get_state(connection, node_state, EPOCH)
    if epoch is None:
        set_state(connection, node_state, EPOCH, "1")
    _add_keys(connection, federation, now)
    return int(epoch or 1)


def load_epoch_record(connection: sa.Connection) -> envelope_pb2.Envelope | None:
    """Give the record that proves the present epoch; None in the first one."""
    text = get_state(connection, node_state, EPOCH_RECORD)
    return None if text is None else envelope_pb2.Envelope.FromString(base64.b64decode(text))


def _add_keys(connection: sa.Connection, federation: Federation, now: int) -> None:
    directory = federation.directory()  # verifies every record
    known = {bytes(value) for value in connection.execute(sa.select(key_record.c.key_id)).scalars()}
    rows, leaves, kept = [], [], []
    for anchor in federation.anchors:
        if anchor.entry.key_id not in known:
            rows.append((anchor.entry, b""))
            leaves.append(make_leaf("trust_anchor", public=key_facts(anchor.entry)))
    for envelope in federation.key_records:
        record = messages_pb2.KeyRecord.FromString(envelope.payload)
        entry = KeyEntry.of_record(record)
        if entry.key_id not in known:
            kept.append(kept_record(connection, envelope, record.header.sender))
            rows.append((entry, envelope.SerializeToString()))
            leaves.append(
                make_leaf(
                    "key_record",
                    message_hashes=[message_hash(envelope.payload_type, envelope.payload)],
                    signer_key_ids=[signature.key_id for signature in envelope.signatures],
                    public=key_facts(entry),
                )
            )
    if not rows:
        return
    first_index = log.append_leaves(connection, leaves, recorded_at=now)
    insert_messages(connection, kept)
    insert_rows(
        connection,
        key_record,
        [
            (
                entry.key_id,
                entry.owner,
                int(entry.role),
                entry.suite,
                entry.public_key,
                entry.epoch,
                entry.valid_from_index,
                entry.valid_to_index or 0,
                entry.revoked,
                envelope_bytes,
                first_index + position,
            )
            for position, (entry, envelope_bytes) in enumerate(rows)
        ],
    )
    _add_regions(connection, directory, now)


def kept_record(connection: sa.Connection, envelope: envelope_pb2.Envelope, sender: str) -> MessageRow:
    """Give the record as it is kept, to travel beside its leaf."""
    signature_id = store_envelope(connection, signature, envelope)
    value = message_hash(envelope.payload_type, envelope.payload)
    return MessageRow(
        value, envelope.payload_type, sender, NO_TRANSFER, envelope.payload, signature_id, 0, None
    )


def key_facts(entry: KeyEntry) -> dict[str, bytes]:
    """Give what the leaf of a key says: a replay knows each key's time and end without the records."""
    return {
        "epoch": str(entry.epoch).encode(),
        "key_id": entry.key_id,
        "owner": entry.owner.encode(),
        "public_key": entry.public_key,
        "revoked": b"1" if entry.revoked else b"0",
        "role": entry.role.name.encode(),
        "suite": str(int(entry.suite)).encode(),
        "valid_from_index": str(entry.valid_from_index).encode(),
        "valid_to_index": str(entry.valid_to_index or 0).encode(),
    }


def _add_regions(connection: sa.Connection, directory: KeyDirectory, now: int) -> None:
    known = set(connection.execute(sa.select(region.c.region)).scalars())
    parties = sorted(
        {
            entry.owner
            for entry in directory
            if entry.owner.startswith("region/") and entry.role is KeyRole.MESSAGE
        }
    )
    insert_rows(
        connection,
        region,
        [(party, party.removeprefix("region/"), 0, 0, now) for party in parties if party not in known],
    )


def load_directory(connection: sa.Connection) -> KeyDirectory:
    """Give the key directory as the log left it."""
    columns = key_record.c
    rows = connection.execute(
        sa.select(
            columns.owner,
            columns.role,
            columns.suite,
            columns.public_key,
            columns.key_epoch,
            columns.valid_from_index,
            columns.valid_to_index,
            columns.revoked,
            columns.envelope,
        )
    )
    return KeyDirectory.of(
        KeyEntry(
            owner=row.owner,
            role=KeyRole(row.role),
            suite=row.suite,
            public_key=bytes(row.public_key),
            epoch=row.key_epoch,
            valid_from_index=row.valid_from_index,
            valid_to_index=row.valid_to_index or None,
            revoked=bool(row.revoked),
            holder=_holder(row.role, bytes(row.envelope)),
        )
        for row in rows
    )


def _holder(role: int, envelope: bytes) -> str:
    """Give in whose hand an approver's or a body's key is, as its record says."""
    if role not in (KeyRole.APPROVER, KeyRole.BODY):
        return ""
    payload = envelope_pb2.Envelope.FromString(envelope).payload
    return messages_pb2.KeyRecord.FromString(payload).holder
