"""The keys with which a node signs notes of a log: which of them sign now, or for a tree of a size.

While one key follows another both are valid and both sign: who knows only one of them still reads the log
(PROTOCOL section 2). A key is used from the moment its record counts at the log index that the node knows,
and no more from its end on; the ring is read again when the log states a key that it lacked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import note_key
from tanqiao.tlog.keys import NoteSigner

__all__ = ["NoteKeys", "RingKeys"]


class RingKeys:
    """The keys of one role in a node's ring on disk; used by one thread.

    Args:
        network_id: part of the name of every log.
        ring: the ring.
        role: CHECKPOINT or WITNESS.
    """

    def __init__(self, network_id: str, ring: Path, role: KeyRole) -> None:
        self._network_id = network_id
        self._ring = ring
        self._role = role
        self._owner = ""
        self._looked_for: frozenset[bytes] = frozenset()
        self._signers: dict[bytes, NoteSigner] = {}
        self._load()

    @property
    def is_empty(self) -> bool:
        """Whether the ring has no key of the role: then this node signs no notes."""
        return not self._signers

    def at(self, directory: KeyDirectory, index: int) -> tuple[NoteSigner, ...]:
        """Give the keys that sign at a log index, oldest first; where none is stated yet, the ring's newest.

        Args:
            directory: the keys as the log states them.
            index: at which they must count.

        Raises:
            DomainError: KEY_UNKNOWN if no key that the log states as valid is in the ring.
        """
        recorded = directory.owned_by(self._owner, self._role)
        stated = frozenset(entry.key_id for entry in recorded)
        if stated != self._looked_for and not stated <= self._signers.keys():
            self._load()
        self._looked_for = stated
        if not recorded:
            return (list(self._signers.values())[-1],)
        signing = tuple(
            self._signers[entry.key_id]
            for entry in recorded
            if entry.key_id in self._signers and not entry.revoked and entry.valid_at(index)
        )
        if not signing:
            raise DomainError("KEY_UNKNOWN", key_id=f"{self._owner} {self._role.name.lower()}")
        return signing

    def _load(self) -> None:
        ring = Keyring.open(self._ring)
        self._owner = ring.owner
        found = sorted(
            (key for key in ring.keys if key.signer.role is self._role), key=lambda key: key.signer.key_epoch
        )
        self._signers = {
            key.signer.key_id: NoteSigner(note_key(self._network_id, key.entry()), key.signer.sign)
            for key in found
        }


class NoteKeys:
    """The keys with which a node signs the notes of its own log; used by the one thread that seals.

    Args:
        network_id: part of the name of every log.
        ring: the ring on disk.
        role: CHECKPOINT.
        directory: gives the keys as the log states them now.
        index: gives the log index at which they must count.
    """

    def __init__(
        self,
        network_id: str,
        ring: Path,
        role: KeyRole,
        directory: Callable[[], KeyDirectory],
        index: Callable[[], int],
    ) -> None:
        self._keys = RingKeys(network_id, ring, role)
        self._directory = directory
        self._index = index

    @property
    def is_empty(self) -> bool:
        """Whether the ring has no key of the role: then this node signs no notes."""
        return self._keys.is_empty

    def now(self) -> tuple[NoteSigner, ...]:
        """Give the keys that sign now, as `RingKeys.at`."""
        return self._keys.at(self._directory(), self._index())
