"""IssuanceService: it translates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc

from tanqiao.api.region.v1 import registers_pb2, registers_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import optional_text, page, parse_serial, require_request_id, require_text
from tanqiao_region.application.activity import Activity
from tanqiao_region.application.activity_import import ActivityImports
from tanqiao_region.application.issuance import Issuances
from tanqiao_region.server.register_servicer import ask_of, is_public
from tanqiao_region.server.wire import by_caller

FIRST_PLACE: Final = (-1, "")
ID_LENGTH_MAX: Final = 64


class IssuanceServicer(registers_pb2_grpc.IssuanceServiceServicer):
    """Activity data, quantification, issuance."""

    def __init__(
        self, activity: Activity, imports: ActivityImports, issuances: Issuances, region_code: str
    ) -> None:
        self._region_code = region_code
        self._activity = activity
        self._imports = imports
        self._issuances = issuances

    def SubmitActivity(
        self, request: registers_pb2.SubmitActivityRequest, context: grpc.ServicerContext
    ) -> registers_pb2.SubmitActivityResponse:
        """Record metered activity, all rows or none."""
        del context
        return self._activity.submit_activity(ask_of(request, request.request_id), request)

    def ImportActivity(
        self,
        request_iterator: Iterator[registers_pb2.ImportActivityRequest],
        context: grpc.ServicerContext,
    ) -> registers_pb2.ImportActivityResponse:
        """Import a file: its description first, then its bytes in order."""
        del context
        first = next(request_iterator, None)
        if first is None or first.WhichOneof("part") != "start":
            raise DomainError("FIELD_MISSING", field="start")
        require_request_id(first.start.request_id)
        return self._imports.run(by_caller(), first.start, _chunks(request_iterator))

    def QuantifyProject(
        self, request: registers_pb2.QuantifyProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.QuantifyProjectResponse:
        """Compute what a period would yield."""
        del context
        require_text(request.project_id, "project_id", length_max=ID_LENGTH_MAX)
        return self._issuances.quantify(request)

    def IssueUnits(
        self, request: registers_pb2.IssueUnitsRequest, context: grpc.ServicerContext
    ) -> registers_pb2.IssueUnitsResponse:
        """Ask for an issuance; units exist once the bridge has answered."""
        del context
        issuance = self._issuances.issue_units(ask_of(request, request.request_id), request)
        return registers_pb2.IssueUnitsResponse(issuance=issuance)

    def GetIssuance(
        self, request: registers_pb2.GetIssuanceRequest, context: grpc.ServicerContext
    ) -> registers_pb2.GetIssuanceResponse:
        """Give an issuance as it is now."""
        del context
        issuance_id = require_text(request.issuance_id, "issuance_id", length_max=ID_LENGTH_MAX)
        issuance = self._public(self._issuances.get(issuance_id))
        return registers_pb2.GetIssuanceResponse(issuance=issuance)

    def _public(self, issuance: registers_pb2.Issuance) -> registers_pb2.Issuance:
        """Leave out the account where anybody asks."""
        if is_public(self._region_code):
            issuance.ClearField("account_id")
        return issuance

    def ListIssuances(
        self, request: registers_pb2.ListIssuancesRequest, context: grpc.ServicerContext
    ) -> registers_pb2.ListIssuancesResponse:
        """Give issuances, oldest first, of one project or of all."""
        del context
        project_id = optional_text(request.project_id, "project_id", length_max=ID_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, project_id)
        after = asked.read(_place, FIRST_PLACE)
        found, places, index = self._issuances.list(project_id, after, asked.size + 1)
        more = len(found) > asked.size
        last = places[asked.size - 1] if more else FIRST_PLACE
        return registers_pb2.ListIssuancesResponse(
            issuances=[self._public(one) for one in found[: asked.size]],
            next_page_token=asked.token(f"{last[0]}:{last[1]}") if more else "",
            as_of_index=index,
        )


def _place(text: str) -> tuple[int, str]:
    created_at, _, issuance_id = text.partition(":")
    return parse_serial(created_at), issuance_id


def _chunks(requests: Iterator[registers_pb2.ImportActivityRequest]) -> Iterator[bytes]:
    for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise DomainError("FIELD_MISSING", field="chunk")
        yield request.chunk
