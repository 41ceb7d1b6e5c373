"""Who cosigns the bridge's log at which size of it, and the record that replaces a group of witnesses.

PROTOCOL section 8: two approvers of each authority replace the group by a leaf that the old quorum cosigns;
if that is gone, every root signs. A checkpoint is final by the group that counts for its size. A change by
approvers counts behind its own leaf: the checkpoint with that leaf as its last is still the old group's, and
no larger one comes before it. One by the roots counts from its own leaf on, and settles what waits before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.approvals import APPROVERS
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.parties import BRIDGE, parse_party
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import AllowedMessage, Limits, Opened, Verifier, allow, require_signers
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, make_leaf

WITNESS_GROUP_KIND: Final = "witness_group"
WITNESS_GROUP_TYPE: Final = payload_type_of(messages_pb2.WitnessGroupRecord)
SIGNATURES_MAX: Final = 128
"""Two approvers of each authority, of as many as a federation may have."""
CHANGES_MAX: Final = 1_000
"""So often the group may be replaced in the life of one log."""
CHANGE_ID_LENGTH: Final = 16
WITNESSES_MAX: Final = 64
TEXT_LENGTH_MAX: Final = 500
_LIMITS: Final = Limits(signatures_max=SIGNATURES_MAX)
_WITNESS_KINDS: Final = ("region", "witness")


@dataclass(frozen=True, slots=True)
class GroupChange:
    """One change of the group.

    Args:
        log_index: of its leaf.
        group: who counts from then on.
        by_roots: signed by every root; otherwise by approvers, and the group before has to cosign the leaf.
    """

    log_index: int
    group: WitnessGroup
    by_roots: bool = False

    @property
    def from_size(self) -> int:
        """Smallest size of the log at which a checkpoint is final by this group."""
        return self.log_index + (1 if self.by_roots else 2)

    @property
    def handover_size(self) -> int:
        """Size at which the group before cosigns the leaf: it is the last one of that tree."""
        return self.log_index + 1


@dataclass(frozen=True, slots=True)
class WitnessGroups:
    """The groups of a network, by the size of the log from which each counts.

    Args:
        first: that of the federation's file.
        changes: in the order of the log.
    """

    first: WitnessGroup
    changes: tuple[GroupChange, ...] = ()

    def at(self, size: int) -> WitnessGroup:
        """Give the group by which a checkpoint of a size is final."""
        return next(
            (change.group for change in reversed(self.changes) if change.from_size <= size), self.first
        )

    @property
    def newest(self) -> WitnessGroup:
        """The group that counts behind the last change."""
        return self.changes[-1].group if self.changes else self.first

    @property
    def newest_index(self) -> int:
        """Log index of the last change; 0 before the first."""
        return self.changes[-1].log_index if self.changes else 0

    def with_changes(self, changes: Sequence[GroupChange]) -> WitnessGroups:
        """Give the groups with more changes, in the order of the log."""
        return replace(self, changes=(*self.changes, *changes))

    def handovers(self, size: int) -> tuple[GroupChange, ...]:
        """Give the changes that the group before must have cosigned ere a checkpoint of a size counts.

        What every root signed behind them settles them.
        """
        before = [change for change in self.changes if change.log_index < size]
        settled = max((change.log_index for change in before if change.by_roots), default=-1)
        return tuple(
            change
            for change in before
            if not change.by_roots and change.log_index > settled and change.handover_size < size
        )

    @property
    def every_witness(self) -> tuple[str, ...]:
        """Every party that ever was a witness."""
        groups = (self.first, *(change.group for change in self.changes))
        return tuple(dict.fromkeys(witness for group in groups for witness in group.witnesses))


def check_group_record(record: messages_pb2.WitnessGroupRecord) -> WitnessGroup:
    """Check what a record states; the group that it names.

    Raises:
        DomainError: FIELD_INVALID, FIELD_MISSING, BATCH_TOO_LARGE, TEXT_TOO_LONG; SETTING_INVALID for a
            quorum that half could reach or that all must.
    """
    if len(record.change_id) != CHANGE_ID_LENGTH:
        raise DomainError("FIELD_INVALID", field="change_id", detail=f"{len(record.change_id)} bytes")
    if record.replaces_log_index < 0:
        raise DomainError("FIELD_INVALID", field="replaces_log_index", detail=str(record.replaces_log_index))
    for field in ("reason", "document"):
        text = getattr(record, field)
        if not text.strip():
            raise DomainError("FIELD_MISSING", field=field)
        if len(text) > TEXT_LENGTH_MAX:
            raise DomainError("TEXT_TOO_LONG", field=field, limit=TEXT_LENGTH_MAX)
    count = len(record.witnesses)
    if not count:
        raise DomainError("FIELD_MISSING", field="witnesses")
    if count > WITNESSES_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="witnesses", limit=WITNESSES_MAX, count=count)
    for witness in record.witnesses:
        if parse_party(witness, field="witnesses").kind not in _WITNESS_KINDS:
            raise DomainError("FIELD_INVALID", field="witnesses", detail=f"{witness} is no witness's name")
    return WitnessGroup(tuple(record.witnesses), record.quorum)


def open_group_record(
    envelope: envelope_pb2.Envelope, network_id: str, directory: KeyDirectory, *, at_index: int
) -> tuple[Opened, bool]:
    """Open a record that two approvers of each authority have signed, or each root; whether the roots did.

    The authorities are those whose roots the directory has, as the log has stated them up to there.

    Raises:
        DomainError: what `Verifier.open_envelope` and `check_group_record` raise; APPROVERS_MISSING,
            SIGNATURE_MISSING with the authorities that have not signed.
    """
    first = directory.get(envelope.signatures[0].key_id) if envelope.signatures else None
    by_roots = first is not None and first.role is KeyRole.ROOT
    role = KeyRole.ROOT if by_roots else KeyRole.APPROVER
    opened = Verifier(network_id, BRIDGE, _LIMITS).open_envelope(
        envelope, directory, allowed=_ALLOWED[role], peer=None, at_index=at_index
    )
    authorities = sorted(
        {
            entry.owner
            for entry in directory
            if entry.role is KeyRole.ROOT and not entry.revoked and entry.valid_at(at_index)
        }
    )
    require_signers(opened, [owner for owner in authorities for _ in range(_NEEDED[role])], role)
    check_group_record(opened.message)
    return opened, by_roots


def _allowed(role: KeyRole) -> dict[str, AllowedMessage]:
    return allow(
        messages_pb2.WitnessGroupRecord,
        senders=("authority/*",),
        role=role,
        audience=BRIDGE,
        signatures_max=SIGNATURES_MAX,
    )


_ALLOWED: Final = {role: _allowed(role) for role in (KeyRole.ROOT, KeyRole.APPROVER)}
_NEEDED: Final = {KeyRole.ROOT: 1, KeyRole.APPROVER: APPROVERS}


def group_leaf(
    record: messages_pb2.WitnessGroupRecord,
    message_hash: bytes,
    signer_key_ids: Sequence[bytes],
    *,
    by_roots: bool,
) -> Leaf:
    """Make the leaf of a change."""
    return make_leaf(
        WITNESS_GROUP_KIND,
        message_hashes=[message_hash],
        signer_key_ids=list(signer_key_ids),
        public={
            "change_id": record.change_id,
            "quorum": str(record.quorum).encode(),
            "replaces_log_index": str(record.replaces_log_index).encode(),
            "signed_by": b"roots" if by_roots else b"approvers",
            "witnesses": "\n".join(record.witnesses).encode(),
        },
    )


def change_of_leaf(leaf: Leaf, log_index: int) -> GroupChange:
    """Give the change that a leaf states.

    Raises:
        TlogError: `LEAF_FIELD_MISSING`, `LEAF_FIELD` for what is no group.
    """
    try:
        group = WitnessGroup(
            tuple(leaf.value("witnesses").decode().split("\n")), int(leaf.value("quorum").decode())
        )
    except (DomainError, ValueError) as error:
        raise TlogError("LEAF_FIELD", "it states no group of witnesses") from error
    return GroupChange(log_index, group, leaf.value("signed_by") == b"roots")
