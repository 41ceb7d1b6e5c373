"""Validating witnesses of a real bridge, on both databases (PROTOCOL section 8)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.logs import checkpoint_keys, log_name, witness_policy
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN
from tanqiao.tlog.checkpoint import open_checkpoint
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.policy import verify_checkpoint
from tanqiao.tlog.proof import verify_proof
from tanqiao.witnessing import replay
from tanqiao.witnessing.follower import Follower
from tanqiao.witnessing.replay import SeenLeaf
from tanqiao_bridge.storage.beside import written_beside
from tests.contract.bridge.harness import PlayedRegion, Running
from tests.contract.witness.harness import LyingSource, WitnessMaker, trade

PATIENCE_SECONDS = 60.0
"""On a loaded machine a fresh line takes its time."""


def test_a_quorum_of_regions_that_replayed_everything_makes_decisions_final(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    ids = trade(running, shanghai)
    size = witnesses.sealed()
    keeper = running.bridge.logs.keeper
    with running.channel(SHENZHEN) as channel:
        stub = log_pb2_grpc.LogServiceStub(channel)
        name = log_pb2.TransferName(source=SHANGHAI, transfer_id=ids[3])
        request = log_pb2.BatchGetFinalityBundlesRequest(transfers=[name])
        assert witnesses.make(SHANGHAI).step() == size
        assert keeper.checkpoints(BRIDGE).cosigned is None, "one of three is no quorum"
        assert not stub.BatchGetFinalityBundles(
            request, timeout=PATIENCE_SECONDS, wait_for_ready=True
        ).bundles
        second = witnesses.make(SHENZHEN)
        assert second.step() == size
        assert second.cosigned_size == size
        assert second.step() is None, "nothing is new"
        policy = witness_policy(running.network.network_id, running.network.directory, keeper.group)
        cosigned = keeper.checkpoints(BRIDGE).cosigned
        assert cosigned is not None
        assert set(verify_checkpoint(cosigned.note, policy).witnesses) == {SHANGHAI, SHENZHEN}
        (bundle,) = stub.BatchGetFinalityBundles(
            request, timeout=PATIENCE_SECONDS, wait_for_ready=True
        ).bundles
        verified = verify_proof(bundle.proof, bundle.leaf, policy)
        assert verified.index == bundle.log_index == shanghai.decisions[ids[3]].log_index
        assert decode_leaf(bundle.leaf).get("transfer_id") == ids[3]
        assert bundle.openings.owner_salt, "source and destination can open the commitment to the owner"
        whole = stub.GetFinalityBundle(
            log_pb2.GetFinalityBundleRequest(source=SHANGHAI, transfer_id=ids[3]),
            timeout=PATIENCE_SECONDS,
            wait_for_ready=True,
        ).bundle
        assert [one.payload_type.split(".")[2] for one in whole.envelopes] == [
            "lock-assertion",
            "ready",
            "decision",
        ]
    with running.channel(YUNNAN) as channel:
        stub = log_pb2_grpc.LogServiceStub(channel)
        assert not stub.BatchGetFinalityBundles(
            request, timeout=PATIENCE_SECONDS, wait_for_ready=True
        ).bundles, "not a party of it"
        other = stub.GetFinalityBundle(
            log_pb2.GetFinalityBundleRequest(source=SHANGHAI, transfer_id=ids[3]),
            timeout=PATIENCE_SECONDS,
            wait_for_ready=True,
        ).bundle
        assert not other.HasField("openings"), "only source and destination may open the commitment"


def test_a_witness_that_comes_late_replays_in_stretches_and_is_the_mirror(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    witnesses: WitnessMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tanqiao.witnessing.follower.LEAVES_PER_STRETCH_MAX", 7)
    database = witnesses.database()
    trade(running, shanghai, 30)
    size = witnesses.sealed()
    assert witnesses.make(YUNNAN, database=database).step() == size
    store = witnesses.store(database)
    mirrored = store.mirrored(0)
    served = running.bridge.logs.keeper.leaves(BRIDGE, 0, 500, with_envelopes=True)[0]
    assert [leaf.data for leaf in mirrored] == [leaf.leaf for leaf in served[:size]]
    read = envelope_pb2.Envelope.FromString
    assert [list(leaf.envelopes) for leaf in mirrored] == [
        [read(one) for one in leaf.envelopes] for leaf in served[:size]
    ]
    # A restarted witness goes on from what is durable, and gives the same promise again.
    again = LyingSource(witnesses.remote(YUNNAN))
    assert witnesses.make(YUNNAN, again, database).step() == size
    assert [taken[0] for taken in again.taken] == [size]


def test_leaves_that_all_witnesses_ask_for_at_once_are_made_once(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade(running, shanghai, 30)
    made: list[int] = []

    def slowly(connection: Any, leaves: Sequence[Any]) -> list[list[bytes]]:
        made.append(len(leaves))
        time.sleep(0.2)
        return written_beside(connection, leaves)

    monkeypatch.setattr("tanqiao_bridge.application.log_keeping.written_beside", slowly)
    keeper = running.bridge.logs.keeper
    size = keeper.leaves(BRIDGE, 0, 1, with_envelopes=False)[1]
    with ThreadPoolExecutor(3) as pool:
        shown = [
            one.result()
            for one in [pool.submit(keeper.leaves, BRIDGE, 0, 500, with_envelopes=True) for _ in range(3)]
        ]
    assert made[0] == size
    assert sum(made) - size < size // 2, "a claim's leaf alone is made for each, as cases may go beside it"
    answers = [[one.written for one in leaves] for leaves, _ in shown]
    assert [[log_pb2.LogLeaf.FromString(one).log_index for one in leaves] for leaves in answers] == [
        list(range(size))
    ] * 3


def test_a_witness_killed_at_any_step_cosigns_the_same_tree_afterwards(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    class Killed(BaseException):
        """The process ends."""

    trade(running, shanghai, 3)
    size = witnesses.sealed()
    for step in ("persist", "advance_state", "add_cosignature"):
        database = witnesses.database()
        source = LyingSource(witnesses.remote(YUNNAN))
        follower = witnesses.make(YUNNAN, source, database)
        place: Any = source if step == "add_cosignature" else follower._store
        honest = getattr(place, step)

        def killed_behind(*arguments: Any, honest: Any = honest, **names: Any) -> Any:
            honest(*arguments, **names)
            raise Killed

        setattr(place, step, killed_behind)
        with pytest.raises(Killed):
            follower.step()
        assert witnesses.make(YUNNAN, database=database).step() == size, step


# -- lies ----------------------------------------------------------------------------------------------------


Spoil = Callable[[SeenLeaf], SeenLeaf]


def decision_at(leaf: SeenLeaf) -> bool:
    return decode_leaf(leaf.data).kind == "decision"


def without(kind: str) -> Spoil:
    """Keep a message from the witness."""

    def change(leaf: SeenLeaf) -> SeenLeaf:
        kept = tuple(one for one in leaf.envelopes if f".{kind}." not in one.payload_type)
        return replace(leaf, envelopes=kept)

    return change


def forged(kind: str) -> Spoil:
    """Give a message whose signature does not hold."""

    def change(leaf: SeenLeaf) -> SeenLeaf:
        made = []
        for one in leaf.envelopes:
            copy = envelope_pb2.Envelope()
            copy.CopyFrom(one)
            if f".{kind}." in one.payload_type:
                copy.signatures[0].signature = bytes(64)
            made.append(copy)
        return replace(leaf, envelopes=tuple(made))

    return change


def swapped(leaf: SeenLeaf) -> SeenLeaf:
    """Give other bytes for the lock than those that the leaf names."""
    made = []
    for one in leaf.envelopes:
        copy = envelope_pb2.Envelope()
        copy.CopyFrom(one)
        if "lock-assertion" in one.payload_type:
            lock = messages_pb2.LockAssertion.FromString(one.payload)
            lock.blocks[0].end_serial += 1
            copy.payload = lock.SerializeToString()
        made.append(copy)
    return replace(leaf, envelopes=tuple(made))


LIES: dict[str, Spoil] = {
    "no lock": without("lock-assertion"),
    "no Ready": without("ready"),
    "no decision": without("decision"),
    "a forged lock": forged("lock-assertion"),
    "a forged Ready": forged("ready"),
    "a forged decision": forged("decision"),
    "another lock": swapped,
    "no messages at all": lambda leaf: replace(leaf, envelopes=()),
}


def offered_to(witnesses: WitnessMaker, change: Spoil) -> tuple[Follower, LyingSource]:
    """Give a new witness to whom every decision is shown changed."""
    source = LyingSource(witnesses.remote(YUNNAN), lambda leaf: change(leaf) if decision_at(leaf) else leaf)
    return witnesses.make(YUNNAN, source), source


def test_hashes_alone_are_not_cosigned(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    trade(running, shanghai, 3)
    witnesses.sealed()
    for lie, change in LIES.items():
        follower, source = offered_to(witnesses, change)
        with pytest.raises(TlogError, match="WITNESS_LEAF_REFUSED"):
            follower.step()
        assert not source.taken, lie
        assert follower.refusal is not None, lie


def test_a_witness_that_cosigns_hashes_alone_is_caught(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    witnesses: WitnessMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant of PROTOCOL section 10: it is exactly what the test above would let pass."""

    def hashes_alone(_self: Any, leaves: Sequence[SeenLeaf], directory: Any, settled: Any) -> Any:
        del settled
        return replay.Stretch(leaves, [], replay.Touched(), directory, directory)

    trade(running, shanghai, 3)
    witnesses.sealed()
    monkeypatch.setattr(replay.Replay, "open", hashes_alone)
    follower, source = offered_to(witnesses, LIES["no messages at all"])
    follower.step()
    assert source.taken, "the mutant cosigns what an honest witness refuses"


def test_what_contradicts_the_replay_is_not_cosigned(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    trade(running, shanghai, 3)
    witnesses.sealed()
    for what in ("decided twice", "not at the source", "issued without a claim"):
        source = LyingSource(witnesses.remote(YUNNAN))
        follower = witnesses.make(YUNNAN, source)
        honest = follower._store.known

        def known(
            touched: replay.Touched, directory: Any, what: str = what, honest: Any = honest
        ) -> replay.Known:
            found: replay.Known = honest(touched, directory)
            if what == "decided twice":
                found.decided |= touched.transfers
            else:
                found.book.register([touched.blocks[-1]], (YUNNAN, replay.HELD))
            return found

        if what == "issued without a claim":
            # As if the log had never recorded the claim: its receipt is unknown when the Issue comes.
            follower._replay._openers["claim"] = lambda *_: lambda _known: None
        else:
            follower._store.known = known  # type: ignore[method-assign]
        with pytest.raises(TlogError, match="WITNESS_LEAF_REFUSED"):
            follower.step()
        assert not source.taken, what


def test_a_rolled_back_log_is_refused_with_evidence(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    remote = witnesses.remote(YUNNAN)
    witnesses.sealed()
    old = remote.checkpoint(0)
    trade(running, shanghai, 3)
    size = witnesses.sealed()
    source = LyingSource(remote)
    follower = witnesses.make(YUNNAN, source)
    assert follower.step() == size
    source.note = old.note
    with pytest.raises(TlogError, match="WITNESS_STALE"):
        follower.step()


def test_a_cosignature_counts_for_a_witness_of_the_group_and_its_own_key_alone(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    trade(running, shanghai, 1)
    size = witnesses.sealed()
    source = LyingSource(witnesses.remote(YUNNAN))
    witnesses.make(YUNNAN, source).step()
    ((_, line),) = source.taken
    for party, message in ((SHANGHAI, "COSIGNATURE_FORM"),):
        with pytest.raises(DomainError, match=message):
            witnesses.remote(party).add_cosignature(size, line, ["decision"])
    with pytest.raises(DomainError, match="CHECKPOINT_SIZE"):
        witnesses.remote(YUNNAN).add_cosignature(size + 1, line, ["decision"])
    assert witnesses.remote(YUNNAN).add_cosignature(size, line, ["decision"]) == 0
    assert witnesses.remote(YUNNAN).add_cosignature(size, line, ["decision"]) == 0, "again is once"


def test_kinds_of_leaf_count_when_every_witness_has_announced_them(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    keeper = running.bridge.logs.keeper
    witnesses.sealed()
    for party in (SHANGHAI, SHENZHEN):
        witnesses.make(party).step()
        assert "decision" not in keeper.kinds_known_to_all()
    trade(running, shanghai, 1)
    witnesses.sealed()
    witnesses.make(YUNNAN).step()
    assert "decision" in keeper.kinds_known_to_all()


def test_names_of_logs_and_keys(running: Running, witnesses: WitnessMaker) -> None:
    witnesses.sealed()
    network = running.network
    note = witnesses.remote(YUNNAN).checkpoint(0).note
    keys = checkpoint_keys(network.network_id, network.directory, BRIDGE)
    assert open_checkpoint(note, *keys)[0].origin == log_name(network.network_id, BRIDGE)
