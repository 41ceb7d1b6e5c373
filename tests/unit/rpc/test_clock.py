from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import clock_pb2
from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao.rpc.clock import ClockServicer, SystemClock, TestClock, is_test_network

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
TODAY = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Wall:
    """A machine's clock that the test turns."""

    moment: datetime = TODAY

    def now(self) -> datetime:
        return self.moment


@dataclass
class Store:
    """Keeps offsets in memory, and can fail."""

    offset: timedelta | None = None
    fails: bool = False
    saved: list[timedelta] = field(default_factory=list)

    def load(self) -> timedelta | None:
        return self.offset

    def save(self, offset: timedelta) -> None:
        if self.fails:
            raise OSError("disk full")
        self.offset = offset
        self.saved.append(offset)


def test_a_test_clock_begins_where_it_is_told_and_goes_on_with_the_wall() -> None:
    wall, store = Wall(), Store()
    clock = TestClock("test-local", store, start=START, wall=wall)
    assert clock.now() == START
    wall.moment += timedelta(hours=3)
    assert clock.now() == START + timedelta(hours=3)


def test_a_test_clock_without_a_start_shows_the_wall() -> None:
    assert TestClock("test-local", Store(), wall=Wall()).now() == TODAY


def test_the_start_counts_on_the_first_start_only() -> None:
    wall, store = Wall(), Store()
    clock = TestClock("test-local", store, start=START, wall=wall)
    clock.advance_to(START + timedelta(days=7))
    wall.moment += timedelta(days=1)
    again = TestClock("test-local", store, start=START, wall=wall)
    assert again.now() == START + timedelta(days=8)


def test_a_test_clock_moves_forward_and_keeps_it_before_it_shows_it() -> None:
    store = Store()
    clock = TestClock("test-local", store, start=START, wall=Wall())
    later = START + timedelta(days=5)
    assert clock.advance_to(later) == later
    assert clock.now() == later
    assert store.saved[-1] == later - TODAY
    assert clock.advance_to(later) == later


def test_whoever_holds_the_store_up_can_ask_for_the_time() -> None:
    """The writer of a database asks for the time within its transaction, and `save` waits for that writer."""
    asked: list[datetime] = []

    class Held(Store):
        def save(self, offset: timedelta) -> None:
            writer = Thread(target=lambda: asked.append(clock.now()), daemon=True)
            writer.start()
            writer.join(30)
            super().save(offset)

    clock = TestClock("test-local", Held(timedelta()), wall=Wall())
    clock.advance_to(TODAY + timedelta(days=5))
    assert asked == [TODAY]
    assert clock.now() == TODAY + timedelta(days=5)


def test_a_test_clock_whose_store_fails_does_not_move() -> None:
    store = Store()
    clock = TestClock("test-local", store, start=START, wall=Wall())
    store.fails = True
    with pytest.raises(OSError, match="disk full"):
        clock.advance_to(START + timedelta(days=5))
    assert clock.now() == START


def test_a_test_clock_never_goes_back() -> None:
    clock = TestClock("test-local", Store(), start=START, wall=Wall())
    with pytest.raises(DomainError) as refusal:
        clock.advance_to(START - timedelta(microseconds=1))
    assert refusal.value.symbol == "CLOCK_SET_BACK"
    assert refusal.value.field == "to_time"
    assert clock.now() == START


def test_a_test_clock_stands_still_while_the_wall_goes_back() -> None:
    wall = Wall()
    clock = TestClock("test-local", Store(), start=START, wall=wall)
    wall.moment -= timedelta(days=1)
    assert clock.now() == START
    wall.moment += timedelta(days=1, seconds=9)
    assert clock.now() == START + timedelta(seconds=9)


def test_a_moment_without_a_time_zone_breaks_an_invariant() -> None:
    clock = TestClock("test-local", Store(), start=START, wall=Wall())
    with pytest.raises(InvariantBroken):
        clock.advance_to(START.replace(tzinfo=None))


@pytest.mark.parametrize("network_id", ["national", "tests", "atest-", "TEST-local"])
def test_a_test_clock_is_for_test_networks(network_id: str) -> None:
    assert not is_test_network(network_id)
    with pytest.raises(DomainError) as refusal:
        TestClock(network_id, Store())
    assert refusal.value.symbol == "CLOCK_NOT_ALLOWED"
    assert refusal.value.metadata["network"] == network_id


def test_the_system_clock_shows_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta()


def advance(servicer: ClockServicer, stamp: Timestamp | None) -> datetime:
    request = clock_pb2.AdvanceTestClockRequest(to_time=stamp)
    return servicer.AdvanceTestClock(request, None).time.ToDatetime(UTC)  # type: ignore[arg-type] # the context is not looked at


def test_the_service_shows_and_moves_a_test_clock() -> None:
    clock = TestClock("test-local", Store(), start=START, wall=Wall())
    servicer = ClockServicer(clock, "test-local")
    answer = servicer.GetClock(clock_pb2.GetClockRequest(), None)  # type: ignore[arg-type] # as above
    assert (answer.time.ToDatetime(UTC), answer.test_clock, answer.network_id) == (START, True, "test-local")
    stamp = Timestamp()
    stamp.FromDatetime(START + timedelta(days=3))
    assert advance(servicer, stamp) == START + timedelta(days=3)


def test_the_service_does_not_move_the_system_clock() -> None:
    servicer = ClockServicer(SystemClock(), "national")
    assert not servicer.GetClock(clock_pb2.GetClockRequest(), None).test_clock  # type: ignore[arg-type] # as above
    with pytest.raises(DomainError) as refusal:
        advance(servicer, Timestamp(seconds=1))
    assert refusal.value.symbol == "CLOCK_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("stamp", "symbol"),
    [
        (None, "FIELD_MISSING"),
        (Timestamp(seconds=2**62), "FIELD_INVALID"),
        (Timestamp(seconds=253402300799), "FIELD_INVALID"),
        (Timestamp(seconds=-1), "CLOCK_SET_BACK"),
    ],
)
def test_the_service_refuses_a_moment_that_is_none(stamp: Timestamp | None, symbol: str) -> None:
    servicer = ClockServicer(TestClock("test-local", Store(), start=START, wall=Wall()), "test-local")
    with pytest.raises(DomainError) as refusal:
        advance(servicer, stamp)
    assert refusal.value.symbol == symbol
    assert refusal.value.field == "to_time"
