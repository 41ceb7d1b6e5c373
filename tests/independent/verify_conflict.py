"""One conflict of the claim index, for `verify_file`: a statement of the bridge and the leaves behind it."""

from __future__ import annotations

from hashlib import sha256

from tests.independent.verify_message import (
    File,
    envelope_hash,
    included,
    items,
    known_keys,
    network_of,
    opened,
    opened_decision,
    tree_of,
)
from tests.independent.verify_proof import Policy, need
from tests.independent.wire import ENVELOPE, MESSAGES, PACK, RECEIPT, RESOLUTION, Fields, varint

STATUSES = (
    b"UNSPECIFIED DRAFT DECLARED NOTICE REGISTERED ISSUED RETIRED WITHDRAWN REJECTED LAPSED CANCELLED "
    b"SUPERSEDED"
).split()
ENDS = {1: b"allowed", 2: b"blocked", 3: b"split"}
ISSUED, RETIRED = 5, 6


def verify_conflict(file: File, policy: Policy) -> str:
    size, root = tree_of(file, policy)
    envelope = Fields(file.one(b"envelope"), ENVELOPE)
    need(envelope.data(2) == PACK, "no statement about a conflict")
    network = network_of(envelope)
    keys = known_keys(file, size, root, network, 0)
    pack = opened(envelope, keys, network, audience_of(envelope), size)
    need(pack.sender == b"bridge", "a statement that is not the bridge's")
    case = pack.fields.parts(2)[0]
    digests: dict[bytes, bytes] = {}
    statuses: dict[bytes, int] = {}
    indexes, ended = [], b""
    steps = zip(file.all(b"step-leaf"), file.all(b"step-path"), file.all(b"step"), strict=True)
    for leaf, path, data in steps:
        index, kind, told = included(leaf, path, size, root)
        indexes.append(index)
        step = Fields(data, ENVELOPE)
        hashes = items(told.get(b"message_hashes", b""))
        if kind == b"claim":
            need(hashes[1] == envelope_hash(step), "a receipt that the leaf does not name")
            need(step.data(2) == RECEIPT, "no receipt")
            receipt = opened(step, keys, network, audience_of(step), index)
            need(receipt.sender == b"bridge", "a receipt that is not the bridge's")
            claim_id, digest = receipt.fields.data(2), receipt.fields.data(7)
            status = receipt.fields.number(3)
            need(receipt.fields.number(5) == index, "a receipt of another leaf")
            need(
                (told[b"claim_id"], told[b"claim_digest"], told[b"status"])
                == (claim_id, digest, b"CLAIM_STATUS_" + STATUSES[status]),
                "a leaf that says something else",
            )
            need(digests.setdefault(claim_id, digest) == digest, "two contents of one claim")
            statuses[claim_id] = status
        else:
            need(kind in {b"case_resolution", b"asset_alias"}, "a leaf that is about no conflict")
            need(hashes[0] == envelope_hash(step), "a decision that the leaf does not name")
            decision = opened_decision(step, keys, network, index)
            need((kind == b"case_resolution") == (decision.type == RESOLUTION), "another kind of decision")
            if decision.type == RESOLUTION:
                need(decision.fields.number(2) == case.number(1), "the resolution of another case")
                ended = ENDS.get(decision.fields.number(3), b"")
    need(indexes == numbers(pack.fields.data(5)), "other leaves than the statement names")
    need(indexes == sorted(set(indexes)), "leaves out of order")
    claims = pack.fields.parts(4)
    stated = [one.data(1) for one in claims]
    need(stated and sorted(stated) == sorted(digests), "other claims than the leaves are about")
    need(set(stated) <= set(case.every(6)), "claims that the case does not name")
    for one in claims:
        content, claim_id = one.data(3), one.data(1)
        need(not content or sha256(content).digest() == digests[claim_id], "a claim of other content")
        need(one.number(2) in {statuses[claim_id], ISSUED, RETIRED}, "a claim that stands elsewhere")
    state = case.data(3)
    need(state == ended if ended else state not in ENDS.values(), "a case that ended otherwise")
    return f"case {case.number(1)} about {len(claims)} claims"


def audience_of(envelope: Fields) -> bytes:
    headers = Fields(envelope.data(1), MESSAGES[envelope.data(2)]).parts(1)
    need(headers and headers[0].every(3), "a message for nobody")
    return headers[0].every(3)[0]


def numbers(data: bytes) -> list[int]:
    found = []
    while data:
        value, data = varint(data)
        found.append(value)
    return found
