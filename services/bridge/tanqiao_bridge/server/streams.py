"""How many streams of one region hold a thread of the bridge, and for how long before it says who it is.

A stream holds a thread while it lasts. A region that opens one after the other, or is silent on them, would
hold those of all others (PROTOCOL section 3: a slow region never slows another).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc

from tanqiao.api.bridge.v1 import sync_pb2
from tanqiao.kernel.errors import DomainError

STREAMS_PER_REGION_MAX: Final = 8
"""One is at work; the others are those of cuts that the bridge has not noticed yet."""
HELLO_SECONDS_MAX: Final = 10.0
FENCED_SECONDS_MAX: Final = 5.0
"""So long a fenced session has to take why it ended; one that reads nothing would hold its thread."""


class Streams:
    """Counts the streams of each region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    @contextmanager
    def hold(self, party: str) -> Iterator[None]:
        """Take a place for a stream of a region; BUSY where it has as many as it may."""
        with self._lock:
            if self._open[party] >= STREAMS_PER_REGION_MAX:
                raise DomainError("BUSY", detail=f"{party} has {STREAMS_PER_REGION_MAX} streams open")
            self._open[party] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[party] -= 1


def first_frame(
    frames: Iterator[sync_pb2.ConnectRequest], context: grpc.ServicerContext
) -> sync_pb2.ConnectRequest | None:
    """Give the first frame of a stream, None where there is none in time: the stream has ended then."""
    late = threading.Timer(HELLO_SECONDS_MAX, context.cancel)
    late.daemon = True
    late.start()
    try:
        return next(frames, None)
    except grpc.RpcError:
        return None
    finally:
        late.cancel()


def end_later(context: grpc.ServicerContext) -> None:
    """End a stream whose session was fenced, if it has not ended by then."""
    late = threading.Timer(FENCED_SECONDS_MAX, context.cancel)
    late.daemon = True
    late.start()
