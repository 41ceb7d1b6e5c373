"""`tanqiao encumbrance`: units that stay where they are because a creditor has a right in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.region.v1 import encumbrances_pb2
from tanqiao.cli.acting import acting, client_for, holder_client, holder_of
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import blocks_text, date_text, selection
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.units import digest_of_file, unit_options
from tanqiao.signing.certified import sign_certified
from tanqiao.signing.payload_types import type_name

PAGE_SIZE: Final = 500


@click.group()
def encumbrance() -> None:
    """Encumbered units are not moved, used or cancelled until both sides have signed their release."""


@encumbrance.command("create", cls=Verb)
@acting
@click.option("--account", required=True, help="Account whose units are encumbered.")
@click.option("--creditor", required=True, help="Account of the creditor.")
@unit_options
@click.option("--document", required=True, help="Reference of the contract.")
@click.option("--document-file", type=click.Path(path_type=Path, dir_okay=False), help="Its digest is kept.")
@click.option("--validate-only", is_flag=True, help="Check and change nothing.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def create(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Encumber units of an account in favour of a creditor."""
    client = holder_client(session, region_name, "move", role, values["account"])
    request = encumbrances_pb2.EncumberUnitsRequest(
        request_id=values["request_id"] or new_request_id(),
        account_id=values["account"],
        creditor_account_id=values["creditor"],
        units=selection(values["kg"], values["series"], values["blocks"]),
        document_reference=values["document"],
        document_digest=digest_of_file(values["document_file"]),
        validate_only=values["validate_only"],
    )
    _show(session, client.encumbrances.EncumberUnits(request).encumbrance)


@encumbrance.command("release", cls=Verb)
@acting
@click.argument("encumbrance_id")
@click.option(
    "--account", required=True, help="Account of the side that signs: the holder's or the creditor's."
)
@click.option("--document", required=True, help="Reference of the deed of release; both sides name the same.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def release(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Sign a release with the key of that side's certificate; the second one frees the units."""
    client = holder_client(session, region_name, "move", role, values["account"])
    request = encumbrances_pb2.ReleaseEncumbranceRequest(
        request_id=values["request_id"] or new_request_id(),
        encumbrance_id=values["encumbrance_id"],
        document_reference=values["document"],
    )
    party = holder_of(session, region_name, "move", role, values["account"])
    asked = encumbrances_pb2.GetEncumbranceRequest(encumbrance_id=values["encumbrance_id"])
    found = client.encumbrances.GetEncumbrance(asked).encumbrance
    statement = encumbrances_pb2.ReleaseStatement(
        network_id=session.home.network_id,
        region=require_region(region_name).party,
        encumbrance_id=found.encumbrance_id,
        agreement_digest=found.agreement_digest,
        document_reference=values["document"],
    ).SerializeToString(deterministic=True)
    signed = sign_certified(session.home.caller_tls(party), type_name("ReleaseStatement"), statement)
    request.statement = statement
    request.signature = signed.signature
    request.certificate = signed.certificate_pem
    _show(session, client.encumbrances.ReleaseEncumbrance(request).encumbrance)


@encumbrance.command("show", cls=Verb)
@acting
@click.argument("encumbrance_id")
@click.pass_obj
def show(session: Session, region_name: str, role: str | None, encumbrance_id: str) -> None:
    """Show an encumbrance and who has signed its release."""
    client = client_for(session, region_name, "read", role)
    request = encumbrances_pb2.GetEncumbranceRequest(encumbrance_id=encumbrance_id)
    _show(session, client.encumbrances.GetEncumbrance(request).encumbrance)


@encumbrance.command("list", cls=Verb)
@acting
@click.option("--account", default="", help="Only those of this account, as holder or creditor.")
@click.option("--page-token", default="", help="As the page before gave it.")
@click.pass_obj
def list_encumbrances(
    session: Session, region_name: str, role: str | None, account: str, page_token: str
) -> None:
    """List a page of encumbrances, oldest first, released ones too."""
    client = client_for(session, region_name, "read", role)
    answer = client.encumbrances.ListEncumbrances(
        encumbrances_pb2.ListEncumbrancesRequest(
            account_id=account, page_size=PAGE_SIZE, page_token=page_token
        )
    )
    session.output.rows(
        ("设质 encumbrance", "状态 state", "账户 account", "债权人 creditor", "kg", "日期 date"),
        [
            (
                one.encumbrance_id,
                _state(one),
                one.account_id,
                one.creditor_account_id,
                one.quantity_kg,
                date_text(one.begin_date),
            )
            for one in answer.encumbrances
        ],
        json_value=message_fields(answer),
    )


def _show(session: Session, one: encumbrances_pb2.Encumbrance) -> None:
    side = encumbrances_pb2.EncumbranceSide
    session.output.message(
        one,
        {
            "设质 encumbrance": one.encumbrance_id or "–",
            "状态 state": _state(one),
            "账户 account": one.account_id,
            "债权人 creditor": one.creditor_account_id,
            "数量 kg": one.quantity_kg,
            "区块 blocks": blocks_text(list(one.blocks)),
            "合同 document": one.document_reference,
            "设立日 begun": date_text(one.begin_date),
            "解除签名 signed for release": ", ".join(
                f"{side.Name(signature.side).rpartition('_')[2]} {signature.party}"
                for signature in one.signatures
            )
            or "–",
        },
    )


def _state(one: encumbrances_pb2.Encumbrance) -> str:
    return encumbrances_pb2.EncumbranceState.Name(one.state).removeprefix("ENCUMBRANCE_STATE_")
