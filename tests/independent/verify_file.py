"""A second verifier of the federation's proof files, from docs/verify-a-proof.md and without its library.

Standard library, the Ed25519 primitive of `cryptography`, and this folder's `verify_proof` for notes, trees
and policies. protobuf is taken apart by hand: a table says which fields a message has, and any other is
refused. Use, from the root of the repository; it ends with 0 for what is proven, with 1 for what is refused::

    python -m tests.independent.verify_file POLICY FILE
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.independent.verify_place import place_of
from tests.independent.verify_proof import (
    CHECKPOINT,
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
    signed_by,
    tree_hash,
    unbase64,
    verify_checkpoint,
    verify_evidence,
    verify_leaf,
)

HEAD = re.compile(rb"tanqiao-proof@v1\nkind ([a-z-]+)\n((?:[a-z][a-z-]{0,31} (?:0|[1-9][0-9]{0,18})\n)+)\n")
KEYS = rb"( leaf path( envelope)?)+"
SHAPES = {
    b"title": rb" checkpoint leaf path( envelope){3}( opening-address)?( opening-owner)?"
    rb"( rules-name rules-text)*" + KEYS,
    b"retirement": rb" checkpoint leaf path( envelope){2}( opening-owner)?( opening-beneficiary)?"
    rb"( rules-name rules-text)*" + KEYS,
    b"rules": rb" checkpoint leaf path( envelope){2,3}( rules-name rules-text)+" + KEYS,
    b"decision": rb" claim checkpoint entries",
    b"conservation": rb" claim checkpoint( lock)* entries",
    b"location": rb" claim checkpoint( lock)* entries",
    b"location-root": rb" claim checkpoint leaf path row row-path page page-path bucket bucket-path",
    b"contradiction": rb" checkpoint( envelope){2}" + KEYS,
    b"witness-misbehaviour": rb" first second",
}
PATH = re.compile(rb"index " + NUMBER + rb"\n((?:[A-Za-z0-9+/]{43}=\n){0,64})")
BLOCK = re.compile(rb"([!-Z^-~]{1,160})\[(0|[1-9][0-9]{0,18}),(0|[1-9][0-9]{0,18})\)")
TYPE = b"application/vnd.tanqiao.%s.v1+protobuf"
LOCK, USE, READY, REFUSE, DECISION, NACK, RECORD = (
    TYPE % name
    for name in (b"lock-assertion", b"use", b"ready", b"refuse", b"decision", b"nack", b"key-record")
)
ROOT, MESSAGE = 1, 3
# Fields of each message: number → n (number), b (bytes or text), or the table of the message in it.
Table = dict[int, object]
DATE: Table = {1: "n", 2: "n", 3: "n"}
UNITS: Table = {1: "b", 2: "n", 3: "n"}
REFUSAL: Table = {n: "n" if n in {2, 8} else "b" for n in range(1, 20)}
HEADER: Table = {n: "n" if n == 9 else "b" for n in range(1, 10)}
ENVELOPE: Table = {1: "b", 2: "b", 3: {1: "b", 2: "b"}, 4: {1: "n", 2: "n", 3: "b"}}
MESSAGES: dict[bytes, Table] = {
    LOCK: {1: HEADER, 2: UNITS, 3: "b", 4: "b", 5: "b", 6: "b", 7: "n"},
    USE: {1: HEADER, 2: UNITS, 3: "n", 4: "b", 5: "b", 6: "b", 7: "n", 8: DATE, 9: "b"},
    READY: {1: HEADER, 2: "b", 3: DATE},
    REFUSE: {1: HEADER, 2: "b", 3: "b"},
    DECISION: {1: HEADER, 2: "n", 3: "b", 4: "b", 5: "n", 6: "b", 7: DATE, 8: {1: "n", 2: "n"}, 9: "n"},
    NACK: {1: HEADER, 2: "b", 3: REFUSAL},
    RECORD: {1: HEADER, 2: "b", 3: "n", 4: "n", 5: "b", 6: "n", 7: "n", 8: "n", 9: "n"},
}
SENDERS = {LOCK: b"region/", USE: b"region/", READY: b"region/", REFUSE: b"region/", NACK: b"region/"}
ONCE = {DECISION: "decisions", LOCK: "locks", USE: "locks", READY: "answers", REFUSE: "answers"}


class Fields:
    """A protobuf message by field number; what the table does not name is refused."""

    def __init__(self, data: bytes, table: Table) -> None:
        self.found: dict[int, list[object]] = {}
        rest = data
        while rest:
            tag, rest = varint(rest)
            kind, wire = table.get(tag >> 3), tag & 7
            need(kind is not None, f"a field {tag >> 3} that nobody knows")
            if kind == "n":
                need(wire == 0, "a number on another wire")
                value, rest = varint(rest)
                self.found.setdefault(tag >> 3, []).append(value)
                continue
            need(wire == 2, "bytes on another wire")
            size, rest = varint(rest)
            need(size <= len(rest), "a message that is cut off")
            part, rest = rest[:size], rest[size:]
            self.found.setdefault(tag >> 3, []).append(Fields(part, kind) if isinstance(kind, dict) else part)

    def number(self, at: int) -> int:
        value = self.found.get(at, [0])[-1]
        return value if isinstance(value, int) else 0

    def data(self, at: int) -> bytes:
        value = self.found.get(at, [b""])[-1]
        return value if isinstance(value, bytes) else b""

    def every(self, at: int) -> list[bytes]:
        return [value for value in self.found.get(at, []) if isinstance(value, bytes)]

    def parts(self, at: int) -> list[Fields]:
        return [value for value in self.found.get(at, []) if isinstance(value, Fields)]


def varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for at, byte in enumerate(data[:10]):
        value |= (byte & 127) << 7 * at
        if byte < 128:
            return value, data[at + 1 :]
    raise Refused("a number that does not end")


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
        signed = opened(envelope, roots, network, b"bridge", index)
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
    if kind != RECORD:
        need(known.stated < index, "a key that was stated later")
        need(known.start <= index and not 0 < known.end <= index, "a key that was not valid")
    return signed


def network_of(envelope: Fields) -> bytes:
    kind = envelope.data(2)
    need(kind in MESSAGES, "a payload type that nobody knows")
    headers = Fields(envelope.data(1), MESSAGES[kind]).parts(1)
    need(headers, "no header")
    return headers[0].data(1)


def verify_title(file: File, policy: Policy) -> str:
    size, root = tree_of(file, policy)
    index, kind, told = included(file.one(b"leaf"), file.one(b"path"), size, root)
    need(kind == b"decision", "no decision")
    hashes = items(told.get(b"message_hashes", b""))
    need(len(hashes) == {b"title": 3, b"retirement": 2}.get(file.kind, len(hashes)), "other messages")
    envelopes = [Fields(data, ENVELOPE) for data in file.all(b"envelope")[: len(hashes)]]
    need([envelope_hash(one) for one in envelopes] == hashes, "messages that the leaf does not name")
    signers = [one.parts(3)[0].data(1) for one in envelopes if one.parts(3)]
    need(signers == items(told.get(b"signer_key_ids", b"")), "keys that the leaf does not name")
    network = network_of(envelopes[0])
    keys = known_keys(file, size, root, network, 1)
    lock = opened(envelopes[0], keys, network, b"bridge", index)
    need(lock.type in {LOCK, USE}, "no lock and no use")
    decision = opened(envelopes[-1], keys, network, lock.sender, index)
    need(decision.type == DECISION, "no decision")
    need(decision.matter == lock.matter and lock.matter[0] == lock.sender, "another transfer")
    need(len(lock.matter[1]) == 16, "no transfer id")
    need(decision.fields.data(3) == lock.hash, "a decision about another lock")
    need(decision.fields.number(2) == 1, "not COMMIT")
    promised = bytes(32)
    if len(envelopes) == 3:
        ready = opened(envelopes[1], keys, network, b"bridge", index)
        need(ready.type == READY and lock.type == LOCK, "no promise")
        need(ready.sender == lock.fields.data(3) and ready.matter == lock.matter, "another's promise")
        need(ready.fields.data(2) == lock.hash, "a promise about another lock")
        promised = ready.hash
    else:
        need(lock.type == USE, "a transfer without a promise")
    need((decision.fields.data(4) or bytes(32)) == promised, "a decision about another promise")
    blocks = [(one.data(1), one.number(2), one.number(3)) for one in lock.fields.parts(2)]
    kinds = {1: b"RETIRE", 2: b"CANCEL"}
    needed = {
        b"source": lock.sender,
        b"transfer_id": lock.matter[1],
        b"outcome": b"COMMIT",
        b"kind": b"TRANSFER" if lock.type == LOCK else kinds.get(lock.fields.number(3), b""),
    }
    need(all(told.get(name) == value for name, value in needed.items()), "a leaf that says something else")
    need(lock.type == USE or told.get(b"destination") == lock.fields.data(3), "another destination")
    shown = told.get(b"blocks", b"").split(b"\n")
    need(shown == [b"%b[%d,%d)" % block for block in blocks][: len(shown)], "a leaf that names other blocks")
    numbers = {b"opening-address": 4, b"opening-owner": 5}
    if lock.type == USE:
        numbers = {b"opening-beneficiary": 5, b"opening-owner": 6}
    for name, commitment in ((name, lock.fields.data(at)) for name, at in numbers.items()):
        for data in file.all(name):
            need(len(data) >= 16 and sha256(data).digest() == commitment, "an opening that opens nothing")
    verify_rules(file, envelopes[:-1], keys, network, index)
    return f"{sum(end - start for _, start, end in blocks)} kg at index {index}"


def verify_rules(
    file: File, envelopes: list[Fields], keys: dict[bytes, KnownKey], network: bytes, index: int
) -> None:
    names, texts = file.all(b"rules-name"), file.all(b"rules-text")
    if not names:
        return
    need(names == sorted(set(names)), "rule texts out of order")
    framed = b"".join(
        len(part).to_bytes(8, "big") + part for pair in zip(names, texts, strict=True) for part in pair
    )
    applied = [opened(one, keys, network, b"bridge", index).header.data(8) for one in envelopes]
    need(sha256(framed).digest() in applied, "rule texts that nobody applied")


def whole_log(file: File, policy: Policy) -> list[tuple[bytes, dict[bytes, bytes]]]:
    size, root = tree_of(file, policy)
    entries = items(file.one(b"entries"))
    need(len(entries) == size and tree_hash([leaf_hash(one) for one in entries]) == root, "another log")
    return [verify_leaf(one) for one in entries]


def verify_only_decision(file: File, policy: Policy) -> str:
    claim = matched(
        re.fullmatch(rb"source ([a-z0-9/._-]{1,128})\ntransfer_id ([0-9a-f]{32})\n", file.one(b"claim")),
        "no claim about a transfer",
    )
    wanted = (claim[1], bytes.fromhex(claim[2].decode()))
    found = [
        (index, told[b"outcome"])
        for index, (kind, told) in enumerate(whole_log(file, policy))
        if kind == b"decision" and (told.get(b"source"), told.get(b"transfer_id")) == wanted
    ]
    need(len(found) == 1, f"{len(found)} decisions")
    return f"{found[0][1].decode()} at index {found[0][0]}"


def verify_series(file: File, policy: Policy) -> str:
    """Every serial of a series by itself, in a dictionary of ranges cut at each edge that occurs."""
    wants_serial = file.kind == b"location"
    claim = matched(
        re.fullmatch(
            rb"series ([!-Z^-~]{1,160})\n" + (rb"serial " + NUMBER + rb"\n" if wants_serial else b""),
            file.one(b"claim"),
        ),
        "no claim about a series",
    )
    leaves = whole_log(file, policy)
    locks = {
        envelope_hash(one): Fields(one.data(1), MESSAGES[one.data(2)])
        for one in (Fields(data, ENVELOPE) for data in file.all(b"lock"))
    }
    events: list[tuple[str, bytes, tuple[bytes, str], list[tuple[int, int]]]] = []
    for kind, told in leaves:
        if kind == b"issue" and told[b"accepted"] == b"1":
            events.append(("issue", b"", (told[b"region"], "held"), ranges([told[b"block"]], claim[1])))
        elif kind == b"decision" and told[b"outcome"] == b"COMMIT":
            state = {b"RETIRE": "used", b"CANCEL": "cancelled"}.get(told[b"kind"])
            place = (told[b"destination"], "held") if state is None else (told[b"source"], state)
            events.append(("move", told[b"source"], place, moved(told, claim[1], locks)))
        elif kind == b"correction":
            events.append(
                ("mend", told[b"from_region"], (told[b"to_region"], "held"), moved(told, claim[1], locks))
            )
        else:
            need(
                kind in {b"freeze", b"unfreeze", b"reconciliation", b"decision"} or b"blocks" not in told,
                "a kind of leaf that nobody knows moves units",
            )
    edges = sorted({edge for *_, cut in events for pair in cut for edge in pair})
    cells: dict[tuple[int, int], tuple[bytes, str]] = {}
    for what, source, place, cut in events:
        for start, end in cut:
            inside = [edge for edge in edges if start <= edge <= end]
            for cell in pairwise(inside):
                if what == "mend" and cells.get(cell) == place:
                    continue  # a correction leaves what is at its place already
                need(
                    (cells.get(cell) is None) if what == "issue" else cells.get(cell) == (source, "held"),
                    "units that are not there, or twice",
                )
                cells[cell] = place
    need(cells, "a series that was never issued")
    if wants_serial:
        serial = number(claim[2], "the serial")
        at = [place for (start, end), place in cells.items() if start <= serial < end]
        need(at, "a serial that was never issued")
        return f"{at[0][1]} at {at[0][0].decode()}"
    return f"{sum(end - start for start, end in cells)} kg, each in one place"


def ranges(texts: list[bytes], series: bytes) -> list[tuple[int, int]]:
    found = []
    for text in texts:
        parts = matched(BLOCK.fullmatch(text), "not a block")
        start, end = number(parts[2], "a serial"), number(parts[3], "a serial")
        need(start < end, "an empty block")
        if parts[1] == series:
            found.append((start, end))
    return found


def moved(told: dict[bytes, bytes], series: bytes, locks: dict[bytes, Fields]) -> list[tuple[int, int]]:
    texts = told[b"blocks"].split(b"\n")
    if len(texts) >= 300:
        first = items(told[b"message_hashes"])[0]
        need(first in locks, "a lock that is left out")
        texts = [b"%b[%d,%d)" % (one.data(1), one.number(2), one.number(3)) for one in locks[first].parts(2)]
    return ranges(texts, series)


def verify_location_root(file: File, policy: Policy) -> str:
    place_in = partial(place_of, file.one, PATH)
    claim = matched(
        re.fullmatch(rb"series ([!-Z^-~]{1,160})\nserial " + NUMBER + rb"\n", file.one(b"claim")), "no claim"
    )
    size, root = tree_of(file, policy)
    index, kind, told = included(file.one(b"leaf"), file.one(b"path"), size, root)
    need(kind == b"location_root", "no root of a map")
    need(
        number(told[b"as_of_index"], "an index") <= index and len(told[b"root"]) == 32, "a map of the future"
    )
    page = items(file.one(b"page"))
    need(list(map(len, page[1:])) == [8, 8, 32], "no page")
    need(list(map(len, bucket := items(file.one(b"bucket")))) == [8, 32], "no bucket")
    at = place_in(b"bucket", 65_536, told[b"root"])
    need(at.to_bytes(2, "big") == sha256(page[0] + page[1]).digest()[:2], "a page of another bucket")
    place_in(b"page", int.from_bytes(bucket[0], "big"), bucket[1])
    row = items(file.one(b"row"))
    need(len(row) == 5 and len(row[1]) == len(row[2]) == 8 and row[4] in {b"\1", b"\2", b"\3"}, "no row")
    start, end, at, size = (int.from_bytes(value, "big") for value in (*row[1:3], *page[1:3]))
    place_in(b"row", size, page[3])
    need((row[0], start // 4_096) == (page[0], at), "a row of another page")
    need(row[0] == claim[1] and start <= number(claim[2], "the serial") < end, "another row")
    return f"at {row[3].decode()}"


def verify_contradiction(file: File, policy: Policy) -> str:
    size, root = tree_of(file, policy)
    envelopes = [Fields(data, ENVELOPE) for data in file.all(b"envelope")[:2]]
    network = network_of(envelopes[0])
    keys = known_keys(file, size, root, network, 0)
    first, second = (opened(one, keys, network, audience_of(one), size) for one in envelopes)
    need(first.matter == second.matter and first.matter[1], "two matters")
    if second.type == NACK:
        reasons = {one.data(1) for one in second.fields.parts(3)}
        need(first.type == DECISION and second.fields.data(2) == first.hash, "a denial of something else")
        need(b"DECISION_VOID" in reasons, "a complaint that is no denial")
        promised = second.sender != first.matter[0] and first.fields.number(2) == 1
        asked = first.fields.parts(1)[0].every(3)
        need(second.sender == first.matter[0] or (promised and second.sender in asked), "a stranger's denial")
        return "a decision on a message that its signer denies"
    need(first.type in ONCE and ONCE[first.type] == ONCE.get(second.type), "two kinds of message")
    need(first.sender == second.sender and first.hash != second.hash, "both can be honest")
    return f"two {ONCE[first.type]} of {first.sender.decode()}"


def audience_of(envelope: Fields) -> bytes:
    need(envelope.data(2) in MESSAGES, "a payload type that nobody knows")
    headers = Fields(envelope.data(1), MESSAGES[envelope.data(2)]).parts(1)
    need(headers and headers[0].every(3), "a message for nobody")
    return headers[0].every(3)[0]


def verify_witness(file: File, policy: Policy) -> str:
    keys = [key for _, key in policy.witnesses]
    told = []
    for part in (b"first", b"second"):
        text, times = signed_by(file.one(part), keys)
        lines = matched(CHECKPOINT.fullmatch(text), "not a checkpoint")
        told.append((lines[1], number(lines[2], "a size"), lines[3], times))
    (origin, size, root, times), (other_origin, other_size, other_root, other_times) = told
    common = times.keys() & other_times.keys()
    need(common and origin == other_origin, "no witness cosigned both")
    split = size == other_size and root != other_root
    back = size > other_size and any(times[one] < other_times[one] for one in common)
    need(split or back, "both can be honest")
    return "a witness that no honest one is"


VERIFIERS = {
    b"title": verify_title,
    b"retirement": verify_title,
    b"rules": verify_title,
    b"decision": verify_only_decision,
    b"conservation": verify_series,
    b"location": verify_series,
    b"location-root": verify_location_root,
    b"contradiction": verify_contradiction,
    b"witness-misbehaviour": verify_witness,
}


def verify_file(data: bytes, policy: Policy) -> str:
    """Say what the file proves; `Refused` when it proves nothing."""
    if data.startswith(b"tanqiao-log-misbehaviour@"):
        verify_evidence(data, policy)
        return "the log signed two trees that cannot both be honest"
    try:
        file = File(data)
        return VERIFIERS[file.kind](file, policy)
    except (KeyError, IndexError) as missing:
        raise Refused(f"something is missing: {missing}") from None


def main(arguments: list[str]) -> int:
    """Verify one file."""
    if len(arguments) != 2:
        print(__doc__)
        return 2
    try:
        print(verify_file(Path(arguments[1]).read_bytes(), Policy(Path(arguments[0]).read_bytes())))
    except Refused as why:
        print(f"refused: {why}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
