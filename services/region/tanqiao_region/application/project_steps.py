"""Steps of a project that the bridge need not hear of: verifier, reports, review, objections (RULES 6).

Which of them a project has, the machines of the pack say: one for all projects, or one for projects of
data-platform operators and one for those of small enterprises. The steps that move the claim stand in
`registers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import optional_text, require_party, require_text, wire_date
from tanqiao_region.application.claim_steps import Ask, Submit, release_later
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.project_acts import publishing
from tanqiao_region.application.project_changes import change
from tanqiao_region.application.register_checks import (
    NOTICE,
    OBJECTED,
    OPINION_LENGTH_MAX,
    REJECTED,
    REVIEWED,
    VERIFIED,
    VERIFIER_APPOINTED,
    act_facts,
    clean_documents,
    machine_of,
    once,
    project_facts,
    require_event,
    require_owner,
    require_project,
    require_state,
    third_party,
)
from tanqiao_region.application.register_facts import REPORTS
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.registers import ProjectRow

OBJECTIONS_MAX: Final = 100
"""Most objections to one project; who comes later finds the same words there already."""


class ProjectSteps:
    """Steps of one transaction each."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def _once(self, ask: Ask, decide: Callable[[Group], Message]) -> bytes:
        return self._submit(lambda group: once(group, ask, lambda: decide(group)))

    def appoint(
        self, ask: Ask, request: registers_pb2.AppointProjectVerifierRequest
    ) -> registers_pb2.AppointProjectVerifierResponse:
        """Appoint the third party that validates and verifies a project (SZ-21a)."""
        kept = self._once(
            ask,
            lambda group: registers_pb2.AppointProjectVerifierResponse(
                project=_appoint(group, ask.by, request)
            ),
        )
        return registers_pb2.AppointProjectVerifierResponse.FromString(kept)

    def file_reports(
        self, ask: Ask, request: registers_pb2.FileProjectReportsRequest
    ) -> registers_pb2.FileProjectReportsResponse:
        """File the reports of the appointed third party."""
        kept = self._once(
            ask,
            lambda group: registers_pb2.FileProjectReportsResponse(
                project=_file_reports(group, ask.by, request)
            ),
        )
        return registers_pb2.FileProjectReportsResponse.FromString(kept)

    def review(
        self, ask: Ask, request: registers_pb2.ReviewProjectRequest
    ) -> registers_pb2.ReviewProjectResponse:
        """Review what the experts found (SZ-21c)."""
        kept = self._once(
            ask,
            lambda group: registers_pb2.ReviewProjectResponse(project=_review(group, ask.by, request)),
        )
        return registers_pb2.ReviewProjectResponse.FromString(kept)

    def object_to(
        self, ask: Ask, request: registers_pb2.ObjectToProjectRequest
    ) -> registers_pb2.ObjectToProjectResponse:
        """Note an objection while the notice runs (inferred from SH-12)."""
        kept = self._once(
            ask,
            lambda group: registers_pb2.ObjectToProjectResponse(objection=_object(group, ask.by, request)),
        )
        return registers_pb2.ObjectToProjectResponse.FromString(kept)

    def answer(
        self, ask: Ask, request: registers_pb2.AnswerProjectObjectionRequest
    ) -> registers_pb2.AnswerProjectObjectionResponse:
        """Answer an objection; one that is upheld ends the project and lets its claim go."""
        kept = self._once(
            ask,
            lambda group: registers_pb2.AnswerProjectObjectionResponse(
                project=_answer(group, ask.by, request)
            ),
        )
        return registers_pb2.AnswerProjectObjectionResponse.FromString(kept)


def _appoint(
    group: Group, by: By, request: registers_pb2.AppointProjectVerifierRequest
) -> registers_pb2.Project:
    row = require_project(group, request.project_id)
    body = require_text(request.body, "body")
    require_party(request.party, "party")
    require_event(group, row, "appoint_verifier")
    verdict = group.pack.require(
        acts.AppointVerifier(
            **project_facts(group, row, by),
            submitted_by=row.submitted_by,
            third_party=third_party(group, body),
        )
    )
    row.project.verifier.CopyFrom(
        registers_pb2.ProjectVerifier(
            body=body,
            party=request.party,
            appointed_by_role=by.role,
            appoint_date=wire_date(group.legal_date),
        )
    )
    change(group, row, VERIFIER_APPOINTED, verdict, by.party)
    store.update_project(group.connection, row)
    return row.project


def _file_reports(
    group: Group, by: By, request: registers_pb2.FileProjectReportsRequest
) -> registers_pb2.Project:
    row = require_project(group, request.project_id)
    documents = clean_documents(request.documents, "documents")
    require_event(group, row, "file_reports")
    verifier = row.project.verifier
    if by.party != verifier.party:
        raise DomainError(
            "ROLE_NOT_PERMITTED", role=by.role, action="FileProjectReports", body=verifier.party
        )
    filed = {document.kind for document in documents}
    for kind, shown in REPORTS.items():
        if kind not in filed:
            raise DomainError("VERIFICATION_REPORT_MISSING", kind=shown)
    for document in documents:
        if document.body not in ("", verifier.body):
            raise DomainError("VERIFIER_NOT_QUALIFIED", field="documents", body=document.body)
        document.body = verifier.body
    row.project.documents.extend(documents)
    verdict = group.pack.require_duty(acts.Facts(**act_facts(group, by)), ())
    change(group, row, VERIFIED, verdict, by.party)
    store.update_project(group.connection, row)
    return row.project


def _review(group: Group, by: By, request: registers_pb2.ReviewProjectRequest) -> registers_pb2.Project:
    row = require_project(group, request.project_id)
    opinion = optional_text(request.opinion, "opinion", length_max=OPINION_LENGTH_MAX)
    require_event(group, row, "review")
    project = row.project
    if by.party in project.assessment.assessors:
        raise DomainError("SELF_APPROVAL_FORBIDDEN")
    facts = acts.Facts(**act_facts(group, by), submitted_by=row.submitted_by)
    verdict = group.pack.require_duty(facts, (acts.PublishProject.act(),))
    project.review.CopyFrom(
        registers_pb2.TechnicalAssessment(
            passed=request.passed,
            assess_date=wire_date(group.legal_date),
            assessors=[by.party],
            opinion=opinion,
        )
    )
    if request.passed:
        change(group, row, REVIEWED, verdict, by.party)
    else:
        _end(group, row, by, opinion or "审查未通过 review not passed", verdict)
    store.update_project(group.connection, row)
    return project


def _object(
    group: Group, by: By, request: registers_pb2.ObjectToProjectRequest
) -> registers_pb2.ProjectObjection:
    row = require_project(group, request.project_id)
    text = require_text(request.text, "text", length_max=OPINION_LENGTH_MAX)
    project = row.project
    if project.state != OBJECTED:
        require_event(group, row, "object")
    if len(project.objections) >= OBJECTIONS_MAX:
        count = len(project.objections) + 1
        raise DomainError("BATCH_TOO_LARGE", field="text", limit=OBJECTIONS_MAX, count=count)
    objection = registers_pb2.ProjectObjection(
        number=len(project.objections) + 1, text=text, object_date=wire_date(group.legal_date)
    )
    project.objections.append(objection)
    if project.state != OBJECTED:
        verdict = group.pack.require_duty(acts.Facts(**act_facts(group, by)), ())
        change(group, row, OBJECTED, verdict, by.party)
    store.update_project(group.connection, row)
    return objection


def _answer(
    group: Group, by: By, request: registers_pb2.AnswerProjectObjectionRequest
) -> registers_pb2.Project:
    row = require_project(group, request.project_id)
    answer = require_text(request.answer, "answer", length_max=OPINION_LENGTH_MAX)
    require_state(row, OBJECTED)
    project = row.project
    facts = acts.Facts(**act_facts(group, by), submitted_by=row.submitted_by)
    verdict = group.pack.require_duty(facts, publishing(project))
    if not 1 <= request.number <= len(project.objections):
        raise DomainError("NOT_FOUND", field="number", what="objection", id=str(request.number))
    objection: Any = project.objections[request.number - 1]
    if objection.answer:
        raise DomainError("ALREADY_EXISTS", field="number", what="answer", id=str(request.number))
    objection.answer, objection.upheld = answer, request.upheld
    objection.answer_date.CopyFrom(wire_date(group.legal_date))
    if request.upheld:
        _end(group, row, by, answer, verdict)
    elif all(one.answer for one in project.objections):
        change(group, row, NOTICE, verdict, by.party)
    store.update_project(group.connection, row)
    return project


def _end(group: Group, row: ProjectRow, by: By, reason: str, verdict: Any) -> None:  # noqa: ANN401 - a Verdict
    """Reject a project and let its claim go."""
    change(group, row, REJECTED, verdict, by.party, reason=reason)
    release_later(group, row.project.claim_id, claims_pb2.CLAIM_STATUS_REJECTED, reason)


def reviews(group: Group, row: ProjectRow) -> bool:
    """Whether the machine of this project has a review between assessment and publication."""
    account = require_owner(group, row.project.owner_account_id, "project.owner_account_id")
    machine = machine_of(group.pack, account, row.project.origin)
    return machine is not None and "review" in machine.events
