"""`tanqiao transfer`, `local`, `retire`, `cancel`, `retirement`, `journal`: what happens to units."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.region.v1 import journal_pb2, ledger_pb2
from tanqiao.cli.acting import acting, client_for, holder_client, party_for
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import blocks_text, date_text, selection
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.decisions import approval_options, is_only_prepared
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.body_decisions import CANCELLATION

WAIT_MS: Final = 10_000
PAGE_SIZE: Final = 500


def unit_options(command: Any) -> Any:  # noqa: ANN401 - any callback
    """Give a command the options that say which units."""
    for option in (
        click.option(
            "--block", "blocks", multiple=True, help="Exact block: 'series[start,end)'; repeatable."
        ),
        click.option("--series", default="", help="Take the quantity from this series only."),
        click.option("--kg", type=click.IntRange(min=1), help="Quantity in kg CO2e; lowest serials first."),
    ):
        command = option(command)
    return command


@click.group()
def transfer() -> None:
    """Transfers to another region, through the bridge."""


@transfer.command("create", cls=Verb)
@acting
@click.option("--from", "from_account", required=True, help="Account that gives.")
@click.option("--to-region", required=True, help="Region that receives.")
@click.option("--address", required=True, help="Receiving address that the receiver made.")
@unit_options
@click.option("--purpose", default="", help="What the buyer may use the units for; empty: all agreed.")
@click.option("--validate-only", is_flag=True, help="Check and change nothing.")
@click.option("--no-wait", is_flag=True, help="Answer as soon as the units are locked.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def create(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Send units to an account of another region; waits for the bridge's decision.

    Exits with 1 when the bridge or the destination refuses; the units are then held again.
    """
    client = holder_client(session, region_name, "move", role, values["from_account"])
    request = ledger_pb2.CreateTransferRequest(
        request_id=values["request_id"] or new_request_id(),
        from_account_id=values["from_account"],
        destination_region_code=require_region(values["to_region"]).code,
        receiving_address=values["address"],
        units=selection(values["kg"], values["series"], values["blocks"]),
        purpose=values["purpose"],
        validate_only=values["validate_only"],
        wait_ms=0 if values["no_wait"] else WAIT_MS,
    )
    _show_transfer(session, client.transfers.CreateTransfer(request).transfer)


@transfer.command("show", cls=Verb)
@acting
@click.argument("transfer_id")
@click.pass_obj
def show_transfer(session: Session, region_name: str, role: str | None, transfer_id: str) -> None:
    """Show a transfer as this region knows it; with --json also its signed messages."""
    client = client_for(session, region_name, "read", role)
    request = ledger_pb2.GetTransferRequest(transfer_id=transfer_id)
    _show_transfer(session, client.transfers.GetTransfer(request).transfer)


@transfer.command("watch", cls=Verb)
@acting
@click.argument("transfer_id")
@click.pass_obj
def watch(session: Session, region_name: str, role: str | None, transfer_id: str) -> None:
    """Follow a transfer until it has ended."""
    client = client_for(session, region_name, "read", role)
    for answer in client.transfers.WatchTransfer(ledger_pb2.WatchTransferRequest(transfer_id=transfer_id)):
        _show_transfer(session, answer.transfer)


@transfer.command("withdraw", cls=Verb)
@acting
@click.argument("transfer_id")
@click.pass_obj
def withdraw(session: Session, region_name: str, role: str | None, transfer_id: str) -> None:
    """Ask for a transfer to be given up; done unless it is decided already."""
    if role is None:
        office = client_for(session, region_name, "accounts", None)
        asked = office.transfers.GetTransfer(ledger_pb2.GetTransferRequest(transfer_id=transfer_id))
        client = holder_client(session, region_name, "move", None, asked.transfer.account_id)
    else:
        client = client_for(session, region_name, "move", role)
    request = ledger_pb2.WithdrawTransferRequest(request_id=new_request_id(), transfer_id=transfer_id)
    _show_transfer(session, client.transfers.WithdrawTransfer(request).transfer)


@transfer.command("list", cls=Verb)
@acting
@click.option("--account", default="", help="Only transfers of this account.")
@click.pass_obj
def list_transfers(session: Session, region_name: str, role: str | None, account: str) -> None:
    """List the newest page of a region's transfers, in both directions."""
    client = client_for(session, region_name, "read", role)
    answer = client.transfers.ListTransfers(
        ledger_pb2.ListTransfersRequest(account_id=account, page_size=PAGE_SIZE)
    )
    session.output.rows(
        ("划转 transfer", "方向 direction", "状态 state", "kg", "从 from", "到 to"),
        [
            (
                one.transfer_id,
                _enum(ledger_pb2.TransferDirection.Name(one.direction)),
                _enum(ledger_pb2.TransferState.Name(one.state)),
                one.quantity_kg,
                one.source,
                one.destination,
            )
            for one in answer.transfers
        ],
        json_value=message_fields(answer),
    )


@click.group()
def local() -> None:
    """Moves inside one region."""


@local.command("transfer", cls=Verb)
@acting
@click.option("--from", "from_account", required=True, help="Account that gives.")
@click.option("--to", "to_account", required=True, help="Account that receives.")
@unit_options
@click.option("--settlement", default="", help="Reference of the settlement; it makes the move a trade.")
@click.option("--agent", default="", help="Account of the agent who instructs the trade for the giver.")
@click.option("--validate-only", is_flag=True, help="Check and change nothing.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def local_transfer(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Move units between two accounts of a region."""
    if values["settlement"]:
        client = client_for(session, region_name, "settle", role)
    else:
        client = holder_client(session, region_name, "move", role, values["from_account"])
    request = ledger_pb2.TransferUnitsRequest(
        request_id=values["request_id"] or new_request_id(),
        from_account_id=values["from_account"],
        to_account_id=values["to_account"],
        units=selection(values["kg"], values["series"], values["blocks"]),
        settlement_reference=values["settlement"],
        agent_account_id=values["agent"],
        validate_only=values["validate_only"],
    )
    answer = client.ledger.TransferUnits(request)
    session.output.message(
        answer,
        {"区块 blocks": blocks_text(list(answer.blocks)), "账簿序号 journal index": answer.journal_index},
    )


@click.command(cls=Verb)
@acting
@click.option("--account", required=True, help="Account whose units are used.")
@unit_options
@click.option(
    "--purpose", required=True, help="event_neutrality, operations_neutrality, donation, compliance …"
)
@click.option("--for", "purpose_text", default="", help="In words: the event's name, the year.")
@click.option("--beneficiary", default="", help="For whom; empty: the holder.")
@click.option("--beneficiary-uscc", default="", help="Credit code of the beneficiary.")
@click.option("--pseudonymous", is_flag=True, help="Do not name the beneficiary.")
@click.option("--document", default="", help="Reference of the document that the purpose needs.")
@click.option(
    "--document-file", type=click.Path(path_type=Path, dir_okay=False), help="Its digest is signed."
)
@click.option("--year", type=click.IntRange(0, 9999), default=0, help="Compliance year.")
@click.option("--validate-only", is_flag=True, help="Check and change nothing.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def retire(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Use units for a purpose; final. Prints the retirement record."""
    client = holder_client(session, region_name, "retire", role, values["account"])
    request = ledger_pb2.RetireUnitsRequest(
        request_id=values["request_id"] or new_request_id(),
        account_id=values["account"],
        units=selection(values["kg"], values["series"], values["blocks"]),
        purpose=values["purpose"],
        purpose_text=values["purpose_text"],
        beneficiary=ledger_pb2.Beneficiary(
            name=values["beneficiary"],
            uscc=values["beneficiary_uscc"],
            pseudonymous=values["pseudonymous"],
        ),
        document_reference=values["document"],
        document_digest=digest_of_file(values["document_file"]),
        compliance_year=values["year"],
        validate_only=values["validate_only"],
        wait_ms=WAIT_MS,
    )
    _show_retirement(session, client.retirements.RetireUnits(request).retirement)


@click.command(cls=Verb)
@acting
@click.option("--account", required=True, help="Account whose units are cancelled.")
@unit_options
@click.option("--reason", required=True, help="Why they are taken out without use.")
@click.option("--document", required=True, help="Reference of the document that orders it.")
@approval_options
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def cancel(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Take units out of circulation without use: a correction or a replacement."""
    request = ledger_pb2.CancelUnitsRequest(
        request_id=values["request_id"] or new_request_id(),
        account_id=values["account"],
        units=selection(values["kg"], values["series"], values["blocks"]),
        reason=values["reason"],
        document_reference=values["document"],
        wait_ms=WAIT_MS,
    )
    first = party_for(region_name, "cancel", role)
    if is_only_prepared(session, request, CANCELLATION, request.account_id, first, values):
        return
    client = client_for(session, region_name, "cancel", role)
    _show_retirement(session, client.retirements.CancelUnits(request).retirement)


@click.group()
def retirement() -> None:
    """Records of use."""


@retirement.command("show", cls=Verb)
@acting
@click.argument("retirement_id")
@click.pass_obj
def show_retirement(session: Session, region_name: str, role: str | None, retirement_id: str) -> None:
    """Show a retirement record; with --json also the signed Use and Decision."""
    client = client_for(session, region_name, "read", role)
    request = ledger_pb2.GetRetirementRequest(retirement_id=retirement_id)
    _show_retirement(session, client.retirements.GetRetirement(request).retirement)


@retirement.command("list", cls=Verb)
@acting
@click.option("--account", default="", help="Only those of this account.")
@click.pass_obj
def list_retirements(session: Session, region_name: str, role: str | None, account: str) -> None:
    """List a page of a region's retirement records."""
    client = client_for(session, region_name, "read", role)
    answer = client.retirements.ListRetirements(
        ledger_pb2.ListRetirementsRequest(account_id=account, page_size=PAGE_SIZE)
    )
    session.output.rows(
        ("记录 record", "状态 state", "用途 purpose", "kg", "日期 date"),
        [
            (
                one.retirement_id,
                _enum(ledger_pb2.UseState.Name(one.state)),
                f"{one.purpose} {one.purpose_text}",
                one.quantity_kg,
                date_text(one.retiring_date),
            )
            for one in answer.retirements
        ],
        json_value=message_fields(answer),
    )


@click.group()
def journal() -> None:
    """A region's journal: everything that happened, in order."""


@journal.command("watch", cls=Verb)
@acting
@click.option("--from", "from_index", type=click.IntRange(min=1), default=1, help="First index wanted.")
@click.option("--account", "accounts", multiple=True, help="Only what touches this account; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many entries.")
@click.pass_obj
def watch_journal(
    session: Session,
    region_name: str,
    role: str | None,
    from_index: int,
    accounts: tuple[str, ...],
    limit: int | None,
) -> None:
    """Follow the journal; after a cut ask again from the last index plus one.

    With --json one object a line.
    """
    import json

    client = client_for(session, region_name, "read", role)
    request = journal_pb2.WatchJournalRequest(
        from_index=from_index, filter=journal_pb2.JournalFilter(account_ids=accounts)
    )
    shown = 0
    for answer in client.journal.WatchJournal(request):
        for entry in answer.entries:
            if session.output.as_json:
                click.echo(json.dumps(message_fields(entry), ensure_ascii=False))
            else:
                kind = journal_pb2.JournalEventKind.Name(entry.kind).removeprefix("JOURNAL_EVENT_KIND_")
                session.output.say(
                    f"{entry.journal_index:>7}  {date_text(entry.legal_date)}  {kind:<22}  {entry.subject_id}"
                )
            shown += 1
            if limit is not None and shown >= limit:
                return


def _show_transfer(session: Session, one: ledger_pb2.Transfer) -> None:
    session.output.message(
        one,
        {
            "划转 transfer": one.transfer_id,
            "状态 state": _enum(ledger_pb2.TransferState.Name(one.state)),
            "从 from": one.source,
            "到 to": one.destination,
            "数量 kg": one.quantity_kg,
            "区块 blocks": blocks_text(list(one.blocks)),
            "日期 legal date": date_text(one.legal_date),
        },
    )
    _stop_if_refused(session, list(one.reasons))


def _show_retirement(session: Session, one: ledger_pb2.Retirement) -> None:
    session.output.message(
        one,
        {
            "记录 record": one.retirement_id,
            "状态 state": _enum(ledger_pb2.UseState.Name(one.state)),
            "用途 purpose": f"{one.purpose} {one.purpose_text}",
            "受益方 beneficiary": one.beneficiary.name or "–",
            "数量 kg": one.quantity_kg,
            "区块 blocks": blocks_text(list(one.blocks)),
            "条款 article": one.article or "–",
            "消纳日 retiring date": date_text(one.retiring_date),
            "决定日 decision date": date_text(one.decision_date),
        },
    )
    _stop_if_refused(session, list(one.reasons))


def _stop_if_refused(session: Session, reasons: list[Any]) -> None:
    from tanqiao.rpc.errors import from_refusal

    if not reasons:
        return
    if not session.output.as_json:
        for reason in reasons:
            session.output.refused(from_refusal(reason))
    raise click.exceptions.Exit(1)


def digest_of_file(path: Path | None) -> bytes:
    """Give the SHA-256 of a file, nothing for none; FILE_MISSING if it cannot be read."""
    if path is None:
        return b""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error


def _enum(name: str) -> str:
    """Give the last words of an enum's name: what follows ``..._STATE_`` or ``..._DIRECTION_``."""
    for marker in ("_STATE_", "_DIRECTION_"):
        if marker in name:
            return name.partition(marker)[2]
    return name
