"""SceneService and ExperienceService: they translate."""

from __future__ import annotations

import grpc

from tanqiao.api.region.v1 import scenes_pb2, scenes_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.validation import require_text
from tanqiao_region.application.experience import Experience
from tanqiao_region.application.scenes import Scenes
from tanqiao_region.application.trips import Trips
from tanqiao_region.server.register_servicer import ask_of
from tanqiao_region.server.wire import by_caller


class SceneServicer(scenes_pb2_grpc.SceneServiceServicer):
    """Reduction scenes."""

    def __init__(self, scenes: Scenes, trips: Trips) -> None:
        self._scenes = scenes
        self._trips = trips

    def SignSceneDecision(
        self, request: scenes_pb2.SignSceneDecisionRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.SignSceneDecisionResponse:
        """Sign a decision that is taken together."""
        del context
        _require_decision(request)
        return self._scenes.sign(ask_of(request, request.request_id), request)

    def DecideScene(
        self, request: scenes_pb2.DecideSceneRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.DecideSceneResponse:
        """Take a decision about a scene."""
        del context
        _require_decision(request)
        return self._scenes.decide(ask_of(request, request.request_id), request)

    def ValidateSceneData(
        self, request: scenes_pb2.ValidateSceneDataRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.ValidateSceneDataResponse:
        """Record that the data feed has passed its validation."""
        del context
        return self._scenes.validate_data(ask_of(request, request.request_id), request)

    def ConnectScene(
        self, request: scenes_pb2.ConnectSceneRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.ConnectSceneResponse:
        """Connect the data feed."""
        del context
        return self._scenes.connect(ask_of(request, request.request_id), request)

    def SubmitTrips(
        self, request: scenes_pb2.SubmitTripsRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.SubmitTripsResponse:
        """Record trips, all or none."""
        del context
        return self._trips.submit_trips(ask_of(request, request.request_id), request)


class ExperienceServicer(scenes_pb2_grpc.ExperienceServiceServicer):
    """Experience values."""

    def __init__(self, experience: Experience) -> None:
        self._experience = experience

    def RecordExperience(
        self, request: scenes_pb2.RecordExperienceRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.RecordExperienceResponse:
        """Record experience values, all or none."""
        del context
        return self._experience.record(ask_of(request, request.request_id), request)

    def GetExperience(
        self, request: scenes_pb2.GetExperienceRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.GetExperienceResponse:
        """Give the values of the caller's own account."""
        del context
        account_id = require_text(request.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX)
        return self._experience.of_account(by_caller(), account_id)

    def ConvertExperience(
        self, request: scenes_pb2.ConvertExperienceRequest, context: grpc.ServicerContext
    ) -> scenes_pb2.ConvertExperienceResponse:
        """Refuse a conversion, with the article."""
        del context
        return self._experience.convert(ask_of(request, request.request_id), request)


def _require_decision(request: scenes_pb2.SignSceneDecisionRequest | scenes_pb2.DecideSceneRequest) -> None:
    if not request.HasField("decision"):
        raise DomainError("FIELD_MISSING", field="decision")
