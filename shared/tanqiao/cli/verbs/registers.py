"""`tanqiao methodology`, `project`, `activity`, `issue`: from a plant to units."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.cli.acting import acting, client_for, party_for
from tanqiao.cli.output import EXIT_REFUSED, message_fields
from tanqiao.cli.parse import (
    blocks_text,
    date_text,
    parse_period,
    parse_references,
    period_text,
    read_message,
    shown_name,
    to_date,
)
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.decisions import approval_options, is_only_prepared
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import parse_date
from tanqiao.signing.body_decisions import ISSUANCE

PAGE_SIZE: Final = 200
CHUNK_BYTES: Final = 256 * 1024
ROWS_SHOWN_MAX: Final = 20


@click.group()
def methodology() -> None:
    """Methodologies of a region."""


@methodology.command("publish", cls=Verb)
@acting
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def publish_methodology(session: Session, region_name: str, role: str | None, file: Path) -> None:
    """Publish the methodology in FILE: a PublishMethodologyRequest in JSON (see proto/…/registers.proto)."""
    client = client_for(session, region_name, "methodology", role)
    request = read_message(file, registers_pb2.PublishMethodologyRequest())
    request.request_id = request.request_id or new_request_id()
    session.output.message(client.registers.PublishMethodology(request).methodology)


@methodology.command("list", cls=Verb)
@acting
@click.pass_obj
def list_methodologies(session: Session, region_name: str, role: str | None) -> None:
    """List the methodologies that a region has published."""
    client = client_for(session, region_name, "read", role)
    answer = client.registers.ListMethodologies(registers_pb2.ListMethodologiesRequest(page_size=PAGE_SIZE))
    session.output.rows(
        ("方法学 methodology", "类别 class", "标题 title", "公布 published", "计算 quantification"),
        [
            (
                one.methodology_id,
                one.unit_class or "–",
                shown_name(one.title, invented=one.invented),
                date_text(one.publish_date),
                one.quantification,
            )
            for one in answer.methodologies
        ],
        json_value=message_fields(answer),
    )


PROJECT_STATES: Final = tuple(
    name.removeprefix("PROJECT_STATE_") for name, number in registers_pb2.ProjectState.items() if number
)


@click.group()
def project() -> None:
    """Projects of a region: submit, assess, notice, publish."""


@project.command("submit", cls=Verb)
@acting
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="A Project in JSON.")
@click.option("--id", "project_id", help="Its number: letters, digits, dot, dash; part of each serial.")
@click.option("--title", help="Name of the project.")
@click.option("--account", help="Account of the owner, which is credited.")
@click.option("--methodology", "methodology_id", help="For instance SHCER01010012024I.")
@click.option("--ref", "references", multiple=True, help="Codes of the asset, scheme=value; repeatable.")
@click.option("--kind", help="What the asset is: distributed_pv …")
@click.option("--asset-name", help="Name of the plant.")
@click.option("--asset-region", help="Division code of the place.")
@click.option("--capacity-kw", type=click.IntRange(min=1), help="Installed capacity.")
@click.option("--crediting", help="Crediting period: 2026-01-01..2036-01-01")
@click.option("--connected", help="Day of grid connection.")
@click.option("--commitment", is_flag=True, help="The owner promises not to take part elsewhere.")
@click.option("--freeze-consent", is_flag=True, help="The owner agrees that unsold certificates be frozen.")
@click.option("--document", "documents", multiple=True, help="kind=name or kind=name@body; repeatable.")
@click.option("--invented", is_flag=True, help="Invented, for demonstration 虚构.")
@click.option("--validate-only", is_flag=True, help="Check and change nothing.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def submit(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Submit a project; its claim is declared at the bridge, and refused where it collides."""
    client = client_for(session, region_name, "submit", role)
    answer = client.registers.SubmitProject(
        registers_pb2.SubmitProjectRequest(
            request_id=values["request_id"] or new_request_id(),
            project=_project(values),
            validate_only=values["validate_only"],
        )
    )
    _show_project(session, answer.project, answer)


def _project(values: dict[str, Any]) -> registers_pb2.Project:
    one = registers_pb2.Project(attribute=claims_pb2.ATTRIBUTE_RE_GEN)
    if values["file"] is not None:
        read_message(values["file"], one)
    for name, field in (
        ("project_id", "project_id"),
        ("title", "title"),
        ("account", "owner_account_id"),
        ("methodology_id", "methodology_id"),
    ):
        if values[name] is not None:
            setattr(one, field, values[name])
    for name, field in (
        ("kind", "kind"),
        ("asset_name", "name"),
        ("asset_region", "region_code"),
        ("capacity_kw", "capacity_kw"),
    ):
        if values[name] is not None:
            setattr(one.asset, field, values[name])
    one.asset.references.extend(parse_references(values["references"]))
    if values["crediting"] is not None:
        one.crediting_period.CopyFrom(parse_period(values["crediting"]))
    if values["connected"] is not None:
        one.grid_connection_date.CopyFrom(to_date(parse_date(values["connected"])))
    one.no_duplicate_commitment |= values["commitment"]
    one.gec_freeze_consent |= values["freeze_consent"]
    one.invented |= values["invented"]
    one.documents.extend(_document(text) for text in values["documents"])
    return one


def _document(text: str) -> registers_pb2.ProjectDocument:
    kind, separator, rest = text.partition("=")
    if not separator or not kind or not rest:
        raise DomainError("FIELD_INVALID", field="--document", detail=f"kind=name, kind=name@body: {text}")
    name, _, body = rest.partition("@")
    return registers_pb2.ProjectDocument(kind=kind, name=name, body=body)


@project.command("assess", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--passed/--failed", default=True, help="The outcome.")
@click.option("--opinion", default="", help="In words.")
@click.option("--assessor", "assessors", multiple=True, help="Who assessed, if not the caller alone.")
@click.pass_obj
def assess(
    session: Session,
    region_name: str,
    role: str | None,
    project_id: str,
    passed: bool,
    opinion: str,
    assessors: tuple[str, ...],
) -> None:
    """Record the assessment of a project."""
    client = client_for(session, region_name, "assess", role)
    request = registers_pb2.AssessProjectRequest(
        request_id=new_request_id(),
        project_id=project_id,
        passed=passed,
        opinion=opinion,
        assessors=assessors,
    )
    _show_project(session, client.registers.AssessProject(request).project)


@project.command("verifier", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--body", required=True, help="The third party: its name, or its id in the list.")
@click.option("--party", required=True, help="Its certificate: operator/440300/sz.third_party")
@click.pass_obj
def verifier(
    session: Session, region_name: str, role: str | None, project_id: str, body: str, party: str
) -> None:
    """Appoint the third party that validates and verifies a project."""
    client = client_for(session, region_name, "publish", role)
    request = registers_pb2.AppointProjectVerifierRequest(
        request_id=new_request_id(), project_id=project_id, body=body, party=party
    )
    _show_project(session, client.registers.AppointProjectVerifier(request).project)


@project.command("reports", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--document", "documents", multiple=True, help="kind=name; validation and verification.")
@click.pass_obj
def reports(
    session: Session, region_name: str, role: str | None, project_id: str, documents: tuple[str, ...]
) -> None:
    """File the reports of the appointed third party."""
    client = client_for(session, region_name, "assess", role)
    request = registers_pb2.FileProjectReportsRequest(
        request_id=new_request_id(), project_id=project_id, documents=map(_document, documents)
    )
    _show_project(session, client.registers.FileProjectReports(request).project)


@project.command("review", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--passed/--failed", default=True, help="The outcome.")
@click.option("--opinion", default="", help="In words.")
@click.pass_obj
def review(
    session: Session, region_name: str, role: str | None, project_id: str, passed: bool, opinion: str
) -> None:
    """Review what the experts found."""
    client = client_for(session, region_name, "publish", role)
    request = registers_pb2.ReviewProjectRequest(
        request_id=new_request_id(), project_id=project_id, passed=passed, opinion=opinion
    )
    _show_project(session, client.registers.ReviewProject(request).project)


@project.command("object", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--text", required=True, help="In words; no name, number or address of a person.")
@click.pass_obj
def object_to(session: Session, region_name: str, role: str | None, project_id: str, text: str) -> None:
    """Object to a project while its notice runs."""
    client = client_for(session, region_name, "submit", role)
    request = registers_pb2.ObjectToProjectRequest(
        request_id=new_request_id(), project_id=project_id, text=text
    )
    session.output.message(client.registers.ObjectToProject(request).objection)


@project.command("answer", cls=Verb)
@acting
@click.argument("project_id")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--text", required=True, help="The answer, in words.")
@click.option("--upheld", is_flag=True, help="The objection is right: the project ends.")
@click.pass_obj
def answer(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Answer objection NUMBER to a project."""
    client = client_for(session, region_name, "publish", role)
    request = registers_pb2.AnswerProjectObjectionRequest(
        request_id=new_request_id(),
        project_id=values["project_id"],
        number=values["number"],
        answer=values["text"],
        upheld=values["upheld"],
    )
    _show_project(session, client.registers.AnswerProjectObjection(request).project)


@project.command("notice", cls=Verb)
@acting
@click.argument("project_id")
@click.pass_obj
def notice(session: Session, region_name: str, role: str | None, project_id: str) -> None:
    """Open the public notice; its last day follows from the working-day calendar."""
    client = client_for(session, region_name, "notice", role)
    request = registers_pb2.OpenProjectNoticeRequest(request_id=new_request_id(), project_id=project_id)
    _show_project(session, client.registers.OpenProjectNotice(request).project)


@project.command("publish", cls=Verb)
@acting
@click.argument("project_id")
@click.pass_obj
def publish(session: Session, region_name: str, role: str | None, project_id: str) -> None:
    """Publish a project; refused while its notice runs."""
    client = client_for(session, region_name, "publish", role)
    request = registers_pb2.PublishProjectRequest(request_id=new_request_id(), project_id=project_id)
    _show_project(session, client.registers.PublishProject(request).project)


@project.command("withdraw", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--reason", required=True, help="In words.")
@click.pass_obj
def withdraw(session: Session, region_name: str, role: str | None, project_id: str, reason: str) -> None:
    """Withdraw a project; its claim is released."""
    client = client_for(session, region_name, "submit", role)
    request = registers_pb2.WithdrawProjectRequest(
        request_id=new_request_id(), project_id=project_id, reason=reason
    )
    _show_project(session, client.registers.WithdrawProject(request).project)


@project.command("show", cls=Verb)
@acting
@click.argument("project_id")
@click.pass_obj
def show(session: Session, region_name: str, role: str | None, project_id: str) -> None:
    """Show a project; with --json also its signed claim receipts."""
    client = client_for(session, region_name, "read", role)
    request = registers_pb2.GetProjectRequest(project_id=project_id)
    _show_project(session, client.registers.GetProject(request).project)


@project.command("list", cls=Verb)
@click.option("--state", type=click.Choice(PROJECT_STATES, case_sensitive=False), help="Of this state alone.")
@acting
@click.pass_obj
def list_projects(session: Session, region_name: str, role: str | None, state: str | None) -> None:
    """List a page of a region's projects."""
    client = client_for(session, region_name, "read", role)
    asked = registers_pb2.ListProjectsRequest(page_size=PAGE_SIZE)
    if state:
        asked.state = registers_pb2.ProjectState.Value(f"PROJECT_STATE_{state}")
    answer = client.registers.ListProjects(asked)
    session.output.rows(
        ("项目 project", "名称 title", "状态 state", "声明 claim"),
        [
            (
                one.project_id,
                shown_name(one.title, invented=one.invented),
                registers_pb2.ProjectState.Name(one.state).removeprefix("PROJECT_STATE_"),
                one.claim_id or "–",
            )
            for one in answer.projects
        ],
        json_value=message_fields(answer),
    )


@project.command("issuances", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--page-token", default="", help="From the page before.")
@click.pass_obj
def list_issuances(
    session: Session, region_name: str, role: str | None, project_id: str, page_token: str
) -> None:
    """List a page of what a project or reduction scene has been issued, refused or waits for."""
    client = client_for(session, region_name, "read", role)
    answer = client.issuance.ListIssuances(
        registers_pb2.ListIssuancesRequest(project_id=project_id, page_size=PAGE_SIZE, page_token=page_token)
    )
    session.output.rows(
        ("签发 issuance", "状态 state", "数量 kg", "系列 series", "日期 day"),
        [
            (
                one.issuance_id,
                registers_pb2.IssuanceState.Name(one.state).removeprefix("ISSUANCE_STATE_"),
                one.quantity_kg,
                one.series.series_id or "–",
                date_text(one.legal_date),
            )
            for one in answer.issuances
        ],
        json_value=message_fields(answer),
    )


@click.group()
def activity() -> None:
    """Metered activity of projects, from which reductions are computed."""


@activity.command("submit", cls=Verb)
@acting
@click.argument("project_id")
@click.option("--period", required=True, help="The metered month: 2026-01")
@click.option(
    "--on-grid-wh", type=click.IntRange(min=0), default=0, help="Electricity fed into the grid, Wh."
)
@click.option(
    "--self-use-wh", type=click.IntRange(min=0), default=0, help="Electricity used on the site, Wh."
)
@click.option("--meter", default="", help="Number of the meter.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def submit_activity(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    region_name: str,
    role: str | None,
    project_id: str,
    period: str,
    on_grid_wh: int,
    self_use_wh: int,
    meter: str,
    request_id: str | None,
) -> None:
    """Record one metered month; the same month with the same data changes nothing."""
    client = client_for(session, region_name, "activity", role)
    record = registers_pb2.ActivityRecord(
        period=parse_period(period), on_grid_wh=on_grid_wh, self_use_wh=self_use_wh, meter=meter
    )
    request = registers_pb2.SubmitActivityRequest(
        request_id=request_id or new_request_id(), project_id=project_id, records=[record]
    )
    session.output.message(client.issuance.SubmitActivity(request))


@activity.command("import", cls=Verb)
@acting
@click.argument("project_id")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--validate-only", is_flag=True, help="Check every row and record nothing.")
@click.pass_obj
def import_activity(
    session: Session,
    region_name: str,
    role: str | None,
    project_id: str,
    file: Path,
    validate_only: bool,
) -> None:
    """Record the months in FILE (.csv, .jsonl, .xlsx): all or nothing. Exits with 1 when a row is bad."""
    client = client_for(session, region_name, "activity", role)
    formats = {
        ".csv": registers_pb2.FILE_FORMAT_CSV,
        ".jsonl": registers_pb2.FILE_FORMAT_JSON_LINES,
        ".xlsx": registers_pb2.FILE_FORMAT_XLSX,
    }
    if file.suffix.lower() not in formats:
        raise DomainError("FORMAT_UNKNOWN", file=file.name, supported=sorted(formats))
    if not file.is_file():
        raise DomainError("FILE_MISSING", file=file)
    start = registers_pb2.ImportActivityRequest.Start(
        request_id=new_request_id(),
        project_id=project_id,
        format=formats[file.suffix.lower()],
        validate_only=validate_only,
        size_bytes=file.stat().st_size,
    )

    def parts() -> Iterator[registers_pb2.ImportActivityRequest]:
        yield registers_pb2.ImportActivityRequest(start=start)
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                yield registers_pb2.ImportActivityRequest(chunk=chunk)

    answer = client.issuance.ImportActivity(parts())
    session.output.message(answer)
    for row in answer.errors[:ROWS_SHOWN_MAX]:
        session.output.say(
            f"  行 line {row.line_number} {row.column}: "
            f"{row.refusal.sentence_zh} / {row.refusal.sentence_en}",
            "red",
        )
    if answer.errors:
        raise click.exceptions.Exit(EXIT_REFUSED)


@click.command(cls=Verb)
@acting
@click.argument("project_id")
@click.option("--period", required=True, help="Metered months to issue for: 2026-01-01..2026-03-01")
@click.option("--audit-date", help="Day on which the implementation was audited.")
@click.option("--audit-body", default="", help="The technical body that audited.")
@click.option("--override-reason", default="", help="Why a second issuance in the year.")
@approval_options
@click.option("--stated-kg", type=int, default=0, help="What the body of a scene has computed.")
@click.option("--quantify-only", is_flag=True, help="Show the computation and issue nothing.")
@click.option("--validate-only", is_flag=True, help="Check and change nothing.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def issue(session: Session, /, region_name: str, role: str | None, project_id: str, **values: Any) -> None:  # noqa: ANN401
    """Issue units for metered months: whole grains; the rest is carried to the next period."""
    client = client_for(session, region_name, "issue", role)
    period = parse_period(values["period"])
    if values["quantify_only"]:
        request = registers_pb2.QuantifyProjectRequest(project_id=project_id, period=period)
        session.output.message(client.issuance.QuantifyProject(request))
        return
    issue_request = registers_pb2.IssueUnitsRequest(
        request_id=values["request_id"] or new_request_id(),
        project_id=project_id,
        period=period,
        override_reason=values["override_reason"],
        validate_only=values["validate_only"],
        stated_kg=values["stated_kg"],
    )
    if values["audit_date"]:
        issue_request.audit.CopyFrom(
            registers_pb2.IssuanceAudit(
                passed=True,
                audit_date=to_date(parse_date(values["audit_date"])),
                body=values["audit_body"],
            )
        )
    first = party_for(region_name, "issue", role)
    if is_only_prepared(session, issue_request, ISSUANCE, project_id, first, values):
        return
    one = client.issuance.IssueUnits(issue_request).issuance
    session.output.message(
        one,
        {
            "签发 issuance": one.issuance_id,
            "状态 state": registers_pb2.IssuanceState.Name(one.state).removeprefix("ISSUANCE_STATE_"),
            "数量 kg": one.quantity_kg,
            "区块 block": blocks_text([one.block]),
            "期间 period": period_text(one.period),
            "结转 carried g": one.carried_out_g,
            "账户 account": one.account_id,
        },
    )
    if one.state == registers_pb2.ISSUANCE_STATE_REFUSED:
        from tanqiao.rpc.errors import from_refusal

        if not session.output.as_json:
            for reason in one.reasons:
                session.output.refused(from_refusal(reason))
        raise click.exceptions.Exit(EXIT_REFUSED)


def _claim_status(one: registers_pb2.Project) -> str:
    """Say where the project's claim stands at the bridge, as far as the region was told."""
    name = claims_pb2.ClaimStatus.Name(one.claim_status)
    return name.removeprefix("CLAIM_STATUS_") if one.claim_status else ""


def _show_project(
    session: Session, one: registers_pb2.Project, answer: registers_pb2.SubmitProjectResponse | None = None
) -> None:
    session.output.message(
        one if answer is None else answer,
        {
            "项目 project": one.project_id,
            "名称 title": shown_name(one.title, invented=one.invented),
            "状态 state": registers_pb2.ProjectState.Name(one.state).removeprefix("PROJECT_STATE_"),
            "声明 claim": f"{one.claim_id or '–'} {_claim_status(one)}".rstrip(),
            "公示 notice": (
                f"{date_text(one.notice_first_day)} – {date_text(one.notice_last_day)}"
                if one.notice_last_day.year
                else "–"
            ),
            "公布 published": date_text(one.publish_date) or "–",
            "原因 reason": one.state_reason or "–",
        },
    )
