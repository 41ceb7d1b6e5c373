"""RecoveryService: what restored regions ask for, and what regions report to a bridge that was restored."""

from __future__ import annotations

from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2, recovery_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.signing.batch import item_envelope
from tanqiao_bridge.application.adopting import TakeReport
from tanqiao_bridge.application.commands import Answer, Material
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.application.open_promises import ListOpen
from tanqiao_bridge.application.queries import Queries
from tanqiao_bridge.application.reported import ReportOpener

ITEMS_MAX: Final = 1_000
ANSWER_SECONDS_MAX: Final = 50.0


class RecoveryServicer(recovery_pb2_grpc.RecoveryServiceServicer):
    """Translates only."""

    def __init__(self, context: BridgeContext, queries: Queries, writer: GroupCommit[Any, Any]) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer
        self._opener = ReportOpener(context)

    def ListOpenPromises(
        self, request: recovery_pb2.ListOpenPromisesRequest, context: grpc.ServicerContext
    ) -> recovery_pb2.ListOpenPromisesResponse:
        """Give the caller's locks that are undecided, behind everything that it sent before."""
        del request, context
        found: list[Material] = self._writer.submit(ListOpen(current_caller().party)).result(
            ANSWER_SECONDS_MAX
        )
        return recovery_pb2.ListOpenPromisesResponse(
            promises=[
                recovery_pb2.Papers(
                    lock=_envelope_of(material),
                    openings=messages_pb2.Openings.FromString(material.companion),
                )
                for material in found
            ]
        )

    def SubmitReport(
        self, request: recovery_pb2.SubmitReportRequest, context: grpc.ServicerContext
    ) -> recovery_pb2.SubmitReportResponse:
        """Take a page of a region's report; nothing of a page counts if one message of it does not verify."""
        del context
        count = len(request.items) + len(request.undecided)
        if count > ITEMS_MAX:
            raise DomainError("BATCH_TOO_LARGE", field="items", limit=ITEMS_MAX, count=count)
        if request.applied_size < 0:
            raise DomainError("FIELD_INVALID", field="applied_size", detail=str(request.applied_size))
        party = current_caller().party
        items = tuple(self._opener.read(party, item) for item in request.items)
        papers = tuple(self._opener.read_paper(party, one) for one in request.undecided)
        command = TakeReport(
            party, request.bridge_epoch, items, request.complete, request.applied_size, papers
        )
        answer: Answer = self._writer.submit(command).result(ANSWER_SECONDS_MAX)
        return recovery_pb2.SubmitReportResponse(new_count=answer.received_number)

    def GetRecoveryStatus(
        self, request: recovery_pb2.GetRecoveryStatusRequest, context: grpc.ServicerContext
    ) -> recovery_pb2.GetRecoveryStatusResponse:
        """Say whether the bridge recovers, who has reported, and what waits."""
        del request, context
        state = self._context.recovery
        continues, collected, adopted, waiting = self._queries.recovery_counts(self._context.epoch)
        return recovery_pb2.GetRecoveryStatusResponse(
            bridge_epoch=self._context.epoch,
            continues_from_index=continues,
            recovering=not state.is_over,
            missing_regions=sorted(state.missing),
            collected_count=collected,
            adopted_count=adopted,
            waiting_count=waiting,
        )


def _envelope_of(material: Material) -> envelope_pb2.Envelope:
    if material.batch is not None:
        return item_envelope(material.batch, material.opened.envelope_index)
    return material.envelope if material.envelope is not None else envelope_pb2.Envelope()
