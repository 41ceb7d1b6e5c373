"""Signed notes (C2SP signed-note): a text and the signature lines under it.

The layout is the text, which ends in a newline, a blank line, and one or more lines
``— name base64(key hash || signature)``. The last blank line separates the two. A note is read strictly, so
that writing what was read gives the same bytes; signatures of keys that the reader does not know are kept and
ignored, a signature of a known key that does not verify spoils the whole note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tanqiao.tlog.encoding import decode_base64, encode_base64
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import KEY_ID_SIZE_BYTES, KeyType, NoteSigner, VerifierKey, check_key_name

__all__ = [
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "Note",
    "NoteSignature",
    "check_note_text",
    "parse_note",
    "sign_note",
    "verify_note",
]

MAX_NOTE_BYTES: Final = 256 * 1024
MAX_SIGNATURES: Final = 64  # C2SP demands that at least 16 are accepted
MAX_SIGNATURE_BYTES: Final = 8 * 1024  # of one signature; post-quantum ones reach nearly 5 kB

_LINE_START: Final = "— "  # em dash U+2014, space
_SEPARATOR: Final = b"\n\n"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who claims to have signed, with which key, and the bytes of the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> str:
        """Write the line, with its newline."""
        return f"{_LINE_START}{self.name} {encode_base64(self.key_id + self.signature)}\n"

    def is_by(self, key: VerifierKey) -> bool:
        """Say whether name and key hash are those of the key; that the signature holds is not said."""
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True, slots=True)
class Note:
    """A note as read: nothing in it is to be believed before `verify_note`."""

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        """Write the note; gives the bytes that were read."""
        return self.text + b"\n" + "".join(line.encode() for line in self.signatures).encode()

    def with_signatures(self, added: Iterable[NoteSignature]) -> Note:
        """Add signature lines; a line of the same name and key hash is replaced where it stands."""
        lines = {(line.name, line.key_id): line for line in self.signatures}
        lines.update({(line.name, line.key_id): line for line in added})
        if len(lines) > MAX_SIGNATURES:
            raise TlogError("NOTE_TOO_MANY_SIGNATURES", f"{len(lines)} lines")
        return Note(self.text, tuple(lines.values()))


def parse_note(data: bytes) -> Note:
    """Read a note strictly.

    Raises:
        TlogError: `NOTE_TOO_LARGE`, `NOTE_NOT_UTF8`, `NOTE_CONTROL_CHARACTER`, `NOTE_NOT_TERMINATED`,
            `NOTE_NO_SIGNATURES`, `NOTE_TOO_MANY_SIGNATURES`, `NOTE_SIGNATURE_LINE`, `KEY_NAME`.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise TlogError("NOTE_TOO_LARGE", f"{len(data)} bytes")
    _check_characters(data)
    if not data.endswith(b"\n"):
        raise TlogError("NOTE_NOT_TERMINATED")
    separator = data.rfind(_SEPARATOR)
    if separator < 0 or separator + len(_SEPARATOR) == len(data):
        raise TlogError("NOTE_NO_SIGNATURES")
    lines = data[separator + len(_SEPARATOR) : -1].decode().split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise TlogError("NOTE_TOO_MANY_SIGNATURES", f"{len(lines)} lines")
    return Note(data[: separator + 1], tuple(_parse_line(line) for line in lines))


def verify_note(note: Note, keys: Sequence[VerifierKey]) -> tuple[tuple[VerifierKey, NoteSignature], ...]:
    """Verify every plain Ed25519 signature (type 0x01) of the keys in the note.

    Cosignature keys among `keys` are not looked at here; `tanqiao.tlog.cosignature` does.

    Returns:
        The keys that signed with their lines, in the order of the lines; empty when none of them signed.

    Raises:
        TlogError: `NOTE_SIGNATURE_WRONG` when a line of a known key does not verify.
    """
    verified = []
    for line in note.signatures:
        for key in keys:
            if key.type is KeyType.ED25519 and line.is_by(key):
                if not key.verifies(note.text, line.signature):
                    raise TlogError("NOTE_SIGNATURE_WRONG", line.name)
                verified.append((key, line))
    return tuple(verified)


def sign_note(text: bytes, *signers: NoteSigner) -> Note:
    """Sign a text with one key or more, in this order.

    Raises:
        TlogError: `NOTE_TEXT`, `NOTE_TOO_LARGE`, `NOTE_NO_SIGNATURES`; `KEY_TYPE` for a cosigner's key.
    """
    check_note_text(text)
    for signer in signers:
        if signer.key.type is not KeyType.ED25519:
            raise TlogError("KEY_TYPE", signer.key.name)
    if not signers:
        raise TlogError("NOTE_NO_SIGNATURES")
    lines = (NoteSignature(signer.key.name, signer.key.key_id, signer.sign(text)) for signer in signers)
    return Note(text, ()).with_signatures(lines)


def check_note_text(text: bytes) -> None:
    """Refuse a text that no note can have: not UTF-8, with control characters, or without a last newline."""
    if len(text) > MAX_NOTE_BYTES:
        raise TlogError("NOTE_TOO_LARGE", f"{len(text)} bytes")
    _check_characters(text)
    if not text.endswith(b"\n"):
        raise TlogError("NOTE_TEXT", "the text does not end in a newline")


def _check_characters(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise TlogError("NOTE_NOT_UTF8", f"at byte {error.start}") from None
    # The lowest character other than newline decides; min() over the set is quicker than a scan in Python.
    if min(set(text) - {"\n"}, default=" ") < " ":
        raise TlogError("NOTE_CONTROL_CHARACTER")


def _parse_line(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_LINE_START).partition(" ")
    if not line.startswith(_LINE_START) or not space:
        raise TlogError("NOTE_SIGNATURE_LINE", ascii(line[:40]))
    check_key_name(name)
    data = decode_base64(encoded)
    if data is None or not KEY_ID_SIZE_BYTES < len(data) <= KEY_ID_SIZE_BYTES + MAX_SIGNATURE_BYTES:
        raise TlogError("NOTE_SIGNATURE_LINE", f"signature of {name!a}")
    return NoteSignature(name, data[:KEY_ID_SIZE_BYTES], data[KEY_ID_SIZE_BYTES:])
