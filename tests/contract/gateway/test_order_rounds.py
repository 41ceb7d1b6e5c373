"""A release ends what was ordered before it, nothing later, whichever comes first to the gateway (虚构)."""

from __future__ import annotations

import itertools
import secrets

import pytest

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.api.gateway.v1 import coordination_pb2_grpc as gateway_grpc
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.network import BRIDGE, SHANGHAI_CENTRE
from tanqiao_gateway.application.fsck import check_database
from tests.contract.gateway.conftest import WAIT_SECONDS, RunningGateway
from tests.contract.gateway.test_imports import row, table

CLAIM = "310000:project:1"
PLANT = claims_pb2.AssetReference(scheme="gec_filing_code", value="99310000000000001")
FREEZE = coordination_pb2.REGISTRY_ORDER_KIND_FREEZE
RELEASE = coordination_pb2.REGISTRY_ORDER_KIND_RELEASE
ACKNOWLEDGED = coordination_pb2.REGISTRY_ORDER_STATE_ACKNOWLEDGED
CONFIRMED = coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED
REFUSED = coordination_pb2.REGISTRY_ORDER_STATE_REFUSED
_numbers = itertools.count(1)


class Desk:
    """The bridge, and the operator of the registry."""

    def __init__(self, running: RunningGateway) -> None:
        self.running = running
        self.envelopes: dict[bytes, gateway_pb2.PlaceOrderRequest] = {}

    def placed(
        self, kind: int, log_index: int, epoch: int = 1, order_id: bytes = b"", claim_id: str = CLAIM
    ) -> bytes:
        """Bring an order that the bridge gave in an epoch at an index of its log; its id."""
        network = self.running.network
        order = coordination_pb2.RegistryOrder(
            order_id=order_id or secrets.token_bytes(16),
            kind=kind,  # type: ignore[arg-type]
            claim_id=claim_id,
            log_index=log_index,
            bridge_epoch=epoch,
        )
        if kind == FREEZE:
            order.references.append(PLANT)
            order.period.start_date.CopyFrom(date_message("2026-01-01"))
            order.period.end_date.CopyFrom(date_message("2027-01-01"))
            order.standing_until_date.CopyFrom(date_message("2029-01-01"))
        signer = network.signer(BRIDGE)
        order = network.complete(order, signer, ("gateway/gec",))
        envelope = sign_envelope(signer, payload_type_of(order), order.SerializeToString())
        self.envelopes[order.order_id] = gateway_pb2.PlaceOrderRequest(envelope=envelope)
        self.state(order.order_id)
        return order.order_id

    def state(self, order_id: bytes) -> int:
        """Bring an order again; where it stands."""
        return int(self.answer(order_id).state)

    def answer(self, order_id: bytes) -> coordination_pb2.RegistryOrderAnswer:
        """Bring an order again; what is said of it."""
        with open_channel(
            self.running.gateway.server.address, self.running.network.network.tls(BRIDGE)
        ) as channel:
            stub = gateway_grpc.RegistryOrderServiceStub(channel)
            envelope = self.running.call(
                lambda: stub.PlaceOrder(self.envelopes[order_id], timeout=WAIT_SECONDS)
            ).envelope
        return coordination_pb2.RegistryOrderAnswer.FromString(envelope.payload)

    def confirmed(self, order_id: bytes) -> int:
        """Have the registry do what is ordered; how many MWh."""
        with open_channel(
            self.running.gateway.server.address, self.running.network.network.tls(SHANGHAI_CENTRE)
        ) as channel:
            stub = gateway_grpc.RegistryOrderServiceStub(channel)
            request = gateway_pb2.DecideOrderRequest(
                request_id=f"decision-of-rounds-{next(_numbers)}", order_id=order_id
            )
            answer = self.running.call(lambda: stub.DecideOrder(request, timeout=WAIT_SECONDS)).answer
        assert answer.state == CONFIRMED
        return int(answer.confirmed_quantity_mwh)

    def states(self) -> set[str]:
        """Give how the plant's certificates stand."""
        request = registry_pb2.LookUpAssetsRequest(queries=[registry_pb2.AssetQuery(references=[PLANT])])
        (found,) = self.running.stub(BRIDGE).LookUpAssets(request, timeout=WAIT_SECONDS).answers
        return {record.certificate_state for record in found.records}

    def require_clean(self) -> None:
        report = check_database(self.running.gateway.database)
        assert report.clean, report.as_text()


@pytest.fixture
def desk(running: RunningGateway) -> Desk:
    assert running.send(table(row(1))).committed
    return Desk(running)


def test_a_freeze_after_a_release_is_one_like_any_other_and_stands(desk: Desk) -> None:
    assert desk.confirmed(desk.placed(FREEZE, 10)) == 240
    assert desk.confirmed(desk.placed(RELEASE, 20)) == 240
    assert desk.states() == {"UNFROZEN"}
    again = desk.placed(FREEZE, 30)
    assert desk.state(again) == ACKNOWLEDGED
    assert desk.confirmed(again) == 240
    assert desk.states() == {"FROZEN"}
    later = row(2, filing_code=PLANT.value, period_start="2026-02-01", period_end="2026-03-01")
    newer = values_pb2.Date(year=2026, month=3, day=2)
    assert desk.running.send(table(row(1), later), as_of_date=newer).committed
    assert desk.states() == {"FROZEN"}
    assert desk.confirmed(desk.placed(RELEASE, 40)) == 480
    assert desk.states() == {"UNFROZEN"}
    # Of a freeze that was released nothing stands any more.
    last = row(3, filing_code=PLANT.value, period_start="2026-03-01", period_end="2026-04-01")
    newest = values_pb2.Date(year=2026, month=3, day=3)
    assert desk.running.send(table(row(1), later, last), as_of_date=newest).committed
    assert desk.states() == {"UNFROZEN", "ISSUED"}
    desk.require_clean()


@pytest.mark.parametrize("release_first", [False, True])
def test_a_release_refuses_what_was_ordered_before_it_in_either_order_of_arrival(
    desk: Desk, release_first: bool
) -> None:
    if release_first:
        release, freeze = desk.placed(RELEASE, 20), desk.placed(FREEZE, 10)
    else:
        freeze, release = desk.placed(FREEZE, 10), desk.placed(RELEASE, 20)
    assert (desk.state(freeze), desk.state(release)) == (REFUSED, ACKNOWLEDGED)
    assert desk.confirmed(release) == 0
    assert desk.states() == {"ISSUED"}
    desk.require_clean()


def test_a_release_that_comes_late_refuses_no_later_freeze_and_is_decided_before_it(desk: Desk) -> None:
    assert desk.confirmed(desk.placed(FREEZE, 10)) == 240
    again, release = desk.placed(FREEZE, 30), desk.placed(RELEASE, 20)
    assert (desk.state(again), desk.state(release)) == (ACKNOWLEDGED, ACKNOWLEDGED)
    with pytest.raises(DomainError) as caught:
        desk.confirmed(again)
    assert caught.value.symbol == "ORDER_REFUSED"
    assert f"RELEASE {release.hex()}" in caught.value.sentence("en")
    assert desk.confirmed(release) == 240
    assert desk.confirmed(again) == 240
    assert desk.states() == {"FROZEN"}
    desk.require_clean()


def test_what_a_restored_bridge_orders_at_a_lower_index_comes_after_what_it_forgot(desk: Desk) -> None:
    assert desk.confirmed(desk.placed(FREEZE, 500)) == 240
    assert desk.confirmed(desk.placed(RELEASE, 510)) == 240
    freeze = desk.placed(FREEZE, 400, epoch=2)
    assert desk.state(freeze) == ACKNOWLEDGED
    assert desk.confirmed(freeze) == 240
    assert desk.states() == {"FROZEN"}
    open_one = desk.placed(FREEZE, 405, epoch=2)
    assert desk.state(desk.placed(FREEZE, 600)) == ACKNOWLEDGED, "of before the backup, late"
    release = desk.placed(RELEASE, 410, epoch=2)
    assert desk.state(open_one) == REFUSED
    assert desk.confirmed(release) == 240
    assert desk.states() == {"UNFROZEN"}
    assert desk.state(desk.placed(FREEZE, 700)) == REFUSED, "the release is of a later epoch"
    desk.require_clean()


def test_an_order_given_again_after_a_backup_gets_what_was_said_of_the_first(desk: Desk) -> None:
    order_id = desk.placed(FREEZE, 500)
    first = desk.envelopes[order_id].envelope
    for epoch, changes in ((1, {}), (0, {}), (2, {"claim_id": "310000:project:2"})):
        with pytest.raises(DomainError) as refused:
            desk.placed(FREEZE, 400, epoch, order_id, **changes)
        assert refused.value.symbol == "REQUEST_ID_REUSED"
    with pytest.raises(DomainError, match="REQUEST_ID_REUSED"):
        desk.placed(RELEASE, 400, 2, order_id)
    assert desk.placed(FREEZE, 400, 2, order_id) == order_id
    assert desk.state(order_id) == ACKNOWLEDGED
    assert desk.confirmed(order_id) == 240
    answer = desk.answer(order_id)
    envelope = desk.envelopes[order_id].envelope
    assert envelope != first
    assert answer.order_hash == message_hash(envelope.payload_type, envelope.payload)
    assert answer.header.prev_hash == answer.order_hash
    assert (answer.state, answer.asked_quantity_mwh, answer.confirmed_quantity_mwh) == (CONFIRMED, 240, 240)
    assert desk.states() == {"FROZEN"}
    desk.require_clean()
