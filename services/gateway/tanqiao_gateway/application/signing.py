"""What a gateway signs with, and whom it believes: its ring, and the keys of the federation's file."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import coordination_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.envelope import Signer, build_header, sign_envelope
from tanqiao.signing.federation import open_key_record
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened, Verifier, allow

KEY_RECORDS_MAX: Final = 16
MESSAGE_ID_BYTES: Final = 16
ORDERS: Final = allow(coordination_pb2.RegistryOrder, senders=(BRIDGE,), index_field="log_index")


@dataclass(frozen=True, slots=True)
class Signing:
    """Signs statements and answers of one gateway, and opens orders of the bridge.

    Args:
        network_id: of every header.
        signer: the gateway's message key.
        directory: keys of the federation's file, verified.
    """

    network_id: str
    signer: Signer
    directory: KeyDirectory

    def header(self, prev_hash: bytes = b"") -> envelope_pb2.Header:
        """Give the header of a message to the bridge."""
        return build_header(
            self.signer,
            network_id=self.network_id,
            audience=(BRIDGE,),
            message_id=secrets.token_bytes(MESSAGE_ID_BYTES),
            prev_hash=prev_hash,
        )

    def sign(self, message: Message) -> bytes:
        """Give the message's envelope, serialised."""
        return sign_envelope(
            self.signer, payload_type_of(message), message.SerializeToString()
        ).SerializeToString()

    def open_order(
        self,
        envelope: envelope_pb2.Envelope,
        key_records: Sequence[envelope_pb2.Envelope],
        peer: str,
    ) -> Opened:
        """Open an order of the bridge.

        A key that the gateway has not seen comes with the record that its root signed.

        Raises:
            DomainError: what verification refuses; BATCH_TOO_LARGE above `KEY_RECORDS_MAX` records.
        """
        if len(key_records) > KEY_RECORDS_MAX:
            raise DomainError("BATCH_TOO_LARGE", limit=KEY_RECORDS_MAX, count=len(key_records))
        verifier = Verifier(self.network_id, BRIDGE)
        records = [open_key_record(verifier, one, self.directory, at_index=0) for one in key_records]
        return Verifier(self.network_id, self.signer.owner).open_envelope(
            envelope,
            self.directory.with_records(records),
            allowed=ORDERS,
            peer=peer,
            at_index=0,
        )
