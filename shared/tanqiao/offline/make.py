"""Proof files from a log that somebody serves: what is fetched, and how it is put together.

Nothing that comes is believed: each file is verified under the policy before it is given, so that what a
lying server hands out is found where it is fetched and not at a court.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, Protocol

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.offline.conflict import read_pack
from tanqiao.offline.container import encode_file
from tanqiao.offline.filings import read_filing
from tanqiao.offline.handover import HANDOVER_KIND
from tanqiao.offline.key_chain import ANCHOR_KIND, RECORD_KIND
from tanqiao.offline.location_map import LOCATION_ROOT_KIND
from tanqiao.offline.paths import encode_path
from tanqiao.offline.replay import BLOCKS_IN_LEAF_MAX, Claim
from tanqiao.offline.report import Report
from tanqiao.offline.verify import verify_stream
from tanqiao.signing.federation import authority_of
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.witness_groups import change_of_leaf
from tanqiao.tlog.checkpoint import size_of_note
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, decode_leaf

__all__ = [
    "Openings",
    "Placed",
    "ProofSource",
    "ServedLeaf",
    "make_conflict_proof",
    "make_contradiction",
    "make_decision_proof",
    "make_filing_proof",
    "make_handover",
    "make_location_root_proof",
    "write_replay",
]

Parts = list[tuple[str, bytes]]
Placed = tuple[int, bytes, Sequence[bytes]]
"""Index in its tree, bytes, and the path to the root."""
LOCKS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class ServedLeaf:
    """A leaf with its index and the signed messages that travel beside it."""

    index: int
    leaf: bytes
    envelopes: tuple[envelope_pb2.Envelope, ...] = ()


@dataclass(frozen=True, slots=True)
class Openings:
    """Values and salts that the holder opens; each is the bytes before their 16 bytes of salt, or empty."""

    address: bytes = b""
    owner: bytes = b""
    beneficiary: bytes = b""

    def parts(self, *, of_use: bool) -> Parts:
        """Give the parts of a file, in its order."""
        named = [("opening-owner", self.owner), ("opening-beneficiary", self.beneficiary)]
        if not of_use:
            named = [("opening-address", self.address), ("opening-owner", self.owner)]
        return [(name, data) for name, data in named if data]


class ProofSource(Protocol):
    """Port: a log that is served, with what travels beside its leaves."""

    def cosigned(self) -> tuple[int, bytes]:
        """Give size and note of the newest checkpoint that a quorum cosigned."""
        ...

    def path(self, index: int, size: int) -> Sequence[bytes]:
        """Give the inclusion proof of a leaf in the tree of a size."""
        ...

    def leaves(self, start: int, end: int, *, with_envelopes: bool = False) -> Iterator[ServedLeaf]:
        """Give leaves ``[start, end)`` in order."""
        ...


def make_decision_proof(
    source: ProofSource,
    kind: str,
    decided: ServedLeaf,
    policy: bytes,
    *,
    openings: Openings = Openings(),
    rules: Sequence[tuple[str, bytes]] = (),
    certificate: envelope_pb2.Envelope | None = None,
) -> tuple[bytes, Report]:
    """Make a file of kind title, retirement, certificate or rules, and verify it.

    Args:
        source: the log.
        kind: ``title``, ``retirement``, ``certificate`` or ``rules``.
        decided: the decision's leaf with its messages.
        policy: bytes of the policy file under which the result is checked.
        openings: what the holder opens.
        rules: names and contents of the rule texts, for their digest.
        certificate: the signed certificate of a file of kind certificate.

    Raises:
        TlogError: what makes the proof fail; `INDEX_OUT_OF_TREE` where the decision is not cosigned yet.
    """
    size, note = source.cosigned()
    leaf = decode_leaf(decided.leaf)
    if decided.index >= size:
        raise TlogError("INDEX_OUT_OF_TREE", f"index {decided.index}; {size} leaves are cosigned")
    if len(decided.envelopes) != len(leaf.message_hashes):
        raise TlogError(
            "MESSAGE_NOT_NAMED", f"{len(decided.envelopes)} of {len(leaf.message_hashes)} are served"
        )
    parts: Parts = [("checkpoint", note), *_leaf_parts(source, decided, size)]
    parts += [("envelope", one.SerializeToString()) for one in decided.envelopes]
    key_ids, before = list(leaf.signer_key_ids), decided.index
    if certificate is not None:
        parts += [("certificate", certificate.SerializeToString())]
        openings = Openings(beneficiary=openings.beneficiary)
        key_ids += [one.key_id for one in certificate.signatures]
        before = size  # the key that signed it may be younger than the retirement
    if kind != "rules":
        parts += openings.parts(of_use=kind != "title")
    for name, text in sorted(rules):
        parts += [("rules-name", name.encode()), ("rules-text", text)]
    parts += _key_parts(source, key_ids, before, size)
    return _checked(encode_file(kind, parts), policy)


def make_contradiction(
    source: ProofSource, first: envelope_pb2.Envelope, second: envelope_pb2.Envelope, policy: bytes
) -> tuple[bytes, Report]:
    """Make the evidence of two messages that cannot both be honest, and verify it.

    Raises:
        TlogError: `EVIDENCE_PROVES_NOTHING` when both can be, and what makes the file fail.
    """
    size, note = source.cosigned()
    key_ids = [one.key_id for envelope in (first, second) for one in envelope.signatures]
    parts: Parts = [
        ("checkpoint", note),
        ("envelope", first.SerializeToString()),
        ("envelope", second.SerializeToString()),
        *_key_parts(source, key_ids, size, size),
    ]
    return _checked(encode_file("contradiction", parts), policy)


def make_conflict_proof(
    source: ProofSource, statement: envelope_pb2.Envelope, policy: bytes
) -> tuple[bytes, Report]:
    """Make the evidence of one conflict from the bridge's statement about it, and verify it.

    Raises:
        TlogError: what makes the file fail; `INDEX_OUT_OF_TREE` where a leaf is not cosigned yet.
    """
    size, note = source.cosigned()
    parts: Parts = [("checkpoint", note), ("envelope", statement.SerializeToString())]
    key_ids = [one.key_id for one in statement.signatures]
    for index in read_pack(statement).log_indexes:
        if index >= size:
            raise TlogError("INDEX_OUT_OF_TREE", f"index {index}; {size} leaves are cosigned")
        served = next(iter(source.leaves(index, index + 1, with_envelopes=True)))
        if not served.envelopes:
            raise TlogError("MESSAGE_NOT_NAMED", f"no message is served beside index {index}")
        step = served.envelopes[-1]
        path = encode_path(index, source.path(index, size))
        parts += [("step-leaf", served.leaf), ("step-path", path), ("step", step.SerializeToString())]
        key_ids += [one.key_id for one in step.signatures]
    parts += _key_parts(source, key_ids, size, size)
    return _checked(encode_file("conflict", parts), policy)


def make_filing_proof(
    source: ProofSource, proof: envelope_pb2.Envelope, policy: bytes
) -> tuple[bytes, Report]:
    """Make the file of a signed proof of filing, and verify it.

    Raises:
        TlogError: what makes the file fail; `INDEX_OUT_OF_TREE` where no checkpoint covers it yet.
    """
    size, note = source.cosigned()
    index = read_filing(proof).signed_at_index
    if index > size:
        raise TlogError("INDEX_OUT_OF_TREE", f"index {index}; {size} leaves are cosigned")
    key_ids = [one.key_id for one in proof.signatures]
    parts: Parts = [("checkpoint", note), ("envelope", proof.SerializeToString())]
    parts += _key_parts(source, key_ids, size, size)
    return _checked(encode_file("filing-proof", parts), policy)


def make_handover(
    source: ProofSource, changed: ServedLeaf, note: bytes, policy: bytes
) -> tuple[bytes, Report]:
    """Make the file that hands the log over to another group of witnesses, and verify it.

    Args:
        source: the log.
        changed: the leaf of the change with its record.
        note: the checkpoint that the group before cosigned; empty: it has not yet.
        policy: from before the change, or a later one.

    Raises:
        TlogError: what makes the file fail; `QUORUM_NOT_REACHED` before it was cosigned.
    """
    if not note or not changed.envelopes:
        raise TlogError("QUORUM_NOT_REACHED", f"nobody has cosigned leaf {changed.index}")
    size, leaf = size_of_note(note), decode_leaf(changed.leaf)
    named = set(change_of_leaf(leaf, changed.index).group.witnesses)
    signers = set(leaf.signer_key_ids)

    def is_wanted(record: Leaf) -> bool:
        role, owner = record.value("role"), record.value("owner").decode()
        return (
            record.value("key_id") in signers
            or role == b"ROOT"
            or (role == b"WITNESS" and owner in named)
            or (role == b"CHECKPOINT" and owner == BRIDGE)
        )

    parts: Parts = [("checkpoint", note), *_leaf_parts(source, changed, size)]
    parts.append(("envelope", changed.envelopes[0].SerializeToString()))
    parts += _every_record(source, is_wanted, changed.index, size)
    return _checked(encode_file(HANDOVER_KIND, parts), policy)


def make_location_root_proof(
    source: ProofSource,
    claim: Claim,
    root: ServedLeaf,
    row: Placed,
    page: Placed,
    bucket: Placed,
    policy: bytes,
) -> tuple[bytes, Report]:
    """Make a file of kind location-root: a map's root, a row, what is between."""
    size, note = source.cosigned()
    if decode_leaf(root.leaf).kind != LOCATION_ROOT_KIND:
        raise TlogError("LEAF_KIND", decode_leaf(root.leaf).kind)
    if root.index >= size:
        raise TlogError("INDEX_OUT_OF_TREE", f"index {root.index}; {size} leaves are cosigned")
    parts: Parts = [("claim", claim.encode()), ("checkpoint", note), *_leaf_parts(source, root, size)]
    for name, (index, data, path) in (("row", row), ("page", page), ("bucket", bucket)):
        parts += [(name, data), (f"{name}-path", encode_path(index, path))]
    return _checked(encode_file("location-root", parts), policy)


def write_replay(source: ProofSource, kind: str, claim: Claim, policy: bytes, out: Path) -> Report:
    """Write a file of kind decision, conservation or location, with every entry of the log, and verify it.

    The entries are streamed: memory does not grow with the log.

    Raises:
        TlogError: what makes the proof fail; the file is then removed.
    """
    size, note = source.cosigned()
    locks: Parts = []
    with TemporaryFile() as entries:
        entries_bytes = 0
        for served in source.leaves(0, size):
            entry = len(served.leaf).to_bytes(2, "big") + served.leaf
            entries.write(entry)
            entries_bytes += len(entry)
            if kind != "decision" and _is_cut(served.leaf):
                locks += _lock_of(source, served.index)
        if len(locks) > LOCKS_MAX:
            raise TlogError("FILE_PARTS", f"{len(locks)} locks")
        parts = [("claim", claim.encode()), ("checkpoint", note), *locks]
        with out.open("wb") as file:
            file.write(encode_file(kind, parts, entries_bytes))
            entries.seek(0)
            _copy(entries, file)
    with out.open("rb") as file:
        report = verify_stream(file, policy)
    if report.refusal is not None:
        out.unlink()
        raise report.refusal
    return report


def _leaf_parts(source: ProofSource, served: ServedLeaf, size: int) -> Parts:
    path = encode_path(served.index, source.path(served.index, size))
    return [("leaf", served.leaf), ("path", path)]


def _key_parts(source: ProofSource, key_ids: Sequence[bytes], before: int, size: int) -> Parts:
    """Find the leaves that state these keys, and the roots that vouch for them, walking from the start."""
    wanted = set(key_ids)
    roots: dict[str, ServedLeaf] = {}
    records: dict[bytes, tuple[ServedLeaf, Leaf]] = {}
    next_roots: dict[bytes, tuple[ServedLeaf, Leaf]] = {}
    first_roots: set[bytes] = set()
    for served in source.leaves(0, before, with_envelopes=True):
        leaf = decode_leaf(served.leaf)
        if leaf.kind == ANCHOR_KIND:
            roots[leaf.value("owner").decode()] = served
            first_roots.add(leaf.value("key_id"))
        elif leaf.kind == RECORD_KIND and leaf.get("role") == b"ROOT":
            if leaf.value("key_id") in first_roots:
                continue  # its end: nothing rests on it afterwards
            next_roots.setdefault(leaf.value("key_id"), (served, leaf))
        elif leaf.kind == RECORD_KIND and leaf.get("key_id") in wanted:
            records.setdefault(leaf.value("key_id"), (served, leaf))
            if len(records) == len(wanted):
                break
    owners = {authority_of(leaf.value("owner").decode()) for _, leaf in records.values()}
    parts: Parts = []
    for owner in sorted(owners & roots.keys()):
        parts += _leaf_parts(source, roots[owner], size)
    for served, _ in [*_vouching(next_roots, records.values()), *records.values()]:
        record = served.envelopes[0].SerializeToString() if served.envelopes else b""
        parts += [*_leaf_parts(source, served, size), ("envelope", record)]
    if not parts:
        raise TlogError("KEY_NOT_SHOWN", "the log states none of these keys")
    return parts


def _vouching(
    next_roots: Mapping[bytes, tuple[ServedLeaf, Leaf]], records: Iterable[tuple[ServedLeaf, Leaf]]
) -> list[tuple[ServedLeaf, Leaf]]:
    """Give the roots that followed the first ones and vouch for these records, each behind the one before."""
    found: dict[bytes, tuple[ServedLeaf, Leaf]] = {}
    waiting = [key_id for _, leaf in records for key_id in leaf.signer_key_ids]
    while waiting:
        key_id = waiting.pop()
        if key_id in next_roots and key_id not in found:
            found[key_id] = next_roots[key_id]
            waiting += found[key_id][1].signer_key_ids
    return sorted(found.values(), key=lambda one: one[0].index)


def _every_record(source: ProofSource, is_wanted: Callable[[Leaf], bool], before: int, size: int) -> Parts:
    """Give every root, and every record of the keys that are wanted and were not revoked."""
    roots: Parts = []
    records: list[tuple[bytes, ServedLeaf]] = []
    revoked: set[bytes] = set()
    for served in source.leaves(0, before, with_envelopes=True):
        leaf = decode_leaf(served.leaf)
        if leaf.kind == ANCHOR_KIND:
            roots += _leaf_parts(source, served, size)
        elif leaf.kind == RECORD_KIND and is_wanted(leaf):
            records.append((leaf.value("key_id"), served))
            if leaf.get("revoked") == b"1":
                revoked.add(leaf.value("key_id"))
    for key_id, served in records:
        if key_id not in revoked and served.envelopes:
            record = served.envelopes[0].SerializeToString()
            roots += [*_leaf_parts(source, served, size), ("envelope", record)]
    return roots


def _is_cut(leaf: bytes) -> bool:
    blocks = decode_leaf(leaf).get("blocks") or b""
    return blocks.count(b"\n") + 1 >= BLOCKS_IN_LEAF_MAX


def _lock_of(source: ProofSource, index: int) -> Parts:
    served = next(iter(source.leaves(index, index + 1, with_envelopes=True)))
    return [("lock", one.SerializeToString()) for one in served.envelopes[:1]]


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while chunk := source.read(io.DEFAULT_BUFFER_SIZE * 16):
        target.write(chunk)


def _checked(data: bytes, policy: bytes) -> tuple[bytes, Report]:
    report = verify_stream(io.BytesIO(data), policy)
    if report.refusal is not None:
        raise report.refusal
    return data, report
