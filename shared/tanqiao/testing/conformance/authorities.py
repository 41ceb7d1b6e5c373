"""What only authorities sign, made with the keys of the test network: orders, records of keys, epochs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.approvals import prepare
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.envelope import Signer, add_signature, build_header, sign_envelope
from tanqiao.signing.federation import authority_of
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import Network, sign_key_record
from tanqiao.signing.suites import SuiteId, key_id_of, suite_of
from tanqiao.signing.verify import MESSAGE_ID_BYTES

Signers = Sequence[tuple[str, int]]
"""Approvers by authority and number from 0; the first is the sender's."""
FIRST_SPARE_EPOCH: Final = 1_001
"""Epochs of keys that live as long as a run; those of the network's own keys are small."""


@dataclass(frozen=True, slots=True)
class SpareKey:
    """A message key that is in no directory yet, and in no file: what signs with it, what a record states."""

    signer: Signer
    entry: KeyEntry


class Authorities:
    """Holds roots and approvers' keys of the test network.

    Args:
        network: where they are.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._spares = 0

    @property
    def _network_id(self) -> str:
        return self._network.plan.network_id

    def ordered(self, order: Message, signers: Signers) -> envelope_pb2.Envelope:
        """Give an order of authorities as these approvers have signed it."""
        envelope = prepare(
            order,  # type: ignore[arg-type]  # a Freeze or a Correction
            self._network_id,
            signers[0][0],
            message_id=secrets.token_bytes(MESSAGE_ID_BYTES),
        )
        for authority, number in signers:
            envelope = add_signature(envelope, self._network.approvers(authority)[number].signer)
        return envelope

    def spare_key(self, owner: str) -> SpareKey:
        """Make another message key of a party."""
        scheme = suite_of(SuiteId.ED25519)
        private_key = scheme.generate()
        public_key = scheme.public_key_of(private_key) or b""
        epoch = FIRST_SPARE_EPOCH + self._spares
        self._spares += 1
        key_id = key_id_of(SuiteId.ED25519, public_key)
        signer = Signer(owner, KeyRole.MESSAGE, key_id, epoch, scheme.signing(private_key))
        return SpareKey(signer, KeyEntry(owner, KeyRole.MESSAGE, SuiteId.ED25519, public_key, epoch))

    def key_record(self, entry: KeyEntry, *, revoked: bool = False) -> envelope_pb2.Envelope:
        """Give the record of a key, signed by the root that vouches for its owner."""
        root = self._network.root(authority_of(entry.owner))
        return sign_key_record(self._network_id, root, replace(entry, revoked=revoked))

    def key_record_by(self, entry: KeyEntry, authority: str) -> envelope_pb2.Envelope:
        """Give the record of a key, signed by the root of an authority that does not vouch for its owner."""
        record = messages_pb2.KeyRecord.FromString(self.key_record(entry).payload)
        root = self._network.root(authority).signer
        record.header.sender, record.header.key_epoch = root.owner, root.key_epoch
        return sign_envelope(root, payload_type_of(record), record.SerializeToString())

    def epoch_record(
        self, epoch: int, continues_from: int, authority: str = f"authority/{BRIDGE}"
    ) -> envelope_pb2.Envelope:
        """Give the record of an epoch of the bridge, signed by the root of an authority."""
        root = self._network.root(authority).signer
        record = recovery_pb2.EpochRecord(
            header=build_header(
                root,
                network_id=self._network_id,
                audience=(BRIDGE,),
                message_id=secrets.token_bytes(MESSAGE_ID_BYTES),
            ),
            bridge_epoch=epoch,
            continues_from_index=continues_from,
        )
        return sign_envelope(root, payload_type_of(record), record.SerializeToString())
