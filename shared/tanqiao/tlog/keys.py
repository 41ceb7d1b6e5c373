"""Verifier keys of C2SP signed notes: a name, a signature type and an Ed25519 public key.

A key travels as ``name+hash+base64(type || public key)``, the hash being the first four bytes of
SHA-256(name || 0x0A || type || public key) in lower-case hexadecimal. The hash only says which key to try;
the trust is in the public key, which the reader had before. Types: 0x01 signs note texts (a log), 0x04 makes
cosignature/v1 (a witness). Others are refused by name rather than passed over, for a policy that lists a key
which is not checked would promise more than it keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tanqiao.tlog.encoding import decode_base64, encode_base64
from tanqiao.tlog.errors import TlogError

__all__ = [
    "KEY_ID_SIZE_BYTES",
    "MAX_KEY_NAME_BYTES",
    "KeyType",
    "NoteSigner",
    "VerifierKey",
    "check_key_name",
    "parse_verifier_key",
]

KEY_ID_SIZE_BYTES: Final = 4
PUBLIC_KEY_SIZE_BYTES: Final = 32
SIGNATURE_SIZE_BYTES: Final = 64
MAX_KEY_NAME_BYTES: Final = 255  # C2SP tlog-cosignature carries names and origins in a field of this size
MAX_VERIFIER_KEY_CHARACTERS: Final = 512
_MAX_CACHED_KEYS: Final = 256

# Ed25519 field prime and the y coordinates of the eight points whose order divides 8. A key with such a point
# verifies a signature that nobody made. The last pair is the one that libsodium's list of small-order points
# gives; the arithmetic is repeated in the tests.
_PRIME: Final = 2**255 - 19
_SIGN_MASK: Final = (1 << 255) - 1
_ORDER_8_Y: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER_Y: Final = frozenset({0, 1, _PRIME - 1, _ORDER_8_Y, _PRIME - _ORDER_8_Y})


class KeyType(IntEnum):
    """Signature type identifiers of C2SP signed-note that this package verifies."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


def check_key_name(name: str) -> str:
    """Give back a key name that is not empty, has no Unicode space and no plus sign; else `KEY_NAME`."""
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise TlogError("KEY_NAME", "not valid Unicode") from None
    if not 0 < size_bytes <= MAX_KEY_NAME_BYTES:
        raise TlogError("KEY_NAME", f"{size_bytes} bytes")
    if any(character == "+" or character < " " or character.isspace() for character in name):
        raise TlogError("KEY_NAME", ascii(name))
    return name


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key that a reader trusts under a name for one type of signature.

    Raises:
        TlogError: `KEY_NAME`, `KEY_MALFORMED` (size), `KEY_WEAK`.
    """

    name: str
    type: KeyType
    public_key: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.public_key) != PUBLIC_KEY_SIZE_BYTES:
            raise TlogError("KEY_MALFORMED", f"a public key of {len(self.public_key)} bytes")
        if (int.from_bytes(self.public_key, "little") & _SIGN_MASK) % _PRIME in _SMALL_ORDER_Y:
            raise TlogError("KEY_WEAK", self.name)

    @property
    def key_id(self) -> bytes:
        """Key hash: the first four bytes of SHA-256(name || newline || type || public key)."""
        return _key_id(self.name, int(self.type), self.public_key)

    def encode(self) -> str:
        """Write the key as ``name+hash+base64``."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.type]) + self.public_key)}"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Say whether the 64 bytes are an Ed25519 signature (RFC 8032) of the message under this key."""
        if len(signature) != SIGNATURE_SIZE_BYTES:
            return False
        try:
            _loaded(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_verifier_key(text: str) -> VerifierKey:
    """Read a verifier key in its one canonical spelling.

    Raises:
        TlogError: `KEY_MALFORMED`, `KEY_NAME`, `KEY_TYPE`, `KEY_HASH_WRONG`, `KEY_WEAK`.
    """
    if len(text) > MAX_VERIFIER_KEY_CHARACTERS:
        raise TlogError("KEY_MALFORMED", f"{len(text)} characters")
    # The base64 part may contain plus signs, the name and the hash cannot.
    parts = text.split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004 - name, hash, key
        raise TlogError("KEY_MALFORMED", "not three parts joined by plus signs")
    name, hash_text, key_text = parts
    check_key_name(name)
    data = decode_base64(key_text)
    if data is None or not data:
        raise TlogError("KEY_MALFORMED", "the key is not canonical base64")
    try:
        key_type = KeyType(data[0])
    except ValueError:
        raise TlogError("KEY_TYPE", f"type 0x{data[0]:02x}") from None
    key = VerifierKey(name, key_type, data[1:])
    if hash_text != key.key_id.hex():
        raise TlogError("KEY_HASH_WRONG", f"{hash_text!a} instead of {key.key_id.hex()}")
    return key


class NoteSigner:
    """Signs under a verifier key: note texts (0x01) or cosignatures (0x04).

    The two uses sign different bytes, but C2SP tlog-cosignature wants distinct keys for them; who makes the
    keys sees to that, and a policy that lists one key for both is refused.

    Args:
        key: the name, type and public key under which others verify.
        sign: gives the 64-byte Ed25519 signature of a message; the private key stays where it is.
    """

    def __init__(self, key: VerifierKey, sign: Callable[[bytes], bytes]) -> None:
        self.key = key
        self._sign = sign

    @classmethod
    def from_private_key(
        cls, name: str, private_key: Ed25519PrivateKey, key_type: KeyType = KeyType.ED25519
    ) -> NoteSigner:
        """Sign with a private key in memory."""
        public_key = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(VerifierKey(name, key_type, public_key), private_key.sign)

    def __repr__(self) -> str:
        return f"NoteSigner({self.key.encode()})"

    def sign(self, message: bytes) -> bytes:
        """Sign the message: 64 bytes."""
        return self._sign(message)


@lru_cache(maxsize=_MAX_CACHED_KEYS)
def _key_id(name: str, key_type: int, public_key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([key_type]) + public_key).digest()[:KEY_ID_SIZE_BYTES]


@lru_cache(maxsize=_MAX_CACHED_KEYS)
def _loaded(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)
