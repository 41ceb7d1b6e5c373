"""Whether the signatures of stored envelopes hold, for whoever checks many of them again."""

from __future__ import annotations

from typing import Final

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.batch import signed_bytes
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.merkle import root_from_path
from tanqiao.signing.pae import message_hash, pae

REMEMBERED_MAX: Final = 100_000


class SignatureChecks:
    """Checks signatures alone, whatever the keys may sign and when; that of a batch once.

    Args:
        directory: the keys.
    """

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory
        self._verified: set[tuple[bytes, bytes, bytes]] = set()

    def hold(self, envelope: envelope_pb2.Envelope) -> bool:
        """Whether the envelope has signatures, and each is that of a known key."""
        signed = pae(envelope.payload_type, envelope.payload)
        if envelope.HasField("batch_proof"):
            proof = envelope.batch_proof
            leaf = message_hash(envelope.payload_type, envelope.payload)
            root = root_from_path(leaf, proof.index, proof.size, proof.path)
            if root is None:
                return False
            signed = signed_bytes(proof.size, root)
        if len(self._verified) >= REMEMBERED_MAX:
            self._verified.clear()
        for one in envelope.signatures:
            key = (one.key_id, signed, one.signature)
            entry = self._directory.get(one.key_id)
            if key not in self._verified and (entry is None or not entry.verify(one.signature, signed)):
                return False
            self._verified.add(key)
        return bool(envelope.signatures)
