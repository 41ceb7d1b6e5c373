"""Private keys on disk: one PKCS 8 PEM file for each, mode 0600, in a directory of mode 0700.

`keyring.json` beside them names the owner and, for each file, role, epoch and suite; it holds nothing secret.
A file that others can read, that is damaged, or whose key is not the one written down is refused with one
sentence that says what to do. A root key may be encrypted with a passphrase, which is never stored beside it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from tanqiao.kernel.errors import DomainError, require
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.envelope import Signer
from tanqiao.signing.parties import parse_party
from tanqiao.signing.suites import SuiteId, key_id_of, suite_of

INDEX_NAME: Final = "keyring.json"
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
KEY_FILE_BYTES_MAX: Final = 16_384
KEYS_MAX: Final = 64
OTHERS: Final = 0o077


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, durable, whole or not at all."""
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may read.

    Raises:
        DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID.
    """
    try:
        status = path.stat()
        if status.st_mode & OTHERS:
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            raise DomainError("KEY_FILE_PERMISSIONS", file=path, mode=mode)
        if status.st_size > KEY_FILE_BYTES_MAX:
            raise DomainError("KEY_FILE_INVALID", file=path, detail="larger than any key file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except OSError as error:
        raise DomainError("KEY_FILE_INVALID", file=path, detail=error.strerror or "unreadable") from error


def private_key_pem(key: PrivateKeyTypes, passphrase: bytes | None = None) -> bytes:
    """Give the PKCS 8 PEM of a private key, encrypted if there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        require(len(passphrase) > 0, "a passphrase is not empty")
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def load_private_key(path: Path, passphrase: bytes | None = None) -> PrivateKeyTypes:
    """Read a private key file.

    Raises:
        DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID.
    """
    data = read_private(path)
    try:
        return serialization.load_pem_private_key(data, passphrase)
    except TypeError as error:  # encrypted without a passphrase, or plain with one
        needed = (
            "a passphrase is needed"
            if passphrase is None
            else "it is not encrypted, yet a passphrase was given"
        )
        raise DomainError("KEY_FILE_INVALID", file=path, detail=needed) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        detail = "damaged, or no PKCS 8 PEM" if passphrase is None else "damaged, or the passphrase is wrong"
        raise DomainError(
            "KEY_FILE_INVALID", file=path, detail=f"{detail}; restore it from its backup"
        ) from error


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key of a ring: what its record says, and what signs."""

    signer: Signer
    suite: int
    public_key: bytes

    def entry(self, *, valid_from_index: int = 0) -> KeyEntry:
        """Give the directory entry of the key, open at its end."""
        signer = self.signer
        return KeyEntry(
            signer.owner, signer.role, self.suite, self.public_key, signer.key_epoch, valid_from_index
        )


class Keyring:
    """The private keys of one party."""

    def __init__(self, owner: str, keys: tuple[StoredKey, ...]) -> None:
        self.owner = owner
        self.keys = keys

    @staticmethod
    def create(directory: Path, owner: str) -> Keyring:
        """Make an empty ring in a directory of mode 0700; one that is there already is opened.

        Raises:
            DomainError: KEY_FILE_INVALID if the ring belongs to another owner.
        """
        parse_party(owner, field="owner")
        index = directory / INDEX_NAME
        if not index.exists():
            directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            directory.chmod(DIRECTORY_MODE)
            _write_index(directory, owner, [])
        rows_owner, _ = _read_index(directory)
        if rows_owner != owner:
            raise DomainError("KEY_FILE_INVALID", file=index, detail=f"the ring belongs to {rows_owner}")
        return Keyring(owner, ())

    @staticmethod
    def add_key(
        directory: Path, role: KeyRole, *, suite: int | None = None, passphrase: bytes | None = None
    ) -> StoredKey:
        """Make the next key of a role in the ring of this directory and store it before it is returned."""
        if suite is None:
            suite = SuiteId.RISTRETTO255_SHA512 if role is KeyRole.TOKEN else SuiteId.ED25519
        owner, rows = _read_index(directory)
        require(len(rows) < KEYS_MAX, f"a ring holds at most {KEYS_MAX} keys")
        epoch = 1 + max((row["epoch"] for row in rows if row["role"] == role.name.lower()), default=0)
        scheme = suite_of(suite)
        private_key = scheme.generate()
        public_key = scheme.public_key_of(private_key)
        require(public_key is not None, "a suite knows its own keys")
        row: dict[str, Any] = {
            "role": role.name.lower(),
            "epoch": epoch,
            "suite": int(suite),
            "file": f"{role.name.lower()}-{epoch}.key",
            "key_id": key_id_of(suite, public_key or b"").hex(),
        }
        write_private(directory / row["file"], private_key_pem(private_key, passphrase))
        _write_index(directory, owner, [*rows, row])
        return _load_key(directory, owner, row, passphrase)

    @staticmethod
    def open(directory: Path, passphrase: bytes | None = None) -> Keyring:
        """Read every key of the ring.

        Raises:
            DomainError: DIRECTORY_MISSING, FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID.
        """
        if not directory.is_dir():
            raise DomainError("DIRECTORY_MISSING", directory=directory)
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode & OTHERS:
            raise DomainError("KEY_FILE_PERMISSIONS", file=directory, mode=f"{mode:04o}")
        owner, rows = _read_index(directory)
        return Keyring(owner, tuple(_load_key(directory, owner, row, passphrase) for row in rows))

    def key(self, role: KeyRole, epoch: int | None = None) -> StoredKey:
        """Give the key of a role: the newest, or that of an epoch; NOT_FOUND if the ring has none."""
        found = [
            key
            for key in self.keys
            if key.signer.role == role and (epoch is None or key.signer.key_epoch == epoch)
        ]
        if not found:
            raise DomainError(
                "NOT_FOUND", what="key", id=f"{self.owner} {role.name.lower()} {epoch or ''}".strip()
            )
        return max(found, key=lambda key: key.signer.key_epoch)

    def signer(self, role: KeyRole = KeyRole.MESSAGE, epoch: int | None = None) -> Signer:
        """Give what signs with the key of a role, as `key` finds it."""
        return self.key(role, epoch).signer


def _load_key(directory: Path, owner: str, row: Mapping[str, Any], passphrase: bytes | None) -> StoredKey:
    path = directory / row["file"]
    private_key = load_private_key(path, passphrase)
    scheme = suite_of(row["suite"])
    public_key = scheme.public_key_of(private_key)
    if public_key is None:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="a key of another kind than the ring says")
    key_id = key_id_of(row["suite"], public_key)
    if key_id.hex() != row["key_id"]:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="not the key that the ring names")
    signer = Signer(owner, KeyRole[row["role"].upper()], key_id, row["epoch"], scheme.signing(private_key))
    return StoredKey(signer, row["suite"], public_key)


def _write_index(directory: Path, owner: str, rows: list[dict[str, Any]]) -> None:
    text = json.dumps({"owner": owner, "keys": rows}, indent=2, ensure_ascii=False)
    write_private(directory / INDEX_NAME, f"{text}\n".encode())


def _read_index(directory: Path) -> tuple[str, list[dict[str, Any]]]:
    path = directory / INDEX_NAME
    data = read_private(path)
    try:
        document = json.loads(data)
        owner, rows = parse_party(document["owner"]).path, list(document["keys"])
        for row in rows:
            _require_row(row)
    except (ValueError, KeyError, TypeError, AttributeError, DomainError) as error:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="not the index of a key ring") from error
    return owner, rows


def _require_row(row: Mapping[str, Any]) -> None:
    KeyRole[row["role"].upper()]
    if not (
        isinstance(row["epoch"], int)
        and isinstance(row["suite"], int)
        and isinstance(row["key_id"], str)
        and Path(row["file"]).name == row["file"]
    ):
        raise ValueError("a row of the index is not of a key")
