"""OrderService: freezes and corrections that approvers have signed (PROTOCOL rows 10 and 14)."""

from __future__ import annotations

from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import messages_pb2, orders_pb2, orders_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import block_message
from tanqiao.rpc.validation import optional_text, page, parse_serial, require_bytes, require_request_id
from tanqiao.signing.approvals import open_correction, open_freeze
from tanqiao.signing.pae import message_hash
from tanqiao_bridge.application.commands import Answer, CallerRequest
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.application.corrections import SubmitCorrection, check_correction
from tanqiao_bridge.application.freezes import ORDER_ID_LENGTH, SubmitFreeze, check_freeze
from tanqiao_bridge.application.order_queries import FreezeInForce, OrderQueries

ANSWER_SECONDS_MAX: Final = 30.0
SERIES_ID_LENGTH_MAX: Final = 160
Writer = GroupCommit[Any, Any]


class OrderServicer(orders_pb2_grpc.OrderServiceServicer):
    """Takes orders and shows them."""

    def __init__(self, context: BridgeContext, queries: OrderQueries, writer: Writer) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer

    def SubmitFreeze(
        self, request: orders_pb2.SubmitFreezeRequest, context: grpc.ServicerContext
    ) -> orders_pb2.SubmitFreezeResponse:
        """Freeze, or lift a freeze: two approvers of one authority have signed."""
        del context
        require_request_id(request.request_id)
        if not request.HasField("order"):
            raise DomainError("FIELD_MISSING", field="order")
        opened = open_freeze(
            request.order,
            self._context.network_id,
            self._context.directory,
            at_index=self._context.log_size,
        )
        check_freeze(opened.message)
        answer: Answer = self._writer.submit(
            SubmitFreeze(
                opened.message,
                opened.header.sender,
                request.order,
                opened.message_hash,
                tuple(one.key_id for one in opened.signed_by),
                _client_request(request.request_id, request.order),
            )
        ).result(ANSWER_SECONDS_MAX)
        return orders_pb2.SubmitFreezeResponse(order_id=opened.message.order_id, log_index=answer.log_index)

    def ListFreezes(
        self, request: orders_pb2.ListFreezesRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ListFreezesResponse:
        """Give what is frozen now, page by page."""
        del context
        asked = page(request.page_size, request.page_token, int(request.scope))
        after = asked.read(parse_serial, -1)
        rows, size = self._queries.freezes(scope=int(request.scope), after=after, limit=asked.size + 1)
        shown = rows[: asked.size]
        return orders_pb2.ListFreezesResponse(
            freezes=[_entry(row) for row in shown],
            next_page_token=asked.token(str(shown[-1].frozen_id)) if len(rows) > asked.size else "",
            as_of_index=size,
        )

    def GetFreezeOrder(
        self, request: orders_pb2.GetFreezeOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.GetFreezeOrderResponse:
        """Give one order as it was signed, and what of it is in force."""
        del context
        require_bytes(request.order_id, ORDER_ID_LENGTH, "order_id")
        row, in_force = self._queries.order(request.order_id)
        return orders_pb2.GetFreezeOrderResponse(
            order=envelope_pb2.Envelope.FromString(row.envelope),
            log_index=row.log_index,
            in_force=[_entry(one) for one in in_force],
        )

    def SubmitCorrection(
        self, request: orders_pb2.SubmitCorrectionRequest, context: grpc.ServicerContext
    ) -> orders_pb2.SubmitCorrectionResponse:
        """Correct where units are: two approvers of each of the two authorities have signed."""
        del context
        require_request_id(request.request_id)
        if not request.HasField("correction"):
            raise DomainError("FIELD_MISSING", field="correction")
        opened = open_correction(
            request.correction,
            self._context.network_id,
            self._context.directory,
            at_index=self._context.log_size,
        )
        check_correction(opened.message)
        answer: Answer = self._writer.submit(
            SubmitCorrection(
                opened.message,
                opened.header.sender,
                request.correction,
                opened.message_hash,
                tuple(one.key_id for one in opened.signed_by),
                _client_request(request.request_id, request.correction),
            )
        ).result(ANSWER_SECONDS_MAX)
        return orders_pb2.SubmitCorrectionResponse(
            correction_id=opened.message.correction_id, log_index=answer.log_index
        )

    def ListCorrections(
        self, request: orders_pb2.ListCorrectionsRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ListCorrectionsResponse:
        """Give corrections, oldest first, page by page."""
        del context
        optional_text(request.series_id, "series_id", length_max=SERIES_ID_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, request.series_id)
        rows = self._queries.corrections(
            series_id=request.series_id, after=asked.read(parse_serial, -1), limit=asked.size + 1
        )
        shown = rows[: asked.size]
        return orders_pb2.ListCorrectionsResponse(
            corrections=[
                orders_pb2.CorrectionEntry(
                    correction=messages_pb2.Correction.FromString(row.payload),
                    log_index=row.log_index,
                    envelope=envelope_pb2.Envelope.FromString(row.envelope),
                )
                for row in shown
            ],
            next_page_token=asked.token(str(shown[-1].log_index)) if len(rows) > asked.size else "",
        )


def _client_request(request_id: str, envelope: envelope_pb2.Envelope) -> CallerRequest:
    body = message_hash(envelope.payload_type, envelope.payload)
    return CallerRequest(current_caller().party, request_id, body)


def _entry(one: FreezeInForce) -> orders_pb2.FreezeEntry:
    row = one.row
    named = row.scope == messages_pb2.FREEZE_SCOPE_BLOCK
    return orders_pb2.FreezeEntry(
        scope=row.scope,  # type: ignore[arg-type]  # the table's numbers are the wire's
        block=block_message(UnitBlock(row.series_id, row.start, row.end)) if named else None,
        pseudonym=row.pseudonym,
        region=row.region,
        other_region=row.other_region,
        order_id=row.order_id,
        ordered_by=row.ordered_by,
        reason=one.reason,
        document=row.document,
        log_index=one.log_index,
    )
