"""What callers read, from snapshots of their own: the writer is never asked, and never waits for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao_region.application.context import RegionContext
from tanqiao_region.storage import accounts, holdings, journal, node, reading, transfers
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.holdings import HoldingRow
from tanqiao_region.storage.journal import JournalRow
from tanqiao_region.storage.reading import IncomingView, OutgoingView, RetirementView

OUT: Final = 1
IN: Final = 2


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account, and what its operator calls the person behind it where the caller is that operator."""

    account: AccountRow
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """Kilograms of an account by state, as of a journal index."""

    held_kg: int
    locked_kg: int
    retiring_kg: int
    as_of_index: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What the node's books hold per series, in one snapshot."""

    by_series: dict[str, dict[int, int]]
    rows: Sequence[HoldingRow]
    in_flight: Sequence[tuple[bytes, str, tuple[UnitBlock, ...]]]
    as_of_index: int
    applied_log_index: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How the node stands."""

    journal_size: int
    applied_log_index: int
    transfers_open: int


class Queries:
    """Reads of the ledger.

    Args:
        context: the node's own things.
        database: read only.
    """

    def __init__(self, context: RegionContext, database: Database) -> None:
        self._context = context
        self._database = database

    # -- accounts --------------------------------------------------------------------------------------------

    def account(self, account_id: str, caller: str) -> AccountView:
        """Give an account; a person's to its operator alone (ACCOUNT_UNKNOWN to everybody else)."""
        with self._database.reading() as connection:
            account = accounts.load_accounts(connection, (account_id,)).get(account_id)
            if account is None or not _may_see(account, caller):
                raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id[:32])
            persons = accounts.load_persons(connection, (account_id,)) if _is_person(account) else {}
        return self._view(account, persons)

    def _view(self, account: AccountRow, persons: dict[str, accounts.PersonRow]) -> AccountView:
        person = persons.get(account.account_id)
        if person is None:
            return AccountView(account)
        reference = self._context.secrets.reveal(
            account.account_id, person.operator_reference, person.wrapped_key
        )
        return AccountView(account, reference)

    def accounts(
        self, *, kind: int, operator_account_id: str, caller: str, after: str, limit: int
    ) -> list[AccountView]:
        """Give a page of accounts; persons only those of the caller."""
        with self._database.reading() as connection:
            found = accounts.list_accounts(
                connection,
                kind=kind,
                operator_account_id=operator_account_id,
                opened_by=caller,
                after=after,
                limit=limit,
            )
            persons = accounts.load_persons(connection, [row.account_id for row in found if _is_person(row)])
        return [self._view(row, persons) for row in found]

    def balance(self, account_id: str, caller: str) -> Balance:
        """Give what an account holds, has locked and retires."""
        with self._database.reading() as connection:
            account = accounts.load_accounts(connection, (account_id,)).get(account_id)
            if account is None or not _may_see(account, caller):
                raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id[:32])
            by_state = holdings.balance(connection, account_id)
            index, _ = journal.journal_head(connection)
        return Balance(
            by_state.get(holdings.HELD, 0),
            by_state.get(holdings.LOCKED, 0),
            by_state.get(holdings.RETIRING, 0),
            index,
        )

    def holdings(
        self, *, account_id: str, series_id: str, caller: str, after: tuple[str, int] | None, limit: int
    ) -> tuple[list[HoldingRow], int]:
        """Give a page of holdings and the journal index of it; persons' only to their operator."""
        with self._database.reading() as connection:
            if account_id:
                account = accounts.load_accounts(connection, (account_id,)).get(account_id)
                if account is None or not _may_see(account, caller):
                    raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id[:32])
            found = holdings.list_holdings(
                connection,
                account_id=account_id,
                series_id=series_id,
                after=after,
                limit=limit,
                persons_of=None if account_id else caller,
            )
            index, _ = journal.journal_head(connection)
        return found, index

    # -- transfers -------------------------------------------------------------------------------------------

    def transfer(self, transfer_id: bytes) -> OutgoingView | IncomingView:
        """Give a transfer that leaves or comes in; TRANSFER_UNKNOWN where there is none."""
        with self._database.reading() as connection:
            leaving = reading.find_outgoing(connection, (transfer_id,), with_envelopes=True)
            if leaving and leaving[0].kind == transfers.TRANSFER_KIND:
                return leaving[0]
            arriving = reading.find_incoming(connection, transfer_id)
        if not arriving:
            raise DomainError("TRANSFER_UNKNOWN", field="transfer_id", transfer_id=transfer_id.hex())
        return arriving[0]

    def outgoing(self, transfer_ids: Sequence[bytes]) -> dict[bytes, OutgoingView]:
        """Give outgoing transfers without their envelopes, by id."""
        with self._database.reading() as connection:
            found = reading.find_outgoing(connection, transfer_ids, with_envelopes=False)
        return {view.transfer_id: view for view in found}

    def outgoing_page(self, *, state: int, account_id: str, after: bytes, limit: int) -> list[OutgoingView]:
        """Give a page of transfers that leave."""
        with self._database.reading() as connection:
            return reading.list_outgoing(
                connection, state=state, account_id=account_id, after=after, limit=limit
            )

    def incoming_page(
        self, *, state: int, account_id: str, after: tuple[str, bytes], limit: int
    ) -> list[IncomingView]:
        """Give a page of transfers that come in."""
        with self._database.reading() as connection:
            return reading.list_incoming(
                connection, state=state, account_id=account_id, after=after, limit=limit
            )

    # -- retirements -----------------------------------------------------------------------------------------

    def retirement(self, transfer_id: bytes) -> RetirementView:
        """Give a use with its signed messages; NOT_FOUND where there is none."""
        with self._database.reading() as connection:
            found = reading.list_retirements(
                connection,
                account_id="",
                after=b"",
                limit=1,
                transfer_id=transfer_id,
                with_envelopes=True,
            )
        if not found:
            raise DomainError("NOT_FOUND", field="retirement_id", what="retirement", id=transfer_id.hex())
        return found[0]

    def retirements(
        self, *, account_id: str, after: bytes, limit: int
    ) -> tuple[list[RetirementView], int, dict[str, AccountRow]]:
        """Give a page of uses, the journal index that it stands at, and the accounts concerned."""
        with self._database.reading() as connection:
            found = reading.list_retirements(connection, account_id=account_id, after=after, limit=limit)
            index, _ = journal.journal_head(connection)
            owners = accounts.load_accounts(connection, [view.use.account_id for view in found])
        return found, index, owners

    def owner(self, account_id: str) -> AccountRow:
        """Give the account behind a use."""
        with self._database.reading() as connection:
            return accounts.load_accounts(connection, (account_id,))[account_id]

    # -- journal and node ------------------------------------------------------------------------------------

    def journal(
        self, *, from_index: int, limit: int, account_ids: Sequence[str], kinds: Sequence[int]
    ) -> tuple[list[JournalRow], int]:
        """Give entries from an index on, and the size of the journal in the same snapshot."""
        with self._database.reading() as connection:
            size, _ = journal.journal_head(connection)
            found = journal.read_entries(
                connection, from_index=from_index, limit=limit, accounts=account_ids, kinds=kinds
            )
        return found, size

    def totals(self) -> Totals:
        """Give everything in the books per series, block by block, in one snapshot (PROTOCOL section 7)."""
        with self._database.reading() as connection:
            rows = holdings.all_holdings(connection)
            in_flight = transfers.blocks_of_open(connection)
            index, _ = journal.journal_head(connection)
            values = node.load_values(connection, (node.APPLIED_LOG_INDEX,))
        by_series: dict[str, dict[int, int]] = {}
        for row in rows:
            states = by_series.setdefault(row.series_id, {})
            states[row.place[1]] = states.get(row.place[1], 0) + row.end - row.start
        applied = int(values.get(node.APPLIED_LOG_INDEX, node.NOTHING_APPLIED))
        return Totals(by_series, rows, in_flight, index, applied)

    def status(self) -> NodeStatus:
        """Give how the node stands."""
        with self._database.reading() as connection:
            size, _ = journal.journal_head(connection)
            values = node.load_values(connection, (node.APPLIED_LOG_INDEX,))
            open_count = reading.count_open(connection)
        applied = int(values.get(node.APPLIED_LOG_INDEX, node.NOTHING_APPLIED))
        return NodeStatus(size, applied, open_count)


def _is_person(account: AccountRow) -> bool:
    return account.kind == accounts.KIND_PERSON


def _may_see(account: AccountRow, caller: str) -> bool:
    """Persons' data go to the operator who opened the account, and to nobody else."""
    return not _is_person(account) or account.opened_by == caller
