"""Sealing in the order of PROTOCOL section 8, witnesses that remember, and evidence when a log lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from tanqiao.tlog.cosignature import verify_cosignatures
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.evidence import make_evidence, verify_evidence
from tanqiao.tlog.keys import KeyType, NoteSigner
from tanqiao.tlog.merkle import MemoryTree, consistency_proof, hash_leaf, root_of_leaves
from tanqiao.tlog.note import parse_note
from tanqiao.tlog.offline import NOT_PROVABLE, explain_proof
from tanqiao.tlog.policy import Policy, PolicyLog
from tanqiao.tlog.reading import LogReader, audit_log
from tanqiao.tlog.sealing import EMPTY_TREE, MAX_LEAVES_PER_SEAL, Sealed, Sealer, Tree
from tanqiao.tlog.tiles import Tile, bundles_of_growth, tiles_of_growth
from tanqiao.tlog.witness import Witness, WitnessState
from tests.golden.museum.opening import BAD, GOOD, GOOD_LEAF

ORIGIN = "log.example/one"


def signer(name: str, key_type: KeyType = KeyType.ED25519) -> NoteSigner:
    seed = sha256(name.encode()).digest()
    return NoteSigner.from_private_key(name, Ed25519PrivateKey.from_private_bytes(seed), key_type)


LOG = signer(ORIGIN)
POLICY = Policy((PolicyLog(LOG.key),), (), (), "none")


class Crash(Exception):  # noqa: N818 - what happens
    """The process ends here."""


@dataclass
class MemoryLog:
    """A log store in memory that writes down the order of what was done to it, and can die at a step."""

    leaves: list[bytes] = field(default_factory=list)
    tree: Tree = EMPTY_TREE
    tiles: dict[Tile, bytes] = field(default_factory=dict)
    published: list[bytes] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    dies_at: str = ""

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.dies_at:
            self.dies_at = ""
            raise Crash(name)

    def sealed_tree(self) -> Tree:
        return self.tree

    def read_leaves(self, start: int, limit: int) -> Sequence[bytes]:
        self._step("read")
        return self.leaves[start : start + limit]

    def persist_tree(self, before: Tree, after: Tree, tiles: Mapping[Tile, bytes]) -> None:
        self._step("persist")
        if before != self.tree:
            raise TlogError("LOG_FENCED")
        self.tree = after
        self.tiles.update(tiles)

    def publish(self, note: bytes) -> None:
        self._step("publish")
        self.published.append(note)

    def read_tile(self, tile: Tile) -> bytes:
        if tile not in self.tiles:
            raise TlogError("TILE_MISSING", tile.path)
        return self.tiles[tile]


def signing_log(store: MemoryLog) -> NoteSigner:
    """The log's signer, which writes down when it signs."""

    def sign(message: bytes) -> bytes:
        store._step("sign")
        return LOG.sign(message)

    return NoteSigner(LOG.key, sign)


def leaves(start: int, end: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(start, end)]


def seal(sealer: Sealer) -> Sealed:
    sealed = sealer.seal()
    assert sealed is not None
    return sealed


def refusal(check: object, *arguments: object) -> str:
    with pytest.raises(TlogError) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


# Sealing


def test_a_checkpoint_is_signed_only_after_the_tree_is_persisted_and_published_last() -> None:
    store = MemoryLog(leaves(0, 3))
    sealed = seal(Sealer(store, signing_log(store)))
    assert store.steps == ["read", "persist", "sign", "publish"]
    checkpoint, _ = open_checkpoint(store.published[0], LOG.key)
    assert checkpoint == sealed.checkpoint == Checkpoint(ORIGIN, 3, root_of_leaves(leaves(0, 3)))


def test_nothing_new_is_neither_persisted_nor_signed() -> None:
    store = MemoryLog()
    sealer = Sealer(store, signing_log(store))
    assert sealer.seal() is None
    store.leaves += leaves(0, 1)
    seal(sealer)
    store.steps.clear()
    assert sealer.seal() is None
    assert store.steps == ["read"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_log_sealed_in_many_steps_can_be_audited_after_each(restarted: bool) -> None:
    store = MemoryLog()
    sealer = Sealer(store, LOG)
    for end in (1, 2, 255, 256, 257, 511, 513, 1500):
        store.leaves += leaves(len(store.leaves), end)
        if restarted:
            sealer = Sealer(store, LOG)
        sealed = seal(sealer)
        assert sealed.checkpoint.size == end
        audit_log(end, sealed.checkpoint.root, store)
    assert set(store.tiles) >= {*tiles_of_growth(0, 1500), *bundles_of_growth(0, 1500)}


def test_old_checkpoints_stay_provable_from_the_tiles_of_later_ones() -> None:
    store = MemoryLog()
    sealer, trees = Sealer(store, LOG), []
    for end in (100, 300, 700):
        store.leaves += leaves(len(store.leaves), end)
        trees.append(seal(sealer).checkpoint)
    reader = LogReader(700, trees[-1].root, store)
    for tree in trees:
        assert [entry for _, entry in LogReader(tree.size, tree.root, store).entries()] == leaves(
            0, tree.size
        )
        assert reader.read_hashes([]) == []
        assert consistency_proof(tree.size, 700, reader) == MemoryTree(
            map(hash_leaf, leaves(0, 700))
        ).consistency_proof(tree.size)


@pytest.mark.parametrize("step", ["read", "persist", "sign", "publish"])
def test_a_sealer_that_dies_at_any_step_goes_on_with_the_same_tree(step: str) -> None:
    store = MemoryLog(leaves(0, 300))
    seal(Sealer(store, LOG))
    store.leaves += leaves(300, 400)
    store.dies_at = step
    with pytest.raises(Crash):
        Sealer(store, signing_log(store)).seal()
    again = Sealer(store, signing_log(store))
    sealed = seal(again)
    assert (sealed.checkpoint.size, sealed.checkpoint.root) == (400, root_of_leaves(leaves(0, 400)))
    audit_log(400, sealed.checkpoint.root, store)
    assert len({note for note in store.published if b"\n400\n" in note}) == 1
    assert again.seal() is None


def test_the_same_sealer_goes_on_after_a_failure_of_its_store() -> None:
    store = MemoryLog(leaves(0, 300), dies_at="persist")
    sealer = Sealer(store, signing_log(store))
    with pytest.raises(Crash):
        sealer.seal()
    assert seal(sealer).checkpoint.size == 300
    store.leaves += leaves(300, 301)
    store.dies_at = "publish"
    with pytest.raises(Crash):
        sealer.seal()
    assert seal(sealer).checkpoint.size == 301


def test_a_restarted_sealer_publishes_the_persisted_tree_again_with_the_same_bytes() -> None:
    store = MemoryLog(leaves(0, 5))
    seal(Sealer(store, LOG))
    seal(Sealer(store, LOG))
    assert store.published[0] == store.published[1]


def test_more_leaves_than_one_transaction_takes_are_sealed_in_several() -> None:
    store = MemoryLog(leaves(0, MAX_LEAVES_PER_SEAL + 10))
    sealer = Sealer(store, LOG)
    first = seal(sealer)
    assert (first.checkpoint.size, first.more) == (MAX_LEAVES_PER_SEAL, True)
    second = seal(sealer)
    assert (second.checkpoint.size, second.more) == (MAX_LEAVES_PER_SEAL + 10, False)


def test_a_second_sealer_is_fenced_and_finds_its_way_back() -> None:
    class Overtaken(MemoryLog):
        def persist_tree(self, before: Tree, after: Tree, tiles: Mapping[Tile, bytes]) -> None:
            if self.dies_at == "overtaken":
                self.dies_at = ""
                seal(Sealer(self, LOG))
            super().persist_tree(before, after, tiles)

    store = Overtaken(leaves(0, 3), dies_at="overtaken")
    sealer = Sealer(store, LOG)
    assert refusal(sealer.seal) == "LOG_FENCED"
    assert len(store.published) == 1
    store.leaves += leaves(3, 4)
    assert seal(sealer).checkpoint.size == 4


def test_leaves_that_changed_under_a_sealed_root_are_never_signed_over() -> None:
    store = MemoryLog(leaves(0, 300))
    seal(Sealer(store, LOG))
    store.leaves[299] = b"rewritten"
    store.leaves += leaves(300, 301)
    assert refusal(Sealer(store, LOG).seal) == "LOG_ROLLED_BACK"
    assert len(store.published) == 1


def test_a_store_that_lost_leaves_is_not_sealed_further() -> None:
    store = MemoryLog(leaves(0, 300))
    sealer = Sealer(store, LOG)
    seal(sealer)
    del store.leaves[290:]
    assert refusal(sealer.seal) == "LOG_LEAVES_MISSING"
    assert refusal(Sealer(store, LOG).seal) == "LOG_LEAVES_MISSING"


def test_a_store_whose_root_was_rolled_back_is_not_sealed_further() -> None:
    store = MemoryLog(leaves(0, 300))
    seal(Sealer(store, LOG))
    store.tree = Tree(300, bytes(32))
    assert refusal(Sealer(store, LOG).seal) == "LOG_ROLLED_BACK"


def test_a_leaf_that_no_bundle_can_carry_is_refused_before_anything_is_persisted() -> None:
    store = MemoryLog([bytes(2**16)])
    assert refusal(Sealer(store, LOG).seal) == "ENTRY_TOO_LARGE"
    assert store.tree == EMPTY_TREE


# Witnessing


@dataclass
class MemoryPromises:
    """A witness's store in memory; another instance of the witness can come first."""

    states: dict[str, WitnessState] = field(default_factory=dict)
    overtaken: bool = False

    def known_state(self, origin: str) -> WitnessState | None:
        return self.states.get(origin)

    def advance_state(self, origin: str, before: WitnessState | None, after: WitnessState) -> bool:
        if self.overtaken or self.states.get(origin) != before:
            return False
        self.states[origin] = after
        return True


WITNESS = signer("witness.example", KeyType.COSIGNATURE_V1)
HONEST = MemoryTree(map(hash_leaf, leaves(0, 50)))
LYING = MemoryTree(hash_leaf(b"forged" if n == 3 else leaf) for n, leaf in enumerate(leaves(0, 50)))


def checkpoint(size: int, tree: MemoryTree = HONEST) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, size, tree.root(size)), LOG).encode()


def witness_at(size: int) -> tuple[Witness, MemoryPromises]:
    store = MemoryPromises()
    witness = Witness(WITNESS, [LOG.key], store)
    if size:
        witness.cosign(checkpoint(size), 0, [], 1)
    return witness, store


def test_a_witness_follows_a_log_from_its_beginning_and_its_cosignatures_verify() -> None:
    witness, store = witness_at(0)
    old = 0
    for size in (1, 7, 7, 8, 50):
        line = witness.cosign(checkpoint(size), old, HONEST.consistency_proof(old, size), 1_750_000_000)
        note = parse_note(checkpoint(size)).with_signatures([line])
        assert [found.key for found in verify_cosignatures(note, (WITNESS.key,))] == [WITNESS.key]
        assert witness.known_tree(ORIGIN) == Tree(size, HONEST.root(size))
        assert store.states[ORIGIN].note == checkpoint(size)
        old = size


def test_a_witness_refuses_what_does_not_extend_what_it_has_cosigned() -> None:
    witness, store = witness_at(20)
    before = store.states[ORIGIN]
    proof = HONEST.consistency_proof(20, 30)
    cases: list[tuple[str, bytes, int, list[bytes]]] = [
        ("WITNESS_STALE", checkpoint(19), 19, []),
        ("WITNESS_OLD_SIZE", checkpoint(30), 19, HONEST.consistency_proof(19, 30)),
        ("WITNESS_OLD_SIZE", checkpoint(30), 0, []),
        ("WITNESS_SPLIT_VIEW", checkpoint(20, LYING), 20, []),
        ("CONSISTENCY_NOT_PROVEN", checkpoint(30, LYING), 20, proof),
        ("CONSISTENCY_NOT_PROVEN", checkpoint(30, LYING), 20, LYING.consistency_proof(20, 30)),
        ("PROOF_LENGTH", checkpoint(30), 20, proof[:-1]),
        ("PROOF_LENGTH", checkpoint(20), 20, [bytes(32)]),
        ("NOTE_SIGNATURE_WRONG", checkpoint(30).replace(b"\n30\n", b"\n31\n"), 20, proof),
    ]
    for reason, note, old, hashes in cases:
        assert refusal(witness.cosign, note, old, hashes, 1) == reason
    assert store.states == {ORIGIN: before}


def test_a_witness_does_not_cosign_for_a_log_it_does_not_follow() -> None:
    other = signer("log.example/two")
    note = sign_checkpoint(Checkpoint("log.example/two", 1, HONEST.root(1)), other).encode()
    assert refusal(witness_at(0)[0].cosign, note, 0, [], 1) == "WITNESS_UNKNOWN_LOG"


def test_a_witness_that_was_overtaken_cosigns_nothing() -> None:
    witness, store = witness_at(20)
    store.overtaken = True
    assert (
        refusal(witness.cosign, checkpoint(30), 20, HONEST.consistency_proof(20, 30), 1) == "WITNESS_OLD_SIZE"
    )
    assert witness.known_tree(ORIGIN).size == 20


def test_a_validating_witness_checks_before_it_promises() -> None:
    seen: list[tuple[int, int]] = []

    def validate(known: Tree, new: Checkpoint) -> None:
        seen.append((known.size, new.size))
        if new.size > 10:
            raise TlogError("LEAF_KIND", "a decision without its envelopes")

    store = MemoryPromises()
    witness = Witness(WITNESS, [LOG.key], store, validate)
    witness.cosign(checkpoint(10), 0, [], 1)
    assert refusal(witness.cosign, checkpoint(11), 10, HONEST.consistency_proof(10, 11), 1) == "LEAF_KIND"
    assert seen == [(0, 10), (10, 11)]
    assert store.states[ORIGIN].tree.size == 10


# Evidence


def test_two_roots_at_one_size_are_proven_by_one_file() -> None:
    found = verify_evidence(make_evidence(checkpoint(30), checkpoint(30, LYING), POLICY), POLICY)
    assert (found.kind, found.first.size) == ("split_view", 30)


@pytest.mark.parametrize("size", [4, 5, 8, 31, 32, 49])
def test_a_rewritten_history_is_proven_by_one_file_in_either_order(size: int) -> None:
    for pair in ((checkpoint(size), checkpoint(50, LYING)), (checkpoint(50, LYING), checkpoint(size))):
        found = verify_evidence(make_evidence(*pair, POLICY, LYING), POLICY)
        assert (found.kind, found.first.size, found.second.size) == ("rewritten_history", size, 50)


def test_honest_checkpoints_are_no_evidence() -> None:
    nothing = "EVIDENCE_PROVES_NOTHING"
    assert refusal(make_evidence, checkpoint(30), checkpoint(30), POLICY) == nothing
    assert refusal(make_evidence, checkpoint(20), checkpoint(30), POLICY, HONEST) == nothing
    assert refusal(make_evidence, checkpoint(20), checkpoint(30, LYING), POLICY) == nothing
    before_the_lie = checkpoint(3)
    assert refusal(make_evidence, before_the_lie, checkpoint(30, LYING), POLICY, LYING) == nothing


def test_what_a_witness_kept_and_what_it_refused_are_evidence_together() -> None:
    witness, store = witness_at(20)
    lie = checkpoint(20, LYING)
    assert refusal(witness.cosign, lie, 20, [], 1) == "WITNESS_SPLIT_VIEW"
    verify_evidence(make_evidence(store.states[ORIGIN].note, lie, POLICY), POLICY)


# The offline report


def test_the_report_of_a_good_proof_says_each_step_and_what_no_file_proves() -> None:
    policy = (GOOD / "federation.policy").read_bytes()
    report = explain_proof((GOOD / "proof/plain.tlog-proof").read_bytes(), GOOD_LEAF, policy)
    assert report.holds
    assert report.leaf is not None
    assert report.leaf.kind == "decision"
    english, chinese = report.lines("en"), report.lines("zh")
    assert [line[:2] for line in english[:6]] == ["1.", "2.", "3.", "4.", "5.", "6."]
    assert "A quorum of witnesses cosigned it: w1, w2." in english[4]
    assert "leaf 123 of 300" in english[5]
    assert english[-1].startswith("- ")
    assert len(english) == len(chinese) == 6 + 1 + len(NOT_PROVABLE)


def test_a_report_under_a_policy_without_witnesses_says_so() -> None:
    policy = (GOOD / "plain.policy").read_bytes()
    report = explain_proof((GOOD / "proof/plain.tlog-proof").read_bytes(), GOOD_LEAF, policy)
    assert any("the log alone answers for it" in line for line in report.lines("en"))


@pytest.mark.parametrize(
    ("path", "steps", "reason"),
    [
        ("proof/header-missing.tlog-proof", 2, "PROOF_HEADER"),
        ("proof/no-quorum.tlog-proof", 3, "QUORUM_NOT_REACHED"),
        ("proof/path-reversed.tlog-proof", 5, "INCLUSION_NOT_PROVEN"),
    ],
)
def test_a_report_of_a_bad_proof_ends_with_the_refusal(path: str, steps: int, reason: str) -> None:
    report = explain_proof((BAD / path).read_bytes(), GOOD_LEAF, (GOOD / "federation.policy").read_bytes())
    assert not report.holds
    assert report.proof is None
    assert len(report.steps) == steps
    assert report.lines("en")[-1].startswith(f"Refused: {reason}: ")
    assert report.lines("zh")[-1].startswith(f"拒绝: {reason}: ")


def test_a_report_never_raises_for_bytes_of_any_kind() -> None:
    for data in (b"", b"\xff", bytes(100)):
        assert not explain_proof(data, data, data).holds
