"""The prime-order group ristretto255 (RFC 9496) on libsodium, which computes in constant time.

Elements and scalars are 32 bytes in their one canonical encoding. The functions here take what was checked
by `check_element` or `check_scalar`, or was made here.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any, Final

from tanqiao.kernel.errors import DomainError

ELEMENT_LENGTH: Final = 32
SCALAR_LENGTH: Final = 32
UNIFORM_LENGTH: Final = 64
"""Bytes that are mapped to an element, and reduced to a scalar."""
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Number of elements of the group (RFC 9496 section 4)."""
IDENTITY: Final = bytes(ELEMENT_LENGTH)


@cache
def _sodium() -> Any:  # noqa: ANN401 - rbcl has no types
    """Load libsodium when it is first needed: most programs never do.

    rbcl unpacks a copy at each import and leaves it behind; it is removed once it is mapped.

    Raises:
        DomainError: SETTING_INVALID where no library can be mapped from the folder for temporary files: it is
            full, or its file system is mounted with `noexec`.
    """
    try:
        rbcl = importlib.import_module("rbcl")
    except OSError as error:
        detail = f"libsodium is unpacked and mapped in the folder for temporary files, and cannot be: {error}"
        raise DomainError("SETTING_INVALID", setting="TMPDIR", detail=detail) from error
    unpacked: str = importlib.import_module("rbcl._sodium").lib_path
    try:
        Path(unpacked).unlink(missing_ok=True)
    except OSError:  # a system that locks a mapped file keeps it, as it did before
        return rbcl
    return rbcl


def check_element(element: bytes, field: str) -> bytes:
    """Give an element of the wire back.

    Raises:
        DomainError: ELEMENT_INVALID for a wrong length, an encoding that is not canonical or no element, and
            for the identity (RFC 9497 section 2.1).
    """
    if (
        len(element) != ELEMENT_LENGTH
        or element == IDENTITY
        or not _sodium().crypto_core_ristretto255_is_valid_point(element)
    ):
        raise DomainError("ELEMENT_INVALID", field=field)
    return element


def is_scalar(scalar: bytes) -> bool:
    """Tell whether the bytes encode a scalar canonically; zero is one."""
    return len(scalar) == SCALAR_LENGTH and int.from_bytes(scalar, "little") < ORDER


def check_secret_scalar(scalar: bytes, field: str) -> bytes:
    """Give a key or a blind back; the value is not repeated in a refusal.

    Raises:
        DomainError: FIELD_INVALID for a wrong length, one that is not reduced, and zero.
    """
    if not is_scalar(scalar) or not any(scalar):
        raise DomainError("FIELD_INVALID", field=field, detail="not a scalar of ristretto255 above zero")
    return scalar


def random_scalar() -> bytes:
    """Draw a scalar above zero from the system's generator."""
    scalar: bytes = _sodium().crypto_core_ristretto255_scalar_random()
    return scalar


def element_of(uniform: bytes) -> bytes:
    """Map 64 uniform bytes to an element."""
    element: bytes = _sodium().crypto_core_ristretto255_from_hash(uniform)
    return element


def scalar_of(uniform: bytes) -> bytes:
    """Reduce 64 uniform bytes, little-endian, to a scalar."""
    scalar: bytes = _sodium().crypto_core_ristretto255_scalar_reduce(uniform)
    return scalar


def multiply(scalar: bytes, element: bytes) -> bytes:
    """Multiply an element by a scalar."""
    product: bytes = _sodium().crypto_scalarmult_ristretto255_allow_scalar_zero(scalar, element)
    return product


def multiply_base(scalar: bytes) -> bytes:
    """Multiply the generator by a scalar."""
    product: bytes = _sodium().crypto_scalarmult_ristretto255_base_allow_scalar_zero(scalar)
    return product


def add(first: bytes, second: bytes) -> bytes:
    """Add two elements."""
    total: bytes = _sodium().crypto_core_ristretto255_add(first, second)
    return total


def invert_scalar(scalar: bytes) -> bytes:
    """Invert a scalar above zero."""
    inverse: bytes = _sodium().crypto_core_ristretto255_scalar_invert(scalar)
    return inverse


def multiply_scalars(first: bytes, second: bytes) -> bytes:
    """Multiply two scalars."""
    product: bytes = _sodium().crypto_core_ristretto255_scalar_mul(first, second)
    return product


def subtract_scalars(first: bytes, second: bytes) -> bytes:
    """Subtract the second scalar from the first."""
    difference: bytes = _sodium().crypto_core_ristretto255_scalar_sub(first, second)
    return difference
