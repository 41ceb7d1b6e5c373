"""Lines to the regions: one session each, a bounded queue of frames, numbered traffic read from the outbox.

A slow region never slows another: its queue is bounded, offers beyond the bound are dropped and made again
on its next session or by its own offers, and numbered traffic waits in the outbox. The newest session
fences the older one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

import structlog

from tanqiao.api.bridge.v1 import sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.signing.batch import BATCH_ITEMS_MAX, sign_batch
from tanqiao.signing.envelope import Signer
from tanqiao_bridge.application.commands import OfferAgain
from tanqiao_bridge.application.context import BridgeContext, Group
from tanqiao_bridge.application.queries import PendingMessage, Queries

FRAMES_WAITING_MAX: Final = 2_000
NUMBERED_WINDOW_MAX: Final = 20_000
BATCH_PAYLOAD_BYTES_MAX: Final = 4 << 20
IDLE_SECONDS: Final = 1.0
ACKNOWLEDGE_SECONDS: Final = 0.05
"""So long an acknowledgement waits for a later one, which stands for it: nobody waits for either."""
AGAIN_MAX: Final = 20_000
"""Most Prepares that are remembered for a region that was too busy for them."""
AGAIN_MS_MIN: Final = 10
AGAIN_MS_MAX: Final = 30_000

_log = structlog.get_logger(__name__)


class Session:
    """One session of a region: what is to be sent, in order."""

    def __init__(
        self,
        party: str,
        number: int,
        received_number: int,
        *,
        older: Sequence[tuple[int, int]] = (),
        with_papers: bool = False,
        fenced: Callable[[], None] = lambda: None,
    ) -> None:
        self.fenced: Final = fenced
        """Told when a newer session has ended this one."""
        self.party: Final = party
        self.number: Final = number
        self._changed = threading.Condition()
        self._frames: deque[sync_pb2.ConnectResponse] = deque()
        self._received: tuple[int, int] | None = None
        self._received_due_at = 0.0
        self._closed = False
        self.reason: DomainError | None = None
        self._woken = True
        self.sent_number = received_number
        self.acknowledged_number = received_number
        self.older = deque(older)
        """Epochs before whose numbers the region has not all received, each with the last one it has."""
        self._again: dict[bytes, float] = {}
        self._all_again_at: float | None = None
        self.with_papers: Final = with_papers
        """Whether the region recovers: it is sent what every message rests on."""

    def put(self, frame: sync_pb2.ConnectResponse) -> bool:
        """Queue a frame; False if the queue is full: what it carried is offered again later."""
        with self._changed:
            if self._closed or len(self._frames) >= FRAMES_WAITING_MAX:
                return False
            self._frames.append(frame)
            self._changed.notify()
            return True

    def received(self, incarnation: int, up_to_number: int) -> None:
        """Acknowledge what the region numbered; the last word stands for all before it, is never dropped."""
        with self._changed:
            known = self._received
            if known is None:
                self._received_due_at = time.monotonic() + ACKNOWLEDGE_SECONDS
                self._changed.notify()
            if known is None or known < (incarnation, up_to_number):
                self._received = (incarnation, up_to_number)

    def wake(self) -> None:
        """Look at the outbox."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def acknowledge(self, up_to_number: int) -> None:
        """Note how far the region has taken the numbered traffic; the window moves on."""
        with self._changed:
            # What was never sent cannot be acknowledged: the window must not grow by it.
            taken = min(up_to_number, self.sent_number)
            was_full = self.sent_number - self.acknowledged_number >= NUMBERED_WINDOW_MAX
            self.acknowledged_number = max(self.acknowledged_number, taken)
            if was_full:
                self._woken = True
                self._changed.notify()

    def offer_later(self, transfer_ids: Iterable[bytes] | None, after_ms: int) -> None:
        """Note Prepares for which the region was too busy; None, or too many: all that are open to it."""
        at = time.monotonic() + min(max(after_ms, AGAIN_MS_MIN), AGAIN_MS_MAX) / 1000
        with self._changed:
            self._again.update((one, at) for one in transfer_ids or () if len(one) == ID_BYTES)
            if transfer_ids is None or len(self._again) > AGAIN_MAX:
                self._again.clear()
                self._all_again_at = self._all_again_at or at
            self._changed.notify()

    def due_again(self) -> OfferAgain | None:
        """Give what is to be offered again now, if anything is."""
        with self._changed:
            if not self._again and self._all_again_at is None:
                return None
            now = time.monotonic()
            if self._all_again_at is not None and self._all_again_at <= now:
                self._all_again_at = None
                self._again.clear()
                return OfferAgain(self.party, None)
            due = [one for one, at in self._again.items() if at <= now][:BATCH_ITEMS_MAX]
            for one in due:
                del self._again[one]
        return OfferAgain(self.party, tuple(due)) if due else None

    def _pause(self) -> float:
        """Give how long nothing is due."""
        times = [*self._again.values()]
        if self._all_again_at is not None:
            times.append(self._all_again_at)
        if self._received is not None:
            times.append(self._received_due_at)
        return max(0.0, min(IDLE_SECONDS, min(times) - time.monotonic())) if times else IDLE_SECONDS

    def close(self, reason: DomainError | None = None) -> None:
        """End the session; the region is told the reason, if there is one."""
        with self._changed:
            if not self._closed:
                self.reason = reason
            self._closed = True
            self._changed.notify()

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed

    def next_frames(self) -> tuple[list[sync_pb2.ConnectResponse], bool]:
        """Wait for frames or news in the outbox: (frames, whether to look at the outbox)."""
        with self._changed:
            if not self._closed and not self._frames and not self._woken and (pause := self._pause()) > 0:
                self._changed.wait(pause)
            frames = list(self._frames)
            self._frames.clear()
            if self._received is not None and self._received_due_at <= time.monotonic():
                acknowledge = sync_pb2.Acknowledge(
                    incarnation=self._received[0], up_to_number=self._received[1]
                )
                frames.append(sync_pb2.ConnectResponse(acknowledge=acknowledge))
                self._received = None
            woken, self._woken = self._woken, False
            return frames, woken


class Lines:
    """All sessions of the bridge, and the sending of what a group left behind."""

    def __init__(self, context: BridgeContext, queries: Queries) -> None:
        self._context = context
        self._queries = queries
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._serving = 0
        self._active: dict[str, Session] = {}
        self._opening: dict[tuple[str, int], Session] = {}
        context.connected = self.connected

    def opening(self, session: Session) -> None:
        """Note a session whose Hello is being taken; it becomes active with the commit of its opening."""
        with self._lock:
            self._serving += 1
            self._opening[session.party, session.number] = session

    def forget(self, session: Session) -> None:
        """End a session; another one of the region stays."""
        session.close()
        with self._lock:
            self._opening.pop((session.party, session.number), None)
            if self._active.get(session.party) is session:
                del self._active[session.party]

    def left(self) -> None:
        """Note that the last thread of a session has come to its end."""
        with self._idle:
            self._serving -= 1
            self._idle.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no thread serves a session any more; False if one still does."""
        with self._idle:
            return self._idle.wait_for(lambda: self._serving == 0, seconds)

    def connected(self, party: str) -> bool:
        """Whether the region has a session now."""
        return party in self._active

    def ask_to_reconcile(self, party: str, *, full: bool) -> bool:
        """Ask a region to reconcile now; False if it is not on the line."""
        session = self._active.get(party)
        if session is None:
            return False
        return session.put(sync_pb2.ConnectResponse(reconcile_now=sync_pb2.ReconcileNow(full=full)))

    def close(self) -> None:
        """End all sessions: the server stops."""
        with self._lock:
            sessions = [*self._active.values(), *self._opening.values()]
        for session in sessions:
            session.close()

    def send(self, group: Group) -> None:
        """Send what a committed group left: new sessions first, then offers, then wake-ups."""
        for party, number in group.sessions.items():
            self._activate(party, number)
        for outgoing in group.outgoing:
            session = self._active.get(outgoing.party)
            if session is not None:
                for frame in self._offered(outgoing.payload_type, outgoing.payloads, outgoing.companions):
                    session.put(frame)
        for party in group.wake:
            session = self._active.get(party)
            if session is not None:
                session.wake()

    def _activate(self, party: str, number: int) -> None:
        with self._lock:
            session = self._opening.pop((party, number), None)
            older = self._active.get(party)
            if session is None or (older is not None and older.number >= number):
                return
            self._active[party] = session
        if older is not None:
            _log.info("session fenced", party=party, session=older.number, by=number)
            older.close(DomainError("SESSION_FENCED", session=older.number))
            older.fenced()

    def _offered(
        self, payload_type: str, payloads: Sequence[bytes], companions: Sequence[bytes]
    ) -> Iterator[sync_pb2.ConnectResponse]:
        for start, end, signer in self._runs(payload_type, payloads):
            batch = sign_batch(signer, payload_type, payloads[start:end], companions[start:end])
            yield sync_pb2.ConnectResponse(offered=batch)

    def _runs(
        self, payload_type: str, payloads: Sequence[bytes], beside: Sequence[bytes] = ()
    ) -> Iterator[tuple[int, int, Signer]]:
        """Cut payloads into batches, each under the key that its headers name."""
        for first, last, signer in self._context.runs(payload_type, payloads):
            for start, end in _parts(payloads[first:last], beside[first:last]):
                yield first + start, first + end, signer

    def numbered(self, session: Session) -> Iterator[sync_pb2.ConnectResponse]:
        """Give the outbox's next messages as numbered frames, within the window; older epochs first."""
        while session.older and not session.closed:
            epoch, after = session.older.popleft()
            yield from self._numbered_of(session, epoch, after)
        while not session.closed:
            room = NUMBERED_WINDOW_MAX - (session.sent_number - session.acknowledged_number)
            if room <= 0:
                return
            limit = min(BATCH_ITEMS_MAX, room)
            rows = self._queries.unsent(
                session.party, self._context.epoch, after=session.sent_number, limit=limit
            )
            for kind, group in groupby(rows, key=lambda row: row.kind):
                for frame, number in self._numbered_batches(session, self._context.epoch, kind, list(group)):
                    yield frame
                    session.sent_number = number
            if len(rows) < limit:
                return  # what is numbered from now on wakes the session again

    def _numbered_of(self, session: Session, epoch: int, after: int) -> Iterator[sync_pb2.ConnectResponse]:
        """Give what an epoch before numbered and the region has not received."""
        while rows := self._queries.unsent(session.party, epoch, after=after, limit=BATCH_ITEMS_MAX):
            for kind, group in groupby(rows, key=lambda row: row.kind):
                for frame, number in self._numbered_batches(session, epoch, kind, list(group)):
                    yield frame
                    after = number

    def _numbered_batches(
        self, session: Session, epoch: int, kind: str, rows: Sequence[PendingMessage]
    ) -> Iterator[tuple[sync_pb2.ConnectResponse, int]]:
        payloads = [row.payload for row in rows]
        beside = self._queries.papers(session.party, rows) if session.with_papers else ()
        for start, end, signer in self._runs(kind, payloads, beside):
            batch: envelope_pb2.EnvelopeBatch = sign_batch(
                signer, kind, payloads[start:end], beside[start:end]
            )
            numbered = sync_pb2.NumberedBatch(incarnation=epoch, first_number=rows[start].number, batch=batch)
            yield sync_pb2.ConnectResponse(numbered=numbered), rows[end - 1].number


def older_streams(epoch: int, received_epoch: int, received_number: int) -> list[tuple[int, int]]:
    """Name the epochs before the present one of which a region may lack numbers, with the last it has."""
    first = max(1, received_epoch)
    return [(older, received_number if older == received_epoch else 0) for older in range(first, epoch)]


def _parts(payloads: Sequence[bytes], beside: Sequence[bytes] = ()) -> Iterator[tuple[int, int]]:
    """Cut payloads, with what travels beside them, into batches bounded in items and bytes."""
    start = 0
    size = 0
    for index, payload in enumerate(payloads):
        extra = len(beside[index]) if beside else 0
        if index > start and (
            index - start >= BATCH_ITEMS_MAX or size + len(payload) + extra > BATCH_PAYLOAD_BYTES_MAX
        ):
            yield start, index
            start, size = index, 0
        size += len(payload) + extra
    if start < len(payloads):
        yield start, len(payloads)
