"""A witness at work: fetches what the bridge has sealed, replays it, and cosigns.

One step: the newest checkpoint, its signature; the leaves up to it in stretches, each shown to be part of
that tree before anything of it is kept; then the promise, and the cosignature to the bridge. Whatever does
not hold stops this witness there, with evidence; it goes on by itself if the next step holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import grpc
import structlog

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import Federation
from tanqiao.signing.logs import checkpoint_keys, log_name
from tanqiao.signing.parties import BRIDGE
from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.merkle import hash_leaf, verify_consistency
from tanqiao.tlog.sealing import Tree
from tanqiao.tlog.witness import Witness
from tanqiao.witnessing.replay import Replay, SeenLeaf
from tanqiao.witnessing.store import Replayed, ReplayStore

LEAVES_PER_STRETCH_MAX: Final = 500
POLL_SECONDS: Final = 0.2
REFUSED_SECONDS: Final = 5.0
"""After something that did not hold: it is looked at again, but not all the time."""
STOP_SECONDS_MAX: Final = 30.0

_log = structlog.get_logger("tanqiao.witness")


@dataclass(frozen=True, slots=True)
class Offered:
    """What the bridge shows: its newest signed checkpoint and its size; empty before the first."""

    note: bytes
    size: int


class LogSource(Protocol):
    """Port: the bridge's `LogService`, or what plays it. Nothing it gives is believed."""

    def checkpoint(self) -> Offered:
        """Give the newest checkpoint."""
        ...

    def leaves(self, from_index: int, limit: int) -> Sequence[SeenLeaf]:
        """Give leaves from an index on with the messages beside them, at least one if there is one."""
        ...

    def consistency(self, old_size: int, size: int) -> Sequence[bytes]:
        """Give the proof that a size extends an older one."""
        ...

    def add_cosignature(self, size: int, line: str, kinds: Sequence[str]) -> int:
        """Hand in a cosignature; the size that has a quorum then."""
        ...


class Follower:
    """One witness of one log.

    Args:
        federation: trust anchors and first keys.
        signer: the witness key.
        store: what was replayed and promised.
        source: the bridge.
        now_seconds: wall clock, seconds since 1970.
    """

    def __init__(
        self,
        federation: Federation,
        signer: NoteSigner,
        store: ReplayStore,
        source: LogSource,
        now_seconds: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self._network_id = federation.network_id
        self._first_keys = federation.directory()
        self._origin = log_name(federation.network_id, BRIDGE)
        self._signer = signer
        self._store = store
        self._source = source
        self._now_seconds = now_seconds
        self._replay = Replay(federation)
        self._directory = store.directory()
        self._delivered = 0
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
                self.step()
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
        offered = self._source.checkpoint()
        if not offered.note:
            return None
        try:
            size = self._follow(offered)
        except TlogError as error:
            self.refusal = error
            known = self._store.known_state(self._origin)
            first = b"" if known is None else known.note
            self._store.keep_evidence(
                error.reason, error.detail, first, offered.note, recorded_at=self._now_seconds()
            )
            raise
        self.refusal = None
        return size

    def _follow(self, offered: Offered) -> int | None:
        checkpoint = self._opened(offered.note)
        known = self._store.known_state(self._origin)
        promised = 0 if known is None else known.tree.size
        if checkpoint.size <= self._delivered and checkpoint.size == promised:
            return None
        if checkpoint.size >= promised:
            self._catch_up(checkpoint)
        proof: Sequence[bytes] = ()
        if 0 < promised < checkpoint.size:
            proof = self._source.consistency(promised, checkpoint.size)
        witness = Witness(
            self._signer,
            checkpoint_keys(self._network_id, self._keys(), BRIDGE),
            self._store,
            self._require_replayed,
        )
        line = witness.cosign(offered.note, promised, proof, self._now_seconds())
        self.cosigned_size = self._source.add_cosignature(checkpoint.size, line.encode(), self._replay.kinds)
        self._delivered = checkpoint.size
        return checkpoint.size

    def _opened(self, note: bytes) -> Checkpoint:
        checkpoint, _ = open_checkpoint(note, *checkpoint_keys(self._network_id, self._keys(), BRIDGE))
        if checkpoint.origin != self._origin:
            raise TlogError("CHECKPOINT_ORIGIN_WRONG", checkpoint.origin)
        return checkpoint

    def _keys(self) -> KeyDirectory:
        """Give every key known: those of the federation's file, and those that the log has stated."""
        return self._first_keys.with_entries(self._directory)

    def _catch_up(self, checkpoint: Checkpoint) -> None:
        replayed = self._store.replayed()
        while replayed.tree.size < checkpoint.size and not self._stopping.is_set():
            replayed = self._replay_stretch(replayed, checkpoint)

    def _replay_stretch(self, before: Replayed, checkpoint: Checkpoint) -> Replayed:
        limit = min(LEAVES_PER_STRETCH_MAX, checkpoint.size - before.tree.size)
        leaves = tuple(self._source.leaves(before.tree.size, limit))[:limit]
        expected = range(before.tree.size, before.tree.size + len(leaves))
        if not leaves or [leaf.log_index for leaf in leaves] != list(expected):
            raise TlogError("LOG_LEAVES_MISSING", f"leaves from {before.tree.size} on")
        after = before.range.copy()
        after.extend(hash_leaf(leaf.data) for leaf in leaves)
        # Believed only once it is shown to be part of the tree that the log signed.
        proof: Sequence[bytes] = ()
        if after.size < checkpoint.size:
            proof = self._source.consistency(after.size, checkpoint.size)
        verify_consistency(after.size, checkpoint.size, proof, after.root(), checkpoint.root)
        opened, touched, directory = self._replay.open(leaves, self._directory)
        known = self._store.known(touched, directory)
        self._replay.apply(opened, known)
        self._store.persist(before, after, leaves, known)
        self._directory = directory
        return Replayed(after)

    def _require_replayed(self, _known: Tree, checkpoint: Checkpoint) -> None:
        """Cosign only what was replayed leaf by leaf: never on hashes alone."""
        tree = self._store.replayed().tree
        if (tree.size, tree.root) != (checkpoint.size, checkpoint.root):
            raise TlogError("WITNESS_SPLIT_VIEW", f"{tree.size} leaves were replayed to another tree")
