"""ReserveService: it translates."""

from __future__ import annotations

from typing import Final

import grpc

from tanqiao.api.region.v1 import reserve_pb2, reserve_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import optional_text, page, parse_serial
from tanqiao_region.application.reserve import Reserve
from tanqiao_region.application.reserve_steps import ReserveSteps
from tanqiao_region.server.register_servicer import ask_of, is_public

ID_LENGTH_MAX: Final = 64


class ReserveServicer(reserve_pb2_grpc.ReserveServiceServicer):
    """Entries of the reserve."""

    def __init__(self, reserve: Reserve, steps: ReserveSteps, region_code: str) -> None:
        self._reserve = reserve
        self._steps = steps
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

    def TakeResourceStep(
        self, request: reserve_pb2.TakeResourceStepRequest, context: grpc.ServicerContext
    ) -> reserve_pb2.TakeResourceStepResponse:
        """Take a step with an entry."""
        del context
        if not request.event:
            raise DomainError("FIELD_MISSING", field="event")
        return self._steps.take(ask_of(request, request.request_id), request)

    def ListResourceSteps(
        self, request: reserve_pb2.ListResourceStepsRequest, context: grpc.ServicerContext
    ) -> reserve_pb2.ListResourceStepsResponse:
        """Give the history of an entry or of a proof; to everybody, without the reasons in words."""
        del context
        entry_id = optional_text(request.entry_id, "entry_id", length_max=ID_LENGTH_MAX)
        number = optional_text(request.proof_number, "proof_number", length_max=ID_LENGTH_MAX)
        if not entry_id and not number:
            raise DomainError("FIELD_MISSING", field="entry_id")
        if entry_id and number:
            raise DomainError("FIELD_INVALID", field="proof_number", detail="an entry or a proof")
        asked = page(request.page_size, request.page_token, entry_id, number)
        found = self._steps.steps(entry_id, number, asked.read(parse_serial, 0), asked.size + 1)
        shown = found[: asked.size]
        if is_public(self._region_code):
            for one in shown:
                one.ClearField("reason")
        more = len(found) > asked.size
        return reserve_pb2.ListResourceStepsResponse(
            steps=shown, next_page_token=asked.token(str(shown[-1].step_number)) if more else ""
        )

    def IssueFilingProof(
        self, request: reserve_pb2.IssueFilingProofRequest, context: grpc.ServicerContext
    ) -> reserve_pb2.IssueFilingProofResponse:
        """Sign a proof of filing."""
        del context
        return self._steps.prove(ask_of(request, request.request_id), request)
