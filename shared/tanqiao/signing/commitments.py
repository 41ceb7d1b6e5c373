"""Salted commitments of the transfer protocol, and their openings (PROTOCOL section 4).

A commitment is SHA-256 of a value followed by a 16-byte salt. The openings travel beside the LockAssertion,
to the bridge and the destination only, and never stand in a log.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.strict import parse_strict

SALT_LENGTH: Final = 16
OPENINGS_BYTES_MAX: Final = 1_024
PSEUDONYM_LENGTH_MAX: Final = 64


def commitment(value: bytes, salt: bytes) -> bytes:
    """Give SHA-256(value ‖ salt), 32 bytes."""
    return hashlib.sha256(value + salt).digest()


def opens(expected: bytes, value: bytes, salt: bytes) -> bool:
    """Whether value and salt open a commitment."""
    return len(salt) == SALT_LENGTH and hmac.compare_digest(expected, commitment(value, salt))


def open_lock(lock: messages_pb2.LockAssertion, companion: bytes) -> messages_pb2.Openings:
    """Read the openings that travel beside a LockAssertion and check both commitments.

    Raises:
        DomainError: MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, UNKNOWN_FIELD, OPENING_MISMATCH.
    """
    if len(companion) > OPENINGS_BYTES_MAX:
        raise DomainError("MESSAGE_TOO_LARGE", size=len(companion), limit=OPENINGS_BYTES_MAX)
    openings = parse_strict(messages_pb2.Openings, companion)
    if not isinstance(
        openings, messages_pb2.Openings
    ):  # pragma: no cover - parse_strict gives what it is asked
        raise DomainError("MESSAGE_MALFORMED", detail="openings")
    address = openings.receiving_address.encode()
    if not opens(lock.receiving_address_commitment, address, openings.receiving_address_salt):
        raise DomainError("OPENING_MISMATCH", field="receiving_address")
    if len(openings.owner_pseudonym) > PSEUDONYM_LENGTH_MAX:
        raise DomainError("OPENING_MISMATCH", field="owner_pseudonym")
    if not opens(lock.owner_commitment, openings.owner_pseudonym, openings.owner_salt):
        raise DomainError("OPENING_MISMATCH", field="owner_pseudonym")
    return openings
