"""DSSE v1 pre-authentication encoding and the message hash (PROTOCOL section 2).

The encoding is that of https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md: lengths are
decimal numbers of bytes, so that no two different pairs of type and payload give the same bytes. That a
payload type is short and ASCII is a rule of the envelope, not of the encoding; `require_payload_type` checks
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from tanqiao.kernel.errors import DomainError

PAYLOAD_TYPE_LENGTH_MAX: Final = 128
MESSAGE_HASH_BYTES: Final = 32


def pae(payload_type: str, payload: bytes) -> bytes:
    """Give the bytes that are signed: ``DSSEv1 <len> <type> <len> <payload>``."""
    return b"%b%d %b" % (pae_prefix(payload_type), len(payload), payload)


def pae_prefix(payload_type: str) -> bytes:
    """Give the part of the encoding that the messages of one type share, up to the payload's length."""
    encoded = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b " % (len(encoded), encoded)


def message_hash(payload_type: str, payload: bytes) -> bytes:
    """Give SHA-256 of the encoding: 32 bytes that name the message wherever and however it travels."""
    return hashlib.sha256(pae(payload_type, payload)).digest()


def message_hashes(payload_type: str, payloads: Sequence[bytes]) -> list[bytes]:
    """Give the message hash of each payload of one type, in order."""
    prefix, sha256 = pae_prefix(payload_type), hashlib.sha256
    return [sha256(b"%b%d %b" % (prefix, len(payload), payload)).digest() for payload in payloads]


def require_payload_type(payload_type: str) -> None:
    """Refuse a payload type that is not 1 to `PAYLOAD_TYPE_LENGTH_MAX` printable ASCII characters.

    Raises:
        DomainError: MESSAGE_MALFORMED.
    """
    length = len(payload_type)
    if not 0 < length <= PAYLOAD_TYPE_LENGTH_MAX:
        detail = f"the payload type has not 1 to {PAYLOAD_TYPE_LENGTH_MAX} characters"
        raise DomainError("MESSAGE_MALFORMED", field="payload_type", detail=detail)
    if not (payload_type.isascii() and payload_type.isprintable()):
        raise DomainError(
            "MESSAGE_MALFORMED", field="payload_type", detail="the payload type is not printable ASCII"
        )
