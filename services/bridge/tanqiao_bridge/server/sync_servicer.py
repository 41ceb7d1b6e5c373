"""SyncService: the line of a region.

And the same messages in one call for tests and tools (PROTOCOL section 3).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final

import grpc
import structlog

from tanqiao.api.bridge.v1 import sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.numbering import FIRST_NUMBER, MESSAGE_VERSIONS
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.errors import to_refusal
from tanqiao.signing.batch import item_envelope, sign_batch
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.commands import (
    Answer,
    OpenSession,
    TakeAcknowledgement,
    TakeNumbered,
)
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.server.lines import Lines, Session, older_streams
from tanqiao_bridge.server.opening import Opener, ids_of
from tanqiao_bridge.server.streams import Streams, end_later, first_frame

COMMANDS_IN_FLIGHT_MAX: Final = 64
ANSWER_SECONDS_MAX: Final = 30.0
BUSY_RETRY_MS: Final = 500
ROOM_SECONDS_MAX: Final = 30.0
"""So long receipts wait for room at the writer; then the session ends, and the next one sends them."""
NOT_NOW: Final = frozenset({"BUSY", "DISK_FULL", "DATABASE_UNAVAILABLE"})
"""Why offers are answered Busy: they may be taken when they are offered again."""
HELLO_TYPE: Final = payload_type_of(sync_pb2.Hello)

_log = structlog.get_logger(__name__)


class SyncServicer(sync_pb2_grpc.SyncServiceServicer):
    """Takes frames, hands commands to the writer, and gives what is to be sent."""

    def __init__(
        self, context: BridgeContext, writer: GroupCommit[Any, Any], lines: Lines, opener: Opener
    ) -> None:
        self._context = context
        self._writer = writer
        self._lines = lines
        self._opener = opener
        self._streams = Streams()

    def Connect(
        self, request_iterator: Iterator[sync_pb2.ConnectRequest], context: grpc.ServicerContext
    ) -> Iterator[sync_pb2.ConnectResponse]:
        """Serve one session until the region, a newer session or the server ends it."""
        party = current_caller().party
        with self._streams.hold(party):
            yield from self._connect(party, request_iterator, context)

    def _connect(
        self, party: str, request_iterator: Iterator[sync_pb2.ConnectRequest], context: grpc.ServicerContext
    ) -> Iterator[sync_pb2.ConnectResponse]:
        first = first_frame(request_iterator, context)
        if first is None or first.WhichOneof("frame") != "hello":
            raise DomainError("FIELD_MISSING", field="hello")
        hello = self._opener.hello(first.hello, party)
        received = hello.received_number if hello.received_incarnation == self._context.epoch else 0
        session = Session(
            party,
            hello.session_number,
            received,
            older=older_streams(self._context.epoch, hello.received_incarnation, hello.received_number),
            with_papers=hello.recovering,
            fenced=lambda: end_later(context),
        )
        self._lines.opening(session)
        reader: threading.Thread | None = None
        try:
            answer: Answer = self._writer.submit(OpenSession(party, hello)).result(ANSWER_SECONDS_MAX)
            yield self._hello(party, hello, answer)
            reader = threading.Thread(
                target=self._read, args=(request_iterator, session), name=f"sync-{party}", daemon=True
            )
            reader.start()
            while not session.closed and context.is_active():
                frames, woken = session.next_frames()
                yield from frames
                if woken:
                    yield from self._lines.numbered(session)
                self._offer_again(session)
            if session.reason is not None:
                yield from session.next_frames()[0]
                raise session.reason
        finally:
            # The call ends here and with it the stream of frames: only then the reader comes to its end.
            self._lines.forget(session)
            if reader is None:
                self._lines.left()

    def _offer_again(self, session: Session) -> None:
        """Offer Prepares again for which the region was too busy; what fails is put off once more."""
        due = session.due_again()
        if due is None:
            return

        def put_off(reason: BaseException) -> None:
            _log.warning("not offered again", party=session.party, reason=str(reason))
            session.offer_later(due.transfer_ids, BUSY_RETRY_MS)

        def done(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                put_off(error)

        try:
            self._writer.submit(due, patient=True).add_done_callback(done)
        except DomainError as refusal:
            put_off(refusal)

    def _hello(self, party: str, hello: sync_pb2.Hello, opened: Answer) -> sync_pb2.ConnectResponse:
        answer = sync_pb2.Hello(
            header=self._context.header((party,)),
            incarnation=self._context.epoch,
            session_number=hello.session_number,
            received_number=opened.received_number,
            received_incarnation=hello.incarnation,
            log_size=self._context.log_size,
            message_versions=MESSAGE_VERSIONS,
            recovering=party in self._context.recovery.missing,
            last_number=opened.last_number,
            acknowledged_number=opened.acknowledged_number,
            epoch_record=self._context.epoch_record,
        )
        payload = answer.SerializeToString()
        signer = self._context.signer_of(HELLO_TYPE, payload)
        return sync_pb2.ConnectResponse(hello=sign_envelope(signer, HELLO_TYPE, payload))

    # -- reading ---------------------------------------------------------------------------------------

    def _read(self, frames: Iterator[sync_pb2.ConnectRequest], session: Session) -> None:
        """Take frames until the stream ends; at most `COMMANDS_IN_FLIGHT_MAX` commands are under way."""
        room = threading.BoundedSemaphore(COMMANDS_IN_FLIGHT_MAX)
        try:
            for frame in frames:
                if session.closed:
                    break
                self._take(frame, session, room)
        except grpc.RpcError:
            pass  # the stream ended: the region dials again
        except DomainError as refusal:
            _log.warning("session ended", party=session.party, reason=refusal.symbol)
            session.close(refusal)
        finally:
            session.close()
            self._lines.left()

    def _take(
        self, frame: sync_pb2.ConnectRequest, session: Session, room: threading.BoundedSemaphore
    ) -> None:
        kind = frame.WhichOneof("frame")
        match kind:
            case "offered":
                self._take_offered(frame.offered, session, room)
            case "numbered":
                numbered = frame.numbered
                if numbered.first_number < FIRST_NUMBER or numbered.incarnation < 0:
                    raise DomainError(
                        "FIELD_INVALID", field="numbered.first_number", detail=str(numbered.first_number)
                    )
                items = self._opener.numbered(numbered.batch, session.party)
                command = TakeNumbered(session.party, numbered.incarnation, numbered.first_number, items)
                self._submit_numbered(command, session, room)
            case "acknowledge":
                acknowledge = frame.acknowledge
                if acknowledge.incarnation == self._context.epoch:
                    session.acknowledge(acknowledge.up_to_number)
                command_ = TakeAcknowledgement(
                    session.party, acknowledge.incarnation, acknowledge.up_to_number
                )
                self._submit_acknowledgement(command_, session, room)
            case "returned_prepare":
                try:
                    returned = self._opener.returned_prepare(frame.returned_prepare, session.party)
                except DomainError as refusal:
                    self._refuse(session, b"", refusal)
                    return
                self._submit(returned, session, room, [returned.prepare_facts.lock.key.transfer_id])
            case "busy":
                session.offer_later(frame.busy.transfer_ids, frame.busy.retry_after_ms)
            case _:
                raise DomainError("FIELD_INVALID", field="frame", detail=str(kind))

    def _take_offered(
        self, batch: envelope_pb2.EnvelopeBatch, session: Session, room: threading.BoundedSemaphore
    ) -> None:
        try:
            offers = self._opener.offered(batch, session.party)
        except DomainError as refusal:
            self._refuse(session, b"", refusal)
            return
        for refused in offers.refused:
            session.put(sync_pb2.ConnectResponse(offer_refused=refused))
        if offers.command is not None:
            self._submit(offers.command, session, room, ids_of(offers.command))

    def _refuse(self, session: Session, message_hash: bytes, refusal: DomainError) -> None:
        session.put(
            sync_pb2.ConnectResponse(
                offer_refused=sync_pb2.OfferRefused(message_hash=message_hash, reasons=[to_refusal(refusal)])
            )
        )

    def _submit(
        self,
        command: object,
        session: Session,
        room: threading.BoundedSemaphore,
        ids: Sequence[bytes],
    ) -> None:
        """Hand on offers; where the writer cannot take them now, the region offers these ids again."""
        room.acquire()

        def done(future: Future[Any]) -> None:
            room.release()
            error = future.exception()
            if error is None:
                self._answer(session, future.result(), None)
            elif isinstance(error, DomainError):
                self._put_off(session, ids, error)
            else:
                _log.warning("session ended", party=session.party, reason=str(error))
                session.close()

        try:
            self._writer.submit(command).add_done_callback(done)
        except DomainError as refusal:
            room.release()
            self._put_off(session, ids, refusal)

    def _put_off(self, session: Session, ids: Sequence[bytes], refusal: DomainError) -> None:
        """Answer a frame that was not taken as a whole: Busy where it may be taken later."""
        if refusal.symbol not in NOT_NOW:
            self._refuse(session, b"", refusal)
        else:
            session.put(
                sync_pb2.ConnectResponse(busy=sync_pb2.Busy(transfer_ids=ids, retry_after_ms=BUSY_RETRY_MS))
            )

    def _submit_numbered(
        self, command: TakeNumbered, session: Session, room: threading.BoundedSemaphore
    ) -> None:
        """Hand on receipts; where there is no room for them the region's stream waits, and nobody else.

        Raises:
            DomainError: what was not taken is sent again on the next session.
        """
        room.acquire()

        def done(future: Future[Any]) -> None:
            room.release()
            error = future.exception()
            if error is None:
                self._answer(session, future.result(), command.incarnation)
            else:
                _log.warning("session ended", party=session.party, reason=str(error))
                session.close(error if isinstance(error, DomainError) else None)

        try:
            # Nobody waits for what a receipt leaves: it shares the forced write of others.
            self._writer.submit_waiting(
                command, seconds_max=ROOM_SECONDS_MAX, patient=True
            ).add_done_callback(done)
        except DomainError:
            room.release()
            raise

    def _submit_acknowledgement(
        self, command: TakeAcknowledgement, session: Session, room: threading.BoundedSemaphore
    ) -> None:
        """Hand on an acknowledgement; what there is no room for is said again by the next one, or a Hello."""
        room.acquire()

        def done(future: Future[Any]) -> None:
            room.release()
            error = future.exception()
            if error is None:
                return
            if isinstance(error, DomainError) and error.symbol not in NOT_NOW:
                self._refuse(session, b"", error)
            else:
                _log.warning("acknowledgement not taken", party=session.party, reason=str(error))

        try:
            self._writer.submit(command, patient=True).add_done_callback(done)
        except DomainError as refusal:
            room.release()
            if refusal.symbol not in NOT_NOW:
                raise

    def _answer(self, session: Session, answer: Answer, incarnation: int | None) -> None:
        if incarnation is not None:
            session.received(incarnation, answer.received_number)
        if answer.busy:
            session.put(
                sync_pb2.ConnectResponse(
                    busy=sync_pb2.Busy(transfer_ids=answer.busy, retry_after_ms=BUSY_RETRY_MS)
                )
            )
        for source, transfer_ids in answer.need_prepare.items():
            session.put(
                sync_pb2.ConnectResponse(
                    need_prepare=sync_pb2.NeedPrepare(source=source, transfer_ids=transfer_ids)
                )
            )
        for refused in answer.refused:
            session.put(sync_pb2.ConnectResponse(offer_refused=refused))
        # A stored answer (R4) is a numbered message that is on its way, or that the region has acknowledged:
        # decisions are taken in the order of their numbers and never beside it.
        if answer.stored:
            session.wake()

    # -- one call --------------------------------------------------------------------------------------

    def SubmitMessages(
        self, request: sync_pb2.SubmitMessagesRequest, context: grpc.ServicerContext
    ) -> sync_pb2.SubmitMessagesResponse:
        """Take a batch of offers as the stream would; answers are the stored ones of replays."""
        del context
        party = current_caller().party
        if not request.HasField("batch"):
            raise DomainError("FIELD_MISSING", field="batch")
        offers = self._opener.offered(request.batch, party)
        response = sync_pb2.SubmitMessagesResponse(refused=offers.refused)
        if offers.command is None:
            return response
        answer: Answer = self._writer.submit(offers.command).result(ANSWER_SECONDS_MAX)
        response.refused.extend(answer.refused)
        for payload_type, payload in answer.stored:
            batch = sign_batch(self._context.signer_of(payload_type, payload), payload_type, [payload])
            response.answers.append(item_envelope(batch, 0))
        if answer.busy:
            response.busy.CopyFrom(sync_pb2.Busy(transfer_ids=answer.busy, retry_after_ms=BUSY_RETRY_MS))
        response.need_prepare.extend(
            sync_pb2.NeedPrepare(source=source, transfer_ids=transfer_ids)
            for source, transfer_ids in answer.need_prepare.items()
        )
        return response
