"""LocalOrderService: it translates."""

from __future__ import annotations

import grpc

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.region.v1 import orders_pb2, orders_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import block_message
from tanqiao.rpc.validation import page, parse_serial, require_request_id
from tanqiao_region.application.local_orders import FreezeInForce, LocalOrders


class LocalOrderServicer(orders_pb2_grpc.LocalOrderServiceServicer):
    """Freezes that bind this node."""

    def __init__(self, orders: LocalOrders) -> None:
        self._orders = orders

    def SubmitLocalFreeze(
        self, request: orders_pb2.SubmitLocalFreezeRequest, context: grpc.ServicerContext
    ) -> orders_pb2.SubmitLocalFreezeResponse:
        """Freeze units or an account here, or lift that."""
        del context
        require_request_id(request.request_id)
        if not request.HasField("order"):
            raise DomainError("FIELD_MISSING", field="order")
        order_id, index = self._orders.submit(current_caller().party, request.request_id, request.order)
        return orders_pb2.SubmitLocalFreezeResponse(order_id=order_id, journal_index=index)

    def ListLocalFreezes(
        self, request: orders_pb2.ListLocalFreezesRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ListLocalFreezesResponse:
        """Give what is frozen here now, page by page."""
        del context
        asked = page(request.page_size, request.page_token)
        rows = self._orders.in_force(asked.read(parse_serial, -1), asked.size + 1)
        shown = rows[: asked.size]
        return orders_pb2.ListLocalFreezesResponse(
            freezes=[_entry(one) for one in shown],
            next_page_token=asked.token(str(shown[-1].frozen_id)) if len(rows) > asked.size else "",
        )


def _entry(one: FreezeInForce) -> orders_pb2.LocalFreezeEntry:
    row = one.row
    named = row.scope == messages_pb2.FREEZE_SCOPE_BLOCK
    account = one.local and row.scope == messages_pb2.FREEZE_SCOPE_PSEUDONYM
    return orders_pb2.LocalFreezeEntry(
        scope=messages_pb2.FREEZE_SCOPE_ACCOUNT if account else row.scope,  # type: ignore[arg-type]  # wire's
        block=block_message(UnitBlock(row.series_id, row.start, row.end)) if named else None,
        account_id=one.account_id,
        region=row.region,
        other_region=row.other_region,
        order_id=row.order_id,
        ordered_by=row.ordered_by,
        document=row.document,
        local=one.local,
    )
