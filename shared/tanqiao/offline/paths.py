"""Leaves with their paths under the one checkpoint of a file, and checkpoints that a policy accepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tanqiao.offline.report import Report
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.encoding import decode_base64, decode_decimal, encode_base64
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao.tlog.merkle import (
    HASH_SIZE_BYTES,
    MAX_PROOF_HASHES,
    HashReader,
    hash_leaf,
    inclusion_proof,
    verify_inclusion,
)
from tanqiao.tlog.policy import Policy, verify_checkpoint

__all__ = ["IncludedLeaf", "encode_path", "included_leaf", "open_path", "path_of", "report_checkpoint"]

MAX_PATH_BYTES: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class IncludedLeaf:
    """A leaf that is in the tree, at this index."""

    index: int
    leaf: Leaf


def encode_path(index: int, hashes: Sequence[bytes]) -> bytes:
    """Write an index and an inclusion proof as the lines of C2SP tlog-proof, without its head."""
    return "".join(f"{line}\n" for line in (f"index {index}", *map(encode_base64, hashes))).encode()


def path_of(index: int, size: int, reader: HashReader) -> bytes:
    """Make the path of leaf `index` in the tree of `size` leaves."""
    return encode_path(index, inclusion_proof(index, size, reader))


def open_path(data: bytes) -> tuple[int, list[bytes]]:
    """Read such lines strictly.

    Raises:
        TlogError: `PROOF_INDEX`, `PROOF_HASH_LINE`, `PROOF_LENGTH`.
    """
    lines = data.decode("ascii", "replace").split("\n")
    if len(data) > MAX_PATH_BYTES or len(lines) > MAX_PROOF_HASHES + 2:
        raise TlogError("PROOF_LENGTH", f"{len(lines)} lines")
    word, _, text = lines[0].partition(" ")
    index = decode_decimal(text)
    if word != "index" or index is None or lines[-1]:
        raise TlogError("PROOF_INDEX", ascii(lines[0][:40]))
    hashes = [decode_base64(line) for line in lines[1:-1]]
    if any(value is None or len(value) != HASH_SIZE_BYTES for value in hashes):
        raise TlogError("PROOF_HASH_LINE")
    return index, [value for value in hashes if value is not None]


def included_leaf(data: bytes, path: bytes, tree: Checkpoint) -> IncludedLeaf:
    """Check that the bytes are a leaf of the tree and take it apart.

    Raises:
        TlogError: the reasons of paths, inclusion proofs and leaves.
    """
    index, hashes = open_path(path)
    verify_inclusion(index, tree.size, hash_leaf(data), hashes, tree.root)
    return IncludedLeaf(index, decode_leaf(data))


def report_checkpoint(report: Report, data: bytes, policy: Policy) -> Checkpoint:
    """Verify the signed checkpoint of a file under the policy and write down who answers for it."""
    verified = verify_checkpoint(data, policy)
    tree = verified.checkpoint
    report.facts |= {"log": tree.origin, "tree_size": tree.size, "root": tree.root.hex()}
    report.held(
        "§8",
        f"The log {tree.origin} signed the checkpoint of {tree.size} leaves with root {tree.root.hex()}.",
        f"日志{tree.origin}签署了含{tree.size}个叶子、树根为{tree.root.hex()}的检查点。",
    )
    names = ", ".join(sorted(verified.witnesses))
    report.facts["witnesses"] = sorted(verified.witnesses)
    if policy.needs_witnesses:
        report.held(
            "§8",
            f"A quorum of witnesses cosigned it: {names}.",
            f"见证方达到法定人数并签署：{names}。",
        )
    else:
        report.held(
            "§8",
            "The policy asks for no witness: the log alone answers for it.",
            "该策略不要求见证方：仅由日志自身负责。",
        )
    return tree
