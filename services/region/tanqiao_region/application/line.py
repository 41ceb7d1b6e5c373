"""The node's side of the line to the bridge: what is sent, and from where (PROTOCOL section 3).

There is no transport and no thread here. Numbered traffic is read from the outbox, offers from the state, and
both are signed again in batches: an item's message hash does not depend on the batch that it travels in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from itertools import groupby
from typing import Any, Final, Protocol

import structlog
from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.numbering import MESSAGE_VERSIONS, OutboxState, on_hello
from tanqiao.protocol.types import DestinationState, Kind, TransferKey
from tanqiao.signing.batch import BATCH_ITEMS_MAX, sign_batch
from tanqiao.signing.envelope import Signer, sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application.arriving import READY_TYPE, REFUSE_TYPE
from tanqiao_region.application.commands import ApplyPrepares, Unacceptable, Work
from tanqiao_region.application.context import BRIDGE, RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.issue_offers import ISSUE_TYPE
from tanqiao_region.application.offering import LOCK_TYPE
from tanqiao_region.application.opening import Opener
from tanqiao_region.application.records import take_keys
from tanqiao_region.application.recovery import Recovery
from tanqiao_region.application.uses import USE_TYPE
from tanqiao_region.storage import node, offers
from tanqiao_region.storage.offers import StoredPromise
from tanqiao_region.storage.tables import outbox

HELLO_TYPE: Final = payload_type_of(sync_pb2.Hello)
WITHDRAW_TYPE: Final = payload_type_of(messages_pb2.Withdraw)
BATCH_PAYLOAD_BYTES_MAX: Final = 4 << 20
FOR_EVER: Final = 2**62
KEY_UNKNOWN: Final = "KEY_UNKNOWN"
RECORDS_SECONDS_MAX: Final = 30.0
ROOM_SECONDS_MAX: Final = 30.0
"""So long a numbered frame waits for room at the writer; then the session ends, and the next one sends it."""
BUSY_RETRY_MS: Final = 500
ALARMING: Final = frozenset({"WISHES_EXCEEDED"})
"""Reasons for which a session ends that no honest bridge gives."""

_log = structlog.get_logger("tanqiao.region.line")


class Submit(Protocol):
    """The writer's queue."""

    def submit(self, command: Any) -> Future[Any]:  # noqa: ANN401 - any command of the writer
        """Queue a command."""
        ...  # pragma: no cover - a protocol has no body

    def submit_waiting(self, command: Any, *, seconds_max: float) -> Future[Any]:  # noqa: ANN401 - as above
        """Queue a command; where there is no room, wait for it."""
        ...  # pragma: no cover - a protocol has no body


class Line:
    """What a session needs of the node.

    Args:
        context: the node's own things.
        database: read for what is sent.
        writer: takes what is received.
    """

    def __init__(self, context: RegionContext, database: Database, writer: Submit) -> None:
        self.recovery = Recovery(context, database, writer)
        self._context = context
        self._database = database
        self._writer = writer
        self._opener = Opener(context)
        self._numbered: Future[Any] | None = None

    # -- opening a session -----------------------------------------------------------------------------------

    def hello(self, wait_seconds: float) -> sync_pb2.ConnectRequest:
        """Take the next session number, durable before it is used, and give the Hello that names it."""
        session_number = self._writer.submit(Work(_next_session)).result(wait_seconds)
        with self._database.reading() as connection:
            stream = node.bridge_stream(connection)
        hello = sync_pb2.Hello(
            header=self._context.header((BRIDGE,)),
            incarnation=self._context.incarnation,
            session_number=session_number,
            received_number=stream.received_number,
            received_incarnation=stream.incarnation,
            log_size=self._context.applied_log_index + 1,
            message_versions=MESSAGE_VERSIONS,
            recovering=self._context.recovering,
        )
        payload = hello.SerializeToString()
        signer = self._context.signer_of(HELLO_TYPE, payload)
        return sync_pb2.ConnectRequest(hello=sign_envelope(signer, HELLO_TYPE, payload))

    def opened(self, envelope: envelope_pb2.Envelope) -> tuple[int, bool]:
        """Take the bridge's Hello; the number behind which the outbox is sent, and whether it wants a report.

        Raises:
            DomainError: the Hello does not verify; REGION_RECOVERING if the bridge has seen more of this node
                than it knows itself: it was restored from an old backup, and dials again to recover;
                what is wrong with the record of a new epoch of the bridge.
        """
        hello = self._opener.hello(envelope)
        self.recovery.look_at(hello)
        self.recovery.take_epoch(hello)
        self._context.bridge_log_size = max(self._context.bridge_log_size, hello.log_size)
        with self._database.reading() as connection:
            last, acknowledged = outbox.marks(connection, BRIDGE, self._context.incarnation)
        state = OutboxState(self._context.incarnation, last, acknowledged)
        resumption = on_hello(state, hello.received_incarnation, hello.received_number)
        return resumption.send_from - 1, hello.recovering

    def learn_keys(self, records: Sequence[envelope_pb2.Envelope], wait_seconds: float) -> None:
        """Keep key records that were asked for; each counts by the root that signed it.

        Raises:
            DomainError: the reason for which a record is refused.
        """
        self._writer.submit(Work(lambda group: take_keys(group, records))).result(wait_seconds)

    # -- receiving -------------------------------------------------------------------------------------------

    def take_numbered(self, frame: sync_pb2.NumberedBatch) -> Future[Any]:
        """Queue a numbered frame; the future gives up to which number everything is durable."""
        command = self._opener.numbered(frame)
        refusals = (item.refusal for item in command.items if isinstance(item, Unacceptable))
        if any(one.symbol == KEY_UNKNOWN for one in refusals) and self._await_records():
            command = self._opener.numbered(frame)
        self._numbered = self._writer.submit_waiting(command, seconds_max=ROOM_SECONDS_MAX)
        return self._numbered

    def _await_records(self) -> bool:
        """Wait for the frame before: the record of a key that is not known yet may stand in it."""
        if self._numbered is None:
            return False
        wait([self._numbered], RECORDS_SECONDS_MAX)
        return True

    def take_offered(self, batch: envelope_pb2.EnvelopeBatch) -> Future[Any] | None:
        """Queue a frame of offers; None if nothing of it can be used."""
        command, refused = self._open_offered(batch)
        if any(one.symbol == KEY_UNKNOWN for one in refused) and self._await_records():
            command, refused = self._open_offered(batch)
        for one in refused:
            _log.warning("offer_refused", payload_type=batch.payload_type[:96], reason=one.symbol)
        return self._writer.submit(command) if command is not None and command.items else None

    def _open_offered(
        self, batch: envelope_pb2.EnvelopeBatch
    ) -> tuple[ApplyPrepares | None, Sequence[DomainError]]:
        """Open offers; what concerns the whole frame is told as one refusal: it will be made again."""
        try:
            return self._opener.offered(batch)
        except DomainError as refusal:
            return None, (refusal,)

    def look_at_end(self, refusal: DomainError) -> None:
        """Look at why a session ended: what no honest bridge does is shown in the node's status."""
        if refusal.symbol in ALARMING:
            self._context.alarm(refusal)

    @staticmethod
    def busy(batch: envelope_pb2.EnvelopeBatch) -> sync_pb2.ConnectRequest:
        """Say that the offers of a frame, which were opened, cannot be taken now."""
        ids = []
        for payload in batch.payloads:
            with suppress(DecodeError):  # an item that was refused for itself
                ids.append(messages_pb2.Prepare.FromString(payload).header.transfer_id)
        return sync_pb2.ConnectRequest(busy=sync_pb2.Busy(transfer_ids=ids, retry_after_ms=BUSY_RETRY_MS))

    def take_acknowledgement(self, incarnation: int, up_to_number: int) -> Future[Any]:
        """Note how far the bridge has made this node's numbered traffic durable."""

        def work(group: Group) -> None:
            if incarnation == group.context.incarnation:
                outbox.acknowledge(group.connection, BRIDGE, incarnation, up_to_number)

        return self._writer.submit(Work(work))

    # -- sending ---------------------------------------------------------------------------------------------

    def numbered(self, after: int, limit: int) -> list[tuple[sync_pb2.ConnectRequest, int]]:
        """Give the outbox behind a number as frames, each with the last number in it."""
        with self._database.reading_once() as connection:
            rows = outbox.pending(
                connection, BRIDGE, self._context.incarnation, after=after, limit=min(limit, BATCH_ITEMS_MAX)
            )
        frames = []
        for kind, group in groupby(rows, key=lambda row: row.kind):
            same = list(group)
            payloads = [row.payload for row in same]
            for start, end, signer in self._runs(kind, payloads):
                numbered = sync_pb2.NumberedBatch(
                    incarnation=self._context.incarnation,
                    first_number=same[start].number,
                    batch=sign_batch(signer, kind, payloads[start:end]),
                )
                frames.append((sync_pb2.ConnectRequest(numbered=numbered), same[end - 1].number))
        return frames

    def all_offers(self, made_before: int = FOR_EVER) -> Iterator[sync_pb2.ConnectRequest]:
        """Give everything that is promised and undecided: Issues, locks and Uses, Withdraws, answers.

        Args:
            made_before: only what was made before this moment, epoch seconds.
        """
        yield from self._paged(ISSUE_TYPE, offers.open_issues)
        yield from self._paged(
            LOCK_TYPE,
            lambda c, after, limit: offers.open_locks(c, after, made_before, limit),
            companions=True,
        )
        yield from self._paged(
            USE_TYPE, lambda c, after, limit: offers.open_uses(c, after, made_before, limit), companions=True
        )
        yield from self._paged(WITHDRAW_TYPE, offers.open_withdrawals)
        for payload_type, state in (
            (READY_TYPE, DestinationState.READY),
            (REFUSE_TYPE, DestinationState.REFUSED),
        ):
            yield from self._answers(payload_type, state, made_before)

    def _answers(
        self, payload_type: str, state: DestinationState, made_before: int
    ) -> Iterator[sync_pb2.ConnectRequest]:
        yield from self._paged(
            payload_type,
            lambda c, after, limit: offers.open_answers(c, state, after, made_before, limit),
        )

    def _paged(
        self,
        payload_type: str,
        read: Callable[[Any, offers.Page, int], list[StoredPromise]],
        *,
        companions: bool = False,
    ) -> Iterator[sync_pb2.ConnectRequest]:
        after = offers.BEGINNING
        while True:
            with self._database.reading() as connection:
                page = read(connection, after, BATCH_ITEMS_MAX)
            if not page:
                return
            beside = [one.companion for one in page] if companions else ()
            yield from self._offered(payload_type, [one.payload for one in page], beside)
            after = page[-1].key

    def _offered(
        self, payload_type: str, payloads: Sequence[bytes], companions: Sequence[bytes] = ()
    ) -> Iterator[sync_pb2.ConnectRequest]:
        for start, end, signer in self._runs(payload_type, payloads):
            batch = sign_batch(signer, payload_type, payloads[start:end], companions[start:end])
            yield sync_pb2.ConnectRequest(offered=batch)

    def _runs(self, payload_type: str, payloads: Sequence[bytes]) -> Iterator[tuple[int, int, Signer]]:
        """Cut payloads into batches, each under the key that its headers name."""
        for first, last, signer in self._context.runs(payload_type, payloads):
            for start, end in _parts(payloads[first:last]):
                yield first + start, first + end, signer

    def offers_of(self, transfer_ids: Iterable[bytes]) -> Iterator[sync_pb2.ConnectRequest]:
        """Give again what these ids name and is undecided: promises, Withdraws, answers; the bridge was busy.

        Args:
            transfer_ids: of transfers and uses; of an Issue its own id.
        """
        wanted = list(transfer_ids)
        with self._database.reading() as connection:
            issues = offers.open_issues_of(connection, wanted)
            promises = offers.promises_of(connection, wanted)
            withdrawals = offers.open_withdrawals_of(connection, wanted)
            answers = offers.open_answers_of(connection, wanted)
        yield from self._offered(ISSUE_TYPE, issues)
        for kind, payload_type in ((Kind.TRANSFER, LOCK_TYPE), (None, USE_TYPE)):
            chosen = [one for found, one in promises if (found is Kind.TRANSFER) == (kind is Kind.TRANSFER)]
            yield from self._offered(
                payload_type, [one.payload for one in chosen], [one.companion for one in chosen]
            )
        yield from self._offered(WITHDRAW_TYPE, withdrawals)  # always behind its lock
        yield from self._by_type(answers)

    def withdrawals_of(self, transfer_ids: Iterable[bytes]) -> Iterator[sync_pb2.ConnectRequest]:
        """Give the Withdraws of some transfers."""
        with self._database.reading() as connection:
            payloads = offers.withdrawals_of(connection, transfer_ids)
        yield from self._offered(WITHDRAW_TYPE, payloads)

    def stored_answers(self, keys: Iterable[TransferKey]) -> Iterator[sync_pb2.ConnectRequest]:
        """Give the stored answers of Prepares that came again (R4)."""
        with self._database.reading() as connection:
            answers = offers.answers_of(connection, keys)
        yield from self._by_type(answers)

    def _by_type(self, answers: Sequence[tuple[str, bytes]]) -> Iterator[sync_pb2.ConnectRequest]:
        ordered = sorted(answers, key=lambda item: item[0])
        for payload_type, group in groupby(ordered, key=lambda item: item[0]):
            yield from self._offered(payload_type, [payload for _, payload in group])

    def returned_prepares(self, keys: Iterable[TransferKey]) -> Iterator[sync_pb2.ConnectRequest]:
        """Give Prepares back to the bridge, which no longer holds them, each with the answer to it."""
        with self._database.reading() as connection:
            found = offers.load_prepares(connection, keys)
        for prepare in found:
            if prepare.answer is not None:
                returned = sync_pb2.ReturnedPrepare(
                    prepare=prepare.envelope,
                    answer=prepare.answer,
                    openings=messages_pb2.Openings.FromString(prepare.companion),
                )
                yield sync_pb2.ConnectRequest(returned_prepare=returned)

    @staticmethod
    def batches(batches: Sequence[envelope_pb2.EnvelopeBatch]) -> list[sync_pb2.ConnectRequest]:
        """Give batches as they were signed in a group's transaction."""
        return [sync_pb2.ConnectRequest(offered=batch) for batch in batches]

    @property
    def recovering(self) -> bool:
        """Whether this node recovers from an old backup."""
        return self._context.recovering

    def now(self) -> int:
        """Give the present moment, epoch seconds."""
        return int(self._context.now().timestamp())


def acknowledgement(incarnation: int, up_to_number: int) -> sync_pb2.ConnectRequest:
    """Say that everything up to a number is durable."""
    return sync_pb2.ConnectRequest(
        acknowledge=sync_pb2.Acknowledge(incarnation=incarnation, up_to_number=up_to_number)
    )


def _next_session(group: Group) -> int:
    """Take the next session number: it grows for ever, and the newest session fences the older one."""
    values = node.load_values(group.connection, (node.SESSION_NUMBER,))
    number = int(values.get(node.SESSION_NUMBER, 0)) + 1
    node.store_value(group.connection, node.SESSION_NUMBER, number)
    return number


def _parts(payloads: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Cut payloads into batches bounded in items and bytes."""
    start, size = 0, 0
    for index, payload in enumerate(payloads):
        full = index - start >= BATCH_ITEMS_MAX or size + len(payload) > BATCH_PAYLOAD_BYTES_MAX
        if index > start and full:
            yield start, index
            start, size = index, 0
        size += len(payload)
    if start < len(payloads):
        yield start, len(payloads)
