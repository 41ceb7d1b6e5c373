"""The steps of client and server (RFC 9497 section 3.3), each on values of one mode's context.

The client keeps its input and its blind; only `blind` leaves it. What the server gets is uniform in the
group whatever the input was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from tanqiao.kernel.errors import DomainError, require
from tanqiao.voprf import group

INPUT_LENGTH_MAX: Final = 2**16 - 1
"""Longest private input, in bytes (RFC 9497 section 1.2)."""
SEED_LENGTH: Final = 32
OUTPUT_LENGTH: Final = 64
_HASH_BLOCK_LENGTH: Final = 128
_DERIVE_TRIES_MAX: Final = 256
_SUITE: Final = b"ristretto255-SHA512"


class Mode(IntEnum):
    """Modes of RFC 9497 section 3.1 that are used here; the third, with a public input, is not."""

    OPRF = 0
    VOPRF = 1


def context_of(mode: int) -> bytes:
    """Give the context string that keeps modes, suites and versions apart (RFC 9497 section 3.1)."""
    return b"OPRFV1-" + mode.to_bytes(1, "big") + b"-" + _SUITE


OPRF_CONTEXT: Final = context_of(Mode.OPRF)
VOPRF_CONTEXT: Final = context_of(Mode.VOPRF)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A server's key; the secret half is never shown."""

    secret_key: bytes = field(repr=False)
    public_key: bytes

    @staticmethod
    def of(secret_key: bytes) -> KeyPair:
        """Make the pair of a secret scalar of 32 bytes.

        Raises:
            DomainError: FIELD_INVALID, if it is none, or zero.
        """
        group.check_secret_scalar(secret_key, "secret_key")
        return KeyPair(secret_key, group.multiply_base(secret_key))


def length_prefixed(part: bytes) -> bytes:
    """Give a byte string behind its length in two bytes."""
    return len(part).to_bytes(2, "big") + part


def expand_message(message: bytes, tag: bytes) -> bytes:
    """Give 64 uniform bytes: expand_message_xmd of RFC 9380 section 5.3.1 with SHA-512, in one block."""
    suffix = tag + len(tag).to_bytes(1, "big")
    length = group.UNIFORM_LENGTH.to_bytes(2, "big")
    first = hashlib.sha512(bytes(_HASH_BLOCK_LENGTH) + message + length + b"\x00" + suffix).digest()
    return hashlib.sha512(first + b"\x01" + suffix).digest()


def hash_to_element(message: bytes, context: bytes) -> bytes:
    """Give the element that a message stands for."""
    return group.element_of(expand_message(message, b"HashToGroup-" + context))


def hash_to_scalar(message: bytes, context: bytes) -> bytes:
    """Give the scalar that a message stands for."""
    return group.scalar_of(expand_message(message, b"HashToScalar-" + context))


def derive_key_pair(seed: bytes, info: bytes, context: bytes = VOPRF_CONTEXT) -> KeyPair:
    """Derive a key pair from 32 secret bytes and a public label (RFC 9497 section 3.2.1)."""
    require(len(seed) == SEED_LENGTH, "a seed has 32 bytes")
    for counter in range(_DERIVE_TRIES_MAX):
        message = seed + length_prefixed(info) + counter.to_bytes(1, "big")
        secret_key = group.scalar_of(expand_message(message, b"DeriveKeyPair" + context))
        if any(secret_key):
            return KeyPair.of(secret_key)
    raise DomainError("INTERNAL", correlation_id="derive_key_pair")  # pragma: no cover - 256 zeros in a row


def blind(private_input: bytes, blind_scalar: bytes, context: bytes = VOPRF_CONTEXT) -> bytes:
    """Give the blinded element of an input (client; sections 3.3.1 and 3.3.2).

    Args:
        private_input: at most `INPUT_LENGTH_MAX` bytes; never leaves the client.
        blind_scalar: drawn anew for each input by `group.random_scalar`; kept until `finalize`.
        context: of the mode.

    Raises:
        DomainError: FIELD_INVALID for a blind that is no scalar above zero, and for an input that is too
            long or hashes to the identity.
    """
    group.check_secret_scalar(blind_scalar, "blind")
    element = group.IDENTITY
    if len(private_input) <= INPUT_LENGTH_MAX:
        element = hash_to_element(private_input, context)
    if element == group.IDENTITY:
        raise DomainError("FIELD_INVALID", field="input", detail=f"at most {INPUT_LENGTH_MAX} bytes")
    return group.multiply(blind_scalar, element)


def evaluate(key: KeyPair, blinded_element: bytes) -> bytes:
    """Give the evaluated element of a blinded one (server).

    Raises:
        DomainError: ELEMENT_INVALID.
    """
    return group.multiply(key.secret_key, group.check_element(blinded_element, "blinded_element"))


def finalize(private_input: bytes, blind_scalar: bytes, evaluated_element: bytes) -> bytes:
    """Give the output of 64 bytes for an input (client); in mode VOPRF the proof was verified before.

    Raises:
        DomainError: ELEMENT_INVALID, FIELD_INVALID.
    """
    group.check_secret_scalar(blind_scalar, "blind")
    group.check_element(evaluated_element, "evaluated_element")
    return _output(private_input, group.multiply(group.invert_scalar(blind_scalar), evaluated_element))


def evaluate_input(key: KeyPair, private_input: bytes, context: bytes = VOPRF_CONTEXT) -> bytes:
    """Give the output for an input whose holder has the key too (RFC 9497 section 3.3.1, Evaluate)."""
    return _output(private_input, evaluate(key, hash_to_element(private_input, context)))


def _output(private_input: bytes, unblinded: bytes) -> bytes:
    message = length_prefixed(private_input) + length_prefixed(unblinded) + b"Finalize"
    return hashlib.sha512(message).digest()
