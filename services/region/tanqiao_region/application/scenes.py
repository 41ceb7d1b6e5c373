"""Reduction scenes (SH-5c, SH-13, SH-15c): decisions of two bodies, and the data feed.

A scene is a project of another origin: it is submitted, shown, objected to and withdrawn like one
(`registers`, `project_steps`), by the machine of scenes. Here stands what only a scene has. A signature is
one by a key of the body's own (`body_decisions`); it has no time-out but the one that its signer gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message

from tanqiao.api.region.v1 import registers_pb2, scenes_pb2
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.rpc.validation import (
    optional_text,
    parse_wire_period,
    require_enum,
    require_text,
    wire_date,
    wire_period,
)
from tanqiao.signing.body_decisions import SCENE
from tanqiao_region.application import body_decisions
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.dossiers import waits_for_the_other_alone
from tanqiao_region.application.group import Group
from tanqiao_region.application.project_acts import (
    ASSESS,
    AUTHORISE,
    PUBLISH,
    assess_decision,
    assessment_act,
    decision_digest,
    is_scene,
    joint_of,
    judged,
    note_assessment,
    publish_decision,
    require_decision,
    scene_act,
)
from tanqiao_region.application.project_changes import change
from tanqiao_region.application.register_checks import (
    CONNECTED,
    DATA_VALIDATED,
    ENDED,
    OPINION_LENGTH_MAX,
    PUBLISHED,
    SUSPENDED,
    act_facts,
    clean_documents,
    once,
    require_event,
    require_project,
    require_state,
)
from tanqiao_region.application.register_facts import date_or_none
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.registers import ProjectRow

EVENTS: Final = {
    ASSESS: ("assess", 0),
    PUBLISH: ("publish", PUBLISHED),
    scenes_pb2.SCENE_DECISION_KIND_SUSPEND: ("suspend", SUSPENDED),
    scenes_pb2.SCENE_DECISION_KIND_RESUME: ("resume", CONNECTED),
    scenes_pb2.SCENE_DECISION_KIND_END: ("end", ENDED),
}
"""Event of the machine, and where it leads."""
AUTHORISED_IN: Final = (PUBLISHED, DATA_VALIDATED, CONNECTED)
AUTHORISATIONS_MAX: Final = 100
"""Most periods for which one scene is authorised."""


class Scenes:
    """Steps of one transaction each.

    Args:
        submit: the node's writer.
    """

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def _once(self, ask: Ask, decide: Callable[[Group], Message]) -> bytes:
        return self._submit(lambda group: once(group, ask, lambda: decide(group)))

    def sign(
        self, ask: Ask, request: scenes_pb2.SignSceneDecisionRequest
    ) -> scenes_pb2.SignSceneDecisionResponse:
        """Keep the signatures under a decision that the caller may take; or give what is to be signed."""
        kept = self._once(ask, lambda group: _sign(group, ask.by, request))
        return scenes_pb2.SignSceneDecisionResponse.FromString(kept)

    def decide(self, ask: Ask, request: scenes_pb2.DecideSceneRequest) -> scenes_pb2.DecideSceneResponse:
        """Authorise, suspend, resume or end a scene."""
        kept = self._once(
            ask,
            lambda group: scenes_pb2.DecideSceneResponse(project=_decide(group, ask.by, request.decision)),
        )
        return scenes_pb2.DecideSceneResponse.FromString(kept)

    def validate_data(
        self, ask: Ask, request: scenes_pb2.ValidateSceneDataRequest
    ) -> scenes_pb2.ValidateSceneDataResponse:
        """Record that the feed has passed its validation."""
        kept = self._once(
            ask,
            lambda group: scenes_pb2.ValidateSceneDataResponse(
                project=_validate_data(group, ask.by, request)
            ),
        )
        return scenes_pb2.ValidateSceneDataResponse.FromString(kept)

    def connect(self, ask: Ask, request: scenes_pb2.ConnectSceneRequest) -> scenes_pb2.ConnectSceneResponse:
        """Connect the feed."""
        kept = self._once(
            ask, lambda group: scenes_pb2.ConnectSceneResponse(project=_connect(group, ask.by, request))
        )
        return scenes_pb2.ConnectSceneResponse.FromString(kept)


def require_scene(group: Group, project_id: str) -> ProjectRow:
    """Give a reduction scene; NOT_FOUND if there is none of this number."""
    row = require_project(group, project_id)
    if not is_scene(row.project):
        raise DomainError("NOT_FOUND", field="project_id", what="reduction_scene", id=project_id)
    return row


def _clean(given: scenes_pb2.SceneDecision) -> scenes_pb2.SceneDecision:
    """Give of a decision what belongs to its kind: nothing else is signed."""
    require_enum(given.kind, "decision.kind")
    if given.kind == ASSESS:
        return assess_decision(given)
    if given.kind == PUBLISH:
        return publish_decision(given.project_id)
    if given.kind == AUTHORISE:
        return scenes_pb2.SceneDecision(project_id=given.project_id, kind=AUTHORISE, period=given.period)
    return scenes_pb2.SceneDecision(project_id=given.project_id, kind=given.kind, reason=given.reason)


def _begin(group: Group, decision: scenes_pb2.SceneDecision) -> ProjectRow:
    """Check the decision alone, and that it is open in the state of the scene."""
    row = require_scene(group, decision.project_id)
    if decision.kind == AUTHORISE:
        period = parse_wire_period(decision.period, "decision.period")
        if len(row.project.authorisations) >= AUTHORISATIONS_MAX:
            count = len(row.project.authorisations) + 1
            raise DomainError("BATCH_TOO_LARGE", field="decision", limit=AUTHORISATIONS_MAX, count=count)
        if not parse_wire_period(row.project.crediting_period).covers(period):
            claim_id = row.project.claim_id
            raise DomainError(
                "PERIOD_OUTSIDE_CLAIM", field="decision.period", period=str(period), claim_id=claim_id
            )
        require_state(row, *AUTHORISED_IN)
        return row
    if decision.kind not in (ASSESS, PUBLISH):
        require_text(decision.reason, "decision.reason", length_max=OPINION_LENGTH_MAX)
    require_event(group, row, EVENTS[decision.kind][0])
    return row


def _act(
    group: Group, by: By, row: ProjectRow, decision: scenes_pb2.SceneDecision
) -> acts.AssessScene | acts.AssessProject | acts.PublishScene:
    """Give the act that a decision is; an authorisation is decided by those who publish (inferred)."""
    joint = joint_of(group, row, decision)
    if decision.kind != ASSESS:
        return scene_act(group, row, by, joint)
    note_assessment(group, by, row.project, decision)
    return assessment_act(group, row, by, joint)


def _sign(
    group: Group, by: By, request: scenes_pb2.SignSceneDecisionRequest
) -> scenes_pb2.SignSceneDecisionResponse:
    decision = _clean(request.decision)
    row = _begin(group, decision)
    asked = body_decisions.Asked(SCENE, decision.project_id, decision)
    digest = bytes.fromhex(decision_digest(group.pack, row.project, decision))
    act = _act(group, by, row, decision)
    if not any(one.applies_to(act) for one in group.pack.data.roles.joint):
        detail = Bilingual("本决定由一个机构作出", "this is decided by one body")
        raise DomainError("FIELD_INVALID", field="decision.kind", detail=detail)
    verdict = judged(group.pack, act)
    refusal = None if verdict.allowed else verdict.error()
    if refusal is not None and not waits_for_the_other_alone(refusal):
        raise refusal
    if request.validate_only:
        signatures, to_sign = act.signatures, body_decisions.unsigned(group, asked, digest)
    else:
        signatures, to_sign = body_decisions.take_statement(group, request.statement, asked, digest), None
    return scenes_pb2.SignSceneDecisionResponse(
        decision_digest=digest, signed_by=sorted({one.role for one in signatures}), to_sign=to_sign
    )


def _decide(group: Group, by: By, given: scenes_pb2.SceneDecision) -> registers_pb2.Project:
    decision = _clean(given)
    if decision.kind in (ASSESS, PUBLISH):
        detail = Bilingual("技术评估与发布另有方法", "AssessProject and PublishProject take these decisions")
        raise DomainError("FIELD_INVALID", field="decision.kind", detail=detail)
    row = _begin(group, decision)
    act = _act(group, by, row, decision)
    verdict = require_decision(group.pack, act)
    project = row.project
    if decision.kind == AUTHORISE:
        period = parse_wire_period(decision.period)
        project.authorisations.add(period=wire_period(period), decide_date=wire_date(group.legal_date))
        change(group, row, project.state, verdict, by.party, reason=f"授权 authorised {period}", act=act)
    else:
        state = EVENTS[decision.kind][1]
        change(group, row, state, verdict, by.party, reason=decision.reason, act=act)
    store.update_project(group.connection, row)
    return project


def _validate_data(
    group: Group, by: By, request: scenes_pb2.ValidateSceneDataRequest
) -> registers_pb2.Project:
    row = require_scene(group, request.project_id)
    if not request.HasField("test_record"):
        raise DomainError("FIELD_MISSING", field="test_record")
    (record,) = clean_documents([request.test_record], "test_record")
    if not record.digest:
        raise DomainError("FIELD_MISSING", field="test_record.digest")
    facts = acts.Facts(**act_facts(group, by), submitted_by=row.submitted_by)
    verdict = group.pack.require_duty(facts, (acts.ConnectScene.act(),))
    require_event(group, row, "validate_data")
    feed = row.project.feed
    feed.validate_date.CopyFrom(wire_date(group.legal_date))
    feed.test_record.CopyFrom(record)
    change(group, row, DATA_VALIDATED, verdict, by.party)
    store.update_project(group.connection, row)
    return row.project


def _connect(group: Group, by: By, request: scenes_pb2.ConnectSceneRequest) -> registers_pb2.Project:
    row = require_scene(group, request.project_id)
    project = row.project
    system = optional_text(request.information_system, "information_system")
    verdict = group.pack.require(
        acts.ConnectScene(
            **act_facts(group, by),
            submitted_by=row.submitted_by,
            scene_id=project.project_id,
            published_on=date_or_none(project.publish_date),
            validated_on=date_or_none(project.feed.validate_date),
            has_information_system=bool(system),
        )
    )
    require_event(group, row, "connect")
    project.feed.information_system = system
    project.feed.connect_date.CopyFrom(wire_date(group.legal_date))
    change(group, row, CONNECTED, verdict, by.party)
    store.update_project(group.connection, row)
    return project
