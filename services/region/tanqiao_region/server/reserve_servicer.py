"""ReserveService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import reserve_pb2, reserve_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import page
from tanqiao_region.application.reserve import Reserve
from tanqiao_region.server.register_servicer import ask_of, is_public


class ReserveServicer(reserve_pb2_grpc.ReserveServiceServicer):
    """Entries of the reserve."""

    def __init__(self, reserve: Reserve, region_code: str) -> None:
        self._reserve = reserve
        self._region_code = region_code

    def EnterResource(
        self, request: reserve_pb2.EnterResourceRequest, context: grpc.ServicerContext
    ) -> reserve_pb2.EnterResourceResponse:
        """Enter a carbon resource."""
        del context
        if not request.HasField("resource"):
            raise DomainError("FIELD_MISSING", field="resource")
        return self._reserve.enter(ask_of(request, request.request_id))

    def ListResources(
        self, request: reserve_pb2.ListResourcesRequest, context: grpc.ServicerContext
    ) -> reserve_pb2.ListResourcesResponse:
        """Give the public list: entries of low-income areas first."""
        del context
        asked = page(request.page_size, request.page_token)
        mark, _, entry_id = asked.after.partition(":")
        after = (mark == "1", entry_id) if mark else None
        found = self._reserve.list(after, asked.size + 1)
        shown = found[: asked.size]
        if is_public(self._region_code):
            for one in shown:
                one.ClearField("owner_account_id")
        more = len(found) > asked.size
        token = asked.token(f"{int(shown[-1].low_income_area)}:{shown[-1].entry_id}") if more else ""
        return reserve_pb2.ListResourcesResponse(resources=shown, next_page_token=token)
