"""The bridge's ReconcileService on the channel of a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import reconcile_pb2, reconcile_pb2_grpc
from tanqiao.rpc.errors import from_rpc_error

CALL_SECONDS: Final = 120.0


class GrpcReconcile:
    """See `tanqiao_region.application.reconciling.ReconcileRemote`.

    Args:
        channel: to the bridge, with this node's certificate.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = reconcile_pb2_grpc.ReconcileServiceStub(channel)

    def begin(
        self, request: reconcile_pb2.BeginReconciliationRequest
    ) -> reconcile_pb2.BeginReconciliationResponse:
        """Begin a run."""
        response: reconcile_pb2.BeginReconciliationResponse = _call(self._stub.BeginReconciliation, request)
        return response

    def series(self, request: reconcile_pb2.CompareSeriesRequest) -> reconcile_pb2.CompareSeriesResponse:
        """Compare a page of series."""
        response: reconcile_pb2.CompareSeriesResponse = _call(self._stub.CompareSeries, request)
        return response

    def ranges(self, request: reconcile_pb2.CompareRangesRequest) -> reconcile_pb2.CompareRangesResponse:
        """Compare ranges of a series."""
        response: reconcile_pb2.CompareRangesResponse = _call(self._stub.CompareRanges, request)
        return response

    def blocks(self, request: reconcile_pb2.CompareBlocksRequest) -> reconcile_pb2.CompareBlocksResponse:
        """Compare the blocks of a range."""
        response: reconcile_pb2.CompareBlocksResponse = _call(self._stub.CompareBlocks, request)
        return response

    def end(self, request: reconcile_pb2.EndReconciliationRequest) -> reconcile_pb2.EndReconciliationResponse:
        """End the run."""
        response: reconcile_pb2.EndReconciliationResponse = _call(self._stub.EndReconciliation, request)
        return response


def _call(method: Callable[..., Any], request: object) -> Any:  # noqa: ANN401 - the method's own answer
    """Call, with what the bridge refused as the same error; a call that is cut off is one as well."""
    try:
        return method(request, timeout=CALL_SECONDS)
    except (grpc.RpcError, ValueError) as error:  # a channel that was closed meanwhile
        if isinstance(error, grpc.RpcError):
            raise from_rpc_error(error, peer="bridge") from error
        raise _closed() from error


def _closed() -> Exception:
    from tanqiao.kernel.errors import DomainError  # noqa: PLC0415 - named here alone

    return DomainError("PEER_UNREACHABLE", peer="bridge", address="", detail="the line is closed")
