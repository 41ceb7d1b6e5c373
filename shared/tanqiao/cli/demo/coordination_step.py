"""Step g: a CCER wind farm freezes its unsold certificates, and an issue cancels those that match.

The coordination notice is in force on the test clock's day in 2026 before October; a run that is later than
that shows its end: HOLD, and nothing is frozen.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.cli.demo.cast import (
    CERTIFICATES_MWH,
    CREDITED_MWH,
    CREDITING_END,
    OFFSHORE_DISTANCE_MM,
    PERIOD_START,
)
from tanqiao.cli.demo.story import Story
from tanqiao.cli.parse import make_period
from tanqiao.cli.verbs.gateways import OPERATOR

NOTICE_END: Final = date(2026, 10, 1)
JANUARY_END: Final = date(2026, 2, 1)
CONFIRMED: Final = coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED
KG_PER_MWH: Final = 500
"""Invented; the electricity is compared, never the tonnes."""


def coordinate(story: Story) -> None:
    """Freeze at registration, cancel at issue; read back what the certificates' gateway then answers."""
    story.begin("g", "绿证衔接", "CCER and green certificates are coordinated")
    plant = story.cast.offshore_wind
    story.note(f"{plant.name} · 离岸 {OFFSHORE_DISTANCE_MM // 1_000_000} km offshore · {plant.filing_code}")
    claim_id = f"ccer:DEMO-WIND-{story.cast.run:06d}"
    if story.today() >= NOTICE_END:
        with story.refused() as caught:
            _step(story, coordination_pb2.COORDINATION_STEP_REGISTER, _project(story, claim_id))
        ended = bool(caught) and caught[0].symbol == "CLAIM_HOLD"
        story.check("通知已失效，暂缓 the notice has ended: HOLD", ended, caught[0] if caught else "–")
        return
    registered = _step(story, coordination_pb2.COORDINATION_STEP_REGISTER, _project(story, claim_id))
    _decided(story, registered.order_id, claim_id)
    status = story.reader.bridge.claims.GetClaim(claims_pb2.GetClaimRequest(claim_id=claim_id)).claim.status
    story.check(
        "CCER 项目登记，未售绿证已冻结 registered; the unsold certificates are frozen",
        status == claims_pb2.CLAIM_STATUS_REGISTERED
        and _certificates(story) == {"FROZEN": 2 * CERTIFICATES_MWH},
        f"{2 * CERTIFICATES_MWH} MWh FROZEN",
    )
    issued = _step(
        story,
        coordination_pb2.COORDINATION_STEP_ISSUE,
        _instalment(story, claim_id),
        activity=[_january(CREDITED_MWH)],
        metering=[_january(CERTIFICATES_MWH)],
    )
    _decided(story, issued.order_id, claim_id)
    left = 2 * CERTIFICATES_MWH - CREDITED_MWH
    story.check(
        "减排量登记，对应绿证已注销 issued; the matching certificates are cancelled",
        _certificates(story) == {"CANCELLED": CREDITED_MWH, "FROZEN": left},
        f"{CREDITED_MWH} MWh CANCELLED, {left} MWh FROZEN",
    )


def _step(
    story: Story,
    step: coordination_pb2.CoordinationStep.ValueType,
    claim: claims_pb2.Claim,
    activity: list[coordination_pb2.PeriodQuantity] | None = None,
    metering: list[coordination_pb2.PeriodQuantity] | None = None,
) -> coordination_pb2.SubmitStepResponse:
    """Have CCER's gateway sign a step, and carry it to the bridge."""
    signed = story.session.gateway("ccer", role=OPERATOR).orders.SignStep(
        gateway_pb2.SignStepRequest(
            request_id=story.cast.request_id(f"coordination-{step}"),
            step=step,
            claim=claim,
            activity=activity or [],
            metering=metering or [],
        )
    )
    return story.session.as_party(OPERATOR).bridge.coordination.SubmitStep(
        coordination_pb2.SubmitStepRequest(envelope=signed.envelope)
    )


def _decided(story: Story, order_id: bytes, claim_id: str) -> None:
    """Confirm an order as the operator of the certificates' registry, and wait until the bridge has it."""
    gateway = story.session.gateway("gec", role=OPERATOR).orders

    def arrived() -> bool | None:
        rows = gateway.ListReceivedOrders(gateway_pb2.ListReceivedOrdersRequest(undecided=True)).orders
        return True if any(row.order.order_id == order_id for row in rows) else None

    story.wait_until("绿证网关收到指令 the certificates' gateway has the order", arrived)
    gateway.DecideOrder(
        gateway_pb2.DecideOrderRequest(
            request_id=story.cast.request_id(f"decide-{order_id.hex()}"), order_id=order_id
        )
    )

    def confirmed() -> bool | None:
        listed = story.reader.bridge.coordination.ListOrders(
            coordination_pb2.ListOrdersRequest(claim_id=claim_id)
        ).orders
        states = [one.state for one in listed if one.order.order_id == order_id]
        return True if states == [CONFIRMED] else None

    story.wait_until("碳桥收到确认 the bridge has the confirmation", confirmed)


def _certificates(story: Story) -> dict[str, int]:
    """Give the plant's certificates by state, MWh, as another party reads them."""
    reference = claims_pb2.AssetReference(
        scheme="gec_filing_code", value=story.cast.offshore_wind.filing_code
    )
    answer = story.reader.gateway("gec").registry.LookUpAssets(
        registry_pb2.LookUpAssetsRequest(queries=[registry_pb2.AssetQuery(references=[reference])])
    )
    found: dict[str, int] = {}
    for record in answer.answers[0].records:
        state = record.certificate_state
        found[state] = found.get(state, 0) + record.activity_quantity
    return found


def _january(mwh: int) -> coordination_pb2.PeriodQuantity:
    return coordination_pb2.PeriodQuantity(
        period=make_period(PERIOD_START, JANUARY_END), quantity=mwh, unit="MWh"
    )


def _project(story: Story, claim_id: str) -> claims_pb2.Claim:
    plant = story.cast.offshore_wind
    return claims_pb2.Claim(
        claim_id=claim_id,
        object=claims_pb2.CLAIM_OBJECT_PROJECT,
        project_id=claim_id.removeprefix("ccer:"),
        asset=claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=plant.filing_code)],
            kind="offshore_wind",
            name=plant.name,
            region_code=plant.region_code,
            offshore_distance_mm=OFFSHORE_DISTANCE_MM,
        ),
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
        period=make_period(PERIOD_START, CREDITING_END),
        grain=claims_pb2.GRAIN_DAY,
        programme=claims_pb2.PROGRAMME_CCER,
        subject_name=plant.owner,
        subject_uscc=plant.uscc,
        methodology_id="CCER-01-002-V01",
    )


def _instalment(story: Story, claim_id: str) -> claims_pb2.Claim:
    claim = _project(story, claim_id)
    claim.claim_id = f"{claim_id}:1"
    claim.object = claims_pb2.CLAIM_OBJECT_INSTALMENT
    claim.period.CopyFrom(make_period(PERIOD_START, JANUARY_END))
    claim.activity_quantity, claim.activity_unit = CREDITED_MWH, "MWh"
    claim.quantity_kg = CREDITED_MWH * KG_PER_MWH
    return claim
