"""A reduction scene of Shanghai, step by step over gRPC, by the certificates of the bodies that may."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2, scenes_pb2
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_date, wire_period, wire_timestamp
from tests.contract.region_registers.office import methodology_request, project_request, request_id
from tests.contract.region_registers.wire import Wire

SCENE: Final = "METRO-INVENTED-1"
METRO: Final = "SHCER02020022026II"
TEST_RECORD: Final = registers_pb2.ProjectDocument(kind="feed_test", name="校验 validation", digest=bytes(32))
BODY: Final = "sh.scene_body"
CENTRE: Final = "sh.centre"
EXCHANGE: Final = "sh.exchange"
JOINT: Final = {"AssessProject": "ASSESS", "PublishProject": "PUBLISH"}
Kind = scenes_pb2.SceneDecisionKind


def submit_request(owner: str, **values: Any) -> Any:
    """An invented metro scene with a complete file."""
    fields: dict[str, Any] = {
        "project_id": SCENE,
        "origin": registers_pb2.PROJECT_ORIGIN_REDUCTION_SCENE,
        "methodology_id": METRO,
        "attribute": claims_pb2.ATTRIBUTE_FUEL_SWITCH_TRANSPORT,
        "asset": claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="scene_system", value="METRO-310000")],
            kind="travel",
            name="虚构轨道交通 invented metro",
            region_code="310000",
        ),
        **values,
    }
    request = project_request(owner, **fields)
    request.project.ClearField("grid_connection_date")
    return request


def publish_methodology(wire: Wire) -> None:
    """Publish the metro methodology, whose factors are a demonstration."""
    request = methodology_request(
        methodology_id=METRO,
        kind=registers_pb2.METHODOLOGY_KIND_SCENE,
        unit_class="II",
        quantification="travel",
    )
    wire.role("sh.bureau").registers.PublishMethodology(request)


def call(wire: Wire, role: str, name: str, **values: Any) -> Any:
    """A request about the scene to the register; what two bodies decide is signed for the caller's first."""
    if name in JOINT:
        sign(wire, role, JOINT[name], **values)
    request = getattr(registers_pb2, f"{name}Request")(request_id=request_id(), project_id=SCENE, **values)
    return getattr(wire.role(role).registers, name)(request).project


def decision(kind: str, **values: Any) -> Any:
    """A decision about the scene."""
    number = Kind.Value(f"SCENE_DECISION_KIND_{kind}")
    return scenes_pb2.SceneDecision(project_id=SCENE, kind=number, **values)


def to_sign(wire: Wire, role: str, kind: str, **values: Any) -> Any:
    """What the bodies sign, as the node gives it."""
    request = scenes_pb2.SignSceneDecisionRequest(
        request_id=request_id(), decision=decision(kind, **values), validate_only=True
    )
    return wire.role(role).scenes.SignSceneDecision(request).to_sign


def sign(wire: Wire, role: str, kind: str, *, statement: Any = None, **values: Any) -> Any:
    """Sign a decision with the key of the body's first officer, and hand it in; or hand in a statement."""
    if statement is None:
        unsigned = to_sign(wire, role, kind, **values)
        statement = wire.network.decision(unsigned, (f"operator/310000/{role}", 1))
    request = scenes_pb2.SignSceneDecisionRequest(
        request_id=request_id(), decision=decision(kind, **values), statement=statement
    )
    return wire.role(role).scenes.SignSceneDecision(request)


def decide(wire: Wire, role: str, kind: str, **values: Any) -> Any:
    """Sign a decision for a body, and take it."""
    sign(wire, role, kind, **values)
    request = scenes_pb2.DecideSceneRequest(request_id=request_id(), decision=decision(kind, **values))
    return wire.role(role).scenes.DecideScene(request).project


def both(wire: Wire, kind: str, **values: Any) -> Any:
    """Let the exchange sign and the centre decide."""
    sign(wire, EXCHANGE, kind, **values)
    return decide(wire, CENTRE, kind, **values)


def turn_to(wire: Wire, day: date) -> None:
    """Turn the clock to nine o'clock, legal time, of a later day."""
    wire.node.context.clock.advance_to(datetime(day.year, day.month, day.day, 1, tzinfo=UTC))


def published(wire: Wire, owner: str) -> Any:
    """Walk a scene to the public list."""
    publish_methodology(wire)
    wire.role(BODY).registers.SubmitProject(submit_request(owner))
    sign(wire, EXCHANGE, "ASSESS", passed=True)
    call(wire, CENTRE, "AssessProject", passed=True)
    last = call(wire, CENTRE, "OpenProjectNotice").notice_last_day
    turn_to(wire, date(last.year, last.month, last.day) + timedelta(days=1))
    sign(wire, EXCHANGE, "PUBLISH")
    return call(wire, CENTRE, "PublishProject")


def connected(wire: Wire, owner: str, authorised: str = "2026") -> Any:
    """Walk a scene until its data count."""
    published(wire, owner)
    both(wire, "AUTHORISE", period=wire_period(Period.parse(authorised)))
    validate(wire)
    return connect(wire)


def validate(wire: Wire, role: str = CENTRE, **values: Any) -> Any:
    """Record that the feed passed its validation."""
    fields = {"request_id": request_id(), "project_id": SCENE, "test_record": TEST_RECORD, **values}
    return wire.role(role).scenes.ValidateSceneData(scenes_pb2.ValidateSceneDataRequest(**fields)).project


def connect(wire: Wire, role: str = CENTRE, system: str = "虚构系统 invented system") -> Any:
    """Connect the feed."""
    request = scenes_pb2.ConnectSceneRequest(
        request_id=request_id(), project_id=SCENE, information_system=system
    )
    return wire.role(role).scenes.ConnectScene(request).project


def trip(number: int, day: date, distance_m: int = 10_000, **values: Any) -> Any:
    """A trip of one hour in the morning, legal time."""
    start = datetime(day.year, day.month, day.day, 0, 30, tzinfo=UTC)
    fields = {
        "order_id": f"O-{number}",
        "user_token": f"U-{number % 7}",
        "mode": "metro",
        "start_time": wire_timestamp(start),
        "end_time": wire_timestamp(start + timedelta(hours=1)),
        "distance_m": distance_m,
        "person_count": 1,
        "inside_region": True,
        **values,
    }
    return scenes_pb2.TripRecord(**fields)


def hand_in(wire: Wire, *trips: Any, role: str = BODY) -> Any:
    """Hand trips in."""
    request = scenes_pb2.SubmitTripsRequest(request_id=request_id(), project_id=SCENE, trips=trips)
    return wire.role(role).scenes.SubmitTrips(request)


def issue(wire: Wire, period: str, stated_kg: int, role: str = CENTRE, **values: Any) -> Any:
    """Ask for units of the scene."""
    request = registers_pb2.IssueUnitsRequest(
        request_id=request_id(),
        project_id=SCENE,
        period=wire_period(Period.parse(period)),
        stated_kg=stated_kg,
        **values,
    )
    return wire.role(role).issuance.IssueUnits(request).issuance


def today(wire: Wire) -> Any:
    """The legal date as a message."""
    return wire_date(wire.node.context.now().date())
