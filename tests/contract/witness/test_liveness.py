"""What witnesses hand in becomes a quorum, whatever meets, is lost or fails for a moment on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import note_signer
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tanqiao.tlog.cosignature import split_cosignature
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.leaf import make_leaf
from tanqiao.tlog.note import parse_note
from tanqiao.witnessing import tables
from tanqiao.witnessing.replay import SeenLeaf
from tanqiao_bridge.application import sealing
from tanqiao_bridge.storage.tables import sealed_logs
from tests.contract.bridge.harness import PlayedRegion, Running
from tests.contract.witness.harness import LyingSource, WitnessMaker, seals_by_hand, trade, wait_for

MEETING_SECONDS = 1.0
"""How long one commit waits for the other; where only one can be under way, it waits in vain."""


@contextmanager
def commits_that_meet(*names: str) -> Iterator[None]:
    """Let the transactions of these threads be committed only when all are ready for it, if they can be."""
    meeting = threading.Barrier(len(names))

    def meet(_connection: Any) -> None:
        if threading.current_thread().name in names:
            try:
                meeting.wait(MEETING_SECONDS)
            except threading.BrokenBarrierError:
                return

    sa.event.listen(sa.Engine, "commit", meet)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "commit", meet)


def test_two_witnesses_that_hand_in_at_the_same_moment_are_a_quorum(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker
) -> None:
    running.recognise()
    size = witnesses.sealed()
    lines = {}
    for party in (SHANGHAI, SHENZHEN):
        source = LyingSource(witnesses.remote(party))
        assert witnesses.make(party, source).step() == size
        ((_, lines[party]),) = source.taken
    keeper = running.bridge.logs.keeper

    def hand_in(party: str) -> int:
        threading.current_thread().name = party
        return keeper.add_cosignature(party, size, lines[party], ["decision"])

    with ThreadPoolExecutor(2) as pool, commits_that_meet(SHANGHAI, SHENZHEN):
        answers = list(pool.map(hand_in, (SHANGHAI, SHENZHEN)))
    assert sorted(answers) == [0, size], "the second of them sees the first one's line"
    cosigned = keeper.checkpoints(BRIDGE).cosigned
    assert cosigned is not None
    assert cosigned.size == size


def test_a_cosignature_that_the_bridge_has_lost_is_handed_in_again(
    running: Running,
    shanghai: PlayedRegion,
    witnesses: WitnessMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tanqiao.witnessing.follower.AGAIN_SECONDS", 0.0)
    running.recognise()
    size = witnesses.sealed()
    first = witnesses.make(SHANGHAI)
    assert first.step() == size
    assert first.step() is None, "the bridge shows that it has it"
    with running.bridge.database.writing() as connection:
        connection.execute(sa.delete(sealed_logs.cosignatures))
        connection.commit()
    assert first.step() == size
    assert witnesses.make(SHENZHEN).step() == size
    assert running.bridge.logs.keeper.checkpoints(BRIDGE).cosigned is not None
    assert first.step() is None, "what has a quorum is not handed in again"


def test_witnesses_that_were_busy_at_different_times_cosign_one_size(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker
) -> None:
    seal = seals_by_hand(running)
    first, second = witnesses.make(SHANGHAI), witnesses.make(SHENZHEN)
    keeper = running.bridge.logs.keeper
    seal()
    assert first.step() == second.step()
    sizes = []
    for number in range(3):
        running.recognise(f"A-{number}")
        sizes.append(seal())
        if number == 0:
            assert first.step() == sizes[0]
    # The second one comes when the log has grown on: with the newest, neither would have a quorum.
    assert second.step() == sizes[0]
    assert (cosigned := keeper.checkpoints(BRIDGE).cosigned) is not None
    assert cosigned.size == sizes[0]
    assert first.step() == second.step() == sizes[2], "what nobody has cosigned is passed over"
    assert first.step() is second.step() is None


def test_leaves_are_opened_before_they_are_sealed_and_believed_only_then(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    seal = seals_by_hand(running)
    fetched: list[int] = []

    def count(leaf: SeenLeaf) -> SeenLeaf:
        fetched.append(leaf.log_index)
        return leaf

    source = LyingSource(witnesses.remote(SHANGHAI), count)
    follower = witnesses.make(SHANGHAI, source)
    seal()
    assert follower.step()
    trade(running, shanghai, 5)
    assert follower.step() is None
    opened = follower.look_ahead()
    assert opened > 5
    assert follower.look_ahead() == 0
    running.recognise("A-2")
    fetched.clear()
    size = seal()
    assert follower.step() == size
    assert fetched == list(range(size - 1, size)), "what was opened ahead is not fetched again"

    # What was shown ahead and is not sealed so is forgotten, without an accusation.
    def changed(leaf: SeenLeaf) -> SeenLeaf:
        return replace(leaf, data=made_up) if leaf.log_index >= size else leaf

    made_up = make_leaf("freeze", public={"order_id": bytes(16), "ordered_by": b"bridge"}).encode()
    running.recognise("A-3")
    source.change_leaf = changed
    assert follower.step() is None
    assert follower.look_ahead() == 1
    source.change_leaf = count
    size = seal()
    assert follower.step() == size
    assert follower.refusal is None
    with witnesses.opened[-1].reading() as connection:
        assert not connection.execute(sa.select(tables.evidence)).all()


def test_a_clock_that_was_set_back_across_a_restart_makes_nobody_stale(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker, tmp_path: Path
) -> None:
    seal = seals_by_hand(running)
    database = witnesses.database()
    notes: list[bytes] = []
    times: list[int] = []
    for number, seconds in enumerate((2_000_000, 2_000_500, 1_000_000)):
        if number != 1:  # the second one begins again and cosigns the same tree at a later time
            running.recognise(f"A-{number}")
        size = seal()
        source = LyingSource(witnesses.remote(SHANGHAI))
        follower = witnesses.make(SHANGHAI, source, database, now_seconds=lambda seconds=seconds: seconds)
        assert follower.step() == size
        ((_, line),) = source.taken
        newest = running.bridge.logs.keeper.checkpoints(BRIDGE).newest
        assert newest is not None
        notes.append(newest.note + line.encode())
        times.append(split_cosignature(parse_note(notes[-1]).signatures[-1].signature)[0])
    assert times == [2_000_000, 2_000_500, 2_000_500]
    watcher = witnesses.make(SHENZHEN, evidence=tmp_path)
    running.recognise("A-3")
    seal()
    assert watcher.step()
    for note in (*notes, *reversed(notes)):
        watcher.watch(note)
    assert watcher.accuser.files == []


def test_sealing_goes_on_after_a_signature_that_failed(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SEAL_SECONDS", 0.05)
    before = witnesses.sealed()
    bridge = running.bridge
    seals_by_hand(running)
    keyring = Keyring.open(running.network.network.node(BRIDGE) / "keys")
    honest = note_signer(running.network.network_id, keyring, KeyRole.CHECKPOINT)
    assert honest is not None
    asked: list[bytes] = []

    def sign(message: bytes) -> bytes:
        asked.append(message)
        if len(asked) == 1:
            raise OSError("the token was pulled out")
        return honest.sign(message)

    again = sealing.Sealing(bridge.database, NoteSigner(honest.key, sign), "again")
    again.start()
    try:
        running.recognise()
        keeper = bridge.logs.keeper
        wait_for(lambda: (newest := keeper.checkpoints(BRIDGE).newest) is not None and newest.size > before)
        assert len(asked) > 1
    finally:
        again.stop()
