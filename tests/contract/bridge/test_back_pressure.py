"""Back-pressure at the bridge (PROTOCOL section 3): a full writer ends no session and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.commands import OfferAgain, PassDeadlines
from tanqiao_bridge.server import lines, sync_servicer
from tests.contract.bridge.harness import WAIT_SECONDS, PlayedRegion, Running, issue_units

PREPARE = payload_type_of(messages_pb2.Prepare)


@contextmanager
def full(running: Running) -> Iterator[None]:
    """Let the bridge's writer have no room."""
    writer = running.bridge.writer
    room, writer._waiting_max = writer._waiting_max, 0
    try:
        yield
    finally:
        writer._waiting_max = room
        # The first command that it takes makes room known.
        writer.submit(PassDeadlines(0)).result(WAIT_SECONDS)


def busy_frames(region: PlayedRegion) -> list[sync_pb2.Busy]:
    return [frame.busy for frame in region.frames if frame.HasField("busy")]


def final_of(region: PlayedRegion, decision: messages_pb2.Decision) -> messages_pb2.SourceFinal:
    decision_hash = message_hash(payload_type_of(decision), decision.SerializeToString())
    return messages_pb2.SourceFinal(
        header=region.header(transfer_id=decision.header.transfer_id, source=region.party),
        decision_hash=decision_hash,
        state=messages_pb2.SOURCE_STATE_MOVED,
        journal_index=1,
    )


def test_a_full_writer_answers_offers_busy_lets_receipts_wait_and_ends_no_session(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    (first,) = shanghai.offer_locks([shanghai.lock(0, 10)])
    decided = shanghai.outcome(first)
    locks = [shanghai.lock(at, at + 10) for at in (10, 20, 30)]
    use = shanghai.use(40, 50)
    with full(running):
        shanghai.number([final_of(shanghai, decided)])  # nothing behind it is read before there is room
        shanghai.offer_locks(locks)
        shenzhen.offer([other := shenzhen.use(0, 1)])
        shenzhen.wait(lambda: bool(busy_frames(shenzhen)))
        (told,) = busy_frames(shenzhen)
        assert list(told.transfer_ids) == [other.header.transfer_id]
        assert told.retry_after_ms > 0
    for lock, _ in locks:
        assert shanghai.outcome(lock.header.transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
    with full(running):
        shanghai.offer_locks([shanghai.lock(50, 60)])
        shanghai.offer([use])
        shanghai.wait(lambda: len(busy_frames(shanghai)) == 2)
    shanghai.offer([use])
    assert shanghai.outcome(use.header.transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
    assert not shanghai.ended
    assert not shenzhen.ended
    assert not shanghai.refused
    shanghai.wait(lambda: _acknowledged(shanghai) == 1)  # the receipt was taken


def _acknowledged(region: PlayedRegion) -> int:
    return max(
        (frame.acknowledge.up_to_number for frame in region.frames if frame.HasField("acknowledge")),
        default=0,
    )


def test_a_region_that_is_busy_is_offered_its_prepares_again_on_the_same_session(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    shenzhen.answers = lambda _prepare: ""  # it takes none
    sent = shanghai.offer_locks([shanghai.lock(at, at + 10) for at in (0, 10)])
    shenzhen.wait(lambda: len(shenzhen.prepares) == len(sent))

    def offered() -> int:
        return sum(payload_type == PREPARE for payload_type, _ in shenzhen.received)

    before = offered()
    shenzhen.send(busy=sync_pb2.Busy(transfer_ids=[sent[0], b"x" * 16, b"short"], retry_after_ms=50))
    shenzhen.wait(lambda: offered() == before + 1)
    # Beyond the bound everything that is open towards it is offered again.
    monkeypatch.setattr(lines, "AGAIN_MAX", 10)
    made_up = [number.to_bytes(16, "big") for number in range(20)]
    shenzhen.answers = lambda _prepare: "ready"
    shenzhen.send(busy=sync_pb2.Busy(transfer_ids=made_up, retry_after_ms=50))
    for transfer_id in sent:
        assert shanghai.outcome(transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
    assert not shenzhen.ended


def test_prepares_that_the_writer_fails_to_offer_again_are_offered_once_more(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    shenzhen.answers = lambda _prepare: ""  # it takes none
    (sent,) = shanghai.offer_locks([shanghai.lock(0, 10)])
    shenzhen.wait(lambda: len(shenzhen.prepares) == 1)
    writer = running.bridge.writer
    failed: list[OfferAgain] = []
    submit = writer.submit

    def submit_or_fail(command: Any, *, patient: bool = False) -> Future[Any]:
        if isinstance(command, OfferAgain) and not failed:
            failed.append(command)
            future: Future[Any] = Future()
            future.set_exception(DomainError("DISK_FULL", directory="/"))
            return future
        return submit(command, patient=patient)

    monkeypatch.setattr(writer, "submit", submit_or_fail)
    monkeypatch.setattr(sync_servicer, "BUSY_RETRY_MS", 20)
    shenzhen.answers = lambda _prepare: "ready"
    shenzhen.send(busy=sync_pb2.Busy(transfer_ids=[sent], retry_after_ms=20))
    assert shanghai.outcome(sent).outcome == messages_pb2.OUTCOME_COMMIT
    assert len(failed) == 1
