"""The region's own log: sealed each second when it has grown, and carried up to the bridge, which serves it.

A leaf is a pure function of a journal entry and the node's secret: the entry is the fact, so that the leaf is
as durable as it from the same transaction on. It says when, of what kind and under which message, and commits
to the entry with a salt; what the entry says of accounts stays here until the region opens it.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

import structlog

from tanqiao.kernel.errors import DomainError
from tanqiao.tlog.errors import TlogError
from tanqiao_region.application.own_log import OwnLog, StoredCheckpoint

UPLINK_SECONDS: Final = 1.0
LEAVES_PER_CALL: Final = 1_000
REST: Final = 0.5
"""Seconds for each second of work in which a log that is behind leaves the node to its callers."""
STOP_SECONDS_MAX: Final = 30.0

_log = structlog.get_logger("tanqiao.region.log")


class LogSink(Protocol):
    """Port: the bridge, as it takes leaves of this region's log."""

    def add_leaves(self, first_index: int, leaves: list[bytes], checkpoint: bytes) -> tuple[int, int]:
        """Hand in leaves and a checkpoint; (leaves there, size of the checkpoint there)."""
        ...


class LogUplink:
    """Seals the node's log and hands it to the bridge.

    Args:
        own_log: the log.
        sink: the bridge.
    """

    def __init__(self, own_log: OwnLog, sink: LogSink) -> None:
        self._own_log = own_log
        self._sink = sink
        self._there: int | None = None
        self._checkpoint_there = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Work in a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self._run, name="own-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        told, pause = "", UPLINK_SECONDS
        while not self._stopping.wait(pause):
            begun, pause = time.monotonic(), UPLINK_SECONDS
            try:
                more = self._own_log.seal()
                sealed = time.monotonic()
                self.carry_up()
                if more:
                    pause = min(UPLINK_SECONDS, (sealed - begun) * REST)
                told = ""
            except (DomainError, TlogError) as error:
                reason = error.symbol if isinstance(error, DomainError) else error.reason
                if reason != told:
                    _log.warning("own_log_waits", reason=reason)
                told = reason
            except Exception:  # noqa: BLE001 - whatever it was, the next second tries again
                _log.exception("own_log_failed")

    def carry_up(self) -> int:
        """Hand the bridge what it has not; the leaves that it has then.

        Raises:
            DomainError: the bridge cannot be reached, or refuses: LOG_CHECK_FAILED if it knows another log.
        """
        newest = self._own_log.checkpoint()
        if newest is None:
            return 0
        if self._there is None:
            self._there, self._checkpoint_there = self._sink.add_leaves(0, [], b"")
        while not self._stopping.is_set() and self._is_behind(newest):
            first = self._there
            leaves = self._own_log.leaves(first, min(LEAVES_PER_CALL, newest.size - first))
            last = first + len(leaves) == newest.size
            begun = time.monotonic()
            self._there, self._checkpoint_there = self._sink.add_leaves(
                first, leaves, newest.note if last else b""
            )
            if not last:
                self._stopping.wait((time.monotonic() - begun) * REST)
        return self._there

    def _is_behind(self, newest: StoredCheckpoint) -> bool:
        return (self._there or 0) < newest.size or self._checkpoint_there < newest.size
