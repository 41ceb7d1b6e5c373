"""Framed leaf bytes: what a log says, in the one way it can be said.

A leaf has a kind and named values: the message hashes, the signers' key ids and the minimal public fields of
PROTOCOL section 8. Personal data never stand in a leaf, only salted commitments to them. The encoding is
canonical: fields in strictly ascending order of their names, lengths fixed in size, nothing behind the end,
so that two leaves that mean the same have the same hash. A reader that does not know a kind can still take
the leaf apart and pass it on.

Layout, all integers big-endian::

    4 bytes   "TQL" and the version 1
    1 byte    length of the kind, then the kind
    1 byte    number of fields; for each:
        1 byte    length of the name, then the name
        2 bytes   length of the value, then the value
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import check_hash, hash_leaf
from tanqiao.tlog.tiles import MAX_ENTRY_BYTES

__all__ = [
    "MAX_FIELDS",
    "MAX_LEAF_BYTES",
    "MESSAGE_HASHES",
    "SIGNER_KEY_IDS",
    "Leaf",
    "decode_leaf",
    "leaf_hash",
    "make_leaf",
    "pack_items",
    "unpack_items",
]

MAX_LEAF_BYTES: Final = MAX_ENTRY_BYTES
MAX_FIELDS: Final = 64
MAX_NAME_CHARACTERS: Final = 64
MAX_ITEMS: Final = 1024

MESSAGE_HASHES: Final = "message_hashes"
SIGNER_KEY_IDS: Final = "signer_key_ids"

_MAGIC: Final = b"TQL\x01"
_WORD: Final = re.compile(r"[a-z][a-z0-9_]*")
_VALUE_LENGTH_SIZE_BYTES: Final = 2
_MAX_CACHED_WORDS: Final = 1024  # the kinds and field names of a log are few and come back in each leaf
_MAX_VALUE_BYTES: Final = 2 ** (8 * _VALUE_LENGTH_SIZE_BYTES) - 1


@dataclass(frozen=True, slots=True)
class Leaf:
    """A kind and its fields in ascending order of name.

    Args:
        kind: a word of lower-case letters, digits and underscores, such as ``decision``.
        fields: pairs of such a name and the bytes of the value.

    Raises:
        TlogError: `LEAF_KIND`, `LEAF_FIELD`, `LEAF_TOO_LARGE`.
    """

    kind: str
    fields: tuple[tuple[str, bytes], ...] = ()

    def __post_init__(self) -> None:
        if not _is_word(self.kind):
            raise TlogError("LEAF_KIND", ascii(self.kind[:40]))
        if len(self.fields) > MAX_FIELDS:
            raise TlogError("LEAF_FIELD", f"{len(self.fields)} fields")
        # Counted, not encoded, and in one walk: an audit decodes every leaf of a log.
        size_bytes = len(_MAGIC) + 1 + len(self.kind) + 1
        before = ""
        for name, value in self.fields:
            if not _is_word(name):
                raise TlogError("LEAF_FIELD", ascii(name[:40]))
            if name <= before:
                raise TlogError("LEAF_FIELD", "the names do not ascend")
            if len(value) > _MAX_VALUE_BYTES:
                raise TlogError("LEAF_TOO_LARGE", "a value")
            before = name
            size_bytes += 1 + len(name) + _VALUE_LENGTH_SIZE_BYTES + len(value)
        if size_bytes > MAX_LEAF_BYTES:
            raise TlogError("LEAF_TOO_LARGE", self.kind)

    def encode(self) -> bytes:
        """Write the framed bytes: the log entry."""
        parts = [_MAGIC, _short(self.kind), _BYTE[len(self.fields)]]
        for name, value in self.fields:
            parts += (_short(name), _length(len(value)), value)
        return b"".join(parts)

    @property
    def hash(self) -> bytes:
        """Leaf hash of the framed bytes (RFC 6962)."""
        return hash_leaf(self.encode())

    def get(self, name: str) -> bytes | None:
        """Give the value of a field, None when the leaf has no such field."""
        for known, value in self.fields:
            if known == name:
                return value
        return None

    def value(self, name: str) -> bytes:
        """Give the value of a field; `LEAF_FIELD_MISSING` when the leaf has no such field."""
        value = self.get(name)
        if value is None:
            raise TlogError("LEAF_FIELD_MISSING", f"{self.kind}.{name[:40]!a}")
        return value

    @property
    def message_hashes(self) -> tuple[bytes, ...]:
        """Hashes of the envelopes that the leaf rests on; empty when it names none."""
        packed = self.get(MESSAGE_HASHES)
        return () if packed is None else tuple(check_hash(item) for item in unpack_items(packed))

    @property
    def signer_key_ids(self) -> tuple[bytes, ...]:
        """Ids of the keys that signed those envelopes; empty when it names none."""
        packed = self.get(SIGNER_KEY_IDS)
        return () if packed is None else unpack_items(packed)


def make_leaf(
    kind: str,
    *,
    message_hashes: Sequence[bytes] = (),
    signer_key_ids: Sequence[bytes] = (),
    public: Mapping[str, bytes] | None = None,
) -> Leaf:
    """Make a leaf from its parts, in the canonical order; lists that are empty are left out.

    Raises:
        TlogError: `HASH_SIZE` for a message hash, `LEAF_FIELD` when a public field takes a reserved name, and
            the reasons of `Leaf`.
    """
    fields = dict(public or {})
    if fields.keys() & {MESSAGE_HASHES, SIGNER_KEY_IDS}:
        raise TlogError("LEAF_FIELD", "a reserved name")
    if message_hashes:
        fields[MESSAGE_HASHES] = pack_items([check_hash(value) for value in message_hashes])
    if signer_key_ids:
        fields[SIGNER_KEY_IDS] = pack_items(signer_key_ids)
    return Leaf(kind, tuple(sorted(fields.items())))


def decode_leaf(data: bytes) -> Leaf:
    """Take framed bytes apart; writing the result gives the same bytes.

    Raises:
        TlogError: `LEAF_TOO_LARGE`, `LEAF_FORM`, `LEAF_KIND`, `LEAF_FIELD`.
    """
    if len(data) > MAX_LEAF_BYTES:
        raise TlogError("LEAF_TOO_LARGE", f"{len(data)} bytes")
    if not data.startswith(_MAGIC):
        raise TlogError("LEAF_FORM", "not a leaf of version 1")
    # In one walk, without a call for each number: a witness takes every leaf of a log apart.
    fields: list[tuple[str, bytes]] = []
    try:
        start = len(_MAGIC) + 1
        at = start + data[start - 1]
        kind, count = _text(data[start:at]), data[at]
        at += 1
        for _ in range(count):
            start = at + 1
            at = start + data[at]
            name = data[start:at]
            start = at + _VALUE_LENGTH_SIZE_BYTES
            at = start + (data[at] << 8 | data[at + 1])
            fields.append((_text(name), data[start:at]))
    except IndexError:
        raise TlogError("LEAF_FORM", "cut off") from None
    if at != len(data):
        raise TlogError("LEAF_FORM", "cut off" if at > len(data) else "bytes behind the last field")
    return Leaf(kind, tuple(fields))


def leaf_hash(data: bytes) -> bytes:
    """Leaf hash of framed bytes as they are stored; they are not taken apart."""
    return hash_leaf(data)


def pack_items(items: Sequence[bytes]) -> bytes:
    """Pack a list into one value: each item behind its 16-bit length.

    Raises:
        TlogError: `LEAF_TOO_LARGE` for too many items or one that is too long.
    """
    if len(items) > MAX_ITEMS or any(len(item) > _MAX_VALUE_BYTES for item in items):
        raise TlogError("LEAF_TOO_LARGE", f"a list of {len(items)} items")
    return b"".join([part for item in items for part in (_length(len(item)), item)])


def unpack_items(data: bytes) -> tuple[bytes, ...]:
    """Take such a list apart; `LEAF_FORM` unless the items fill the bytes exactly."""
    items: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        if len(items) == MAX_ITEMS:
            raise TlogError("LEAF_FORM", "too many items")
        start = at + _VALUE_LENGTH_SIZE_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        items.append(data[start:at])
    if at != end:
        raise TlogError("LEAF_FORM", "cut off")
    return tuple(items)


@lru_cache(maxsize=_MAX_CACHED_WORDS)
def _is_word(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_CHARACTERS and _WORD.fullmatch(text) is not None


@lru_cache(maxsize=_MAX_CACHED_WORDS)
def _text(raw: bytes) -> str:
    # Bytes that are not ASCII become a character that no word has.
    return raw.decode("ascii", "replace")


@lru_cache(maxsize=_MAX_CACHED_WORDS)
def _short(text: str) -> bytes:
    raw = text.encode("ascii")
    return bytes([len(raw)]) + raw


def _length(size_bytes: int) -> bytes:
    return size_bytes.to_bytes(_VALUE_LENGTH_SIZE_BYTES, "big")


_BYTE: Final = tuple(bytes([number]) for number in range(MAX_FIELDS + 1))
