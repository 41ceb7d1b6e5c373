"""CoordinationService: steps of CCER projects, and the orders that they cause."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2, coordination_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import (
    optional_text,
    page,
    parse_serial,
    require_enum,
    require_text,
    wire_timestamp,
)
from tanqiao.signing.verify import Verifier, allow
from tanqiao_bridge.application.claim_facts import CLAIM_ID_LENGTH_MAX
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.coordination import CCER, ISSUE, StepAnswered, SubmitStep, read_step
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.application.registry_order_queries import OrderRow, RegistryOrderQueries
from tanqiao_bridge.application.splits import require_within
from tanqiao_bridge.remote.gateways import Gateways

ANSWER_SECONDS_MAX: Final = 30.0
STATEMENTS: Final = allow(coordination_pb2.CoordinationStatement, senders=(CCER,))
VERDICTS: Final = allow(claims_pb2.Verdict, senders=(BRIDGE,))
"""The bridge's own, which it gave to CCER's gateway."""


class CoordinationServicer(coordination_pb2_grpc.CoordinationServiceServicer):
    """Takes steps and shows orders."""

    def __init__(
        self,
        context: BridgeContext,
        queries: RegistryOrderQueries,
        writer: GroupCommit[Any, Any],
        gateways: Gateways,
        wake: Callable[[], None],
    ) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer
        self._gateways = gateways
        self._wake = wake
        self._verifier = Verifier(context.network_id, BRIDGE)
        self._own = Verifier(context.network_id, CCER)

    def SubmitStep(
        self, request: coordination_pb2.SubmitStepRequest, context: grpc.ServicerContext
    ) -> coordination_pb2.SubmitStepResponse:
        """Judge a step that CCER's gateway has signed; whoever carries it."""
        del context
        if not request.envelope.ByteSize():
            raise DomainError("FIELD_MISSING", field="envelope")
        opened = self._verifier.open_envelope(
            request.envelope,
            self._context.directory,
            allowed=STATEMENTS,
            peer=None,
            at_index=self._context.log_size,
        )
        statement: coordination_pb2.CoordinationStatement = opened.message
        require_enum(statement.step, "step")
        require_text(statement.claim.claim_id, "claim.claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        optional_text(statement.reason, "reason")
        read = read_step(statement)
        self._require_split(statement, request)
        answers = Answers() if read is None else self._gateways.look_up([statement.claim])
        answered: StepAnswered = self._writer.submit(SubmitStep(opened, read, answers)).result(
            ANSWER_SECONDS_MAX
        )
        if answered.receipted is None:
            verdict, envelope = answered.split or (None, None)
            return coordination_pb2.SubmitStepResponse(split=verdict, split_envelope=envelope)
        self._wake()
        return coordination_pb2.SubmitStepResponse(
            receipt=claims_pb2.ClaimReceipt.FromString(answered.receipted.payload),
            envelope=answered.receipted.envelope,
            order_id=answered.order_id,
        )

    def _require_split(
        self,
        statement: coordination_pb2.CoordinationStatement,
        request: coordination_pb2.SubmitStepRequest,
    ) -> None:
        """Demand that a statement which names a SPLIT comes with it, and stays within it."""
        named = statement.split_verdict_hash
        if bool(named) != request.HasField("split_verdict"):
            raise DomainError("FIELD_MISSING", field="split_verdict" if named else "split_verdict_hash")
        if not named:
            return
        opened = self._own.open_envelope(
            request.split_verdict,
            self._context.directory,
            allowed=VERDICTS,
            peer=None,
            at_index=self._context.log_size,
        )
        if opened.message_hash != named or statement.step != ISSUE:
            raise DomainError("FIELD_INVALID", field="split_verdict_hash", detail="of another message")
        require_within(statement, opened.message)

    def ListOrders(
        self, request: coordination_pb2.ListOrdersRequest, context: grpc.ServicerContext
    ) -> coordination_pb2.ListOrdersResponse:
        """Give orders with their answers, newest first."""
        del context
        claim_id = optional_text(request.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, claim_id)
        before = asked.read(parse_serial, 0)
        rows = self._queries.orders(claim_id=claim_id, before=before, limit=asked.size + 1)
        shown = rows[: asked.size]
        return coordination_pb2.ListOrdersResponse(
            orders=[_entry(row) for row in shown],
            next_page_token=asked.token(str(shown[-1].log_index)) if len(rows) > asked.size else "",
        )


def _entry(row: OrderRow) -> coordination_pb2.OrderEntry:
    entry = coordination_pb2.OrderEntry(
        order=coordination_pb2.RegistryOrder.FromString(row.payload),
        state=coordination_pb2.REGISTRY_ORDER_STATE_SENT,
        registry=row.registry,
        create_time=wire_timestamp(datetime.fromtimestamp(row.ordered_at, UTC)),
    )
    if row.answer is not None:
        envelope = envelope_pb2.Envelope.FromString(row.answer)
        entry.answer.CopyFrom(coordination_pb2.RegistryOrderAnswer.FromString(envelope.payload))
        entry.state = entry.answer.state
    return entry
