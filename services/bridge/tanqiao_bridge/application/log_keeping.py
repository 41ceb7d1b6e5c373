"""The logs that the bridge keeps: what is read from them, and what witnesses and regions add.

Nothing here is believed by whoever reads it: checkpoints are signed and cosigned, tiles and proofs hash to
their roots. What is added is checked first: a cosignature under the key that the directory has for the
witness, a region's leaves against the checkpoint that its own key signed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import log_pb2, witness_groups_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.engine import Database
from tanqiao.db.sealed_logs import StoredCheckpoint, TilesOf
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.forms import bytes_field, number_field
from tanqiao.signing.logs import checkpoint_keys, log_name, witness_keys, witness_policy
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.recovery_key import Sealer
from tanqiao.signing.witness_groups import WitnessGroups
from tanqiao.tlog.checkpoint import open_checkpoint
from tanqiao.tlog.cosignature import verify_cosignatures
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import VerifierKey
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.merkle import consistency_proof, hash_leaf, inclusion_proof
from tanqiao.tlog.note import parse_note
from tanqiao.tlog.policy import Policy
from tanqiao.tlog.sealing import Tree
from tanqiao.tlog.tiles import MAX_ENTRY_BYTES, TileBuilder, parse_tile_path
from tanqiao_bridge.storage.beside import written_beside
from tanqiao_bridge.storage.leaf_kinds import announced_by_all
from tanqiao_bridge.storage.leaf_records import leaf_records
from tanqiao_bridge.storage.region_logs import append_region_leaves, leaves_of, size_of
from tanqiao_bridge.storage.tables import known_leaf_kind, sealed_logs
from tanqiao_bridge.storage.witness_groups import StoredChange, load_changes

LEAVES_PER_PAGE_MAX: Final = 500
LEAVES_PER_CALL_MAX: Final = 4_096
LEAF_KINDS_MAX: Final = 64
KIND_LENGTH_MAX: Final = 64
COSIGNATURE_CHARACTERS_MAX: Final = 1_024
SHOWN_LEAVES_MAX: Final = 8_192
SHOWN_BYTES_MAX: Final = 32 << 20
KNOWN_BETWEEN_MAX: Final = 16
"""Leaves at which two questions to the database cost more than to make them again."""
_LEAF: Final = log_pb2.LogLeaf
CHANGING_KINDS: Final = ("claim", "case_resolution")
"""Leaves beside which cases go: their records are sealed as they are when somebody asks."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The newest checkpoint of a log, the newest with a quorum, None before the first; its durable leaves."""

    newest: StoredCheckpoint | None
    cosigned: StoredCheckpoint | None
    log_size: int = 0


@dataclass(frozen=True)
class ShownLeaf:
    """A leaf with the messages beside it, serialised; whether what is beside it stays as it is."""

    log_index: int
    leaf: bytes
    envelopes: Sequence[bytes] = ()
    sealed_record: bytes = b""
    stays: bool = False

    @cached_property
    def written(self) -> bytes:
        """Itself as it stands in an answer: `log_pb2.LogLeaf`, serialised."""
        parts = [number_field(_LEAF.LOG_INDEX_FIELD_NUMBER, self.log_index)]
        parts.append(bytes_field(_LEAF.LEAF_FIELD_NUMBER, self.leaf))
        parts += [bytes_field(_LEAF.ENVELOPES_FIELD_NUMBER, one) for one in self.envelopes]
        if self.sealed_record:
            parts.append(bytes_field(_LEAF.SEALED_RECORD_FIELD_NUMBER, self.sealed_record))
        return b"".join(parts)


class _ShownLeaves:
    """Leaves that were shown last, with what is beside them: every witness asks for each of them in turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaves: dict[int, ShownLeaf] = {}
        self._bytes = 0

    def of(self, indexes: range) -> list[ShownLeaf | None]:
        """Give those of these indexes, None for one that is not remembered."""
        with self._lock:
            return [self._leaves.get(index) for index in indexes]

    def note(self, leaves: Iterable[ShownLeaf]) -> None:
        """Remember leaves; all others are forgotten where they become too many."""
        with self._lock:
            for leaf in leaves:
                if len(self._leaves) >= SHOWN_LEAVES_MAX or self._bytes >= SHOWN_BYTES_MAX:
                    self._leaves.clear()
                    self._bytes = 0
                if leaf.log_index not in self._leaves:
                    self._leaves[leaf.log_index] = leaf
                    self._bytes += 2 * len(leaf.written)  # its parts, and itself as it is answered


def _runs_of_none(shown: Sequence[ShownLeaf | None]) -> list[range]:
    """Give where leaves are to be made; what is made between two that lie close is made again with them."""
    runs: list[range] = []
    for place, leaf in enumerate(shown):
        if leaf is None:
            joins = runs and place - runs[-1].stop <= KNOWN_BETWEEN_MAX
            runs[-1:] = [range(runs[-1].start, place + 1)] if joins else [*runs[-1:], range(place, place + 1)]
    return runs


@contextmanager
def refusals_of_logs() -> Iterator[None]:
    """Give a refusal of the log library as LOG_CHECK_FAILED with its reason."""
    try:
        yield
    except TlogError as error:
        raise DomainError(
            "LOG_CHECK_FAILED", check=error.reason, detail=error.detail or error.sentence_in("en")
        ) from error


class LogKeeper:
    """Reads of sealed logs and what is added to them.

    Args:
        database: of the bridge.
        network_id: part of the name of every log.
        directory: gives the key directory as it is now.
        groups: gives the groups of witnesses as they are now.
        now_ms: wall clock, milliseconds since 1970.
        sealer: seals what mirrors keep to the authority's recovery key; None: the bridge has none.
    """

    def __init__(
        self,
        database: Database,
        network_id: str,
        directory: Callable[[], KeyDirectory],
        groups: Callable[[], WitnessGroups],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sealer: Sealer | None = None,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._shown = _ShownLeaves()
        self._making = threading.Lock()
        self._network_id = network_id
        self._directory = directory
        self.groups: Final = groups
        self._now_ms = now_ms
        self._builders: dict[str, TileBuilder] = {}

    @property
    def group(self) -> WitnessGroup:
        """The witnesses that make the newest leaf final."""
        return self.groups().newest

    # -- reading ---------------------------------------------------------------------------------------------

    def checkpoints(self, party: str, after_size: int = 0) -> Checkpoints:
        """Give the newest checkpoints of a party's log, with every cosignature collected.

        Args:
            party: whose log.
            after_size: of a witness, what it has promised: instead of the newest it gets, if there is one,
                that behind this size and behind the quorum's which most witnesses have cosigned.
        """
        with self._database.reading() as connection:
            newest = sealed_logs.checkpoint(connection, party)
            cosigned = sealed_logs.cosigned_checkpoint(connection, party)
            if after_size and newest is not None and newest.size > after_size:
                behind = max(after_size, 0 if cosigned is None else cosigned.size)
                newest = sealed_logs.checkpoint_to_cosign(connection, party, behind) or newest
            if newest is not None:
                lines = sealed_logs.cosignatures_of(connection, party, newest.size)
                note = newest.note + "".join(lines.values()).encode()
                newest = StoredCheckpoint(newest.size, note, newest.sealed_at_ms)
            log_size = size_of(connection, party)
        return Checkpoints(newest, cosigned, log_size)

    def leaves(
        self, party: str, from_index: int, limit: int, *, with_envelopes: bool
    ) -> tuple[list[ShownLeaf], int]:
        """Give leaves in order, and how many the log has."""
        limit = min(limit, LEAVES_PER_PAGE_MAX)
        with self._database.reading() as connection:
            size = size_of(connection, party)
            if not (with_envelopes and party == BRIDGE):
                leaves = leaves_of(party)(connection, from_index, limit)
                return [ShownLeaf(from_index + at, leaf) for at, leaf in enumerate(leaves)], size
        # Witnesses ask for what is new all at once: the first makes it, the others wait. Who reads the whole
        # log is behind the others; what it reads is not kept.
        at_the_tip = size - from_index <= SHOWN_LEAVES_MAX
        with self._making if at_the_tip else nullcontext():
            shown = self._shown.of(range(from_index, min(size, from_index + limit)))
            missing = _runs_of_none(shown)
            if missing:
                with self._database.reading() as connection:
                    for run in missing:
                        first = from_index + run.start
                        leaves = leaves_of(party)(connection, first, len(run))
                        shown[run.start : run.stop] = self._with_messages(connection, first, leaves)
                if at_the_tip:
                    self._shown.note(leaf for leaf in shown if leaf is not None and leaf.stays)
            return [leaf for leaf in shown if leaf is not None], size

    def _with_messages(
        self, connection: sa.Connection, first_index: int, leaves: Sequence[bytes]
    ) -> list[ShownLeaf]:
        """Give leaves with their messages and sealed records."""
        decoded = [decode_leaf(leaf) for leaf in leaves]
        beside = written_beside(connection, decoded)
        sealed = [b""] * len(decoded)
        if self._sealer is not None and decoded:
            records = leaf_records(connection, first_index, decoded)
            sealed = [
                self._sealer.seal(first_index + at, hash_leaf(data), record.SerializeToString())
                for at, (data, record) in enumerate(zip(leaves, records, strict=True))
            ]
        return [
            ShownLeaf(
                first_index + at,
                data,
                envelopes,
                record,
                leaf.kind not in CHANGING_KINDS and len(envelopes) == len(leaf.message_hashes),
            )
            for at, (data, leaf, envelopes, record) in enumerate(
                zip(leaves, decoded, beside, sealed, strict=True)
            )
        ]

    def tile(self, party: str, path: str) -> bytes:
        """Give a tile or bundle of the sealed log by its path; LOG_CHECK_FAILED where there is none."""
        with refusals_of_logs(), self._database.reading() as connection:
            return self._tiles(connection, party, None).read_tile(parse_tile_path(path))

    def inclusion(self, party: str, log_index: int, size: int) -> tuple[int, list[bytes]]:
        """Give the path of a leaf in the tree of a size, 0 standing for the newest; (size, path)."""
        with refusals_of_logs(), self._database.reading() as connection:
            wanted = self._sealed_size(connection, party, size)
            return wanted, inclusion_proof(log_index, wanted, self._tiles(connection, party, wanted))

    def consistency(self, party: str, old_size: int, size: int) -> tuple[int, list[bytes]]:
        """Give the proof that a size extends an older one; (size, path)."""
        with refusals_of_logs(), self._database.reading() as connection:
            wanted = self._sealed_size(connection, party, size)
            return wanted, consistency_proof(old_size, wanted, self._tiles(connection, party, wanted))

    def _sealed_size(self, connection: sa.Connection, party: str, size: int) -> int:
        sealed = sealed_logs.tree(connection, party).size
        if size > sealed:
            raise TlogError("TREE_SIZE", f"{sealed} leaves are sealed")
        return size or sealed

    def _tiles(self, connection: sa.Connection, party: str, size: int | None) -> TilesOf:
        wanted = sealed_logs.tree(connection, party).size if size is None else size
        return TilesOf(sealed_logs, connection, party, wanted, leaves_of(party))

    def finality_of(self, log_index: int) -> values_pb2.Finality.ValueType:
        """Say how final a decision at an index is: without witnesses COMMIT alone is."""
        if not self.group.quorum:
            return values_pb2.FINALITY_COMMIT
        with self._database.reading() as connection:
            cosigned = sealed_logs.cosigned_checkpoint(connection, BRIDGE, log_index + 1)
        return values_pb2.FINALITY_PENDING if cosigned is None else values_pb2.FINALITY_QUORUM

    # -- witnesses -------------------------------------------------------------------------------------------

    def policy(self, size: int) -> Policy:
        """Give the policy under which a checkpoint of the bridge's log of a size is final."""
        return witness_policy(self._network_id, self._directory(), self.groups().at(size), size=size)

    def group_changes(self, after_index: int, limit: int) -> list[witness_groups_pb2.WitnessGroupChange]:
        """Give changes of the group behind a log index, each with what shows it."""
        with refusals_of_logs(), self._database.reading() as connection:
            return [
                self._shown_change(connection, row) for row in load_changes(connection, after_index, limit)
            ]

    def _shown_change(
        self, connection: sa.Connection, row: StoredChange
    ) -> witness_groups_pb2.WitnessGroupChange:
        index = row.change.log_index
        shown = witness_groups_pb2.WitnessGroupChange(
            log_index=index,
            leaf=leaves_of(BRIDGE)(connection, index, 1)[0],
            record=envelope_pb2.Envelope.FromString(row.envelope),
            by_roots=row.change.by_roots,
        )
        if row.change.by_roots:
            checkpoint = sealed_logs.cosigned_checkpoint(connection, BRIDGE, row.change.from_size)
        else:
            checkpoint = sealed_logs.cosigned_at(connection, BRIDGE, row.change.handover_size)
            if checkpoint is None and row.handover:
                checkpoint = StoredCheckpoint(row.change.handover_size, row.handover, 0)
        if checkpoint is not None:
            tiles = self._tiles(connection, BRIDGE, checkpoint.size)
            shown.checkpoint = checkpoint.note
            shown.path.extend(inclusion_proof(index, checkpoint.size, tiles))
        return shown

    def add_cosignature(self, witness: str, size: int, line: str, kinds: Sequence[str]) -> int:
        """Take a witness's cosignature of the bridge's checkpoint of a size; the size with a quorum then.

        One who is not of the group that counts for the size says what it reads, so that it can become one.

        Raises:
            DomainError: LOG_CHECK_FAILED: nobody's witness key, no such checkpoint, or it does not verify.
        """
        policy, counting = self.policy(size), self.groups().at(size).witnesses
        keys = witness_keys(self._network_id, self._directory(), [witness], size).get(witness)
        if keys is None:
            raise DomainError("LOG_CHECK_FAILED", check="WITNESS_UNKNOWN", detail=witness)

        def work(unit: UnitOfWork) -> int:
            connection = unit.connection
            # Two that hand in at once would each count without the other's line: one waits for the other.
            waiting = sealed_logs.locked_checkpoint(connection, BRIDGE, size)
            done = sealed_logs.cosigned_checkpoint(connection, BRIDGE)
            if witness not in counting:
                _require_line(waiting, keys, line)
            elif done is None or done.size < size:
                self._take_line(connection, policy, _require_line(waiting, keys, line), witness, line)
            _note_kinds(connection, witness, kinds)
            newest = sealed_logs.cosigned_checkpoint(connection, BRIDGE)
            unit.commit()
            return 0 if newest is None else newest.size

        with refusals_of_logs():
            return run_in_transaction(self._database, work)

    def _take_line(
        self, connection: sa.Connection, policy: Policy, checkpoint: StoredCheckpoint, witness: str, line: str
    ) -> None:
        size = checkpoint.size
        lines = sealed_logs.add_cosignature(connection, BRIDGE, size, witness, line)
        if policy.is_quorum(lines):
            whole = checkpoint.note + "".join(lines.values()).encode()
            final = StoredCheckpoint(size, whole, checkpoint.sealed_at_ms)
            sealed_logs.keep_cosigned(connection, BRIDGE, final, cosigned_at_ms=self._now_ms())

    # -- logs of the regions ---------------------------------------------------------------------------------

    def add_leaves(
        self, party: str, first_index: int, leaves: Sequence[bytes], checkpoint: bytes
    ) -> tuple[int, int]:
        """Take the growth of a region's log; (leaves durable here, size of the newest checkpoint held).

        Raises:
            DomainError: SEQUENCE_GAP where leaves are missing; LOG_CHECK_FAILED for a leaf other than the one
                taken before (LOG_ROLLED_BACK), or a checkpoint that does not fit the leaves.
        """

        def work(unit: UnitOfWork) -> tuple[int, int]:
            connection = unit.connection
            size = size_of(connection, party)
            if first_index > size:
                raise DomainError("SEQUENCE_GAP", expected=size, received=first_index)
            known = leaves_of(party)(connection, first_index, max(1, min(size - first_index, len(leaves))))
            if list(known[: len(leaves)]) != list(leaves[: size - first_index]):
                raise TlogError("LOG_ROLLED_BACK", f"another leaf than before from {first_index} on")
            fresh = leaves[size - first_index :]
            if any(not 0 < len(leaf) <= MAX_ENTRY_BYTES for leaf in fresh):
                raise TlogError("ENTRY_TOO_LARGE", "a leaf is empty or too large")
            append_region_leaves(connection, party, size, fresh)
            size += len(fresh)
            if checkpoint:
                self._take_checkpoint(connection, party, size, checkpoint)
            newest = sealed_logs.checkpoint(connection, party)
            unit.commit()
            return size, 0 if newest is None else newest.size

        with refusals_of_logs():
            return run_in_transaction(self._database, work)

    def _take_checkpoint(self, connection: sa.Connection, party: str, size: int, note: bytes) -> None:
        keys = checkpoint_keys(self._network_id, self._directory(), party)
        signed, _ = open_checkpoint(note, *keys)
        if signed.origin != log_name(self._network_id, party):
            raise TlogError("CHECKPOINT_ORIGIN_WRONG", signed.origin)
        before = sealed_logs.tree(connection, party)
        if signed.size < before.size or signed.size > size:
            raise TlogError("CHECKPOINT_SIZE", f"{signed.size}; {before.size} sealed of {size} leaves")
        builder = TileBuilder.resume(before.size, before.root, self._tiles(connection, party, before.size))
        leaves = leaves_of(party)(connection, before.size, signed.size - before.size)
        builder.extend(hash_leaf(leaf) for leaf in leaves)
        after = Tree(builder.size, builder.root())
        if after.root != signed.root:
            raise TlogError("WITNESS_SPLIT_VIEW", f"{party} signed another root for {signed.size} leaves")
        if after != before:
            sealed_logs.grow(connection, party, before, after, builder.take_tiles())
        sealed_logs.publish(connection, party, signed.size, note, sealed_at_ms=self._now_ms())

    # -- announced kinds -------------------------------------------------------------------------------------

    def kinds_known_to_all(self) -> frozenset[str]:
        """Give the kinds of leaf that every witness of the group has announced; all where there is none."""
        with self._database.reading() as connection:
            return announced_by_all(connection, self.group.witnesses)


def _require_line(
    checkpoint: StoredCheckpoint | None, keys: tuple[VerifierKey, ...], line: str
) -> StoredCheckpoint:
    """Demand that a line cosigns the checkpoint that waits; the checkpoint."""
    if checkpoint is None:
        raise TlogError("CHECKPOINT_SIZE", "no checkpoint of this size is waiting")
    note = parse_note(checkpoint.note)
    signed = parse_note(checkpoint.note + line.encode())
    if len(signed.signatures) != len(note.signatures) + 1:
        raise TlogError("COSIGNATURE_FORM", "one line is wanted")
    if not verify_cosignatures(signed, keys):
        raise TlogError("COSIGNATURE_FORM", f"not a cosignature of {keys[-1].name}")
    return checkpoint


def _note_kinds(connection: sa.Connection, witness: str, kinds: Sequence[str]) -> None:
    known = set(
        connection.execute(
            sa.select(known_leaf_kind.c.kind).where(known_leaf_kind.c.witness == witness)
        ).scalars()
    )
    insert_rows(
        connection, known_leaf_kind, [(witness, kind) for kind in sorted(set(kinds)) if kind not in known]
    )
