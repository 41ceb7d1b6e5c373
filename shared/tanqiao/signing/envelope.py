"""Signing: one message, or many under one signature, and the header that begins each (PROTOCOL section 2).

Bytes are signed and carried as they are; nothing here encodes a message a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import require
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.pae import pae
from tanqiao.signing.suites import Sign


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that can sign, with what messages must say of it.

    Args:
        owner: party that the key belongs to.
        role: what it may sign.
        key_id: 16 bytes.
        key_epoch: number of the key among the owner's keys of this role.
        sign: gives the signature over a message; its bytes are those of PAE.
    """

    owner: str
    role: KeyRole
    key_id: bytes
    key_epoch: int
    sign: Sign

    def signature(self, message: bytes) -> envelope_pb2.Signature:
        """Give the signature with its key id."""
        return envelope_pb2.Signature(key_id=self.key_id, signature=self.sign(message))


def build_header(
    signer: Signer,
    *,
    network_id: str,
    audience: Iterable[str],
    message_id: bytes,
    source: str = "",
    transfer_id: bytes = b"",
    prev_hash: bytes = b"",
    rules_digest: bytes = b"",
) -> envelope_pb2.Header:
    """Give the header of a message that this signer will sign; the message id is 16 random bytes."""
    return envelope_pb2.Header(
        network_id=network_id,
        sender=signer.owner,
        audience=audience,
        message_id=message_id,
        source=source,
        transfer_id=transfer_id,
        prev_hash=prev_hash,
        rules_digest=rules_digest,
        key_epoch=signer.key_epoch,
    )


def sign_envelope(
    signers: Signer | Sequence[Signer], payload_type: str, payload: bytes
) -> envelope_pb2.Envelope:
    """Give an envelope with a signature of each signer over PAE(type, payload), in order.

    The first signer is the sender that the header names; the others agree (a recognition record is signed by
    two roots, a freeze by two approvers).
    """
    many = (signers,) if isinstance(signers, Signer) else tuple(signers)
    require(len(many) > 0, "an envelope has at least one signer")
    message = pae(payload_type, payload)
    return envelope_pb2.Envelope(
        payload=payload,
        payload_type=payload_type,
        signatures=[signer.signature(message) for signer in many],
    )


def add_signature(envelope: envelope_pb2.Envelope, signer: Signer) -> envelope_pb2.Envelope:
    """Give a copy of the envelope with one more signature, over the bytes that it carries."""
    copy = envelope_pb2.Envelope()
    copy.CopyFrom(envelope)
    copy.signatures.append(signer.signature(pae(envelope.payload_type, envelope.payload)))
    return copy
