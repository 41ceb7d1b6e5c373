"""ClawbackService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import clawbacks_pb2, clawbacks_pb2_grpc
from tanqiao.rpc.validation import page, parse_serial
from tanqiao_region.application.clawbacks import Clawbacks
from tanqiao_region.server.register_servicer import ask_of
from tanqiao_region.server.wire import by_caller, selection_of


class ClawbackServicer(clawbacks_pb2_grpc.ClawbackServiceServicer):
    """Clawback of wrongly issued units."""

    def __init__(self, clawbacks: Clawbacks) -> None:
        self._clawbacks = clawbacks

    def SubmitClawback(
        self, request: clawbacks_pb2.SubmitClawbackRequest, context: grpc.ServicerContext
    ) -> clawbacks_pb2.SubmitClawbackResponse:
        """Put an order of two approvers in force."""
        del context
        return self._clawbacks.submit(ask_of(request, request.request_id), request.order)

    def ReplaceClawedUnits(
        self, request: clawbacks_pb2.ReplaceClawedUnitsRequest, context: grpc.ServicerContext
    ) -> clawbacks_pb2.ReplaceClawedUnitsResponse:
        """Hand units in for those that were wrongly issued."""
        del context
        ask = ask_of(request, request.request_id)
        return self._clawbacks.replace(ask, request.clawback_id, selection_of(request.units))

    def SettleClawback(
        self, request: clawbacks_pb2.SettleClawbackRequest, context: grpc.ServicerContext
    ) -> clawbacks_pb2.SettleClawbackResponse:
        """Note what has become of a clawback."""
        del context
        return self._clawbacks.settle(ask_of(request, request.request_id), request.clawback_id)

    def GetClawback(
        self, request: clawbacks_pb2.GetClawbackRequest, context: grpc.ServicerContext
    ) -> clawbacks_pb2.GetClawbackResponse:
        """Give a clawback."""
        del context
        found = self._clawbacks.find(request.clawback_id, by_caller())
        return clawbacks_pb2.GetClawbackResponse(clawback=found)

    def ListClawbacks(
        self, request: clawbacks_pb2.ListClawbacksRequest, context: grpc.ServicerContext
    ) -> clawbacks_pb2.ListClawbacksResponse:
        """Give clawbacks in the order of their ids."""
        del context
        asked = page(request.page_size, request.page_token)
        found = self._clawbacks.page(by_caller(), asked.read(bytes.fromhex, b""), asked.size + 1)
        shown = found[: asked.size]
        return clawbacks_pb2.ListClawbacksResponse(
            clawbacks=shown,
            next_page_token=asked.token(shown[-1].clawback_id) if len(found) > asked.size else "",
        )

    def ListClawbackSteps(
        self, request: clawbacks_pb2.ListClawbackStepsRequest, context: grpc.ServicerContext
    ) -> clawbacks_pb2.ListClawbackStepsResponse:
        """Give the history of a clawback."""
        del context
        asked = page(request.page_size, request.page_token, request.clawback_id)
        found = self._clawbacks.steps(
            request.clawback_id, by_caller(), asked.read(parse_serial, 0), asked.size + 1
        )
        shown = found[: asked.size]
        return clawbacks_pb2.ListClawbackStepsResponse(
            steps=shown,
            next_page_token=asked.token(str(shown[-1].step_number)) if len(found) > asked.size else "",
        )
