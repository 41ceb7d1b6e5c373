"""Mandates to trade (SH-18): a trading subject entrusts an agent, whose instructions the exchange settles.

Whom the law lets be entrusted is for the rules to say when a trade is settled; here stands who entrusted
whom, from when, until when.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from tanqiao.api.region.v1 import mandates_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX, ID_BYTES
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import parse_wire_period, require_text, wire_date, wire_period
from tanqiao_region.application import journal
from tanqiao_region.application.access import Accounts, of_another, offices_of, operators_of, represents
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import act_facts, once
from tanqiao_region.application.rules import subject_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.storage import trading_mandates as store
from tanqiao_region.storage.accounts import AccountRow, load_accounts
from tanqiao_region.storage.trading_mandates import MandateRow


class TradingMandates:
    """Mandates to trade.

    Args:
        context: the node's own things.
        database: for reading.
        submit: the node's writer.
    """

    def __init__(self, context: RegionContext, database: Database, submit: Submit) -> None:
        self._context = context
        self._database = database
        self._submit = submit

    def give(
        self, ask: Ask, request: mandates_pb2.GiveTradingMandateRequest
    ) -> mandates_pb2.GiveTradingMandateResponse:
        """Entrust an agent."""
        kept = self._submit(lambda group: once(group, ask, lambda: _give(group, ask.by, request)))
        return mandates_pb2.GiveTradingMandateResponse.FromString(kept)

    def end(
        self, ask: Ask, request: mandates_pb2.EndTradingMandateRequest
    ) -> mandates_pb2.EndTradingMandateResponse:
        """End a mandate from today on."""
        kept = self._submit(lambda group: once(group, ask, lambda: _end(group, ask.by, request)))
        return mandates_pb2.EndTradingMandateResponse.FromString(kept)

    def page(self, account_id: str, by: By, after: str, limit: int) -> list[mandates_pb2.TradingMandate]:
        """Give a page of an account's mandates, by id, to its holder or an office.

        Raises:
            DomainError: ACCOUNT_UNKNOWN, also for another person's account; ACCOUNT_OF_ANOTHER.
        """
        offices = offices_of(self._context.pack(legal_date(self._context.now())))
        with self._database.reading() as connection:
            accounts = load_accounts(connection, [account_id])
            account = accounts.get(account_id)
            if account is None:
                raise _unknown("account_id", account_id)
            accounts = {**accounts, **load_accounts(connection, sorted(operators_of([account])))}
            viewer = offices.viewer(by)
            if not (viewer.opened or (viewer.organisations and not account.is_personal)):
                _require_side(by, account, accounts, "account_id", "ListTradingMandates")
            rows = store.list_mandates(connection, account_id, after=after, limit=limit)
        return [message_of(row) for row in rows]


def message_of(row: MandateRow) -> mandates_pb2.TradingMandate:
    """Give a mandate as it is shown."""
    message = mandates_pb2.TradingMandate(
        mandate_id=row.mandate_id,
        principal_account_id=row.principal_account_id,
        agent_account_id=row.agent_account_id,
        period=wire_period(_period(row)),
    )
    if row.end_date:
        message.end_date.CopyFrom(wire_date(date.fromisoformat(row.end_date)))
    return message


def _period(row: MandateRow) -> Period:
    return Period(date.fromisoformat(row.start_date), date.fromisoformat(row.stop_date))


def _unknown(field: str, account_id: str) -> DomainError:
    return DomainError("ACCOUNT_UNKNOWN", field=field, account_id=account_id[:ACCOUNT_ID_LENGTH_MAX])


def _require_side(by: By, account: AccountRow, accounts: Accounts, field: str, act: str) -> None:
    if represents(by, account, accounts):
        return
    raise _unknown(field, account.account_id) if account.is_personal else of_another(by.party, act)


def _open_account(accounts: Accounts, account_id: str, field: str) -> AccountRow:
    account = accounts.get(account_id)
    if account is None:
        raise _unknown(field, account_id)
    if not account.is_open:
        raise DomainError("ACCOUNT_CLOSED", field=field, account_id=account_id)
    return account


def _give(
    group: Group, by: By, request: mandates_pb2.GiveTradingMandateRequest
) -> mandates_pb2.GiveTradingMandateResponse:
    wanted = [
        require_text(getattr(request, field), field, length_max=ACCOUNT_ID_LENGTH_MAX)
        for field in ("principal_account_id", "agent_account_id")
    ]
    period = parse_wire_period(request.period)
    accounts = group.load_accounts(wanted)
    principal = _open_account(accounts, wanted[0], "principal_account_id")
    agent = _open_account(accounts, wanted[1], "agent_account_id")
    if principal.account_id == agent.account_id:
        raise DomainError("FIELD_INVALID", field="agent_account_id", detail="the principal itself")
    if period.end <= group.legal_date:
        raise DomainError(
            "DATE_NOT_ALLOWED", field="period", date=period.end.isoformat(), detail="it is over already"
        )
    verdict = group.pack.require(_moving(group, by, principal, agent))
    _require_side(by, principal, accounts, "principal_account_id", "GiveTradingMandate")
    row = MandateRow(
        group.context.random_bytes(ID_BYTES).hex(),
        principal.account_id,
        agent.account_id,
        period.start.isoformat(),
        period.end.isoformat(),
        "",
        by.party,
        group.now,
    )
    _require_no_other(group, row)
    store.insert_mandate(group.connection, row)
    _note(group, row, journal.Applied.of(verdict), {"by": by.party, "period": str(period)})
    return mandates_pb2.GiveTradingMandateResponse(mandate=message_of(row))


def _moving(group: Group, by: By, principal: AccountRow, agent: AccountRow) -> acts.TransferLocal:
    """Give the facts of moving units: who could not do it may not entrust another with it.

    The trade itself is judged when the exchange hands its settlement in.
    """
    region = group.context.region_code
    return acts.TransferLocal(
        **act_facts(group, by),
        lots=(),
        seller=subject_of(principal, region),
        buyer=subject_of(agent, region),
        trade=False,
    )


def _require_no_other(group: Group, row: MandateRow) -> None:
    """Refuse a second mandate of the same two for the same days: which of them stands would be unclear."""
    pair = (row.principal_account_id, row.agent_account_id)
    for other in store.open_mandates(group.connection, [pair]):
        if other.start_date < row.stop_date and row.start_date < other.stop_date:
            raise DomainError("ALREADY_EXISTS", field="period", what="mandate", id=other.mandate_id)


def _end(
    group: Group, by: By, request: mandates_pb2.EndTradingMandateRequest
) -> mandates_pb2.EndTradingMandateResponse:
    mandate_id = require_text(request.mandate_id, "mandate_id", length_max=ACCOUNT_ID_LENGTH_MAX)
    row = store.load_mandate(group.connection, mandate_id)
    sides = [] if row is None else [row.principal_account_id, row.agent_account_id]
    accounts = group.load_accounts(sides)
    if row is None or not any(represents(by, accounts[one], accounts) for one in sides):
        raise DomainError("NOT_FOUND", field="mandate_id", what="mandate", id=mandate_id)
    if row.end_date:
        raise DomainError(
            "STATE_NOT_ALLOWED", what="授权 mandate", id=mandate_id, state="ENDED", needed="IN_FORCE"
        )
    verdict = group.pack.require_duty(acts.Facts(**act_facts(group, by)), ())
    ended = replace(row, end_date=group.legal_date_text)
    store.end_mandate(group.connection, mandate_id, ended.end_date)
    _note(group, row, journal.Applied.of(verdict), {"by": by.party, "ended": ended.end_date})
    return mandates_pb2.EndTradingMandateResponse(mandate=message_of(ended))


def _note(group: Group, row: MandateRow, applied: journal.Applied, details: dict[str, str]) -> None:
    effects = (journal.Effect(row.principal_account_id), journal.Effect(row.agent_account_id))
    group.journal.append(journal.MANDATE_CHANGED, row.mandate_id, effects, applied=applied, details=details)
