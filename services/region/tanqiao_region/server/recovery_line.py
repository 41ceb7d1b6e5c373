"""The bridge's RecoveryService on the channel of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc

from tanqiao.api.bridge.v1 import recovery_pb2, recovery_pb2_grpc

CALL_SECONDS: Final = 60.0


class GrpcRecovery:
    """See `tanqiao_region.application.recovery.RecoveryRemote`.

    Args:
        channel: to the bridge, with this node's certificate.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = recovery_pb2_grpc.RecoveryServiceStub(channel)

    def open_promises(self) -> Sequence[recovery_pb2.Papers]:
        """Give the locks of this node that the bridge holds undecided."""
        response = self._stub.ListOpenPromises(recovery_pb2.ListOpenPromisesRequest(), timeout=CALL_SECONDS)
        return list(response.promises)

    def submit(self, request: recovery_pb2.SubmitReportRequest) -> None:
        """Hand in a page of the report."""
        self._stub.SubmitReport(request, timeout=CALL_SECONDS)
