"""`tanqiao parameter`: what the law leaves open, and the dated values that the competent body publishes."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import click

from tanqiao.api.region.v1 import parameters_pb2
from tanqiao.cli.acting import acting, client_for, party_for
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import date_text
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.decisions import approval_options, is_only_prepared
from tanqiao.rpc.validation import wire_date
from tanqiao.signing.body_decisions import PARAMETER

PAGE_SIZE: Final = 500


@click.group()
def parameter() -> None:
    """Dated parameters of a region's rule pack: yearly notices, rates, who recognises."""


@parameter.command("set", cls=Verb)
@acting
@click.argument("key")
@click.argument("value")
@click.option("--from", "begins", required=True, help="First day: 2026-04-01.")
@click.option("--to", "ends", default="", help="Day after the last one; empty: open.")
@click.option("--document", required=True, help="Reference of the notice or rule document.")
@approval_options
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def set_parameter(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Publish VALUE (JSON) of KEY from a day on: sz.offset_notice[2026] '{"cap_kg": 100000000}'."""
    request = parameters_pb2.SetParameterRequest(
        request_id=values["request_id"] or new_request_id(),
        key=values["key"],
        value_json=values["value"],
        start_date=wire_date(_day(values["begins"])),
        end_date=wire_date(_day(values["ends"])) if values["ends"] else None,
        document_reference=values["document"],
    )
    first = party_for(region_name, "parameter", role)
    if is_only_prepared(session, request, PARAMETER, request.key, first, values):
        return
    client = client_for(session, region_name, "parameter", role)
    one = client.parameters.SetParameter(request).value
    session.output.message(
        one,
        {
            "参数 parameter": one.key,
            "取值 value": one.value_json,
            "自 from": date_text(one.start_date),
            "文件 document": one.document_reference,
            "账簿序号 journal index": one.journal_index,
        },
    )


@parameter.command("list", cls=Verb)
@acting
@click.option("--page-token", default="", help="As the page before gave it.")
@click.pass_obj
def list_parameters(session: Session, region_name: str, role: str | None, page_token: str) -> None:
    """List what the rules leave open, with every value of it."""
    client = client_for(session, region_name, "read", role)
    answer = client.parameters.ListParameters(
        parameters_pb2.ListParametersRequest(page_size=PAGE_SIZE, page_token=page_token)
    )
    session.output.rows(
        ("参数 parameter", "取值 value", "自 from", "依据 by", "文件 document"),
        [
            (
                value.key,
                value.value_json,
                date_text(value.start_date),
                value.provenance,
                value.document_reference,
            )
            for one in answer.parameters
            for value in (one.values or [parameters_pb2.ParameterValue(key=one.key, value_json="–")])
        ],
        json_value=message_fields(answer),
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is no date like 2026-04-01") from error
