"""Identifiers: their text forms and their checks. Random bytes are handed in, never made here.

A receiving address is read from a screen and typed in, so that it carries two check characters by
ISO/IEC 7064, system MOD 1271-36. The weights are powers of 36 modulo 1271 = 31 * 41; for any two different
characters neither their difference nor 35 times it is a multiple of 1271, hence every single substitution
and every adjacent transposition is found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.kernel.regions import RegionCode

ID_BYTES: Final = 16
"""Length of a transfer id, message id and the like: 128 random bits."""
REQUEST_ID_LENGTH_MAX: Final = 64
ACCOUNT_ID_LENGTH_MAX: Final = 32
"""Characters of an account's id that a caller may give; one that a region made has fewer."""
ADDRESS_PREFIX: Final = "TQ"
ADDRESS_RANDOM_BYTES: Final = 10
"""What a new address takes; 80 bits, sixteen characters."""
ADDRESS_RANDOM_BYTES_LONG: Final = 16
"""The longer form, 26 characters; there is no third, so that a lost or doubled character is found."""
ADDRESS_LENGTH_MAX: Final = 64

CROCKFORD_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 without I, L, O and U, which are mistaken for 1, 0 and V."""

_TO_BASE_32: Final = str.maketrans(CROCKFORD_ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")
"""Crockford's digits → those that `int` reads to base 32."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_ID_HEX: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ADDRESS: Final = re.compile(
    r"TQ-([0-9]{6}(?:\.L[0-9]{2})?)-([0-9A-HJKMNP-TV-Z]{16}|[0-9A-HJKMNP-TV-Z]{26})-([0-9A-Z]{2})", re.ASCII
)
_CHECK_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHECKED_TEXT: Final = re.compile(r"[0-9A-Z]*", re.ASCII)
_CHECK_RADIX: Final = 36
_CHECK_MODULUS: Final = 1271
_BITS_PER_BYTE: Final = 8
_BITS_PER_CHARACTER: Final = 5


def id_hex(identifier: bytes) -> str:
    """Give the text form of a 16-byte id: 32 lower-case hexadecimal digits."""
    require(len(identifier) == ID_BYTES, f"an id has {ID_BYTES} bytes")
    return identifier.hex()


def parse_id_hex(text: str, *, field: str = "id") -> bytes:
    """Read what `id_hex` writes, in that one form only.

    Raises:
        DomainError: FIELD_INVALID.
    """
    if _ID_HEX.fullmatch(text) is None:
        raise DomainError("FIELD_INVALID", field=field, detail=text[: 2 * ID_BYTES])
    return bytes.fromhex(text)


def check_id(identifier: bytes, *, field: str = "id") -> bytes:
    """Give the 16-byte id back, if it is one and not all zero.

    Raises:
        DomainError: FIELD_INVALID.
    """
    if len(identifier) != ID_BYTES or not any(identifier):
        raise DomainError("FIELD_INVALID", field=field, detail=identifier[:ID_BYTES].hex())
    return identifier


def check_request_id(text: str, *, field: str = "request_id") -> str:
    """Give the request id back, if it is 1 to 64 characters of ``[A-Za-z0-9._:-]``.

    Raises:
        DomainError: FIELD_MISSING if it is empty, else REQUEST_ID_INVALID.
    """
    if not text:
        raise DomainError("FIELD_MISSING", field=field)
    if _REQUEST_ID.fullmatch(text) is None:
        raise DomainError("REQUEST_ID_INVALID", field=field, limit=REQUEST_ID_LENGTH_MAX)
    return text


@dataclass(frozen=True, slots=True)
class ReceivingAddress:
    """A receiving address taken apart; `str` gives its one text form."""

    region: RegionCode
    random_bytes: bytes

    def __post_init__(self) -> None:
        """Refuse a number of random bytes that neither form has."""
        require(
            len(self.random_bytes) in (ADDRESS_RANDOM_BYTES, ADDRESS_RANDOM_BYTES_LONG),
            f"an address has {ADDRESS_RANDOM_BYTES} or {ADDRESS_RANDOM_BYTES_LONG} random bytes",
        )

    def __str__(self) -> str:
        body = _encode_base32(self.random_bytes)
        return f"{ADDRESS_PREFIX}-{self.region}-{body}-{check_characters(_checked_part(self.region, body))}"


def make_address(region: RegionCode, random_bytes: bytes) -> str:
    """Give ``TQ-<region>-<random>-<check>`` for 10 or 16 random bytes."""
    return str(ReceivingAddress(RegionCode(region), random_bytes))


def parse_address(text: str) -> ReceivingAddress:
    """Take an address apart after its check characters were found right.

    Raises:
        DomainError: ADDRESS_INVALID for any text that `make_address` does not write.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise _invalid_address(text)
    region, body, check = match.groups()
    if check_characters(_checked_part(region, body)) != check:
        raise _invalid_address(text)
    random_bytes = _decode_base32(body)
    if random_bytes is None:
        raise _invalid_address(text)
    try:
        return ReceivingAddress(RegionCode(region), random_bytes)
    except DomainError as error:
        raise _invalid_address(text) from error


def check_characters(text: str) -> str:
    """Give the two check characters of ISO/IEC 7064 MOD 1271-36 for digits and capital letters.

    Appended to the text they make its value, read to base 36, congruent to 1 modulo 1271.
    """
    wellformed = _CHECKED_TEXT.fullmatch(text) is not None
    require(wellformed, "check characters are made of digits and capital letters")
    remainder = int(text or "0", _CHECK_RADIX) * _CHECK_RADIX**2 % _CHECK_MODULUS
    high, low = divmod((1 - remainder) % _CHECK_MODULUS, _CHECK_RADIX)
    return _CHECK_ALPHABET[high] + _CHECK_ALPHABET[low]


def _checked_part(region: str, body: str) -> str:
    return region.replace(".", "") + body


def _encode_base32(data: bytes) -> str:
    bits = len(data) * _BITS_PER_BYTE
    length = -(-bits // _BITS_PER_CHARACTER)
    number = int.from_bytes(data, "big") << (length * _BITS_PER_CHARACTER - bits)
    digits = (number >> (_BITS_PER_CHARACTER * position) & 31 for position in reversed(range(length)))
    return "".join([CROCKFORD_ALPHABET[digit] for digit in digits])


def _decode_base32(body: str) -> bytes | None:
    """Give the bytes, or None if no bytes are written like that."""
    number = int(body.translate(_TO_BASE_32), 32)
    bits = len(body) * _BITS_PER_CHARACTER
    padding = bits % _BITS_PER_BYTE
    if number & ((1 << padding) - 1):
        return None  # bits behind the last byte are zero in the one form that is written
    return (number >> padding).to_bytes(bits // _BITS_PER_BYTE, "big")


def _invalid_address(text: str) -> DomainError:
    return DomainError("ADDRESS_INVALID", field="address", address=text[:ADDRESS_LENGTH_MAX])
