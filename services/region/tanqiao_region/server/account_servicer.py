"""AccountService: translates."""

from __future__ import annotations

from typing import Final

import grpc

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import accounts_pb2, accounts_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.errors import item_status
from tanqiao.rpc.validation import (
    optional_text,
    page,
    require_count,
    require_enum,
    require_text,
)
from tanqiao.signing.parties import PARTY_LENGTH_MAX
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.orders import Orders
from tanqiao_region.application.queries import AccountView, Queries
from tanqiao_region.server.wire import (
    SERIES_ID_LENGTH_MAX,
    account_message,
    by_caller,
    client_request,
    holding_position,
)

NAME_LENGTH_MAX: Final = 200
REFERENCE_LENGTH_MAX: Final = 128
SEAT_LENGTH_MAX: Final = 16
USCC_LENGTH_MAX: Final = 18
ACCOUNTS_PER_BATCH_MAX: Final = 1_000


class AccountServicer(accounts_pb2_grpc.AccountServiceServicer):
    """Accounts of the node."""

    def __init__(self, orders: Orders, queries: Queries) -> None:
        self._orders = orders
        self._queries = queries

    def OpenAccount(
        self, request: accounts_pb2.OpenAccountRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.OpenAccountResponse:
        """Open one account."""
        answer = self._orders.open_accounts([_open_order(request)])[0]
        if isinstance(answer, DomainError):
            raise answer
        return accounts_pb2.OpenAccountResponse(
            account=account_message(AccountView(answer, request.operator_reference.strip()))
        )

    def BatchOpenAccounts(
        self, request: accounts_pb2.BatchOpenAccountsRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.BatchOpenAccountsResponse:
        """Open accounts in order, each as if alone."""
        require_count(request.requests, "requests", limit=ACCOUNTS_PER_BATCH_MAX)
        shaped: list[OpenOrder | DomainError] = []
        for one in request.requests:
            try:
                shaped.append(_open_order(one))
            except DomainError as refusal:
                shaped.append(refusal)
        orders = [one for one in shaped if isinstance(one, OpenOrder)]
        answers = iter(self._orders.open_accounts(orders) if orders else ())
        response = accounts_pb2.BatchOpenAccountsResponse()
        for order in shaped:
            answer = order if isinstance(order, DomainError) else next(answers)
            if isinstance(answer, DomainError):
                response.statuses.append(item_status(answer))
                response.accounts.append(accounts_pb2.Account())
            else:
                response.statuses.append(values_pb2.ItemStatus())
                response.accounts.append(account_message(AccountView(answer)))
        return response

    def GetAccount(
        self, request: accounts_pb2.GetAccountRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.GetAccountResponse:
        """Give an account."""
        account_id = _account_id(request.account_id)
        view = self._queries.account(account_id, by_caller())
        return accounts_pb2.GetAccountResponse(account=account_message(view))

    def ListAccounts(
        self, request: accounts_pb2.ListAccountsRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.ListAccountsResponse:
        """Give a page of the accounts that the caller may see."""
        part = page(request.page_size, request.page_token, request.kind, request.operator_account_id)
        found = self._queries.accounts(
            kind=request.kind,
            operator_account_id=optional_text(
                request.operator_account_id, "operator_account_id", length_max=ACCOUNT_ID_LENGTH_MAX
            ),
            by=by_caller(),
            after=part.after,
            limit=part.size + 1,
        )
        shown = found[: part.size]
        more = part.token(shown[-1].account.account_id) if len(found) > part.size else ""
        return accounts_pb2.ListAccountsResponse(
            accounts=[account_message(view) for view in shown], next_page_token=more
        )

    def SetAccountHolder(
        self, request: accounts_pb2.SetAccountHolderRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.SetAccountHolderResponse:
        """Say whose certificate acts for an account from here on."""
        row = self._orders.set_holder(
            client_request(request, request.request_id),
            by_caller(),
            _account_id(request.account_id),
            _holder_party(request.holder_party),
        )
        return accounts_pb2.SetAccountHolderResponse(account=account_message(AccountView(row)))

    def CloseAccount(
        self, request: accounts_pb2.CloseAccountRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.CloseAccountResponse:
        """Close an account in which nothing is left."""
        row = self._orders.close_account(
            client_request(request, request.request_id), by_caller(), _account_id(request.account_id)
        )
        return accounts_pb2.CloseAccountResponse(account=account_message(AccountView(row)))

    def DeletePersonalData(
        self, request: accounts_pb2.DeletePersonalDataRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.DeletePersonalDataResponse:
        """Forget the person behind a closed account."""
        del context
        count = self._orders.delete_personal_data(
            client_request(request, request.request_id), by_caller(), _account_id(request.account_id)
        )
        return accounts_pb2.DeletePersonalDataResponse(uses_count=count)

    def CreateReceivingAddress(
        self, request: accounts_pb2.CreateReceivingAddressRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.CreateReceivingAddressResponse:
        """Make a receiving address."""
        address = self._orders.create_address(
            client_request(request, request.request_id), by_caller(), _account_id(request.account_id)
        )
        return accounts_pb2.CreateReceivingAddressResponse(receiving_address=address)

    def GetBalance(
        self, request: accounts_pb2.GetBalanceRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.GetBalanceResponse:
        """Give what an account holds, has locked and retires."""
        balance = self._queries.balance(_account_id(request.account_id), by_caller())
        return accounts_pb2.GetBalanceResponse(
            held_kg=balance.held_kg,
            locked_kg=balance.locked_kg,
            retiring_kg=balance.retiring_kg,
            as_of_index=balance.as_of_index,
            encumbered_kg=balance.encumbered_kg,
        )

    def ListHoldings(
        self, request: accounts_pb2.ListHoldingsRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.ListHoldingsResponse:
        """Give a page of holdings."""
        part = page(request.page_size, request.page_token, request.account_id, request.series_id)
        found, index = self._queries.holdings(
            account_id=optional_text(request.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX),
            series_id=optional_text(request.series_id, "series_id", length_max=SERIES_ID_LENGTH_MAX),
            by=by_caller(),
            after=part.read(holding_position, None),
            limit=part.size + 1,
        )
        shown = found[: part.size]
        more = ""
        if len(found) > part.size:
            more = part.token(f"{shown[-1].series_id}\n{shown[-1].start}")
        return accounts_pb2.ListHoldingsResponse(
            holdings=[
                accounts_pb2.Holding(
                    account_id=row.place[0],
                    block=values_pb2.UnitBlock(
                        series_id=row.series_id, start_serial=row.start, end_serial=row.end
                    ),
                    state=row.place[1],  # type: ignore[arg-type]  # numbers of the enumeration
                    finality=self._queries.finality_held(row.place),
                    transfer_id=row.place[2],
                )
                for row in shown
            ],
            next_page_token=more,
            as_of_index=index,
        )


def _account_id(text: str, field: str = "account_id") -> str:
    return require_text(text, field, length_max=ACCOUNT_ID_LENGTH_MAX)


def _holder_party(text: str) -> str:
    return optional_text(text, "holder_party", length_max=PARTY_LENGTH_MAX)


def _open_order(request: accounts_pb2.OpenAccountRequest) -> OpenOrder:
    return OpenOrder(
        request=client_request(request, request.request_id),
        by=by_caller(),
        kind=require_enum(request.kind, "kind"),
        display_name=optional_text(request.display_name, "display_name", length_max=NAME_LENGTH_MAX),
        uscc=optional_text(request.uscc, "uscc", length_max=USCC_LENGTH_MAX),
        operator_account_id=optional_text(
            request.operator_account_id, "operator_account_id", length_max=ACCOUNT_ID_LENGTH_MAX
        ),
        operator_reference=optional_text(
            request.operator_reference, "operator_reference", length_max=REFERENCE_LENGTH_MAX
        ),
        seat=optional_text(request.seat, "seat", length_max=SEAT_LENGTH_MAX),
        invented=request.invented,
        holder_party=_holder_party(request.holder_party),
        owner_account_id=optional_text(
            request.owner_account_id, "owner_account_id", length_max=ACCOUNT_ID_LENGTH_MAX
        ),
    )
