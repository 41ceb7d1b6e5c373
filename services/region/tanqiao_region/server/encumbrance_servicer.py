"""EncumbranceService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import encumbrances_pb2, encumbrances_pb2_grpc
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.validation import optional_text, page, parse_serial, require_text
from tanqiao_region.application.encumbrances import Encumbrances
from tanqiao_region.server.register_servicer import ask_of
from tanqiao_region.server.wire import by_caller, selection_of


class EncumbranceServicer(encumbrances_pb2_grpc.EncumbranceServiceServicer):
    """Encumbrances of units."""

    def __init__(self, encumbrances: Encumbrances) -> None:
        self._encumbrances = encumbrances

    def EncumberUnits(
        self, request: encumbrances_pb2.EncumberUnitsRequest, context: grpc.ServicerContext
    ) -> encumbrances_pb2.EncumberUnitsResponse:
        """Encumber units of the caller's account."""
        del context
        for field in ("account_id", "creditor_account_id"):
            require_text(getattr(request, field), field, length_max=ACCOUNT_ID_LENGTH_MAX)
        selection = selection_of(request.units)
        return self._encumbrances.encumber(ask_of(request, request.request_id), request, selection)

    def ReleaseEncumbrance(
        self, request: encumbrances_pb2.ReleaseEncumbranceRequest, context: grpc.ServicerContext
    ) -> encumbrances_pb2.ReleaseEncumbranceResponse:
        """Sign the release of an encumbrance."""
        del context
        return self._encumbrances.release(ask_of(request, request.request_id), request)

    def GetEncumbrance(
        self, request: encumbrances_pb2.GetEncumbranceRequest, context: grpc.ServicerContext
    ) -> encumbrances_pb2.GetEncumbranceResponse:
        """Give an encumbrance to its sides and the offices."""
        del context
        found = self._encumbrances.find(request.encumbrance_id, by_caller())
        return encumbrances_pb2.GetEncumbranceResponse(encumbrance=found)

    def ListEncumbrances(
        self, request: encumbrances_pb2.ListEncumbrancesRequest, context: grpc.ServicerContext
    ) -> encumbrances_pb2.ListEncumbrancesResponse:
        """Give encumbrances in the order of their entries in the journal."""
        del context
        optional_text(request.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, request.account_id)
        found = self._encumbrances.page(
            request.account_id, by_caller(), asked.read(parse_serial, 0), asked.size + 1
        )
        shown = found[: asked.size]
        return encumbrances_pb2.ListEncumbrancesResponse(
            encumbrances=shown,
            next_page_token=asked.token(str(shown[-1].journal_index)) if len(found) > asked.size else "",
        )
