"""A region that does not read, and one that is gone, hold nobody else up (PROTOCOL section 3)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2, sync_pb2_grpc
from tanqiao.testing.network import YUNNAN
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.bootstrap import WORKERS
from tanqiao_bridge.server import streams
from tests.contract.bridge.harness import WAIT_SECONDS, PlayedRegion, Running, issue_units
from tests.contract.bridge.test_records_twice import hand_in_agreement
from tests.contract.bridge.unchanged import recognition

COMMIT = messages_pb2.OUTCOME_COMMIT
WAITING = 1_000
"""Transfers to the region that does not read: their Prepares are more than a line holds by itself."""
OTHERS = 8


@dataclass
class Stalled(PlayedRegion):
    """A region on the line that takes the Hello and then reads nothing."""

    gone: threading.Event = field(default_factory=threading.Event)

    def _take(self, frame: Any) -> None:
        super()._take(frame)
        if frame.HasField("hello"):
            # The lock of the frames is held here: let go of it, so that the test can go on meanwhile.
            self._changed.notify_all()
            while not self.gone.is_set():
                self._changed.wait(0.05)

    def disconnect(self) -> None:
        """Leave the line without having read anything."""
        self.gone.set()
        super().disconnect()


@pytest.fixture
def yunnan(running: Running) -> Iterator[Stalled]:
    region = Stalled(running, YUNNAN)
    region.connect()
    yield region
    region.disconnect()


def test_streams_of_a_region_that_says_nothing_hold_nobody_up_and_end(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More of them than the bridge has threads; each is refused at once, or ended when no Hello comes."""
    monkeypatch.setattr(streams, "HELLO_SECONDS_MAX", 3.0)
    running.recognise()
    assert issue_units(running, shanghai).accepted
    silence = threading.Event()

    def say_nothing() -> Iterator[sync_pb2.ConnectRequest]:
        silence.wait(WAIT_SECONDS)
        yield from ()

    stub = sync_pb2_grpc.SyncServiceStub(running.channel(YUNNAN))
    calls = [stub.Connect(say_nothing()) for _ in range(WORKERS + OTHERS)]
    sent = shanghai.offer_locks([shanghai.lock(at, at + 1) for at in range(OTHERS)])
    for transfer_id in sent:
        assert shanghai.outcome(transfer_id).outcome == COMMIT
        assert shenzhen.outcome(transfer_id).outcome == COMMIT
    codes = [call.code() for call in calls]  # waits for the end of each
    silence.set()
    assert codes.count(grpc.StatusCode.UNAVAILABLE) == len(calls) - streams.STREAMS_PER_REGION_MAX
    assert codes.count(grpc.StatusCode.CANCELLED) == streams.STREAMS_PER_REGION_MAX
    # It may say Hello afterwards.
    PlayedRegion(running, YUNNAN).connect().disconnect()


def test_transfers_to_others_go_on_while_one_region_does_not_read_and_after_it_is_gone(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, yunnan: Stalled
) -> None:
    running.recognise()
    roots = ("authority/310000", "authority/530000")
    hand_in_agreement(running, running.signed_by_roots(recognition("A-2", to_region=YUNNAN), roots))
    assert issue_units(running, shanghai).accepted
    waiting = shanghai.offer_locks([shanghai.lock(at, at + 1, destination=YUNNAN) for at in range(WAITING)])

    def others_cross(first: int) -> None:
        sent = shanghai.offer_locks([shanghai.lock(at, at + 1) for at in range(first, first + OTHERS)])
        for transfer_id in sent:
            assert shanghai.outcome(transfer_id).outcome == COMMIT
            assert shenzhen.outcome(transfer_id).outcome == COMMIT

    others_cross(10_000)
    assert not yunnan.prepares
    yunnan.disconnect()
    others_cross(20_000)
    # It comes back, is offered everything again that is still open, and all of it ends.
    again = PlayedRegion(running, YUNNAN, session_number=yunnan.session_number).connect()
    try:
        for transfer_id in waiting:
            shanghai.outcome(transfer_id)
    finally:
        again.disconnect()
    assert check_database(running.bridge.database).clean
