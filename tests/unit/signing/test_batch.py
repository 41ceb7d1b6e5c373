"""One signature for many messages: each is opened, or refused for itself, and each is provable alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao.signing import (
    BATCH_ITEMS_MAX,
    KeyDirectory,
    Limits,
    Opened,
    Verifier,
    allow,
    batch_hashes,
    item_envelope,
    item_envelopes,
    message_hash,
    payload_type_of,
    sign_batch,
)
from tanqiao.signing import verify as verify_module
from tanqiao.signing.batch import BATCH_DOMAIN, batch_statement, signed_bytes
from tanqiao.signing.directory import KeyEntry
from tanqiao.signing.merkle import tree_root
from tanqiao.testing.network import BRIDGE, NETWORK_ID, SHANGHAI, SHENZHEN, NetworkOfTest, lock_assertion

ALLOWED = allow(messages_pb2.LockAssertion, senders=("region/*",))
LOCK_TYPE = payload_type_of(messages_pb2.LockAssertion)


def batch_of(net: NetworkOfTest, size: int) -> envelope_pb2.EnvelopeBatch:
    return net.batch([lock_assertion(number) for number in range(size)], SHANGHAI)


def open_all(
    net: NetworkOfTest,
    batch: envelope_pb2.EnvelopeBatch,
    *,
    verifier: Verifier | None = None,
    directory: KeyDirectory | None = None,
    peer: str | None = SHANGHAI,
) -> list[Opened | DomainError]:
    return (verifier or Verifier(NETWORK_ID, BRIDGE)).open_batch(
        batch, directory or net.directory, allowed=ALLOWED, peer=peer, at_index=0
    )


def refused(net: NetworkOfTest, batch: envelope_pb2.EnvelopeBatch, verifier: Verifier | None = None) -> str:
    with pytest.raises(DomainError) as refusal:
        open_all(net, batch, verifier=verifier)
    return refusal.value.symbol


def open_one(net: NetworkOfTest, envelope: envelope_pb2.Envelope, verifier: Verifier | None = None) -> Opened:
    return (verifier or Verifier(NETWORK_ID, BRIDGE)).open_envelope(
        envelope, net.directory, allowed=ALLOWED, peer=None, at_index=0
    )


def refused_alone(net: NetworkOfTest, envelope: envelope_pb2.Envelope) -> str:
    with pytest.raises(DomainError) as refusal:
        open_one(net, envelope)
    return refusal.value.symbol


def test_the_batch_statement_is_domain_size_and_root() -> None:
    assert batch_statement(3, b"r" * 32) == b"tanqiao-batch-v1\0" + bytes(7) + b"\3" + b"r" * 32
    assert signed_bytes(3, b"r" * 32).startswith(b"DSSEv1 32 application/vnd.tanqiao.batch.v1 57 ")
    assert BATCH_DOMAIN.endswith(b"\0")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65])
def test_every_item_of_a_batch_is_opened_in_order(net: NetworkOfTest, size: int) -> None:
    batch = batch_of(net, size)
    opened = open_all(net, batch)
    assert len(opened) == size
    for index, item in enumerate(opened):
        assert isinstance(item, Opened)
        assert item.envelope_index == index
        assert item.message.blocks[0].start_serial == index * 1000
        assert item.message_hash == message_hash(LOCK_TYPE, batch.payloads[index])


def test_a_full_batch_is_opened(net: NetworkOfTest) -> None:
    opened = open_all(net, batch_of(net, BATCH_ITEMS_MAX))
    assert len(opened) == BATCH_ITEMS_MAX
    assert all(isinstance(item, Opened) for item in opened)


def test_a_batch_costs_one_signature_check(net: NetworkOfTest) -> None:
    batch = batch_of(net, 50)
    entry, calls = net.directory.get(net.signer(SHANGHAI).key_id), []
    assert entry is not None
    counting = KeyEntry(entry.owner, entry.role, entry.suite, entry.public_key, entry.epoch)

    def verify(signature: bytes, message: bytes) -> bool:
        calls.append(message)
        return entry.verify(signature, message)

    object.__setattr__(counting, "verify", verify)
    directory, verifier = KeyDirectory.of([counting]), Verifier(NETWORK_ID, BRIDGE)
    open_all(net, batch, directory=directory, verifier=verifier)
    assert len(calls) == 1
    for envelope in item_envelopes(batch):
        verifier.open_envelope(envelope, directory, allowed=ALLOWED, peer=None, at_index=0)
    assert len(calls) == 2


def test_the_memory_of_verified_roots_is_bounded(net: NetworkOfTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "BATCH_ROOTS_KEPT_MAX", 3)
    verifier = Verifier(NETWORK_ID, BRIDGE)
    for _ in range(10):
        open_one(net, item_envelope(batch_of(net, 2), 1), verifier)
    assert len(verifier._roots._known) == 3


def test_a_false_root_is_not_remembered(net: NetworkOfTest) -> None:
    verifier = Verifier(NETWORK_ID, BRIDGE)
    envelope = item_envelope(batch_of(net, 4), 1)
    envelope.signatures[0].signature = bytes(64)
    for _ in range(2):
        with pytest.raises(DomainError):
            open_one(net, envelope, verifier)
    assert not verifier._roots._known


def test_one_bad_item_is_refused_for_itself(net: NetworkOfTest) -> None:
    signer = net.signer(SHANGHAI)
    good = net.complete(lock_assertion(), signer)
    wrong_audience = net.complete(lock_assertion(), signer, [SHENZHEN])
    wrong_sender = net.complete(lock_assertion(), signer)
    wrong_sender.header.sender = SHENZHEN
    payloads = [
        good.SerializeToString(),
        b"\xff\xff",
        wrong_audience.SerializeToString(),
        good.SerializeToString() + b"\xf8\x3f\x01",
        wrong_sender.SerializeToString(),
        good.SerializeToString(),
    ]
    opened = open_all(net, sign_batch(signer, LOCK_TYPE, payloads))
    assert [item.symbol if isinstance(item, DomainError) else "OPENED" for item in opened] == [
        "OPENED",
        "MESSAGE_MALFORMED",
        "AUDIENCE_MISMATCH",
        "UNKNOWN_FIELD",
        "SENDER_MISMATCH",
        "OPENED",
    ]


def test_a_batch_brought_by_another_peer_is_refused_item_by_item(net: NetworkOfTest) -> None:
    opened = open_all(net, batch_of(net, 2), peer=SHENZHEN)
    assert [item.symbol for item in opened if isinstance(item, DomainError)] == ["PEER_NOT_SENDER"] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.payloads.append(batch.payloads[0]),
        lambda batch: batch.payloads.pop(),
        lambda batch: batch.payloads.reverse(),
        lambda batch: batch.payloads.__setitem__(1, batch.payloads[1] + b"\0"),
        lambda batch: batch.payloads.__setitem__(2, batch.payloads[1]),
        lambda batch: setattr(batch, "payload_type", payload_type_of(messages_pb2.Use)),
        lambda batch: setattr(batch.signatures[0], "signature", bytes(64)),
        lambda batch: setattr(batch.signatures[0], "signature", b""),
    ],
    ids=["added", "dropped", "turned", "changed", "doubled", "re-typed", "zeroed", "emptied"],
)
def test_a_batch_that_was_changed_is_refused_as_a_whole(
    net: NetworkOfTest, change: Callable[[envelope_pb2.EnvelopeBatch], object]
) -> None:
    batch = batch_of(net, 4)
    change(batch)
    assert refused(net, batch) == "SIGNATURE_INVALID"


def test_a_batch_of_a_foreign_key_is_refused(net: NetworkOfTest, other_net: NetworkOfTest) -> None:
    assert refused(net, other_net.batch([lock_assertion()], SHANGHAI)) == "KEY_UNKNOWN"


def test_a_batch_without_items_is_refused(net: NetworkOfTest) -> None:
    with pytest.raises(DomainError) as refusal:
        sign_batch(net.signer(SHANGHAI), LOCK_TYPE, [])
    assert refusal.value.symbol == "BATCH_EMPTY"
    batch = batch_of(net, 1)
    del batch.payloads[:]
    assert refused(net, batch) == "BATCH_EMPTY"


def test_a_batch_above_the_bound_is_refused(net: NetworkOfTest) -> None:
    with pytest.raises(DomainError) as refusal:
        sign_batch(net.signer(SHANGHAI), LOCK_TYPE, [b""] * (BATCH_ITEMS_MAX + 1))
    assert refusal.value.symbol == "BATCH_TOO_LARGE"
    limits = Limits(batch_items_max=3)
    assert refused(net, batch_of(net, 4), Verifier(NETWORK_ID, BRIDGE, limits)) == "BATCH_TOO_LARGE"


@pytest.mark.parametrize("limits", [Limits(batch_bytes_max=500), Limits(payload_bytes_max=100)])
def test_a_batch_of_too_many_bytes_is_refused(net: NetworkOfTest, limits: Limits) -> None:
    assert refused(net, batch_of(net, 4), Verifier(NETWORK_ID, BRIDGE, limits)) == "MESSAGE_TOO_LARGE"


def test_a_batch_carries_exactly_one_signature(net: NetworkOfTest) -> None:
    batch = batch_of(net, 2)
    other = sign_batch(net.signer(SHENZHEN), LOCK_TYPE, list(batch.payloads))
    batch.signatures.extend(other.signatures)
    assert refused(net, batch) == "MESSAGE_MALFORMED"
    del batch.signatures[:]
    assert refused(net, batch) == "SIGNATURE_MISSING"


def test_companions_go_with_every_item_or_with_none(net: NetworkOfTest) -> None:
    batch = batch_of(net, 2)
    batch.companions.append(b"x")
    assert refused(net, batch) == "MESSAGE_MALFORMED"
    batch.companions.append(b"y")
    assert all(isinstance(item, Opened) for item in open_all(net, batch))
    with pytest.raises(InvariantBroken):
        sign_batch(net.signer(SHANGHAI), LOCK_TYPE, [b"a", b"b"], [b"c"])


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_each_item_is_provable_alone(net: NetworkOfTest, size: int) -> None:
    batch = batch_of(net, size)
    hashes = batch_hashes(batch)
    for index, envelope in enumerate(item_envelopes(batch)):
        opened = open_one(net, envelope)
        assert opened.message_hash == hashes[index]
        assert opened.envelope_index == index
        assert envelope == item_envelope(batch, index)


def test_items_may_be_asked_for_by_index(net: NetworkOfTest) -> None:
    batch = batch_of(net, 5)
    assert item_envelopes(batch, (4, 0)) == [item_envelope(batch, 4), item_envelope(batch, 0)]


def test_an_item_has_the_same_hash_in_another_batch(net: NetworkOfTest) -> None:
    batch = batch_of(net, 3)
    again = sign_batch(net.signer(SHANGHAI), LOCK_TYPE, [batch.payloads[2], batch.payloads[0]])
    assert batch_hashes(again) == [batch_hashes(batch)[2], batch_hashes(batch)[0]]
    assert open_one(net, item_envelope(again, 0)).message_hash == batch_hashes(batch)[2]


@pytest.mark.parametrize(
    ("change", "symbol"),
    [
        (lambda envelope: setattr(envelope.batch_proof, "index", 2), "SIGNATURE_INVALID"),
        (lambda envelope: setattr(envelope.batch_proof, "index", -1), "BATCH_PROOF_INVALID"),
        (lambda envelope: setattr(envelope.batch_proof, "index", 5), "BATCH_PROOF_INVALID"),
        (lambda envelope: setattr(envelope.batch_proof, "size", 0), "BATCH_PROOF_INVALID"),
        (lambda envelope: setattr(envelope.batch_proof, "size", 3), "BATCH_PROOF_INVALID"),
        (lambda envelope: setattr(envelope.batch_proof, "size", 4), "BATCH_PROOF_INVALID"),
        (lambda envelope: setattr(envelope.batch_proof, "size", 8), "SIGNATURE_INVALID"),
        (lambda envelope: envelope.batch_proof.path.append(bytes(32)), "BATCH_PROOF_INVALID"),
        (lambda envelope: envelope.batch_proof.path.pop(), "BATCH_PROOF_INVALID"),
        (lambda envelope: envelope.batch_proof.path.__setitem__(0, b"short"), "BATCH_PROOF_INVALID"),
        (lambda envelope: envelope.batch_proof.path.__setitem__(0, bytes(32)), "SIGNATURE_INVALID"),
        (lambda envelope: envelope.batch_proof.path.extend([bytes(32)] * 70), "MESSAGE_MALFORMED"),
        (lambda envelope: envelope.ClearField("batch_proof"), "SIGNATURE_INVALID"),
        (lambda envelope: setattr(envelope, "payload", envelope.payload + b"\0"), "SIGNATURE_INVALID"),
        (lambda envelope: envelope.signatures.append(envelope.signatures[0]), "MESSAGE_MALFORMED"),
    ],
)
def test_an_item_whose_path_was_changed_is_refused(
    net: NetworkOfTest, change: Callable[[envelope_pb2.Envelope], object], symbol: str
) -> None:
    batch = batch_of(net, 5)
    envelope = item_envelope(batch, 1)
    change(envelope)
    assert refused_alone(net, envelope) == symbol
    knows = Verifier(NETWORK_ID, BRIDGE)
    open_one(net, item_envelope(batch, 0), knows)
    with pytest.raises(DomainError) as refusal:
        open_one(net, envelope, knows)
    assert refusal.value.symbol == symbol, "what another item has shown changes nothing"


def test_a_path_of_a_million_nodes_behind_an_opened_item_is_refused_before_it_is_looked_at(
    net: NetworkOfTest,
) -> None:
    batch = batch_of(net, 5)
    verifier = Verifier(NETWORK_ID, BRIDGE)
    open_one(net, item_envelope(batch, 0), verifier)
    envelope = item_envelope(batch, 1)
    envelope.batch_proof.path.extend([b""] * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DomainError) as refusal:
            open_one(net, envelope, verifier)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert refusal.value.symbol == "MESSAGE_MALFORMED"


def test_no_tree_is_kept_that_is_larger_than_a_batch_may_be(net: NetworkOfTest) -> None:
    batch = batch_of(net, 5)
    verifier = Verifier(NETWORK_ID, BRIDGE, Limits(batch_items_max=4))
    for index in range(5):
        assert open_one(net, item_envelope(batch, index), verifier).envelope_index == index
    assert not verifier._standings._known


def test_a_batch_signature_is_no_signature_of_a_message(net: NetworkOfTest) -> None:
    batch = batch_of(net, 1)
    root = tree_root(batch_hashes(batch))
    envelope = envelope_pb2.Envelope(
        payload=batch_statement(1, root),
        payload_type="application/vnd.tanqiao.batch.v1",
        signatures=batch.signatures,
    )
    assert refused_alone(net, envelope) == "PAYLOAD_TYPE_NOT_ALLOWED"
