"""What the sender of a session is asked to look up and send again: bounded, whatever the bridge asks for.

An honest bridge asks for what this node offered it, a frame at a time, and takes what it asked for. At a
bound nothing is lost: what was asked for is undecided, and everything undecided is offered again.

- stored answers and Withdraws beyond `WISHES_MAX`: everything is offered again instead;
- transfers that the bridge was too busy for, beyond `WISHES_MAX`: everything, `EVERYTHING_SECONDS` later;
- Prepares to be returned, beyond `WISHES_MAX`: the reader waits for the sender, and the bridge with it; when
  nothing was taken for `ROOM_SECONDS_MAX` the session ends with WISHES_EXCEEDED;
- a frame that names more than `IDS_PER_FRAME_MAX` ends the session with WISHES_EXCEEDED at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.batch import BATCH_ITEMS_MAX
from tanqiao_region.application.context import BRIDGE

WISHES_MAX: Final = 20_000
IDS_PER_FRAME_MAX: Final = 2 * BATCH_ITEMS_MAX
"""A frame carries `BATCH_ITEMS_MAX` offers, and what is asked back answers a frame."""
ROOM_SECONDS_MAX: Final = 30.0
EVERYTHING_SECONDS: Final = 5.0
NUMBERED_SECONDS: Final = 0.05
"""So long a numbered message waits for others: receipts, for which nobody waits, go together."""
BUSY_MS_MIN: Final = 10
BUSY_MS_MAX: Final = 30_000


@dataclass(slots=True)
class Wishes:
    """What the sender is asked to look up and send; `due` are transfers that the bridge was too busy for."""

    numbered: bool = True
    everything: bool = True
    stored: dict[TransferKey, None] = field(default_factory=dict)
    withdrawals: dict[bytes, None] = field(default_factory=dict)
    prepares: dict[TransferKey, None] = field(default_factory=dict)
    due: list[bytes] = field(default_factory=list)

    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.numbered or self.everything or self.stored or self.withdrawals or self.prepares or self.due
        )


class WishList:
    """The wishes of one session; asked by many threads, taken by its sender."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wishes = Wishes()
        self._later: dict[bytes, float] = {}
        self._everything_at: float | None = None
        self._numbered_at: float | None = None
        self._closed = False

    def ask(self, note: Callable[[Wishes], None]) -> None:
        """Ask for something that this node's own writer has; never waits."""
        with self._changed:
            wishes = self._wishes
            note(wishes)
            if max(len(wishes.stored), len(wishes.withdrawals)) > WISHES_MAX:
                wishes.stored.clear()
                wishes.withdrawals.clear()
                wishes.everything = True
            self._changed.notify_all()

    def send_numbered(self) -> None:
        """Ask for what the outbox has, soon: what comes to stand there meanwhile goes with it."""
        with self._changed:
            if self._numbered_at is None and not self._wishes.numbered:
                self._numbered_at = time.monotonic() + NUMBERED_SECONDS
                self._changed.notify_all()

    def return_prepares(self, source: str, transfer_ids: Iterable[bytes]) -> None:
        """Ask for Prepares that the bridge wants back; waits for room.

        Raises:
            DomainError: WISHES_EXCEEDED.
        """
        keys = [TransferKey(source, one) for one in _bounded(transfer_ids, "Prepares")]
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._closed or len(self._wishes.prepares) < WISHES_MAX, ROOM_SECONDS_MAX
            )
            if not has_room:
                raise _exceeded("Prepares")
            self._wishes.prepares.update(dict.fromkeys(keys))
            self._changed.notify_all()

    def offer_later(self, transfer_ids: Iterable[bytes], after_ms: int) -> None:
        """Ask for the offers of some transfers once the bridge is less busy.

        Raises:
            DomainError: WISHES_EXCEEDED.
        """
        ids = _bounded(transfer_ids, "offers")
        now = time.monotonic()
        at = now + min(max(after_ms, BUSY_MS_MIN), BUSY_MS_MAX) / 1000
        with self._changed:
            self._later.update((one, at) for one in ids)
            if len(self._later) > WISHES_MAX:
                self._later.clear()
                self._everything_at = self._everything_at or now + EVERYTHING_SECONDS
            self._changed.notify_all()

    def take(self, seconds: float) -> Wishes | None:
        """Wait until something is asked for, or the time runs out; None if the session has ended."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                self._note_due(now)
                if now >= until or not self._wishes.is_empty():
                    break
                self._changed.wait(min(until, *self._times()) - now)
            if self._closed:
                return None
            wishes, self._wishes = self._wishes, Wishes(numbered=False, everything=False)
            self._changed.notify_all()
            return wishes

    def _times(self) -> list[float]:
        """Give when the next of what is to be offered later is due, and a time that never comes first."""
        times = [float("inf"), *self._later.values()]
        times += [at for at in (self._everything_at, self._numbered_at) if at is not None]
        return times

    def _note_due(self, now: float) -> None:
        if self._everything_at is not None and self._everything_at <= now:
            self._everything_at = None
            self._wishes.everything = True
        if self._numbered_at is not None and self._numbered_at <= now:
            self._numbered_at = None
            self._wishes.numbered = True
        due = [one for one, at in self._later.items() if at <= now]
        for one in due:
            del self._later[one]
        self._wishes.due += due

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _bounded(transfer_ids: Iterable[bytes], what: str) -> list[bytes]:
    """Give the ids that can be one; too many in one frame end the session."""
    ids = list(transfer_ids)
    if len(ids) > IDS_PER_FRAME_MAX:
        raise _exceeded(what)
    return [one for one in ids if len(one) == ID_BYTES]


def _exceeded(what: str) -> DomainError:
    return DomainError("WISHES_EXCEEDED", peer=BRIDGE, what=what, limit=WISHES_MAX)
