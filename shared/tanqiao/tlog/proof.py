"""Proof files (C2SP tlog-proof, version 1): what a buyer keeps and a court can check without a network.

A file is the header line, an optional ``extra`` line that nobody vouches for, the index, the inclusion proof
from the leaf's sibling upwards, a blank line and the signed checkpoint. Together with the leaf, which the
reader makes or is handed, and a policy it shows that the leaf was in the log before a quorum of witnesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tanqiao.tlog.encoding import MAX_DECIMAL, decode_base64, decode_decimal, encode_base64
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import (
    HASH_SIZE_BYTES,
    MAX_PROOF_HASHES,
    HashReader,
    check_hash,
    hash_leaf,
    inclusion_proof,
    verify_inclusion,
)
from tanqiao.tlog.note import MAX_NOTE_BYTES, parse_note
from tanqiao.tlog.policy import Policy, VerifiedCheckpoint, verify_checkpoint
from tanqiao.tlog.tiles import MAX_ENTRY_BYTES

__all__ = [
    "MAX_EXTRA_BYTES",
    "MAX_PROOF_BYTES",
    "PROOF_SUFFIX",
    "Proof",
    "VerifiedProof",
    "make_proof",
    "parse_proof",
    "verify_proof",
    "verify_proof_of_leaf_hash",
]

PROOF_SUFFIX: Final = ".tlog-proof"
MAX_EXTRA_BYTES: Final = 256 * 1024
MAX_PROOF_BYTES: Final = 1024 * 1024

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_EXTRA: Final = "extra "
_INDEX: Final = "index "
_SEPARATOR: Final = b"\n\n"


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof file as read: nothing in it is believed before `verify_proof`, and `extra` never is.

    Raises:
        TlogError: `PROOF_INDEX`, `PROOF_LENGTH`, `HASH_SIZE`, `PROOF_EXTRA`.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_DECIMAL:
            raise TlogError("PROOF_INDEX", str(self.index))
        if len(self.hashes) > MAX_PROOF_HASHES:
            raise TlogError("PROOF_LENGTH", f"{len(self.hashes)} hashes")
        for value in self.hashes:
            check_hash(value)
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            raise TlogError("PROOF_EXTRA", f"{len(self.extra)} bytes")

    def encode(self) -> bytes:
        """Write the file; gives the bytes that were read."""
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + encode_base64(self.extra))
        lines.append(f"{_INDEX}{self.index}")
        lines += [encode_base64(value) for value in self.hashes]
        return "\n".join(lines).encode() + _SEPARATOR + self.checkpoint


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A leaf that is in a log under a policy: at this index of the tree of this checkpoint."""

    index: int
    leaf_hash: bytes
    verified: VerifiedCheckpoint
    extra: bytes | None
    """Carried along, not verified by anything."""


def make_proof(
    index: int, size: int, reader: HashReader, checkpoint: bytes, extra: bytes | None = None
) -> Proof:
    """Make the proof file of a leaf in the tree of a signed checkpoint of `size` leaves."""
    return Proof(index, tuple(inclusion_proof(index, size, reader)), checkpoint, extra)


def parse_proof(data: bytes) -> Proof:
    """Read a proof file strictly; the checkpoint in it is parsed as a note but not verified.

    Raises:
        TlogError: `PROOF_TOO_LARGE`, `PROOF_HEADER`, `PROOF_EXTRA`, `PROOF_INDEX`, `PROOF_HASH_LINE`,
            `PROOF_LENGTH`, `PROOF_CUT_OFF`, and the reasons of a note.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise TlogError("PROOF_TOO_LARGE", f"{len(data)} bytes")
    head, separator, checkpoint = data.partition(_SEPARATOR)
    lines = head.decode("ascii", "replace").split("\n")
    if lines[0] != _HEADER:
        raise TlogError("PROOF_HEADER")
    at, extra = 1, None
    if len(lines) > 1 and lines[1].startswith(_EXTRA):
        at, extra = 2, decode_base64(lines[1].removeprefix(_EXTRA))
        if not extra:
            raise TlogError("PROOF_EXTRA")
    index_line = lines[at] if len(lines) > at else ""
    index = decode_decimal(index_line.removeprefix(_INDEX)) if index_line.startswith(_INDEX) else None
    if index is None:
        raise TlogError("PROOF_INDEX", ascii(index_line[:40]))
    if len(lines) - at - 1 > MAX_PROOF_HASHES:
        raise TlogError("PROOF_LENGTH", f"{len(lines) - at - 1} hashes")
    hashes = tuple(_parse_hash(line) for line in lines[at + 1 :])
    if not separator or not checkpoint:
        raise TlogError("PROOF_CUT_OFF")
    if len(checkpoint) > MAX_NOTE_BYTES:
        raise TlogError("NOTE_TOO_LARGE", f"{len(checkpoint)} bytes")
    parse_note(checkpoint)
    return Proof(index, hashes, checkpoint, extra)


def verify_proof(data: bytes, leaf: bytes, policy: Policy) -> VerifiedProof:
    """Verify that a leaf is in a log of the policy, at the index of the file, under a quorum.

    Args:
        data: the bytes of the proof file.
        leaf: the bytes of the leaf, which are hashed here: a hash from elsewhere could be an inner node's.
        policy: trusted logs, witnesses and quorum.

    Raises:
        TlogError: `ENTRY_TOO_LARGE`, the reasons of `parse_proof`, of `verify_checkpoint` and of
            `verify_inclusion`, in this order.
    """
    if len(leaf) > MAX_ENTRY_BYTES:
        raise TlogError("ENTRY_TOO_LARGE", f"{len(leaf)} bytes")
    return verify_proof_of_leaf_hash(data, hash_leaf(leaf), policy)


def verify_proof_of_leaf_hash(data: bytes, leaf_hash: bytes, policy: Policy) -> VerifiedProof:
    """Verify as `verify_proof` does, for a caller that hashed the leaf bytes itself."""
    proof = parse_proof(data)
    verified = verify_checkpoint(proof.checkpoint, policy)
    tree = verified.checkpoint
    verify_inclusion(proof.index, tree.size, leaf_hash, proof.hashes, tree.root)
    return VerifiedProof(proof.index, leaf_hash, verified, proof.extra)


def _parse_hash(line: str) -> bytes:
    value = decode_base64(line)
    if value is None or len(value) != HASH_SIZE_BYTES:
        raise TlogError("PROOF_HASH_LINE", ascii(line[:60]))
    return value
