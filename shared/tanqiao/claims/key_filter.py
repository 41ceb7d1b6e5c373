"""Which keys a list may hold: a Bloom filter, of which a "no" is certain and a "yes" a question to the list.

The gateway of a list makes one of all keys and subjects of an import, which never changes; the bridge keeps
it and asks the gateway about the few assets that the filter does not rule out (ADR 0034).

Form: 2**n bits, least significant bit of each byte first. A key (UTF-8) sets the bits ``first + i * step``
modulo 2**n for i in 0 … `PROBES` - 1; `first` and `step` are the first two big-endian 64-bit numbers of its
SHA-256, `step` made odd (Kirsch and Mitzenmacher 2006: two hashes do as well as many).

A "no" is certain only if both sides write a key in the same way. So the version of a list begins with the
number of that form, and who knows another form trusts no filter of it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from tanqiao.kernel.errors import require

KEY_FORM: Final = 1
"""Number of the form of keys (`tanqiao.claims.keys`: schemes, canonical values, key texts) and of the filter.

Whoever changes either raises it, and has the gateways make the keys of the lists that they hold anew.
"""
FORM_BYTES: Final = 4
DIGEST_BYTES: Final = 32
PROBES: Final = 8
BITS_PER_KEY: Final = 24
"""At the least: one absent key in 20,000 is asked about in vain."""
KEYS_MAX: Final = 1 << 24
"""Of a list with more keys no filter is made: its gateway is asked each time."""
BYTES_MIN: Final = 1 << 7
BYTES_MAX: Final = 1 << 26
_read_places: Final = struct.Struct(">QQ").unpack_from

Place = tuple[int, int]
"""Where a key's bits begin, and how far they are apart: the same in filters of every size."""


def version_of(digest: bytes) -> bytes:
    """Give the version of a list: the number of the form of its keys in 4 bytes, then its SHA-256."""
    require(len(digest) == DIGEST_BYTES, "a list is named by a SHA-256")
    return KEY_FORM.to_bytes(FORM_BYTES, "big") + digest


def is_of_known_form(list_version: bytes) -> bool:
    """Whether the filter of a list version holds keys of the form that this software makes."""
    return len(list_version) == FORM_BYTES + DIGEST_BYTES and list_version.startswith(
        KEY_FORM.to_bytes(FORM_BYTES, "big")
    )


def place_of(key: str) -> Place:
    """Give the place of a key."""
    first, step = _read_places(hashlib.sha256(key.encode()).digest())
    return first, step | 1


def size_bytes(keys_max: int) -> int:
    """Give the size of a filter for so many keys, at most `KEYS_MAX`: a power of two."""
    require(0 <= keys_max <= KEYS_MAX, "a filter holds so many keys")
    size = BYTES_MIN
    while size * 8 < keys_max * BITS_PER_KEY:
        size *= 2
    return size


def is_size(count: int) -> bool:
    """Whether a filter may have so many bytes."""
    return BYTES_MIN <= count <= BYTES_MAX and count & (count - 1) == 0


def bits_of(keys: Iterable[str], keys_max: int) -> bytes:
    """Give the bytes of the filter of some keys, at most `keys_max`; the same key again changes nothing."""
    bits = bytearray(size_bytes(keys_max))
    mask = len(bits) * 8 - 1
    for key in keys:
        at, step = place_of(key)
        for _ in range(PROBES):
            at &= mask
            bits[at >> 3] |= 1 << (at & 7)
            at += step
    return bytes(bits)


class KeyFilter:
    """The filter of one list."""

    __slots__ = ("_bits", "_mask")

    def __init__(self, bits: bytes) -> None:
        """Take its bytes, of a size that `is_size` allows."""
        require(is_size(len(bits)), "a filter's size is a power of two within its bounds")
        self._bits = bits
        self._mask = len(bits) * 8 - 1

    def may_hold(self, place: Place) -> bool:
        """Whether the list may hold the key of this place; False is certain."""
        at, step = place
        bits, mask = self._bits, self._mask
        for _ in range(PROBES):
            at &= mask
            if not bits[at >> 3] >> (at & 7) & 1:
                return False
            at += step
        return True

    def may_hold_any(self, places: Sequence[Place]) -> bool:
        """Whether the list may hold one of these keys."""
        return any(map(self.may_hold, places))
