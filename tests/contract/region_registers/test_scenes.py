"""Reduction scenes of Shanghai over gRPC: two bodies decide, the feed is validated, batches become units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2, scenes_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period, wire_timestamp
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region_registers import scene_office as scene
from tests.contract.region_registers.claim_bridge import ClaimBridge, allowed, barred
from tests.contract.region_registers.office import request_id
from tests.contract.region_registers.scene_office import (
    BODY,
    CENTRE,
    EXCHANGE,
    SCENE,
    both,
    call,
    decide,
    hand_in,
    issue,
    sign,
    trip,
)
from tests.contract.region_registers.wire import BEHAVIOUR, Wire

State = registers_pb2.ProjectState
ServeRegion = Callable[[str], Wire]


@pytest.fixture
def database_kind() -> str:
    """One kind of database: the statements are those of projects, which are tried on both."""
    return "sqlite"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def serve(network: NetworkOfTest, make_node: MakeNode, bridge: ClaimBridge) -> Iterator[ServeRegion]:
    """Serves a region's node on the line of a bridge that answers claims and issues."""
    wires: list[Wire] = []

    def make(party: str) -> Wire:
        assert bridge.server is not None
        node = make_node(party, bridge.server.address)
        node.region.start()
        bridge.wait_until(lambda: bridge.peer(party).frames is not None)
        wires.append(Wire(network, node))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


def refused(symbol: str, act: Callable[[], Any], article: str = "") -> None:
    """Demand a refusal of this symbol, with its article in both languages where one is given."""
    with pytest.raises(DomainError) as caught:
        act()
    assert caught.value.symbol == symbol, str(caught.value)
    if article:
        assert article in caught.value.sentence_with_article("zh")
        assert "Art" in caught.value.sentence_with_article("en")


def walked(project: Any) -> list[str]:
    """The states that a scene went through."""
    return [State.Name(one.state).removeprefix("PROJECT_STATE_") for one in project.history]


def test_SH_13_a_reduction_scene_goes_from_two_signatures_to_units(
    serve: ServeRegion, bridge: ClaimBridge
) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    scene.publish_methodology(wire)
    wire.role(BODY).registers.SubmitProject(scene.submit_request(owner))
    refused("SECOND_SIGNATURE_MISSING", lambda: call(wire, CENTRE, "AssessProject", passed=True), "第十三条")
    signed = sign(wire, EXCHANGE, "ASSESS", passed=True)
    assert list(signed.signed_by) == [CENTRE, EXCHANGE]
    assessed = call(wire, CENTRE, "AssessProject", passed=True)
    assert list(assessed.history[-1].signed_by) == [CENTRE, EXCHANGE]
    assert assessed.history[-1].decision_digest == signed.decision_digest
    notice = call(wire, CENTRE, "OpenProjectNotice")
    last = notice.notice_last_day
    refused("NOTICE_PERIOD_RUNNING", lambda: sign(wire, EXCHANGE, "PUBLISH"), "第十三条")
    scene.turn_to(wire, date(last.year, last.month, last.day))
    refused("NOTICE_PERIOD_RUNNING", lambda: call(wire, CENTRE, "PublishProject"))
    scene.turn_to(wire, date(2026, 3, 10))
    refused("SECOND_SIGNATURE_MISSING", lambda: call(wire, CENTRE, "PublishProject"), "第五条")
    call(wire, EXCHANGE, "PublishProject")
    claim_id = f"310000:project:{SCENE}"
    assert bridge.claims.status[claim_id] == claims_pb2.CLAIM_STATUS_REGISTERED
    # Without a validated feed and an authorisation no data count (SH-13c, SH-15c).
    refused("SCENE_DATA_NOT_VALIDATED", lambda: hand_in(wire, trip(1, date(2026, 3, 2))), "第十三条")
    refused("SCENE_DATA_NOT_VALIDATED", lambda: scene.connect(wire))
    refused("ROLE_NOT_PERMITTED", lambda: scene.validate(wire, EXCHANGE))
    scene.validate(wire)
    refused("SCENE_DATA_NOT_VALIDATED", lambda: scene.connect(wire, system=""), "第二十五条")
    scene.connect(wire)
    refused("SCENE_NOT_AUTHORISED", lambda: hand_in(wire, trip(1, date(2026, 3, 2))), "第十五条")
    march = wire_period(Period.parse("2026-03"))
    refused("SECOND_SIGNATURE_MISSING", lambda: decide(wire, CENTRE, "AUTHORISE", period=march))
    project = both(wire, "AUTHORISE", period=march)
    assert walked(project) == [
        *("SUBMITTED", "ASSESSED", "NOTICE", "PUBLISHED", "DATA_VALIDATED", "CONNECTED", "CONNECTED")
    ]
    hand_in(wire, trip(1, date(2026, 3, 2)))


def test_SH_15c_batches_of_a_scene_become_units_when_both_computations_agree(
    serve: ServeRegion, bridge: ClaimBridge
) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    scene.connected(wire, owner)
    # 0.130 - 0.033 kg per person-km (demonstration): 300 trips of 10 km save 291 kg, three outside none.
    trips = [trip(number, date(2026, 3, 2 + number % 7)) for number in range(300)]
    outside = [trip(900 + number, date(2026, 3, 3), inside_region=False) for number in range(3)]
    assert hand_in(wire, *trips, *outside).unchanged_count == 0
    assert hand_in(wire, *trips).unchanged_count == 300
    refused("DUPLICATE_KEY", lambda: hand_in(wire, trip(0, date(2026, 3, 2), 10_001)))
    refused("COMPUTATION_DIFFERS", lambda: issue(wire, "2026-03", 292), "第十五条")
    refused("ROLE_NOT_PERMITTED", lambda: issue(wire, "2026-03", 291, EXCHANGE))
    issuance = issue(wire, "2026-03", 291)
    assert issuance.state == registers_pb2.ISSUANCE_STATE_ISSUED, issuance
    assert (issuance.quantity_kg, issuance.carried_out_g) == (291, 0)
    assert issuance.series.series_id == f"310000:SHCER:{SCENE}:2026:1"
    assert issuance.series.unit_class == "II"
    assert wire.node.held(owner) == [(0, 291, 1)]
    issue_message = bridge.seen_of("application/vnd.tanqiao.issue.v1+protobuf")[0].message
    claim = bridge.claims.claims[issue_message.claim_id]
    assert (claim.activity_quantity, claim.activity_unit) == (3_000_000, "person-m")
    # The next batch of the same year needs no override: scenes are issued to periodically (SH-15c).
    scene.turn_to(wire, date(2026, 3, 20))
    hand_in(wire, trip(1000, date(2026, 3, 12), 20_500))
    second = issue(wire, "2026-03-10/2026-04-01", 1)
    assert (second.quantity_kg, second.carried_out_g) == (1, 988)
    assert second.series.batch_number == 2


def test_a_trip_counts_for_its_day_in_legal_time_whatever_zone_it_was_stated_in(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    scene.connected(wire, owner, authorised="2026-03")

    def started(number: int, hour: int) -> Any:
        start = datetime(2026, 2, 28, hour, 30, tzinfo=UTC)  # 08:00 ahead: legal midnight is 16:00
        times = (wire_timestamp(start), wire_timestamp(start + timedelta(minutes=20)))
        return trip(number, date(2026, 3, 1), start_time=times[0], end_time=times[1])

    refused("SCENE_NOT_AUTHORISED", lambda: hand_in(wire, started(1, 15)), "第十五条")
    assert hand_in(wire, started(2, 16)).accepted_count == 1


def test_SH_5c_a_scene_is_suspended_resumed_and_ended_by_both_bodies(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    scene.connected(wire, wire.node.open_account().account_id)
    why = {"reason": "数据异常 data look wrong"}
    refused("SECOND_SIGNATURE_MISSING", lambda: decide(wire, CENTRE, "SUSPEND", **why), "第五条")
    refused("FIELD_MISSING", lambda: sign(wire, EXCHANGE, "SUSPEND"))
    # A signature over another reason is not one over this decision.
    sign(wire, EXCHANGE, "SUSPEND", reason="另一理由 another")
    refused("SECOND_SIGNATURE_MISSING", lambda: decide(wire, CENTRE, "SUSPEND", **why))
    both(wire, "SUSPEND", **why)
    refused("STATE_NOT_ALLOWED", lambda: hand_in(wire, trip(1, date(2026, 3, 2))))
    refused("STATE_NOT_ALLOWED", lambda: issue(wire, "2026-03", 1))
    both(wire, "RESUME", reason="已查明 explained")
    hand_in(wire, trip(1, date(2026, 3, 2), 20_000))
    ended = both(wire, "END", reason="停办 closed")
    assert ended.state == registers_pb2.PROJECT_STATE_ENDED
    refused("STATE_NOT_ALLOWED", lambda: sign(wire, EXCHANGE, "RESUME", reason="x"))
    refused("STATE_NOT_ALLOWED", lambda: issue(wire, "2026-03", 1))
    shown = wire.role("reader/national").registers.GetProject(
        registers_pb2.GetProjectRequest(project_id=SCENE)
    )
    assert shown.project.feed.information_system
    assert not shown.project.feed.HasField("test_record")
    assert [one.signed_by for one in shown.project.history][-1] == [CENTRE, EXCHANGE]


def test_SH_7_3_a_changed_file_voids_the_first_signature(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    scene.publish_methodology(wire)
    wire.role(BODY).registers.SubmitProject(scene.submit_request(owner))
    sign(wire, EXCHANGE, "ASSESS", passed=True, opinion="符合 conforms")
    refused("SECOND_SIGNATURE_MISSING", lambda: call(wire, CENTRE, "AssessProject", passed=True))
    sign(wire, EXCHANGE, "ASSESS", passed=True)
    call(wire, CENTRE, "AssessProject", passed=True)
    last = call(wire, CENTRE, "OpenProjectNotice").notice_last_day
    scene.turn_to(wire, date(last.year, last.month, last.day))
    objection = registers_pb2.ObjectToProjectRequest(
        request_id="objection", project_id=SCENE, text="重复计算 counted twice"
    )
    wire.role("reader/national").registers.ObjectToProject(objection)
    scene.turn_to(wire, date(2026, 3, 10))
    refused("STATE_NOT_ALLOWED", lambda: sign(wire, EXCHANGE, "PUBLISH"))
    call(wire, EXCHANGE, "AnswerProjectObjection", number=1, answer="已核对 checked")
    sign(wire, EXCHANGE, "PUBLISH")
    project = call(wire, CENTRE, "PublishProject")
    assert walked(project)[-4:] == ["NOTICE", "OBJECTED", "NOTICE", "PUBLISHED"]


def test_SH_9_a_scene_needs_a_scene_methodology_and_SH_14_a_commitment(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    scene.publish_methodology(wire)
    submit = wire.role(BODY).registers.SubmitProject
    refused(
        "COMMITMENT_MISSING",
        lambda: submit(scene.submit_request(owner, no_duplicate_commitment=False)),
        "第十四条",
    )
    project = registers_pb2.PROJECT_ORIGIN_PROJECT
    refused(
        "METHODOLOGY_KIND_MISMATCH",
        lambda: wire.role("sh.project_applicant").registers.SubmitProject(
            scene.submit_request(owner, origin=project)
        ),
        "第九条",
    )
    refused(
        "ROLE_NOT_PERMITTED",
        lambda: wire.role("sh.project_applicant").registers.SubmitProject(scene.submit_request(owner)),
    )


def test_a_scene_that_the_claim_check_leaves_to_a_person_is_not_entered_and_may_come_again(
    serve: ServeRegion, bridge: ClaimBridge
) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    scene.publish_methodology(wire)
    bridge.claims.judge = barred("CLAIM_HOLD", kind=claims_pb2.VERDICT_KIND_HOLD, cases="K-1")
    refused("CLAIM_HOLD", lambda: wire.role(BODY).registers.SubmitProject(scene.submit_request(owner)))
    read = registers_pb2.GetProjectRequest(project_id=SCENE)
    refused("NOT_FOUND", lambda: wire.role(BODY).registers.GetProject(read))
    bridge.claims.judge = allowed
    submitted = wire.role(BODY).registers.SubmitProject(scene.submit_request(owner)).project
    assert submitted.claim_id == f"310000:project:{SCENE}:2"


def test_a_region_without_reduction_scenes_refuses_one(serve: ServeRegion) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account(kind=4).account_id
    refused("FIELD_INVALID", lambda: wire.role("sz.sme").registers.SubmitProject(scene.submit_request(owner)))


PERSON = "operator/310000/sh.person"
"""Acts here for the person, as the operator at whose platform the person is registered."""
RULED = {"rule_text": "步行一千步记一分 1,000 steps, one value", "yields": "experience_value"}


def active_behaviour_scene(wire: Wire) -> None:
    """Walk a behaviour scene into force."""
    account_id = wire.node.open_account().account_id
    wire.open(BODY, BEHAVIOUR, "WALK-1", account_id=account_id)
    for event, evidence in (("rule", RULED), ("activate", {})):
        wire.sign(EXCHANGE, BEHAVIOUR, "WALK-1", event, **evidence)
        wire.sign(CENTRE, BEHAVIOUR, "WALK-1", event, **evidence)
        wire.step(CENTRE, BEHAVIOUR, "WALK-1", event, **evidence)


def record(wire: Wire, *values: tuple[str, str, int], role: str = CENTRE, reason: str = "") -> Any:
    """Record experience values: number, account, value."""
    request = scenes_pb2.RecordExperienceRequest(
        request_id=request_id(),
        scene_id="WALK-1",
        records=[
            scenes_pb2.ExperienceRecord(record_id=number, account_id=account_id, value=value)
            for number, account_id, value in values
        ],
        correction_reason=reason,
    )
    return wire.role(role).experience.RecordExperience(request)


def test_SH_10_experience_values_grow_or_are_corrected_and_never_become_units_or_points(
    serve: ServeRegion,
) -> None:
    wire = serve(SHANGHAI)
    active_behaviour_scene(wire)
    operator = wire.node.open_account(kind=6, holder_party=PERSON).account_id
    person = wire.node.open_account(
        "",
        kind=5,
        uscc="",
        holder_party="",
        operator_account_id=operator,
        operator_reference="u-1",
    ).account_id
    body = wire.node.open_account().account_id
    assert record(wire, ("W-1", person, 6000), ("W-2", person, 4000)).accepted_count == 2
    assert record(wire, ("W-1", person, 6000)).unchanged_count == 1
    refused("DUPLICATE_KEY", lambda: record(wire, ("W-1", person, 1)))
    refused("INDIVIDUAL_ONLY", lambda: record(wire, ("W-3", body, 1)))
    refused("REASON_REQUIRED", lambda: record(wire, ("W-3", person, -1)))
    refused("FIELD_INVALID", lambda: record(wire, ("W-3", person, -10_001), reason="多记 too many"))
    record(wire, ("W-3", person, -1000), reason="多记 too many")
    read = scenes_pb2.GetExperienceRequest(account_id=person)
    shown = wire.role("sh.person").experience.GetExperience(read)
    assert [(one.scene_id, one.value) for one in shown.scenes] == [("WALK-1", 9000)]
    refused("ACCOUNT_UNKNOWN", lambda: wire.role(CENTRE).experience.GetExperience(read))
    for target in (scenes_pb2.EXPERIENCE_TARGET_REDUCTIONS, scenes_pb2.EXPERIENCE_TARGET_POINTS):
        asked = scenes_pb2.ConvertExperienceRequest(
            request_id=request_id(), account_id=person, target=target, value=9000
        )
        refused(
            "EXPERIENCE_VALUE_NOT_CONVERTIBLE",
            lambda asked=asked: wire.role("sh.person").experience.ConvertExperience(asked),  # type: ignore[misc]
            "第十条",
        )
    units = registers_pb2.IssueUnitsRequest(
        request_id=request_id(), project_id="WALK-1", period=wire_period(Period.parse("2026-02"))
    )
    refused(
        "BEHAVIOUR_SCENE_ISSUES_NO_UNITS", lambda: wire.role(CENTRE).issuance.IssueUnits(units), "第十五条"
    )
    assert wire.node.held(person) == []
