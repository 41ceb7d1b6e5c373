"""A bridge that lies, in six ways: a witness finds each lie, finality stops, one file proves it.

The log, its keys, its seals, proofs and witnesses are real and in memory. A witness validates each new
decision as an outsider would: it puts a proof together from what is served beside the leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.offline.container import encode_file
from tanqiao.offline.location_map import bucket_of
from tanqiao.offline.make import (
    Openings,
    ServedLeaf,
    make_contradiction,
    make_decision_proof,
    make_location_root_proof,
    write_replay,
)
from tanqiao.offline.replay import Claim
from tanqiao.offline.verify import verify_bytes
from tanqiao.tlog.checkpoint import Checkpoint, sign_checkpoint
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.evidence import make_evidence
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tanqiao.tlog.note import NoteSignature, parse_note
from tanqiao.tlog.policy import QUORUM_NONE, Policy
from tanqiao.tlog.sealing import Tree
from tanqiao.tlog.witness import Witness, WitnessState
from tests.golden.museum import federation as f
from tests.golden.museum.exhibits import LOG, ORIGIN, POLICY, WITNESSES
from tests.golden.museum.files import FORGED, SECOND_DECISION, denial
from tests.independent.verify_file import verify_file
from tests.independent.verify_proof import Policy as OtherPolicy

POLICY_DATA = POLICY.encode()
UNWITNESSED = Policy(POLICY.logs, (), (), QUORUM_NONE).encode()
DECISIONS = {
    f.TRANSFER: ("title", (f.LOCK, f.READY, f.DECISION)),
    f.USE: ("retirement", (f.USE_MESSAGE, f.USE_DECISION)),
}


@dataclass
class Bridge:
    """A log that is served with what travels beside its leaves; it seals whatever it is told to."""

    leaves_held: list[bytes] = field(default_factory=lambda: list(f.LOG_OF_FEDERATION.leaves))
    cosigned_note: bytes = b""
    cosigned_size: int = 0

    @property
    def tree(self) -> MemoryTree:
        return MemoryTree(hash_leaf(leaf) for leaf in self.leaves_held)

    def seal(self, size: int | None = None, root: bytes | None = None) -> bytes:
        """Sign a checkpoint: of the leaves, or of whatever root it wants."""
        many = len(self.leaves_held) if size is None else size
        return sign_checkpoint(Checkpoint(ORIGIN, many, root or self.tree.root(many)), LOG).encode()

    def cosigned(self) -> tuple[int, bytes]:
        if not self.cosigned_note:
            raise TlogError("QUORUM_NOT_REACHED", "no checkpoint yet")
        return self.cosigned_size, self.cosigned_note

    def path(self, index: int, size: int) -> Sequence[bytes]:
        return self.tree.inclusion_proof(index, size)

    def leaves(self, start: int, end: int, *, with_envelopes: bool = False) -> Iterator[ServedLeaf]:
        for index in range(start, end):
            data = self.leaves_held[index]
            yield ServedLeaf(index, data, beside(data) if with_envelopes else ())

    def served(self, index: int) -> ServedLeaf:
        return ServedLeaf(index, self.leaves_held[index], beside(self.leaves_held[index]))

    def submit(
        self, note: bytes, witnesses: Sequence[Follower], *, from_size: int | None = None
    ) -> list[str]:
        """Ask witnesses for their cosignatures; final with two of three. What each refused with."""
        size = int(parse_note(note).text.split(b"\n")[1])
        lines, refused = [], []
        for witness in witnesses:
            known = witness.known.size if from_size is None else from_size
            growth = self.tree.consistency_proof(known, size) if 0 < known <= size else []
            try:
                lines.append(witness.cosign(self, note, known, growth))
            except TlogError as refusal:
                refused.append(refusal.reason)
        if POLICY.is_quorum([f"w{n}" for n in range(1, len(lines) + 1)]):
            self.cosigned_note = parse_note(note).with_signatures(lines).encode()
            self.cosigned_size = size
        return refused


def beside(leaf: bytes) -> tuple[envelope_pb2.Envelope, ...]:
    told = decode_leaf(leaf)
    if told.kind == "key_record":
        return tuple(one for one in f.RECORDS.values() if f.hash_of(one) == told.message_hashes[0])
    known = [one for _, messages in DECISIONS.values() for one in messages]
    found = {f.hash_of(one): one for one in (*known, f.REFUSED_LOCK, f.ABORT)}
    return tuple(found[value] for value in told.message_hashes if value in found)


class Follower:
    """A witness of the federation: it keeps what it promised, and validates each new decision."""

    def __init__(self, number: int) -> None:
        self.state: WitnessState | None = None
        self.bridge: Bridge | None = None
        self.time = 1_000 + number
        self._witness = Witness(WITNESSES[number], [LOG.key], self, self._validate)

    @property
    def known(self) -> Tree:
        return self._witness.known_tree(ORIGIN)

    def known_state(self, origin: str) -> WitnessState | None:
        return self.state if origin == ORIGIN else None

    def advance_state(self, _origin: str, before: WitnessState | None, after: WitnessState) -> bool:
        assert self.state == before
        self.state = after
        return True

    def cosign(self, bridge: Bridge, note: bytes, size: int, growth: Sequence[bytes]) -> NoteSignature:
        self.bridge = bridge
        self.time += 10
        return self._witness.cosign(note, size, growth, self.time)

    def _validate(self, known: Tree, checkpoint: Checkpoint) -> None:
        bridge = self.bridge
        assert bridge is not None
        if bridge.tree.root(checkpoint.size) != checkpoint.root:
            raise TlogError("ENTRIES_WRONG", "the leaves that are served have another root")
        replay_decisions = set()
        view = Bridge(bridge.leaves_held, bridge.seal(checkpoint.size), checkpoint.size)
        for index in range(checkpoint.size):
            told = decode_leaf(bridge.leaves_held[index])
            if told.kind != "decision":
                continue
            key = (told.value("source"), told.value("transfer_id"))
            if key in replay_decisions:
                raise TlogError("DECISION_TWICE", f"at {index}")
            replay_decisions.add(key)
            if index >= known.size and told.value("outcome") == b"COMMIT":
                kind = "title" if told.value("kind") == b"TRANSFER" else "retirement"
                make_decision_proof(view, kind, view.served(index), UNWITNESSED)


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def witnesses() -> list[Follower]:
    return [Follower(number) for number in range(3)]


def proven(data: bytes) -> str:
    """What both verifiers accept as proof of a lie."""
    report = verify_bytes(data, POLICY_DATA)
    assert report.refusal is None, report.refusal
    assert verify_file(data, OtherPolicy(POLICY_DATA))
    assert report.statement is not None
    assert report.facts["accused"]
    return report.statement[0]


def honest_start(bridge: Bridge, witnesses: list[Follower]) -> None:
    assert bridge.submit(bridge.seal(), witnesses) == []
    assert bridge.cosigned_size == len(bridge.leaves_held)


def finality_stands_still(bridge: Bridge, size: int) -> None:
    """Nothing newer is final; leaves are still written, and what was final stays provable."""
    bridge.leaves_held.append(f.issue_leaf(9_000, 9_100, b"k" * 16).encode())
    assert bridge.cosigned_size == size
    data, report = make_decision_proof(bridge, "title", bridge.served(f.TRANSFER_AT), POLICY_DATA)
    assert report.holds
    assert verify_bytes(data, POLICY_DATA).facts["tree_size"] == size


def test_an_honest_bridge_is_final_and_every_kind_of_file_is_made_from_it(
    bridge: Bridge, witnesses: list[Follower], tmp_path: Path
) -> None:
    honest_start(bridge, witnesses)
    openings = Openings(
        f.ADDRESS + f.ADDRESS_SALT, f.OWNER + f.OWNER_SALT, f.BENEFICIARY + f.BENEFICIARY_SALT
    )
    rules = [(name.decode(), text) for name, text in f.RULES]
    for kind, index, extra in (
        ("title", f.TRANSFER_AT, {"openings": openings}),
        ("retirement", f.USED_AT, {"openings": openings}),
        ("rules", f.USED_AT, {"rules": rules}),
    ):
        data, report = make_decision_proof(bridge, kind, bridge.served(index), POLICY_DATA, **extra)
        assert report.holds
        assert verify_file(data, OtherPolicy(POLICY_DATA))
    for kind, claim in (
        ("decision", Claim(f.SHANGHAI, f.TRANSFER)),
        ("conservation", Claim(series_id=f.SERIES)),
        ("location", Claim(series_id=f.SERIES, serial=1)),
    ):
        out = tmp_path / kind
        assert write_replay(bridge, kind, claim, POLICY_DATA, out).holds
        assert verify_file(out.read_bytes(), OtherPolicy(POLICY_DATA))
    row = (2, f.MAP_ROWS[2].encode(), f.MAP_TREE.inclusion_proof(2))
    claim = Claim(series_id=f.SERIES, serial=1_000)
    number, (at, path) = bucket_of(f.map_page().key), f.MAP.page_path(f.map_page().key)
    page = (at, f.map_page().encode(), path)
    bucket = (number, f.MAP.bucket(number).encode(), f.MAP.bucket_path(number))
    root = bridge.served(f.MAP_AT)
    _, report = make_location_root_proof(bridge, claim, root, row, page, bucket, POLICY_DATA)
    assert report.facts["region"] == f.SHENZHEN
    with pytest.raises(TlogError, match="DECISION_MISSING"):
        write_replay(bridge, "decision", Claim(f.SHANGHAI, bytes(16)), POLICY_DATA, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_split_view(bridge: Bridge, witnesses: list[Follower]) -> None:
    honest_start(bridge, witnesses)
    shown_to_others = Bridge([*bridge.leaves_held[:-1], f.issue_leaf(5_000, 6_000, b"s" * 16).encode()])
    lie = shown_to_others.seal()
    assert shown_to_others.submit(lie, witnesses) == ["WITNESS_SPLIT_VIEW"] * 3
    finality_stands_still(bridge, len(shown_to_others.leaves_held))
    assert "showed two trees of one size" in proven(
        make_evidence(bridge.seal(len(shown_to_others.leaves_held)), lie, POLICY)
    )


def test_two_decisions_for_one_transfer(bridge: Bridge, witnesses: list[Follower]) -> None:
    honest_start(bridge, witnesses)
    size = len(bridge.leaves_held)
    bridge.leaves_held.append(
        f.decision_leaf(f.TRANSFER, "TRANSFER", "ABORT", (f.LOCK, SECOND_DECISION)).encode()
    )
    assert bridge.submit(bridge.seal(), witnesses) == ["DECISION_TWICE"] * 3
    data, _ = make_contradiction(bridge, f.DECISION, SECOND_DECISION, POLICY_DATA)
    assert "bridge signed two different decisions" in proven(data)
    assert bridge.cosigned_size == size


def test_a_forged_transfer_with_made_up_hashes(bridge: Bridge, witnesses: list[Follower]) -> None:
    honest_start(bridge, witnesses)
    size = len(bridge.leaves_held)
    bridge.leaves_held.append(
        f.decision_leaf(b"\x09" * 16, "TRANSFER", "COMMIT", (f.LOCK, f.READY, FORGED)).encode()
    )
    assert bridge.submit(bridge.seal(), witnesses) == ["MESSAGE_NOT_NAMED"] * 3
    assert bridge.cosigned_size == size
    data, _ = make_contradiction(bridge, FORGED, denial(FORGED), POLICY_DATA)
    assert "denies under its signature" in proven(data)


def test_a_log_that_is_rolled_back_and_grows_again(bridge: Bridge, witnesses: list[Follower]) -> None:
    honest_start(bridge, witnesses)
    before, size = bridge.seal(), len(bridge.leaves_held)
    rolled_back = Bridge(bridge.leaves_held[:-3])
    assert rolled_back.submit(rolled_back.seal(), witnesses) == ["WITNESS_STALE"] * 3
    for number in range(5):
        block = f.issue_leaf(20_000 + number, 20_001 + number, bytes([number]) * 16)
        rolled_back.leaves_held.append(block.encode())
    after = rolled_back.seal()
    assert rolled_back.submit(after, witnesses) == ["CONSISTENCY_NOT_PROVEN"] * 3
    assert rolled_back.cosigned_size == 0
    finality_stands_still(bridge, size)
    evidence = make_evidence(before, after, POLICY, rolled_back.tree)
    assert "rewrote leaves that it had signed before" in proven(evidence)


def test_a_checkpoint_with_a_wrong_root(bridge: Bridge, witnesses: list[Follower]) -> None:
    honest_start(bridge, witnesses)
    size = len(bridge.leaves_held)
    bridge.leaves_held.append(f.issue_leaf(7_000, 7_001, b"w" * 16).encode())
    wrong = bridge.seal(root=b"\x0b" * 32)
    assert bridge.submit(wrong, witnesses) == ["CONSISTENCY_NOT_PROVEN"] * 3
    assert bridge.cosigned_size == size
    # Alone it proves a refusal; with the next checkpoint that can be cosigned again it proves the lie.
    bridge.leaves_held.append(f.issue_leaf(7_001, 7_002, b"x" * 16).encode())
    right = bridge.seal()
    assert bridge.submit(right, witnesses) == []
    assert "rewrote" in proven(make_evidence(wrong, right, POLICY, bridge.tree))


def test_a_stale_witness_is_no_quorum_and_one_that_goes_back_is_caught(
    bridge: Bridge, witnesses: list[Follower]
) -> None:
    small = bridge.seal(5)
    assert bridge.submit(small, witnesses) == []
    # Two of three fall asleep: one cosignature is no quorum, and nothing newer is final.
    assert bridge.submit(bridge.seal(), witnesses[:1]) == []
    assert bridge.cosigned_size == 5
    newest = bridge.seal()
    honest = (
        parse_note(newest).with_signatures([cosign(parse_note(newest).text, WITNESSES[0], 5_000)]).encode()
    )
    gone_back = (
        parse_note(small).with_signatures([cosign(parse_note(small).text, WITNESSES[0], 9_000)]).encode()
    )
    data = encode_file("witness-misbehaviour", [("first", honest), ("second", gone_back)])
    assert "cosigned a smaller tree after a larger one" in proven(data)
    # They wake up and finality goes on.
    assert bridge.submit(newest, witnesses) == []
    assert bridge.cosigned_size == len(bridge.leaves_held)


def test_honest_pairs_prove_nothing(bridge: Bridge, witnesses: list[Follower]) -> None:
    honest_start(bridge, witnesses)
    with pytest.raises(TlogError, match="EVIDENCE_PROVES_NOTHING"):
        make_contradiction(bridge, f.DECISION, f.DECISION, POLICY_DATA)
    with pytest.raises(TlogError, match="EVIDENCE_PROVES_NOTHING"):
        make_evidence(bridge.seal(5), bridge.seal(), POLICY, bridge.tree)
    assert messages_pb2.Decision.FromString(f.DECISION.payload).outcome == messages_pb2.OUTCOME_COMMIT
