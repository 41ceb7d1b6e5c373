"""Replacing the group of witnesses (PROTOCOL section 8): row and leaf in one transaction.

From then on the log is sealed up to that leaf and no further until the group before has cosigned it; what is
sealed behind it is final by the new group.
"""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.logs import witness_keys
from tanqiao.signing.witness_groups import (
    CHANGES_MAX,
    WITNESS_GROUP_KIND,
    GroupChange,
    WitnessGroups,
    check_group_record,
    group_leaf,
)
from tanqiao_bridge.application.commands import Answer
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.freezes import equivocating_record
from tanqiao_bridge.application.records import answered_before, note_answer
from tanqiao_bridge.storage import log, witness_groups
from tanqiao_bridge.storage.leaf_kinds import announced_by_all, require_announced
from tanqiao_bridge.storage.witness_groups import StoredChange


@dataclass(frozen=True, slots=True)
class ReplaceGroup:
    """A WitnessGroupRecord that two approvers of each authority have signed, or each root; verified."""

    record: messages_pb2.WitnessGroupRecord
    envelope: envelope_pb2.Envelope
    message_hash: bytes
    signer_key_ids: tuple[bytes, ...]
    by_roots: bool
    request: ClientRequest


def replace_group(group: Group, command: ReplaceGroup) -> Answer:
    """Put another group of witnesses in the place of the one that counts.

    Raises:
        DomainError: SIGNATURE_MISSING where approvers name the first group, WITNESS_GROUP_REPLACED,
            LEAF_KIND_NOT_ANNOUNCED for a witness that does not read what the log writes, KEY_UNKNOWN for one
            without a key, EQUIVOCATION, FIELD_INVALID, BATCH_TOO_LARGE.
    """
    answer = Answer()
    if answered_before(group, command.request, answer):
        return answer
    record = command.record
    known = witness_groups.find_change(group.connection, record.change_id)
    if known is not None:
        stored = envelope_pb2.Envelope.FromString(known.envelope)
        if stored.payload != command.envelope.payload:
            equivocating_record(
                group,
                record.header.sender,
                record.change_id,
                known.envelope,
                command.envelope.SerializeToString(),
            )
        answer.log_index = known.change.log_index
        note_answer(group, command.request, answer)
        return answer
    groups = group.witness_groups or group.context.witness_groups
    wanted = check_group_record(record)
    _check_follows(groups, record)
    _check_first(group, groups, by_roots=command.by_roots)
    _check_able(group, groups, wanted, by_roots=command.by_roots)
    leaf = group_leaf(record, command.message_hash, command.signer_key_ids, by_roots=command.by_roots)
    answer.log_index = log.append_leaves(
        group.connection, [leaf], recorded_at=group.now, announced=WITNESS_GROUP_KIND
    )
    group.keep_record(command.envelope, command.message_hash, record.header.sender)
    change = GroupChange(answer.log_index, wanted, command.by_roots)
    witness_groups.insert_change(
        group.connection, StoredChange(change, record.change_id, command.envelope.SerializeToString())
    )
    group.witness_groups = groups.with_changes([change])
    note_answer(group, command.request, answer)
    return answer


def _check_follows(groups: WitnessGroups, record: messages_pb2.WitnessGroupRecord) -> None:
    if record.replaces_log_index != groups.newest_index:
        raise DomainError(
            "WITNESS_GROUP_REPLACED", replaces=record.replaces_log_index, in_force=groups.newest_index
        )
    if len(groups.changes) >= CHANGES_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="record", limit=CHANGES_MAX, count=len(groups.changes) + 1)


def _check_first(group: Group, groups: WitnessGroups, *, by_roots: bool) -> None:
    """Demand every root for the first group of a network that had none: nobody is there to cosign it."""
    if by_roots or groups.newest.witnesses:
        return
    directory = group.directory or group.context.directory
    roots = sorted({entry.owner for entry in directory if entry.role is KeyRole.ROOT and not entry.revoked})
    raise DomainError("SIGNATURE_MISSING", missing=roots, role=KeyRole.ROOT.name.lower())


def _check_able(group: Group, groups: WitnessGroups, wanted: WitnessGroup, *, by_roots: bool) -> None:
    """Demand that each new witness has a key and reads every kind of leaf that is written.

    The old ones have to read the change, unless they are gone.
    """
    directory = group.directory or group.context.directory
    size = log.log_size(group.connection) + 1
    keys = witness_keys(group.context.network_id, directory, wanted.witnesses, size)
    for witness in wanted.witnesses:
        if witness not in keys:
            raise DomainError("KEY_UNKNOWN", key_id=f"{witness} witness")
    before = groups.newest.witnesses
    kinds = announced_by_all(group.connection, before) | {WITNESS_GROUP_KIND}
    for kind in sorted(kinds):
        require_announced(group.connection, wanted.witnesses, kind)
    if not by_roots:
        require_announced(group.connection, before, WITNESS_GROUP_KIND)
