"""DSSE v1 and RFC 8032 against their published vectors (tests/golden/signing names the sources)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.pae import message_hash, message_hashes, pae
from tanqiao.signing.suites import Ed25519Suite, has_small_order
from tanqiao.signing.verify import verify_signatures

GOLDEN: Final = Path(__file__).parents[2] / "golden" / "signing"
DSSE: Final[dict[str, Any]] = json.loads((GOLDEN / "dsse_v1.json").read_text("utf-8"))
RFC_8032: Final[list[dict[str, str]]] = json.loads((GOLDEN / "rfc8032_ed25519.json").read_text())["vectors"]

OURS: Final[dict[str, str | None]] = {
    "single-signature": None,
    "url-safe-base64": None,  # our wire is bytes; base64 plays no part
    "payload-type-swapped": "SIGNATURE_INVALID",
    "non-ascii-payload-type": "MESSAGE_MALFORMED",  # narrower than DSSE: payload types are ASCII (PROTOCOL 2)
    "empty-payload": None,
    "empty-payload-type": "MESSAGE_MALFORMED",
    "threshold-two-distinct-keys": None,
    "threshold-two-one-key-twice": "MESSAGE_MALFORMED",
    # Narrower than DSSE: a signature names its key (PROTOCOL 2).
    "threshold-two-without-keyids": "KEY_UNKNOWN",
}
GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493


def ids(vector: dict[str, Any]) -> str:
    return str(vector.get("id") or vector.get("name"))


@pytest.mark.parametrize("vector", RFC_8032, ids=ids)
def test_ed25519_gives_the_signatures_of_rfc_8032(vector: dict[str, str]) -> None:
    suite = Ed25519Suite()
    private_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["seed"]))
    message, signature = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    public_key = suite.public_key_of(private_key)
    assert public_key is not None
    assert public_key.hex() == vector["public_key"]
    assert suite.signing(private_key)(message) == signature
    assert suite.verifying(public_key)(signature, message)


@pytest.mark.parametrize("vector", RFC_8032, ids=ids)
def test_ed25519_refuses_every_bit_of_an_rfc_8032_signature_turned(vector: dict[str, str]) -> None:
    verify = Ed25519Suite().verifying(bytes.fromhex(vector["public_key"]))
    message, signature = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    for bit in range(8 * len(signature)):
        turned = bytearray(signature)
        turned[bit // 8] ^= 1 << bit % 8
        assert not verify(bytes(turned), message), f"bit {bit}"
    assert not verify(signature, message + b"\0")
    for wrong in (b"", signature[:-1], signature + b"\0"):
        assert not verify(wrong, message)


@pytest.mark.parametrize("vector", RFC_8032, ids=ids)
def test_a_signature_has_one_form_only_s_plus_the_group_order_is_refused(vector: dict[str, str]) -> None:
    verify = Ed25519Suite().verifying(bytes.fromhex(vector["public_key"]))
    signature = bytes.fromhex(vector["signature"])
    other = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not verify(signature[:32] + other.to_bytes(32, "little"), bytes.fromhex(vector["message"]))


PRIME: Final = 2**255 - 19
CURVE_D: Final = -121665 * pow(121666, -1, PRIME) % PRIME
Point = tuple[int, int]


def add(first: Point, second: Point) -> Point:
    """Add on edwards25519 by the formulas of RFC 8032 section 5.1.4, affine."""
    (x1, y1), (x2, y2) = first, second
    product = CURVE_D * x1 * x2 * y1 * y2 % PRIME
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME)
    return x % PRIME, y % PRIME


def x_of(y: int) -> int | None:
    """Give an x of the point with this y (RFC 8032 section 5.1.3), or None."""
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    return x if x * x % PRIME == square else None


SMALL_ORDER_ENCODINGS: Final = [
    (0).to_bytes(32, "little"),
    (1).to_bytes(32, "little"),
    (PRIME - 1).to_bytes(32, "little"),
    PRIME.to_bytes(32, "little"),
    (PRIME + 1).to_bytes(32, "little"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]


@pytest.mark.parametrize("encoding", SMALL_ORDER_ENCODINGS, ids=bytes.hex)
def test_a_key_of_small_order_is_no_key(encoding: bytes) -> None:
    y = int.from_bytes(encoding, "little") % PRIME
    x = x_of(y)
    assert x is not None
    point: Point = (x, y)
    for _ in range(3):  # eight times the point is the neutral element
        point = add(point, point)
    assert point == (0, 1)
    for signed in (encoding, encoding[:-1] + bytes([encoding[-1] | 0x80])):
        assert has_small_order(signed)
        with pytest.raises(DomainError) as refusal:
            Ed25519Suite().verifying(signed)
        assert refusal.value.symbol == "FIELD_INVALID"


def test_the_keys_of_rfc_8032_are_not_of_small_order() -> None:
    assert not any(has_small_order(bytes.fromhex(vector["public_key"])) for vector in RFC_8032)


def test_pae_is_the_hello_world_of_dsse() -> None:
    hello = DSSE["hello_world"]
    encoded = pae(hello["payload_type"], hello["payload"].encode())
    assert encoded == hello["pae"].encode()
    key = ec.EllipticCurvePublicNumbers(
        int(hello["public_key_x"]), int(hello["public_key_y"]), ec.SECP256R1()
    ).public_key()
    raw = bytes.fromhex(hello["signature"])
    signature = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(signature, encoded, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("vector", DSSE["vectors"], ids=ids)
def test_pae_is_that_of_the_dsse_vector(vector: dict[str, Any]) -> None:
    if vector["id"] == "payload-type-swapped":  # its encoding is that of the type that was signed
        assert pae(vector["payload_type"], bytes.fromhex(vector["payload"])).hex() != vector["pae"]
        return
    assert pae(vector["payload_type"], bytes.fromhex(vector["payload"])).hex() == vector["pae"]


def test_the_dsse_vectors_are_all_decided_here() -> None:
    assert {vector["id"] for vector in DSSE["vectors"]} == set(OURS)
    stricter = {
        vector["id"]
        for vector in DSSE["vectors"]
        if (vector["expect"] == "accept") != (OURS[vector["id"]] is None)
    }
    assert stricter == {"non-ascii-payload-type", "threshold-two-without-keyids"}


@pytest.mark.parametrize("vector", DSSE["vectors"], ids=ids)
def test_an_envelope_of_a_dsse_vector_is_verified_or_refused(vector: dict[str, Any]) -> None:
    entries = {
        name: KeyEntry(f"witness/{name}", KeyRole.WITNESS, 1, bytes.fromhex(key["public_key"]), 1)
        for name, key in DSSE["keys"].items()
    }
    signatures = [
        envelope_pb2.Signature(
            key_id=entries[name].key_id if name else b"", signature=bytes.fromhex(signature)
        )
        for name, signature in vector["signatures"]
    ]
    envelope = envelope_pb2.Envelope(
        payload=bytes.fromhex(vector["payload"]),
        payload_type=vector["payload_type"],
        signatures=signatures,
    )
    owners = ["witness/A", "witness/B"][: vector["threshold"]]
    directory = KeyDirectory.of(entries.values())
    expected = OURS[vector["id"]]
    if expected is None:
        signed = verify_signatures(envelope, directory, owners, KeyRole.WITNESS, at_index=0)
        assert [one.owner for one in signed] == owners
        return
    with pytest.raises(DomainError) as refusal:
        verify_signatures(envelope, directory, owners, KeyRole.WITNESS, at_index=0)
    assert refusal.value.symbol == expected


def test_two_types_and_payloads_that_read_the_same_together_encode_differently() -> None:
    assert pae("ab", b"c") != pae("a", b"bc")
    assert pae("a 1 b", b"") != pae("a", b" 1 b")
    assert message_hash("ab", b"c") != message_hash("a", b"bc")


def test_many_hashes_are_the_hashes_of_each() -> None:
    payloads = [b"", b"x", b"y" * 1000]
    assert message_hashes("type", payloads) == [message_hash("type", payload) for payload in payloads]
