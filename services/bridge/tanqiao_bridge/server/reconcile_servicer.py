"""ReconcileService: translation only; what is compared and what follows is `application.reconciling`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import reconcile_pb2, reconcile_pb2_grpc
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.reconciliation import ABSENT, LEAF_BLOCKS_MAX, STATES, Piece
from tanqiao.protocol.types import HASH_LENGTH
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import require_bytes, require_text
from tanqiao.signing.verify import Verifier, allow
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.queries import Queries
from tanqiao_bridge.application.reconciling import Ended, EndRun, Reconciler, Run
from tanqiao_bridge.server.lines import Lines

STATEMENT: Final = allow(reconcile_pb2.ReconcileStatement, senders=("region/*",))
RUN_ID_BYTES: Final = 16
SERIES_PER_PAGE_MAX: Final = 1_000
RANGES_MAX: Final = 1_024
BLOCKS_MAX: Final = 2 * LEAF_BLOCKS_MAX
SERIES_ID_LENGTH_MAX: Final = 160
ANSWER_SECONDS_MAX: Final = 30.0


class ReconcileServicer(reconcile_pb2_grpc.ReconcileServiceServicer):
    """See the module's text."""

    def __init__(
        self,
        context: BridgeContext,
        queries: Queries,
        writer: GroupCommit[Any, Any],
        lines: Lines,
        reconciler: Reconciler,
    ) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer
        self._lines = lines
        self._reconciler = reconciler
        self._verifier = Verifier(context.network_id, BRIDGE)

    # -- the region ----------------------------------------------------------------------------------------

    def BeginReconciliation(
        self, request: reconcile_pb2.BeginReconciliationRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.BeginReconciliationResponse:
        """Begin a run at the cut that the region's signed statement names."""
        del context
        opened = self._verifier.open_envelope(
            request.statement,
            self._context.directory,
            allowed=STATEMENT,
            peer=current_caller().party,
            at_index=self._context.log_size,
        )
        statement = opened.message
        require_bytes(statement.run_id, RUN_ID_BYTES, "run_id")
        require_bytes(statement.root, HASH_LENGTH, "root")
        _require_depth(statement.depth)
        for name in ("applied_index", "series_count", "block_count", "quantity_kg"):
            if getattr(statement, name) < (-1 if name == "applied_index" else 0):
                raise DomainError("FIELD_INVALID", field=name, detail=str(getattr(statement, name)))
        same, size = self._reconciler.begin(opened, request.statement)
        return reconcile_pb2.BeginReconciliationResponse(same=same, log_size=size)

    def CompareSeries(
        self, request: reconcile_pb2.CompareSeriesRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.CompareSeriesResponse:
        """Name the series of a page that differ."""
        del context
        _require_count(request.series, SERIES_PER_PAGE_MAX, "series")
        for one in request.series:
            require_text(one.series_id, "series.series_id", length_max=SERIES_ID_LENGTH_MAX)
        differing = self._reconciler.compare_series(
            self._run(request.run_id), request.series, is_complete=request.complete
        )
        return reconcile_pb2.CompareSeriesResponse(
            differing_series_ids=[series_id for series_id, _ in differing],
            end_serials=[end for _, end in differing],
        )

    def CompareRanges(
        self, request: reconcile_pb2.CompareRangesRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.CompareRangesResponse:
        """Name the ranges of a series that differ."""
        del context
        _require_count(request.ranges, RANGES_MAX, "ranges")
        series_id = require_text(request.series_id, "series_id", length_max=SERIES_ID_LENGTH_MAX)
        for one in request.ranges:
            _require_range(one.start_serial, one.end_serial)
        differing = self._reconciler.compare_ranges(self._run(request.run_id), series_id, request.ranges)
        return reconcile_pb2.CompareRangesResponse(differing=differing)

    def CompareBlocks(
        self, request: reconcile_pb2.CompareBlocksRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.CompareBlocksResponse:
        """Name the serials of a range that are bad."""
        del context
        _require_count(request.blocks, BLOCKS_MAX, "blocks")
        series_id = require_text(request.series_id, "series_id", length_max=SERIES_ID_LENGTH_MAX)
        _require_range(request.start_serial, request.end_serial)
        pieces = _pieces_of(request)
        run = self._run(request.run_id)
        bad = self._reconciler.compare_blocks(
            run, series_id, request.start_serial, request.end_serial, pieces
        )
        return reconcile_pb2.CompareBlocksResponse(bad_blocks=bad)

    def EndReconciliation(
        self, request: reconcile_pb2.EndReconciliationRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.EndReconciliationResponse:
        """End a run: the result is a leaf; bad blocks are frozen and a case is open."""
        del context
        run = self._run(request.run_id)
        self._reconciler.check_issued(run)
        ended: Ended = self._writer.submit(EndRun(run)).result(ANSWER_SECONDS_MAX)
        run.end(ended)
        return reconcile_pb2.EndReconciliationResponse(result=ended.result)

    def _run(self, run_id: bytes) -> Run:
        require_bytes(run_id, RUN_ID_BYTES, "run_id")
        return self._reconciler.run_of(current_caller().party, run_id)

    # -- operators and readers -----------------------------------------------------------------------------

    def StartReconciliation(
        self, request: reconcile_pb2.StartReconciliationRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.StartReconciliationResponse:
        """Ask regions that are on the line to reconcile now."""
        del context
        _require_depth(request.depth)
        known = sorted(row.region for row in self._queries.regions())
        if request.region and request.region not in known:
            raise DomainError("REGION_UNKNOWN", field="region", region=request.region[:96])
        asked: list[str] = []
        absent: list[str] = []
        for region in [request.region] if request.region else known:
            full = request.depth == reconcile_pb2.RECONCILE_DEPTH_FULL
            (asked if self._lines.ask_to_reconcile(region, full=full) else absent).append(region)
        moment = Timestamp(seconds=int(self._context.clock.now().timestamp()))
        return reconcile_pb2.StartReconciliationResponse(
            asked_regions=asked, absent_regions=absent, ask_time=moment
        )

    def ListReconciliations(
        self, request: reconcile_pb2.ListReconciliationsRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.ListReconciliationsResponse:
        """Give the latest run of each region, or of one."""
        del context
        stored = {one.region: one for one in self._queries.reconciliations(request.region[:96])}
        for run in self._reconciler.runs(request.region):
            stored[run.region] = _message_of(run)
        return reconcile_pb2.ListReconciliationsResponse(
            reconciliations=[one for _, one in sorted(stored.items())]
        )


def _message_of(run: Run) -> reconcile_pb2.Reconciliation:
    statement = run.statement.message
    one = reconcile_pb2.Reconciliation(
        region=run.region,
        run_id=run.run_id,
        state=run.state,  # type: ignore[arg-type]  # numbers of the enumeration
        depth=run.depth,  # type: ignore[arg-type]  # as above
        applied_index=run.applied_index,
        log_index=run.log_index,
        series_count=statement.series_count,
        series_compared=run.compared,
        block_count=statement.block_count,
        quantity_kg=statement.quantity_kg,
        bad_blocks=[run.bad[block] for block in sorted(run.bad)],
        result=run.result,
    )
    one.start_time.seconds = run.started_at
    if run.ended_at:
        one.end_time.seconds = run.ended_at
    return one


def _require_depth(depth: int) -> None:
    if depth == reconcile_pb2.RECONCILE_DEPTH_UNSPECIFIED:
        raise DomainError("FIELD_MISSING", field="depth")


def _require_count(items: Sequence[object], limit: int, field: str) -> None:
    if len(items) > limit:
        raise DomainError("BATCH_TOO_LARGE", field=field, limit=limit, count=len(items))


def _require_range(start: int, end: int) -> None:
    if not 0 <= start < end:
        raise DomainError("RANGE_REVERSED", field="start_serial", start=start, end=end)


def _pieces_of(request: reconcile_pb2.CompareBlocksRequest) -> list[Piece]:
    pieces: list[Piece] = []
    last = request.start_serial
    for one in request.blocks:
        state = STATES.get(one.state, ABSENT)
        if state == ABSENT:
            raise DomainError("FIELD_INVALID", field="blocks.state", detail=one.state[:32])
        if not last <= one.start_serial < one.end_serial <= request.end_serial:
            raise DomainError(
                "RANGE_REVERSED", field="blocks.start_serial", start=one.start_serial, end=one.end_serial
            )
        pieces.append(Piece(one.start_serial, one.end_serial, state))
        last = one.end_serial
    return pieces
