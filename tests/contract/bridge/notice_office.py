"""CCER's and the certificates' gateways with a bridge between them, and short ways to coordinate (虚构)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from tanqiao.api.bridge.v1 import (
    claims_pb2,
    coordination_pb2,
    coordination_pb2_grpc,
)
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.api.gateway.v1 import coordination_pb2_grpc as gateway_grpc
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.clock import TestClock
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.testing.network import SHANGHAI_CENTRE
from tests.contract.bridge.claims_office import Office, call
from tests.contract.bridge.harness import WAIT_SECONDS

REGISTER: Final = coordination_pb2.COORDINATION_STEP_REGISTER
ISSUE: Final = coordination_pb2.COORDINATION_STEP_ISSUE
WITHDRAW: Final = coordination_pb2.COORDINATION_STEP_WITHDRAW
ACKNOWLEDGED: Final = coordination_pb2.REGISTRY_ORDER_STATE_ACKNOWLEDGED
CONFIRMED: Final = coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED
PART_CONFIRMED: Final = coordination_pb2.REGISTRY_ORDER_STATE_PART_CONFIRMED
REFUSED: Final = coordination_pb2.REGISTRY_ORDER_STATE_REFUSED
POLL_SECONDS: Final = 0.05

T = TypeVar("T")
_numbers = itertools.count(1)


def until(look: Callable[[], T | None]) -> T:
    """Look until there is something."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < end, "there was nothing in time"
        time.sleep(POLL_SECONDS)


def period(start: str, end: str) -> values_pb2.Period:
    return values_pb2.Period(start_date=date_message(start), end_date=date_message(end))


def quantity(start: str, end: str, mwh: int) -> coordination_pb2.PeriodQuantity:
    return coordination_pb2.PeriodQuantity(period=period(start, end), quantity=mwh, unit="MWh")


def project(claim_id: str, filing_code: str, **changes: Any) -> claims_pb2.Claim:
    """An invented wind farm far off the shore, as a CCER project."""
    values: dict[str, Any] = {
        "claim_id": claim_id,
        "object": claims_pb2.CLAIM_OBJECT_PROJECT,
        "project_id": f"project of {filing_code}",
        "asset": claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=filing_code)],
            kind="offshore_wind",
            name="虚构海上风电 invented",
            offshore_distance_mm=45_000_000,
        ),
        "attribute": claims_pb2.ATTRIBUTE_RE_GEN,
        "period": period("2025-01-01", "2035-01-01"),
        "grain": claims_pb2.GRAIN_DAY,
        "programme": claims_pb2.PROGRAMME_CCER,
        "methodology_id": "CCER-01-002-V01",
    }
    return claims_pb2.Claim(**{**values, **changes})


def instalment(claim_id: str, filing_code: str, mwh: int, start: str, end: str) -> claims_pb2.Claim:
    """The reductions of one period of that wind farm."""
    return project(
        claim_id,
        filing_code,
        object=claims_pb2.CLAIM_OBJECT_INSTALMENT,
        period=period(start, end),
        activity_quantity=mwh,
        activity_unit="MWh",
        quantity_kg=mwh * 500,
    )


class NoticeOffice:
    """Both registries' operators, and the bridge in between."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.network = office.network

    def _stub(self, registry: str) -> tuple[Any, Any]:
        channel = open_channel(self.office.lists[registry].address, self.network.network.tls(SHANGHAI_CENTRE))
        return channel, gateway_grpc.RegistryOrderServiceStub(channel)

    def signed(self, step: int, claim: claims_pb2.Claim, **more: Any) -> Any:
        """Have CCER's gateway sign a step."""
        channel, stub = self._stub("ccer")
        with channel:
            request = gateway_pb2.SignStepRequest(
                request_id=f"step-of-test-{next(_numbers)}",
                step=step,  # type: ignore[arg-type]
                claim=claim,
                **more,
            )
            first = call(lambda: stub.SignStep(request, timeout=WAIT_SECONDS)).envelope
            again = call(lambda: stub.SignStep(request, timeout=WAIT_SECONDS)).envelope
            assert first == again
            return first

    def submit(self, envelope: Any) -> coordination_pb2.SubmitStepResponse:
        """Carry a signed step to the bridge."""
        with self.office.running.channel(SHANGHAI_CENTRE) as channel:
            stub = coordination_pb2_grpc.CoordinationServiceStub(channel)
            response: coordination_pb2.SubmitStepResponse = call(
                lambda: stub.SubmitStep(
                    coordination_pb2.SubmitStepRequest(envelope=envelope), timeout=WAIT_SECONDS
                )
            )
        self.office.require_leaf(response.envelope, response.receipt.log_index)
        return response

    def carried(self, envelope: Any, split_verdict: Any = None) -> coordination_pb2.SubmitStepResponse:
        """Carry a signed step with the SPLIT that it names; the answer may be one."""
        with self.office.running.channel(SHANGHAI_CENTRE) as channel:
            stub = coordination_pb2_grpc.CoordinationServiceStub(channel)
            request = coordination_pb2.SubmitStepRequest(envelope=envelope, split_verdict=split_verdict)
            response: coordination_pb2.SubmitStepResponse = call(
                lambda: stub.SubmitStep(request, timeout=WAIT_SECONDS)
            )
        return response

    def step(self, step: int, claim: claims_pb2.Claim, **more: Any) -> coordination_pb2.SubmitStepResponse:
        return self.submit(self.signed(step, claim, **more))

    def orders(self, claim_id: str) -> list[coordination_pb2.OrderEntry]:
        """Give the bridge's orders of a claim, newest first."""
        with self.office.running.channel(SHANGHAI_CENTRE) as channel:
            stub = coordination_pb2_grpc.CoordinationServiceStub(channel)
            request = coordination_pb2.ListOrdersRequest(claim_id=claim_id)
            return list(stub.ListOrders(request, timeout=WAIT_SECONDS).orders)

    def wait_for(self, order_id: bytes, claim_id: str, state: int) -> coordination_pb2.OrderEntry:
        """Wait until the bridge holds the order in a state."""

        def look() -> coordination_pb2.OrderEntry | None:
            found = [one for one in self.orders(claim_id) if one.order.order_id == order_id]
            return found[0] if found and found[0].state == state else None

        return until(look)

    def received(self) -> list[gateway_pb2.ReceivedOrder]:
        """Give what the certificates' gateway was ordered, newest first."""
        channel, stub = self._stub("gec")
        with channel:
            request = gateway_pb2.ListReceivedOrdersRequest()
            return list(stub.ListReceivedOrders(request, timeout=WAIT_SECONDS).orders)

    def decide(self, order_id: bytes, **decision: Any) -> coordination_pb2.RegistryOrderAnswer:
        """Decide an order at the certificates' registry, once it is there."""
        until(lambda: True if order_id in {one.order.order_id for one in self.received()} else None)
        channel, stub = self._stub("gec")
        with channel:
            request = gateway_pb2.DecideOrderRequest(
                request_id=f"decision-of-test-{next(_numbers)}", order_id=order_id, **decision
            )
            first = call(lambda: stub.DecideOrder(request, timeout=WAIT_SECONDS))
            assert call(lambda: stub.DecideOrder(request, timeout=WAIT_SECONDS)) == first
            answer: coordination_pb2.RegistryOrderAnswer = first.answer
            return answer

    def certificates(self, filing_code: str) -> dict[str, int]:
        """Give the MWh of a plant by state, as its gateway answers the bridge."""
        address = self.office.lists["gec"].address
        reference = claims_pb2.AssetReference(scheme="gec_filing_code", value=filing_code)
        request = registry_pb2.LookUpAssetsRequest(queries=[registry_pb2.AssetQuery(references=[reference])])
        with open_channel(address, self.network.network.tls("bridge")) as channel:
            stub = registry_pb2_grpc.RegistryServiceStub(channel)
            answer = stub.LookUpAssets(request, timeout=WAIT_SECONDS).answers[0]
        found: dict[str, int] = {}
        for record in answer.records:
            name = record.certificate_state
            found[name] = found.get(name, 0) + record.activity_quantity
        return found

    def at(self, moment: str) -> None:
        """Move every clock on."""
        wanted = datetime.fromisoformat(moment)
        gateways = [one.gateway.clock for one in self.office.lists.values()]
        for clock in (self.office.running.bridge.context.clock, *gateways):
            assert isinstance(clock, TestClock)
            if wanted > clock.now():
                clock.advance_to(wanted)
