"""A second verifier of the federation's proof files, from docs/verify-a-proof.md and without its library.

Standard library, the Ed25519 primitive of `cryptography`, and this folder's `verify_proof` for notes, trees
and policies; `wire` takes protobuf apart by hand. Use, from the root of the repository; it ends with 0 for
what is proven, with 1 for what is refused::

    python -m tests.independent.verify_file POLICY FILE
"""

from __future__ import annotations

import re
import sys
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from tests.independent.verify_conflict import verify_conflict
from tests.independent.verify_handover import verify_handover
from tests.independent.verify_message import (
    PATH,
    File,
    KnownKey,
    Signed,
    envelope_hash,
    included,
    items,
    known_keys,
    network_of,
    opened,
    tree_of,
)
from tests.independent.verify_place import place_of
from tests.independent.verify_proof import (
    CHECKPOINT,
    LIMIT,
    NUMBER,
    Policy,
    Refused,
    leaf_hash,
    matched,
    need,
    number,
    signed_by,
    tree_hash,
    verify_evidence,
    verify_leaf,
)
from tests.independent.wire import (
    CERTIFICATE,
    DECISION,
    ENVELOPE,
    FILING,
    LOCK,
    MESSAGES,
    NACK,
    READY,
    REFUSE,
    USE,
    Fields,
)

BLOCK = re.compile(rb"([!-Z^-~]{1,160})\[(0|[1-9][0-9]{0,18}),(0|[1-9][0-9]{0,18})\)")
ONCE = {DECISION: "decisions", LOCK: "locks", USE: "locks", READY: "answers", REFUSE: "answers"}
NAMED = {b"title": 3, b"retirement": 2, b"certificate": 2}


def verify_title(file: File, policy: Policy) -> str:
    size, root = tree_of(file, policy)
    index, kind, told = included(file.one(b"leaf"), file.one(b"path"), size, root)
    need(kind == b"decision", "no decision")
    hashes = items(told.get(b"message_hashes", b""))
    need(
        len(hashes) == {b"title": 3, b"retirement": 2, b"certificate": 2}.get(file.kind, len(hashes)),
        "other messages",
    )
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
    if file.kind == b"certificate":
        verify_certificate(file, lock, keys, network, index, size)
    return f"{sum(end - start for _, start, end in blocks)} kg at index {index}"


def verify_certificate(
    file: File, use: Signed, keys: dict[bytes, KnownKey], network: bytes, index: int, size: int
) -> None:
    """The region's own certificate says what its retirement says, and names whom the file opens."""
    envelope = Fields(file.one(b"certificate"), ENVELOPE)
    need(envelope.data(2) == CERTIFICATE, "no certificate")
    signed_at = Fields(envelope.data(1), MESSAGES[CERTIFICATE]).number(15)
    need(index < signed_at <= size, "signed before the decision, or later than the file shows")
    told = opened(envelope, keys, network, use.sender, signed_at)
    need(told.sender == use.sender and told.matter == use.matter, "another retirement's")
    need(use.type == USE and use.fields.number(3) == 1, "no retirement")
    ours, theirs = told.fields, use.fields
    need(ours.data(3) == use.hash and ours.data(2), "another use, or no number")
    for here, there, fields in ((4, 2, (1, 2, 3)), (10, 8, (1, 2, 3))):
        pairs = [
            [(one.data(1) if here == 4 else one.number(1), *map(one.number, fields[1:])) for one in parts]
            for parts in (ours.parts(here), theirs.parts(there))
        ]
        need(pairs[0] == pairs[1], "other units, or another day")
    need(ours.number(5) == theirs.number(7) and ours.data(6) == theirs.data(4), "another quantity or purpose")
    need(ours.number(14) == index, "another place in the log")
    named = [data[:-16] for data in file.all(b"opening-beneficiary")]
    need(ours.data(8) == b"".join(named), "another beneficiary")


def verify_filing(file: File, policy: Policy) -> str:
    """A region's word about an entry of its reserve, under a key that the log stated before."""
    size, root = tree_of(file, policy)
    envelope = Fields(file.one(b"envelope"), ENVELOPE)
    need(envelope.data(2) == FILING, "no proof of filing")
    stated = Fields(envelope.data(1), MESSAGES[FILING])
    index = stated.number(13)
    need(0 < index <= size, "signed at no index, or later than the file shows")
    network = network_of(envelope)
    keys = known_keys(file, size, root, network, 0)
    proof = opened(envelope, keys, network, stated.parts(1)[0].data(2), index).fields
    entry, told = proof.data(3), proof.data(2)
    need(told.startswith(entry), "the number of another entry")
    need(re.fullmatch(rb"\.P[1-9][0-9]{0,8}", told[len(entry) :]), "no number of a proof")
    need(proof.number(7) < LIMIT, "less than nothing")
    link = proof.parts(10)[0] if proof.parts(10) else Fields(b"", {})
    need(bool(link.data(1)) == bool(link.data(2)), "half a link")
    day = link.parts(5)[0].number(1) if link.parts(5) else 0
    need(not link.data(3) or (link.data(4) and day), "a state that no list states")
    return f"proof of filing {told.decode()}"


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
    listed = [key for one in [policy, *(later for _, later in policy.since)] for _, key in one.witnesses]
    keys = list({(key.name, key.public): key for key in listed}.values())
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
    b"certificate": verify_title,
    b"rules": verify_title,
    b"filing-proof": verify_filing,
    b"decision": verify_only_decision,
    b"conservation": verify_series,
    b"location": verify_series,
    b"location-root": verify_location_root,
    b"conflict": verify_conflict,
    b"handover": verify_handover,
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
