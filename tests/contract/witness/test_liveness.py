"""What witnesses hand in becomes a quorum, whatever meets, is lost or fails for a moment on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import note_signer
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tanqiao.tlog.keys import NoteSigner
from tanqiao_bridge.application import sealing
from tanqiao_bridge.storage.tables import sealed_logs
from tests.contract.bridge.harness import PlayedRegion, Running
from tests.contract.witness.harness import LyingSource, WitnessMaker, wait_for

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


def test_sealing_goes_on_after_a_signature_that_failed(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SEAL_SECONDS", 0.05)
    before = witnesses.sealed()
    bridge = running.bridge
    assert bridge.logs.sealing is not None
    bridge.logs.sealing.stop()
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
