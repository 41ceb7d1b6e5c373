"""RFC 6962 Merkle trees over a list of hashes: root, audit paths, and their check.

Leaf and node hashes differ in their first byte (RFC 6962 section 2.1), and an odd node moves up unpaired,
never doubled: root(a, b, c) differs from root(a, b, c, c).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from tanqiao.kernel.errors import require

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """Give SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(_NODE + left + right).digest()


def tree_levels(entries: Sequence[bytes]) -> list[list[bytes]]:
    """Give the nodes of the tree level by level, leaves first, root last.

    An odd last node is carried up as it is, which gives the tree of RFC 6962 section 2.1.
    """
    require(len(entries) > 0, "a tree has at least one leaf")
    sha256 = hashlib.sha256
    levels = [[sha256(_LEAF + entry).digest() for entry in entries]]
    while len(below := levels[-1]) > 1:
        above = [sha256(b"\x01%b%b" % pair).digest() for pair in zip(below[0::2], below[1::2], strict=False)]
        if len(below) % 2:
            above.append(below[-1])
        levels.append(above)
    return levels


def tree_root(entries: Sequence[bytes]) -> bytes:
    """Give the root over the entries; of none it is SHA-256 of nothing."""
    return tree_levels(entries)[-1][0] if entries else EMPTY_ROOT


def audit_path(levels: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """Give the path of one leaf, nearest node first (RFC 6962 section 2.1.1)."""
    require(0 <= index < len(levels[0]), "the leaf is in the tree")
    path = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index >>= 1
    return path


class KnownNodes:
    """Nodes of a tree whose root is proven: its further items cost a hash or two instead of a whole path.

    Every path is still compared to its end, so that what is accepted here can be proven alone by anybody.

    Args:
        size: leaves of the tree.
        root: its root; the caller has checked what stands over it.
    """

    __slots__ = ("_nodes", "_root", "_size")

    def __init__(self, size: int, root: bytes) -> None:
        self._size = size
        self._root = root
        self._nodes: dict[tuple[int, int], tuple[bytes, tuple[bytes, ...]]] = {}
        """By level and place: the node, and the path that leads from it to the root."""

    def holds(self, entry: bytes, index: int, path: Sequence[bytes]) -> bool:
        """Whether the path leads from the entry to the root; what it shows is known from then on."""
        if not 0 <= index < self._size or len(path) > self._size.bit_length():
            return False
        path, known, fresh = tuple(path), self._nodes, {}
        node, level, width, used = leaf_hash(entry), 0, self._size, 0
        while (there := known.get((level, index))) is None:
            if width == 1:
                if node != self._root or used != len(path):
                    return False
                break
            sibling = index ^ 1
            if sibling < width:
                if used == len(path):
                    return False
                beside = path[used]
                fresh[level, index] = (node, path[used:])
                used += 1
                fresh[level, sibling] = (beside, (node, *path[used:]))
                node = node_hash(beside, node) if index & 1 else node_hash(node, beside)
            index, level, width = index >> 1, level + 1, (width + 1) >> 1
        if there is not None and there != (node, path[used:]):
            return False
        known.update(fresh)
        return True


def root_from_path(entry: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Give the root that the path leads to, or None if no tree of that size has such a path.

    The check of RFC 9162 section 2.1.3.2: the length of the path must fit index and size exactly.
    """
    if not 0 <= index < size or any(len(node) != HASH_BYTES for node in path):
        return None
    node, last = leaf_hash(entry), size - 1
    for sibling in path:
        if last == 0:
            return None
        if index % 2 or index == last:
            node = node_hash(sibling, node)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return node if last == 0 else None
