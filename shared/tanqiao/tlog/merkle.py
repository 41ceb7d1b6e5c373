"""Merkle trees of RFC 6962 section 2.1: hashing, growth, inclusion and consistency proofs.

What is promised: one list of leaves has one root and no other list has it (short of a SHA-256 collision).
A leaf and an inner node are hashed with different first bytes, so that neither passes for the other; a tree
that is not full is split at the largest power of two and never filled up by repeating its last leaf, so that
root(a, b, c) is not root(a, b, c, c). A proof has exactly the length that index and size demand.

Nothing is stored here: proofs are made from a `HashReader`, growth from a `CompactRange` of at most 63
hashes. The verifying algorithms are those of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from tanqiao.tlog.errors import TlogError

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE_BYTES",
    "MAX_PROOF_HASHES",
    "MAX_TREE_SIZE",
    "CompactRange",
    "HashReader",
    "MemoryTree",
    "Node",
    "check_hash",
    "check_tree_size",
    "consistency_proof",
    "hash_leaf",
    "hash_node",
    "inclusion_proof",
    "root_at",
    "root_of_leaf_hashes",
    "root_of_leaves",
    "verify_consistency",
    "verify_inclusion",
]

HASH_SIZE_BYTES: Final = 32
MAX_TREE_SIZE: Final = 2**63 - 1  # sizes and indexes travel and are stored as signed 64-bit integers
MAX_PROOF_HASHES: Final = 64  # a consistency proof of the largest tree: one hash for each level and the start

_LEAF_PREFIX: Final = b"\x00"
_NODE_PREFIX: Final = b"\x01"

EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of the tree without leaves (RFC 6962 section 2.1)."""


class Node(NamedTuple):
    """A perfect subtree: that of the leaves ``[number << level, (number + 1) << level)``."""

    level: int
    number: int


class HashReader(Protocol):
    """Port: where the hashes of perfect subtrees come from (a table, tiles, memory)."""

    def read_hashes(self, nodes: Sequence[Node]) -> Sequence[bytes]:
        """Give the 32-byte hashes of the nodes in the order asked.

        Raises:
            TlogError: with `HASH_MISSING` or a tile reason, when one of them cannot be given.
        """
        ...


def hash_leaf(data: bytes) -> bytes:
    """Hash the bytes of a leaf: SHA-256(0x00 || data)."""
    return sha256(_LEAF_PREFIX + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash an inner node: SHA-256(0x01 || left || right), each 32 bytes."""
    return sha256(_NODE_PREFIX + left + right).digest()


def check_hash(value: bytes) -> bytes:
    """Give back a hash that is 32 bytes long; refuse any other with `HASH_SIZE`."""
    if len(value) != HASH_SIZE_BYTES:
        raise TlogError("HASH_SIZE", f"{len(value)} bytes")
    return value


def check_tree_size(size: int) -> int:
    """Give back a size in ``[0, MAX_TREE_SIZE]``; refuse any other with `TREE_SIZE`."""
    if not 0 <= size <= MAX_TREE_SIZE:
        raise TlogError("TREE_SIZE", str(size))
    return size


class CompactRange:
    """The perfect subtrees that cover the first leaves of a log: all that appending needs.

    Holds one hash for each set bit of the size, largest subtree first. Appending n leaves takes fewer than 2n
    hashes (one hash a leaf on average for the nodes); the root takes at most 62 more.

    Args:
        size: number of leaves covered.
        hashes: their subtrees, left to right, as `hashes` gave them before.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        check_tree_size(size)
        if len(hashes) != size.bit_count():
            raise TlogError("PROOF_LENGTH", f"{len(hashes)} hashes do not cover {size} leaves")
        self._size = size
        self._hashes = [check_hash(bytes(value)) for value in hashes]

    @property
    def size(self) -> int:
        """Number of leaves covered."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Hashes of the perfect subtrees, left to right: the state to keep."""
        return tuple(self._hashes)

    def append(self, leaf_hash: bytes) -> list[tuple[Node, bytes]]:
        """Append one leaf hash; give the nodes that it completes, the leaf itself first."""
        check_hash(leaf_hash)
        check_tree_size(self._size + 1)
        hashes, index, level, value = self._hashes, self._size, 0, leaf_hash
        done = [(Node(0, index), value)]
        while index & 1:
            value = sha256(_NODE_PREFIX + hashes.pop() + value).digest()
            index >>= 1
            level += 1
            done.append((Node(level, index), value))
        hashes.append(value)
        self._size += 1
        return done

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Append many leaf hashes where nobody asks for the nodes."""
        hashes, size = self._hashes, self._size
        for leaf_hash in leaf_hashes:
            value, index = check_hash(leaf_hash), size
            check_tree_size(size + 1)
            while index & 1:
                value = sha256(_NODE_PREFIX + hashes.pop() + value).digest()
                index >>= 1
            hashes.append(value)
            size += 1
            # Kept up to date for each leaf: a refused hash must leave a range that is whole.
            self._size = size

    def grow(self, leaf_hashes: Iterable[bytes], step: int) -> list[tuple[Node, bytes]]:
        """Append many leaf hashes; give the nodes that they complete at each `step`-th level above theirs."""
        hashes, size, done = self._hashes, self._size, []
        for leaf_hash in leaf_hashes:
            value, index, level = check_hash(leaf_hash), size, 0
            check_tree_size(size + 1)
            while index & 1:
                value = sha256(_NODE_PREFIX + hashes.pop() + value).digest()
                index >>= 1
                level += 1
                if level % step == 0:
                    done.append((Node(level, index), value))
            hashes.append(value)
            size += 1
            self._size = size  # as above
        return done

    def root(self) -> bytes:
        """Root of the tree of all leaves so far."""
        return _fold(self._hashes) if self._hashes else EMPTY_ROOT

    def copy(self) -> CompactRange:
        """An independent copy, to try a growth before it is durable."""
        return CompactRange(self._size, self._hashes)


class MemoryTree:
    """An append-only tree that keeps every node in memory: for batches, tests and small logs.

    Is a `HashReader`. Memory: 64 bytes a leaf.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._range = CompactRange()
        self._levels: list[bytearray] = []
        for leaf_hash in leaf_hashes:
            self.append(leaf_hash)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._range.size

    def append(self, leaf_hash: bytes) -> int:
        """Append a leaf hash and give its index."""
        for node, value in self._range.append(leaf_hash):
            if node.level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[node.level] += value
        return self._range.size - 1

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        """Give the hashes of perfect subtrees; `HASH_MISSING` for one that the tree does not have."""
        return [self._read(node) for node in nodes]

    def _read(self, node: Node) -> bytes:
        start = node.number * HASH_SIZE_BYTES
        if 0 <= node.level < len(self._levels) and 0 <= start < len(self._levels[node.level]):
            return bytes(self._levels[node.level][start : start + HASH_SIZE_BYTES])
        raise TlogError("HASH_MISSING", f"level {node.level}, number {node.number}")

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves; of all leaves by default."""
        return self._range.root() if size is None else root_at(size, self)

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Proof that leaf `index` is in the tree of the first `size` leaves."""
        return inclusion_proof(index, self.size if size is None else size, self)

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Proof that the tree of `new_size` leaves extends that of `old_size` leaves."""
        return consistency_proof(old_size, self.size if new_size is None else new_size, self)


def root_of_leaf_hashes(leaf_hashes: Iterable[bytes]) -> bytes:
    """Root of the tree whose leaves have these hashes."""
    compact = CompactRange()
    compact.extend(leaf_hashes)
    return compact.root()


def root_of_leaves(leaves: Iterable[bytes]) -> bytes:
    """Root of the tree of these leaves."""
    return root_of_leaf_hashes(hash_leaf(leaf) for leaf in leaves)


def root_at(size: int, reader: HashReader) -> bytes:
    """Root of the tree of the first `size` leaves, from a reader."""
    check_tree_size(size)
    return _read_ranges([(0, size)], reader)[0] if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, reader: HashReader) -> list[bytes]:
    """Make the audit path of RFC 6962 section 2.1.1 for leaf `index` in the tree of `size` leaves.

    Returns:
        The hashes from the leaf's sibling up to a child of the root.

    Raises:
        TlogError: `TREE_SIZE`, `INDEX_OUT_OF_TREE`, or what the reader raises.
    """
    _check_index(index, size)
    low, high = 0, size
    ranges: list[tuple[int, int]] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return _read_ranges(ranges[::-1], reader)


def consistency_proof(old_size: int, new_size: int, reader: HashReader) -> list[bytes]:
    """Make the proof of RFC 6962 section 2.1.2 that a tree extends a smaller one; empty for equal sizes or 0.

    Raises:
        TlogError: `TREE_SIZE`, `SIZES_DECREASE`, or what the reader raises.
    """
    _check_growth(old_size, new_size)
    if old_size in {0, new_size}:
        return []
    low, high, old_root_known = 0, new_size, True
    ranges: list[tuple[int, int]] = []
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
            old_root_known = False
    if not old_root_known:
        ranges.append((low, high))
    return _read_ranges(ranges[::-1], reader)


def verify_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with this hash is at `index` in the tree of `size` leaves with this root.

    Algorithm of RFC 9162 section 2.1.3.2, after a check of the exact length.

    Raises:
        TlogError: `TREE_SIZE`, `INDEX_OUT_OF_TREE`, `HASH_SIZE`, `PROOF_LENGTH`, `INCLUSION_NOT_PROVEN`.
    """
    _check_index(index, size)
    _check_hashes(leaf_hash, root, proof)
    if len(proof) != _inclusion_length(index, size):
        raise TlogError("PROOF_LENGTH", f"{len(proof)} hashes for index {index} of {size}")
    position, last, value = index, size - 1, leaf_hash
    for sibling in proof:
        if position & 1 or position == last:
            value = hash_node(sibling, value)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            value = hash_node(value, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or value != root:
        raise TlogError("INCLUSION_NOT_PROVEN", f"index {index} of {size}")


def verify_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the tree of `new_size` leaves and `new_root` extends that of `old_size` and `old_root`.

    Algorithm of RFC 9162 section 2.1.4.2. Every tree extends the empty tree, with an empty proof and only
    under the root of the empty tree; equal sizes need equal roots and an empty proof.

    Raises:
        TlogError: `TREE_SIZE`, `SIZES_DECREASE`, `HASH_SIZE`, `PROOF_LENGTH`, `CONSISTENCY_NOT_PROVEN`.
    """
    _check_growth(old_size, new_size)
    _check_hashes(old_root, new_root, proof)
    refusal = TlogError("CONSISTENCY_NOT_PROVEN", f"from {old_size} to {new_size}")
    if old_size in {0, new_size}:
        if proof:
            raise TlogError("PROOF_LENGTH", f"{len(proof)} hashes where none belongs")
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if old_root != expected or (new_size == 0 and new_root != EMPTY_ROOT):
            raise refusal
        return
    if not 0 < len(proof) <= MAX_PROOF_HASHES:
        raise TlogError("PROOF_LENGTH", f"{len(proof)} hashes")
    hashes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    from_old = from_new = hashes[0]
    for value in hashes[1:]:
        if last == 0:
            raise TlogError("PROOF_LENGTH", f"{len(proof)} hashes are too many")
        if position & 1 or position == last:
            from_old, from_new = hash_node(value, from_old), hash_node(value, from_new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            from_new = hash_node(from_new, value)
        position >>= 1
        last >>= 1
    if last != 0:
        raise TlogError("PROOF_LENGTH", f"{len(proof)} hashes are too few")
    if from_old != old_root or from_new != new_root:
        raise refusal


def _check_index(index: int, size: int) -> None:
    check_tree_size(size)
    if not 0 <= index < size:
        raise TlogError("INDEX_OUT_OF_TREE", f"index {index} of {size}")


def _check_growth(old_size: int, new_size: int) -> None:
    check_tree_size(old_size)
    check_tree_size(new_size)
    if old_size > new_size:
        raise TlogError("SIZES_DECREASE", f"from {old_size} to {new_size}")


def _check_hashes(first: bytes, second: bytes, proof: Sequence[bytes]) -> None:
    # The bound comes first: a verifier must not look at a million hashes before it refuses.
    if len(proof) > MAX_PROOF_HASHES:
        raise TlogError("PROOF_LENGTH", f"{len(proof)} hashes")
    for value in (first, second, *proof):
        check_hash(value)


def _split(size: int) -> int:
    """Largest power of two smaller than `size`, for two leaves or more (RFC 6962 section 2.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def _inclusion_length(index: int, size: int) -> int:
    """Length of an audit path: the levels below the split from the last leaf, and left siblings above."""
    below = (index ^ (size - 1)).bit_length()
    return below + (index >> below).bit_count()


def _perfect_nodes(start: int, end: int) -> list[Node]:
    """Cover leaves ``[start, end)`` of a subtree that begins at a multiple of its width, left to right."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Hash perfect subtrees, left to right and shrinking, into the root over them."""
    value = hashes[-1]
    for left in hashes[-2::-1]:
        value = sha256(_NODE_PREFIX + left + value).digest()
    return value


def _read_ranges(ranges: Sequence[tuple[int, int]], reader: HashReader) -> list[bytes]:
    """Hash of each range of leaves, with one call of the reader for all of them."""
    covers = [_perfect_nodes(start, end) for start, end in ranges]
    hashes = reader.read_hashes([node for cover in covers for node in cover])
    if len(hashes) != sum(map(len, covers)):
        raise TlogError("HASH_MISSING", "the reader gave another number of hashes")
    roots, position = [], 0
    for cover in covers:
        roots.append(_fold([check_hash(value) for value in hashes[position : position + len(cover)]]))
        position += len(cover)
    return roots
