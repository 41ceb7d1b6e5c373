"""Reconciliation of this node's books with the bridge's, at a cut of the log (PROTOCOL section 7).

Nobody is stopped.

One snapshot says what the node has and up to which index of the bridge's log it has applied everything. From
it come a root, then totals and fingerprints of series, then of 16 parts of a range, until few blocks are left
that differ; the bridge names them, freezes them and signs the result.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import sqlalchemy as sa
import structlog

from tanqiao.api.bridge.v1 import reconcile_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.reconciliation import (
    KEPT_BLOCKS_MAX,
    LEAF_BLOCKS_MAX,
    STATE_NAMES,
    SeriesBlocks,
    Summary,
    root_of,
    span_of,
    split,
)
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import allow
from tanqiao_region.application.context import BRIDGE, RegionContext
from tanqiao_region.storage import node
from tanqiao_region.storage.reconciling import books_of

STATEMENT_TYPE: Final = payload_type_of(reconcile_pb2.ReconcileStatement)
RESULT: Final = allow(reconcile_pb2.ReconcileResult, senders=(BRIDGE,))
RUN_ID_BYTES: Final = 16
SERIES_PER_PAGE: Final = 1_000
RANGES_PER_CALL: Final = 1_024
DIFFERING_MAX: Final = 100_000
"""Most series that the bridge may name on a page: with the last one come those that are unknown here."""

_log = structlog.get_logger("tanqiao.region.reconcile")

Range = tuple[int, int]


class ReconcileRemote(Protocol):
    """The bridge's ReconcileService."""

    def begin(
        self, request: reconcile_pb2.BeginReconciliationRequest
    ) -> reconcile_pb2.BeginReconciliationResponse:
        """Begin a run."""
        ...  # pragma: no cover - a protocol has no body

    def series(self, request: reconcile_pb2.CompareSeriesRequest) -> reconcile_pb2.CompareSeriesResponse:
        """Compare a page of series."""
        ...  # pragma: no cover - a protocol has no body

    def ranges(self, request: reconcile_pb2.CompareRangesRequest) -> reconcile_pb2.CompareRangesResponse:
        """Compare ranges of a series."""
        ...  # pragma: no cover - a protocol has no body

    def blocks(self, request: reconcile_pb2.CompareBlocksRequest) -> reconcile_pb2.CompareBlocksResponse:
        """Compare the blocks of a range."""
        ...  # pragma: no cover - a protocol has no body

    def end(self, request: reconcile_pb2.EndReconciliationRequest) -> reconcile_pb2.EndReconciliationResponse:
        """End the run."""
        ...  # pragma: no cover - a protocol has no body


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; the result is None for a light one that was clean."""

    is_clean: bool
    bad_blocks: tuple[reconcile_pb2.BadBlock, ...] = ()
    result: envelope_pb2.Envelope | None = None


CLEAN: Final = Outcome(is_clean=True)


class Reconciliation:
    """Runs of this node; one at a time.

    Args:
        context: the node's own things.
        database: read in one snapshot for each run.
    """

    def __init__(self, context: RegionContext, database: Database) -> None:
        self._context = context
        self._database = database
        self._one = threading.Lock()

    def run(self, remote: ReconcileRemote, *, full: bool) -> Outcome:
        """Compare the books with the bridge's.

        Raises:
            DomainError: what the bridge refused: SNAPSHOT_AHEAD, REGION_RECOVERING, …; the run is given up.
        """
        with self._one, self._database.reading() as connection:
            return self._run(connection, remote, full=full)

    def _run(self, connection: sa.Connection, remote: ReconcileRemote, *, full: bool) -> Outcome:
        values = node.load_values(connection, (node.APPLIED_LOG_INDEX,))
        applied = int(values.get(node.APPLIED_LOG_INDEX, node.NOTHING_APPLIED))
        summaries: list[Summary] = []
        kept: dict[str, SeriesBlocks] = {}
        room = KEPT_BLOCKS_MAX
        for series_id, blocks in books_of(connection):
            summaries.append(blocks.summary(series_id))
            room -= len(blocks)
            if room >= 0:
                kept[series_id] = blocks
        summaries.sort(key=lambda one: one.series_id)
        run_id = self._context.random_bytes(RUN_ID_BYTES)
        begun = remote.begin(
            reconcile_pb2.BeginReconciliationRequest(
                statement=self._statement(run_id, applied, summaries, full=full)
            )
        )
        if begun.same:
            return CLEAN
        for series_id, end in self._differing(remote, run_id, summaries):
            known = kept.get(series_id)
            if known is None:
                known = dict(books_of(connection, series_id)).get(series_id, SeriesBlocks(()))
            self._descend(remote, run_id, series_id, known, end)
        ended = remote.end(reconcile_pb2.EndReconciliationRequest(run_id=run_id))
        return self._outcome(ended.result, applied)

    def _statement(
        self, run_id: bytes, applied: int, summaries: Sequence[Summary], *, full: bool
    ) -> envelope_pb2.Envelope:
        depth = reconcile_pb2.RECONCILE_DEPTH_FULL if full else reconcile_pb2.RECONCILE_DEPTH_LIGHT
        statement = reconcile_pb2.ReconcileStatement(
            header=self._context.header((BRIDGE,), source=self._context.party),
            run_id=run_id,
            depth=depth,
            applied_index=applied,
            root=root_of(summaries),
            series_count=len(summaries),
            block_count=sum(one.block_count for one in summaries),
            quantity_kg=sum(one.quantity_kg for one in summaries),
        )
        return sign_envelope(self._context.signer, STATEMENT_TYPE, statement.SerializeToString())

    def _differing(
        self, remote: ReconcileRemote, run_id: bytes, summaries: Sequence[Summary]
    ) -> Iterator[tuple[str, int]]:
        pages = [summaries[at : at + SERIES_PER_PAGE] for at in range(0, len(summaries), SERIES_PER_PAGE)]
        for number, page in enumerate(pages or [()], start=1):
            answer = remote.series(
                reconcile_pb2.CompareSeriesRequest(
                    run_id=run_id,
                    series=[_summary_message(one) for one in page],
                    complete=number >= len(pages),
                )
            )
            named, ends = answer.differing_series_ids, answer.end_serials
            if len(named) != len(ends) or len(named) > DIFFERING_MAX:
                raise DomainError("FIELD_INVALID", field="differing_series_ids", detail=str(len(named)))
            yield from dict(zip(named, ends, strict=True)).items()

    def _descend(
        self, remote: ReconcileRemote, run_id: bytes, series_id: str, blocks: SeriesBlocks, end: int
    ) -> None:
        """Go down to the blocks that differ, 16 parts at a time, all ranges of a level in one call."""
        level: list[Range] = [(0, span_of(max(end, blocks.end)))]
        while level:
            small = [one for one in level if blocks.count(*one) <= LEAF_BLOCKS_MAX]
            for start, behind in small:
                self._show(remote, run_id, series_id, blocks, start, behind)
            parts = [part for one in level if one not in small for part in split(*one)]
            level = []
            for at in range(0, len(parts), RANGES_PER_CALL):
                asked = parts[at : at + RANGES_PER_CALL]
                answer = remote.ranges(
                    reconcile_pb2.CompareRangesRequest(
                        run_id=run_id,
                        series_id=series_id,
                        ranges=[_range_message(blocks, *one) for one in asked],
                    )
                )
                # What the bridge names twice, or was not asked about, is none: a level never grows by it.
                level += [asked[at] for at in sorted(set(answer.differing)) if 0 <= at < len(asked)]

    @staticmethod
    def _show(
        remote: ReconcileRemote, run_id: bytes, series_id: str, blocks: SeriesBlocks, start: int, end: int
    ) -> None:
        answer = remote.blocks(
            reconcile_pb2.CompareBlocksRequest(
                run_id=run_id,
                series_id=series_id,
                start_serial=start,
                end_serial=end,
                blocks=[
                    reconcile_pb2.BlockState(
                        start_serial=one.start, end_serial=one.end, state=STATE_NAMES[one.state]
                    )
                    for one in blocks.pieces(start, end)
                ],
            )
        )
        for bad in answer.bad_blocks:
            _log.error(
                "books_differ",
                series=series_id,
                block=f"[{bad.block.start_serial},{bad.block.end_serial})",
                bridge=bad.bridge_state,
                region=bad.region_state,
            )

    def _outcome(self, envelope: envelope_pb2.Envelope, applied: int) -> Outcome:
        context = self._context
        opened = context.verifier.open_envelope(
            envelope, context.directory, allowed=RESULT, peer=BRIDGE, at_index=max(0, applied)
        )
        result = opened.message
        is_clean = result.state == reconcile_pb2.RECONCILE_STATE_CLEAN
        _log.info("reconciled", clean=is_clean, applied_index=applied, log_index=result.log_index)
        return Outcome(is_clean, tuple(result.bad_blocks), envelope)


def _summary_message(one: Summary) -> reconcile_pb2.SeriesSummary:
    return reconcile_pb2.SeriesSummary(
        series_id=one.series_id,
        held_kg=one.held_kg,
        used_kg=one.used_kg,
        cancelled_kg=one.cancelled_kg,
        block_count=one.block_count,
        fingerprint=one.fingerprint,
    )


def _range_message(blocks: SeriesBlocks, start: int, end: int) -> reconcile_pb2.RangeFingerprint:
    return reconcile_pb2.RangeFingerprint(
        start_serial=start,
        end_serial=end,
        fingerprint=blocks.fingerprint(start, end),
        block_count=blocks.count(start, end),
    )


class Schedule:
    """When the node reconciles: full on reconnect and once a day, light every minute, and when asked.

    Args:
        reconciliation: what is run.
        context: whose legal date begins a day.
    """

    LIGHT_SECONDS: Final = 60.0
    SETTLE_SECONDS: Final = 10.0
    """After a session has opened, so that what is on its way arrives first."""

    def __init__(self, reconciliation: Reconciliation, context: RegionContext) -> None:
        self._reconciliation = reconciliation
        self._context = context
        self._changed = threading.Condition()
        self._asked: bool | None = None
        self._ended = 0

    def ask(self, *, full: bool) -> None:
        """Run now, on the session that is open."""
        with self._changed:
            self._asked = full or bool(self._asked)
            self._changed.notify_all()

    def begin(self) -> int:
        """Give what `serve` asks for: which session it is for."""
        with self._changed:
            return self._ended

    def end(self) -> None:
        """Wake the thread of a session that has ended."""
        with self._changed:
            self._ended += 1
            self._changed.notify_all()

    def serve(self, remote: ReconcileRemote, ended: int) -> None:
        """Run until `end` is called after the `begin` that gave `ended`: one thread for each session."""
        wait_seconds, full = self.SETTLE_SECONDS, True
        day = self._context.now().date()
        while True:
            with self._changed:
                if self._asked is None and self._ended == ended:
                    self._changed.wait(wait_seconds)
                if self._ended != ended:
                    return
                full = full or bool(self._asked)
                self._asked = None
            today = self._context.now().date()
            full, day = full or today != day, today
            self.try_run(remote, full=full)
            wait_seconds, full = self.LIGHT_SECONDS, False

    def try_run(self, remote: ReconcileRemote, *, full: bool) -> bool:
        """Run once; whether it was clean. One that cannot be run now is given up: the next one comes."""
        if self._context.recovering and not full:
            return False
        try:
            return self._reconciliation.run(remote, full=full).is_clean
        except DomainError as refusal:
            _log.warning("reconciliation_given_up", reason=refusal.symbol)
            return False
