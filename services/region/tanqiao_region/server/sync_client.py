"""The line to the bridge: the node dials out, says Hello, sends and receives, and dials again when it breaks.

Three threads: one dials and reads, gRPC's own drains the outgoing queue, one reads the outbox and offers
again. What is received goes to the node's writer and is acknowledged when its effect is durable.
Back-pressure (PROTOCOL section 3): commands under way are bounded; offers for which the writer has no room
are answered Busy, a numbered frame waits for room and the bridge with it. No refused message ends the
stream; a numbered frame that could not be taken does, and is sent again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final, TypeVar

import grpc
import structlog

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.validation import require_party
from tanqiao.signing.batch import BATCH_ITEMS_MAX
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.group import Aftermath
from tanqiao_region.application.line import Line, acknowledgement
from tanqiao_region.application.reconciling import ReconcileRemote, Schedule
from tanqiao_region.application.recovery import RecoveryRemote
from tanqiao_region.server.wishes import Wishes, WishList

FRAMES_WAITING_MAX: Final = 512
BUSY_WAITING_MAX: Final = 512
COMMANDS_IN_FLIGHT_MAX: Final = 64
NUMBERED_PER_LOOK_MAX: Final = 1_000
ANSWER_SECONDS_MAX: Final = 30.0
IDLE_SECONDS: Final = 1.0
ACKNOWLEDGE_SECONDS: Final = 0.05
"""So long an acknowledgement waits for a later one, which stands for it: the bridge's window is long."""
OFFER_AGAIN_SECONDS: Final = 45.0
"""What is still undecided after so long is offered again on the same session."""
BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 5.0
NOT_NOW: Final = frozenset({"BUSY", "DISK_FULL", "DATABASE_UNAVAILABLE"})
"""Why a frame of offers is answered Busy: it may be taken when it is offered again."""

_log = structlog.get_logger("tanqiao.region.sync")

Frame = sync_pb2.ConnectRequest
Key = TypeVar("Key")


class _Session:
    """One session: a bounded queue of frames, and what is to be looked up."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._received: tuple[int, int] | None = None
        self._received_due_at = 0.0
        self.wishes = WishList()
        self._closed = False
        self.sent_number = 0
        self.acknowledged: tuple[int, int] | None = None

    # -- frames ----------------------------------------------------------------------------------------------

    def put(self, frames: Iterable[Frame]) -> bool:
        """Queue frames without waiting; False if there is no room for all: they must be made again later."""
        made = list(frames)
        with self._changed:
            if self._closed or len(self._frames) + len(made) > FRAMES_WAITING_MAX:
                return False
            self._frames.extend(made)
            self._changed.notify_all()
            return True

    def received(self, incarnation: int, up_to_number: int) -> None:
        """Acknowledge what the bridge numbered; the last word stands for all before it, is never dropped."""
        with self._changed:
            if self._received is None:
                self._received_due_at = time.monotonic() + ACKNOWLEDGE_SECONDS
                self._changed.notify_all()
            if self._received is None or self._received < (incarnation, up_to_number):
                self._received = (incarnation, up_to_number)

    def put_busy(self, frame: Frame) -> None:
        """Queue a Busy, for which there is room when offers have none; beyond it the session ends.

        What was not taken and not answered would not be offered again on this session, but is on the next.
        """
        with self._changed:
            if len(self._frames) < FRAMES_WAITING_MAX + BUSY_WAITING_MAX:
                self._frames.append(frame)
                self._changed.notify_all()
                return
        self.close()

    def put_waiting(self, frame: Frame) -> bool:
        """Queue a frame, waiting for room; False if the session has ended."""
        with self._changed:
            while not self._closed and len(self._frames) >= FRAMES_WAITING_MAX:
                self._changed.wait(IDLE_SECONDS)
            if self._closed:
                return False
            self._frames.append(frame)
            self._changed.notify_all()
            return True

    def frames(self) -> Iterator[Frame]:
        """Give frames as they come until the session ends: gRPC's own thread drains them."""
        while True:
            with self._changed:
                while not self._frames and not self._closed and (pause := self._pause()) > 0:
                    self._changed.wait(pause)
                if self._closed:
                    return
                ready = list(self._frames)
                self._frames.clear()
                if self._received is not None and self._pause() <= 0:
                    ready.append(acknowledgement(*self._received))
                    self._received = None
                self._changed.notify_all()
            yield from ready

    def _pause(self) -> float:
        """Give how many seconds nothing but a frame is to be sent."""
        if self._received is None:
            return IDLE_SECONDS
        return self._received_due_at - time.monotonic()

    def close(self) -> None:
        """End the session."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.wishes.close()

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed


class SyncClient:
    """Keeps the line to the bridge.

    Args:
        line: what is sent and where received frames go.
        dial: opens a channel to the bridge.
        address: of the bridge, for the log.
        remote: gives the bridge's RecoveryService on a channel.
        reconcile: gives its ReconcileService.
        schedule: when the books are compared.
    """

    def __init__(
        self,
        line: Line,
        dial: Callable[[], grpc.Channel],
        address: str,
        remote: Callable[[grpc.Channel], RecoveryRemote],
        reconcile: Callable[[grpc.Channel], ReconcileRemote],
        schedule: Schedule,
    ) -> None:
        self._remote = remote
        self._reconcile = reconcile
        self._schedule = schedule
        self._line = line
        self._dial = dial
        self._address = address
        self._stopping = threading.Event()
        self._session: _Session | None = None
        self._call: grpc.RpcContext | None = None
        self._thread = threading.Thread(target=self._run, name="sync-line", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether a session is open: both Hellos were said."""
        return self._session is not None

    def start(self) -> None:
        """Begin to dial."""
        self._thread.start()

    def stop(self) -> None:
        """End the session and the thread."""
        self._stopping.set()
        session, call = self._session, self._call
        if session is not None:
            session.close()
        if call is not None:
            call.cancel()
        if self._thread.is_alive():
            self._thread.join(ANSWER_SECONDS_MAX)

    def tell(self, aftermath: Aftermath) -> None:
        """Send what a committed group left; called in the writer's thread, so nothing here waits."""
        session = self._session
        if session is None:
            return  # the next session offers all that is undecided
        if aftermath.offered and not session.put(self._line.batches(aftermath.offered)):
            session.wishes.ask(lambda wishes: setattr(wishes, "everything", True))
        if aftermath.numbered:
            session.wishes.send_numbered()
        if aftermath.stored or aftermath.withdrawals:

            def note(wishes: Wishes) -> None:
                wishes.stored.update(dict.fromkeys(aftermath.stored))
                wishes.withdrawals.update(dict.fromkeys(aftermath.withdrawals))

            session.wishes.ask(note)

    # -- dialling --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        backoff = BACKOFF_SECONDS_MIN
        told = ""
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                with self._dial() as channel:
                    self._serve(channel)
            except DomainError as refusal:
                _log.warning("line_refused", bridge=self._address, reason=refusal.symbol)
                self._line.look_at_end(refusal)
            except grpc.RpcError as error:
                ended = from_rpc_error(error, peer="bridge", address=self._address)
                self._look_at(ended)
                if ended.symbol != told:  # a bridge that is down for an hour is one line, not a thousand
                    _log.info("line_ended", bridge=self._address, reason=ended.symbol)
                told = ended.symbol
            except Exception:  # noqa: BLE001 - whatever it was, the node dials again
                _log.exception("line_failed", bridge=self._address)
            if time.monotonic() - begun > BACKOFF_SECONDS_MAX:
                backoff, told = BACKOFF_SECONDS_MIN, ""
            self._stopping.wait(backoff)
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)

    def _look_at(self, ended: DomainError) -> None:
        """A Hello that was refused may say that this node was restored."""
        try:
            self._line.recovery.refused(ended)
        except DomainError as refusal:  # the queue is full or the node stops
            _log.warning("recovery_waits", reason=refusal.symbol)

    def _serve(self, channel: grpc.Channel) -> None:
        session = _Session()
        session.put([self._line.hello(ANSWER_SECONDS_MAX)])
        responses = sync_pb2_grpc.SyncServiceStub(channel).Connect(session.frames())
        self._call = responses
        sender: threading.Thread | None = None
        watcher: threading.Thread | None = None
        try:
            if self._stopping.is_set():  # `stop` may have looked for a call before there was one
                return
            first = next(iter(responses), None)
            if first is None or first.WhichOneof("frame") != "hello":
                raise DomainError("FIELD_MISSING", field="hello")
            session.sent_number, wants_report = self._opened(channel, first.hello)
            remote, reconcile = self._remote(channel), self._reconcile(channel)
            if wants_report:
                self._line.recovery.report(remote)
            self._session = session
            sender = threading.Thread(
                target=self._send, args=(session, remote, reconcile), name="sync-send", daemon=True
            )
            watcher = threading.Thread(
                target=self._schedule.serve,
                args=(reconcile, self._schedule.begin()),
                name="sync-reconcile",
                daemon=True,
            )
            watcher.start()
            sender.start()
            _log.info("line_open", bridge=self._address)
            self._read(responses, session)
        finally:
            self._session = self._call = None
            session.close()
            responses.cancel()
            if sender is not None:
                sender.join(ANSWER_SECONDS_MAX)
            if watcher is not None:
                self._schedule.end()
                watcher.join(ANSWER_SECONDS_MAX)

    def _opened(self, channel: grpc.Channel, hello: envelope_pb2.Envelope) -> tuple[int, bool]:
        """Take the bridge's Hello; a key that it began to use meanwhile is learnt from its record first."""
        try:
            return self._line.opened(hello)
        except DomainError as refusal:
            if refusal.symbol != "KEY_UNKNOWN":
                raise
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        listed = stub.ListKeys(directory_pb2.ListKeysRequest(owner=BRIDGE), timeout=ANSWER_SECONDS_MAX)
        self._line.learn_keys(
            [key.record for key in listed.keys if key.HasField("record")], ANSWER_SECONDS_MAX
        )
        return self._line.opened(hello)

    # -- reading ---------------------------------------------------------------------------------------------

    def _read(self, responses: Iterable[sync_pb2.ConnectResponse], session: _Session) -> None:
        room = threading.BoundedSemaphore(COMMANDS_IN_FLIGHT_MAX)
        for response in responses:
            if session.closed or self._stopping.is_set():
                return
            self._take(response, session, room)

    def _take(
        self, response: sync_pb2.ConnectResponse, session: _Session, room: threading.BoundedSemaphore
    ) -> None:
        match response.WhichOneof("frame"):
            case "numbered":
                room.acquire()
                self._take_numbered(response.numbered, session, room)
            case "offered":
                room.acquire()
                self._take_offered(response.offered, session, room)
            case "acknowledge":
                # Kept by the sender once in a while: the bridge's Hello says the same.
                session.acknowledged = (
                    response.acknowledge.incarnation,
                    response.acknowledge.up_to_number,
                )
            case "need_prepare":
                self._take_need(response.need_prepare, session)
            case "busy":
                session.wishes.offer_later(response.busy.transfer_ids, response.busy.retry_after_ms)
            case "reconcile_now":
                self._schedule.ask(full=response.reconcile_now.full)
            case "offer_refused":
                reasons = [reason.reason for reason in response.offer_refused.reasons]
                _log.warning(
                    "offer_refused_by_bridge",
                    transfer_id=response.offer_refused.transfer_id.hex(),
                    reasons=reasons,
                )
            case other:
                _log.warning("frame_unknown", frame=str(other))

    @staticmethod
    def _take_need(need: sync_pb2.NeedPrepare, session: _Session) -> None:
        try:
            source = require_party(need.source, "need_prepare.source", ("region",)).path
        except DomainError as refusal:  # nobody's transfers: there is no Prepare of them
            _log.warning("frame_refused", frame="need_prepare", reason=refusal.symbol)
            return
        session.wishes.return_prepares(source, need.transfer_ids)

    def _take_offered(
        self, batch: envelope_pb2.EnvelopeBatch, session: _Session, room: threading.BoundedSemaphore
    ) -> None:
        def busy(refusal: DomainError) -> None:
            if refusal.symbol in NOT_NOW:
                session.put_busy(self._line.busy(batch))
            else:
                _log.warning("offers_not_taken", reason=refusal.symbol)

        def taken(future: Future[Any]) -> None:
            error = future.exception()
            if isinstance(error, DomainError):
                busy(error)
            elif error is not None:
                _log.warning("offers_not_taken", reason=str(error)[:200])

        try:
            self._follow(room, lambda: self._line.take_offered(batch), taken)
        except DomainError as refusal:
            if refusal.symbol not in NOT_NOW:
                raise
            busy(refusal)

    def _take_numbered(
        self, frame: sync_pb2.NumberedBatch, session: _Session, room: threading.BoundedSemaphore
    ) -> None:
        def taken(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                _log.warning("numbered_not_taken", reason=str(error)[:200])
                session.close()
                return
            received = future.result()
            session.received(received.incarnation, received.up_to_number)

        self._follow(room, lambda: self._line.take_numbered(frame), taken)

    def _follow(
        self,
        room: threading.BoundedSemaphore,
        begin: Callable[[], Future[Any] | None],
        taken: Callable[[Future[Any]], None],
    ) -> None:
        """Begin a command and give its room back when it is done."""
        try:
            future = begin()
        except DomainError:
            room.release()
            raise  # what came is offered or sent again
        if future is None:
            room.release()
            return

        def done(ended: Future[Any]) -> None:
            room.release()
            taken(ended)

        future.add_done_callback(done)

    # -- sending ---------------------------------------------------------------------------------------------

    def _send(self, session: _Session, remote: RecoveryRemote, reconcile: ReconcileRemote) -> None:
        offered_at = kept_at = time.monotonic()
        try:
            while (wanted := session.wishes.take(IDLE_SECONDS)) is not None:
                if wanted.everything:
                    offered_at = time.monotonic()
                    self._put(session, self._line.all_offers())
                if wanted.numbered:
                    self._send_numbered(session)
                self._send_wanted(session, wanted)
                if self._line.recovering and self._line.recovery.step(
                    remote, lambda: self._schedule.try_run(reconcile, full=True)
                ):
                    return  # the next session is that of a node which takes orders
                if time.monotonic() - offered_at > OFFER_AGAIN_SECONDS:
                    offered_at = time.monotonic()
                    made_before = self._line.now() - int(OFFER_AGAIN_SECONDS)
                    self._put(session, self._line.all_offers(made_before))
                if time.monotonic() - kept_at > IDLE_SECONDS:
                    kept_at = time.monotonic()
                    self._keep_acknowledgement(session)
        except DomainError as refusal:
            _log.warning("sending_ended", reason=refusal.symbol)
        except Exception:  # noqa: BLE001 - the session ends and the node dials again
            _log.exception("sending_failed")
        finally:
            session.close()

    def _send_numbered(self, session: _Session) -> None:
        while not session.closed:
            before = session.sent_number
            for frame, last_number in self._line.numbered(before, NUMBERED_PER_LOOK_MAX):
                if not session.put_waiting(frame):
                    return
                session.sent_number = last_number
            if session.sent_number - before < NUMBERED_PER_LOOK_MAX:
                return  # numbers are dense: there was no more, and a new one is told

    def _send_wanted(self, session: _Session, wanted: Wishes) -> None:
        for stored in _parts(wanted.stored):
            self._put(session, self._line.stored_answers(stored))
        for withdrawals in _parts(wanted.withdrawals):
            self._put(session, self._line.withdrawals_of(withdrawals))
        for prepares in _parts(wanted.prepares):
            self._put(session, self._line.returned_prepares(prepares))
        for due in _parts(wanted.due):
            self._put(session, self._line.offers_of(due))

    def _put(self, session: _Session, frames: Iterator[Frame]) -> None:
        for frame in frames:
            if not session.put_waiting(frame):
                return

    def _keep_acknowledgement(self, session: _Session) -> None:
        acknowledged, session.acknowledged = session.acknowledged, None
        if acknowledged is not None:
            self._line.take_acknowledgement(*acknowledged)


def _parts(keys: Collection[Key]) -> Iterator[list[Key]]:
    """Cut what is looked up into parts of bounded size."""
    chosen = iter(keys)
    while part := list(islice(chosen, BATCH_ITEMS_MAX)):
        yield part
