"""What a step of a project or of a reduction scene is in the words of the rule pack.

Both are one kind of object on the register; the law has acts of its own for each. What two bodies decide
together about a scene both sign and one takes: both stand over one digest of the scene
as it is, the decision and the pack, so that a changed file voids the first signature (RULES section 7.3).
Only signatures by the bodies' own keys count (`body_decisions`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from tanqiao.api.region.v1 import registers_pb2, scenes_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import optional_text, parse_wire_period, wire_date
from tanqiao_region.application import body_decisions
from tanqiao_region.application.commands import By
from tanqiao_region.application.experts import panel_of_assessors
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import (
    ASSESSORS_MAX,
    CONNECTED,
    OPINION_LENGTH_MAX,
    PUBLISHED,
    act_facts,
    project_facts,
)
from tanqiao_region.application.register_facts import (
    CLEARED,
    assessment_of,
    notice_of,
)
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage.accounts import open_operators
from tanqiao_region.storage.registers import ProjectRow

ASSESS: Final = scenes_pb2.SCENE_DECISION_KIND_ASSESS
PUBLISH: Final = scenes_pb2.SCENE_DECISION_KIND_PUBLISH
UNSIGNED: Final = "SECOND_SIGNATURE_MISSING"
AUTHORISE: Final = scenes_pb2.SCENE_DECISION_KIND_AUTHORISE


def is_scene(project: registers_pb2.Project) -> bool:
    """Whether it is a reduction scene."""
    return bool(project.origin == registers_pb2.PROJECT_ORIGIN_REDUCTION_SCENE)


def source_of(project: registers_pb2.Project) -> acts.IssuanceSource:
    """Give what its units come from."""
    return acts.IssuanceSource.REDUCTION_SCENE if is_scene(project) else acts.IssuanceSource.PROJECT


def notice_kind(project: registers_pb2.Project) -> str:
    """Give the kind of object under which the pack has the rule on its notice."""
    return "scene" if is_scene(project) else "project"


def issuing_state(project: registers_pb2.Project) -> int:
    """Give the state in which units are issued to it."""
    return CONNECTED if is_scene(project) else PUBLISHED


def publishing(project: registers_pb2.Project) -> tuple[str, ...]:
    """Give the act whose holders publish it, and therefore may decide what no article describes."""
    return (acts.PublishScene.act() if is_scene(project) else acts.PublishProject.act(),)


@dataclass(frozen=True, slots=True)
class Joint:
    """Who stands behind a decision: its digest, hexadecimal, and the signatures over it."""

    digest: str
    signatures: tuple[acts.Signature, ...]

    def facts(self) -> dict[str, Any]:
        """Give what the rules look at."""
        return {"decision_digest": self.digest, "signatures": self.signatures}


def joint_of(
    group: Group, row: ProjectRow, decision: scenes_pb2.SceneDecision, *, begun: bool = False
) -> Joint:
    """Give the signatures over a decision about a scene as it stands; `begun` as in `signatures_over`."""
    digest = decision_digest(group.pack, row.project, decision)
    return Joint(digest, body_decisions.signatures_over(group, bytes.fromhex(digest), begun=begun))


def decision_digest(
    pack: RulePack, project: registers_pb2.Project, decision: scenes_pb2.SceneDecision
) -> str:
    """Give SHA-256, hexadecimal, over what two bodies sign alike; every part is preceded by its length."""
    identity = pack.identity
    parts = (
        b"tanqiao.scene.v1",
        hashlib.sha256(project.SerializeToString(deterministic=True)).digest(),
        decision.SerializeToString(deterministic=True),
        identity.pack_id.encode(),
        identity.version.encode(),
        bytes.fromhex(identity.digest),
    )
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()


def judged(pack: RulePack, act: acts.Facts) -> Verdict:
    """Give the verdict on a decision; a missing signature comes last: what else is wrong is told first."""
    verdict = pack.evaluate(act)
    ordered = sorted(verdict.findings, key=lambda one: one.reason_symbol == UNSIGNED)
    return replace(verdict, findings=tuple(ordered))


def require_decision(pack: RulePack, act: acts.Facts) -> Verdict:
    """Give the verdict if the decision stands; raises the first refusal of `judged`."""
    verdict = judged(pack, act)
    if not verdict.allowed:
        raise verdict.error()
    return verdict


def submission(
    group: Group, row: ProjectRow, by: By, *, claim: acts.ClaimAnswer | None = None
) -> acts.SubmitProject | acts.SubmitScene:
    """Give the act of submitting it."""
    facts = project_facts(group, row, by, new=True)
    if not is_scene(row.project):
        alone = facts["participant"].is_individual
        operators = tuple(open_operators(group.connection)) if alone else ()
        return acts.SubmitProject(**facts, registered_operators=operators, claim=claim)
    return acts.SubmitScene(
        **act_facts(group, by),
        scene_id=facts["project_id"],
        scene_kind=acts.SceneKind.REDUCTION,
        applicant=facts["participant"],
        methodology=facts["methodology"],
        documents=facts["documents"],
        claim=claim,
    )


def assessment_act(
    group: Group, row: ProjectRow, by: By, joint: Joint
) -> acts.AssessProject | acts.AssessScene:
    """Give the act of noting the assessment that stands in it."""
    assessment = assessment_of(row.project.assessment)
    if assessment is None:
        raise DomainError("FIELD_MISSING", field="assessment")
    if not is_scene(row.project):
        return acts.AssessProject(
            **project_facts(group, row, by),
            submitted_by=row.submitted_by,
            assessment=assessment,
            panel=panel_of_assessors(group, row.project.owner_account_id, row.project.assessment.assessors),
        )
    return acts.AssessScene(
        **act_facts(group, by),
        **joint.facts(),
        submitted_by=row.submitted_by,
        scene_id=row.project.project_id,
        scene_kind=acts.SceneKind.REDUCTION,
        assessment=assessment,
    )


def note_assessment(
    group: Group,
    by: By,
    project: registers_pb2.Project,
    given: registers_pb2.AssessProjectRequest | scenes_pb2.SceneDecision,
) -> None:
    """Note in it what the assessment says."""
    require_assessment(given)
    project.assessment.CopyFrom(
        registers_pb2.TechnicalAssessment(
            passed=given.passed,
            assess_date=wire_date(group.legal_date),
            assessors=list(given.assessors) or [by.party],
            opinion=given.opinion,
        )
    )


def require_assessment(given: registers_pb2.AssessProjectRequest | scenes_pb2.SceneDecision) -> None:
    """Refuse what is too long, whatever the state of what is assessed: TEXT_TOO_LONG, BATCH_TOO_LARGE."""
    optional_text(given.opinion, "opinion", length_max=OPINION_LENGTH_MAX)
    if len(given.assessors) > ASSESSORS_MAX:
        raise DomainError(
            "BATCH_TOO_LARGE", field="assessors", limit=ASSESSORS_MAX, count=len(given.assessors)
        )


def assess_decision(
    request: registers_pb2.AssessProjectRequest | scenes_pb2.SceneDecision,
) -> scenes_pb2.SceneDecision:
    """Give the decision that an assessment is."""
    return scenes_pb2.SceneDecision(
        project_id=request.project_id,
        kind=ASSESS,
        passed=request.passed,
        opinion=request.opinion,
        assessors=request.assessors,
    )


def publish_decision(project_id: str) -> scenes_pb2.SceneDecision:
    """Give the decision that a publication is."""
    return scenes_pb2.SceneDecision(project_id=project_id, kind=PUBLISH)


def publication(
    group: Group, row: ProjectRow, by: By, *, begun: bool = False
) -> acts.PublishProject | acts.PublishScene:
    """Give the act of publishing it; `begun` as in `body_decisions.signatures_over`."""
    project = row.project
    if is_scene(project):
        decision = publish_decision(project.project_id)
        return scene_act(group, row, by, joint_of(group, row, decision, begun=begun))
    return acts.PublishProject(
        **project_facts(group, row, by),
        submitted_by=row.submitted_by,
        assessment=assessment_of(project.assessment),
        notice=notice_of(project),
        reviewer_id=project.review.assessors[0] if project.review.assessors else by.party,
        claim=CLEARED,
    )


def scene_act(group: Group, row: ProjectRow, by: By, joint: Joint) -> acts.PublishScene:
    """Give a decision about a scene that passed its notice, or would be published by it."""
    return acts.PublishScene(
        **act_facts(group, by),
        **joint.facts(),
        submitted_by=row.submitted_by,
        scene_id=row.project.project_id,
        assessment=assessment_of(row.project.assessment),
        notice=notice_of(row.project),
    )


def authorisation_of(
    project: registers_pb2.Project,
    period_start: date,
    period_end: date,
) -> acts.Authorisation | None:
    """Give the authorisation that covers a half-open period; else the newest, or None without any."""
    found = None
    for one in project.authorisations:
        period = parse_wire_period(one.period)
        found = acts.Authorisation(valid_from=period.start, valid_to=period.end)
        if found.covers(period_start, period_end):
            return found
    return found


def require_register(pack: RulePack, project: registers_pb2.Project) -> None:
    """Refuse a scene where the region's rules have no reduction scenes."""
    if not is_scene(project) or "reduction_scene" in pack.data.lifecycles:
        return
    detail = "本地区规则没有减排场景 the rules here know no reduction scenes"
    raise DomainError("FIELD_INVALID", field="project.origin", detail=detail)
