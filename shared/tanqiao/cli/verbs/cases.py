"""`tanqiao cases`: what people must settle, in whose queue it stands, and how two bodies resolve it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.cli.order_files import read_order
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import parse_references
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.signed_answers import SignedAnswers, with_signed
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.bridge import CLOCK_OPERATOR
from tanqiao.cli.verbs.orders import FILE, authority_of, write_unsigned
from tanqiao.kernel.errors import DomainError

PAGE_SIZE: Final = 200
RESOLUTIONS: Final = {
    "allow": cases_pb2.RESOLUTION_ALLOW,
    "block": cases_pb2.RESOLUTION_BLOCK,
    "split": cases_pb2.RESOLUTION_SPLIT,
}
RELATIONS: Final = {
    "same": cases_pb2.ALIAS_RELATION_SAME,
    "different": cases_pb2.ALIAS_RELATION_DIFFERENT,
}
STATES: Final = ("open", "allowed", "blocked", "split", "settled")


@click.group()
def cases() -> None:
    """Cases that people settle: holds, contests, claims found to be on one asset, late facts."""


@cases.command("list", cls=Verb)
@click.option("--body", default="", help="In whose queue: shanghai, 440300 … or bridge for the national one.")
@click.option("--state", type=click.Choice(STATES), help="Only cases in this state.")
@click.option("--claim", "claim_id", default="", help="Only cases that name this claim.")
@with_signed
@click.pass_obj
def list_cases(session: Session, body: str, state: str | None, claim_id: str, signed: Path | None) -> None:
    """List cases, oldest first; `tanqiao claims conflicts` has more filters, and exports."""
    answer = session.bridge.cases.ListCases(
        cases_pb2.ListCasesRequest(
            body=authority_of(body) if body else "",
            state=state or "",
            claim_id=claim_id,
            page_size=PAGE_SIZE,
        )
    )
    with SignedAnswers(signed) as answers:
        answers.keep(answer.envelope)
    session.output.rows(
        ("案件 case", "事由 kind", "状态 state", "办理 body", "主张 claims", "期限 due"),
        [
            (
                str(case.case_id),
                case.kind,
                case.state,
                case.body,
                ", ".join(case.claim_ids) or case.subject,
                case.deadline_time.ToDatetime().date().isoformat() if case.HasField("deadline_time") else "–",
            )
            for case in answer.cases
        ],
        json_value=message_fields(answer),
    )


@cases.command("show", cls=Verb)
@click.argument("case_id", type=click.IntRange(min=1))
@with_signed
@click.pass_obj
def show_case(session: Session, case_id: int, signed: Path | None) -> None:
    """Show one case with its history."""
    answer = session.bridge.cases.GetCase(cases_pb2.GetCaseRequest(case_id=case_id))
    with SignedAnswers(signed) as answers:
        answers.keep(answer.envelope)
    case = answer.case
    session.output.message(
        answer,
        {
            "案件 case": str(case.case_id),
            "事由 kind": case.kind,
            "状态 state": case.state,
            "办理 body": case.body,
            "主张 claims": "\n".join(case.claim_ids) or case.subject,
            "条款 article": case.article or "–",
            "矩阵 matrix": case.matrix_version or "–",
            "停止划转 blocking": "✓" if case.blocking else "–",
            "经过 history": "\n".join(
                f"{event.event_time.ToJsonString()} {event.what} {event.by} {event.document}".rstrip()
                for event in answer.events
            ),
        },
    )


@cases.command("resolve", cls=Verb)
@click.argument("case_id", type=click.IntRange(min=1))
@click.argument("file", type=FILE)
@click.option(
    "--as", "resolution", type=click.Choice(sorted(RESOLUTIONS)), required=True, help="How the case ends."
)
@click.option("--authority", required=True, help="Whose approver signs first: shanghai, 440300 … or bridge.")
@click.option("--claim", "claim_ids", multiple=True, help="Of a block: the claims that are barred.")
@click.option("--reason", required=True, help="Why, in words; it is signed.")
@click.option("--document", required=True, help="Reference of the document that it rests on.")
@click.option(
    "--key-epoch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Epoch of the approvers' keys, as `keys list` shows.",
)
@click.pass_obj
def resolve_case(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    case_id: int,
    file: Path,
    resolution: str,
    authority: str,
    claim_ids: tuple[str, ...],
    reason: str,
    document: str,
    key_epoch: int,
) -> None:
    """Write a resolution that nobody has signed yet to FILE; approvers of two bodies sign with `approve`."""
    order = cases_pb2.CaseResolution(
        case_id=case_id,
        resolution=RESOLUTIONS[resolution],
        claim_ids=claim_ids,
        reason=reason,
        document=document,
    )
    write_unsigned(session, file, order, authority_of(authority), key_epoch, "bridge")


@cases.command("alias", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--ref", "references", multiple=True, required=True, help="scheme=value; twice.")
@click.option(
    "--as",
    "relation",
    type=click.Choice(sorted(RELATIONS)),
    required=True,
    help="How the references belong together.",
)
@click.option("--authority", required=True, help="Whose approver signs first: shanghai, 440300 … or bridge.")
@click.option("--reason", required=True, help="Why, in words; it is signed.")
@click.option("--document", required=True, help="Reference of the review that it rests on.")
@click.option(
    "--key-epoch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Epoch of the approvers' keys, as `keys list` shows.",
)
@click.pass_obj
def decide_alias(
    session: Session,
    file: Path,
    references: tuple[str, ...],
    relation: str,
    authority: str,
    reason: str,
    document: str,
    key_epoch: int,
) -> None:
    """Write a decision that two references mean one asset, or two; approvers of two bodies sign it."""
    named = parse_references(references)
    if len(named) != len(("first", "second")):
        raise DomainError("FIELD_INVALID", field="--ref", detail="exactly two references")
    order = cases_pb2.AliasDecision(
        first=named[0], second=named[1], relation=RELATIONS[relation], reason=reason, document=document
    )
    write_unsigned(session, file, order, authority_of(authority), key_epoch, "bridge")


@cases.command("submit", cls=Verb)
@click.argument("file", type=FILE)
@click.pass_obj
def submit_decision(session: Session, file: Path) -> None:
    """Bring the signed resolution or alias decision in FILE to the bridge."""
    envelope, order = read_order(file)
    stub = session.as_party(CLOCK_OPERATOR).bridge.cases
    if isinstance(order, cases_pb2.CaseResolution):
        session.output.message(
            stub.ResolveCase(cases_pb2.ResolveCaseRequest(request_id=new_request_id(), resolution=envelope))
        )
    elif isinstance(order, cases_pb2.AliasDecision):
        session.output.message(
            stub.DecideAlias(cases_pb2.DecideAliasRequest(request_id=new_request_id(), decision=envelope))
        )
    else:
        raise DomainError("MESSAGE_MALFORMED", detail=f"the file holds a {type(order).__name__}")


@cases.command("aliases", cls=Verb)
@click.option("--ref", "references", multiple=True, required=True, help="scheme=value")
@click.pass_obj
def list_aliases(session: Session, references: tuple[str, ...]) -> None:
    """Show which references mean the asset of one, and the decisions behind it."""
    answer = session.bridge.cases.ListAliases(
        cases_pb2.ListAliasesRequest(reference=parse_references(references[:1])[0])
    )
    session.output.rows(
        ("序号 index", "编号 first", "编号 second", "关系 relation"),
        [
            (
                str(one.log_index),
                _shown(one.first),
                _shown(one.second),
                cases_pb2.AliasRelation.Name(one.relation).removeprefix("ALIAS_RELATION_"),
            )
            for one in answer.decisions
        ],
        json_value=message_fields(answer),
    )


def _shown(reference: claims_pb2.AssetReference) -> str:
    return f"{reference.scheme}={reference.value}"
