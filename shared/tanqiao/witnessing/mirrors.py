"""Mirrors of the bridge's log brought together: what of them is sound, leaf by leaf (PROTOCOL sections 6, 7).

A mirror stands only if its leaves have the root of a checkpoint that the log signed; one of them must have a
checkpoint that a quorum cosigned. So many must be there that whatever a quorum cosigned is in one of them.
The longest gives the leaves; the messages and the record beside a leaf are taken from the first mirror that
has them sound. At the end a witness of its own replays everything, as every witness replays the bridge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import mirror_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import Federation
from tanqiao.signing.holding import SignatureChecks
from tanqiao.signing.logs import checkpoint_keys, log_name, witness_policy
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.recovery_key import Unsealer
from tanqiao.signing.witness_groups import (
    CHANGES_MAX,
    WITNESS_GROUP_KIND,
    WitnessGroups,
    change_of_leaf,
)
from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint, size_of_note
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.merkle import CompactRange, hash_leaf, verify_consistency
from tanqiao.tlog.policy import verify_checkpoint
from tanqiao.witnessing.location_roots import until_location_root
from tanqiao.witnessing.mirror_file import MirrorFile
from tanqiao.witnessing.replay import LeafRefusedError, Replay, SeenLeaf
from tanqiao.witnessing.store import Replayed, ReplayStore

LEAVES_PER_STRETCH: Final = 500
MIRRORS_MAX: Final = 64
_KEY_KINDS: Final = ("key_record", "trust_anchor")


@dataclass(slots=True)
class Examined:
    """A mirror that holds by itself.

    Args:
        file: open.
        root: of its leaves.
        directory: keys as its leaves state them.
        cosigned: its checkpoint with a quorum; None without.
        groups: who counts at which size, as its leaves state it.
        handovers: the checkpoints in which a group cosigned its replacement, by the log index of that leaf.
        marks: roots at the sizes that other mirrors have.
    """

    file: MirrorFile
    root: bytes
    directory: KeyDirectory
    cosigned: Checkpoint | None
    groups: WitnessGroups
    handovers: dict[int, bytes]
    marks: dict[int, bytes] = field(default_factory=dict)

    @property
    def party(self) -> str:
        """Who kept it."""
        return self.file.head.party


@dataclass(frozen=True, slots=True)
class Refused:
    """A mirror that cannot be used, and why."""

    path: Path
    refusal: DomainError


@dataclass(frozen=True, slots=True)
class WholeLeaf:
    """A leaf with everything beside it, sound."""

    seen: SeenLeaf
    record: mirror_pb2.LeafRecord
    is_settled: bool


class Mirrors:
    """Mirrors that agree, and enough of them.

    Args:
        federation: trust anchors, first keys, the group of witnesses.
        paths: of the mirror files.

    Raises:
        DomainError: MIRROR_INVALID where two that hold by themselves contradict each other or no checkpoint
            has a quorum, MIRRORS_MISSING for too few, BATCH_TOO_LARGE.
    """

    def __init__(self, federation: Federation, paths: Sequence[Path]) -> None:
        if len(paths) > MIRRORS_MAX:
            raise DomainError("BATCH_TOO_LARGE", field="from-mirror", limit=MIRRORS_MAX, count=len(paths))
        self._federation = federation
        self._replay = Replay(federation)
        self.refused: list[Refused] = []
        self.used: list[Examined] = []
        try:
            for path in dict.fromkeys(paths):
                self._open(path)
            self._require_enough()
            self.used.sort(key=lambda one: -one.file.size)
            self._require_one_log()
        except BaseException:
            self.close()
            raise
        self._checks = SignatureChecks(self.used[0].directory)
        self._settled: set[int] = set()

    def close(self) -> None:
        """Close the files."""
        for one in self.used:
            one.file.close()

    @property
    def size(self) -> int:
        """How many leaves the longest has."""
        return self.used[0].file.size

    @property
    def handovers(self) -> dict[int, bytes]:
        """The checkpoints in which a group cosigned its replacement, by the log index of that leaf."""
        return {index: note for one in self.used for index, note in one.handovers.items()}

    @property
    def directory(self) -> KeyDirectory:
        """Keys as the log states them."""
        return self.used[0].directory

    # -- which mirrors count ---------------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        try:
            file = MirrorFile(path)
        except DomainError as refusal:
            self.refused.append(Refused(path, refusal))
            return
        try:
            self.used.append(self._examine(file))
        except (TlogError, DomainError) as error:
            file.close()
            known = isinstance(error, DomainError) and error.symbol == "MIRROR_INVALID"
            detail = error.sentence_in("en") if isinstance(error, TlogError) else str(error)
            self.refused.append(Refused(path, error if known else file.invalid(detail)))  # type: ignore[arg-type]

    def _examine(self, file: MirrorFile) -> Examined:
        """Hold a mirror against the checkpoints in its head."""
        head, network_id = file.head, self._federation.network_id
        if head.network_id != network_id:
            raise file.invalid(f"it is of network {head.network_id[:64]}")
        groups = WitnessGroups(self._federation.witness_group)
        if len(head.handover_checkpoints) > CHANGES_MAX:
            raise file.invalid("it has too many checkpoints of changes")
        sizes = {head.size}
        for note in (head.shown_checkpoint, head.cosigned_checkpoint, *head.handover_checkpoints):
            if note:
                sizes.add(size_of_note(note))
        tree, marks = CompactRange(), {}
        directory = KeyDirectory.of(())
        for index in range(file.size):
            leaf = file.leaf(index)
            taken = decode_leaf(leaf.data)
            if taken.kind in _KEY_KINDS:
                directory = self._replay.open([leaf], directory).after
            elif taken.kind == WITNESS_GROUP_KIND:
                # Its signatures are checked with everything else, when the whole log is replayed.
                groups = groups.with_changes([change_of_leaf(taken, index)])
            tree.append(hash_leaf(leaf.data))
            if tree.size in sizes:
                marks[tree.size] = tree.root()
        keys = checkpoint_keys(network_id, directory, BRIDGE)
        shown, _ = open_checkpoint(head.shown_checkpoint, *keys)
        self._require_origin(shown)
        verify_consistency(head.size, shown.size, list(head.shown_proof), tree.root(), shown.root)
        if groups.every_witness and head.party not in groups.every_witness:
            raise file.invalid(f"{head.party[:96]} is no witness of the group")

        def final(note: bytes) -> Checkpoint:
            size = size_of_note(note)
            policy = witness_policy(network_id, directory, groups.at(size), size=size)
            found = verify_checkpoint(note, policy).checkpoint
            self._require_origin(found)
            if marks.get(found.size) != found.root:
                raise file.invalid(f"its leaves have another root at {found.size} than was cosigned")
            return found

        has_quorum = head.cosigned_checkpoint and groups.every_witness
        cosigned = final(head.cosigned_checkpoint) if has_quorum else None
        handovers = {final(note).size - 1: note for note in head.handover_checkpoints}
        return Examined(file, tree.root(), directory, cosigned, groups, handovers)

    def _require_origin(self, checkpoint: Checkpoint) -> None:
        if checkpoint.origin != log_name(self._federation.network_id, BRIDGE):
            raise TlogError("CHECKPOINT_ORIGIN_WRONG", checkpoint.origin)

    def _require_enough(self) -> None:
        """Whatever a quorum cosigned is in one of so many mirrors: fewer may all be too short."""
        have = {one.party for one in self.used}
        groups = max(self.used, key=lambda one: one.file.size).groups if self.used else None
        groups = groups or WitnessGroups(self._federation.witness_group)
        final_size = max((one.cosigned.size for one in self.used if one.cosigned), default=0)
        # Until the newest group has made something final, what the one before cosigned may be the longest.
        for group in dict.fromkeys((groups.at(final_size), groups.newest)):
            counting = have & set(group.witnesses) if group.witnesses else have
            needed = len(group.witnesses) - group.quorum + 1
            if len(counting) < needed:
                missing = ", ".join(sorted(set(group.witnesses) - have)) or "-"
                for refused in self.refused:
                    missing += f"; {refused.refusal}"
                raise DomainError("MIRRORS_MISSING", have=len(counting), needed=needed, missing=missing)
        if groups.newest.witnesses and not any(one.cosigned for one in self.used):
            raise self.used[0].file.invalid("no mirror has a checkpoint with a quorum")

    def _require_one_log(self) -> None:
        """Demand that the shorter ones are beginnings of the longest."""
        longest, *others = self.used
        wanted = {one.file.size: one for one in others}
        tree = CompactRange()
        for index in range(max(wanted, default=0)):
            tree.append(hash_leaf(longest.file.leaf(index).data))
            if tree.size in wanted:
                longest.marks[tree.size] = tree.root()
        for one in others:
            if longest.marks[one.file.size] != one.root:
                raise one.file.invalid(f"it is of another log than {longest.file.path.name}: the bridge lied")

    # -- leaves ----------------------------------------------------------------------------------------------

    def leaves(self, from_index: int, limit: int) -> list[SeenLeaf]:
        """Give leaves in order, each with those messages beside it that some mirror has sound."""
        end = min(self.size, from_index + limit)
        return [self._leaf(index) for index in range(from_index, end)]

    def whole(self, unsealer: Unsealer) -> Iterator[list[WholeLeaf]]:
        """Give all leaves with their records, a stretch at a time.

        Raises:
            DomainError: MIRROR_RECORD_UNSOUND where no mirror has the record of a leaf, sealed for it.
        """
        for start in range(0, self.size, LEAVES_PER_STRETCH):
            yield [
                WholeLeaf(leaf, self._record(leaf, unsealer), leaf.log_index in self._settled)
                for leaf in self.leaves(start, LEAVES_PER_STRETCH)
            ]

    def _leaf(self, log_index: int) -> SeenLeaf:
        leaf = self.used[0].file.leaf(log_index)
        wanted = dict.fromkeys(decode_leaf(leaf.data).message_hashes)
        found: dict[bytes, envelope_pb2.Envelope] = {}
        for one in self._copies(log_index, leaf):
            for envelope in one.envelopes:
                value = message_hash(envelope.payload_type, envelope.payload)
                if value in wanted and value not in found and self._checks.hold(envelope):
                    found[value] = envelope
            if len(found) == len(wanted):
                break
        return replace(leaf, envelopes=tuple(found[value] for value in wanted if value in found))

    def _record(self, leaf: SeenLeaf, unsealer: Unsealer) -> mirror_pb2.LeafRecord:
        refusal = DomainError("MIRROR_RECORD_UNSOUND", index=leaf.log_index, detail="none was sealed")
        leaf_hash = hash_leaf(leaf.data)
        for one in self._copies(leaf.log_index, self.used[0].file.leaf(leaf.log_index)):
            if not one.sealed_record:
                continue
            try:
                plain = unsealer.unseal(one.sealed_record, self.directory, leaf.log_index, leaf_hash)
                return mirror_pb2.LeafRecord.FromString(plain)
            except (DomainError, DecodeError) as error:
                refusal = error if isinstance(error, DomainError) else refusal
        raise refusal

    def _copies(self, log_index: int, first: SeenLeaf) -> Iterator[SeenLeaf]:
        yield first
        for one in self.used[1:]:
            if log_index < one.file.size:
                yield one.file.leaf(log_index)

    # -- the witness of the rebuild --------------------------------------------------------------------------

    def replay(self, scratch: Database) -> None:
        """Replay and validate every leaf, as a witness that begins anew.

        Args:
            scratch: an empty database of a witness, thrown away afterwards.

        Raises:
            DomainError: MIRROR_RECORD_UNSOUND with the leaf that does not show what it must.
        """
        store = ReplayStore(scratch, log_name(self._federation.network_id, BRIDGE))
        directory = store.directory()
        tree = Replayed(CompactRange())
        while tree.tree.size < self.size:
            leaves = until_location_root(self.leaves(tree.tree.size, LEAVES_PER_STRETCH))
            try:
                stretch = self._replay.open(leaves, directory, self._settled)
                known = store.known(stretch.touched, stretch.after)
                self._replay.apply(stretch.opened, known)
            except LeafRefusedError as refused:
                if not self._is_settled(refused.seen, directory):
                    index = refused.seen.log_index
                    detail = refused.detail
                    raise DomainError("MIRROR_RECORD_UNSOUND", index=index, detail=detail) from refused
                self._settled.add(refused.seen.log_index)
                continue
            grown = tree.range.copy()
            grown.extend(hash_leaf(leaf.data) for leaf in leaves)
            store.persist(tree, grown, (), known)
            tree, directory = Replayed(grown), stretch.after

    def _is_settled(self, refused: SeenLeaf, directory: KeyDirectory) -> bool:
        for index in range(refused.log_index + 1, self.size):
            behind = self._replay.settles(refused, self._leaf(index), directory)
            if behind is None:
                return True
            directory = behind
        return False
