"""`tanqiao coordination`: steps of CCER projects, and the orders to the registry of green certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from google.protobuf.json_format import MessageToJson

from tanqiao.api.bridge.v1 import coordination_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.cli.output import EXIT_REFUSED, message_fields
from tanqiao.cli.parse import period_text, read_message
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.gateways import OPERATOR
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.pae import message_hash

PAGE_SIZE: Final = 200
SENT: Final = coordination_pb2.REGISTRY_ORDER_STATE_SENT
FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def coordination() -> None:
    """CCER and green certificates: freeze at registration, cancel at issue, release on withdrawal."""


@coordination.command("step", cls=Verb)
@click.argument("file", type=FILE)
@click.option("--request-id", default="", help="The same id again gets the same signed step.")
@click.option("--split", type=FILE, help="A SPLIT is kept in FILE; if it is there, it goes with the step.")
@click.pass_obj
def step(session: Session, file: Path, request_id: str, split: Path | None) -> None:
    """Have CCER's gateway sign the step in FILE (a SignStepRequest as JSON), and carry it to the bridge.

    Where only a part would pass, the answer is a SPLIT: nothing is stored, the command exits with 1. State
    the smaller quantity, and give the kept SPLIT along.
    """
    request = read_message(file, gateway_pb2.SignStepRequest())
    request.request_id = request_id or request.request_id or new_request_id()
    submitted = coordination_pb2.SubmitStepRequest()
    if split is not None and split.exists():
        kept = read_message(split, submitted.split_verdict)
        request.split_verdict_hash = message_hash(kept.payload_type, kept.payload)
    signed = session.gateway("ccer", role=OPERATOR).orders.SignStep(request)
    submitted.envelope.CopyFrom(signed.envelope)
    answer = session.as_party(OPERATOR).bridge.coordination.SubmitStep(submitted)
    if answer.HasField("split"):
        _show_split(session, answer, split)
        raise click.exceptions.Exit(EXIT_REFUSED)
    fields = message_fields(answer.receipt)
    session.output.message(
        answer,
        {
            "主张 claim": answer.receipt.claim_id,
            "状态 status": fields.get("status", ""),
            "指令 order": answer.order_id.hex() or "–",
        },
    )


def _show_split(session: Session, answer: coordination_pb2.SubmitStepResponse, kept: Path | None) -> None:
    if kept is not None:
        kept.write_text(MessageToJson(answer.split_envelope, ensure_ascii=False) + "\n", encoding="utf-8")
    session.output.message(
        answer,
        {
            "结论 verdict": "SPLIT",
            "主张 claim": answer.split.claim_id,
            "可主张 uncontested": "\n".join(
                f"{period_text(part.period)} {part.quantity} {part.unit}" for part in answer.split.allowed
            ),
            "说明 sentence": answer.split.refusal.sentence_zh,
            "": answer.split.refusal.sentence_en,
            "文件 file": str(kept or "–"),
        },
    )


@coordination.command("orders", cls=Verb)
@click.option("--claim", "claim_id", default="", help="Orders of one claim; empty: of all.")
@click.option("--received", is_flag=True, help="As the registry of certificates holds them.")
@click.pass_obj
def orders(session: Session, claim_id: str, received: bool) -> None:
    """List the newest orders with their answers."""
    listed: list[coordination_pb2.OrderEntry | gateway_pb2.ReceivedOrder]
    if received:
        asked_there = gateway_pb2.ListReceivedOrdersRequest(page_size=PAGE_SIZE)
        found = session.gateway("gec").orders.ListReceivedOrders(asked_there).orders
        listed = [one for one in found if claim_id in ("", one.order.claim_id)]
    else:
        asked = coordination_pb2.ListOrdersRequest(claim_id=claim_id, page_size=PAGE_SIZE)
        listed = list(session.bridge.coordination.ListOrders(asked).orders)
    session.output.rows(
        ("指令 order", "类型 kind", "主张 claim", "状态 state", "MWh", "确认 confirmed", "理由 reason"),
        [
            (
                one.order.order_id.hex(),
                _name(coordination_pb2.RegistryOrderKind.Name(one.order.kind)),
                one.order.claim_id,
                _name(coordination_pb2.RegistryOrderState.Name(one.answer.state or SENT)),
                one.answer.asked_quantity_mwh,
                one.answer.confirmed_quantity_mwh,
                one.answer.reason,
            )
            for one in listed
        ],
    )


@coordination.command("decide", cls=Verb)
@click.argument("order_id")
@click.option("--refuse", is_flag=True, help="Refuse it; give the reason.")
@click.option("--mwh", "quantity_mwh", type=click.IntRange(min=0), default=0, help="A part; 0: all of it.")
@click.option("--reason", default="", help="Of a refusal or a part.")
@click.pass_obj
def decide(session: Session, order_id: str, refuse: bool, quantity_mwh: int, reason: str) -> None:
    """Decide an order as an operator of the registry of certificates; once, and for good."""
    try:
        raw = bytes.fromhex(order_id)
    except ValueError:
        raise DomainError("FIELD_INVALID", field="order_id", detail=order_id[:64]) from None
    answer = session.gateway("gec", role=OPERATOR).orders.DecideOrder(
        gateway_pb2.DecideOrderRequest(
            request_id=new_request_id(),
            order_id=raw,
            refuse=refuse,
            quantity_mwh=quantity_mwh,
            reason=reason,
        )
    )
    session.output.message(answer, message_fields(answer.answer))


def _name(text: str) -> str:
    return text.rpartition("KIND_")[2].rpartition("STATE_")[2]
