"""GetOutcome as the kit answers it (PROTOCOL section 4 row 7): UNKNOWN and PENDING in turn, no Decision."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc
from tanqiao.kernel.errors import DomainError

ASKED_MAX = 10_000
"""Questions of one run that are kept."""


@dataclass
class Outcomes(directory_pb2_grpc.DecisionServiceServicer):
    """Keeps what the region asks, and gives answers on which nobody may act."""

    asked: list[directory_pb2.GetOutcomeRequest] = field(default_factory=list)

    def GetOutcome(  # noqa: N802 - gRPC names it
        self, request: directory_pb2.GetOutcomeRequest, context: grpc.ServicerContext
    ) -> directory_pb2.GetOutcomeResponse:
        """Answer UNKNOWN or PENDING."""
        del context
        if len(self.asked) < ASKED_MAX:
            self.asked.append(request)
        pending = len(self.asked) % 2 == 0
        return directory_pb2.GetOutcomeResponse(
            outcome=directory_pb2.TRANSFER_OUTCOME_PENDING
            if pending
            else directory_pb2.TRANSFER_OUTCOME_UNKNOWN
        )

    def ListLogEntries(  # noqa: N802 - as above
        self, request: directory_pb2.ListLogEntriesRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListLogEntriesResponse:
        """Refuse: the kit keeps no log."""
        del request, context
        raise DomainError("METHOD_UNKNOWN", method="ListLogEntries")

    def GetLogStatus(  # noqa: N802 - as above
        self, request: directory_pb2.GetLogStatusRequest, context: grpc.ServicerContext
    ) -> directory_pb2.GetLogStatusResponse:
        """Refuse, as above."""
        del request, context
        raise DomainError("METHOD_UNKNOWN", method="GetLogStatus")
