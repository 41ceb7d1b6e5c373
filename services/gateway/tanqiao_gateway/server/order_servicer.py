"""RegistryOrderService: CCER's steps are signed, the bridge's orders are taken, operators decide them."""

from __future__ import annotations

from typing import Final

import grpc

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.api.gateway.v1 import coordination_pb2_grpc
from tanqiao.claims.energy import KWH_OF_UNIT
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import (
    optional_text,
    page,
    parse_serial,
    parse_wire_period,
    require_bytes,
    require_count,
    require_enum,
    require_request_id,
    require_text,
)
from tanqiao_gateway.application.orders import Decision, Orders, order_request
from tanqiao_gateway.application.signing import Signing

ORDER_ID_BYTES: Final = 16
CLAIM_ID_LENGTH_MAX: Final = 96
PERIODS_MAX: Final = 120
HASH_LENGTH: Final = 32
REFERENCES_MAX: Final = 16


class RegistryOrderServicer(coordination_pb2_grpc.RegistryOrderServiceServicer):
    """What a gateway does in the name of its registry."""

    def __init__(self, orders: Orders, signing: Signing) -> None:
        self._orders = orders
        self._signing = signing

    def SignStep(
        self, request: gateway_pb2.SignStepRequest, context: grpc.ServicerContext
    ) -> gateway_pb2.SignStepResponse:
        """Sign a step of a CCER project; anybody may carry the envelope to the bridge."""
        del context
        require_request_id(request.request_id)
        require_enum(request.step, "step")
        require_text(request.claim.claim_id, "claim.claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        if request.claim.programme not in (
            claims_pb2.PROGRAMME_CCER,
            claims_pb2.PROGRAMME_UNSPECIFIED,
        ):
            raise DomainError("FIELD_INVALID", field="claim.programme", detail="not CCER")
        require_quantities(request.activity, "activity")
        require_quantities(request.metering, "metering")
        if request.split_verdict_hash:
            require_bytes(request.split_verdict_hash, HASH_LENGTH, "split_verdict_hash")
        statement = coordination_pb2.CoordinationStatement(
            step=request.step,
            claim=request.claim,
            activity=request.activity,
            metering=request.metering,
            reason=optional_text(request.reason, "reason"),
            split_verdict_hash=request.split_verdict_hash,
        )
        return gateway_pb2.SignStepResponse(
            envelope=self._orders.sign_step(
                statement,
                order_request(
                    current_caller().party, request.request_id, request.SerializeToString(deterministic=True)
                ),
            )
        )

    def PlaceOrder(
        self, request: gateway_pb2.PlaceOrderRequest, context: grpc.ServicerContext
    ) -> gateway_pb2.PlaceOrderResponse:
        """Take an order of the bridge; the same order again gets the newest stored answer."""
        del context
        if not request.envelope.ByteSize():
            raise DomainError("FIELD_MISSING", field="envelope")
        opened = self._signing.open_order(request.envelope, request.key_records, current_caller().party)
        _require_order(opened.message)
        return gateway_pb2.PlaceOrderResponse(envelope=self._orders.place(opened, request.envelope))

    def DecideOrder(
        self, request: gateway_pb2.DecideOrderRequest, context: grpc.ServicerContext
    ) -> gateway_pb2.DecideOrderResponse:
        """Confirm an order wholly or in part, or refuse it."""
        del context
        require_request_id(request.request_id)
        require_bytes(request.order_id, ORDER_ID_BYTES, "order_id")
        if request.quantity_mwh < 0 or (request.refuse and request.quantity_mwh):
            raise DomainError("FIELD_INVALID", field="quantity_mwh", detail=str(request.quantity_mwh))
        envelope = self._orders.decide(
            Decision(
                request.order_id,
                request.refuse,
                request.quantity_mwh,
                optional_text(request.reason, "reason"),
                order_request(
                    current_caller().party, request.request_id, request.SerializeToString(deterministic=True)
                ),
            )
        )
        return gateway_pb2.DecideOrderResponse(
            answer=coordination_pb2.RegistryOrderAnswer.FromString(envelope.payload), envelope=envelope
        )

    def ListReceivedOrders(
        self, request: gateway_pb2.ListReceivedOrdersRequest, context: grpc.ServicerContext
    ) -> gateway_pb2.ListReceivedOrdersResponse:
        """Give orders with their newest answers, newest first."""
        del context
        asked = page(request.page_size, request.page_token, int(request.undecided))
        skip = asked.read(parse_serial, 0)
        rows = self._orders.received(undecided=request.undecided, skip=skip, limit=asked.size + 1)
        return gateway_pb2.ListReceivedOrdersResponse(
            orders=rows[: asked.size],
            next_page_token=asked.token(str(skip + asked.size)) if len(rows) > asked.size else "",
        )


def require_quantities(quantities: object, field: str) -> None:
    """Refuse periods without electricity, units that are none, and more than `PERIODS_MAX`."""
    many = list(quantities)  # type: ignore[call-overload]  # a repeated field
    require_count([*many, None], field, limit=PERIODS_MAX)
    for one in many:
        parse_wire_period(one.period, f"{field}.period")
        if one.unit not in KWH_OF_UNIT or one.quantity <= 0:
            raise DomainError(
                "FIELD_INVALID", field=f"{field}.quantity", detail=f"{one.quantity} {one.unit}"[:64]
            )


def _require_order(order: coordination_pb2.RegistryOrder) -> None:
    require_bytes(order.order_id, ORDER_ID_BYTES, "order_id")
    require_enum(order.kind, "kind")
    require_text(order.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
    if order.kind == coordination_pb2.REGISTRY_ORDER_KIND_RELEASE:
        return
    require_count(order.references, "references", limit=REFERENCES_MAX)
    if order.kind == coordination_pb2.REGISTRY_ORDER_KIND_FREEZE:
        parse_wire_period(order.period, "period")
        return
    require_quantities(order.quantities, "quantities")
