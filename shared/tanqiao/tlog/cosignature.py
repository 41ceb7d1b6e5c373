"""Cosignatures of witnesses, cosignature/v1 (C2SP tlog-cosignature, key type 0x04).

A witness says: at this time, the largest tree of the log that I have seen, and that extends all I saw
before, has this root. Signed are two lines of header and the whole note text; on the line travel the time, as
a 64-bit big-endian number of seconds since 1970, and the Ed25519 signature. What a witness of this federation
also checks (PROTOCOL section 8) is between it and those who list its key in a policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tanqiao.tlog.checkpoint import parse_checkpoint
from tanqiao.tlog.encoding import MAX_DECIMAL
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import SIGNATURE_SIZE_BYTES, KeyType, NoteSigner, VerifierKey
from tanqiao.tlog.note import Note, NoteSignature

__all__ = ["Cosignature", "cosign", "cosignature_message", "split_cosignature", "verify_cosignatures"]

_HEADER: Final = b"cosignature/v1\n"
_TIME_SIZE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: by which key, at which time (seconds since 1970, as the witness says)."""

    key: VerifierKey
    time_seconds: int


def cosignature_message(text: bytes, time_seconds: int) -> bytes:
    """The bytes that a witness signs for a checkpoint text at a time."""
    if not 0 <= time_seconds <= MAX_DECIMAL:
        raise TlogError("COSIGNATURE_TIME", str(time_seconds))
    return _HEADER + f"time {time_seconds}\n".encode() + text


def cosign(text: bytes, signer: NoteSigner, time_seconds: int) -> NoteSignature:
    """Cosign a checkpoint text; the caller has checked all that its cosignature promises, and persisted it.

    Raises:
        TlogError: `KEY_TYPE` for a key that is not for cosignatures, `COSIGNATURE_TIME`, and the reasons of a
            checkpoint: nothing else is ever cosigned.
    """
    if signer.key.type is not KeyType.COSIGNATURE_V1:
        raise TlogError("KEY_TYPE", signer.key.name)
    parse_checkpoint(text)
    signature = signer.sign(cosignature_message(text, time_seconds))
    return NoteSignature(
        signer.key.name, signer.key.key_id, time_seconds.to_bytes(_TIME_SIZE_BYTES, "big") + signature
    )


def split_cosignature(signature: bytes) -> tuple[int, bytes]:
    """Split the bytes behind the key hash into time and Ed25519 signature.

    Raises:
        TlogError: `COSIGNATURE_FORM`, `COSIGNATURE_TIME`.
    """
    if len(signature) != _TIME_SIZE_BYTES + SIGNATURE_SIZE_BYTES:
        raise TlogError("COSIGNATURE_FORM", f"{len(signature)} bytes")
    time_seconds = int.from_bytes(signature[:_TIME_SIZE_BYTES], "big")
    if time_seconds > MAX_DECIMAL:
        raise TlogError("COSIGNATURE_TIME", str(time_seconds))
    return time_seconds, signature[_TIME_SIZE_BYTES:]


def verify_cosignatures(note: Note, keys: tuple[VerifierKey, ...]) -> tuple[Cosignature, ...]:
    """Verify every cosignature of the keys on a note; other lines are ignored.

    Raises:
        TlogError: `NOTE_SIGNATURE_WRONG`, `COSIGNATURE_FORM` or `COSIGNATURE_TIME` when a line of a known key
            does not verify: it spoils the note, as C2SP signed-note recommends.
    """
    verified = []
    for line in note.signatures:
        for key in keys:
            if key.type is KeyType.COSIGNATURE_V1 and line.is_by(key):
                time_seconds, signature = split_cosignature(line.signature)
                if not key.verifies(cosignature_message(note.text, time_seconds), signature):
                    raise TlogError("NOTE_SIGNATURE_WRONG", line.name)
                verified.append(Cosignature(key, time_seconds))
    return tuple(verified)
