"""The message keys of a node: which one signs now, and which one signs what was made before.

A key is used from the moment its record is valid at the log index that the node knows, never before: the next
key lies in the ring, is announced, and takes over while messages flow (PROTOCOL section 2). A payload names
the epoch of its key in its header and is signed, also again, with the key of that epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tanqiao.kernel.errors import require
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.envelope import Signer
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.payload_types import PAYLOAD_TYPES

__all__ = ["OwnKeys"]


class OwnKeys:
    """A node's ring as far as it holds message keys; one thread chooses, any thread signs.

    Args:
        directory: the ring on disk; it is read again when the log names a key of the node that it lacked.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._by_epoch: dict[int, Signer] = {}
        self._changes_at: int | None = None
        self._load()
        self.current = self._by_epoch[max(self._by_epoch)]

    @property
    def owner(self) -> str:
        """Party that the keys belong to."""
        return self.current.owner

    def choose(self, known: KeyDirectory, index: int) -> Signer:
        """Take the newest key of the ring that is valid at the log index; it is `current` from now on.

        Where the log knows none of them (the first start of a node), the newest of the ring signs.
        """
        recorded = known.owned_by(self.owner, KeyRole.MESSAGE)
        if any(entry.epoch not in self._by_epoch for entry in recorded):
            self._load()
        valid = [entry for entry in recorded if self._signs(entry, index)]
        if valid:
            self.current = self._by_epoch[max(entry.epoch for entry in valid)]
        later = [entry.valid_from_index for entry in recorded if entry.valid_from_index > index]
        self._changes_at = min(later, default=None)
        return self.current

    def is_due(self, index: int) -> bool:
        """Whether a key that was announced for later is valid now, so that `choose` must be asked again."""
        return self._changes_at is not None and index >= self._changes_at

    def signer_of(self, payload_type: str, payload: bytes) -> Signer:
        """Give the key whose epoch the payload's header names."""
        if len(self._by_epoch) == 1:
            return self.current
        message_class = PAYLOAD_TYPES[payload_type]
        epoch = message_class.FromString(payload).header.key_epoch  # type: ignore[attr-defined]
        signer = self._by_epoch.get(epoch)
        require(signer is not None, f"the ring has lost the key of epoch {epoch}")
        return signer or self.current

    def runs(self, payload_type: str, payloads: Sequence[bytes]) -> Iterator[tuple[int, int, Signer]]:
        """Cut payloads into runs that one key signs: (start, end, key), in order and without gaps."""
        if len(self._by_epoch) == 1:
            yield 0, len(payloads), self.current
            return
        signers = [self.signer_of(payload_type, payload) for payload in payloads]
        start = 0
        for at in range(1, len(signers) + 1):
            if at == len(signers) or signers[at] is not signers[start]:
                yield start, at, signers[start]
                start = at

    def _signs(self, entry: KeyEntry, index: int) -> bool:
        signer = self._by_epoch.get(entry.epoch)
        ours = signer is not None and signer.key_id == entry.key_id
        return ours and not entry.revoked and entry.valid_at(index)

    def _load(self) -> None:
        ring = Keyring.open(self._directory)
        found = [key.signer for key in ring.keys if key.signer.role is KeyRole.MESSAGE]
        require(bool(found), f"the ring {self._directory} has no message key")
        # What is in use keeps its object: callers compare by identity.
        self._by_epoch = {signer.key_epoch: signer for signer in found} | self._by_epoch
