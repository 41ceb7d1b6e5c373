"""Clocks of a server, and the service that shows and, on a test network, moves one.

A test clock is wall time plus an offset that its node keeps durable. It exists only where the network's id
begins with ``test-``, and it only moves forward (ARCHITECTURE section 5). Deadlines of the transfer protocol
use the monotonic clock, which it does not touch.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final, Protocol

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.kernel.clock import Clock
from tanqiao.kernel.errors import DomainError, require

TEST_NETWORK_PREFIX: Final = "test-"
YEAR_MAX: Final = 2999


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Give the present moment in UTC."""
        return datetime.now(UTC)


class OffsetStore(Protocol):
    """Where a test clock keeps its offset; an adapter puts it into the node's database."""

    def load(self) -> timedelta | None:
        """Give the offset that was saved last, or None."""
        ...  # pragma: no cover - a protocol has no body

    def save(self, offset: timedelta) -> None:
        """Keep the offset; durable when it returns."""
        ...  # pragma: no cover - a protocol has no body


def is_test_network(network_id: str) -> bool:
    """Whether a test clock is allowed on this network."""
    return network_id.startswith(TEST_NETWORK_PREFIX)


class TestClock:
    """Wall time plus a kept offset; it never goes back, even where the machine's clock does."""

    __test__ = False  # a clock for tests, not a test

    def __init__(
        self, network_id: str, store: OffsetStore, *, start: datetime | None = None, wall: Clock | None = None
    ) -> None:
        """Take up the kept offset; a first start begins at the start time, if one is given.

        Raises:
            DomainError: CLOCK_NOT_ALLOWED on a network that is not for tests.
        """
        if not is_test_network(network_id):
            raise DomainError("CLOCK_NOT_ALLOWED", network=network_id)
        self._wall = wall or SystemClock()
        self._store = store
        self._lock = Lock()
        self._moving = Lock()
        offset = store.load()
        if offset is None:
            offset = timedelta() if start is None else start - self._wall.now()
            store.save(offset)
        self._offset = offset
        self._latest = self._wall.now() + offset

    def now(self) -> datetime:
        """Give the test clock's moment in UTC."""
        with self._lock:
            self._latest = max(self._latest, self._wall.now() + self._offset)
            return self._latest

    def advance_to(self, moment: datetime) -> datetime:
        """Move the clock forward to the moment and give its time; durable when it returns.

        Raises:
            DomainError: CLOCK_SET_BACK, if the moment lies before the present.
        """
        require(moment.utcoffset() is not None, "a clock is set to an aware moment")
        with self._moving:
            with self._lock:
                wall = self._wall.now()
                present = max(self._latest, wall + self._offset)
            if moment < present:
                raise DomainError("CLOCK_SET_BACK", field="to_time", now=_text(moment), last=_text(present))
            # Whoever writes meanwhile asks for the time: while it is kept, the clock can be read.
            self._store.save(moment - wall)
            with self._lock:
                self._offset = moment - wall
                self._latest = max(self._latest, moment)
        return moment


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


class ClockServicer(clock_pb2_grpc.ClockServiceServicer):
    """Shows the node's clock; moves it where it is a test clock."""

    def __init__(self, clock: Clock, network_id: str) -> None:
        self._clock = clock
        self._network_id = network_id

    def GetClock(  # noqa: N802 - gRPC's name
        self, request: clock_pb2.GetClockRequest, context: grpc.ServicerContext
    ) -> clock_pb2.GetClockResponse:
        """Give the clock's time, and whether it is a test clock."""
        del request, context
        return clock_pb2.GetClockResponse(
            time=_timestamp(self._clock.now()),
            test_clock=isinstance(self._clock, TestClock),
            network_id=self._network_id,
        )

    def AdvanceTestClock(  # noqa: N802 - gRPC's name
        self, request: clock_pb2.AdvanceTestClockRequest, context: grpc.ServicerContext
    ) -> clock_pb2.AdvanceTestClockResponse:
        """Move a test clock forward."""
        del context
        if not isinstance(self._clock, TestClock):
            raise DomainError("CLOCK_NOT_ALLOWED", network=self._network_id)
        if not request.HasField("to_time"):
            raise DomainError("FIELD_MISSING", field="to_time")
        return clock_pb2.AdvanceTestClockResponse(
            time=_timestamp(self._clock.advance_to(_moment(request.to_time)))
        )


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _moment(stamp: Timestamp) -> datetime:
    try:
        moment = stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise DomainError("FIELD_INVALID", field="to_time", detail="not a moment") from error
    if moment.year > YEAR_MAX:
        raise DomainError("FIELD_INVALID", field="to_time", detail=f"beyond {YEAR_MAX}")
    return moment
