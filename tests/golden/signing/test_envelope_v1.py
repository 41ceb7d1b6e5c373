"""The bytes of version 1: what was signed once is verified for ever.

`envelope_v1.json` was written once and is not made again when code changes; a test here that fails means that
the wire has changed. The second half checks the file with nothing but a hash function and Ed25519, as a
stranger would.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.signing import (
    KeyDirectory,
    KeyEntry,
    KeyRole,
    Opened,
    Signer,
    Verifier,
    allow,
    batch_hashes,
    item_envelope,
    payload_type_of,
    sign_batch,
    sign_envelope,
)
from tanqiao.signing.batch import signed_bytes
from tanqiao.signing.merkle import tree_root
from tanqiao.signing.suites import SuiteId, key_id_of

GOLDEN: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "envelope_v1.json").read_text("utf-8"))
SEED: Final = bytes.fromhex(
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
)  # RFC 8032, TEST 1
ITEMS: Final = 5
ALLOWED: Final = allow(messages_pb2.LockAssertion, senders=("region/*",))


def the_signer() -> tuple[Signer, KeyEntry]:
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    public_key = key.public_key().public_bytes_raw()
    entry = KeyEntry("region/310000", KeyRole.MESSAGE, SuiteId.ED25519, public_key, 1)
    return Signer(entry.owner, entry.role, entry.key_id, 1, key.sign), entry


def the_payload(number: int) -> bytes:
    """Give a lock of invented serials, encoded field by field in the order of its numbers."""
    lock = messages_pb2.LockAssertion(
        header=envelope_pb2.Header(
            network_id="test-golden",
            sender="region/310000",
            audience=["bridge"],
            message_id=bytes([number]) * 16,
            source="region/310000",
            transfer_id=bytes([0x80 + number]) * 16,
            rules_digest=bytes(32),
            key_epoch=1,
        ),
        blocks=[
            values_pb2.UnitBlock(
                series_id="310000:SHCER:invented-1:2026:1",
                start_serial=number * 1000,
                end_serial=number * 1000 + 1000,
            )
        ],
        destination="region/440300",
        receiving_address_commitment=b"\x11" * 32,
        owner_commitment=b"\x22" * 32,
        quantity_kg=1000,
    )
    return lock.SerializeToString(deterministic=True)


def made_now() -> dict[str, Any]:
    """Give what the code of today makes of the same input."""
    signer, entry = the_signer()
    payload_type = payload_type_of(messages_pb2.LockAssertion)
    payloads = [the_payload(number) for number in range(ITEMS)]
    envelope = sign_envelope(signer, payload_type, payloads[0])
    batch = sign_batch(signer, payload_type, payloads)
    hashes = batch_hashes(batch)
    item = item_envelope(batch, 3)
    return {
        "public_key": entry.public_key.hex(),
        "key_id": entry.key_id.hex(),
        "payload_type": payload_type,
        "payloads": [payload.hex() for payload in payloads],
        "message_hashes": [value.hex() for value in hashes],
        "signature": envelope.signatures[0].signature.hex(),
        "batch_signed_bytes": signed_bytes(ITEMS, tree_root(hashes)).hex(),
        "batch_signature": batch.signatures[0].signature.hex(),
        "item_3_path": [node.hex() for node in item.batch_proof.path],
        "envelope": envelope.SerializeToString(deterministic=True).hex(),
        "batch": batch.SerializeToString(deterministic=True).hex(),
        "item_3": item.SerializeToString(deterministic=True).hex(),
    }


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_code_of_today_makes_the_bytes_of_version_1(name: str) -> None:
    assert made_now()[name] == GOLDEN[name]


def test_the_envelopes_of_version_1_are_opened() -> None:
    _, entry = the_signer()
    directory, verifier = KeyDirectory.of([entry]), Verifier("test-golden", "bridge")
    for name in ("envelope", "item_3"):
        envelope = envelope_pb2.Envelope.FromString(bytes.fromhex(GOLDEN[name]))
        opened = verifier.open_envelope(
            envelope, directory, allowed=ALLOWED, peer="region/310000", at_index=0
        )
        assert opened.message.quantity_kg == 1000
    batch = envelope_pb2.EnvelopeBatch.FromString(bytes.fromhex(GOLDEN["batch"]))
    items = verifier.open_batch(batch, directory, allowed=ALLOWED, peer="region/310000", at_index=0)
    assert [item.message_hash.hex() for item in items if isinstance(item, Opened)] == GOLDEN["message_hashes"]


def test_a_stranger_verifies_the_envelope() -> None:
    payload_type, payload = GOLDEN["payload_type"].encode(), bytes.fromhex(GOLDEN["payloads"][0])
    encoded = b" ".join([b"DSSEv1", b"%d" % len(payload_type), payload_type, b"%d" % len(payload), payload])
    assert hashlib.sha256(encoded).hexdigest() == GOLDEN["message_hashes"][0]
    public_key = bytes.fromhex(GOLDEN["public_key"])
    Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(GOLDEN["signature"]), encoded)
    assert hashlib.sha256(b"\x01" + public_key).hexdigest()[:32] == GOLDEN["key_id"]
    assert key_id_of(SuiteId.ED25519, public_key).hex() == GOLDEN["key_id"]


def test_a_stranger_verifies_the_batch_and_an_item_of_it() -> None:
    def leaf(text: str) -> bytes:
        return hashlib.sha256(b"\0" + bytes.fromhex(text)).digest()

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\1" + left + right).digest()

    first, second, third, fourth, fifth = (leaf(text) for text in GOLDEN["message_hashes"])
    root = node(node(node(first, second), node(third, fourth)), fifth)
    statement = b"tanqiao-batch-v1\0" + ITEMS.to_bytes(8, "big") + root
    batch_type = b"application/vnd.tanqiao.batch.v1"
    encoded = b"DSSEv1 %d %b %d %b" % (len(batch_type), batch_type, len(statement), statement)
    assert encoded.hex() == GOLDEN["batch_signed_bytes"]
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(GOLDEN["public_key"]))
    key.verify(bytes.fromhex(GOLDEN["batch_signature"]), encoded)
    path = [bytes.fromhex(text) for text in GOLDEN["item_3_path"]]
    assert path == [third, node(first, second), fifth]
    assert node(node(path[1], node(path[0], fourth)), path[2]) == root
