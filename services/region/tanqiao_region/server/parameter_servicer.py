"""ParameterService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import parameters_pb2, parameters_pb2_grpc
from tanqiao.rpc.validation import page
from tanqiao_region.application.rule_parameters import RuleParameters
from tanqiao_region.server.register_servicer import ask_of


class ParameterServicer(parameters_pb2_grpc.ParameterServiceServicer):
    """Dated parameters of the rule pack."""

    def __init__(self, parameters: RuleParameters) -> None:
        self._parameters = parameters

    def SetParameter(
        self, request: parameters_pb2.SetParameterRequest, context: grpc.ServicerContext
    ) -> parameters_pb2.SetParameterResponse:
        """Publish a value."""
        del context
        return self._parameters.set_value(ask_of(request, request.request_id), request)

    def ListParameters(
        self, request: parameters_pb2.ListParametersRequest, context: grpc.ServicerContext
    ) -> parameters_pb2.ListParametersResponse:
        """Give parameters in the order of their keys."""
        del context
        asked = page(request.page_size, request.page_token)
        found, index = self._parameters.page(asked.after, asked.size + 1)
        shown = found[: asked.size]
        return parameters_pb2.ListParametersResponse(
            parameters=shown,
            next_page_token=asked.token(shown[-1].key) if len(found) > asked.size else "",
            as_of_index=index,
        )
