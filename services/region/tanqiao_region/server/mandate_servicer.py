"""TradingMandateService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import mandates_pb2, mandates_pb2_grpc
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.validation import page, require_text
from tanqiao_region.application.trading_mandates import TradingMandates
from tanqiao_region.server.register_servicer import ask_of
from tanqiao_region.server.wire import by_caller


class TradingMandateServicer(mandates_pb2_grpc.TradingMandateServiceServicer):
    """Mandates to trade."""

    def __init__(self, mandates: TradingMandates) -> None:
        self._mandates = mandates

    def GiveTradingMandate(
        self, request: mandates_pb2.GiveTradingMandateRequest, context: grpc.ServicerContext
    ) -> mandates_pb2.GiveTradingMandateResponse:
        """Entrust an agent."""
        del context
        return self._mandates.give(ask_of(request, request.request_id), request)

    def EndTradingMandate(
        self, request: mandates_pb2.EndTradingMandateRequest, context: grpc.ServicerContext
    ) -> mandates_pb2.EndTradingMandateResponse:
        """End a mandate."""
        del context
        return self._mandates.end(ask_of(request, request.request_id), request)

    def ListTradingMandates(
        self, request: mandates_pb2.ListTradingMandatesRequest, context: grpc.ServicerContext
    ) -> mandates_pb2.ListTradingMandatesResponse:
        """Give the mandates of an account."""
        del context
        account_id = require_text(request.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, account_id)
        found = self._mandates.page(account_id, by_caller(), asked.after, asked.size + 1)
        shown = found[: asked.size]
        more = len(found) > asked.size
        return mandates_pb2.ListTradingMandatesResponse(
            mandates=shown, next_page_token=asked.token(shown[-1].mandate_id) if more else ""
        )
