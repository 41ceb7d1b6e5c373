"""`tanqiao dossier`, `expert`: methodologies, norms, scenes and bodies, from application to register."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.cli.acting import acting, client_for, party_for
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import date_text, read_message
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.decisions import until_option, write_decision

PAGE_SIZE: Final = 200
KINDS: Final = {
    name.removeprefix("DOSSIER_KIND_").lower().replace("_", "-"): number
    for name, number in dossiers_pb2.DossierKind.items()
    if number
}
_KIND: Final = click.argument("kind", type=click.Choice(sorted(KINDS)))
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def dossier() -> None:
    """Applications to the registers that hold no units: methodologies, norms, scenes, bodies."""


@dossier.command("open", cls=Verb)
@acting
@_KIND
@click.argument("file", type=_FILE)
@click.pass_obj
def open_dossier(session: Session, region_name: str, role: str | None, kind: str, file: Path) -> None:
    """Open the dossier in FILE: a Dossier in JSON (see proto/…/dossiers.proto)."""
    given = read_message(file, dossiers_pb2.Dossier())
    given.kind = KINDS[kind]
    request = dossiers_pb2.OpenDossierRequest(request_id=new_request_id(), dossier=given)
    client = client_for(session, region_name, "dossier", role)
    session.output.message(client.dossiers.OpenDossier(request).dossier)


def _evidence(file: Path | None, reason: str) -> dossiers_pb2.StepEvidence:
    evidence = dossiers_pb2.StepEvidence()
    if file is not None:
        read_message(file, evidence)
    if reason:
        evidence.reason = reason
    return evidence


@dossier.command("step", cls=Verb)
@acting
@_KIND
@click.argument("dossier_id")
@click.argument("event")
@click.option("--evidence", "file", type=_FILE, help="What the step brings: a StepEvidence in JSON.")
@click.option("--reason", default="", help="Why: for a rejection, withdrawal, suspension …")
@click.pass_obj
def step(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Take an EVENT of the state machine: submit, draw_panel, evaluate, label, publish, and so on."""
    request = dossiers_pb2.TakeStepRequest(
        request_id=new_request_id(),
        kind=KINDS[values["kind"]],
        dossier_id=values["dossier_id"],
        event=values["event"],
        evidence=_evidence(values["file"], values["reason"]),
    )
    client = client_for(session, region_name, "dossier", role)
    session.output.message(client.dossiers.TakeStep(request).dossier)


@dossier.command("prepare", cls=Verb)
@acting
@_KIND
@click.argument("dossier_id")
@click.argument("event")
@click.argument("out", type=_FILE)
@click.option("--evidence", "file", type=_FILE, help="The evidence that the step will bring, alike.")
@click.option("--reason", default="", help="The reason that the step will give, alike.")
@until_option
@click.pass_obj
def prepare(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Write a decision to OUT: both bodies sign it (`approve`), then `decision submit`, then the step."""
    request = dossiers_pb2.SignStepRequest(
        request_id=new_request_id(),
        kind=KINDS[values["kind"]],
        dossier_id=values["dossier_id"],
        event=values["event"],
        evidence=_evidence(values["file"], values["reason"]),
        validate_only=True,
    )
    to_sign = client_for(session, region_name, "dossier", role).dossiers.SignStep(request).to_sign
    first = party_for(region_name, "dossier", role)
    write_decision(session, values["out"], to_sign, first, until=values["until"])


@dossier.command("seed", cls=Verb)
@acting
@click.argument("dossier_id")
@click.option("--commit-to", help="The share, kept to yourself: only its SHA-256 is sent.")
@click.option("--reveal", help="The share, once every commitment is on record: 16 to 64 bytes.")
@click.pass_obj
def seed(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Commit to a share of the seed of a methodology's expert draw, or reveal it."""
    request = dossiers_pb2.GiveSeedShareRequest(
        request_id=new_request_id(), kind=KINDS["methodology"], dossier_id=values["dossier_id"]
    )
    if values["commit_to"] is not None:
        request.commitment = hashlib.sha256(values["commit_to"].encode()).digest()
    if values["reveal"] is not None:
        request.share = values["reveal"].encode()
    client = client_for(session, region_name, "dossier", role)
    session.output.message(client.dossiers.GiveSeedShare(request).dossier)


@dossier.command("show", cls=Verb)
@acting
@_KIND
@click.argument("dossier_id")
@click.pass_obj
def show(session: Session, region_name: str, role: str | None, kind: str, dossier_id: str) -> None:
    """Show a dossier as it stands."""
    request = dossiers_pb2.GetDossierRequest(kind=KINDS[kind], dossier_id=dossier_id)
    session.output.message(
        client_for(session, region_name, "read", role).dossiers.GetDossier(request).dossier
    )


@dossier.command("list", cls=Verb)
@acting
@_KIND
@click.option("--state", default="", help="Only those in this state.")
@click.pass_obj
def list_dossiers(session: Session, region_name: str, role: str | None, kind: str, state: str) -> None:
    """List the dossiers of a kind."""
    request = dossiers_pb2.ListDossiersRequest(kind=KINDS[kind], state=state, page_size=PAGE_SIZE)
    answer = client_for(session, region_name, "read", role).dossiers.ListDossiers(request)
    session.output.rows(
        ("案卷 dossier", "状态 state", "标题 title", "日期 since"),
        [(one.dossier_id, one.state, one.title, date_text(one.state_date)) for one in answer.dossiers],
        json_value=message_fields(answer),
    )


@dossier.command("history", cls=Verb)
@acting
@_KIND
@click.argument("dossier_id")
@click.pass_obj
def history(session: Session, region_name: str, role: str | None, kind: str, dossier_id: str) -> None:
    """List every step of a dossier, oldest first, with the rules that were asked."""
    request = dossiers_pb2.ListDossierStepsRequest(
        kind=KINDS[kind], dossier_id=dossier_id, page_size=PAGE_SIZE
    )
    answer = client_for(session, region_name, "read", role).dossiers.ListDossierSteps(request)
    show_steps(session, answer)


def show_steps(session: Session, answer: Any) -> None:  # noqa: ANN401 - any response with a page of steps
    """Print the steps of an object, whose rules they stood on."""
    session.output.rows(
        ("步 step", "事项 event", "状态 state", "角色 role", "日期 date", "条款 rules"),
        [
            (
                str(one.step_number),
                one.event,
                one.to_state,
                one.role,
                date_text(one.legal_date),
                " ".join(one.rule_ids),
            )
            for one in answer.steps
        ],
        json_value=message_fields(answer),
    )


@click.group()
def expert() -> None:
    """The pool of experts of a region."""


@expert.command("keep", cls=Verb)
@acting
@click.argument("file", type=_FILE)
@click.pass_obj
def keep(session: Session, region_name: str, role: str | None, file: Path) -> None:
    """Appoint the expert in FILE, or write what stands in the pool from now on: an Expert in JSON."""
    request = dossiers_pb2.KeepExpertRequest(
        request_id=new_request_id(), expert=read_message(file, dossiers_pb2.Expert())
    )
    client = client_for(session, region_name, "methodology", role)
    session.output.message(client.dossiers.KeepExpert(request).expert)


@expert.command("list", cls=Verb)
@acting
@click.pass_obj
def list_experts(session: Session, region_name: str, role: str | None) -> None:
    """List the pool of experts."""
    request = dossiers_pb2.ListExpertsRequest(page_size=PAGE_SIZE)
    answer = client_for(session, region_name, "read", role).dossiers.ListExperts(request)
    session.output.rows(
        ("专家 expert", "姓名 name", "领域 fields", "单位 employer"),
        [(one.expert_id, one.name, " ".join(one.fields), one.employer) for one in answer.experts],
        json_value=message_fields(answer),
    )
