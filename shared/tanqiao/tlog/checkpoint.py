"""Checkpoints (C2SP tlog-checkpoint): what a log says about itself at one size.

The text is the origin, the number of leaves, the root in base64, and extension lines that the log may add and
nobody relies on. A checkpoint promises nothing until a `tanqiao.tlog.policy` has verified who signed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tanqiao.tlog.encoding import decode_base64, decode_decimal, encode_base64
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import NoteSigner, VerifierKey
from tanqiao.tlog.merkle import EMPTY_ROOT, HASH_SIZE_BYTES, check_hash, check_tree_size
from tanqiao.tlog.note import Note, check_note_text, parse_note, sign_note, verify_note

__all__ = [
    "MAX_EXTENSION_LINES",
    "MAX_ORIGIN_BYTES",
    "Checkpoint",
    "open_checkpoint",
    "parse_checkpoint",
    "sign_checkpoint",
    "size_of_note",
]

MAX_ORIGIN_BYTES: Final = 255  # C2SP tlog-cosignature carries the origin in a field of this size
MAX_EXTENSION_LINES: Final = 16
MAX_CHECKPOINT_TEXT_BYTES: Final = 16 * 1024
_MANDATORY_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root of the log named by the origin.

    Raises:
        TlogError: `CHECKPOINT_ORIGIN`, `TREE_SIZE`, `HASH_SIZE`, `CHECKPOINT_EMPTY_ROOT`, `CHECKPOINT_LINES`,
            and the reasons of a note text.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            origin_size_bytes = len(self.origin.encode())
        except UnicodeEncodeError:
            raise TlogError("CHECKPOINT_ORIGIN", "not valid Unicode") from None
        if not 0 < origin_size_bytes <= MAX_ORIGIN_BYTES or "\n" in self.origin:
            raise TlogError("CHECKPOINT_ORIGIN", f"{origin_size_bytes} bytes")
        check_tree_size(self.size)
        check_hash(self.root)
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise TlogError("CHECKPOINT_EMPTY_ROOT")
        if len(self.extensions) > MAX_EXTENSION_LINES:
            raise TlogError("CHECKPOINT_LINES", f"{len(self.extensions)} extension lines")
        if any(not line or "\n" in line for line in self.extensions):
            raise TlogError("CHECKPOINT_LINES", "an extension line is empty")
        check_note_text(self.encode())

    def encode(self) -> bytes:
        """Write the note text."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read the text of a checkpoint note strictly: writing the result gives the same bytes.

    Raises:
        TlogError: `CHECKPOINT_LINES`, `CHECKPOINT_ORIGIN`, `CHECKPOINT_SIZE`, `CHECKPOINT_ROOT`,
            `CHECKPOINT_EMPTY_ROOT`, and the reasons of a note text.
    """
    if len(text) > MAX_CHECKPOINT_TEXT_BYTES:
        raise TlogError("CHECKPOINT_LINES", f"{len(text)} bytes")
    check_note_text(text)
    lines = text[:-1].decode().split("\n")
    if len(lines) < _MANDATORY_LINES:
        raise TlogError("CHECKPOINT_LINES", f"{len(lines)} lines")
    size = decode_decimal(lines[1])
    if size is None:
        raise TlogError("CHECKPOINT_SIZE", ascii(lines[1][:40]))
    root = decode_base64(lines[2])
    if root is None or len(root) != HASH_SIZE_BYTES:
        raise TlogError("CHECKPOINT_ROOT", ascii(lines[2][:60]))
    return Checkpoint(lines[0], size, root, tuple(lines[_MANDATORY_LINES:]))


def size_of_note(data: bytes) -> int:
    """Read the size that a signed checkpoint states; nothing of it is verified yet.

    Raises:
        TlogError: as `parse_checkpoint`, and the reasons of notes.
    """
    return parse_checkpoint(parse_note(data).text).size


def sign_checkpoint(checkpoint: Checkpoint, *signers: NoteSigner) -> Note:
    """Sign a checkpoint with the log's key, two while one follows the other; their name must be the origin.

    The caller sees to the order of PROTOCOL section 8: leaves durable, root recomputed from stored bytes,
    size and root persisted, and only then this.

    Raises:
        TlogError: `CHECKPOINT_ORIGIN_WRONG`, `KEY_TYPE`, `NOTE_NO_SIGNATURES`.
    """
    for signer in signers:
        if signer.key.name != checkpoint.origin:
            detail = f"{signer.key.name} cannot sign for {checkpoint.origin}"
            raise TlogError("CHECKPOINT_ORIGIN_WRONG", detail)
    return sign_note(checkpoint.encode(), *signers)


def open_checkpoint(data: bytes, *log_keys: VerifierKey) -> tuple[Checkpoint, Note]:
    """Read a signed checkpoint and verify that one of the log's keys signed it; no witness is asked.

    Only keys whose name is the origin count: the key of one log must not vouch for another.

    Raises:
        TlogError: `LOG_UNKNOWN`, `NOTE_SIGNATURE_WRONG`, and the reasons of notes and checkpoints.
    """
    note = parse_note(data)
    # Signature before meaning: the text is parsed once somebody known has answered for it.
    signed_by = [key for key, _ in verify_note(note, log_keys)]
    if not signed_by:
        raise TlogError("LOG_UNKNOWN")
    checkpoint = parse_checkpoint(note.text)
    if all(key.name != checkpoint.origin for key in signed_by):
        raise TlogError("CHECKPOINT_ORIGIN_WRONG", checkpoint.origin)
    return checkpoint, note
