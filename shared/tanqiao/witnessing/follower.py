"""A witness at work: fetches what the bridge has sealed, replays it, and cosigns.

One step: the newest checkpoint, its signature; the leaves up to it in stretches, each shown to be part of
that tree before anything of it is kept; then the promise, and the cosignature to the bridge. Whatever does
not hold stops this witness there, with evidence; it goes on by itself if the next step holds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc
import structlog

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import Federation
from tanqiao.signing.logs import checkpoint_keys, log_name, witness_policy, written_policy
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.witness_groups import WitnessGroups
from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.merkle import CompactRange, hash_leaf, verify_consistency
from tanqiao.tlog.note import parse_note
from tanqiao.tlog.policy import Policy, satisfied
from tanqiao.tlog.sealing import Tree
from tanqiao.tlog.tiles import Tile
from tanqiao.tlog.witness import Witness, WitnessState
from tanqiao.witnessing.accusing import Accuser
from tanqiao.witnessing.ahead import Ahead
from tanqiao.witnessing.groups import Handovers
from tanqiao.witnessing.location_roots import until_location_root
from tanqiao.witnessing.replay import LeafRefusedError, Replay, SeenLeaf
from tanqiao.witnessing.store import MirrorCheckpoint, Replayed, ReplayStore

LEAVES_PER_STRETCH_MAX: Final = 500
POLL_SECONDS: Final = 0.2
REFUSED_SECONDS: Final = 5.0
"""After something that did not hold: it is looked at again, but not all the time."""
STOP_SECONDS_MAX: Final = 30.0
AGAIN_SECONDS: Final = 2.0
"""A cosignature that the bridge does not show is handed in again, but not all the time."""
NOTES_KEPT: Final = 256
"""Signed checkpoints that do not fit what is replayed, to be held against what comes."""
UNPROVEN_MAX: Final = 1_000
DECISION_TYPE: Final = payload_type_of(messages_pb2.Decision)

_log = structlog.get_logger("tanqiao.witness")


Pair = tuple[envelope_pb2.Envelope, envelope_pb2.Envelope]
Suspicions = Callable[[], Sequence[Pair]]
Signers = Callable[[KeyDirectory, int], Sequence[NoteSigner]]


@dataclass(frozen=True, slots=True)
class Offered:
    """What the bridge shows: a signed checkpoint and its size, empty before the first; what has a quorum.

    `log_size` counts the durable leaves, sealed or not; `group_index` is the log index of the newest change
    of the group.
    """

    note: bytes
    size: int
    cosigned_size: int = 0
    log_size: int = 0
    group_index: int = 0


class LogSource(Protocol):
    """Port: the bridge's `LogService`, or what plays it. Nothing it gives is believed."""

    def checkpoint(self, after_size: int) -> Offered:
        """Give the checkpoint to cosign next behind a promised size; the newest if there is none."""
        ...

    def leaves(self, from_index: int, limit: int) -> Sequence[SeenLeaf]:
        """Give leaves from an index on with the messages beside them, at least one if there is one."""
        ...

    def consistency(self, old_size: int, size: int) -> Sequence[bytes]:
        """Give the proof that a size extends an older one."""
        ...

    def cosigned(self) -> Offered:
        """Give the newest checkpoint with a quorum."""
        ...

    def read_tile(self, tile: Tile) -> bytes:
        """Give a tile as it is served now; `TILE_MISSING` where there is none."""
        ...

    def handover(self, log_index: int) -> bytes:
        """Give the checkpoint in which a group of witnesses cosigned its own replacement; empty: none yet."""
        ...

    def add_cosignature(self, size: int, line: str, kinds: Sequence[str]) -> int:
        """Hand in a cosignature; the size that has a quorum then."""
        ...


class Follower:
    """One witness of one log.

    Args:
        federation: trust anchors and first keys.
        signers: gives the witness keys that count at a log index, oldest first (`RingKeys.at`).
        store: what was replayed and promised.
        source: the bridge.
        now_seconds: wall clock, seconds since 1970.
        evidence: folder of evidence files; None: what does not hold is refused, and nothing is proven.
        suspicions: gives pairs of contradictory messages that this party's own node has met, each pair once.
    """

    def __init__(
        self,
        federation: Federation,
        signers: Signers,
        store: ReplayStore,
        source: LogSource,
        now_seconds: Callable[[], int] = lambda: int(time.time()),
        *,
        evidence: Path | None = None,
        suspicions: Suspicions = lambda: (),
    ) -> None:
        self._network_id = federation.network_id
        self._first_keys = federation.directory()
        self._groups = WitnessGroups(federation.witness_group, store.group_changes())
        self._origin = log_name(federation.network_id, BRIDGE)
        self._signers = signers
        self._store = store
        self._source = source
        self._now_seconds = now_seconds
        self._replay = Replay(federation)
        self._directory = store.directory()
        self._ahead = Ahead(self._replay, self._fetched)
        self._keys_ahead: tuple[int, KeyDirectory] | None = None
        self._log_size = 0
        self._turn = threading.Lock()
        self._delivered = 0
        self._deliver_again_at = 0.0
        self._cosigned_kept = 0
        self._settled: set[int] = set()
        self._searched: tuple[int, int, KeyDirectory] | None = None
        self._suspicions = suspicions
        self._unproven: list[Pair] = []
        self._prove_at = 0.0
        self._notes_lock = threading.Lock()
        self._seen_notes: deque[bytes] = deque(maxlen=NOTES_KEPT)
        self.accuser = Accuser(
            store,
            self._policy,
            evidence,
            source,
            lambda: source.cosigned().note,
        )
        self._handovers = Handovers(store, source.handover, self._policy, self.accuser.root_at)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.refusal: TlogError | None = None
        """Why this witness does not cosign, while it does not."""
        self.cosigned_size = 0
        """Size that has a quorum, as far as the bridge has told."""

    # -- running ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Follow in a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        pause, told = POLL_SECONDS, ""
        while not self._stopping.wait(pause):
            pause = POLL_SECONDS
            try:
                if self.step() is None and self.look_ahead() == LEAVES_PER_STRETCH_MAX:
                    pause = 0.0
                told = ""
            except TlogError as error:
                pause = REFUSED_SECONDS
                if str(error) != told:
                    _log.error("not_cosigned", reason=error.reason, detail=error.detail)
                told = str(error)
            except (DomainError, grpc.RpcError) as error:
                pause = 1.0
                reason = error.symbol if isinstance(error, DomainError) else type(error).__name__
                if reason != told:
                    _log.info("bridge_not_followed", reason=reason)
                told = reason
            except Exception:  # noqa: BLE001 - whatever it was, the witness goes on
                pause = REFUSED_SECONDS
                _log.exception("witness_failed")

    # -- one step --------------------------------------------------------------------------------------------

    def step(self) -> int | None:
        """Replay and cosign what is new; the size that was cosigned, None when nothing is new.

        Raises:
            TlogError: what did not hold; nothing was promised.
            DomainError: the bridge or the database cannot be reached.
        """
        with self._turn:
            return self._step()

    def _step(self) -> int | None:
        known = self._store.known_state(self._origin)
        offered = self._source.checkpoint(0 if known is None else known.tree.size)
        if not offered.note:
            return None
        self._log_size = offered.log_size
        try:
            size = self._follow(offered, known)
        except TlogError as error:
            self._ahead.forget()
            self.refusal = error
            self._accuse(error, offered.note)
            raise
        finally:
            self._prove_suspicions()
        self.refusal = None
        if size is not None:
            self._look_back()
        return size

    def look_ahead(self) -> int:
        """Open leaves that are durable and not sealed yet, as far as the bridge has told; how many.

        Raises:
            DomainError: the bridge or the database cannot be reached.
        """
        with self._turn:
            return self._ahead.open_more(
                self._store.replayed().tree.size,
                self._directory,
                self._settled,
                log_size=self._log_size,
                limit=LEAVES_PER_STRETCH_MAX,
            )

    def _follow(self, offered: Offered, known: WitnessState | None) -> int | None:
        checkpoint = self._opened_by_any(offered)
        promised = 0 if known is None else known.tree.size
        same = known is not None and known.tree == Tree(checkpoint.size, checkpoint.root)
        if same and checkpoint.size <= self._delivered and not self._is_wanted_again(offered):
            return None
        if checkpoint.size >= promised:
            self._catch_up(checkpoint, offered.note)
            if self._stopping.is_set():
                return None
            self._handovers.require(self._groups, checkpoint.size)
        proof: Sequence[bytes] = ()
        if 0 < promised < checkpoint.size:
            proof = self._source.consistency(promised, checkpoint.size)
        witness = Witness(
            self._signers(self._keys(), max(0, checkpoint.size - 1))[-1],
            checkpoint_keys(self._network_id, self._keys(), BRIDGE),
            self._store,
            self._require_replayed,
        )
        line = witness.cosign(offered.note, promised, proof, self._now_seconds())
        self.cosigned_size = self._source.add_cosignature(checkpoint.size, line.encode(), self._replay.kinds)
        self._delivered = checkpoint.size
        self._keys_ahead = None
        self._deliver_again_at = time.monotonic() + AGAIN_SECONDS
        return checkpoint.size

    def _is_wanted_again(self, offered: Offered) -> bool:
        """Say whether the bridge lacks what it was given: it may have lost it, restored from a backup."""
        if offered.cosigned_size >= offered.size or time.monotonic() < self._deliver_again_at:
            return False
        own = self._signers(self._keys(), max(0, offered.size - 1))
        return not any(line.is_by(one.key) for line in parse_note(offered.note).signatures for one in own)

    def _opened_by_any(self, offered: Offered) -> Checkpoint:
        """Open what is offered; keys that this witness has not come to yet are looked for further on."""
        try:
            return self._opened(offered.note)
        except TlogError as error:
            if error.reason != "LOG_UNKNOWN":
                raise
        index, directory = self._keys_ahead or (self._store.replayed().tree.size, self._keys())
        while index < offered.size and not self._stopping.is_set():
            leaves = self._fetched(index, min(LEAVES_PER_STRETCH_MAX, offered.size - index))
            directory = self._replay.keys_behind(leaves, directory)
            index = leaves[-1].log_index + 1
            self._keys_ahead = (index, directory)
        return self._opened(offered.note)

    def _opened(self, note: bytes) -> Checkpoint:
        checkpoint, _ = open_checkpoint(note, *checkpoint_keys(self._network_id, self._keys(), BRIDGE))
        if checkpoint.origin != self._origin:
            raise TlogError("CHECKPOINT_ORIGIN_WRONG", checkpoint.origin)
        return checkpoint

    def _policy(self, size: int | None = None) -> Policy:
        if size is None:
            return written_policy(self._network_id, self._keys(), self._groups)
        return witness_policy(self._network_id, self._keys(), self._groups.at(size), size=size)

    def _keys(self) -> KeyDirectory:
        """Give every key known: those of the federation's file, and those that the log has stated."""
        known = self._first_keys.with_entries(self._directory)
        # A record proves itself by its root. What was replayed comes last: it knows what was revoked since.
        return known if self._keys_ahead is None else self._keys_ahead[1].with_entries(known)

    def _catch_up(self, checkpoint: Checkpoint, note: bytes) -> None:
        replayed = self._store.replayed()
        while replayed.tree.size < checkpoint.size and not self._stopping.is_set():
            try:
                replayed = self._replay_stretch(replayed, checkpoint, note)
            except LeafRefusedError as refused:
                if not self._is_settled(refused.seen, checkpoint):
                    raise
                self._accuse_leaf(refused.seen)
                self._settled.add(refused.seen.log_index)
                self._ahead.forget()

    def _fetched(self, first: int, limit: int) -> Sequence[SeenLeaf]:
        leaves = tuple(self._source.leaves(first, limit))[:limit]
        if not leaves or [leaf.log_index for leaf in leaves] != list(range(first, first + len(leaves))):
            raise TlogError("LOG_LEAVES_MISSING", f"leaves from {first} on")
        return leaves

    def _replay_stretch(self, before: Replayed, checkpoint: Checkpoint, note: bytes) -> Replayed:
        first = before.tree.size
        stretch = self._ahead.take(first, checkpoint.size - first, self._directory)
        if stretch is not None:
            try:
                after, proof = self._shown(before, stretch.leaves, checkpoint)
            except TlogError:
                self._ahead.forget()
                stretch = None
        if stretch is None:
            limit = min(LEAVES_PER_STRETCH_MAX, checkpoint.size - first)
            leaves = until_location_root(self._fetched(first, limit))
            after, proof = self._shown(before, leaves, checkpoint)
            stretch = self._replay.open(leaves, self._directory, self._settled)
        known = self._store.known(stretch.touched, stretch.after)
        self._replay.apply(stretch.opened, known)
        shown = MirrorCheckpoint(after.size, note, tuple(proof))
        self._store.persist(before, after, stretch.leaves, known, shown)
        self._directory = stretch.after
        self._groups = self._groups.with_changes(known.fresh_changes)
        return Replayed(after)

    def _shown(
        self, before: Replayed, leaves: Sequence[SeenLeaf], checkpoint: Checkpoint
    ) -> tuple[CompactRange, Sequence[bytes]]:
        """Grow the tree by leaves: believed once shown to be part of what the log signed; with the proof."""
        after = before.range.copy()
        after.extend(hash_leaf(leaf.data) for leaf in leaves)
        proof: Sequence[bytes] = ()
        if after.size < checkpoint.size:
            proof = self._source.consistency(after.size, checkpoint.size)
        verify_consistency(after.size, checkpoint.size, proof, after.root(), checkpoint.root)
        return after, proof

    def _require_replayed(self, _known: Tree, checkpoint: Checkpoint) -> None:
        """Cosign only what was replayed leaf by leaf: never on hashes alone."""
        tree = self._store.replayed().tree
        if (tree.size, tree.root) != (checkpoint.size, checkpoint.root):
            raise TlogError("WITNESS_SPLIT_VIEW", f"{tree.size} leaves were replayed to another tree")

    def _is_settled(self, refused: SeenLeaf, checkpoint: Checkpoint) -> bool:
        """Look for the Correction that settles a refused leaf; what was looked through is not fetched again.

        The leaves are judged in their turn, and shown to be part of the tree, before anything is cosigned.
        """
        index, directory = refused.log_index + 1, self._keys()
        if self._searched is not None and self._searched[0] == refused.log_index:
            _, index, directory = self._searched
        while index < checkpoint.size:
            limit = min(LEAVES_PER_STRETCH_MAX, checkpoint.size - index)
            leaves = tuple(self._source.leaves(index, limit))[:limit]
            if not leaves or leaves[0].log_index != index:
                return False
            for later in leaves:
                behind = self._replay.settles(refused, later, directory)
                if behind is None:
                    return True
                directory = behind
            index = leaves[-1].log_index + 1
            self._searched = (refused.log_index, index, directory)
        return False

    # -- lies ------------------------------------------------------------------------------------------------

    def watch(self, note: bytes) -> None:
        """Hold a checkpoint that somebody was shown as final against what was replayed here.

        Raises:
            TlogError: `WITNESS_SPLIT_VIEW` when it is of another tree: then it makes nothing final here.
            DomainError: the bridge or the database cannot be reached.
        """
        checkpoint = self._opened(note)
        self.accuser.watch_witnesses(note)
        tree = self._store.replayed().tree
        if checkpoint.size > tree.size:
            self._remember(note)
            return
        self._hold_against_own(checkpoint, note, tree)
        if checkpoint.size > self._cosigned_kept and satisfied(note, self._policy(checkpoint.size)):
            self._store.keep_cosigned(note, checkpoint.size)
            self._cosigned_kept = checkpoint.size

    def _hold_against_own(self, checkpoint: Checkpoint, note: bytes, tree: Tree) -> None:
        try:
            proof: Sequence[bytes] = ()
            if checkpoint.size < tree.size:
                proof = self._source.consistency(checkpoint.size, tree.size)
            verify_consistency(checkpoint.size, tree.size, proof, checkpoint.root, tree.root)
        except TlogError:
            self._require_own(checkpoint, note)
        except DomainError as refusal:
            if refusal.symbol != "LOG_CHECK_FAILED":
                raise
            self._require_own(checkpoint, note)

    def _require_own(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Compare with the mirror: the bridge's proof failed or was refused, which alone says little."""
        if self.accuser.root_at(checkpoint.size) == checkpoint.root:
            return
        refusal = TlogError("WITNESS_SPLIT_VIEW", f"another tree of {checkpoint.size} leaves was replayed")
        self._accuse(refusal, note)
        raise refusal

    def _accuse(self, error: TlogError, note: bytes) -> None:
        """Keep what made this witness stop, and the file that proves it as soon as there is one."""
        known = self._store.known_state(self._origin)
        first = b"" if known is None else known.note
        self._store.keep_evidence(error.reason, error.detail, first, note, recorded_at=self._now_seconds())
        if isinstance(error, LeafRefusedError):
            self._accuse_leaf(error.seen)
            return
        if not first or not self.accuser.of_checkpoints(first, note):
            self._remember(note)

    def _accuse_leaf(self, refused: SeenLeaf) -> None:
        """Two decisions for one transfer: the first is in the mirror, the second stands beside the leaf."""
        try:
            leaf = decode_leaf(refused.data)
            key = TransferKey((leaf.get("source") or b"").decode(), leaf.get("transfer_id") or b"")
        except (TlogError, UnicodeDecodeError):
            return
        earlier = self._store.decision_leaf(key)
        if earlier is not None and leaf.kind == "decision" and earlier.log_index != refused.log_index:
            pairs = [_decisions_of(one) for one in (earlier, refused)]
            self._suspect([(first, second) for first in pairs[0] for second in pairs[1]])

    def _remember(self, note: bytes) -> None:
        with self._notes_lock:  # the line that makes decisions final looks at checkpoints too
            if note not in self._seen_notes:
                self._seen_notes.append(note)

    def _look_back(self) -> None:
        """Hold what did not fit before against the tree that is replayed now, and what is shown as final."""
        known = self._store.known_state(self._origin)
        replayed = self._store.replayed().tree.size
        with self._notes_lock:
            notes = [note for note in self._seen_notes if self._opened(note).size <= replayed]
            for note in notes:
                self._seen_notes.remove(note)
        newest = b"" if known is None else known.note
        for note in notes if newest else ():
            self.accuser.of_checkpoints(note, newest)
        final = self._source.cosigned().note
        if final:
            self.watch(final)

    def _suspect(self, pairs: Sequence[Pair]) -> None:
        self._unproven += [pair for pair in pairs if pair not in self._unproven]
        del self._unproven[:-UNPROVEN_MAX]
        self._prove_at = 0.0 if pairs else self._prove_at

    def _prove_suspicions(self) -> None:
        """Make the files of contradictory messages; what cannot be proven yet is tried again later."""
        fresh = [pair for pair in self._suspicions() if pair not in self._unproven]
        self._suspect(fresh)
        if not self._unproven or (not fresh and time.monotonic() < self._prove_at):
            return
        self._prove_at = time.monotonic() + REFUSED_SECONDS
        self._unproven = [pair for pair in self._unproven if not self.accuser.of_messages(*pair)]


def _decisions_of(seen: SeenLeaf) -> list[envelope_pb2.Envelope]:
    return [one for one in seen.envelopes if one.payload_type == DECISION_TYPE]
