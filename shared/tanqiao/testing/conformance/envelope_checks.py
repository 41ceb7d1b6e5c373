"""Requirements on signatures, headers and batches (PROTOCOL section 2).

Each tries to credit a READY transfer by a COMMIT that is right but for one thing. It must change nothing;
what is signed and numbered is answered with a Nack; the right COMMIT behind it must still be obeyed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.conformance.kit import COMMIT, Kit, hash_of
from tanqiao.testing.conformance.requirements import requirement

UNKNOWN_FIELD = b"\xf8\x3f\x01"
UNKNOWN_ENUM = 99

Spoil = Callable[[messages_pb2.Decision], None]


def _batch(kit: Kit, payload: bytes) -> envelope_pb2.EnvelopeBatch:
    return sign_batch(kit.line.signer, payload_type_of(messages_pb2.Decision), [payload])


def _changes_nothing(
    kit: Kit, make: Callable[[bytes], envelope_pb2.EnvelopeBatch], spoil: Spoil | None, *, answered: bool
) -> None:
    """Send a COMMIT with one fault; it moves nothing, and the right one behind it is obeyed."""
    transfer, answer = kit.ready()
    right = kit.commit(transfer, answer)
    wrong = messages_pb2.Decision()
    wrong.CopyFrom(right)
    wrong.header.message_id = secrets.token_bytes(16)
    if spoil is not None:
        spoil(wrong)
    batch = make(wrong.SerializeToString())
    number = kit.line.number_batch(batch)
    if answered:
        kit.nack(message_hash(batch.payload_type, batch.payloads[0]))
        kit.acknowledged(number)
        kit.demand_unmoved(transfer.transfer_id, "READY", "a COMMIT that must be refused")
    else:
        # A batch whose signature does not hold may end the session; what was in it may come again then.
        kit.be_silent()
        kit.demand_state(transfer.transfer_id, "READY", "after a COMMIT that nobody signed")
        with kit.line.changed:
            kit.line.outbox[number - 1] = (payload_type_of(right), right.SerializeToString())
        if kit.line.acknowledged < number:
            kit.cut_and_wait()
    kit.decide(right)
    final = kit.first(messages_pb2.DestFinal, transfer.transfer_id)
    kit.demand(
        final.message.state == messages_pb2.DESTINATION_STATE_CREDITED, "the right COMMIT was not obeyed"
    )


def _refused(kit: Kit, spoil: Spoil) -> None:
    _changes_nothing(kit, lambda payload: _batch(kit, payload), spoil, answered=True)


@requirement("signature", "§2")
def signature(kit: Kit) -> None:
    """What the bridge's signature does not stand over has no effect."""

    def make(payload: bytes) -> envelope_pb2.EnvelopeBatch:
        batch = _batch(kit, payload)
        batch.signatures[0].signature = bytes(64)
        return batch

    _changes_nothing(kit, make, None, answered=False)


@requirement("key-unknown", "§2")
def key_unknown(kit: Kit) -> None:
    """What is signed by a key that is in no directory has no effect."""

    def make(payload: bytes) -> envelope_pb2.EnvelopeBatch:
        batch = _batch(kit, payload)
        batch.signatures[0].key_id = secrets.token_bytes(16)
        return batch

    _changes_nothing(kit, make, None, answered=False)


@requirement("key-of-another", "§2")
def key_of_another(kit: Kit) -> None:
    """A Decision that another party's key signed has no effect."""

    def make(payload: bytes) -> envelope_pb2.EnvelopeBatch:
        return sign_batch(kit.partner_signer, payload_type_of(messages_pb2.Decision), [payload])

    _changes_nothing(kit, make, None, answered=False)


@requirement("payload-exact", "§2")
def payload_exact(kit: Kit) -> None:
    """The bytes that are signed are the bytes that are read."""

    def make(payload: bytes) -> envelope_pb2.EnvelopeBatch:
        other = messages_pb2.Decision.FromString(payload)
        other.lock_hash = secrets.token_bytes(32)
        batch = _batch(kit, other.SerializeToString())
        batch.payloads[0] = payload
        return batch

    _changes_nothing(kit, make, None, answered=False)


@requirement("unknown-field", "§2")
def unknown_field(kit: Kit) -> None:
    """A field that its version does not know is refused, not passed over."""
    _changes_nothing(kit, lambda payload: _batch(kit, payload + UNKNOWN_FIELD), None, answered=True)


@requirement("unknown-enum", "§2")
def unknown_enum(kit: Kit) -> None:
    """A value that an enumeration does not name is refused, not guessed."""
    _refused(kit, lambda one: setattr(one, "outcome", UNKNOWN_ENUM))


@requirement("malformed", "§2")
def malformed(kit: Kit) -> None:
    """Bytes that are no message are refused."""
    _changes_nothing(kit, lambda payload: _batch(kit, payload + b"\xff\xff"), None, answered=True)


@requirement("sender", "§2")
def sender(kit: Kit) -> None:
    """The header's sender must own the key."""
    _refused(kit, lambda one: setattr(one.header, "sender", kit.partner))


@requirement("epoch", "§2")
def epoch(kit: Kit) -> None:
    """The header's key epoch must be that of the key."""
    _refused(kit, lambda one: setattr(one.header, "key_epoch", 7))


@requirement("network", "§2")
def network(kit: Kit) -> None:
    """A message of another network is refused."""
    _refused(kit, lambda one: setattr(one.header, "network_id", "test-another"))


@requirement("audience", "§2")
def audience(kit: Kit) -> None:
    """A message for another audience is refused."""

    def spoil(one: messages_pb2.Decision) -> None:
        one.header.audience[:] = [kit.partner]

    _refused(kit, spoil)


@requirement("type", "§2")
def payload_type(kit: Kit) -> None:
    """A type that the bridge may not number is refused."""
    kit.connected()
    lock = messages_pb2.Ready(
        header=kit.line.header(source=kit.partner, transfer_id=secrets.token_bytes(16)),
        lock_hash=bytes(32),
        legal_date=kit.legal_date,
    )
    number = kit.line.number([lock])
    kit.nack(hash_of(lock))
    kit.acknowledged(number)


@requirement("embedded-lock", "§2, §4 row 2")
def embedded_lock(kit: Kit) -> None:
    """A Prepare is believed for the source's own signature on the lock in it."""
    address = kit.orders.address()
    wrong, right = kit.incoming(address), kit.incoming(address)
    wrong.prepare.lock.signatures[0].signature = bytes(64)
    forged = kit.incoming(address)
    forged.prepare.lock.CopyFrom(wrong.lock)  # of another transfer
    kit.offer(wrong)
    kit.offer(forged)
    kit.offer(right)
    kit.answer(right.transfer_id)
    for one in (wrong, forged):
        kit.demand(
            not kit.said(messages_pb2.Ready, one.transfer_id),
            "a Prepare was answered with READY, though its lock is not the source's",
        )


@requirement("batch-items", "§2")
def batch_items(kit: Kit) -> None:
    """In a batch each item stands for itself: one that is refused does not take others with it."""
    address = kit.orders.address()
    first, answer_first = kit.ready(address)
    second, answer_second = kit.ready(address)
    wrong = kit.decision(kit.partner, secrets.token_bytes(16), COMMIT, bytes(32), secrets.token_bytes(32))
    kit.line.number([kit.commit(first, answer_first), wrong, kit.commit(second, answer_second)])
    kit.nack(hash_of(wrong))
    for one in (first, second):
        kit.first(messages_pb2.DestFinal, one.transfer_id)


@requirement("all-signed", "§2, R1")
def all_signed(kit: Kit) -> None:
    """Everything that it sends is signed by its key and names its header rightly."""
    kit.connected()
    kit.demand(not kit.line.violations, "; ".join(kit.line.violations[:3]))
