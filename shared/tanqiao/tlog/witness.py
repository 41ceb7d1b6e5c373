"""A witness: cosigns only what extends everything it has cosigned before (C2SP tlog-witness, without HTTP).

The order is that of a promise: verify the log's signature, the proof and whatever more this witness
validates; persist the new tree if the old one is still the one that was checked against (one atomic step of
the store); cosign. A witness that died behind the second step cosigns the same tree again when it is asked
again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import NoteSigner, VerifierKey
from tanqiao.tlog.merkle import verify_consistency
from tanqiao.tlog.note import NoteSignature
from tanqiao.tlog.sealing import EMPTY_TREE, Tree

__all__ = ["Witness", "WitnessState", "WitnessStore", "accept_everything"]


@dataclass(frozen=True, slots=True)
class WitnessState:
    """The largest tree that a witness has cosigned, with the log's own signed checkpoint of it.

    `time_seconds` is the latest time that it has stated, 0 where that is not known.
    """

    tree: Tree
    note: bytes
    time_seconds: int = 0


class WitnessStore(Protocol):
    """Port: what a witness has promised, durable."""

    def known_state(self, origin: str) -> WitnessState | None:
        """Give the state for a log, None before the first cosignature."""
        ...

    def advance_state(self, origin: str, before: WitnessState | None, after: WitnessState) -> bool:
        """Replace the state if it is still `before`, durably and atomically; False when it is not."""
        ...


Validation = Callable[[Tree, Checkpoint], None]
"""Checks the leaves between the tree and the checkpoint, and raises `TlogError` or its own refusal."""


def accept_everything(_known: Tree, _checkpoint: Checkpoint) -> None:
    """Validate nothing beyond growth: a plain C2SP witness; the federation's own validate every leaf."""


class Witness:
    """Cosigns the checkpoints of the logs it follows.

    Args:
        signer: the cosignature key of this witness.
        log_keys: keys of the logs followed, the name of each being the origin.
        store: what was promised so far.
        validate: the further checks of this witness (PROTOCOL section 8), made before anything is persisted.
    """

    def __init__(
        self,
        signer: NoteSigner,
        log_keys: Sequence[VerifierKey],
        store: WitnessStore,
        validate: Validation = accept_everything,
    ) -> None:
        self._signer = signer
        self._log_keys = tuple(log_keys)
        self._store = store
        self._validate = validate

    def known_tree(self, origin: str) -> Tree:
        """The tree from which a proof for this log has to begin."""
        state = self._store.known_state(origin)
        return EMPTY_TREE if state is None else state.tree

    def cosign(self, note: bytes, old_size: int, proof: Sequence[bytes], time_seconds: int) -> NoteSignature:
        """Check a checkpoint against what is known, persist it and cosign it.

        Args:
            note: the checkpoint as the log signed it.
            old_size: size from which the proof begins: the one that `known_tree` gives.
            proof: consistency proof from there to the checkpoint.
            time_seconds: now, seconds since 1970; what is stated never goes back.

        Raises:
            TlogError: `WITNESS_UNKNOWN_LOG`, `WITNESS_OLD_SIZE` (begin at the known size and try again),
                `WITNESS_STALE`, `WITNESS_SPLIT_VIEW` (keep both checkpoints: they are evidence),
                `CONSISTENCY_NOT_PROVEN`, `PROOF_LENGTH`, the reasons of notes, checkpoints and validation.
        """
        try:
            checkpoint, _ = open_checkpoint(note, *self._log_keys)
        except TlogError as error:
            if error.reason == "LOG_UNKNOWN":
                raise TlogError("WITNESS_UNKNOWN_LOG") from None
            raise
        before = self._store.known_state(checkpoint.origin)
        known = EMPTY_TREE if before is None else before.tree
        if checkpoint.size < known.size:
            raise TlogError("WITNESS_STALE", f"{checkpoint.size} offered, {known.size} known")
        if old_size != known.size:
            raise TlogError("WITNESS_OLD_SIZE", f"{old_size} instead of {known.size}")
        if checkpoint.size == known.size and checkpoint.root != known.root:
            raise TlogError("WITNESS_SPLIT_VIEW", f"two roots at size {known.size}")
        verify_consistency(known.size, checkpoint.size, proof, known.root, checkpoint.root)
        self._validate(known, checkpoint)
        # A clock that was set back, also across a restart, does not date a larger tree before a smaller one:
        # who compares the two cosignatures would take the smaller tree for a stale one.
        stated = max(time_seconds, 0 if before is None else before.time_seconds)
        after = WitnessState(Tree(checkpoint.size, checkpoint.root), note, stated)
        is_new = before is None or (after.tree, stated) != (before.tree, before.time_seconds)
        if is_new and not self._store.advance_state(checkpoint.origin, before, after):
            raise TlogError("WITNESS_OLD_SIZE", "another cosignature came first")
        return cosign(checkpoint.encode(), self._signer, stated)
