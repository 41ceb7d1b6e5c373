"""Proof files that prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.merkle import MemoryTree, Node, hash_leaf, hash_node
from tanqiao.tlog.note import Note
from tanqiao.tlog.proof import Proof
from tests.golden.museum.exhibits import (
    CHECKPOINT,
    LEAF_COUNT,
    LEAVES,
    ORIGIN,
    OTHER_LOG,
    PROVEN_INDEX,
    TREE,
    WITNESSES,
    BadFile,
    base64,
    good_proof,
    museum_leaf,
    signed,
)


def bad_proofs() -> Iterator[BadFile]:
    good = good_proof()
    data, note = good.encode(), good.checkpoint
    path = list(good.hashes)

    def case(name: str, reason: str, attack: str, proof: bytes | Proof, leaf: bytes | None = None) -> BadFile:
        return BadFile(
            "proof", name, reason, attack, proof if isinstance(proof, bytes) else proof.encode(), leaf
        )

    not_in = "INCLUSION_NOT_PROVEN"
    yield case(
        "another-leaf", not_in, "a decision that was never logged", good, museum_leaf(LEAF_COUNT).encode()
    )
    yield case("neighbours-leaf", not_in, "a logged leaf at another's place", good, LEAVES[PROVEN_INDEX + 1])
    yield case(
        "leaf-with-a-byte-more", not_in, "something appended to the leaf", good, LEAVES[PROVEN_INDEX] + b"\0"
    )
    left, right = TREE.read_hashes([Node(0, PROVEN_INDEX - 1), Node(0, PROVEN_INDEX)])
    yield case(
        "inner-node-as-leaf",
        "PROOF_LENGTH",
        "an inner node passed off as a leaf with a shorter path",
        Proof(PROVEN_INDEX // 2, tuple(path[1:]), note),
        left + right,
    )
    yield case(
        "inner-node-as-leaf-path-kept",
        not_in,
        "an inner node passed off as a leaf, path filled up",
        Proof(PROVEN_INDEX, (path[0], *path[1:]), note),
        left + right,
    )
    yield case(
        "duplicated-last-leaf",
        "INDEX_OUT_OF_TREE",
        "the last leaf once more behind the end",
        *_duplicate(note),
    )
    yield case(
        "index-of-the-neighbour", not_in, "the place changed", Proof(PROVEN_INDEX + 1, good.hashes, note)
    )
    yield case(
        "index-beyond-the-tree",
        "INDEX_OUT_OF_TREE",
        "a place that the tree does not have",
        Proof(LEAF_COUNT, good.hashes, note),
    )
    yield case(
        "path-cut-off",
        "PROOF_LENGTH",
        "a subtree's root instead of the log's",
        Proof(PROVEN_INDEX, tuple(path[:-1]), note),
    )
    yield case(
        "path-lengthened",
        "PROOF_LENGTH",
        "a tree above the tree",
        Proof(PROVEN_INDEX, (*path, path[0]), note),
    )
    yield case("path-empty", "PROOF_LENGTH", "no path at all", Proof(PROVEN_INDEX, (), note))
    yield case("path-reversed", not_in, "the order changed", Proof(PROVEN_INDEX, tuple(path[::-1]), note))
    flipped = bytes([path[3][0] ^ 128]) + path[3][1:]
    yield case(
        "path-bit-flipped", not_in, "damaged", Proof(PROVEN_INDEX, (*path[:3], flipped, *path[4:]), note)
    )
    yield case(
        "path-of-another-tree", not_in, "a tree that the log did not sign", _proof_in_another_tree(note)
    )
    yield case(
        "path-of-65-hashes",
        "PROOF_LENGTH",
        "work for the verifier",
        data.replace(base64(path[0]) + b"\n", (base64(path[0]) + b"\n") * 57),
    )
    yield case(
        "header-of-version-2",
        "PROOF_HEADER",
        "a format this reader does not know",
        data.replace(b"proof@v1", b"proof@v2"),
    )
    yield case("header-missing", "PROOF_HEADER", "not a proof file", data[data.index(b"index") :])
    yield case("header-with-space", "PROOF_HEADER", "a second spelling", data.replace(b"@v1\n", b"@v1 \n"))
    yield case("empty", "PROOF_HEADER", "no bytes at all", b"")
    yield case("carriage-returns", "PROOF_HEADER", "other line ends", data.replace(b"\n", b"\r\n"))
    yield case("index-missing", "PROOF_INDEX", "a path without a place", data.replace(b"index 123\n", b""))
    for name, index in (
        ("leading-zero", b"0123"),
        ("plus-sign", b"+123"),
        ("negative", b"-1"),
        ("empty", b""),
        ("two-spaces", b" 123"),
        ("beyond-63-bits", b"9223372036854775808"),
        ("beyond-64-bits", b"18446744073709551739"),
    ):
        yield case(
            f"index-{name}",
            "PROOF_INDEX",
            "a second spelling of an index",
            data.replace(b"index 123", b"index " + index),
        )
    extra = good_proof(b"extra").encode()
    yield case(
        "extra-empty",
        "PROOF_EXTRA",
        "a second spelling of no extra",
        extra.replace(b"extra ZXh0cmE=", b"extra "),
    )
    yield case(
        "extra-not-base64",
        "PROOF_EXTRA",
        "bytes for a lenient reader",
        extra.replace(b"ZXh0cmE=", b"!!not base64!!"),
    )
    yield case(
        "extra-twice",
        "PROOF_INDEX",
        "two extras",
        extra.replace(b"extra ZXh0cmE=\n", b"extra ZXh0cmE=\n" * 2),
    )
    yield case(
        "extra-behind-the-index",
        "PROOF_HASH_LINE",
        "lines in another order",
        data.replace(b"index 123\n", b"index 123\nextra ZXh0cmE=\n"),
    )
    for name, line in (
        ("31-bytes", base64(bytes(31))),
        ("not-base64", b"!" * 44),
        ("hexadecimal", path[0].hex().encode()),
        ("without-padding", base64(path[0]).rstrip(b"=")),
        ("with-space", base64(path[0]) + b" "),
        ("not-ascii", "ａ".encode() * 44),
    ):
        yield case(
            f"hash-{name}",
            "PROOF_HASH_LINE",
            "a second spelling of a hash",
            data.replace(base64(path[0]), line),
        )
    head = data[: data.index(b"\n\n")]
    yield case("cut-off-before-the-checkpoint", "PROOF_CUT_OFF", "no checkpoint", head + b"\n\n")
    yield case("cut-off-in-the-path", "PROOF_CUT_OFF", "no checkpoint", head)
    yield case("cut-off-in-the-checkpoint", "NOTE_NOT_TERMINATED", "half a signature", data[:-40])
    yield case(
        "blank-line-missing",
        "PROOF_HASH_LINE",
        "the checkpoint taken for hashes",
        data.replace(b"\n\n", b"\n", 1),
    )
    yield case("bytes-behind-the-checkpoint", "NOTE_SIGNATURE_LINE", "smuggled text", data + b"more\n")
    yield case(
        "no-quorum",
        "QUORUM_NOT_REACHED",
        "the log alone",
        Proof(PROVEN_INDEX, good.hashes, signed(CHECKPOINT.encode()).encode()),
    )
    yield case(
        "checkpoint-of-another-log",
        "LOG_UNKNOWN",
        "a log that the policy does not list",
        Proof(PROVEN_INDEX, good.hashes, _another_log().encode()),
    )
    yield case(
        "smaller-tree",
        "INDEX_OUT_OF_TREE",
        "an honest checkpoint from before the leaf",
        Proof(
            PROVEN_INDEX,
            good.hashes,
            signed(Checkpoint(ORIGIN, 100, TREE.root(100)).encode(), *WITNESSES).encode(),
        ),
    )
    empty = signed(Checkpoint(ORIGIN, 0, sha256(b"").digest()).encode(), *WITNESSES).encode()
    yield case("empty-tree", "INDEX_OUT_OF_TREE", "a leaf of nothing", Proof(0, (), empty))


def _duplicate(note: bytes) -> tuple[Proof, bytes]:
    """Last leaf behind the end, with the path it would have if trees were filled up by repeating."""
    filled = MemoryTree([*(hash_leaf(leaf) for leaf in LEAVES), hash_leaf(LEAVES[-1])])
    return Proof(LEAF_COUNT, tuple(filled.inclusion_proof(LEAF_COUNT)), note), LEAVES[-1]


def _proof_in_another_tree(note: bytes) -> Proof:
    leaves = [b"forged" if number == 0 else leaf for number, leaf in enumerate(LEAVES)]
    tree = MemoryTree(hash_leaf(leaf) for leaf in leaves)
    return Proof(PROVEN_INDEX, tuple(tree.inclusion_proof(PROVEN_INDEX)), note)


def _another_log() -> Note:
    text = Checkpoint(OTHER_LOG.key.name, LEAF_COUNT, hash_node(TREE.root(), TREE.root())).encode()
    return signed(text, *WITNESSES, by=OTHER_LOG)
