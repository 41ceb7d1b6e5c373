"""`tanqiao clawback`: units that were wrongly issued are cancelled or replaced (追回与补足)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.region.v1 import clawbacks_pb2
from tanqiao.cli.acting import acting, client_for, holder_client
from tanqiao.cli.order_files import read_order
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import blocks_text, date_text, selection
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.dossiers import show_steps
from tanqiao.cli.verbs.orders import FILE, write_unsigned
from tanqiao.cli.verbs.units import unit_options
from tanqiao.client import RegionClient
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_messages

ID_BYTES: Final = 16
PAGE_SIZE: Final = 500


@click.group()
def clawback() -> None:
    """Cancel what was wrongly issued, and have it replaced where it is gone. Two approvers sign."""


@clawback.command("prepare", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--region", required=True, help="Region whose authority orders it.")
@click.option("--issuance", required=True, help="Id of the issuance.")
@click.option("--block", "blocks", multiple=True, help="series[start,end); repeatable. [default: all of it]")
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
def prepare(session: Session, /, file: Path, region: str, **values: Any) -> None:  # noqa: ANN401
    """Write an order that nobody has signed yet to FILE; `tanqiao approve` adds signatures."""
    member = require_region(region)
    order = clawbacks_pb2.ClawbackOrder(
        clawback_id=secrets.token_bytes(ID_BYTES),
        issuance_id=values["issuance"],
        blocks=block_messages([UnitBlock.parse(text) for text in values["blocks"]]),
        reason=values["reason"],
        document=values["document"],
    )
    write_unsigned(
        session, file, order, f"authority/{member.code}", values["key_epoch"], f"region/{member.code}"
    )


@clawback.command("submit", cls=Verb)
@acting
@click.argument("file", type=FILE)
@click.pass_obj
def submit(session: Session, region_name: str, role: str | None, file: Path) -> None:
    """Bring the signed order in FILE to the region's node."""
    envelope, order = read_order(file)
    if not isinstance(order, clawbacks_pb2.ClawbackOrder):
        raise DomainError("MESSAGE_MALFORMED", detail=f"{file} is no clawback")
    client = client_for(session, region_name, "cancel", role)
    request = clawbacks_pb2.SubmitClawbackRequest(request_id=new_request_id(), order=envelope)
    _show(session, client.clawbacks.SubmitClawback(request).clawback)


@clawback.command("replace", cls=Verb)
@acting
@click.argument("clawback_id")
@unit_options
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def replace(
    session: Session,
    /,
    region_name: str,
    role: str | None,
    clawback_id: str,
    **values: Any,  # noqa: ANN401
) -> None:
    """Hand units in for those that were wrongly issued; they are cancelled."""
    request = clawbacks_pb2.ReplaceClawedUnitsRequest(
        request_id=values["request_id"] or new_request_id(),
        clawback_id=clawback_id,
        units=selection(values["kg"], values["series"], values["blocks"]),
    )
    client = _debtor_client(session, region_name, role, clawback_id)
    _show(session, client.clawbacks.ReplaceClawedUnits(request).clawback)


def _debtor_client(session: Session, region_name: str, role: str | None, clawback_id: str) -> RegionClient:
    """Give the client of who holds the account that replaces: an office is asked which one it is."""
    if role is not None:
        return client_for(session, region_name, "move", role)
    office = client_for(session, region_name, "accounts", None)
    found = office.clawbacks.GetClawback(clawbacks_pb2.GetClawbackRequest(clawback_id=clawback_id)).clawback
    return holder_client(session, region_name, "move", None, found.account_id)


@clawback.command("settle", cls=Verb)
@acting
@click.argument("clawback_id")
@click.pass_obj
def settle(session: Session, region_name: str, role: str | None, clawback_id: str) -> None:
    """Cancel what has come back; note that the term is over, or that nothing is left."""
    request = clawbacks_pb2.SettleClawbackRequest(request_id=new_request_id(), clawback_id=clawback_id)
    client = client_for(session, region_name, "cancel", role)
    _show(session, client.clawbacks.SettleClawback(request).clawback)


@clawback.command("show", cls=Verb)
@acting
@click.argument("clawback_id")
@click.pass_obj
def show(session: Session, region_name: str, role: str | None, clawback_id: str) -> None:
    """Show a clawback and what is left of it."""
    request = clawbacks_pb2.GetClawbackRequest(clawback_id=clawback_id)
    _show(session, client_for(session, region_name, "read", role).clawbacks.GetClawback(request).clawback)


@clawback.command("list", cls=Verb)
@acting
@click.option("--page-token", default="", help="As the page before gave it.")
@click.pass_obj
def list_clawbacks(session: Session, region_name: str, role: str | None, page_token: str) -> None:
    """List a page of clawbacks."""
    request = clawbacks_pb2.ListClawbacksRequest(page_size=PAGE_SIZE, page_token=page_token)
    answer = client_for(session, region_name, "read", role).clawbacks.ListClawbacks(request)
    session.output.rows(
        ("追回 clawback", "状态 state", "签发 issuance", "kg", "未了 outstanding", "期限 due"),
        [
            (
                one.clawback_id,
                one.state,
                one.issuance_id,
                one.quantity_kg,
                one.outstanding_kg,
                date_text(one.due_date) if one.HasField("due_date") else "–",
            )
            for one in answer.clawbacks
        ],
        json_value=message_fields(answer),
    )


@clawback.command("history", cls=Verb)
@acting
@click.argument("clawback_id")
@click.pass_obj
def history(session: Session, region_name: str, role: str | None, clawback_id: str) -> None:
    """List every step of a clawback, oldest first."""
    request = clawbacks_pb2.ListClawbackStepsRequest(clawback_id=clawback_id, page_size=PAGE_SIZE)
    show_steps(session, client_for(session, region_name, "read", role).clawbacks.ListClawbackSteps(request))


def _show(session: Session, one: clawbacks_pb2.Clawback) -> None:
    session.output.message(
        one,
        {
            "追回 clawback": one.clawback_id,
            "状态 state": one.state,
            "签发 issuance": one.issuance_id,
            "区块 blocks": blocks_text(list(one.blocks)),
            "数量 kg": one.quantity_kg,
            "已注销 cancelled kg": one.cancelled_kg,
            "已补足 replaced kg": one.replaced_kg,
            "未决 pending kg": one.pending_kg,
            "未了 outstanding kg": one.outstanding_kg,
            "期限 due": date_text(one.due_date) if one.HasField("due_date") else "–",
            "相关证书 certificates": ", ".join(one.certificate_numbers) or "–",
        },
    )
