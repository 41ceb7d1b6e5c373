"""What was found out about one item of a batch and settles for its others; bounded memories of a verifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.record import record
from tanqiao.signing.directory import KeyDirectory, KeyEntry
from tanqiao.signing.merkle import KnownNodes

if TYPE_CHECKING:
    from tanqiao.signing.verify import AllowedMessage, SignedBy


class VerifiedRoots:
    """Batch signatures that were found good, so that single items of one batch cost one check; bounded."""

    def __init__(self, kept_max: int) -> None:
        self._kept_max = kept_max
        self._known: OrderedDict[tuple[bytes, bytes, bytes], None] = OrderedDict()
        self._lock = Lock()

    def holds(self, entry: KeyEntry, message: bytes, signature: bytes) -> bool:
        """Whether the signature stands over these bytes."""
        key = (entry.key_id, message, signature)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return True
        if not entry.verify(signature, message):
            return False
        with self._lock:
            self._known[key] = None
            while len(self._known) > self._kept_max:
                self._known.popitem(last=False)
        return True


@record
class Standing:
    """What the one signature over a batch settles for all of its items, while the keys are those.

    Args:
        directory: the keys as they were then.
        allowed: what might arrive where it was looked at.
        entry: the key that signed; its role fits and its owner may send the type.
        rule: what the type must satisfy there.
        signed_by: as it is told.
        tree: nodes of the batch's tree, whose root is under the signature.
    """

    directory: KeyDirectory
    allowed: Mapping[str, AllowedMessage]
    entry: KeyEntry
    rule: AllowedMessage
    signed_by: tuple[SignedBy, ...]
    tree: KnownNodes


class Standings:
    """Batches of which an item was opened: their other items cost a hash or two; bounded."""

    def __init__(self, kept_max: int) -> None:
        self._kept_max = kept_max
        self._known: OrderedDict[tuple[bytes, bytes, int, str], Standing] = OrderedDict()
        self._lock = Lock()

    def find(
        self, envelope: envelope_pb2.Envelope, directory: KeyDirectory, allowed: Mapping[str, AllowedMessage]
    ) -> Standing | None:
        """Give what is settled for an envelope, None if that is to be found out."""
        signatures = envelope.signatures
        if len(signatures) != 1:
            return None
        known = self._known.get(_standing_key(envelope, signatures[0]))
        if known is None or known.directory is not directory or known.allowed is not allowed:
            return None
        return known

    def note(self, envelope: envelope_pb2.Envelope, found: Standing) -> None:
        """Remember what an item of a batch has settled; the oldest is forgotten where there are too many."""
        with self._lock:
            self._known[_standing_key(envelope, envelope.signatures[0])] = found
            while len(self._known) > self._kept_max:
                self._known.popitem(last=False)


def _standing_key(
    envelope: envelope_pb2.Envelope, signature: envelope_pb2.Signature
) -> tuple[bytes, bytes, int, str]:
    return signature.key_id, signature.signature, envelope.batch_proof.size, envelope.payload_type
