"""The bridge's end of the line to the region under test: keeps what comes, sends what a check wants sent.

Everything that comes is opened as a bridge opens it (PROTOCOL section 2); what does not verify, or breaks the
order of numbers, is noted as a violation. Nothing is judged here.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    log_pb2,
    log_pb2_grpc,
    messages_pb2,
    reconcile_pb2,
    reconcile_pb2_grpc,
    recovery_pb2,
    recovery_pb2_grpc,
    sync_pb2,
    sync_pb2_grpc,
)
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.server import Registration, Server, ServerOptions, build_server
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.envelope import Signer, build_header, sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import Network
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao.testing.conformance.outcomes import Outcomes
from tanqiao.testing.conformance.reports import Reports
from tanqiao.testing.conformance.sealed_log import SealedLog
from tanqiao.testing.conformance.statements import Statements

BRIDGE: Final = "bridge"
FIRST_EPOCH: Final = 1
NOTHING_KNOWN_INDEX: Final = 0
KEPT_MAX: Final = 100_000
"""Messages of one run that are kept; a run makes some thousands."""
SERVED: Final = (
    sync_pb2.DESCRIPTOR.services_by_name["SyncService"],
    directory_pb2.DESCRIPTOR.services_by_name["DecisionService"],
    log_pb2.DESCRIPTOR.services_by_name["LogService"],
    recovery_pb2.DESCRIPTOR.services_by_name["RecoveryService"],
    reconcile_pb2.DESCRIPTOR.services_by_name["ReconcileService"],
)
CALLERS: Final = {
    f"/{service.full_name}/{method.name}": ("region/*",) for service in SERVED for method in service.methods
}
"""Who asks for more than the kit plays is told METHOD_UNKNOWN."""


@dataclass(frozen=True, slots=True)
class Came:
    """A message as it came from the region, opened.

    Args:
        frame: ``offered``, ``numbered`` or ``returned_prepare``.
        session: which session it came on, counted from 1.
        opened: the message and its hash.
        companion: what travelled beside it.
        envelope: the message provable alone.
        number: of numbered traffic, else 0.
        at: when it came, seconds of the monotonic clock.
    """

    frame: str
    session: int
    opened: Opened
    companion: bytes
    envelope: envelope_pb2.Envelope
    number: int
    at: float

    @property
    def message(self) -> Any:  # noqa: ANN401 - one of the signed messages
        """The message, parsed."""
        return self.opened.message

    @property
    def transfer_id(self) -> bytes:
        """The transfer that its header names."""
        return bytes(self.opened.header.transfer_id)


@dataclass
class _Session:
    frames: queue.Queue[sync_pb2.ConnectResponse | None] = field(default_factory=queue.Queue)


class Line(sync_pb2_grpc.SyncServiceServicer):
    """Serves one region.

    Args:
        network: its keys sign what is sent.
        directory: keys that are known.
        signer: the bridge's message key.
        party: the region under test.
    """

    def __init__(self, network: Network, directory: KeyDirectory, signer: Signer, party: str) -> None:
        self.signer: Final = signer
        self.party: Final = party
        self.network_id: Final = network.plan.network_id
        self._tls = network.tls(BRIDGE)
        self._directory = directory
        self._verifier = Verifier(self.network_id, BRIDGE)
        senders = (party,)
        self._hello = allow(sync_pb2.Hello, senders=senders)
        self._statement = allow(reconcile_pb2.ReconcileStatement, senders=senders)
        self._offered = allow(
            messages_pb2.LockAssertion,
            messages_pb2.Use,
            messages_pb2.Issue,
            messages_pb2.Withdraw,
            messages_pb2.Ready,
            messages_pb2.Refuse,
            senders=senders,
        )
        self._numbered = allow(
            messages_pb2.SourceFinal, messages_pb2.DestFinal, messages_pb2.Nack, senders=senders
        )
        self.changed = threading.Condition(threading.RLock())
        self.came: list[Came] = []
        self.hellos: list[sync_pb2.Hello] = []
        self.returned: list[sync_pb2.ReturnedPrepare] = []
        self.violations: list[str] = []
        self.outbox: list[tuple[str, bytes]] = []
        self.outcomes: Final = Outcomes()
        self.reports: Final = Reports()  # type: ignore[abstract]  # other calls: METHOD_UNKNOWN
        self.log: Final = SealedLog(network, party)  # type: ignore[abstract]  # as above
        self.epoch = FIRST_EPOCH
        self.epoch_record: envelope_pb2.Envelope | None = None
        self.wants_report = False
        """Said in its Hello: the bridge was restored, and asks for what the region has of it."""
        self.statements: Final = Statements(self._open_statement)  # type: ignore[abstract]  # as above
        self.forgotten = 0
        """So many numbers more than came the next Hello says to have received: the region forgot them."""
        self._epochs: dict[int, tuple[list[tuple[str, bytes]], int]] = {}
        self.acknowledged = 0
        self.received_number = 0
        self.received_incarnation = 0
        self.sent_by_number: dict[int, bytes] = {}
        self.holding_back = False
        """While true nothing numbered is sent again on a new session by itself."""
        self._session: _Session | None = None
        self._server: Server | None = None

    # -- serving -------------------------------------------------------------------------------------------

    def start(self, address: str) -> str:
        """Listen; gives the address with the port that was taken."""
        self._server = build_server(
            ServerOptions(address, self._tls, self.network_id, BRIDGE),
            [
                Registration(sync_pb2_grpc.add_SyncServiceServicer_to_server, self),
                Registration(directory_pb2_grpc.add_DecisionServiceServicer_to_server, self.outcomes),
                Registration(log_pb2_grpc.add_LogServiceServicer_to_server, self.log),
                Registration(reconcile_pb2_grpc.add_ReconcileServiceServicer_to_server, self.statements),
                Registration(recovery_pb2_grpc.add_RecoveryServiceServicer_to_server, self.reports),
            ],
            CALLERS,
            now=datetime.now(UTC),
        )
        self._server.start()
        return self._server.address

    def stop(self) -> None:
        """End the session and the server."""
        self.cut()
        if self._server is not None:
            self._server.stop(0.2)

    @property
    def connected(self) -> bool:
        """Whether the region is on the line."""
        return self._session is not None

    def Connect(  # noqa: N802 - gRPC names it
        self, request_iterator: Iterator[sync_pb2.ConnectRequest], context: grpc.ServicerContext
    ) -> Iterator[sync_pb2.ConnectResponse]:
        """Serve one session."""
        del context
        if current_caller().party != self.party:
            raise DomainError("REGION_UNKNOWN", region=current_caller().party)
        hello = self._open_hello(next(request_iterator, None))
        session = _Session()
        with self.changed:
            older, self._session = self._session, session
            if older is not None:
                older.frames.put(None)
            self.hellos.append(hello)
            number = len(self.hellos)
            session.frames.put(self._own_hello(hello))
            if not self.holding_back:
                known = hello.received_number if hello.received_incarnation == self.epoch else 0
                self._send_outbox(session, known)
            self.changed.notify_all()
        reader = threading.Thread(target=self._read, args=(request_iterator, session, number), daemon=True)
        reader.start()
        while (frame := session.frames.get()) is not None:
            yield frame

    def SubmitMessages(  # noqa: N802 - as above
        self, request: sync_pb2.SubmitMessagesRequest, context: grpc.ServicerContext
    ) -> sync_pb2.SubmitMessagesResponse:
        """Refuse: a region proves itself on its stream."""
        del request, context
        raise DomainError("METHOD_UNKNOWN", method="SubmitMessages")

    def cut(self) -> None:
        """Cut the line."""
        with self.changed:
            session, self._session = self._session, None
            if session is not None:
                session.frames.put(None)

    def _open_hello(self, frame: sync_pb2.ConnectRequest | None) -> sync_pb2.Hello:
        if frame is None or frame.WhichOneof("frame") != "hello":
            self._violation("a session does not begin with a Hello")
            raise DomainError("FIELD_MISSING", field="hello")
        try:
            opened = self._verifier.open_envelope(
                frame.hello,
                self._directory,
                allowed=self._hello,
                peer=self.party,
                at_index=NOTHING_KNOWN_INDEX,
            )
        except DomainError as refusal:
            self._violation(f"its Hello is refused: {refusal.symbol}")
            raise
        hello: sync_pb2.Hello = opened.message
        return hello

    def _own_hello(self, hello: sync_pb2.Hello) -> sync_pb2.ConnectResponse:
        same = hello.incarnation == self.received_incarnation
        if not same:
            self.forgotten = 0  # it has begun another life
        answer = sync_pb2.Hello(
            header=self.header(),
            incarnation=self.epoch,
            session_number=hello.session_number,
            received_number=(self.received_number if same else 0) + self.forgotten,
            received_incarnation=hello.incarnation,
            message_versions=[1],
            recovering=self.wants_report,
            epoch_record=self.epoch_record,
        )
        envelope = sign_envelope(self.signer, payload_type_of(answer), answer.SerializeToString())
        return sync_pb2.ConnectResponse(hello=envelope)

    def _open_statement(self, envelope: envelope_pb2.Envelope) -> reconcile_pb2.ReconcileStatement:
        opened = self._verifier.open_envelope(
            envelope,
            self._directory,
            allowed=self._statement,
            peer=self.party,
            at_index=NOTHING_KNOWN_INDEX,
        )
        statement: reconcile_pb2.ReconcileStatement = opened.message
        return statement

    # -- what comes ----------------------------------------------------------------------------------------

    def _read(self, frames: Iterator[sync_pb2.ConnectRequest], session: _Session, number: int) -> None:
        try:
            for frame in frames:
                with self.changed:
                    self._take(frame, number)
                    self.changed.notify_all()
        except grpc.RpcError:
            pass  # the region has left the line
        finally:
            with self.changed:
                if self._session is session:
                    self._session = None
                session.frames.put(None)
                self.changed.notify_all()

    def _take(self, frame: sync_pb2.ConnectRequest, session: int) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "offered":
            self._keep("offered", frame.offered, session, 0)
        elif kind == "numbered":
            self._take_numbered(frame.numbered, session)
        elif kind == "acknowledge":
            if frame.acknowledge.incarnation == self.epoch:
                self.acknowledged = max(self.acknowledged, frame.acknowledge.up_to_number)
        elif kind == "returned_prepare":
            self.returned.append(frame.returned_prepare)
        elif kind != "busy":
            self._violation(f"a frame that may not come here: {kind}")

    def _take_numbered(self, frame: sync_pb2.NumberedBatch, session: int) -> None:
        if frame.incarnation != self.received_incarnation:
            self.received_incarnation, self.received_number = frame.incarnation, 0
            self.sent_by_number = {}
        if frame.first_number > self.received_number + 1 or frame.first_number < 1:
            self._violation(
                f"numbers are not dense: {frame.first_number} came, {self.received_number + 1} is next"
            )
        self._keep("numbered", frame.batch, session, frame.first_number)
        last = frame.first_number + len(frame.batch.payloads) - 1
        self.received_number = max(self.received_number, last)
        acknowledge = sync_pb2.Acknowledge(incarnation=frame.incarnation, up_to_number=self.received_number)
        if self._session is not None:
            self._session.frames.put(sync_pb2.ConnectResponse(acknowledge=acknowledge))

    def _keep(self, frame: str, batch: envelope_pb2.EnvelopeBatch, session: int, first: int) -> None:
        allowed = self._numbered if frame == "numbered" else self._offered
        try:
            items = self._verifier.open_batch(
                batch, self._directory, allowed=allowed, peer=self.party, at_index=NOTHING_KNOWN_INDEX
            )
        except DomainError as refusal:
            self._violation(f"a batch of {batch.payload_type[:96]} is refused: {refusal.symbol}")
            return
        envelopes = item_envelopes(batch)
        for at, item in enumerate(items):
            if isinstance(item, DomainError):
                self._violation(f"an item of {batch.payload_type[:96]} is refused: {item.symbol}")
                continue
            number = first + at if first else 0
            if number:
                before = self.sent_by_number.setdefault(number, item.message_hash)
                if before != item.message_hash:
                    self._violation(f"number {number} came twice with different bytes")
            companion = batch.companions[at] if batch.companions else b""
            if len(self.came) < KEPT_MAX:
                self.came.append(
                    Came(frame, session, item, companion, envelopes[at], number, time.monotonic())
                )

    def _violation(self, text: str) -> None:
        with self.changed:
            self.violations.append(text)

    # -- what is sent --------------------------------------------------------------------------------------

    def speak_in(self, epoch: int, record: envelope_pb2.Envelope | None, *, wants_report: bool) -> None:
        """Go on in an epoch of the bridge, a new one or one that was; the line is cut, and dialled again."""
        with self.changed:
            self._epochs[self.epoch] = (self.outbox, self.acknowledged)
            self.outbox, self.acknowledged = self._epochs.get(epoch, ([], 0))
            self.epoch, self.epoch_record, self.wants_report = epoch, record, wants_report
        self.cut()

    def header(self, audience: Sequence[str] = (), **fields: Any) -> envelope_pb2.Header:  # noqa: ANN401
        """Give a header of the bridge with a fresh message id; to the region if no audience is named."""
        return build_header(
            self.signer,
            network_id=self.network_id,
            audience=tuple(audience) or (self.party,),
            message_id=secrets.token_bytes(16),
            **fields,
        )

    def put(self, frame: sync_pb2.ConnectResponse) -> None:
        """Send a frame, if the region is on the line."""
        with self.changed:
            if self._session is not None:
                self._session.frames.put(frame)

    def offer(
        self, messages: Sequence[Message], companions: Sequence[bytes] = (), signer: Signer | None = None
    ) -> None:
        """Offer messages of one type."""
        payloads = [message.SerializeToString() for message in messages]
        batch = sign_batch(signer or self.signer, payload_type_of(messages[0]), payloads, companions)
        self.put(sync_pb2.ConnectResponse(offered=batch))

    def number(self, messages: Sequence[Message]) -> int:
        """Number messages of one type and send them; the last number."""
        payloads = [message.SerializeToString() for message in messages]
        return self.number_batch(sign_batch(self.signer, payload_type_of(messages[0]), payloads))

    def number_batch(self, batch: envelope_pb2.EnvelopeBatch) -> int:
        """Number a batch as it is, good or bad, and send it; the last number."""
        with self.changed:
            first = len(self.outbox) + 1
            self.outbox += [(batch.payload_type, payload) for payload in batch.payloads]
            numbered = sync_pb2.NumberedBatch(incarnation=self.epoch, first_number=first, batch=batch)
            self.put(sync_pb2.ConnectResponse(numbered=numbered))
            return len(self.outbox)

    def repeat(self, number: int) -> None:
        """Send a numbered message once more."""
        payload_type, payload = self.outbox[number - 1]
        batch = sign_batch(self.signer, payload_type, [payload])
        numbered = sync_pb2.NumberedBatch(incarnation=self.epoch, first_number=number, batch=batch)
        self.put(sync_pb2.ConnectResponse(numbered=numbered))

    def _send_outbox(self, session: _Session, after: int) -> None:
        for number in range(after + 1, len(self.outbox) + 1):
            payload_type, payload = self.outbox[number - 1]
            numbered = sync_pb2.NumberedBatch(
                incarnation=self.epoch,
                first_number=number,
                batch=sign_batch(self.signer, payload_type, [payload]),
            )
            session.frames.put(sync_pb2.ConnectResponse(numbered=numbered))

    # -- waiting -------------------------------------------------------------------------------------------

    def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds; whether it did."""
        with self.changed:
            return self.changed.wait_for(holds, seconds)
