"""Recovery of this node from an old backup; its report to a bridge that was restored (PROTOCOL section 6).

A node is known to have been restored by the operator who did it (`tanqiao-region restore`), or because the
bridge has seen more of it than it knows itself. It then serves reads only, takes a new incarnation, is sent
everything the bridge holds of it with the papers beside, honours what its key signed, reconciles, and opens.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from tanqiao.api.bridge.v1 import recovery_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.recovery import FIRST_EPOCH, EpochStart, RegionMarks, has_forgotten, next_life
from tanqiao.protocol.types import Kind, SourceState
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.verify import allow
from tanqiao_region.application.commands import Work
from tanqiao_region.application.context import BRIDGE, RegionContext
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.honouring import can_lock, honour_lock
from tanqiao_region.application.papers import OwnPapers, open_papers, touched
from tanqiao_region.storage import node
from tanqiao_region.storage.recovery import bridge_messages, undecided_promises
from tanqiao_region.storage.tables import outbox

EPOCH_ALLOWED: Final = allow(
    recovery_pb2.EpochRecord, senders=("authority/bridge",), role=KeyRole.ROOT, audience=BRIDGE
)
RECOVERING: Final = "1"
WAIT_SECONDS: Final = 30.0
CARRIED_PER_PAGE: Final = 1_000
REPORT_ITEMS_PER_PAGE: Final = 200

_Item = TypeVar("_Item")

_log = structlog.get_logger("tanqiao.region.recovery")


class RecoveryRemote(Protocol):
    """The bridge's RecoveryService."""

    def open_promises(self) -> Sequence[recovery_pb2.Papers]:
        """Give the locks of this node that the bridge holds undecided."""
        ...  # pragma: no cover - a protocol has no body

    def submit(self, request: recovery_pb2.SubmitReportRequest) -> None:
        """Hand in a page of the report."""
        ...  # pragma: no cover - a protocol has no body


class Submit(Protocol):
    """The writer's queue."""

    def submit(self, command: Any) -> Any:  # noqa: ANN401 - any command of the writer
        """Queue a command."""
        ...  # pragma: no cover - a protocol has no body


class Recovery:
    """What a session needs of the node while somebody recovers.

    Args:
        context: the node's own things.
        database: read for the report.
        writer: takes every change.
    """

    def __init__(self, context: RegionContext, database: Database, writer: Submit) -> None:
        self._context = context
        self._database = database
        self._writer = writer
        self._target = (0, 0)

    # -- this node was restored ------------------------------------------------------------------------------

    def refused(self, refusal: DomainError) -> None:
        """Look at why a Hello was refused: a bridge that has seen more of this node than it knows."""
        own = self._own_marks(0)
        seen = _seen_in(refusal, own)
        if has_forgotten(own, seen):
            self._begin(own, seen)

    def look_at(self, hello: sync_pb2.Hello) -> None:
        """Look at the bridge's Hello; one that has seen more than this node knows ends the session.

        Raises:
            DomainError: REGION_RECOVERING: dial again, with the new incarnation.
        """
        own = self._own_marks(hello.incarnation)
        same = hello.received_incarnation == own.incarnation
        seen = RegionMarks(
            max(own.incarnation, hello.received_incarnation),
            own.session_number,
            hello.received_number if same else 0,
            # A node that recovers is being sent again what it acknowledged in its life before.
            0 if self._context.recovering else hello.acknowledged_number,
        )
        if has_forgotten(own, seen):
            self._begin(own, seen)
            raise DomainError("REGION_RECOVERING", region=self._context.party)
        self._target = (hello.incarnation, hello.last_number) if hello.last_number else (0, 0)

    def _bridge_stream(self) -> tuple[int, int]:
        with self._database.reading() as connection:
            stream = node.bridge_stream(connection)
        return stream.incarnation, stream.received_number

    def _own_marks(self, bridge_epoch: int) -> RegionMarks:
        with self._database.reading() as connection:
            values = node.load_values(connection, (node.SESSION_NUMBER, node.INCARNATION))
            incarnation = int(values.get(node.INCARNATION, node.FIRST_INCARNATION))
            last, _ = outbox.marks(connection, BRIDGE, incarnation)
            stream = node.bridge_stream(connection)
        received = stream.received_number if stream.incarnation == bridge_epoch else 0
        return RegionMarks(incarnation, int(values.get(node.SESSION_NUMBER, 0)), last, received)

    def _begin(self, own: RegionMarks, seen: RegionMarks) -> None:
        life = next_life(own, seen)
        _log.warning("restored_from_an_old_backup", incarnation=life.incarnation, was=own.incarnation)
        self._writer.submit(Work(lambda group: begin_life(group, life))).result(WAIT_SECONDS)

    def step(self, remote: RecoveryRemote, reconcile: Callable[[], bool]) -> bool:
        """Go on with recovering; True once the node is open again.

        Args:
            remote: the bridge's RecoveryService.
            reconcile: compares the books with the bridge's; True if they are the same.
        """
        epoch, received = self._bridge_stream()
        if (epoch, received) < self._target:
            return False
        self._honour_open(remote.open_promises())
        if not reconcile():
            _log.warning("not_open_yet", reason="the books differ from the bridge's")
            return False
        self._writer.submit(Work(_end_recovery)).result(WAIT_SECONDS)
        _log.warning("recovered", incarnation=self._context.incarnation, bridge_epoch=epoch, up_to=received)
        return True

    def _honour_open(self, promises: Sequence[recovery_pb2.Papers]) -> None:
        index = max(0, self._context.applied_log_index)
        for promise in promises:
            papers = open_papers(self._context, promise.SerializeToString(), index)
            if papers is not None and papers.own_lock(self._context.party) is not None:
                self._writer.submit(Work(partial(_honour_open, papers=papers))).result(WAIT_SECONDS)

    # -- the bridge was restored -----------------------------------------------------------------------------

    def take_epoch(self, hello: sync_pb2.Hello) -> None:
        """Keep the record of the bridge's new epoch, which its authority's root signed.

        Raises:
            DomainError: INCARNATION_STALE for an epoch that is older than the one known, SIGNATURE_MISSING
                for a new one without its record, and what verification of the record raises.
        """
        known = self._context.epoch_start
        if 0 < hello.log_size <= self._context.applied_log_index and hello.incarnation == known.epoch:
            # Restored without a new epoch: nobody may go on from there.
            raise DomainError("BRIDGE_EPOCH_SUPERSEDED", epoch=known.epoch, index=hello.log_size)
        if hello.incarnation < known.epoch:
            raise DomainError("INCARNATION_STALE", incarnation=hello.incarnation, expected=known.epoch)
        if hello.incarnation == known.epoch:
            return
        if not hello.HasField("epoch_record"):
            raise DomainError("SIGNATURE_MISSING", party="authority/bridge")
        record = self.open_epoch(hello.epoch_record)
        if record.bridge_epoch != hello.incarnation:
            raise DomainError(
                "INCARNATION_STALE", incarnation=record.bridge_epoch, expected=hello.incarnation
            )
        self._writer.submit(Work(lambda group: _keep_epoch(group, hello.epoch_record))).result(WAIT_SECONDS)
        _log.warning("bridge_restored", epoch=record.bridge_epoch, continues_from=record.continues_from_index)

    def open_epoch(self, envelope: envelope_pb2.Envelope) -> recovery_pb2.EpochRecord:
        """Open an EpochRecord."""
        context = self._context
        opened = context.verifier.open_envelope(
            envelope, context.directory, allowed=EPOCH_ALLOWED, peer=None, at_index=0
        )
        record: recovery_pb2.EpochRecord = opened.message
        return record

    def report(self, remote: RecoveryRemote) -> int:
        """Report to the bridge everything of it that was acted on above the index it continues from.

        With it goes what this node has promised and has seen no decision of: another region may have seen it.
        """
        start = self._context.epoch_start
        with self._database.reading() as connection:
            values = node.load_values(connection, (node.REPORT_FROM,))
        above = int(values.get(node.REPORT_FROM, start.continues_from))
        count = 0
        for page in _pages(bridge_messages(self._database, above)):
            remote.submit(recovery_pb2.SubmitReportRequest(bridge_epoch=start.epoch, items=page))
            count += len(page)
        for promises in _pages(undecided_promises(self._database)):
            remote.submit(recovery_pb2.SubmitReportRequest(bridge_epoch=start.epoch, undecided=promises))
        remote.submit(
            recovery_pb2.SubmitReportRequest(
                bridge_epoch=start.epoch, complete=True, applied_size=self._context.applied_log_index + 1
            )
        )
        _log.warning("reported", bridge_epoch=start.epoch, above=above, messages=count)
        return count


def begin_life(group: Group, life: RegionMarks) -> None:
    """Begin a new incarnation that recovers; what of the last one the bridge may not have is sent again."""
    before = group.incarnation
    node.store_value(group.connection, node.INCARNATION, life.incarnation)
    node.store_value(group.connection, node.SESSION_NUMBER, life.session_number)
    node.store_value(group.connection, node.RECOVERING, RECOVERING)
    group.incarnation, group.recovering = life.incarnation, True
    _, after = outbox.marks(group.connection, BRIDGE, before)
    while rows := outbox.pending(group.connection, BRIDGE, before, after=after, limit=CARRIED_PER_PAGE):
        group.numbered.extend(OutboxMessage(BRIDGE, row.kind, row.payload) for row in rows)
        after = rows[-1].number
    group.aftermath.life = (life.incarnation, True)


def _end_recovery(group: Group) -> None:
    node.store_value(group.connection, node.RECOVERING, "")
    group.recovering = False
    group.aftermath.life = (group.incarnation, False)


def _honour_open(group: Group, papers: OwnPapers) -> None:
    """Lock the units of an undecided promise that was forgotten; one that is known stays as it is."""
    lock = papers.own_lock(group.context.party)
    if lock is None:
        return
    group.load(Needs(outgoing={lock.key.transfer_id}, touched=list(touched(papers))))
    if lock.key.transfer_id in group.outgoing:
        return
    if not can_lock(group, lock):
        _log.error("forgotten_lock_without_units", transfer_id=lock.key.transfer_id.hex())
        return
    state = SourceState.LOCKED if lock.kind is Kind.TRANSFER else SourceState.RETIRING
    honour_lock(group, papers, state)


def _keep_epoch(group: Group, envelope: envelope_pb2.Envelope) -> None:
    record = recovery_pb2.EpochRecord.FromString(envelope.payload)
    text = base64.b64encode(envelope.SerializeToString()).decode()
    node.store_value(group.connection, node.EPOCH_RECORD, text)
    known = node.load_values(group.connection, (node.REPORT_FROM,)).get(node.REPORT_FROM)
    lowest = min(record.continues_from_index, int(known or record.continues_from_index))
    node.store_value(group.connection, node.REPORT_FROM, lowest)
    # What was applied beyond the index is not in the log that continues: its leaves get new indexes.
    group.applied_log_index = min(group.applied_log_index, record.continues_from_index - 1)
    group.aftermath.epoch_start = EpochStart(record.bridge_epoch, record.continues_from_index)


def epoch_start_of(text: str) -> EpochStart:
    """Read the stored record of the bridge's epoch; the first one has none."""
    if not text:
        return FIRST_EPOCH
    envelope = envelope_pb2.Envelope.FromString(base64.b64decode(text))
    record = recovery_pb2.EpochRecord.FromString(envelope.payload)
    return EpochStart(record.bridge_epoch, record.continues_from_index)


def mark_restored(connection: sa.Connection) -> int:
    """Note in a restored database that the node recovers, in an incarnation of its own; gives that one."""
    values = node.load_values(connection, (node.INCARNATION,))
    incarnation = int(values.get(node.INCARNATION, node.FIRST_INCARNATION)) + 1
    _, after = outbox.marks(connection, BRIDGE, incarnation - 1)
    while rows := outbox.pending(connection, BRIDGE, incarnation - 1, after=after, limit=CARRIED_PER_PAGE):
        messages = [OutboxMessage(BRIDGE, row.kind, row.payload) for row in rows]
        outbox.append_many(connection, incarnation, messages, created_at_us=rows[0].created_at_us)
        after = rows[-1].number
    node.store_value(connection, node.INCARNATION, incarnation)
    node.store_value(connection, node.RECOVERING, RECOVERING)
    return incarnation


def _seen_in(refusal: DomainError, own: RegionMarks) -> RegionMarks:
    """Read from a refused Hello how much of this node the bridge has seen."""
    metadata = refusal.metadata
    if refusal.symbol == "INCARNATION_STALE" and "expected" in metadata:
        return replace(own, incarnation=int(str(metadata["expected"])))
    if refusal.symbol == "SESSION_FENCED" and "newest" in metadata:
        return replace(own, session_number=int(str(metadata["newest"])))
    return own


def _pages(items: Iterator[_Item]) -> Iterator[list[_Item]]:
    page: list[_Item] = []
    for item in items:
        page.append(item)
        if len(page) == REPORT_ITEMS_PER_PAGE:
            yield page
            page = []
    if page:
        yield page
