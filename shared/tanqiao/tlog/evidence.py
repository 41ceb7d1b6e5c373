"""Evidence that a log lied: two checkpoints, both signed by it, that cannot both be honest.

Either the two have one size and two roots, or the larger tree, by a consistency proof, had another root at
the smaller size than the log signed. The file needs nothing else to be judged but the policy that names the
log; no quorum is needed, for a lie is the log's alone. It shows that the log signed both, not who made it do
so.

Layout::

    tanqiao-log-misbehaviour@v1
    first <bytes of the first signed checkpoint>
    second <bytes of the second>
    root <base64: root of the second tree at the first's size>   (only for different sizes)
    <base64 of each hash of the proof>                           (only for different sizes)
    <blank line>
    <first signed checkpoint><second signed checkpoint>
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint
from tanqiao.tlog.encoding import decode_base64, decode_decimal, encode_base64
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import VerifierKey
from tanqiao.tlog.merkle import (
    HASH_SIZE_BYTES,
    MAX_PROOF_HASHES,
    HashReader,
    consistency_proof,
    root_at,
    verify_consistency,
)
from tanqiao.tlog.note import MAX_NOTE_BYTES
from tanqiao.tlog.policy import Policy

__all__ = ["EVIDENCE_SUFFIX", "Misbehaviour", "make_evidence", "verify_evidence"]

EVIDENCE_SUFFIX: Final = ".tlog-misbehaviour"
MAX_EVIDENCE_BYTES: Final = 2 * MAX_NOTE_BYTES + 16 * 1024

_HEADER: Final = "tanqiao-log-misbehaviour@v1"
_SEPARATOR: Final = b"\n\n"


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """A proven lie: the log of this key signed both checkpoints."""

    kind: Literal["split_view", "rewritten_history"]
    first: Checkpoint
    second: Checkpoint


def make_evidence(first: bytes, second: bytes, policy: Policy, reader: HashReader | None = None) -> bytes:
    """Make the file from two signed checkpoints of one log, in any order.

    Args:
        first: one signed checkpoint.
        second: the other.
        policy: names the log.
        reader: hashes of the larger tree, needed when the sizes differ.

    Raises:
        TlogError: `EVIDENCE_PROVES_NOTHING` when both can be honest, and the reasons of `verify_evidence`.
    """
    keys = tuple(log.key for log in policy.logs)
    (smaller, first), (larger, second) = sorted(
        ((open_checkpoint(note, *keys)[0], note) for note in (first, second)), key=lambda pair: pair[0].size
    )
    lines = [_HEADER, f"first {len(first)}", f"second {len(second)}"]
    if smaller.size != larger.size:
        if reader is None:
            raise TlogError("EVIDENCE_PROVES_NOTHING", "no hashes of the larger tree")
        lines.append(f"root {encode_base64(root_at(smaller.size, reader))}")
        lines += [encode_base64(value) for value in consistency_proof(smaller.size, larger.size, reader)]
    data = "\n".join(lines).encode() + _SEPARATOR + first + second
    verify_evidence(data, policy)
    return data


def verify_evidence(data: bytes, policy: Policy) -> Misbehaviour:
    """Check that the file proves a lie of a log of the policy.

    Raises:
        TlogError: `EVIDENCE_FORM`; `EVIDENCE_PROVES_NOTHING` when the two can both be honest; the reasons of
            signed checkpoints and of consistency proofs.
    """
    first_note, second_note, root, proof = _parse(data)
    keys = tuple(log.key for log in policy.logs)
    first, first_key = _opened(first_note, keys)
    second, second_key = _opened(second_note, keys)
    if first_key != second_key:
        raise TlogError("EVIDENCE_PROVES_NOTHING", "two logs, or two keys of one")
    if root is None:
        if first.size != second.size or first.root == second.root:
            raise TlogError("EVIDENCE_PROVES_NOTHING", f"sizes {first.size} and {second.size}")
        return Misbehaviour("split_view", first, second)
    if not 0 < first.size < second.size or root == first.root:
        raise TlogError("EVIDENCE_PROVES_NOTHING", f"sizes {first.size} and {second.size}")
    verify_consistency(first.size, second.size, proof, root, second.root)
    return Misbehaviour("rewritten_history", first, second)


def _opened(note: bytes, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, VerifierKey]:
    """Open a checkpoint and say which key signed it as its own."""
    for key in keys:
        try:
            return open_checkpoint(note, key)[0], key
        except TlogError as error:
            if error.reason != "LOG_UNKNOWN":
                raise
    raise TlogError("LOG_UNKNOWN")


def _parse(data: bytes) -> tuple[bytes, bytes, bytes | None, list[bytes]]:
    if len(data) > MAX_EVIDENCE_BYTES:
        raise TlogError("EVIDENCE_FORM", f"{len(data)} bytes")
    head, _, notes = data.partition(_SEPARATOR)
    lines = head.decode("ascii", "replace").split("\n")
    if lines[0] != _HEADER or len(lines) > 4 + MAX_PROOF_HASHES:
        raise TlogError("EVIDENCE_FORM", "head")
    sizes = [_size(lines, 1, "first "), _size(lines, 2, "second ")]
    if sum(sizes) != len(notes):
        raise TlogError("EVIDENCE_FORM", f"{len(notes)} bytes where {sum(sizes)} belong")
    hashes = [_hash(line.removeprefix("root ")) for line in lines[3:]]
    if lines[3:] and not lines[3].startswith("root "):
        raise TlogError("EVIDENCE_FORM", "root line")
    if any(line.startswith("root ") for line in lines[4:]):
        raise TlogError("EVIDENCE_FORM", "two root lines")
    root = hashes[0] if hashes else None
    return notes[: sizes[0]], notes[sizes[0] :], root, hashes[1:]


def _size(lines: Sequence[str], at: int, word: str) -> int:
    line = lines[at] if at < len(lines) else ""
    size = decode_decimal(line.removeprefix(word)) if line.startswith(word) else None
    if size is None:
        raise TlogError("EVIDENCE_FORM", f"{word}line")
    return size


def _hash(text: str) -> bytes:
    value = decode_base64(text)
    if value is None or len(value) != HASH_SIZE_BYTES:
        raise TlogError("EVIDENCE_FORM", "a hash line")
    return value
