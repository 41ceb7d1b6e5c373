"""`tanqiao trading-mandate`: who may instruct a trade for whom."""

from __future__ import annotations

from typing import Any, Final

import click

from tanqiao.api.region.v1 import mandates_pb2
from tanqiao.cli.acting import acting, client_for, holder_client
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import date_text, parse_period
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb

PAGE_SIZE: Final = 500


@click.group("trading-mandate")
def trading_mandate() -> None:
    """Mandates to trade: the exchange settles what an entrusted agent instructs."""


@trading_mandate.command("give", cls=Verb)
@acting
@click.option("--account", required=True, help="Account whose trades another may instruct.")
@click.option("--agent", required=True, help="Account of the agent.")
@click.option("--period", required=True, help="2026-01 or 2026-01-01..2026-07-01, the end not included.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def give(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Entrust an agent, as holder of the account."""
    client = holder_client(session, region_name, "move", role, values["account"])
    request = mandates_pb2.GiveTradingMandateRequest(
        request_id=values["request_id"] or new_request_id(),
        principal_account_id=values["account"],
        agent_account_id=values["agent"],
        period=parse_period(values["period"]),
    )
    _show(session, client.mandates.GiveTradingMandate(request).mandate)


@trading_mandate.command("end", cls=Verb)
@acting
@click.argument("mandate_id")
@click.option("--account", required=True, help="Account of the side that ends it.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def end(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """End a mandate from today on."""
    client = holder_client(session, region_name, "move", role, values["account"])
    request = mandates_pb2.EndTradingMandateRequest(
        request_id=values["request_id"] or new_request_id(), mandate_id=values["mandate_id"]
    )
    _show(session, client.mandates.EndTradingMandate(request).mandate)


@trading_mandate.command("list", cls=Verb)
@acting
@click.option("--account", required=True, help="On either side.")
@click.option("--page-token", default="", help="As the page before gave it.")
@click.pass_obj
def list_mandates(
    session: Session, region_name: str, role: str | None, account: str, page_token: str
) -> None:
    """List a page of an account's mandates, ended ones too."""
    client = client_for(session, region_name, "read", role)
    answer = client.mandates.ListTradingMandates(
        mandates_pb2.ListTradingMandatesRequest(
            account_id=account, page_size=PAGE_SIZE, page_token=page_token
        )
    )
    session.output.rows(
        ("委托 mandate", "委托人 principal", "受托人 agent", "自 from", "至 until", "终止 ended"),
        [
            (
                one.mandate_id,
                one.principal_account_id,
                one.agent_account_id,
                date_text(one.period.start_date),
                date_text(one.period.end_date),
                date_text(one.end_date) if one.HasField("end_date") else "–",
            )
            for one in answer.mandates
        ],
        json_value=message_fields(answer),
    )


def _show(session: Session, one: mandates_pb2.TradingMandate) -> None:
    session.output.message(
        one,
        {
            "委托 mandate": one.mandate_id,
            "委托人 principal": one.principal_account_id,
            "受托人 agent": one.agent_account_id,
            "期间 period": f"{date_text(one.period.start_date)}..{date_text(one.period.end_date)}",
            "终止 ended": date_text(one.end_date) if one.HasField("end_date") else "–",
        },
    )
