"""The log handed over to other witnesses, for `verify_file`, and the policy that follows from an older."""

from __future__ import annotations

import base64
import re
from collections import Counter
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.independent.verify_message import (
    File,
    KnownKey,
    envelope_hash,
    included,
    known_keys,
    network_of,
    pae,
    tree_of,
)
from tests.independent.verify_proof import Policy, Refused, need
from tests.independent.wire import APPROVER, CHECKPOINT_KEY, ENVELOPE, GROUP, MESSAGES, ROOT, WITNESS, Fields

PARTY = re.compile(rb"(region|witness)/[a-z0-9][a-z0-9._-]*")


def verify_handover(file: File, policy: Policy) -> str:
    start, quorum, names, _, _ = handed_over(file, policy)
    return f"from {start} leaves on {quorum} of {len(names)} other witnesses"


def next_policy(data: bytes, handover: bytes) -> bytes:
    """The policy that follows from an older one, as lines behind its own."""
    policy, file = Policy(data), File(handover)
    start, quorum, names, keys, logs = handed_over(file, policy)
    if any(size >= start for size, _ in policy.since):
        return data
    lines = [b"log " + key for key in logs if b" " + key not in data]
    later = [b"from %d" % start]
    for name, (key, *more) in zip(names, keys, strict=True):
        need(not more, "a witness with two keys is not written here")
        later.append(b"witness %b %b" % (name, key))
    later += [b"group quorum %d %b" % (quorum, b" ".join(names)), b"quorum quorum"]
    return b"\n".join([*lines, data + later[0], *later[1:]]) + b"\n"


def handed_over(file: File, policy: Policy) -> tuple[int, int, list[bytes], list[list[bytes]], list[bytes]]:
    """From which size on, how many of whom, their keys, and the log's."""
    size, root = tree_of(file, policy)
    index, kind, told = included(file.one(b"leaf"), file.one(b"path"), size, root)
    need(kind == b"witness_group", "a leaf that changes no witnesses")
    by_roots = told[b"signed_by"] == b"roots"
    need(by_roots or size == index + 1, "a change that is not the last leaf of what was cosigned")
    need(by_roots or policy.at(size).quorum != b"none", "a first group without every root")
    envelope = Fields(file.one(b"envelope"), ENVELOPE)
    need(envelope.data(2) == GROUP and not envelope.parts(4), "no change of witnesses")
    network = network_of(envelope)
    keys = known_keys(file, size, root, network, 1)
    record = Fields(envelope.data(1), MESSAGES[GROUP])
    signers = [one.data(1) for one in envelope.parts(3)]
    signed_by(envelope, record, keys, network, index, by_roots=by_roots)
    names, quorum = record.every(2), record.number(3)
    says_what_may_be_said(record, names, quorum)
    need(
        told
        == {
            b"change_id": record.data(5),
            b"message_hashes": framed([envelope_hash(envelope)]),
            b"quorum": b"%d" % quorum,
            b"replaces_log_index": b"%d" % record.number(6),
            b"signed_by": b"roots" if by_roots else b"approvers",
            b"signer_key_ids": framed(signers),
            b"witnesses": b"\n".join(names),
        },
        "a leaf that says something else",
    )
    before = record.number(6)
    sizes = {start for start, _ in policy.since}
    need(before == 0 or sizes & {before + 1, before + 2}, "a change between the policy's and this one")
    start = index + (1 if by_roots else 2)
    counting = [note_keys(keys, network, name, WITNESS, 4, start - 1) for name in names]
    need(all(counting), "a witness without a key")
    return start, quorum, names, counting, note_keys(keys, network, b"bridge", CHECKPOINT_KEY, 1, None)


def signed_by(
    envelope: Fields,
    record: Fields,
    keys: dict[bytes, KnownKey],
    network: bytes,
    index: int,
    *,
    by_roots: bool,
) -> None:
    """Two approvers of each authority whose root is shown, or every such root."""
    signatures = envelope.parts(3)
    need(0 < len(signatures) <= 128, "no signatures, or too many")
    need(len({one.data(1) for one in signatures}) == len(signatures), "one key twice")
    hands = set()
    for one in signatures:
        need(one.data(1) in keys, "a key that the file does not prove")
        known = keys[one.data(1)]
        need(known.role == (ROOT if by_roots else APPROVER), "a key of another role")
        need(known.stated < index, "a key that was stated later")
        need(known.start <= index and not 0 < known.end <= index, "a key that was not valid")
        try:
            Ed25519PublicKey.from_public_bytes(known.public).verify(
                one.data(2), pae(envelope.data(2), envelope.data(1))
            )
        except (InvalidSignature, ValueError):
            raise Refused(f"the signature of {known.owner!r} is wrong") from None
        hands.add((known.owner, known.holder or one.data(1).hex().encode()))
    found = Counter(owner for owner, _ in hands)
    wanted = {known.owner for known in keys.values() if known.role == ROOT}
    need(all(found[owner] >= (1 if by_roots else 2) for owner in wanted), "an authority that has not signed")
    need(len(record.parts(1)) == 1, "no header")
    header, first = record.parts(1)[0], keys[signatures[0].data(1)]
    need(header.data(2) == first.owner and header.number(9) == first.epoch, "another's key")
    need(first.owner.startswith(b"authority/"), "no authority")
    need(header.data(1) == network and b"bridge" in header.every(3), "for others")
    need(len(header.data(4)) == 16, "no message id")


def says_what_may_be_said(record: Fields, names: list[bytes], quorum: int) -> None:
    count = len(names)
    need(0 < count <= 64 and len(set(names)) == count, "no witnesses, too many, or one twice")
    need(count < 2 * quorum < 2 * count, "a quorum that half could reach or that all must")
    need(all(PARTY.fullmatch(name) for name in names), "no witness's name")
    need(len(record.data(5)) == 16 and record.number(6) < 2**63, "no change id, or no index")
    for text in (record.data(4), record.data(7)):
        need(
            text.decode("utf-8", "replace").strip() and len(text.decode("utf-8", "replace")) <= 500,
            "no words",
        )


def note_keys(
    keys: dict[bytes, KnownKey], network: bytes, owner: bytes, role: int, kind: int, index: int | None
) -> list[bytes]:
    """The keys of a party as a policy names them, the newest first; of an index those that count there."""
    found = [
        known
        for known in keys.values()
        if known.owner == owner
        and known.role == role
        and (index is None or (known.start <= index and not 0 < known.end <= index))
    ]
    made = []
    for known in sorted(found, key=lambda one: -one.epoch):
        name, raw = network + b"/" + owner, bytes([kind]) + known.public
        short = sha256(name + b"\n" + raw).digest()[:4].hex().encode()
        made.append(name + b"+" + short + b"+" + base64.b64encode(raw))
    return made


def framed(values: list[bytes]) -> bytes:
    return b"".join(len(value).to_bytes(2, "big") + value for value in values)
