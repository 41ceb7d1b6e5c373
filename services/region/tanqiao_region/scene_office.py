"""What a node has for reduction scenes and experience values, brought together for `bootstrap`."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao.api.region.v1 import scenes_pb2_grpc
from tanqiao.db.engine import Database
from tanqiao.rpc.server import Registration
from tanqiao_region.application.claim_steps import Submit
from tanqiao_region.application.experience import Experience
from tanqiao_region.application.scenes import Scenes
from tanqiao_region.application.trips import Trips
from tanqiao_region.server.scene_servicer import ExperienceServicer, SceneServicer


@dataclass(frozen=True, slots=True)
class SceneOffice:
    """Reduction scenes, their trips, experience values."""

    scenes: Scenes
    trips: Trips
    experience: Experience

    def registrations(self) -> list[Registration]:
        """Give the services."""
        return [
            Registration(
                scenes_pb2_grpc.add_SceneServiceServicer_to_server, SceneServicer(self.scenes, self.trips)
            ),
            Registration(
                scenes_pb2_grpc.add_ExperienceServiceServicer_to_server, ExperienceServicer(self.experience)
            ),
        ]


def build_scene_office(database: Database, submit: Submit) -> SceneOffice:
    """Give it."""
    return SceneOffice(Scenes(submit), Trips(submit), Experience(database, submit))
