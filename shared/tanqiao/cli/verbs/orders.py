"""`tanqiao freeze`, `correction` and `approve`: orders that approvers sign, one after the other."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

import click

from tanqiao.api.bridge.v1 import messages_pb2, orders_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import decisions_pb2
from tanqiao.api.region.v1 import orders_pb2 as local_pb2
from tanqiao.cli.order_files import (
    order_of,
    read_decision,
    read_envelope,
    read_order,
    with_officer,
    with_signature,
    words,
    write_order,
)
from tanqiao.cli.order_words import decision_words
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import blocks_text
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.bridge import CLOCK_OPERATOR
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.signing.approvals import Order
from tanqiao.signing.body_decisions import DECISION_TYPE
from tanqiao.signing.strict import parse_strict

ID_BYTES: Final = 16
PAGE_SIZE: Final = 200
LOG_INDEX: Final = "日志序号 log index"
SCOPES: Final = {
    "block": messages_pb2.FREEZE_SCOPE_BLOCK,
    "holder": messages_pb2.FREEZE_SCOPE_PSEUDONYM,
    "region": messages_pb2.FREEZE_SCOPE_REGION,
    "pair": messages_pb2.FREEZE_SCOPE_PAIR,
    "account": messages_pb2.FREEZE_SCOPE_ACCOUNT,
}
FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def freeze() -> None:
    """Freeze units, a holder, a region or the traffic of two; and lift it. Two approvers sign."""


@freeze.command("prepare", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--scope", type=click.Choice(list(SCOPES)), required=True, help="What is frozen or freed.")
@click.option("--authority", required=True, help="Who orders: shanghai, 440300 … or bridge.")
@click.option("--block", "blocks", multiple=True, help="series[start,end); repeatable.")
@click.option("--holder", default="", help="Pseudonym of a holder, hexadecimal.")
@click.option("--region", default="", help="The region; of a pair the first one.")
@click.option("--other-region", default="", help="The second region of a pair.")
@click.option("--account", default="", help="Account at the authority's own node.")
@click.option("--here", is_flag=True, help="Units: an order to the authority's own node alone (a court's).")
@click.option("--lift", is_flag=True, help="Lift what the same authority froze.")
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
def prepare_freeze(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    file: Path,
    scope: str,
    authority: str,
    blocks: tuple[str, ...],
    holder: str,
    region: str,
    other_region: str,
    account: str,
    here: bool,
    lift: bool,
    reason: str,
    document: str,
    key_epoch: int,
) -> None:
    """Write an order that nobody has signed yet to FILE; `tanqiao approve` adds signatures."""
    order = messages_pb2.Freeze(
        order_id=secrets.token_bytes(ID_BYTES),
        scope=SCOPES[scope],
        blocks=block_messages([UnitBlock.parse(text) for text in blocks]),
        pseudonym=_hexadecimal(holder, "--holder"),
        region=require_region(region).party if region else "",
        other_region=require_region(other_region).party if other_region else "",
        account_id=account,
        reason=reason,
        document=document,
        unfreeze=lift,
    )
    sender = authority_of(authority)
    local = here or scope == "account"
    audience = f"region/{sender.removeprefix('authority/')}" if local else "bridge"
    write_unsigned(session, file, order, sender, key_epoch, audience)


@freeze.command("submit", cls=Verb)
@click.argument("file", type=FILE)
@click.pass_obj
def submit_freeze(session: Session, file: Path) -> None:
    """Bring the signed order in FILE to the bridge, or to the region's own node if it is for that alone."""
    envelope, order = read_order(file)
    _require(order, messages_pb2.Freeze)
    audience = order.header.audience[0] if order.header.audience else ""
    if audience.startswith("region/"):
        region = require_region(audience)
        client = session.as_operator(region, region.roles[0])
        local = client.local_orders.SubmitLocalFreeze(
            local_pb2.SubmitLocalFreezeRequest(request_id=new_request_id(), order=envelope)
        )
        session.output.message(local, _taken(local.order_id, {"流水序号 journal index": local.journal_index}))
        return
    answer = session.as_party(CLOCK_OPERATOR).bridge.orders.SubmitFreeze(
        orders_pb2.SubmitFreezeRequest(request_id=new_request_id(), order=envelope)
    )
    session.output.message(answer, _taken(answer.order_id, {LOG_INDEX: answer.log_index}))


def _taken(order_id: bytes, place: dict[str, int]) -> dict[str, object]:
    """Give the id of an order that was taken, as `show` wants it, and where it stands."""
    return {"编号 id": order_id.hex(), **place}


@freeze.command("list", cls=Verb)
@click.option("--at", "region", help="What binds this region's node; the bridge's list by default.")
@click.pass_obj
def list_freezes(session: Session, region: str | None) -> None:
    """List what is frozen now."""
    if region is not None:
        member = require_region(region)
        here = session.as_operator(member, member.roles[0]).local_orders.ListLocalFreezes(
            local_pb2.ListLocalFreezesRequest(page_size=PAGE_SIZE)
        )
        _rows(session, list(here.freezes), message_fields(here))
        return
    answer = session.bridge.orders.ListFreezes(orders_pb2.ListFreezesRequest(page_size=PAGE_SIZE))
    _rows(session, list(answer.freezes), message_fields(answer))


@freeze.command("show", cls=Verb)
@click.argument("order_id")
@click.pass_obj
def show_freeze(session: Session, order_id: str) -> None:
    """Show one order as it was signed, in words, and what of it is in force."""
    answer = session.bridge.orders.GetFreezeOrder(
        orders_pb2.GetFreezeOrderRequest(order_id=_hexadecimal(order_id, "ORDER_ID"))
    )
    order = messages_pb2.Freeze.FromString(answer.order.payload)
    fields = {
        **words(answer.order, order),
        LOG_INDEX: str(answer.log_index),
        "仍有效 in force": str(len(answer.in_force)),
    }
    session.output.message(answer, fields)


@click.group()
def correction() -> None:
    """Say where units are, after a decision that was void or contradicted another. Four approvers sign."""


@correction.command("prepare", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--block", "blocks", multiple=True, required=True, help="series[start,end); repeatable.")
@click.option("--from-region", required=True, help="Where they are not, or no longer.")
@click.option("--to-region", required=True, help="Where they are from now on.")
@click.option("--address", required=True, help="Receiving address there, for units that are missing there.")
@click.option("--transfer", default="", help="SOURCE:ID of the transfer whose case this settles.")
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
def prepare_correction(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    file: Path,
    blocks: tuple[str, ...],
    from_region: str,
    to_region: str,
    address: str,
    transfer: str,
    reason: str,
    document: str,
    key_epoch: int,
) -> None:
    """Write a correction that nobody has signed yet to FILE; an approver of the first region signs first."""
    source, target = require_region(from_region), require_region(to_region)
    settled_source, _, settled_id = transfer.partition(":")
    order = messages_pb2.Correction(
        header=envelope_pb2.Header(source=settled_source, transfer_id=_hexadecimal(settled_id, "--transfer")),
        correction_id=secrets.token_bytes(ID_BYTES),
        blocks=block_messages([UnitBlock.parse(text) for text in blocks]),
        from_region=source.party,
        to_region=target.party,
        receiving_address=address,
        reason=reason,
        document=document,
    )
    write_unsigned(session, file, order, f"authority/{source.code}", key_epoch, "bridge")


@correction.command("submit", cls=Verb)
@click.argument("file", type=FILE)
@click.pass_obj
def submit_correction(session: Session, file: Path) -> None:
    """Bring the signed correction in FILE to the bridge."""
    envelope, order = read_order(file)
    _require(order, messages_pb2.Correction)
    answer = session.as_party(CLOCK_OPERATOR).bridge.orders.SubmitCorrection(
        orders_pb2.SubmitCorrectionRequest(request_id=new_request_id(), correction=envelope)
    )
    session.output.message(answer, _taken(answer.correction_id, {LOG_INDEX: answer.log_index}))


@correction.command("list", cls=Verb)
@click.option("--series", default="", help="Only of this series.")
@click.pass_obj
def list_corrections(session: Session, series: str) -> None:
    """List the corrections in the log."""
    answer = session.bridge.orders.ListCorrections(
        orders_pb2.ListCorrectionsRequest(series_id=series, page_size=PAGE_SIZE)
    )
    session.output.rows(
        ("序号 index", "减排量 units", "从 from", "到 to", "依据 document"),
        [
            (
                one.log_index,
                blocks_text(list(one.correction.blocks)),
                one.correction.from_region,
                one.correction.to_region,
                one.correction.document,
            )
            for one in answer.corrections
        ],
        json_value=message_fields(answer),
    )


@click.command(cls=Verb)
@click.argument("file", type=FILE)
@click.option("--key", type=click.Path(path_type=Path), help="Key file of an approver or officer, mode 0600.")
@click.option("--yes", is_flag=True, help="Sign without asking, once you have read what it says.")
@click.pass_obj
def approve(session: Session, file: Path, key: Path | None, yes: bool) -> None:
    """Show in words what the order or decision in FILE says; with --key, ask and add your signature to it."""
    from tanqiao.signing.directory import KeyRole
    from tanqiao.signing.keyring import Keyring

    envelope = read_envelope(file)
    decides = envelope.payload_type == DECISION_TYPE
    shown = words_of(envelope)
    if key is None or not session.output.as_json:
        session.output.answer(shown)
    if key is None:
        return
    ring = Keyring.open(key if key.is_dir() else key.parent)
    if decides:
        signed = with_officer(envelope, read_decision(file)[1], ring.key(KeyRole.BODY))
    else:
        signed = with_signature(envelope, order_of(envelope), ring.key(KeyRole.APPROVER))
    if not yes:
        click.confirm("签署以上内容？ / Sign this?", abort=True, err=True)
    write_order(file, signed)
    session.output.answer({"已签 signed": words_of(signed)["已签 signed"]})


def words_of(envelope: envelope_pb2.Envelope) -> dict[str, str]:
    """Say what an order, or a decision of two bodies, says."""
    if envelope.payload_type == DECISION_TYPE:
        return decision_words(envelope, parse_strict(decisions_pb2.BodyDecision, envelope.payload))
    return words(envelope, order_of(envelope))


def write_unsigned(
    session: Session, file: Path, order: Order, authority: str, key_epoch: int, audience: str
) -> None:
    """Write an order that nobody has signed yet, and show in words what it says."""
    from tanqiao.signing.approvals import prepare

    envelope = prepare(
        order,
        session.home.network_id,
        authority,
        message_id=secrets.token_bytes(ID_BYTES),
        key_epoch=key_epoch,
        audience=audience,
    )
    write_order(file, envelope)
    session.output.answer(words(envelope, order_of(envelope)))


def _require(order: Order, wanted: type[Order]) -> None:
    if not isinstance(order, wanted):
        raise DomainError("MESSAGE_MALFORMED", detail=f"the file holds a {type(order).__name__}")


def authority_of(text: str) -> str:
    """Give the authority that is meant: of a region, or ``bridge`` for the national one."""
    return "authority/bridge" if text == "bridge" else f"authority/{require_region(text).code}"


def _hexadecimal(text: str, field: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise DomainError("FIELD_INVALID", field=field, detail=text[:64]) from error


def _rows(
    session: Session,
    found: list[orders_pb2.FreezeEntry] | list[local_pb2.LocalFreezeEntry],
    json_value: object,
) -> None:
    session.output.rows(
        ("对象 scope", "所指 subject", "由 by", "依据 document", "编号 order"),
        [
            (
                messages_pb2.FreezeScope.Name(one.scope).removeprefix("FREEZE_SCOPE_"),
                blocks_text([one.block])
                if one.HasField("block")
                else " – ".join(part for part in (one.region, one.other_region) if part)
                or getattr(one, "account_id", "")
                or getattr(one, "pseudonym", b"").hex(),
                one.ordered_by,
                one.document,
                one.order_id.hex(),
            )
            for one in found
        ],
        json_value=json_value,
    )
