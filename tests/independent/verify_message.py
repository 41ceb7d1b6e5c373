"""Proof files, their keys and signed messages, for `verify_file`: standard library and Ed25519 alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.independent.verify_proof import (
    LIMIT,
    NUMBER,
    WEAK,
    P,
    Policy,
    Refused,
    leaf_hash,
    matched,
    need,
    number,
    root_from_path,
    unbase64,
    verify_checkpoint,
    verify_leaf,
)
from tests.independent.wire import (
    ALIAS,
    APPROVER,
    DECISION,
    ENVELOPE,
    MESSAGE,
    MESSAGES,
    RECORD,
    RESOLUTION,
    ROOT,
    SENDERS,
    Fields,
)

HEAD = re.compile(rb"tanqiao-proof@v1\nkind ([a-z-]+)\n((?:[a-z][a-z-]{0,31} (?:0|[1-9][0-9]{0,18})\n)+)\n")
KEYS = rb"( leaf path( envelope)?)+"
SHAPES = {
    b"title": rb" checkpoint leaf path( envelope){3}( opening-address)?( opening-owner)?"
    rb"( rules-name rules-text)*" + KEYS,
    b"retirement": rb" checkpoint leaf path( envelope){2}( opening-owner)?( opening-beneficiary)?"
    rb"( rules-name rules-text)*" + KEYS,
    b"certificate": rb" checkpoint leaf path( envelope){2} certificate( opening-beneficiary)?" + KEYS,
    b"rules": rb" checkpoint leaf path( envelope){2,3}( rules-name rules-text)+" + KEYS,
    b"decision": rb" claim checkpoint entries",
    b"conservation": rb" claim checkpoint( lock)* entries",
    b"location": rb" claim checkpoint( lock)* entries",
    b"location-root": rb" claim checkpoint leaf path row row-path page page-path bucket bucket-path",
    b"conflict": rb" checkpoint envelope( step-leaf step-path step)+" + KEYS,
    b"filing-proof": rb" checkpoint envelope" + KEYS,
    b"handover": rb" checkpoint leaf path envelope" + KEYS,
    b"contradiction": rb" checkpoint( envelope){2}" + KEYS,
    b"witness-misbehaviour": rb" first second",
}
PATH = re.compile(rb"index " + NUMBER + rb"\n((?:[A-Za-z0-9+/]{43}=\n){0,64})")


@dataclass
class KnownKey:
    """A key that the file proves."""

    owner: bytes
    role: int
    public: bytes
    epoch: int
    stated: int
    start: int = 0
    end: int = 0
    holder: bytes = b""


@dataclass
class Signed:
    """A signed message: its type, fields, hash and first key."""

    type: bytes
    fields: Fields
    hash: bytes
    key_id: bytes

    @property
    def header(self) -> Fields:
        return self.fields.parts(1)[0]

    @property
    def sender(self) -> bytes:
        return self.header.data(2)

    @property
    def matter(self) -> tuple[bytes, bytes]:
        return self.header.data(5), self.header.data(6)


def pae(kind: bytes, payload: bytes) -> bytes:
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope_hash(envelope: Fields) -> bytes:
    return sha256(pae(envelope.data(2), envelope.data(1))).digest()


class File:
    """Head and parts of a file."""

    def __init__(self, data: bytes) -> None:
        head = matched(HEAD.match(data), "not a proof file")
        self.kind = head[1]
        need(self.kind in SHAPES, "a kind that nobody knows")
        lines = [line.split(b" ") for line in head[2].splitlines()]
        names = b"".join(b" " + name for name, _ in lines)
        need(re.fullmatch(SHAPES[self.kind], names), "parts that are not those of the kind")
        self.parts: list[tuple[bytes, bytes]] = []
        at = head.end()
        for name, size in lines:
            end = at + number(size, "a size")
            self.parts.append((name, data[at:end]))
            at = end
        need(at == len(data), "another size than the head says")

    def all(self, name: bytes) -> list[bytes]:
        return [data for known, data in self.parts if known == name]

    def one(self, name: bytes) -> bytes:
        return self.all(name)[0]


def tree_of(file: File, policy: Policy) -> tuple[int, bytes]:
    _, size, root = verify_checkpoint(file.one(b"checkpoint"), policy)
    return size, root


def included(leaf: bytes, path: bytes, size: int, root: bytes) -> tuple[int, bytes, dict[bytes, bytes]]:
    lines = matched(PATH.fullmatch(path), "not a path")
    index = number(lines[1], "an index")
    need(index < size, "an index outside the tree")
    found = root_from_path(index, size, leaf_hash(leaf), [unbase64(line) for line in lines[2].split()])
    need(found == root, "the path does not lead to the root")
    return (index, *verify_leaf(leaf))


def items(data: bytes) -> list[bytes]:
    found = []
    while data:
        need(len(data) >= 2, "half a length")
        size = 256 * data[0] + data[1]
        need(len(data) >= 2 + size, "half an item")
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found


def public_key(data: bytes) -> bytes:
    need(len(data) == 32, "a key that is not 32 bytes")
    need((int.from_bytes(data, "little") % 2**255) % P not in WEAK, "a key of small order")
    return data


def key_id(public: bytes) -> bytes:
    return sha256(b"\1" + public).digest()[:16]


def known_keys(file: File, size: int, root: bytes, network: bytes, skip: int) -> dict[bytes, KnownKey]:
    """The roots that the log states, and the keys whose records they signed."""
    names = [name for name, _ in file.parts] + [b""]
    starts = [at for at, name in enumerate(names) if name == b"leaf"][skip:]
    roots: dict[bytes, KnownKey] = {}
    records: list[tuple[int, dict[bytes, bytes], Fields]] = []
    for at in starts:
        index, kind, told = included(file.parts[at][1], file.parts[at + 1][1], size, root)
        if names[at + 2] == b"envelope":
            need(kind == b"key_record", "a leaf that states no key")
            records.append((index, told, Fields(file.parts[at + 2][1], ENVELOPE)))
        else:
            need(kind == b"trust_anchor", "a leaf that states no root")
            public = public_key(told[b"public_key"])
            need(key_id(public) == told[b"key_id"], "a root of another suite")
            roots[key_id(public)] = KnownKey(told[b"owner"], ROOT, public, 1, index)
    keys = dict(roots)
    for index, told, envelope in records:
        need(items(told.get(b"message_hashes", b""))[:1] == [envelope_hash(envelope)], "another's record")
        signed = opened(envelope, keys, network, b"bridge", index)
        record = signed.fields
        need(signed.type == RECORD, "no key record")
        owner = record.data(2)
        kind, _, name = owner.partition(b"/")
        authority = owner if kind == b"authority" else b"authority/" + (name.split(b"/")[0] or b"bridge")
        if kind in {b"bridge", b"gateway", b"witness"}:
            authority = b"authority/bridge"
        need(signed.sender == authority, "a root that does not vouch for the owner")
        need(record.number(4) == 1, "a suite that is not supported")
        need(not record.number(9), "a key that was revoked")
        public = public_key(record.data(5))
        need(key_id(public) == told.get(b"key_id"), "a leaf of another key")
        before = keys.get(key_id(public))
        keys[key_id(public)] = KnownKey(
            owner,
            record.number(3),
            public,
            record.number(6),
            index if before is None else min(index, before.stated),
            record.number(7),
            record.number(8),
            record.data(10),
        )
    return keys


def opened(
    envelope: Fields, keys: dict[bytes, KnownKey], network: bytes, audience: bytes, index: int
) -> Signed:
    """The message of an envelope, when its one signature holds under a key that was valid at the index."""
    kind, payload = envelope.data(2), envelope.data(1)
    need(kind in MESSAGES, "a payload type that nobody knows")
    signatures = envelope.parts(3)
    need(len(signatures) == 1, "not one signature")
    by, signature = signatures[0].data(1), signatures[0].data(2)
    need(by in keys, "a key that the file does not prove")
    known, message = keys[by], pae(kind, payload)
    hashed = sha256(message).digest()
    if envelope.parts(4):
        proof = envelope.parts(4)[0]
        count, at = proof.number(1), proof.number(2)
        need(0 <= at < count < LIMIT, "a place outside the batch")
        top = root_from_path(at, count, leaf_hash(hashed), proof.every(3))
        message = pae(
            b"application/vnd.tanqiao.batch.v1", b"tanqiao-batch-v1\0" + count.to_bytes(8, "big") + top
        )
    try:
        Ed25519PublicKey.from_public_bytes(known.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused(f"the signature of {known.owner!r} is wrong") from None
    signed = Signed(kind, Fields(payload, MESSAGES[kind]), hashed, by)
    need(len(signed.fields.parts(1)) == 1, "no header")
    header = signed.header
    need(signed.sender == known.owner and header.number(9) == known.epoch, "another's key")
    need(known.role == (ROOT if kind == RECORD else MESSAGE), "a key of another role")
    need(header.data(1) == network, "another network")
    need(audience in header.every(3), "a message for others")
    need(len(header.data(4)) == 16, "no message id")
    need(signed.sender.startswith(SENDERS.get(kind, signed.sender)), "a sender that may not say this")
    need(kind != DECISION or signed.sender == b"bridge", "a decision that is not the bridge's")
    need(known.stated < index, "a key that was stated later")
    need(known.start <= index and not 0 < known.end <= index, "a key that was not valid")
    return signed


def opened_decision(envelope: Fields, keys: dict[bytes, KnownKey], network: bytes, index: int) -> Signed:
    """The decision of an envelope that approvers of two bodies signed, with keys valid at the index."""
    kind, payload = envelope.data(2), envelope.data(1)
    need(kind in {RESOLUTION, ALIAS} and not envelope.parts(4), "no decision of approvers")
    signatures = envelope.parts(3)
    need(2 <= len(signatures) <= 4, "not two to four signatures")
    need(len({one.data(1) for one in signatures}) == len(signatures), "one key twice")
    bodies = []
    for one in signatures:
        need(one.data(1) in keys, "a key that the file does not prove")
        known = keys[one.data(1)]
        need(known.role == APPROVER and known.stated < index, "a key of another role, or stated later")
        need(known.start <= index and not 0 < known.end <= index, "a key that was not valid")
        try:
            Ed25519PublicKey.from_public_bytes(known.public).verify(one.data(2), pae(kind, payload))
        except (InvalidSignature, ValueError):
            raise Refused(f"the signature of {known.owner!r} is wrong") from None
        bodies.append(known)
    signed = Signed(kind, Fields(payload, MESSAGES[kind]), envelope_hash(envelope), signatures[0].data(1))
    need(len(signed.fields.parts(1)) == 1, "no header")
    header = signed.header
    need(signed.sender == bodies[0].owner and header.number(9) == bodies[0].epoch, "another's key")
    need(signed.sender.startswith(b"authority/") and len({one.owner for one in bodies}) > 1, "one body alone")
    need(header.data(1) == network and b"bridge" in header.every(3), "for others")
    need(len(header.data(4)) == 16, "no message id")
    return signed


def network_of(envelope: Fields) -> bytes:
    kind = envelope.data(2)
    need(kind in MESSAGES, "a payload type that nobody knows")
    headers = Fields(envelope.data(1), MESSAGES[kind]).parts(1)
    need(headers, "no header")
    return headers[0].data(1)
