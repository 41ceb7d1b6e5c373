"""`tanqiao accounts`: open, list, show, close, address."""

from __future__ import annotations

from typing import Final

import click

from tanqiao.api.region.v1 import accounts_pb2
from tanqiao.cli.acting import acting, client_for, holder_party
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import blocks_text, shown_name
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.verb import Verb
from tanqiao.signing.provision import HOLDER

KINDS: Final[dict[str, accounts_pb2.AccountKind.ValueType]] = {
    name.removeprefix("ACCOUNT_KIND_").lower(): number
    for name, number in accounts_pb2.AccountKind.items()
    if number
}
PAGE_SIZE: Final = 1000


@click.group()
def accounts() -> None:
    """Accounts of a region: who holds units."""


@accounts.command("open", cls=Verb)
@acting
@click.option("--kind", type=click.Choice(sorted(KINDS)), required=True, help="What the holder is.")
@click.option("--name", default="", help="Name of an organisation; not of a person.")
@click.option("--uscc", default="", help="Credit code of an organisation, GB 32100, 18 characters.")
@click.option("--seat", default="", help="Division code or country of a buyer from elsewhere.")
@click.option("--operator", default="", help="Account of the data-platform operator a person acts through.")
@click.option("--reference", default="", help="The operator's own pseudonymous reference of a person.")
@click.option("--holder", default="", help="Who acts for it: a name, or a party; makes the certificate.")
@click.option("--invented", is_flag=True, help="The holder is invented, for demonstration 虚构.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def open_account(
    session: Session,
    /,
    region_name: str,
    role: str | None,
    kind: str,
    request_id: str | None,
    **values: str | bool,
) -> None:
    """Open an account; prints its number.

    Example: tanqiao accounts open --region shenzhen --kind enterprise --name 演示 --holder acme --invented
    """
    client = client_for(session, region_name, "accounts", role)
    holder = _registered(session, region_name, kind, str(values["holder"]))
    request = accounts_pb2.OpenAccountRequest(
        request_id=request_id or new_request_id(),
        kind=KINDS[kind],
        display_name=str(values["name"]),
        uscc=str(values["uscc"]),
        seat=str(values["seat"]),
        operator_account_id=str(values["operator"]),
        operator_reference=str(values["reference"]),
        invented=bool(values["invented"]),
        holder_party=holder,
    )
    session.output.message(client.accounts.OpenAccount(request).account)


@accounts.command("list", cls=Verb)
@acting
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="Only this kind.")
@click.pass_obj
def list_accounts(session: Session, region_name: str, role: str | None, kind: str | None) -> None:
    """List the accounts of a region."""
    client = client_for(session, region_name, "read", role)
    found: list[accounts_pb2.Account] = []
    request = accounts_pb2.ListAccountsRequest(page_size=PAGE_SIZE)
    if kind is not None:
        request.kind = accounts_pb2.AccountKind.Value(f"ACCOUNT_KIND_{kind.upper()}")
    while True:
        answer = client.accounts.ListAccounts(request)
        found += answer.accounts
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    session.output.rows(
        ("账户 account", "类型 kind", "状态 state", "名称 name"),
        [
            (
                account.account_id,
                _word(accounts_pb2.AccountKind.Name(account.kind), "ACCOUNT_KIND_"),
                _word(accounts_pb2.AccountState.Name(account.state), "ACCOUNT_STATE_"),
                shown_name(account.display_name, invented=account.invented),
            )
            for account in found
        ],
        json_value=[message_fields(account) for account in found],
    )


@accounts.command("show", cls=Verb)
@acting
@click.argument("account_id")
@click.pass_obj
def show(session: Session, region_name: str, role: str | None, account_id: str) -> None:
    """Show an account, its balance and the blocks that it holds."""
    client = client_for(session, region_name, "read", role)
    account = client.accounts.GetAccount(accounts_pb2.GetAccountRequest(account_id=account_id)).account
    balance = client.accounts.GetBalance(accounts_pb2.GetBalanceRequest(account_id=account_id))
    holdings: list[accounts_pb2.Holding] = []
    request = accounts_pb2.ListHoldingsRequest(account_id=account_id, page_size=PAGE_SIZE)
    while True:
        answer = client.accounts.ListHoldings(request)
        holdings += answer.holdings
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    everything = {
        "account": message_fields(account),
        "balance": message_fields(balance),
        "holdings": [message_fields(holding) for holding in holdings],
    }
    if session.output.as_json:
        session.output.value(everything)
        return
    session.output.answer(
        {
            "账户 account": account.account_id,
            "名称 name": shown_name(account.display_name, invented=account.invented),
            "代表 acts for it": account.holder_party or "–",
            "持有 held kg": balance.held_kg,
            "锁定 locked kg": balance.locked_kg,
            "消纳中 retiring kg": balance.retiring_kg,
            "已设质 encumbered kg": balance.encumbered_kg,
        }
    )
    session.output.rows(
        ("区块 block", "状态 state"),
        [
            (
                blocks_text([holding.block]),
                _word(accounts_pb2.HoldingState.Name(holding.state), "HOLDING_STATE_"),
            )
            for holding in holdings
        ],
    )


@accounts.command("holder", cls=Verb)
@acting
@click.argument("account_id")
@click.argument("holder")
@click.pass_obj
def holder(session: Session, region_name: str, role: str | None, account_id: str, holder: str) -> None:
    """Name who acts for an account from here on: a name, a party, or '' for nobody."""
    client = client_for(session, region_name, "accounts", role)
    account = client.accounts.GetAccount(accounts_pb2.GetAccountRequest(account_id=account_id)).account
    kind = _word(accounts_pb2.AccountKind.Name(account.kind), "ACCOUNT_KIND_").lower()
    request = accounts_pb2.SetAccountHolderRequest(
        request_id=new_request_id(),
        account_id=account_id,
        holder_party=_registered(session, region_name, kind, holder),
    )
    session.output.message(client.accounts.SetAccountHolder(request).account)


def _registered(session: Session, region_name: str, kind: str, name: str) -> str:
    """Give the party of a holder, whose certificate is made if it is one of this federation's."""
    party = holder_party(require_region(region_name), "operate" if kind == "data_operator" else "hold", name)
    if party.startswith(HOLDER):
        session.home.make_holder(party)
    return party


@accounts.command("close", cls=Verb)
@acting
@click.argument("account_id")
@click.pass_obj
def close(session: Session, region_name: str, role: str | None, account_id: str) -> None:
    """Close an account; refused while units of it are locked."""
    client = client_for(session, region_name, "accounts", role)
    request = accounts_pb2.CloseAccountRequest(request_id=new_request_id(), account_id=account_id)
    session.output.message(client.accounts.CloseAccount(request).account)


@accounts.command("forget", cls=Verb)
@acting
@click.argument("account_id")
@click.pass_obj
def forget(session: Session, region_name: str, role: str | None, account_id: str) -> None:
    """Delete the personal data behind a closed account of a person; the ledger stays."""
    client = client_for(session, region_name, "accounts", role)
    request = accounts_pb2.DeletePersonalDataRequest(request_id=new_request_id(), account_id=account_id)
    answer = client.accounts.DeletePersonalData(request)
    session.output.message(answer, {"账户 account": account_id, "不再载名的消纳 uses": answer.uses_count})


@accounts.command("address", cls=Verb)
@acting
@click.argument("account_id")
@click.pass_obj
def address(session: Session, region_name: str, role: str | None, account_id: str) -> None:
    """Make a receiving address: what a seller in another region needs, and all that it learns."""
    client = client_for(session, region_name, "address", role)
    request = accounts_pb2.CreateReceivingAddressRequest(request_id=new_request_id(), account_id=account_id)
    session.output.message(client.accounts.CreateReceivingAddress(request))


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)
