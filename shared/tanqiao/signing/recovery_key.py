"""The recovery key of the bridge's authority: mirrors keep what is sealed to it (PROTOCOL I6).

The private half is kept off line beside the root; the bridge has the public half alone, so that neither it
nor a mirror can read what was sealed. Each process of the bridge makes an X25519 key, which its message key
signs once; records are sealed with AES-256-GCM under what HKDF-SHA-256 derives from that key and the recovery
key, bound to the index and the hash of their leaf. So only the bridge could have sealed them, and sealing
costs no signature for each.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import mirror_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.envelope import Signer
from tanqiao.signing.keyring import KEY_FILE_BYTES_MAX, load_private_key, private_key_pem, write_private
from tanqiao.signing.parties import BRIDGE

PUBLIC_NAME: Final = "recovery.pem"
"""The public half, in the directory of the bridge's keys."""
PRIVATE_NAME: Final = "recovery.key"
SEALED_PER_KEY_MAX: Final = 1 << 24
"""Records under one key of a process: far below what random nonces of 96 bits bear."""
NONCE_BYTES: Final = 12
CACHED_KEYS_MAX: Final = 256
_STATEMENT: Final = b"tanqiao-sealing-key@v1"
_KEY_BYTES: Final = 32


def create_recovery_key(private: Path, public: Path, passphrase: bytes | None = None) -> None:
    """Make the pair in two new files; the private half of mode 0600, encrypted if there is a passphrase.

    Raises:
        DomainError: ALREADY_EXISTS for a file that is there: what was sealed to another key stays so.
    """
    for path in (private, public):
        if path.exists():
            raise DomainError("ALREADY_EXISTS", what="file", id=path)
    key = X25519PrivateKey.generate()
    write_private(private, private_key_pem(key, passphrase))
    write_private(public, _public_pem(key.public_key()))


def load_recovery_key(path: Path, passphrase: bytes | None = None) -> X25519PrivateKey:
    """Read the private half.

    Raises:
        DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID.
    """
    key = load_private_key(path, passphrase)
    if not isinstance(key, X25519PrivateKey):
        raise DomainError("KEY_FILE_INVALID", file=path, detail="not a recovery key")
    return key


def load_recovery_public_key(path: Path) -> X25519PublicKey | None:
    """Read the public half; None where there is no file.

    Raises:
        DomainError: KEY_FILE_INVALID.
    """
    if not path.exists():
        return None
    try:
        if path.stat().st_size > KEY_FILE_BYTES_MAX:
            raise DomainError("KEY_FILE_INVALID", file=path, detail="larger than any key file")
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise DomainError("KEY_FILE_INVALID", file=path, detail="damaged, or no public key") from error
    if not isinstance(key, X25519PublicKey):
        raise DomainError("KEY_FILE_INVALID", file=path, detail="not a recovery key")
    return key


class Sealer:
    """Seals records to the recovery key; used by several threads.

    Args:
        recovery_key: public half of the authority's key.
        network_id: of the federation.
        signer: gives the bridge's message key that signs now.
    """

    def __init__(self, recovery_key: X25519PublicKey, network_id: str, signer: Callable[[], Signer]) -> None:
        self._recovery_key = recovery_key
        self._network_id = network_id
        self._signer = signer
        self._lock = threading.Lock()
        self._sealed = SEALED_PER_KEY_MAX
        self._head = mirror_pb2.SealedRecord()
        self._cipher: AESGCM | None = None

    def seal(self, log_index: int, leaf_hash: bytes, record: bytes) -> bytes:
        """Give the serialised SealedRecord of a leaf."""
        cipher, head = self._renewed()
        sealed = mirror_pb2.SealedRecord()
        sealed.CopyFrom(head)
        sealed.nonce = secrets.token_bytes(NONCE_BYTES)
        sealed.ciphertext = cipher.encrypt(sealed.nonce, record, _bound(log_index, leaf_hash))
        return sealed.SerializeToString()

    def _renewed(self) -> tuple[AESGCM, mirror_pb2.SealedRecord]:
        signer = self._signer()
        with self._lock:
            cipher = self._cipher
            if cipher is None or self._sealed >= SEALED_PER_KEY_MAX or self._head.key_id != signer.key_id:
                private = X25519PrivateKey.generate()
                public = private.public_key().public_bytes_raw()
                statement = _statement(self._network_id, public)
                self._head = mirror_pb2.SealedRecord(
                    sealing_key=public, key_id=signer.key_id, signature=signer.sign(statement)
                )
                shared = private.exchange(self._recovery_key)
                own = self._recovery_key.public_bytes_raw()
                self._cipher = cipher = _cipher(self._network_id, shared, public, own)
                self._sealed = 0
            self._sealed += 1
            return cipher, self._head


class Unsealer:
    """Opens what `Sealer` sealed, with the private half.

    Args:
        recovery_key: private half of the authority's key.
        network_id: of the federation.
    """

    def __init__(self, recovery_key: X25519PrivateKey, network_id: str) -> None:
        self._recovery_key = recovery_key
        self._network_id = network_id
        self._ciphers: dict[tuple[bytes, bytes, bytes], AESGCM] = {}

    def unseal(self, sealed: bytes, directory: KeyDirectory, log_index: int, leaf_hash: bytes) -> bytes:
        """Give the record of a leaf.

        Args:
            sealed: serialised SealedRecord.
            directory: keys, among them that of the bridge which signed the process's key.
            log_index: of the leaf.
            leaf_hash: of the leaf.

        Raises:
            DomainError: MIRROR_RECORD_UNSOUND for what is of another leaf, another key, or damaged.
        """
        try:
            record = mirror_pb2.SealedRecord.FromString(sealed)
            cipher = self._cipher_of(record, directory)
            return cipher.decrypt(record.nonce, record.ciphertext, _bound(log_index, leaf_hash))
        except (InvalidTag, DecodeError, ValueError) as error:
            detail = "not sealed for this leaf to this recovery key, or damaged"
            raise DomainError("MIRROR_RECORD_UNSOUND", index=log_index, detail=detail) from error

    def _cipher_of(self, record: mirror_pb2.SealedRecord, directory: KeyDirectory) -> AESGCM:
        name = (record.sealing_key, record.key_id, record.signature)
        known = self._ciphers.get(name)
        if known is not None:
            return known
        entry = directory.get(record.key_id)
        statement = _statement(self._network_id, record.sealing_key)
        own = entry is not None and entry.owner == BRIDGE and entry.role is KeyRole.MESSAGE
        if entry is None or not own or not entry.verify(record.signature, statement):
            raise ValueError("no message key of the bridge signed the sealing key")
        sealing_key = X25519PublicKey.from_public_bytes(record.sealing_key)
        shared = self._recovery_key.exchange(sealing_key)
        own_public = self._recovery_key.public_key().public_bytes_raw()
        cipher = _cipher(self._network_id, shared, record.sealing_key, own_public)
        if len(self._ciphers) >= CACHED_KEYS_MAX:
            self._ciphers.clear()
        self._ciphers[name] = cipher
        return cipher


def _statement(network_id: str, sealing_key: bytes) -> bytes:
    return _STATEMENT + b"\n" + network_id.encode() + b"\n" + sealing_key


def _cipher(network_id: str, shared: bytes, sealing_key: bytes, recovery_key: bytes) -> AESGCM:
    info = _statement(network_id, sealing_key) + recovery_key
    return AESGCM(HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=info).derive(shared))


def _bound(log_index: int, leaf_hash: bytes) -> bytes:
    return log_index.to_bytes(8, "big") + leaf_hash


def _public_pem(key: X25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
