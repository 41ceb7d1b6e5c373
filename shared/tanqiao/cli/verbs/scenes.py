"""`tanqiao scene`, `experience`: what reduction scenes have beside projects, and experience values."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.region.v1 import registers_pb2, scenes_pb2
from tanqiao.cli.acting import acting, client_for, party_for
from tanqiao.cli.parse import parse_period, read_message
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.decisions import until_option, write_decision
from tanqiao.kernel.errors import DomainError

DECISIONS: Final = {
    name.removeprefix("SCENE_DECISION_KIND_").lower(): number
    for name, number in scenes_pb2.SceneDecisionKind.items()
    if number
}
TARGETS: Final = {
    "reductions": scenes_pb2.EXPERIENCE_TARGET_REDUCTIONS,
    "points": scenes_pb2.EXPERIENCE_TARGET_POINTS,
}
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def scene() -> None:
    """Reduction scenes: decisions of two bodies, the data feed, trips; the rest is `tanqiao project`."""


def _decision(values: dict[str, Any]) -> scenes_pb2.SceneDecision:
    decision = scenes_pb2.SceneDecision(
        project_id=values["scene_id"],
        kind=DECISIONS[values["decision"]],
        passed=not values.get("failed", False),
        opinion=values.get("opinion", ""),
        reason=values["reason"],
    )
    if values["period"]:
        decision.period.CopyFrom(parse_period(values["period"]))
    return decision


@scene.command("prepare", cls=Verb)
@acting
@click.argument("scene_id")
@click.argument("decision", type=click.Choice(sorted(DECISIONS)))
@click.argument("out", type=_FILE)
@click.option("--period", default="", help="Authorise: the period, 2026-01-01..2027-01-01.")
@click.option("--reason", default="", help="Suspend, resume, end: why.")
@click.option("--opinion", default="", help="Assess: the opinion, alike when it is taken.")
@click.option("--failed", is_flag=True, help="Assess: the scene did not pass.")
@until_option
@click.pass_obj
def prepare(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Write a DECISION about a scene to OUT: both bodies sign it (`approve`), then `decision submit`."""
    request = scenes_pb2.SignSceneDecisionRequest(
        request_id=new_request_id(), decision=_decision(values), validate_only=True
    )
    to_sign = client_for(session, region_name, "dossier", role).scenes.SignSceneDecision(request).to_sign
    first = party_for(region_name, "dossier", role)
    write_decision(session, values["out"], to_sign, first, until=values["until"])


@scene.command("decide", cls=Verb)
@acting
@click.argument("scene_id")
@click.argument("decision", type=click.Choice(sorted(set(DECISIONS) - {"assess", "publish"})))
@click.option("--period", default="", help="Authorise: the period, 2026-01-01..2027-01-01.")
@click.option("--reason", default="", help="Suspend, resume, end: why.")
@click.pass_obj
def decide(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Take a DECISION that both bodies have signed; `tanqiao project` takes assess and publish."""
    request = scenes_pb2.DecideSceneRequest(request_id=new_request_id(), decision=_decision(values))
    session.output.message(
        client_for(session, region_name, "dossier", role).scenes.DecideScene(request).project
    )


@scene.command("validate", cls=Verb)
@acting
@click.argument("scene_id")
@click.argument("record", type=_FILE)
@click.pass_obj
def validate(session: Session, region_name: str, role: str | None, scene_id: str, record: Path) -> None:
    """Note that the data feed passed its validation; of RECORD the digest is kept."""
    if not record.is_file():
        raise DomainError("FILE_MISSING", file=record)
    digest = hashlib.sha256(record.read_bytes()).digest()
    request = scenes_pb2.ValidateSceneDataRequest(
        request_id=new_request_id(),
        project_id=scene_id,
        test_record=registers_pb2.ProjectDocument(kind="feed_test", name=record.name, digest=digest),
    )
    client = client_for(session, region_name, "dossier", role)
    session.output.message(client.scenes.ValidateSceneData(request).project)


@scene.command("connect", cls=Verb)
@acting
@click.argument("scene_id")
@click.option("--system", required=True, help="The system that records behaviour and computes.")
@click.pass_obj
def connect(session: Session, region_name: str, role: str | None, scene_id: str, system: str) -> None:
    """Connect a validated data feed: data count from now on."""
    request = scenes_pb2.ConnectSceneRequest(
        request_id=new_request_id(), project_id=scene_id, information_system=system
    )
    client = client_for(session, region_name, "dossier", role)
    session.output.message(client.scenes.ConnectScene(request).project)


@scene.command("trips", cls=Verb)
@acting
@click.argument("scene_id")
@click.argument("file", type=_FILE)
@click.pass_obj
def trips(session: Session, region_name: str, role: str | None, scene_id: str, file: Path) -> None:
    """Hand in the trips in FILE: a SubmitTripsRequest in JSON (see proto/…/scenes.proto)."""
    request = read_message(file, scenes_pb2.SubmitTripsRequest())
    request.request_id = request.request_id or new_request_id()
    request.project_id = scene_id
    session.output.message(client_for(session, region_name, "operate", role).scenes.SubmitTrips(request))


@click.group()
def experience() -> None:
    """Experience values of behaviour scenes: never units, never points."""


@experience.command("record", cls=Verb)
@acting
@click.argument("file", type=_FILE)
@click.pass_obj
def record_values(session: Session, region_name: str, role: str | None, file: Path) -> None:
    """Record the values in FILE: a RecordExperienceRequest in JSON."""
    request = read_message(file, scenes_pb2.RecordExperienceRequest())
    request.request_id = request.request_id or new_request_id()
    client = client_for(session, region_name, "dossier", role)
    session.output.message(client.experience.RecordExperience(request))


@experience.command("show", cls=Verb)
@acting
@click.argument("account_id")
@click.pass_obj
def show(session: Session, region_name: str, role: str | None, account_id: str) -> None:
    """Show the values of an account to its holder."""
    request = scenes_pb2.GetExperienceRequest(account_id=account_id)
    session.output.message(client_for(session, region_name, "hold", role).experience.GetExperience(request))


@experience.command("convert", cls=Verb)
@acting
@click.argument("account_id")
@click.argument("target", type=click.Choice(sorted(TARGETS)))
@click.option("--value", type=int, required=True, help="How much.")
@click.pass_obj
def convert(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Ask to convert values; always refused, with the article."""
    request = scenes_pb2.ConvertExperienceRequest(
        request_id=new_request_id(),
        account_id=values["account_id"],
        target=TARGETS[values["target"]],
        value=values["value"],
    )
    client = client_for(session, region_name, "hold", role)
    session.output.message(client.experience.ConvertExperience(request))
