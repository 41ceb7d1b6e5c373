"""Keys of a proof file: roots that the log states, and records that those roots signed (PROTOCOL section 2).

A root counts because the leaf that states it is in the cosigned log; another key counts because the leaf of
its record is there too and the record is signed by the root of its owner's authority. A root that follows
another counts by the record which the one before signed; the file shows it first. Validity is judged at
the log index of what was signed, never by time. Which later leaf revoked a key is not in these parts, unless
the file shows it; the witnesses, who replay every leaf, stand for that, and the report says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.container import ProofFile
from tanqiao.offline.paths import IncludedLeaf, included_leaf
from tanqiao.offline.report import Report
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.federation import open_key_record
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.suites import SUITES, key_id_of
from tanqiao.signing.verify import AllowedMessage, Opened, Verifier
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.errors import TlogError

__all__ = ["KeyChain", "open_chain", "open_message", "parse_envelope", "refused_as"]

ANCHOR_KIND = "trust_anchor"
RECORD_KIND = "key_record"


@dataclass(frozen=True, slots=True)
class KeyChain:
    """Keys that the file proves, and at which index of the log each was stated."""

    directory: KeyDirectory
    stated_at: dict[bytes, int]

    def require_before(self, key_id: bytes, index: int) -> None:
        """Demand that the file proves the key and that the log stated it before `index`.

        Raises:
            TlogError: `KEY_NOT_SHOWN`, `KEY_STATED_LATER`.
        """
        stated = self.stated_at.get(key_id)
        if stated is None:
            raise TlogError("KEY_NOT_SHOWN", key_id.hex())
        if stated >= index:
            raise TlogError("KEY_STATED_LATER", f"{key_id.hex()} at {stated}, used at {index}")


def refused_as(refusal: DomainError) -> TlogError:
    """Give a refusal of the envelope's verifier in the one family that leaves this package."""
    return TlogError("MESSAGE_REFUSED", f"{refusal.symbol}: {refusal.sentence('en')}")


def parse_envelope(data: bytes) -> envelope_pb2.Envelope:
    """Read an envelope of a file; `MESSAGE_REFUSED` for what is none."""
    try:
        return parse_strict(envelope_pb2.Envelope, data)
    except DomainError as refusal:
        raise refused_as(refusal) from None


def open_message(
    envelope: envelope_pb2.Envelope,
    chain: KeyChain,
    allowed: Mapping[str, AllowedMessage],
    network_id: str,
    *,
    at_index: int,
) -> Opened:
    """Open an envelope with the keys of a file, at a log index; `MESSAGE_REFUSED` and key reasons."""
    for signature in envelope.signatures:
        chain.require_before(signature.key_id, at_index)
    try:
        return Verifier(network_id, BRIDGE).open_envelope(
            envelope, chain.directory, allowed=allowed, peer=None, at_index=at_index
        )
    except DomainError as refusal:
        raise refused_as(refusal) from None


def open_chain(report: Report, file: ProofFile, tree: Checkpoint, network_id: str, *, skip: int) -> KeyChain:
    """Verify the leaves, paths and records behind the first `skip` leaves and envelopes of the file.

    Raises:
        TlogError: the reasons of included leaves, `KEY_LEAF`, `KEY_RECORD_WRONG`, `KEY_REVOKED_SHOWN`,
            `MESSAGE_REFUSED`.
    """
    roots: list[tuple[IncludedLeaf, KeyEntry]] = []
    records: list[tuple[IncludedLeaf, envelope_pb2.Envelope]] = []
    for leaf, path, envelope in _groups(file, skip):
        included = included_leaf(leaf, path, tree)
        if included.leaf.kind == ANCHOR_KIND and envelope is None:
            roots.append((included, _root_of(included)))
        elif included.leaf.kind == RECORD_KIND and envelope is not None:
            records.append((included, parse_envelope(envelope)))
        else:
            raise TlogError("KEY_LEAF", included.leaf.kind)
    anchors = KeyDirectory.of(entry for _, entry in roots)
    stated = {entry.key_id: included.index for included, entry in roots}
    verifier = Verifier(network_id, BRIDGE)
    directory = anchors
    for included, envelope_message in records:
        _require_stated(envelope_message, stated, included.index)
        record = _record_of(verifier, included, envelope_message, directory)
        entry = KeyEntry.of_record(record)
        if included.leaf.value("key_id") != entry.key_id:
            raise TlogError("KEY_RECORD_WRONG", entry.owner)
        if entry.revoked:
            raise TlogError("KEY_REVOKED_SHOWN", f"{entry.owner} at {included.index}")
        directory = directory.with_entries([entry])
        stated[entry.key_id] = min(stated.get(entry.key_id, included.index), included.index)
    report.held(
        "§2",
        f"{len(roots)} roots stand in the log, and {len(records)} key records are signed by them.",
        f"日志载有{len(roots)}个根密钥，{len(records)}份密钥记录由其签署。",
    )
    report.leave_open(
        "That none of these keys was revoked before it signed: the witnesses, who replay every leaf, stand "
        "for that; a replay of the whole log shows it.",
        "这些密钥在签署前未被撤销：由重放每个叶子的见证方保证；重放整个日志可予证明。",
    )
    return KeyChain(directory, stated)


def _groups(file: ProofFile, skip: int) -> list[tuple[bytes, bytes, bytes | None]]:
    """Key parts as (leaf, path, record or None), in order of the file."""
    names = [name for name, _ in file.parts]
    found: list[tuple[bytes, bytes, bytes | None]] = []
    leaves = [at for at, name in enumerate(names) if name == "leaf"][skip:]
    for at in leaves:
        has_record = at + 2 < len(names) and names[at + 2] == "envelope"
        record = file.parts[at + 2][1] if has_record else None
        found.append((file.parts[at][1], file.parts[at + 1][1], record))
    return found


def _root_of(included: IncludedLeaf) -> KeyEntry:
    leaf = included.leaf
    public_key, key_id = leaf.value("public_key"), leaf.value("key_id")
    suite = next((number for number in SUITES if key_id_of(number, public_key) == key_id), None)
    if suite is None:
        raise TlogError("KEY_RECORD_WRONG", "the root's key id is of no known suite")
    owner = leaf.value("owner").decode("ascii", "replace")
    try:
        return KeyEntry(owner, KeyRole.ROOT, suite, public_key, 1)
    except DomainError as refusal:
        raise refused_as(refusal) from None


def _require_stated(envelope: envelope_pb2.Envelope, stated: Mapping[bytes, int], index: int) -> None:
    for signature in envelope.signatures:
        if stated.get(signature.key_id, -1) >= index:
            raise TlogError("KEY_STATED_LATER", f"a root signed the record at {index} before it was stated")


def _record_of(
    verifier: Verifier, included: IncludedLeaf, envelope: envelope_pb2.Envelope, known: KeyDirectory
) -> messages_pb2.KeyRecord:
    hashes: Sequence[bytes] = included.leaf.message_hashes
    try:
        if not hashes or hashes[0] != message_hash(envelope.payload_type, envelope.payload):
            raise TlogError("MESSAGE_NOT_NAMED", "a key record")
        return open_key_record(verifier, envelope, known, at_index=included.index)
    except DomainError as refusal:
        raise refused_as(refusal) from None
