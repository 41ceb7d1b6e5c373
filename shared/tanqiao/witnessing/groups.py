"""How a change of the group of witnesses is believed: by who replays the log, and by who only reads it.

A witness that replays sees the record with every signature. What it does not see is whether the group before
has cosigned it; before it cosigns a tree beyond, it asks for that checkpoint and holds it against its own
leaves. A reader who replays nothing goes from group to group: each names the next in a checkpoint of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tanqiao.api.bridge.v1 import witness_groups_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.logs import witness_policy
from tanqiao.signing.pae import message_hash
from tanqiao.signing.witness_groups import (
    CHANGES_MAX,
    WITNESS_GROUP_KIND,
    GroupChange,
    WitnessGroups,
    change_of_leaf,
    group_leaf,
    open_group_record,
)
from tanqiao.tlog.checkpoint import size_of_note
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao.tlog.merkle import hash_leaf, verify_inclusion
from tanqiao.tlog.policy import Policy, verify_checkpoint

NOT_HANDED_OVER: Final = "WITNESS_NOT_HANDED_OVER"
Changes = Callable[[int], Sequence[witness_groups_pb2.WitnessGroupChange]]
"""Gives changes behind a log index, as many as it likes, none where there are no more."""


def open_change(
    envelope: envelope_pb2.Envelope, leaf: Leaf, log_index: int, network_id: str, directory: KeyDirectory
) -> tuple[GroupChange, int]:
    """Open the record of a leaf with every signature; the change, and the index of the one that it replaces.

    Raises:
        TlogError: `WITNESS_LEAF_REFUSED` for a leaf that says something else than its record, `LEAF_FIELD`.
        DomainError: what `open_group_record` raises.
    """
    opened, by_roots = open_group_record(envelope, network_id, directory, at_index=log_index)
    keys = [one.key_id for one in opened.signed_by]
    if group_leaf(opened.message, opened.message_hash, keys, by_roots=by_roots) != leaf:
        raise TlogError("WITNESS_LEAF_REFUSED", "it says something else than its record")
    return change_of_leaf(leaf, log_index), opened.message.replaces_log_index


class HandoverStore(Protocol):
    """Port: the checkpoints of handovers that a witness has seen."""

    def handovers(self) -> dict[int, bytes]:
        """Give them by the log index of the change."""
        ...

    def keep_handover(self, log_index: int, note: bytes) -> None:
        """Keep one."""
        ...


class Handovers:
    """Looks, before a witness cosigns behind a change, whether the group before has cosigned it.

    Args:
        store: what was seen.
        fetch: gives the checkpoint of a change by its log index as the bridge has it; empty: none.
        policy: gives the policy under which a checkpoint of a size is final.
        root_at: gives the root that the replayed leaves have at a size.
    """

    def __init__(
        self,
        store: HandoverStore,
        fetch: Callable[[int], bytes],
        policy: Callable[[int], Policy],
        root_at: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._policy = policy
        self._root_at = root_at
        self._seen = set(store.handovers())

    def require(self, groups: WitnessGroups, size: int) -> None:
        """Demand that every change on which a checkpoint of a size rests was handed over.

        Raises:
            TlogError: `WITNESS_NOT_HANDED_OVER`, `WITNESS_SPLIT_VIEW` where that group saw another tree, and
                what `verify_checkpoint` raises.
        """
        for change in groups.handovers(size):
            if change.log_index in self._seen:
                continue
            note = self._fetch(change.log_index)
            if not note:
                raise TlogError(NOT_HANDED_OVER, f"leaf {change.log_index}")
            shown = verify_checkpoint(note, self._policy(change.handover_size)).checkpoint
            if shown.size != change.handover_size:
                raise TlogError(NOT_HANDED_OVER, f"leaf {change.log_index}: {shown.size} leaves are shown")
            if shown.root != self._root_at(shown.size):
                raise TlogError(
                    "WITNESS_SPLIT_VIEW", f"the witnesses before saw another tree of {shown.size}"
                )
            self._store.keep_handover(change.log_index, note)
            self._seen.add(change.log_index)


class KnownGroups:
    """The groups as a reader believes them who replays nothing; nothing is remembered on disk.

    Args:
        network_id: part of the name of every log.
        first: the group of the federation's file.
        directory: gives the keys that are known, roots among them.
        changes: the bridge.
    """

    def __init__(
        self,
        network_id: str,
        first: WitnessGroup,
        directory: Callable[[], KeyDirectory],
        changes: Changes,
    ) -> None:
        self._network_id = network_id
        self._directory = directory
        self._changes = changes
        self._last_index = 0
        self.groups = WitnessGroups(first)

    def renew(self) -> WitnessGroups:
        """Ask for changes behind those that are known; the groups then. One that does not count yet waits.

        Raises:
            TlogError: a change that is not shown: `WITNESS_NOT_HANDED_OVER` or why its checkpoint fails.
            DomainError: the bridge cannot be reached; a record of the roots that does not hold.
        """
        while found := self._changes(self._last_index):
            for at, one in enumerate(found):
                if len(self.groups.changes) >= CHANGES_MAX or not self._take(one, found[at + 1 :]):
                    return self.groups
        return self.groups

    def _take(
        self,
        shown: witness_groups_pb2.WitnessGroupChange,
        later: Sequence[witness_groups_pb2.WitnessGroupChange],
    ) -> bool:
        """Take one change; False if nothing shows yet that it counts."""
        leaf = decode_leaf(shown.leaf)
        if leaf.kind != WITNESS_GROUP_KIND or shown.log_index <= self._last_index:
            raise TlogError(NOT_HANDED_OVER, f"leaf {shown.log_index} is no change behind the last")
        if leaf.value("replaces_log_index") != str(self._last_index).encode():
            raise TlogError(NOT_HANDED_OVER, f"leaf {shown.log_index} replaces another group")
        change = change_of_leaf(leaf, shown.log_index)
        if not change.by_roots and not self.groups.newest.witnesses:
            raise TlogError(NOT_HANDED_OVER, f"leaf {shown.log_index}: a first group without every root")
        if not shown.checkpoint:
            if not any(one.by_roots for one in later):
                return False
            self._last_index = shown.log_index  # it never counted: every root has settled it
            return True
        groups = self.groups
        if change.by_roots:
            open_change(shown.record, leaf, shown.log_index, self._network_id, self._directory())
            groups = groups.with_changes([change])
        self._require_shown(shown, change, groups)
        hashed = message_hash(shown.record.payload_type, shown.record.payload)
        if leaf.message_hashes != (hashed,):
            raise TlogError("MESSAGE_NOT_NAMED", f"leaf {shown.log_index}")
        self.groups = self.groups.with_changes([change])
        self._last_index = shown.log_index
        return True

    def _require_shown(
        self, shown: witness_groups_pb2.WitnessGroupChange, change: GroupChange, groups: WitnessGroups
    ) -> None:
        size = change.handover_size
        tree = verify_checkpoint(shown.checkpoint, self._policy(groups, shown.checkpoint)).checkpoint
        if tree.size < size or (tree.size != size and not change.by_roots):
            raise TlogError(NOT_HANDED_OVER, f"leaf {change.log_index}: {tree.size} leaves are shown")
        verify_inclusion(change.log_index, tree.size, hash_leaf(shown.leaf), list(shown.path), tree.root)

    def _policy(self, groups: WitnessGroups, note: bytes) -> Policy:
        size = size_of_note(note)
        return witness_policy(self._network_id, self._directory(), groups.at(size), size=size)
