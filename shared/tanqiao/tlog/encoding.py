"""The two encodings that every text format of C2SP shares: one base64 and one decimal for each value.

Decoders that accept two spellings of one value let an attacker make a second file with the same meaning and
another hash; both functions therefore accept only what their inverse would write.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Final

__all__ = ["MAX_DECIMAL", "decode_base64", "decode_decimal", "encode_base64"]

MAX_DECIMAL: Final = 2**63 - 1  # C2SP: sizes, indexes and times fit a signed 64-bit integer
_MAX_DECIMAL_DIGITS: Final = len(str(MAX_DECIMAL))


def encode_base64(data: bytes) -> str:
    """Encode in the standard alphabet with padding (RFC 4648 section 4)."""
    return b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes | None:
    """Decode standard base64 in its one canonical spelling; None for anything else."""
    try:
        raw = text.encode("ascii")
        data = b64decode(raw, validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None
    # Catches bits set behind the last byte, which decoders ignore.
    return data if b64encode(data) == raw else None


def decode_decimal(text: str) -> int | None:
    """Decode an ASCII decimal up to `MAX_DECIMAL`, no sign, no leading zero; None for anything else."""
    if not 0 < len(text) <= _MAX_DECIMAL_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    if text[0] == "0" and text != "0":
        return None
    value = int(text)
    return value if value <= MAX_DECIMAL else None
