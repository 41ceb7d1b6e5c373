"""RegisterService: it translates. Who may call is the callers' table; who may decide is the rule pack's."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.message import Message

from tanqiao.api.region.v1 import registers_pb2, registers_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import page, require_text
from tanqiao_region.application.claim_steps import Ask
from tanqiao_region.application.methodologies import Methodologies
from tanqiao_region.application.project_steps import ProjectSteps
from tanqiao_region.application.register_reads import RegisterReads
from tanqiao_region.application.registers import Registers
from tanqiao_region.server.wire import by_caller, client_request

ID_LENGTH_MAX: Final = 64


def ask_of(request: Message, request_id: str) -> Ask:
    """Give the command behind a request: who asks, under which id, with which body."""
    return Ask(
        client_request(request, request_id), by_caller(), request.SerializeToString(deterministic=True)
    )


def is_public(region_code: str) -> bool:
    """Whether the caller is anybody: not an office or participant of this region."""
    caller = current_caller()
    return not (caller.kind == "operator" and caller.region_code == region_code)


def public_project(project: registers_pb2.Project, region_code: str) -> registers_pb2.Project:
    """Leave out what is not for everybody: account numbers, and the papers of the file (SH-22b, SZ-29)."""
    if is_public(region_code):
        project.ClearField("owner_account_id")
        project.ClearField("documents")
        project.verifier.ClearField("party")
        project.feed.ClearField("test_record")
    return project


class RegisterServicer(registers_pb2_grpc.RegisterServiceServicer):
    """Methodologies and projects."""

    def __init__(
        self,
        methodologies: Methodologies,
        registers: Registers,
        steps: ProjectSteps,
        reads: RegisterReads,
        region_code: str,
    ) -> None:
        self._region_code = region_code
        self._methodologies = methodologies
        self._registers = registers
        self._steps = steps
        self._reads = reads

    def PublishMethodology(
        self, request: registers_pb2.PublishMethodologyRequest, context: grpc.ServicerContext
    ) -> registers_pb2.PublishMethodologyResponse:
        """Publish a methodology."""
        del context
        _require_field(request, "methodology")
        return self._methodologies.publish(ask_of(request, request.request_id), request)

    def ListMethodologies(
        self, request: registers_pb2.ListMethodologiesRequest, context: grpc.ServicerContext
    ) -> registers_pb2.ListMethodologiesResponse:
        """Give the public list of methodologies in the order of their numbers."""
        del context
        asked = page(request.page_size, request.page_token)
        found = self._reads.methodologies(asked.after, asked.size + 1)
        shown = found[: asked.size]
        more = len(found) > asked.size
        return registers_pb2.ListMethodologiesResponse(
            methodologies=shown, next_page_token=asked.token(shown[-1].methodology_id) if more else ""
        )

    def SubmitProject(
        self, request: registers_pb2.SubmitProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.SubmitProjectResponse:
        """Submit a project and declare its claim."""
        del context
        _require_field(request, "project")
        return self._registers.submit_project(ask_of(request, request.request_id), request)

    def AssessProject(
        self, request: registers_pb2.AssessProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.AssessProjectResponse:
        """Record the technical assessment."""
        del context
        return self._registers.assess_project(ask_of(request, request.request_id), request)

    def OpenProjectNotice(
        self, request: registers_pb2.OpenProjectNoticeRequest, context: grpc.ServicerContext
    ) -> registers_pb2.OpenProjectNoticeResponse:
        """Open the public notice."""
        del context
        return self._registers.open_notice(ask_of(request, request.request_id))

    def PublishProject(
        self, request: registers_pb2.PublishProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.PublishProjectResponse:
        """Publish a project after its notice."""
        del context
        return self._registers.publish_project(ask_of(request, request.request_id))

    def AppointProjectVerifier(
        self, request: registers_pb2.AppointProjectVerifierRequest, context: grpc.ServicerContext
    ) -> registers_pb2.AppointProjectVerifierResponse:
        """Appoint a project's third party."""
        del context
        return self._steps.appoint(ask_of(request, request.request_id), request)

    def FileProjectReports(
        self, request: registers_pb2.FileProjectReportsRequest, context: grpc.ServicerContext
    ) -> registers_pb2.FileProjectReportsResponse:
        """File the reports of the appointed third party."""
        del context
        return self._steps.file_reports(ask_of(request, request.request_id), request)

    def ReviewProject(
        self, request: registers_pb2.ReviewProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.ReviewProjectResponse:
        """Review what the experts found."""
        del context
        return self._steps.review(ask_of(request, request.request_id), request)

    def ObjectToProject(
        self, request: registers_pb2.ObjectToProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.ObjectToProjectResponse:
        """Object while the notice runs."""
        del context
        return self._steps.object_to(ask_of(request, request.request_id), request)

    def AnswerProjectObjection(
        self, request: registers_pb2.AnswerProjectObjectionRequest, context: grpc.ServicerContext
    ) -> registers_pb2.AnswerProjectObjectionResponse:
        """Answer an objection."""
        del context
        return self._steps.answer(ask_of(request, request.request_id), request)

    def WithdrawProject(
        self, request: registers_pb2.WithdrawProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.WithdrawProjectResponse:
        """Withdraw a project that is not published."""
        del context
        return self._registers.withdraw_project(ask_of(request, request.request_id), request)

    def GetProject(
        self, request: registers_pb2.GetProjectRequest, context: grpc.ServicerContext
    ) -> registers_pb2.GetProjectResponse:
        """Give a project as it stands."""
        del context
        project_id = require_text(request.project_id, "project_id", length_max=ID_LENGTH_MAX)
        project = public_project(self._reads.project(project_id), self._region_code)
        return registers_pb2.GetProjectResponse(project=project)

    def ListProjects(
        self, request: registers_pb2.ListProjectsRequest, context: grpc.ServicerContext
    ) -> registers_pb2.ListProjectsResponse:
        """Give projects in the order of their ids, of one state or of any."""
        del context
        asked = page(request.page_size, request.page_token, int(request.state))
        found = self._reads.projects(int(request.state), asked.after, asked.size + 1)
        shown = found[: asked.size]
        more = len(found) > asked.size
        return registers_pb2.ListProjectsResponse(
            projects=[public_project(one, self._region_code) for one in shown],
            next_page_token=asked.token(shown[-1].project_id) if more else "",
        )


def _require_field(request: Message, name: str) -> None:
    if not request.HasField(name):
        raise DomainError("FIELD_MISSING", field=name)
