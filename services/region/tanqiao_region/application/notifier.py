"""Tells those who wait, after the commit: that a transfer was decided, that the journal has grown."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Final

from tanqiao.protocol.types import TransferKey
from tanqiao_region.application.group import Aftermath

ENDED_KEPT_MAX: Final = 65_536
"""How many ends are remembered for those who ask a moment too late."""


class Notifier:
    """Wakes waiting calls; a listener of the writer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[TransferKey, list[threading.Event]] = {}
        self._ended: OrderedDict[TransferKey, int] = OrderedDict()
        self._grown = threading.Condition(threading.Lock())
        self._journal_index = 0
        self._closed = False

    def tell(self, aftermath: Aftermath) -> None:
        """Take over what a committed group left."""
        if aftermath.ended:
            with self._lock:
                for ended in aftermath.ended:
                    self._ended[ended.key] = ended.state
                    for event in self._waiting.pop(ended.key, ()):
                        event.set()
                while len(self._ended) > ENDED_KEPT_MAX:
                    self._ended.popitem(last=False)
        if aftermath.has_entries:
            with self._grown:
                self._journal_index = max(self._journal_index, aftermath.journal_index)
                self._grown.notify_all()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for the end of a transfer or use."""
        return bool(self._waiting)

    def wait_ended(self, key: TransferKey, seconds: float) -> int | None:
        """Wait until a transfer or use of a source has ended; its state, or None if the time ran out."""
        with self._lock:
            state = self._ended.get(key)
            if state is not None or seconds <= 0 or self._closed:
                return state
            event = threading.Event()
            self._waiting.setdefault(key, []).append(event)
        event.wait(seconds)
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is not None and event in waiting:
                waiting.remove(event)
                if not waiting:
                    del self._waiting[key]
            return self._ended.get(key)

    def wait_all_ended(self, source: str, transfer_ids: list[bytes], seconds: float) -> dict[bytes, int]:
        """Wait until all of a source have ended or the time runs out; the states of those that have."""
        until = time.monotonic() + seconds
        states = {}
        for transfer_id in transfer_ids:
            state = self.wait_ended(TransferKey(source, transfer_id), until - time.monotonic())
            if state is not None:
                states[transfer_id] = state
        return states

    def wait_grown(self, beyond: int, seconds: float) -> bool:
        """Wait for an entry behind an index; False if the time ran out or the node stops."""
        with self._grown:
            if self._journal_index <= beyond and not self._closed:
                self._grown.wait(seconds)
            return self._journal_index > beyond

    def close(self) -> None:
        """Let everybody go: the node stops."""
        with self._lock:
            self._closed = True
            events = [event for waiting in self._waiting.values() for event in waiting]
        for event in events:
            event.set()
        with self._grown:
            self._grown.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the node stops."""
        return self._closed
