"""Messages of the simulation: bytes that are hashed and signed as sent, and the facts that they state."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PROMISES: Final = frozenset(
    {
        "lock",
        "use",
        "issue",
        "ready",
        "refuse",
        "decision",
        "receipt",
        "source_final",
        "destination_final",
        "freeze",
        "correction",
    }
)
"""Types of which a party makes one for one id, ever (R4)."""

HOLDERS: Final = 3
"""Organisations of each region."""


@dataclass(slots=True, eq=False)
class Message:
    """One message: its type, sender, the id that it is about, payload bytes, their hash, and its facts."""

    kind: str
    sender: str
    about: object
    payload: bytes
    message_hash: bytes
    facts: object = None
    beside: object = None
    """What travels unsigned beside it: the Prepare beside an answer that is returned."""


def compose(kind: str, sender: str, about: object, *parts: object) -> Message:
    """Write the payload and hash it; the caller adds the facts, which name the hash."""
    payload = "\x1f".join((kind, sender, *map(str, parts))).encode()
    return Message(kind, sender, about, payload, sha256(payload).digest())


def holder_of(source: str, transfer_id: bytes) -> bytes:
    """Give the pseudonym of the organisation whose units a transfer or use is of: each region has some."""
    return blake2b(f"{source} {transfer_id[-1] % HOLDERS}".encode(), digest_size=16).digest()


class Signatures(Protocol):
    """Port for signatures: one over the hashes of all messages of a frame."""

    def sign(self, sender: str, statement: bytes) -> bytes:
        """Sign as this party."""

    def verify(self, sender: str, statement: bytes, signature: bytes) -> bool:
        """Tell whether this party signed exactly this."""


class StandInSignatures:
    """A keyed hash in place of a signature: deterministic, cheap, and wrong if one bit changes."""

    def sign(self, sender: str, statement: bytes) -> bytes:
        """Give the keyed hash."""
        return blake2b(statement, key=sender.encode(), digest_size=16).digest()

    def verify(self, sender: str, statement: bytes, signature: bytes) -> bool:
        """Compute it again and compare."""
        return self.sign(sender, statement) == signature


class Ed25519Signatures:
    """Real signatures, with keys made from the names of the parties."""

    def __init__(self) -> None:
        self._private: dict[str, Ed25519PrivateKey] = {}
        self._public: dict[str, Ed25519PublicKey] = {}

    def sign(self, sender: str, statement: bytes) -> bytes:
        """Sign with the party's key."""
        return self._key(sender).sign(statement)

    def verify(self, sender: str, statement: bytes, signature: bytes) -> bool:
        """Verify with the party's public key."""
        self._key(sender)
        try:
            self._public[sender].verify(signature, statement)
        except InvalidSignature:
            return False
        return True

    def _key(self, sender: str) -> Ed25519PrivateKey:
        key = self._private.get(sender)
        if key is None:
            key = Ed25519PrivateKey.from_private_bytes(sha256(sender.encode()).digest())
            self._private[sender] = key
            self._public[sender] = key.public_key()
        return key


@dataclass(slots=True, eq=False)
class Item:
    """One entry of a frame: an offer, a numbered message, or one of the words that promise nothing."""

    word: str
    message: Message | None = None
    number: int = 0
    incarnation: int = 0
    about: object = None


@dataclass(slots=True, eq=False)
class Frame:
    """What goes over the line at once, within a session, under one signature."""

    sender: str
    receiver: str
    session: int
    items: tuple[Item, ...]
    signature: bytes = b""

    def statement(self) -> bytes:
        """Give what the signature stands over: the hashes of the payloads as they are now."""
        hashes = [sha256(item.message.payload).digest() for item in self.items if item.message is not None]
        return b"".join(hashes)
