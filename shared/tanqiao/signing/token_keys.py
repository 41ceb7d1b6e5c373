"""The bridge's keys for tokens of persons and vehicles: which count, and their secret halves on disk.

An epoch is a key of role TOKEN. Tokens are made under the newest; the older ones that have not ended are
those under which live claims may still be found (CLAIMS section 6).
"""

from __future__ import annotations

from pathlib import Path

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.keyring import load_private_key
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.suites import token_key_pair
from tanqiao.voprf.functions import KeyPair


def live_epochs(directory: KeyDirectory) -> tuple[KeyEntry, ...]:
    """Give the token keys that count, oldest epoch first.

    One counts from its record to the record of its end, whatever indexes these name: a region that hears of
    both, and of little else, must not fall behind the bridge.
    """
    return tuple(
        entry
        for entry in directory.owned_by(BRIDGE, KeyRole.TOKEN)
        if not entry.revoked and entry.valid_to_index is None
    )


def live_epoch(directory: KeyDirectory, key_epoch: int) -> KeyEntry:
    """Give the token key of an epoch; TOKEN_EPOCH_CLOSED unless it counts."""
    for entry in live_epochs(directory):
        if entry.epoch == key_epoch:
            return entry
    raise DomainError("TOKEN_EPOCH_CLOSED", field="key_epoch", epoch=key_epoch)


class TokenKeys:
    """The secret halves, each read from its file of mode 0600 when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pairs: dict[int, KeyPair] = {}

    def pair(self, entry: KeyEntry) -> KeyPair:
        """Give the pair of a published key.

        Raises:
            DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS; KEY_FILE_INVALID where the file holds another key
                than the published one.
        """
        pair = self._pairs.get(entry.epoch)
        if pair is None or pair.public_key != entry.public_key:
            path = self._directory / f"token-{entry.epoch}.key"
            pair = token_key_pair(load_private_key(path))
            if pair is None or pair.public_key != entry.public_key:
                raise DomainError("KEY_FILE_INVALID", file=path, detail="not the key that was published")
            self._pairs[entry.epoch] = pair
        return pair
