"""Good requests about reduction scenes and experience values, and the scene that they are about."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from tanqiao.api.region.v1 import registers_pb2, scenes_pb2
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period
from tanqiao.signing import body_decisions
from tanqiao.signing.body_decisions import to_sign
from tanqiao_region.application.project_acts import decision_digest
from tanqiao_region.storage.registers import load_project
from tests.contract.region import dossier_requests
from tests.contract.region.served import REGION
from tests.contract.region_registers import scene_office
from tests.contract.region_registers.office import Office, ask
from tests.contract.region_registers.scene_office import SCENE, trip

SCENES: Final = f"{REGION}SceneService/"
EXPERIENCE: Final = f"{REGION}ExperienceService/"


def _fresh() -> str:
    return secrets.token_hex(8)


def _record(world: Any) -> Any:
    return scenes_pb2.RecordExperienceRequest(
        request_id=_fresh(),
        scene_id=dossier_requests.SCENE,
        records=[scenes_pb2.ExperienceRecord(record_id="X-1", account_id=world.giver, value=10)],
        correction_reason="虚构 invented",
    )


ASSESS: Final = scene_office.decision("ASSESS", passed=True)
EXCHANGE: Final = "operator/310000/sh.exchange"


def statement(world: Any, party: str = EXCHANGE, **changes: Any) -> Any:
    """The assessment of the scene as an officer signs it, with these fields changed before."""
    node = world.shanghai.node
    with node.region.database.reading() as connection:
        row = load_project(connection, SCENE)
    assert row is not None
    digest = decision_digest(node.context.pack(node.context.now().date()), row.project, ASSESS)
    content = ASSESS.SerializeToString(deterministic=True)
    unsigned = to_sign(body_decisions.SCENE, SCENE, content, bytes.fromhex(digest), node.context.now())
    unsigned.MergeFrom(type(unsigned)(**changes))
    return world.shanghai.network.decision(unsigned, (party, 1))


def _signing(world: Any) -> Any:
    return scenes_pb2.SignSceneDecisionRequest(
        request_id=_fresh(), decision=ASSESS, statement=statement(world)
    )


GOOD: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    SCENES + "SignSceneDecision": ("sh.exchange", _signing),
    SCENES + "DecideScene": (
        "sh.centre",
        lambda _: scenes_pb2.DecideSceneRequest(
            request_id=_fresh(),
            decision=scene_office.decision("AUTHORISE", period=wire_period(Period.parse("2026"))),
        ),
    ),
    SCENES + "ValidateSceneData": (
        "sh.centre",
        lambda _: scenes_pb2.ValidateSceneDataRequest(
            request_id=_fresh(), project_id=SCENE, test_record=scene_office.TEST_RECORD
        ),
    ),
    SCENES + "ConnectScene": (
        "sh.centre",
        lambda _: scenes_pb2.ConnectSceneRequest(
            request_id=_fresh(), project_id=SCENE, information_system="虚构 invented"
        ),
    ),
    SCENES + "SubmitTrips": (
        "sh.scene_body",
        lambda _: scenes_pb2.SubmitTripsRequest(
            request_id=_fresh(), project_id=SCENE, trips=[trip(1, date(2026, 2, 3))]
        ),
    ),
    EXPERIENCE + "RecordExperience": ("sh.centre", _record),
    EXPERIENCE + "GetExperience": (
        "sh.centre",
        lambda world: scenes_pb2.GetExperienceRequest(account_id=world.giver),
    ),
    EXPERIENCE + "ConvertExperience": (
        "sh.centre",
        lambda world: scenes_pb2.ConvertExperienceRequest(
            request_id=_fresh(),
            account_id=world.giver,
            target=scenes_pb2.EXPERIENCE_TARGET_POINTS,
            value=1,
        ),
    ),
}


def furnish(office: Office) -> None:
    """Submit a reduction scene."""
    office.publish_methodology(
        methodology_id=scene_office.METRO,
        kind=registers_pb2.METHODOLOGY_KIND_SCENE,
        unit_class="II",
        quantification="travel",
    )
    request = scene_office.submit_request(office.owner)
    office.office.registers.submit_project(ask(request, dossier_requests.SCENE_BODY), request)
