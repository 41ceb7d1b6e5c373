"""RecoveryService as the kit plays it (PROTOCOL section 6): a restored bridge keeps what is reported."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc

from tanqiao.api.bridge.v1 import recovery_pb2, recovery_pb2_grpc

PAGES_MAX = 10_000
"""Pages of one run that are kept."""


@dataclass
class Reports(recovery_pb2_grpc.RecoveryServiceServicer):
    """Keeps the pages of the region's reports."""

    pages: list[recovery_pb2.SubmitReportRequest] = field(default_factory=list)

    def SubmitReport(  # noqa: N802 - gRPC names it
        self, request: recovery_pb2.SubmitReportRequest, context: grpc.ServicerContext
    ) -> recovery_pb2.SubmitReportResponse:
        """Keep a page."""
        del context
        if len(self.pages) < PAGES_MAX:
            self.pages.append(request)
        return recovery_pb2.SubmitReportResponse(new_count=len(request.items))

    def ListOpenPromises(  # noqa: N802 - as above
        self, request: recovery_pb2.ListOpenPromisesRequest, context: grpc.ServicerContext
    ) -> recovery_pb2.ListOpenPromisesResponse:
        """Give nothing: of what the region promised, it has forgotten nothing."""
        del request, context
        return recovery_pb2.ListOpenPromisesResponse()

    def of(self, epoch: int) -> list[recovery_pb2.SubmitReportRequest]:
        """Give the pages for an epoch of the bridge; the last of a report says that it is complete."""
        return [page for page in list(self.pages) if page.bridge_epoch == epoch]
