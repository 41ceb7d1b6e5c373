"""ReconcileService as the kit plays it (PROTOCOL section 7): what the region states of its books."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from tanqiao.api.bridge.v1 import reconcile_pb2, reconcile_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError

STATEMENTS_MAX = 10_000
"""Statements of one run that are kept."""
Open = Callable[[envelope_pb2.Envelope], reconcile_pb2.ReconcileStatement]


class Statements(reconcile_pb2_grpc.ReconcileServiceServicer):
    """Keeps what the region states at the beginning of a run, and says that it is the same here.

    Args:
        opener: opens a signed statement of the region, or raises DomainError.
    """

    def __init__(self, opener: Open) -> None:
        self._open = opener
        self.kept: list[reconcile_pb2.ReconcileStatement] = []
        self.waits = False
        """While true no run is begun: the bridge is busy."""

    def BeginReconciliation(  # noqa: N802 - gRPC names it
        self, request: reconcile_pb2.BeginReconciliationRequest, context: grpc.ServicerContext
    ) -> reconcile_pb2.BeginReconciliationResponse:
        """Keep a statement."""
        del context
        statement = self._open(request.statement)
        if len(self.kept) < STATEMENTS_MAX:
            self.kept.append(statement)
        if self.waits:
            raise DomainError("BUSY", what="reconciliation")
        return reconcile_pb2.BeginReconciliationResponse(same=True)
