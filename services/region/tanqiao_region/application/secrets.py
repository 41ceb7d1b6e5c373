"""What a node keeps to itself: pseudonyms of accounts, and personal data sealed under a key of each person.

One secret of 32 bytes stands behind both. A person's key is random, wrapped under the node's secret, and
stored beside the sealed data: when the row goes, the key goes (ARCHITECTURE section 4). Nothing sealed here
ever leaves the region.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

SECRET_BYTES: Final = 32
POOL_BYTES: Final = 16_384
LOG_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_FINGERPRINT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class SealedReference:
    """An operator's reference to a person: how it is found, and how it is kept."""

    index: bytes
    sealed: bytes
    wrapped_key: bytes


class RandomPool:
    """Random bytes drawn from the system in large pieces, given out in small ones, each once.

    A draw of sixteen bytes gives up the interpreter's lock and waits for it again: with many threads that
    costs more than everything else that a transfer does.
    """

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._bytes = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        """Give bytes that were never given before."""
        with self._lock:
            if self._used + count > len(self._bytes):
                self._bytes = self._draw(max(POOL_BYTES, count))
                self._used = 0
            taken = self._bytes[self._used : self._used + count]
            self._used += count
            return taken


class NodeSecrets:
    """Keys derived from the node's secret.

    Args:
        secret: 32 random bytes, kept in a file that only the node reads.
        random_bytes: source of persons' keys and nonces.
    """

    def __init__(self, secret: bytes, random_bytes: Callable[[int], bytes]) -> None:
        require(len(secret) == SECRET_BYTES, f"the node's secret has {SECRET_BYTES} bytes")
        self._pseudonym_key = _derived(secret, b"account pseudonym")
        self._index_key = _derived(secret, b"reference index")
        self._log_key = _derived(secret, b"log salt")
        self._wrapping = AESGCM(_derived(secret, b"personal data"))
        self._random_bytes = random_bytes
        self.fingerprint: Final = _derived(secret, b"fingerprint")[:_FINGERPRINT_BYTES].hex()

    def pseudonym(self, account_id: str) -> bytes:
        """Give HMAC(region key, account), 32 bytes: the stable pseudonym of PROTOCOL section 4."""
        return hmac.digest(self._pseudonym_key, account_id.encode(), hashlib.sha256)

    def log_salt(self, journal_index: int) -> bytes:
        """Give the salt of an entry's commitment in the node's own log: known to this node alone."""
        return hmac.digest(self._log_key, journal_index.to_bytes(8, "big"), hashlib.sha256)[:LOG_SALT_BYTES]

    def index(self, operator_account_id: str, reference: str) -> bytes:
        """Give the keyed hash under which an operator's reference is found."""
        text = f"{operator_account_id}\n{reference}".encode()
        return hmac.digest(self._index_key, text, hashlib.sha256)

    def seal(self, account_id: str, operator_account_id: str, reference: str) -> SealedReference:
        """Seal an operator's reference to the person behind an account under a new key."""
        index = self.index(operator_account_id, reference)
        return SealedReference(index, *self.seal_text(account_id, reference))

    def seal_text(self, bound_to: str, text: str) -> tuple[bytes, bytes]:
        """Seal a text under a new key; the sealed bytes and the wrapped key, which `reveal` reads."""
        key = self._random_bytes(SECRET_BYTES)
        sealed = self._encrypt(AESGCM(key), text.encode(), bound_to.encode())
        return sealed, self._encrypt(self._wrapping, key, bound_to.encode())

    def _encrypt(self, cipher: AESGCM, data: bytes, bound_to: bytes) -> bytes:
        nonce = self._random_bytes(_NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, data, bound_to)

    def reveal(self, bound_to: str, sealed: bytes, wrapped_key: bytes) -> str:
        """Read a sealed reference; KEY_FILE_INVALID if it was sealed under another secret."""
        name = bound_to.encode()
        try:
            key = self._wrapping.decrypt(wrapped_key[:_NONCE_BYTES], wrapped_key[_NONCE_BYTES:], name)
            return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name).decode()
        except InvalidTag as error:
            detail = "it is not the secret under which personal data were sealed"
            raise DomainError("KEY_FILE_INVALID", file="node.secret", detail=detail) from error


def _derived(secret: bytes, label: bytes) -> bytes:
    return hmac.digest(secret, b"tanqiao-region-v1 " + label, hashlib.sha256)
