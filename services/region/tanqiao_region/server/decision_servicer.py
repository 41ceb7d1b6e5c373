"""BodyDecisionService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import decisions_pb2, decisions_pb2_grpc
from tanqiao.rpc.validation import page, require_text
from tanqiao_region.application.decision_evidence import OBJECT_ID_LENGTH_MAX, DecisionEvidence
from tanqiao_region.server.wire import by_caller


class DecisionServicer(decisions_pb2_grpc.BodyDecisionServiceServicer):
    """What bodies have signed."""

    def __init__(self, evidence: DecisionEvidence) -> None:
        self._evidence = evidence

    def ListBodyDecisions(
        self, request: decisions_pb2.ListBodyDecisionsRequest, context: grpc.ServicerContext
    ) -> decisions_pb2.ListBodyDecisionsResponse:
        """Give the decisions about an object as they were signed."""
        del context
        object_id = require_text(request.object_id, "object_id", length_max=OBJECT_ID_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, object_id, int(request.kind))
        found = self._evidence.page(
            object_id, int(request.kind), by_caller(), asked.read(_place, (-1, b"")), asked.size + 1
        )
        shown = found[: asked.size]
        last = f"{shown[-1].take_time.seconds}:{shown[-1].message_hash.hex()}" if shown else ""
        return decisions_pb2.ListBodyDecisionsResponse(
            decisions=shown, next_page_token=asked.token(last) if len(found) > asked.size else ""
        )


def _place(text: str) -> tuple[int, bytes]:
    taken_at, _, message_hash = text.partition(":")
    return int(taken_at), bytes.fromhex(message_hash)
