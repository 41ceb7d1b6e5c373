"""The offline root of an authority in one encrypted file, to be kept apart from every machine that is online.

Scrypt derives the key from a password, AES-256-GCM seals the private key, and everything readable in the file
(owner, epoch, suite, public key) is sealed with it, so that nobody can exchange one without the other. What
the file holds signs key records and nothing else.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import Signer
from tanqiao.signing.keyring import StoredKey, read_private, write_private
from tanqiao.signing.parties import parse_party
from tanqiao.signing.suites import key_id_of, suite_of

__all__ = ["PASSWORD_CHARACTERS_MIN", "ROOT_FILE_FORMAT", "open_root_file", "write_root_file"]

ROOT_FILE_FORMAT: Final = "tanqiao-root-key@v1"
PASSWORD_CHARACTERS_MIN: Final = 12
SCRYPT_N: Final = 2**16  # 64 MiB and some 200 ms: a guess has its price
SCRYPT_N_MIN: Final = 2**14
SCRYPT_N_MAX: Final = 2**20
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


def write_root_file(
    path: Path, owner: str, epoch: int, suite: int, key: PrivateKeyTypes, password: str
) -> None:
    """Seal a root key into a new file of mode 0600.

    Raises:
        DomainError: FIELD_INVALID for a password that is too short, ALREADY_EXISTS for a file that is there.
    """
    if len(password) < PASSWORD_CHARACTERS_MIN:
        detail = f"at least {PASSWORD_CHARACTERS_MIN} characters"
        raise DomainError("FIELD_INVALID", field="password", detail=detail)
    if path.exists():
        raise DomainError("ALREADY_EXISTS", what="file", id=path)
    public_key = suite_of(suite).public_key_of(key)
    if public_key is None:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="a key of another suite")
    head = {
        "format": ROOT_FILE_FORMAT,
        "owner": parse_party(owner).path,
        "epoch": epoch,
        "suite": int(suite),
        "public_key": public_key.hex(),
        "scrypt_n": SCRYPT_N,
        "salt": secrets.token_hex(SALT_BYTES),
        "nonce": secrets.token_hex(NONCE_BYTES),
    }
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    sealed = AESGCM(_derived(head, password)).encrypt(bytes.fromhex(str(head["nonce"])), plain, _bound(head))
    write_private(path, (json.dumps({**head, "sealed": sealed.hex()}, indent=2) + "\n").encode())


def open_root_file(path: Path, password: str) -> StoredKey:
    """Open the file and give the root.

    Raises:
        DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID for a damaged file or another
            password.
    """
    data = read_private(path)
    try:
        document = dict(json.loads(data))
        sealed = bytes.fromhex(document.pop("sealed"))
        _require_head(document)
        plain = AESGCM(_derived(document, password)).decrypt(
            bytes.fromhex(document["nonce"]), sealed, _bound(document)
        )
        private_key = serialization.load_der_private_key(plain, None)
    except InvalidTag as error:
        raise DomainError(
            "KEY_FILE_INVALID", file=path, detail="damaged, or the password is wrong"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, DomainError) as error:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="not a root key file") from error
    scheme = suite_of(document["suite"])
    public_key = scheme.public_key_of(private_key)
    if public_key is None or public_key.hex() != document["public_key"]:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="another key than the file says")
    key_id = key_id_of(document["suite"], public_key)
    signer = Signer(document["owner"], KeyRole.ROOT, key_id, document["epoch"], scheme.signing(private_key))
    return StoredKey(signer, document["suite"], public_key)


def _require_head(head: dict[str, Any]) -> None:
    sound = (
        head["format"] == ROOT_FILE_FORMAT
        and isinstance(head["epoch"], int)
        and isinstance(head["suite"], int)
        and isinstance(head["scrypt_n"], int)
        and SCRYPT_N_MIN <= head["scrypt_n"] <= SCRYPT_N_MAX
        and parse_party(head["owner"]).kind == "authority"
    )
    if not sound:
        raise ValueError("the head of the file")


def _derived(head: dict[str, Any], password: str) -> bytes:
    salt = bytes.fromhex(head["salt"])
    return Scrypt(salt=salt, length=_KEY_BYTES, n=head["scrypt_n"], r=SCRYPT_R, p=SCRYPT_P).derive(
        password.encode()
    )


def _bound(head: dict[str, Any]) -> bytes:
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
