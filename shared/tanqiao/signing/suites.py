"""Signature suites: a number of the key record, and what stands behind it (ARCHITECTURE section 5).

Ed25519 (RFC 8032, pure, without context) is what is signed with now. SM2 with SM3 (GB/T 32918, GB/T 32905)
has its number; it is refused until a suite stands behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tanqiao.kernel.errors import DomainError
from tanqiao.voprf.functions import KeyPair, derive_key_pair
from tanqiao.voprf.group import check_element

KEY_ID_BYTES: Final = 16
TOKEN_KEY_INFO: Final = b"tanqiao tokens"


class SuiteId(IntEnum):
    """Number of a suite, as in ``tanqiao.api.bridge.v1.Suite``."""

    ED25519 = 1
    SM2_SM3 = 2
    RISTRETTO255_SHA512 = 3
    """Keys of role TOKEN: evaluated with (RFC 9497), never signed with."""


Verify = Callable[[bytes, bytes], bool]
"""(signature, message) → whether the signature holds; never raises for what a peer sent."""
Sign = Callable[[bytes], bytes]
"""message → signature."""


class Suite(Protocol):
    """What a signature scheme must offer."""

    @property
    def suite_id(self) -> SuiteId:
        """Number in the key record."""
        ...  # pragma: no cover - a protocol has no body

    @property
    def public_key_bytes(self) -> int:
        """Length of a public key."""
        ...  # pragma: no cover - a protocol has no body

    @property
    def signature_bytes(self) -> int:
        """Length of a signature."""
        ...  # pragma: no cover - a protocol has no body

    def generate(self) -> PrivateKeyTypes:
        """Make a new private key from the system's random source."""
        ...  # pragma: no cover - a protocol has no body

    def public_key_of(self, private_key: PrivateKeyTypes) -> bytes | None:
        """Give the encoded public key, or None if the private key belongs to another scheme."""
        ...  # pragma: no cover - a protocol has no body

    def signing(self, private_key: PrivateKeyTypes) -> Sign:
        """Give the signing function of a key of this scheme."""
        ...  # pragma: no cover - a protocol has no body

    def verifying(self, public_key: bytes) -> Verify:
        """Give the verifying function of a public key; bytes that are no key are FIELD_INVALID."""
        ...  # pragma: no cover - a protocol has no body


class Ed25519Suite:
    """Ed25519 as RFC 8032 defines it, by the cryptography package."""

    suite_id: Final = SuiteId.ED25519
    public_key_bytes: Final = 32
    signature_bytes: Final = 64

    def generate(self) -> PrivateKeyTypes:
        """Make a new private key."""
        return Ed25519PrivateKey.generate()

    def public_key_of(self, private_key: PrivateKeyTypes) -> bytes | None:
        """Give the 32 bytes of the public key, or None for a key of another scheme."""
        if not isinstance(private_key, Ed25519PrivateKey):
            return None
        return private_key.public_key().public_bytes_raw()

    def signing(self, private_key: PrivateKeyTypes) -> Sign:
        """Give the signing function; the signature is deterministic."""
        if not isinstance(private_key, Ed25519PrivateKey):
            raise DomainError("SUITE_NOT_SUPPORTED", suite="of the key file", supported="ed25519")
        return private_key.sign

    def verifying(self, public_key: bytes) -> Verify:
        """Give the verifying function of the key.

        Raises:
            DomainError: FIELD_INVALID, if the bytes are no Ed25519 public key.
        """
        if len(public_key) == self.public_key_bytes and has_small_order(public_key):
            raise DomainError("FIELD_INVALID", field="public_key", detail="a point of small order")
        try:
            key = Ed25519PublicKey.from_public_bytes(public_key)
        except ValueError as error:
            raise DomainError(
                "FIELD_INVALID", field="public_key", detail="not an Ed25519 public key"
            ) from error
        check = key.verify

        def verify(signature: bytes, message: bytes) -> bool:
            try:
                check(signature, message)
            except InvalidSignature:
                return False
            return True

        return verify


class Ristretto255Suite:
    """The keys under which tokens are made: a PKCS 8 file holds the seed that RFC 9497 derives a pair from.

    The format has no kind for ristretto255, so that the 32 secret bytes stand in an X25519 file.
    """

    suite_id: Final = SuiteId.RISTRETTO255_SHA512
    public_key_bytes: Final = 32
    signature_bytes: Final = 0

    def generate(self) -> PrivateKeyTypes:
        """Make a new seed."""
        return X25519PrivateKey.generate()

    def public_key_of(self, private_key: PrivateKeyTypes) -> bytes | None:
        """Give the public half of the pair, or None for a key of another scheme."""
        pair = token_key_pair(private_key)
        return None if pair is None else pair.public_key

    def signing(self, private_key: PrivateKeyTypes) -> Sign:
        """Give a function that refuses: these keys sign nothing."""
        del private_key

        def refuse(_message: bytes) -> bytes:
            raise DomainError("KEY_ROLE_WRONG", role="token", needed="message")

        return refuse

    def verifying(self, public_key: bytes) -> Verify:
        """Check the key; no signature holds under it.

        Raises:
            DomainError: FIELD_INVALID, if the bytes are no element of the group.
        """
        try:
            check_element(public_key, "public_key")
        except DomainError as error:
            raise DomainError(
                "FIELD_INVALID", field="public_key", detail="not an element of ristretto255"
            ) from error
        return lambda _signature, _message: False


def token_key_pair(private_key: PrivateKeyTypes) -> KeyPair | None:
    """Give the pair that makes tokens, derived from the seed in the file; None for another kind of key."""
    if not isinstance(private_key, X25519PrivateKey):
        return None
    return derive_key_pair(private_key.private_bytes_raw(), TOKEN_KEY_INFO)


def has_small_order(public_key: bytes) -> bool:
    """Whether the bytes are one of the points of small order, whatever the sign bit.

    With such a key a signature can hold over every message (RFC 8032 leaves it to the caller; the list is
    that of libsodium's ``ge25519_has_small_order``, and a test computes the points).
    """
    return public_key[:-1] + bytes([public_key[-1] & 0x7F]) in _SMALL_ORDER


_FIELD_PRIME: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        *(
            number.to_bytes(32, "little")
            for number in (0, 1, _FIELD_PRIME - 1, _FIELD_PRIME, _FIELD_PRIME + 1)
        ),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    }
)
SUITES: Final[dict[int, Suite]] = {
    SuiteId.ED25519: Ed25519Suite(),
    SuiteId.RISTRETTO255_SHA512: Ristretto255Suite(),
}


def suite_of(number: int) -> Suite:
    """Give the suite behind a number; one that cannot be used is refused with SUITE_NOT_SUPPORTED."""
    suite = SUITES.get(number)
    if suite is None:
        name = SuiteId(number).name.lower() if number in SuiteId.__members__.values() else str(number)
        supported = [one.suite_id.name.lower() for one in SUITES.values() if one.signature_bytes]
        raise DomainError("SUITE_NOT_SUPPORTED", suite=name, supported=supported)
    return suite


def key_id_of(suite_id: int, public_key: bytes) -> bytes:
    """Give the first 16 bytes of SHA-256 over the suite byte and the public key."""
    return hashlib.sha256(bytes([suite_id]) + public_key).digest()[:KEY_ID_BYTES]
