"""DSSE v1 pre-authentication encoding and the message hash (PROTOCOL section 2).

The encoding is that of https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md: lengths are
decimal numbers of bytes, so that no two different pairs of type and payload give the same bytes.
"""

from __future__ import annotations

import hashlib
from typing import Final

from tanqiao.kernel.errors import DomainError

PAYLOAD_TYPE_LENGTH_MAX: Final = 128
MESSAGE_HASH_BYTES: Final = 32


def pae(payload_type: str, payload: bytes) -> bytes:
    """Give the bytes that are signed: ``DSSEv1 <len> <type> <len> <payload>``.

    Raises:
        DomainError: MESSAGE_MALFORMED, if the type is not printable ASCII or too long.
    """
    return pae_prefix(payload_type) + b"%d " % len(payload) + payload


def pae_prefix(payload_type: str) -> bytes:
    """Give the part of the encoding that the messages of one type share, up to the payload's length."""
    if not (payload_type.isascii() and payload_type.isprintable()):
        raise DomainError("MESSAGE_MALFORMED", detail="the payload type is not printable ASCII")
    if not 0 < len(payload_type) <= PAYLOAD_TYPE_LENGTH_MAX:
        raise DomainError(
            "MESSAGE_MALFORMED", detail=f"the payload type has not 1 to {PAYLOAD_TYPE_LENGTH_MAX} characters"
        )
    encoded = payload_type.encode("ascii")
    return b"DSSEv1 %d %b " % (len(encoded), encoded)


def message_hash(payload_type: str, payload: bytes) -> bytes:
    """Give SHA-256 of the encoding: 32 bytes that name the message wherever and however it travels."""
    return hashlib.sha256(pae(payload_type, payload)).digest()


def message_hashes(payload_type: str, payloads: list[bytes]) -> list[bytes]:
    """Give the message hash of each payload of one type, in order."""
    prefix, sha256 = pae_prefix(payload_type), hashlib.sha256
    return [sha256(b"%b%d %b" % (prefix, len(payload), payload)).digest() for payload in payloads]
