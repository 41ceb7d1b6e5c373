"""A change of witnesses that the group before cosigned: a good file, and what was tried with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import add_signature
from tanqiao.signing.witness_groups import group_leaf
from tanqiao.tlog.leaf import Leaf
from tests.golden.museum import federation as f
from tests.golden.museum.exhibits import LATER_WITNESSES, WITNESSES, BadFile, signed

Parts = list[tuple[str, bytes]]
KIND = "handover"
PARTIES = (f.SHANGHAI, "witness/regulator", "witness/university")
NEW = [f.key(party, KeyRole.WITNESS) for party in PARTIES]
APPROVERS = [f.key(owner, KeyRole.APPROVER, number) for owner in f.AUTHORITIES for number in (1, 2)]
NODE = f.KEYS[f.SHANGHAI]
NEXT_ROOT = f.key("authority/310000", KeyRole.ROOT, 2)
RECORDS = {of.signer.key_id: f.key_record(of) for of in (*NEW, *APPROVERS, NODE, NEXT_ROOT)}
LATER_APPROVERS = [f.key("authority/310000", KeyRole.APPROVER, number) for number in (3, 4)]
RECORDS |= {of.signer.key_id: f.key_record(of, root=NEXT_ROOT) for of in LATER_APPROVERS}
"""Two approvers for whom a root vouches that followed the first."""
STRANGER = f.key("authority/310000", KeyRole.APPROVER, 9)


def change(by: Sequence[f.Key] = APPROVERS, **changed: Any) -> envelope_pb2.Envelope:
    """Sign a change of the group."""
    fields: dict[str, Any] = {
        "header": f.header(by[0].signer, f.BRIDGE),
        "witnesses": PARTIES,
        "quorum": 2,
        "document": "order 9",
        "change_id": b"c" * 16,
        "reason": "invented",
        **changed,
    }
    made = f.envelope(by[0].signer, messages_pb2.WitnessGroupRecord(**fields))
    for one in by[1:]:
        made = add_signature(made, one.signer)
    return made


def leaf_of(record: envelope_pb2.Envelope, *, by_roots: bool = False) -> Leaf:
    """The leaf of a change."""
    told = messages_pb2.WitnessGroupRecord.FromString(record.payload)
    keys = [one.key_id for one in record.signatures]
    return group_leaf(told, f.hash_of(record), keys, by_roots=by_roots)


def log_with(*leaves: Leaf, keys: Sequence[f.Key] = (*NEW, *APPROVERS)) -> f.SmallLog:
    """A log of roots, the keys' records, and these leaves."""
    stated = [f.anchor_leaf(root) for root in f.ROOTS.values()]
    stated += [f.record_leaf(of, RECORDS[of.signer.key_id]) for of in keys]
    return f.SmallLog([leaf.encode() for leaf in (*stated, *leaves)])


def parts(
    record: envelope_pb2.Envelope | None = None,
    leaf: Leaf | None = None,
    *behind: Leaf,
    keys: Sequence[f.Key] = (*NEW, *APPROVERS),
    shown: Sequence[f.Key] = (*NEW, *APPROVERS),
    checkpoint: Callable[[f.SmallLog], bytes] = lambda log: log.checkpoint,
) -> Parts:
    """The parts of a file.

    Args:
        record: the change.
        leaf: of it.
        behind: leaves behind it under the checkpoint.
        keys: those that the log states.
        shown: those of them that the file shows.
        checkpoint: gives the checkpoint of the log.
    """
    record = record or change()
    log = log_with(leaf or leaf_of(record), *behind, keys=keys)
    made: Parts = [("checkpoint", checkpoint(log)), *log.leaf(len(f.ROOTS) + len(keys))]
    made.append(("envelope", record.SerializeToString()))
    for at in range(len(f.ROOTS)):
        made += log.leaf(at)
    for at, of in enumerate(keys, len(f.ROOTS)):
        if of in shown:
            made += [*log.leaf(at), ("envelope", RECORDS[of.signer.key_id].SerializeToString())]
    return made


def by_later_approvers(*order: f.Key) -> Parts:
    """A change that approvers signed whom the next root of their authority named; the keys in this order."""
    signed_by = change([*LATER_APPROVERS, *APPROVERS[2:]])
    keys = (*NEW, *APPROVERS[2:], *order)
    return parts(signed_by, leaf_of(signed_by), keys=keys, shown=keys)


def by_roots() -> Parts:
    """A change that every root signed; those before have cosigned a tree with it all the same."""
    record = change(list(f.ROOTS.values()))
    return parts(record, leaf_of(record, by_roots=True), f.issue_leaf(0, 3000), keys=NEW, shown=NEW)


def cosigned_by(*witnesses: int) -> Callable[[f.SmallLog], bytes]:
    """Let these of the witnesses before cosign; of number 3 on those who come after."""
    everybody = [*WITNESSES, *LATER_WITNESSES[1:]]

    def checkpoint(log: f.SmallLog) -> bytes:
        text = log.checkpoint.split(b"\n\n")[0] + b"\n"
        return signed(text, *(everybody[number] for number in witnesses)).encode()

    return checkpoint


def bad_handovers(case: Callable[..., BadFile]) -> Iterator[BadFile]:
    """Changes that hand nothing over, each named for what was tried."""

    def told(name: str, reason: str, attack: str, data: Parts) -> BadFile:
        return case(f"handover-{name}", reason, attack, data, KIND)

    record = change()
    yield told(
        "by-the-new-group",
        "QUORUM_NOT_REACHED",
        "the new witnesses appoint themselves",
        parts(checkpoint=cosigned_by(2, 3, 4)),
    )
    yield told(
        "by-the-log-alone",
        "QUORUM_NOT_REACHED",
        "the log chooses its witnesses",
        parts(checkpoint=cosigned_by()),
    )
    yield told(
        "not-the-last-leaf",
        "HANDOVER_WRONG",
        "what lies behind the change passes as the old group's",
        parts(record, None, f.issue_leaf(0, 3000)),
    )
    yield told(
        "of-an-issue", "HANDOVER_WRONG", "a leaf that replaces nobody", parts(record, f.issue_leaf(0, 3000))
    )
    yield told(
        "leaf-names-others",
        "MESSAGE_NOT_NAMED",
        "the leaf names other witnesses than were signed for",
        parts(record, _other_names(record)),
    )
    yield told(
        "says-roots",
        "MESSAGE_NOT_NAMED",
        "approvers pass as roots, so that it counts one leaf earlier",
        parts(record, leaf_of(record, by_roots=True)),
    )
    yield told(
        "record-of-another-change",
        "MESSAGE_NOT_NAMED",
        "another record of the same approvers",
        parts(change(change_id=b"d" * 16), leaf_of(record)),
    )
    for name, attack, by in (
        ("one-approver-of-one", "one approver of an authority is missing", APPROVERS[:-1]),
        ("without-an-authority", "an authority was not asked", APPROVERS[:-2]),
        ("by-a-node", "a node signs for the authorities", [NODE]),
    ):
        signed_by = change(by)
        keys = (*NEW, *APPROVERS, NODE)
        data = parts(signed_by, leaf_of(signed_by), keys=keys, shown=keys)
        yield told(name, "MESSAGE_REFUSED", attack, data)
    stranger = change([STRANGER, *APPROVERS[1:]])
    yield told(
        "by-a-stranger",
        "KEY_NOT_SHOWN",
        "an approver whom no root has named",
        parts(stranger, leaf_of(stranger)),
    )
    yield told(
        "approver-named-later",
        "KEY_STATED_LATER",
        "an approver's key was stated behind the change",
        _approver_later(),
    )
    yield told(
        "next-root-named-later",
        "MESSAGE_REFUSED",
        "a root vouches before the log has stated it",
        by_later_approvers(*LATER_APPROVERS, NEXT_ROOT),
    )
    yield told(
        "next-root-left-out",
        "MESSAGE_REFUSED",
        "nobody vouches for the root that vouches",
        by_later_approvers(*LATER_APPROVERS),
    )
    yield told("signature-forged", "MESSAGE_REFUSED", "one signature is made up", _forged(record))
    yield told(
        "witness-without-a-key",
        "KEY_NOT_SHOWN",
        "one of the new witnesses has no key, and fewer are enough",
        parts(keys=(*NEW[:-1], *APPROVERS), shown=(*NEW[:-1], *APPROVERS)),
    )
    for name, attack, changed in (
        ("half-is-enough", "half of the group makes final", {"quorum": 1}),
        ("all-must", "one silent witness holds everything up", {"quorum": 3}),
        ("one-witness-twice", "one witness counts twice", {"witnesses": (PARTIES[0], *PARTIES[:2])}),
        ("of-a-gateway", "a party that witnesses nothing", {"witnesses": ("gateway/ccer", *PARTIES[1:])}),
        ("without-a-reason", "nobody says why", {"reason": " "}),
        ("without-an-id", "a change that may be made twice", {"change_id": b""}),
    ):
        odd = change(**changed)
        reason = (
            "LEAF_FIELD" if name in {"half-is-enough", "all-must", "one-witness-twice"} else "MESSAGE_REFUSED"
        )
        yield told(name, reason, attack, parts(odd, leaf_of(odd)))
    skipping = change(replaces_log_index=5)
    yield told(
        "that-skips-one",
        "POLICY_BEHIND",
        "who was replaced between the two would count on",
        parts(skipping, leaf_of(skipping)),
    )


def _other_names(record: envelope_pb2.Envelope) -> Leaf:
    told = messages_pb2.WitnessGroupRecord.FromString(record.payload)
    told.witnesses[2] = "witness/another"
    return group_leaf(told, f.hash_of(record), [one.key_id for one in record.signatures], by_roots=False)


def _approver_later() -> Parts:
    """The leaf says that roots signed, so that the tree may go on; an approver's key stands behind it."""
    signed_by = change()
    last = APPROVERS[-1]
    keys = (*NEW, *APPROVERS[:-1])
    leaf = leaf_of(signed_by, by_roots=True)
    log = log_with(leaf, f.record_leaf(last, RECORDS[last.signer.key_id]), keys=keys)
    made: Parts = [("checkpoint", log.checkpoint), *log.leaf(len(f.ROOTS) + len(keys))]
    made.append(("envelope", signed_by.SerializeToString()))
    for at in range(len(f.ROOTS)):
        made += log.leaf(at)
    for at, of in enumerate((*keys, None, last), len(f.ROOTS)):
        if of is not None:
            made += [*log.leaf(at), ("envelope", RECORDS[of.signer.key_id].SerializeToString())]
    return made


def _forged(record: envelope_pb2.Envelope) -> Parts:
    forged = envelope_pb2.Envelope()
    forged.CopyFrom(record)
    forged.signatures[3].signature = bytes(64)
    return parts(forged, leaf_of(record))
