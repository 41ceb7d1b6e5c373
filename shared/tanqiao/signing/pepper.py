"""The regions' common secret under which identifiers are hashed before they are blinded (CLAIMS section 6).

A file of mode 0600 with 32 bytes in hexadecimal. It never goes to the bridge: the bridge's key alone, or the
pepper alone, cannot be searched for a person.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tanqiao.kernel.errors import DomainError, require
from tanqiao.signing.keyring import load_private_key, private_key_pem, read_private, write_private

PEPPER_NAME: Final = "pepper.key"
REQUEST_NAME: Final = "pepper-request.key"
PEPPER_BYTES: Final = 32
NONCE_BYTES: Final = 12
CHECK_CHARACTERS: Final = 16
FINGERPRINT_CHARACTERS: Final = 32
CHECK_LABEL: Final = b"tanqiao pepper check"
REQUEST_LABEL: Final = b"tanqiao pepper request"
SEAL_LABEL: Final = b"tanqiao pepper seal"


def read_pepper(path: Path) -> bytes:
    """Read the pepper.

    Raises:
        DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID.
    """
    try:
        pepper = bytes.fromhex(read_private(path).decode("ascii").strip())
    except ValueError as error:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="not a pepper in hexadecimal") from error
    if len(pepper) != PEPPER_BYTES:
        raise DomainError("KEY_FILE_INVALID", file=path, detail=f"a pepper has {PEPPER_BYTES} bytes")
    return pepper


def write_pepper(path: Path, pepper: bytes) -> None:
    """Write the pepper for its owner alone."""
    require(len(pepper) == PEPPER_BYTES, f"a pepper has {PEPPER_BYTES} bytes")
    write_private(path, f"{pepper.hex()}\n".encode())


# -- from region to region -----------------------------------------------------------------------------------


def pepper_check(pepper: bytes) -> str:
    """Give sixteen characters by which two regions compare their peppers aloud; they do not tell it."""
    return hmac.new(pepper, CHECK_LABEL, hashlib.sha256).hexdigest()[:CHECK_CHARACTERS]


def fingerprint_of(public_key: bytes) -> str:
    """Give the characters by which a request is compared aloud before anything is sealed for it."""
    return hashlib.sha256(REQUEST_LABEL + public_key).hexdigest()[:FINGERPRINT_CHARACTERS]


def make_request(directory: Path) -> bytes:
    """Make the key for which another region seals; its public half, 32 bytes. The other stays in the ring."""
    private_key = X25519PrivateKey.generate()
    write_private(directory / REQUEST_NAME, private_key_pem(private_key))
    return private_key.public_key().public_bytes_raw()


def seal_pepper(pepper: bytes, public_key: bytes) -> bytes:
    """Seal the pepper for a request: X25519, HKDF-SHA-256, AES-256-GCM, all fresh.

    Raises:
        DomainError: FIELD_INVALID, if the request is no key.
    """
    ephemeral = X25519PrivateKey.generate()
    own = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError as error:
        raise DomainError("FIELD_INVALID", field="request", detail="no public key") from error
    return own + AESGCM(_sealing_key(shared, own, public_key)).encrypt(bytes(NONCE_BYTES), pepper, public_key)


def open_pepper(directory: Path, sealed: bytes) -> bytes:
    """Open what was sealed for this ring's request, and keep it as the region's pepper.

    Raises:
        DomainError: FILE_MISSING without a request; FIELD_INVALID for what was not sealed for it;
            ALREADY_EXISTS where the region has another pepper.
    """
    private_key = load_private_key(directory / REQUEST_NAME)
    if not isinstance(private_key, X25519PrivateKey):
        raise DomainError("KEY_FILE_INVALID", file=directory / REQUEST_NAME, detail="no key of a request")
    public_key = private_key.public_key().public_bytes_raw()
    ephemeral = sealed[:PEPPER_BYTES]
    try:
        shared = private_key.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        key = _sealing_key(shared, ephemeral, public_key)
        pepper = AESGCM(key).decrypt(bytes(NONCE_BYTES), sealed[PEPPER_BYTES:], public_key)
    except (ValueError, InvalidTag) as error:
        raise DomainError("FIELD_INVALID", field="sealed", detail="not sealed for this request") from error
    path = directory / PEPPER_NAME
    if path.exists() and read_pepper(path) != pepper:
        raise DomainError("ALREADY_EXISTS", what="another pepper", id=path)
    write_pepper(path, pepper)
    (directory / REQUEST_NAME).unlink()
    return pepper


def _sealing_key(shared: bytes, ephemeral: bytes, public_key: bytes) -> bytes:
    # The key is used once, for the ephemeral half is new each time: the nonce may be constant.
    return HKDF(hashes.SHA256(), PEPPER_BYTES, salt=None, info=SEAL_LABEL + ephemeral + public_key).derive(
        shared
    )
