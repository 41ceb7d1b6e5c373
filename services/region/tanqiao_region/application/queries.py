"""What callers read, from snapshots of their own: the writer is never asked, and never waits for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import journal_pb2
from tanqiao.db.engine import Database
from tanqiao.db.shared_reads import SharedReads
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.signing.commitments import SALT_LENGTH
from tanqiao_region.application.access import OFFICE, of_another, offices_of
from tanqiao_region.application.commands import By
from tanqiao_region.application.context import RegionContext
from tanqiao_region.storage import (
    accounts,
    beneficiaries,
    encumbrances,
    holdings,
    journal,
    node,
    reading,
    transfers,
)
from tanqiao_region.storage.accounts import AccountRow, Viewer
from tanqiao_region.storage.holdings import HELD, HoldingRow, Place
from tanqiao_region.storage.journal import JournalRow
from tanqiao_region.storage.reading import IncomingView, OutgoingView, RetirementView

SALT_CHARACTERS: Final = 2 * SALT_LENGTH
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
    encumbered_kg: int = 0


@dataclass(frozen=True, slots=True)
class JournalPart:
    """Entries of the journal, its size, and the accounts whose sides are shown; None: all of them."""

    rows: Sequence[JournalRow]
    size: int
    seen: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Totals:
    """A page of what the node's books hold, in one snapshot; `ends` is its last position if there is more."""

    by_series: dict[str, dict[int, int]]
    rows: Sequence[HoldingRow]
    in_flight: Sequence[tuple[bytes, str, tuple[UnitBlock, ...]]]
    as_of_index: int
    applied_log_index: int
    ends: tuple[str, int] | None


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
        self._begun: SharedReads[bytes, OutgoingView] = SharedReads(self._outgoing_with_envelopes)

    # -- finality --------------------------------------------------------------------------------------------

    def finality_of(self, log_index: int) -> values_pb2.Finality.ValueType:
        """Say how final a COMMIT at an index of the bridge's log is."""
        return self._context.pending.of(log_index)

    def finality_held(self, place: Place) -> values_pb2.Finality.ValueType:
        """Say how final it is that units are at a place: those that keep their transfer are pending (R10)."""
        if self._context.pending.quorum == 0:
            return values_pb2.FINALITY_COMMIT
        pending = place[1] == HELD and bool(place[2])
        return values_pb2.FINALITY_PENDING if pending else values_pb2.FINALITY_QUORUM

    def finality_status(self) -> journal_pb2.FinalityStatus:
        """Give how far what was decided has become final here."""
        pending = self._context.pending
        oldest_ms, lag = pending.oldest_ms(), pending.lag()
        now_ms = int(self._context.now().timestamp() * 1000)
        return journal_pb2.FinalityStatus(
            quorum=pending.quorum,
            cosigned_size=pending.cosigned_size,
            transfers_pending=len(pending),
            pending_kg=pending.pending_kg(),
            oldest_pending_seconds=0 if oldest_ms is None else max(0, now_ms - oldest_ms) // 1000,
            lag_p50_ms=lag.p50_ms,
            lag_p99_ms=lag.p99_ms,
        )

    # -- accounts --------------------------------------------------------------------------------------------

    def viewer(self, by: By) -> Viewer:
        """Give what the caller may see; which offices look at more, today's rule pack says."""
        if not by.party.startswith(OFFICE):
            return Viewer(by.party)
        return offices_of(self._context.pack(legal_date(self._context.now()))).viewer(by)

    def account(self, account_id: str, by: By) -> AccountView:
        """Give an account that the caller may see.

        Raises:
            DomainError: ACCOUNT_OF_ANOTHER; ACCOUNT_UNKNOWN where there is none or it is another's user's.
        """
        with self._database.reading() as connection:
            account = _see(connection, account_id, self.viewer(by), "GetAccount")
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
        self, *, kind: int, operator_account_id: str, by: By, after: str, limit: int
    ) -> list[AccountView]:
        """Give a page of the accounts that the caller may see."""
        with self._database.reading() as connection:
            found = accounts.list_accounts(
                connection,
                kind=kind,
                operator_account_id=operator_account_id,
                viewer=self.viewer(by),
                after=after,
                limit=limit,
            )
            persons = accounts.load_persons(connection, [row.account_id for row in found if _is_person(row)])
        return [self._view(row, persons) for row in found]

    def balance(self, account_id: str, by: By) -> Balance:
        """Give what an account holds, has locked and retires; refusals as for `account`."""
        with self._database.reading() as connection:
            _see(connection, account_id, self.viewer(by), "GetBalance")
            by_state = holdings.balance(connection, account_id)
            bound_kg = encumbrances.encumbered_kg(connection, account_id)
            index, _ = journal.journal_head(connection)
        return Balance(
            by_state.get(holdings.HELD, 0),
            by_state.get(holdings.LOCKED, 0),
            by_state.get(holdings.RETIRING, 0),
            index,
            bound_kg,
        )

    def holdings(
        self, *, account_id: str, series_id: str, by: By, after: tuple[str, int] | None, limit: int
    ) -> tuple[list[HoldingRow], int]:
        """Give a page of holdings that the caller may see and the journal index of it."""
        viewer = self.viewer(by)
        with self._database.reading() as connection:
            if account_id:
                _see(connection, account_id, viewer, "ListHoldings")
            found = holdings.list_holdings(
                connection,
                account_id=account_id,
                series_id=series_id,
                after=after,
                limit=limit,
                viewer=None if account_id else viewer,
            )
            index, _ = journal.journal_head(connection)
        return found, index

    # -- transfers -------------------------------------------------------------------------------------------

    def transfer(self, transfer_id: bytes, by: By) -> OutgoingView | IncomingView:
        """Give a transfer that leaves or comes in, of an account that the caller may see.

        Raises:
            DomainError: ACCOUNT_OF_ANOTHER; TRANSFER_UNKNOWN where there is none or it is of another's user.
        """
        viewer = self.viewer(by)
        with self._database.reading() as connection:
            found: list[OutgoingView] | list[IncomingView] = [
                view
                for view in reading.find_outgoing(connection, (transfer_id,), with_envelopes=True)
                if view.kind == transfers.TRANSFER_KIND
            ]
            found = found or reading.find_incoming(connection, transfer_id)
            if not found:
                raise _transfer_unknown(transfer_id)
            _see_transfer(connection, found[0].account_id, viewer, transfer_id)
        return found[0]

    def begun(self, transfer_id: bytes) -> OutgoingView:
        """Give a transfer that leaves to the caller whose own order it is, with its envelopes.

        Raises:
            DomainError: TRANSFER_UNKNOWN.
        """
        found = self._begun.get(transfer_id)
        if found is None:
            raise _transfer_unknown(transfer_id)
        return found

    def _outgoing_with_envelopes(self, transfer_ids: Sequence[bytes]) -> dict[bytes, OutgoingView]:
        with self._database.reading() as connection:
            found = reading.find_outgoing(connection, transfer_ids, with_envelopes=True)
        return {view.transfer_id: view for view in found}

    def outgoing(self, transfer_ids: Sequence[bytes]) -> dict[bytes, OutgoingView]:
        """Give outgoing transfers without their envelopes, by id."""
        with self._database.reading() as connection:
            found = reading.find_outgoing(connection, transfer_ids, with_envelopes=False)
        return {view.transfer_id: view for view in found}

    def require_seen(self, account_id: str, by: By, act: str) -> None:
        """Refuse a question about an account that the caller may not see, as `account` does."""
        with self._database.reading() as connection:
            _see(connection, account_id, self.viewer(by), act)

    def outgoing_page(
        self, *, state: int, account_id: str, by: By, after: bytes, limit: int
    ) -> list[OutgoingView]:
        """Give a page of transfers that leave, of accounts that the caller may see."""
        with self._database.reading() as connection:
            return reading.list_outgoing(
                connection,
                state=state,
                account_id=account_id,
                viewer=self.viewer(by),
                after=after,
                limit=limit,
            )

    def incoming_page(
        self, *, state: int, account_id: str, by: By, after: tuple[str, bytes], limit: int
    ) -> list[IncomingView]:
        """Give a page of transfers that come in, for accounts that the caller may see."""
        with self._database.reading() as connection:
            return reading.list_incoming(
                connection,
                state=state,
                account_id=account_id,
                viewer=self.viewer(by),
                after=after,
                limit=limit,
            )

    # -- retirements -----------------------------------------------------------------------------------------

    def retirement(self, transfer_id: bytes, by: By) -> tuple[RetirementView, bool]:
        """Give a use with its signed messages, and whether the caller may see its account.

        Raises:
            DomainError: NOT_FOUND where there is none.
        """
        with self._database.reading() as connection:
            found = reading.list_retirements(
                connection,
                account_id="",
                after=b"",
                limit=1,
                transfer_id=transfer_id,
                with_envelopes=True,
            )
            seen = accounts.seen_of(connection, [view.use.account_id for view in found], self.viewer(by))
            found = self._revealed(connection, found, seen)
        if not found:
            raise DomainError("NOT_FOUND", field="retirement_id", what="retirement", id=transfer_id.hex())
        return found[0], found[0].use.account_id in seen

    def _revealed(
        self, connection: sa.Connection, views: list[RetirementView], seen: frozenset[str]
    ) -> list[RetirementView]:
        """Give for whom the uses are, where that is sealed and the caller may see it."""
        wanted = [view.use.transfer_id for view in views if view.use.account_id in seen]
        sealed = beneficiaries.load_beneficiaries(connection, wanted)
        shown = []
        for view in views:
            row = sealed.get(view.use.transfer_id)
            if row is not None:
                text = self._context.secrets.reveal(row.transfer_id.hex(), row.sealed, row.wrapped_key)
                salt, name = bytes.fromhex(text[:SALT_CHARACTERS]), text[SALT_CHARACTERS:]
                shown.append(replace(view, beneficiary_name=name, beneficiary_salt=salt))
            else:
                shown.append(view)
        return shown

    def retirements(
        self, *, account_id: str, by: By, after: bytes, limit: int
    ) -> tuple[list[RetirementView], int, frozenset[str]]:
        """Give a page of uses, the journal index that it stands at, and which accounts the caller may see.

        Every use is public; of whose account it is, is not: only who may see an account asks for its uses.
        """
        viewer = self.viewer(by)
        with self._database.reading() as connection:
            if account_id:
                _see(connection, account_id, viewer, "ListRetirements")
            found = reading.list_retirements(connection, account_id=account_id, after=after, limit=limit)
            index, _ = journal.journal_head(connection)
            seen = accounts.seen_of(connection, [view.use.account_id for view in found], viewer)
            found = self._revealed(connection, found, seen)
        return found, index, seen

    # -- journal and node ------------------------------------------------------------------------------------

    def journal(
        self, *, from_index: int, limit: int, account_ids: Sequence[str], kinds: Sequence[int], by: By
    ) -> JournalPart:
        """Give entries from an index on, and the size of the journal in the same snapshot.

        Offices and national readers read the whole journal, in which account numbers are random; anybody
        else the entries that touch accounts of its own, and of those only these accounts' sides.
        """
        viewer = None if _reads_whole_journal(by) else self.viewer(by)
        if viewer is not None and viewer.organisations:
            viewer = None
        with self._database.reading() as connection:
            size, _ = journal.journal_head(connection)
            found = journal.read_entries(
                connection,
                from_index=from_index,
                limit=limit,
                accounts=account_ids,
                kinds=kinds,
                viewer=viewer,
            )
            seen = None
            if viewer is not None:
                seen = journal.accounts_seen(connection, [row.journal_index for row in found], viewer)
        return JournalPart(found, size, seen)

    def require_journal_of(self, account_ids: Sequence[str], by: By) -> None:
        """Refuse a filter that names an account which the caller may not see.

        Raises:
            DomainError: ACCOUNT_OF_ANOTHER.
        """
        if not account_ids or _reads_whole_journal(by):
            return
        viewer = self.viewer(by)
        if viewer.organisations:
            return
        with self._database.reading() as connection:
            seen = accounts.seen_of(connection, account_ids, viewer)
        if not seen.issuperset(account_ids):
            raise of_another(by.party, "WatchJournal")

    def totals(self, after: tuple[str, int] | None, size: int) -> Totals:
        """Give a page of the books, block by block, with the totals of the series that begin on it.

        Args:
            after: position (series, first serial) behind which the page begins; None: at the beginning.
            size: blocks of the page.
        """
        with self._database.reading() as connection:
            found = holdings.holdings_after(connection, after, size + 1)
            rows = found[:size]
            ends = (rows[-1].series_id, rows[-1].start) if len(found) > size else None
            begun = {row.series_id for row in rows} - {after[0] if after is not None else ""}
            by_series = reading.series_totals(connection, sorted(begun))
            in_flight = transfers.blocks_of_open(connection)
            flying_series = sorted({_series_of(blocks) for _, _, blocks in in_flight})
            absent = set(flying_series) - reading.series_totals(connection, flying_series).keys()
            index, _ = journal.journal_head(connection)
            values = node.load_values(connection, (node.APPLIED_LOG_INDEX,))
        applied = int(values.get(node.APPLIED_LOG_INDEX, node.NOTHING_APPLIED))
        shown = begun if ends is not None else begun | absent
        flying = [one for one in in_flight if _series_of(one[2]) in shown]
        return Totals(by_series, rows, flying, index, applied, ends)

    def status(self) -> NodeStatus:
        """Give how the node stands."""
        with self._database.reading() as connection:
            size, _ = journal.journal_head(connection)
            values = node.load_values(connection, (node.APPLIED_LOG_INDEX,))
            open_count = reading.count_open(connection)
        applied = int(values.get(node.APPLIED_LOG_INDEX, node.NOTHING_APPLIED))
        return NodeStatus(size, applied, open_count)


def _series_of(blocks: Sequence[UnitBlock]) -> str:
    """Give the series of a transfer's first block."""
    return blocks[0].series_id if blocks else ""


def _is_person(account: AccountRow) -> bool:
    return account.kind == accounts.KIND_PERSON


def _see(connection: sa.Connection, account_id: str, viewer: Viewer, act: str) -> AccountRow:
    """Give an account that the viewer may see; a person's is not even known to others."""
    account, seen = accounts.see(connection, account_id, viewer)
    if account is None or (account.is_personal and not seen):
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id[:32])
    if not seen:
        raise of_another(viewer.party, act)
    return account


def _see_transfer(connection: sa.Connection, account_id: str, viewer: Viewer, transfer_id: bytes) -> None:
    """The same for the account of a transfer; one that was refused for want of an account is the offices'."""
    if not account_id:
        if not viewer.organisations:
            raise of_another(viewer.party, "GetTransfer")
        return
    account, seen = accounts.see(connection, account_id, viewer)
    if account is None or (account.is_personal and not seen):
        raise _transfer_unknown(transfer_id)
    if not seen:
        raise of_another(viewer.party, "GetTransfer")


def _transfer_unknown(transfer_id: bytes) -> DomainError:
    return DomainError("TRANSFER_UNKNOWN", field="transfer_id", transfer_id=transfer_id.hex())


def _reads_whole_journal(by: By) -> bool:
    return by.party.startswith("reader/")
