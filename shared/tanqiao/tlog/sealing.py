"""Sealing a log: from durable leaves to a published checkpoint, in the order of PROTOCOL section 8.

1. The leaves are durable: they come from the store, not from whoever wrote them.
2. The root is recomputed from the stored bytes, also of the leaves in the open tile that were sealed before.
3. Size, root, tiles and bundles are persisted in one transaction, fenced by the tree they grow from.
4. Only then is the checkpoint signed, and
5. published.

A sealer that dies between 3 and 5 signs the persisted tree again when it starts: Ed25519 gives the same
bytes. A log that has signed a size never signs another root for it, nor a smaller size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tanqiao.tlog.checkpoint import Checkpoint, sign_checkpoint
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.merkle import EMPTY_ROOT, hash_leaf
from tanqiao.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    Tile,
    TileBuilder,
    TileSource,
    encode_bundle,
)

__all__ = ["EMPTY_TREE", "LogStore", "Sealed", "Sealer", "SignersNow", "Tree"]

MAX_LEAVES_PER_SEAL: Final = 64 * TILE_WIDTH  # bounds memory and the length of one transaction


@dataclass(frozen=True, slots=True)
class Tree:
    """Number of leaves and root."""

    size: int
    root: bytes


EMPTY_TREE: Final = Tree(0, EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one call sealed: the signed checkpoint and whether durable leaves are left for the next call."""

    checkpoint: Checkpoint
    note: bytes
    more: bool


class LogStore(TileSource, Protocol):
    """Port: the durable side of one log. Tiles are read from it too."""

    def sealed_tree(self) -> Tree:
        """Give the tree that was persisted last, `EMPTY_TREE` at first."""
        ...

    def read_leaves(self, start: int, limit: int) -> Sequence[bytes]:
        """Give at most `limit` durable leaves from index `start` on, dense; fewer only at the end."""
        ...

    def persist_tree(self, before: Tree, after: Tree, tiles: Mapping[Tile, bytes]) -> None:
        """Persist tree, tiles and bundles in one durable transaction.

        Raises:
            TlogError: `LOG_FENCED` when the persisted tree is no longer `before`.
        """
        ...

    def publish(self, note: bytes) -> None:
        """Publish the signed checkpoint; an equal one may have been published before."""
        ...


SignersNow = Callable[[], Sequence[NoteSigner]]
"""Gives the keys that sign now, at least one."""


class Sealer:
    """Seals one log; the only one that does at a time (ARCHITECTURE section 4), fenced where it is not.

    Args:
        store: where leaves, tiles and the sealed tree are.
        signer: the checkpoint key of the log, or what gives the keys that sign now: two while one follows the
            other. Their name is the origin.
    """

    def __init__(self, store: LogStore, signer: NoteSigner | SignersNow) -> None:
        self._store = store
        self._signers = (lambda: (signer,)) if isinstance(signer, NoteSigner) else signer
        self._builder: TileBuilder | None = None
        self._published: Tree | None = None

    def seal(self) -> Sealed | None:
        """Seal what is durable, up to a bound; None when nothing is new and all is published.

        Raises:
            TlogError: `LOG_FENCED`; `LOG_ROLLED_BACK` when the stored leaves or tiles do not lead to the
                sealed root; `LOG_LEAVES_MISSING`; `ENTRY_TOO_LARGE`; what the store raises.
        """
        before = self._store.sealed_tree()
        builder, self._builder = self._builder_at(before), None
        first = before.size - before.size % TILE_WIDTH
        leaves = self._store.read_leaves(first, before.size - first + MAX_LEAVES_PER_SEAL)
        after = self._grow(builder, before, first, leaves)
        if after != before:
            tiles = {**builder.take_tiles(), **_bundles(first, before.size, leaves)}
            self._store.persist_tree(before, after, tiles)
        # Kept only now: after any refusal the next call starts again from what is durable.
        self._builder = builder
        if after == self._published or after.size == 0:
            return None
        signers = self._signers()
        checkpoint = Checkpoint(signers[0].key.name, after.size, after.root)
        note = sign_checkpoint(checkpoint, *signers).encode()
        self._store.publish(note)
        self._published = after
        return Sealed(checkpoint, note, after.size - before.size == MAX_LEAVES_PER_SEAL)

    def _builder_at(self, tree: Tree) -> TileBuilder:
        builder = self._builder
        if builder is not None and (builder.size, builder.root()) == (tree.size, tree.root):
            return builder
        return TileBuilder.resume(tree.size, tree.root, self._store)

    def _grow(self, builder: TileBuilder, before: Tree, first: int, leaves: Sequence[bytes]) -> Tree:
        sealed_before = before.size - first
        if len(leaves) < sealed_before:
            raise TlogError("LOG_LEAVES_MISSING", f"{first + len(leaves)} of {before.size} sealed leaves")
        for leaf in leaves:
            if len(leaf) > MAX_ENTRY_BYTES:
                raise TlogError("ENTRY_TOO_LARGE", f"{len(leaf)} bytes")
        hashes = [hash_leaf(leaf) for leaf in leaves]
        if b"".join(hashes[:sealed_before]) != builder.open_hashes():
            raise TlogError("LOG_ROLLED_BACK", f"leaves {first} to {before.size}")
        builder.extend(hashes[sealed_before:])
        return Tree(builder.size, builder.root())


def _bundles(first: int, old_size: int, leaves: Sequence[bytes]) -> dict[Tile, bytes]:
    """Entry bundles that the growth makes or widens; `leaves` begin at a bundle's first entry."""
    bundles: dict[Tile, bytes] = {}
    for at in range(0, len(leaves), TILE_WIDTH):
        entries = leaves[at : at + TILE_WIDTH]
        if first + at + len(entries) > old_size:
            bundles[Tile(ENTRIES_LEVEL, (first + at) // TILE_WIDTH, len(entries))] = encode_bundle(entries)
    return bundles
