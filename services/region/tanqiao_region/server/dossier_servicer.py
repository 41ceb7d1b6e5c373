"""DossierService: it translates. Who may call is the callers' table; who may decide is the rule pack's."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import dossiers_pb2, dossiers_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import page, parse_serial, require_enum
from tanqiao_region.application.dossiers import DossierReads, Dossiers
from tanqiao_region.application.experts import Experts
from tanqiao_region.server.register_servicer import ask_of, is_public


class DossierServicer(dossiers_pb2_grpc.DossierServiceServicer):
    """Dossiers and the expert pool."""

    def __init__(
        self,
        dossiers: Dossiers,
        reads: DossierReads,
        experts: Experts,
        region_code: str,
        *,
        public_pool: bool,
    ) -> None:
        self._dossiers = dossiers
        self._reads = reads
        self._experts = experts
        self._region_code = region_code
        self._public_pool = public_pool

    def OpenDossier(
        self, request: dossiers_pb2.OpenDossierRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.OpenDossierResponse:
        """Open a dossier."""
        del context
        if not request.HasField("dossier"):
            raise DomainError("FIELD_MISSING", field="dossier")
        return self._dossiers.open(ask_of(request, request.request_id), request)

    def TakeStep(
        self, request: dossiers_pb2.TakeStepRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.TakeStepResponse:
        """Take a step."""
        del context
        return self._dossiers.take_step(ask_of(request, request.request_id), request)

    def SignStep(
        self, request: dossiers_pb2.SignStepRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.SignStepResponse:
        """Sign a decision that is taken together."""
        del context
        return self._dossiers.sign_step(ask_of(request, request.request_id), request)

    def GiveSeedShare(
        self, request: dossiers_pb2.GiveSeedShareRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.GiveSeedShareResponse:
        """Commit to a share of the seed, or reveal it."""
        del context
        return self._dossiers.give_share(ask_of(request, request.request_id), request)

    def GetDossier(
        self, request: dossiers_pb2.GetDossierRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.GetDossierResponse:
        """Give a dossier as it stands."""
        del context
        require_enum(request.kind, "kind")
        found = self._reads.dossier(request.kind, request.dossier_id, viewer=self._viewer())
        return dossiers_pb2.GetDossierResponse(dossier=self._shown(found))

    def ListDossiers(
        self, request: dossiers_pb2.ListDossiersRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.ListDossiersResponse:
        """Give dossiers of a kind in the order of their ids."""
        del context
        require_enum(request.kind, "kind")
        asked = page(request.page_size, request.page_token, int(request.kind), request.state)
        found = self._reads.dossiers(
            request.kind, request.state, asked.after, asked.size + 1, public=is_public(self._region_code)
        )
        shown = found[: asked.size]
        more = len(found) > asked.size
        return dossiers_pb2.ListDossiersResponse(
            dossiers=[self._shown(one) for one in shown],
            next_page_token=asked.token(shown[-1].dossier_id) if more else "",
        )

    def ListDossierSteps(
        self, request: dossiers_pb2.ListDossierStepsRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.ListDossierStepsResponse:
        """Give a dossier's history, oldest first."""
        del context
        require_enum(request.kind, "kind")
        asked = page(request.page_size, request.page_token, int(request.kind), request.dossier_id)
        found = self._reads.steps(
            request.kind,
            request.dossier_id,
            asked.read(parse_serial, 0),
            asked.size + 1,
            viewer=self._viewer(),
        )
        shown = found[: asked.size]
        more = len(found) > asked.size
        return dossiers_pb2.ListDossierStepsResponse(
            steps=shown, next_page_token=asked.token(str(shown[-1].step_number)) if more else ""
        )

    def KeepExpert(
        self, request: dossiers_pb2.KeepExpertRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.KeepExpertResponse:
        """Appoint an expert, or change what stands in the pool."""
        del context
        if not request.HasField("expert"):
            raise DomainError("FIELD_MISSING", field="expert")
        return self._experts.keep(ask_of(request, request.request_id), request)

    def ListExperts(
        self, request: dossiers_pb2.ListExpertsRequest, context: grpc.ServicerContext
    ) -> dossiers_pb2.ListExpertsResponse:
        """Give the pool: to everybody where the text publishes it, else to the offices alone."""
        del context
        asked = page(request.page_size, request.page_token)
        stranger = is_public(self._region_code)
        if stranger and not self._public_pool:
            return dossiers_pb2.ListExpertsResponse()
        found = self._reads.experts(asked.after, asked.size + 1)
        shown = found[: asked.size]
        more = len(found) > asked.size
        if stranger:
            for one in shown:
                one.ClearField("interests")
        return dossiers_pb2.ListExpertsResponse(
            experts=shown, next_page_token=asked.token(shown[-1].expert_id) if more else ""
        )

    def _viewer(self) -> str | None:
        return current_caller().party if is_public(self._region_code) else None

    def _shown(self, message: dossiers_pb2.Dossier) -> dossiers_pb2.Dossier:
        """Leave out what is not for everybody: account numbers, the papers of the file, the panel's names."""
        if is_public(self._region_code):
            for name in ("account_id", "documents", "panel", "seed_shares"):
                message.ClearField(name)
            message.assessment.ClearField("assessors")
        return message
