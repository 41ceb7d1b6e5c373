"""`tanqiao reserve`: entries of Yunnan's carbon-resource reserve, what becomes of them, proofs of filing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import reserve_pb2
from tanqiao.cli.acting import acting, client_for
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import date_text, read_message, shown_name, to_date
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.proving import not_proven, policy_of
from tanqiao.kernel.periods import parse_date

PAGE_SIZE: Final = 500


@click.group()
def reserve() -> None:
    """Yunnan's carbon-resource reserve: entries, never units."""


@reserve.command("enter", cls=Verb)
@acting
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def enter(session: Session, region_name: str, role: str | None, file: Path) -> None:
    """Enter the resource in FILE: a CarbonResource in JSON (see proto/…/reserve.proto)."""
    client = client_for(session, region_name, "reserve", role)
    resource = read_message(file, reserve_pb2.CarbonResource())
    request = reserve_pb2.EnterResourceRequest(request_id=new_request_id(), resource=resource)
    session.output.message(client.reserve.EnterResource(request))


@reserve.command("list", cls=Verb)
@acting
@click.option("--page-token", default="", help="As the page before gave it.")
@click.pass_obj
def list_resources(session: Session, region_name: str, role: str | None, page_token: str) -> None:
    """List a page of the reserve: entries of low-income areas first."""
    client = client_for(session, region_name, "read", role)
    answer = client.reserve.ListResources(
        reserve_pb2.ListResourcesRequest(page_size=PAGE_SIZE, page_token=page_token)
    )
    session.output.rows(
        (
            "条目 entry",
            "名称 title",
            "种类 kind",
            "状态 state",
            "片区 area",
            "潜力 potential kg/y",
            "衔接 linked to",
        ),
        [
            (
                one.entry_id,
                shown_name(one.title, invented=one.invented),
                one.resource_kind,
                one.state,
                one.ftz_area or "–",
                one.potential_kg_per_year,
                _link_text(one.link),
            )
            for one in answer.resources
        ],
        json_value=message_fields(answer),
    )


@reserve.command("develop", cls=Verb)
@acting
@click.argument("entry_id")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def develop(session: Session, region_name: str, role: str | None, entry_id: str, request_id: str) -> None:
    """Say that an entry is being developed."""
    _take(session, region_name, role, _request(entry_id, "develop", request_id))


@reserve.command("link", cls=Verb)
@acting
@click.argument("entry_id")
@click.option("--programme", required=True, help="ccer, cdm, vcs, gs …")
@click.option("--reference", required=True, help="Number of the application there.")
@click.option("--state", default="", help="As the register there states it; with --source and --as-of.")
@click.option("--source", default="", help="Which list states it.")
@click.option("--as-of", default="", help="Of which day: 2026-03-01.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def link(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Hand an entry over to an application elsewhere."""
    request = _request(values["entry_id"], "link", values["request_id"])
    request.link.programme = values["programme"]
    request.link.outside_reference = values["reference"]
    request.link.outside_state = values["state"]
    request.link.source = values["source"]
    if values["as_of"]:
        request.link.as_of_date.CopyFrom(to_date(parse_date(values["as_of"])))
    _take(session, region_name, role, request)


@reserve.command("leave", cls=Verb)
@acting
@click.argument("entry_id")
@click.option("--reason", required=True, help="Registered elsewhere, abandoned …")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def leave(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Take an entry out of the reserve; it stays in the list as LEFT."""
    request = _request(values["entry_id"], "leave", values["request_id"])
    request.reason = values["reason"]
    _take(session, region_name, role, request)


@reserve.command("history", cls=Verb)
@acting
@click.argument("object_id")
@click.option("--proof", is_flag=True, help="OBJECT_ID is the number of a proof of filing.")
@click.pass_obj
def history(session: Session, region_name: str, role: str | None, object_id: str, proof: bool) -> None:
    """Show the steps of an entry, or of a proof of filing."""
    request = reserve_pb2.ListResourceStepsRequest(
        entry_id="" if proof else object_id, proof_number=object_id if proof else "", page_size=PAGE_SIZE
    )
    answer = client_for(session, region_name, "read", role).reserve.ListResourceSteps(request)
    session.output.rows(
        ("序号 step", "事项 event", "状态 state", "日期 date", "办理 role", "账簿序号 journal index"),
        [
            (one.step_number, one.event, one.to_state, date_text(one.legal_date), one.role, one.journal_index)
            for one in answer.steps
        ],
        json_value=message_fields(answer),
    )


@reserve.command("prove", cls=Verb)
@acting
@click.argument("entry_id")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for `tanqiao verify`, with what proves the region's key.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Policy under which the file is checked. [default: this federation's]",
)
@click.pass_obj
def prove(
    session: Session,
    region_name: str,
    role: str | None,
    entry_id: str,
    request_id: str,
    out: Path | None,
    policy_file: Path | None,
) -> None:
    """Sign a proof of filing over an entry as it stands."""
    request = reserve_pb2.IssueFilingProofRequest(
        request_id=request_id or new_request_id(), entry_id=entry_id
    )
    answer = client_for(session, region_name, "reserve", role).reserve.IssueFilingProof(request)
    proof = reserve_pb2.FilingProof.FromString(answer.proof.payload)
    if out is not None:
        out.write_bytes(_filing_file(session, answer.proof, policy_file))
    session.output.message(
        answer,
        {
            "证明 proof": answer.number,
            "条目 entry": proof.entry_id,
            "状态 state": proof.state,
            "衔接 linked to": _link_text(proof.link),
            "日期 date": date_text(proof.proof_date),
        },
    )


def _filing_file(session: Session, proof: envelope_pb2.Envelope, policy_file: Path | None) -> bytes:
    from tanqiao.client.proofs import ServedLog
    from tanqiao.offline.make import make_filing_proof
    from tanqiao.tlog.errors import TlogError

    try:
        data, _ = make_filing_proof(ServedLog(session.bridge), proof, policy_of(session, policy_file))
    except TlogError as refusal:
        raise not_proven(refusal) from None
    return data


def _request(entry_id: str, event: str, request_id: str | None) -> reserve_pb2.TakeResourceStepRequest:
    return reserve_pb2.TakeResourceStepRequest(
        request_id=request_id or new_request_id(), entry_id=entry_id, event=event
    )


def _take(
    session: Session, region_name: str, role: str | None, request: reserve_pb2.TakeResourceStepRequest
) -> None:
    one = client_for(session, region_name, "reserve", role).reserve.TakeResourceStep(request).resource
    session.output.message(
        one, {"条目 entry": one.entry_id, "状态 state": one.state, "衔接 linked to": _link_text(one.link)}
    )


def _link_text(link: reserve_pb2.ResourceLink) -> str:
    if not link.programme:
        return "–"
    state = (
        f" ({link.outside_state}, {link.source} {date_text(link.as_of_date)})" if link.outside_state else ""
    )
    return f"{link.programme} {link.outside_reference}{state}"
