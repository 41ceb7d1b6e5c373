"""A restored database begins a new epoch of the bridge, which the root of its authority signs (section 6)."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.db.node_state import get_state, set_state
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import Signer, build_header, sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.context import BRIDGE
from tanqiao_bridge.application.start import EPOCH, kept_record
from tanqiao_bridge.storage import log, policy
from tanqiao_bridge.storage.decisions import insert_messages
from tanqiao_bridge.storage.recovery import CONTINUES_FROM, EPOCH_RECORD
from tanqiao_bridge.storage.tables import node_state, outbox

AUTHORITY = "authority/bridge"
EPOCH_TYPE = payload_type_of(recovery_pb2.EpochRecord)
NOTICE_TYPE = payload_type_of(messages_pb2.RecordNotice)
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Begun:
    """The epoch that began, the index that it continues from, and the regions that have to report."""

    epoch: int
    continues_from: int
    regions: tuple[str, ...]


def begin_epoch(
    connection: sa.Connection, network_id: str, root: Signer, bridge: Signer, *, epoch: int | None, now: int
) -> Begun:
    """Begin an epoch that continues from the log as it is in this database.

    Args:
        connection: inside the transaction that keeps it.
        network_id: of the federation.
        root: of the bridge's authority: nobody else may say that the log goes on elsewhere.
        bridge: whose header the notices to the regions carry.
        epoch: its number; None: the next one. Higher where an epoch is lost with the database.
        now: epoch seconds.

    Raises:
        DomainError: ROLE_MISMATCH or SENDER_MISMATCH for another key, INCARNATION_STALE for an epoch that
            has been.
    """
    if root.owner != AUTHORITY or root.role is not KeyRole.ROOT:
        raise DomainError("SENDER_MISMATCH", sender=AUTHORITY, owner=root.owner)
    before = int(get_state(connection, node_state, EPOCH) or 1)
    number = before + 1 if epoch is None else epoch
    if number <= before:
        raise DomainError("INCARNATION_STALE", incarnation=number, expected=before + 1)
    continues_from = log.log_size(connection)
    record = recovery_pb2.EpochRecord(
        header=build_header(
            root, network_id=network_id, audience=(BRIDGE,), message_id=secrets.token_bytes(ID_BYTES)
        ),
        bridge_epoch=number,
        continues_from_index=continues_from,
    )
    envelope = sign_envelope(root, EPOCH_TYPE, record.SerializeToString())
    leaf = make_leaf(
        "bridge_epoch",
        message_hashes=[message_hash(EPOCH_TYPE, envelope.payload)],
        signer_key_ids=[root.key_id],
        public={"bridge_epoch": str(number).encode(), "continues_from": str(continues_from).encode()},
    )
    log_index = log.append_leaves(connection, [leaf], recorded_at=now)
    insert_messages(connection, [kept_record(connection, envelope, root.owner)])
    text = base64.b64encode(envelope.SerializeToString()).decode()
    set_state(connection, node_state, EPOCH, str(number))
    set_state(connection, node_state, EPOCH_RECORD, text)
    set_state(connection, node_state, CONTINUES_FROM, str(continues_from))
    regions = tuple(sorted(policy.known_regions(connection)))
    notices = []
    for region in regions:
        notice = messages_pb2.RecordNotice(
            header=build_header(
                bridge, network_id=network_id, audience=(region,), message_id=secrets.token_bytes(ID_BYTES)
            ),
            record=envelope,
            log_index=log_index,
        )
        notices.append(OutboxMessage(region, NOTICE_TYPE, notice.SerializeToString()))
    outbox.append_many(connection, number, notices, created_at_us=now * _MICROSECONDS)
    return Begun(number, continues_from, regions)
