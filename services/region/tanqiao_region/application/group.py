"""The work of one transaction: what its commands need, loaded at once, and what they leave, written at once.

A `Group` lives for one transaction and is thrown away with it. What is to be sent or told stands in
`Aftermath` and is used after the commit alone (PROTOCOL R1, R6). The writer is one thread, and on PostgreSQL
one at a time by a row lock, so that the index of the journal is known before it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from typing import Final, NamedTuple, TypeVar

import sqlalchemy as sa

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.signatures import store_batch, store_envelope
from tanqiao.db.streams import ClientRequest, OutboxMessage
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock, total_quantity_kg
from tanqiao.protocol.frozen import FrozenThings
from tanqiao.protocol.numbering import InboxState
from tanqiao.protocol.recovery import EpochStart
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.batch import BATCH_ITEMS_MAX, sign_batch
from tanqiao.signing.directory import KeyDirectory
from tanqiao_region.application import journal
from tanqiao_region.application.access import operators_of
from tanqiao_region.application.commands import Frame, Selection
from tanqiao_region.application.context import BRIDGE, RandomBytes, RegionContext
from tanqiao_region.application.holdings import Holdings
from tanqiao_region.application.journal import JournalBuffer
from tanqiao_region.domain.rules.facts import Recognition
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import accounts as account_store
from tanqiao_region.storage import clawbacks as clawback_store
from tanqiao_region.storage import encumbrances as encumbrance_store
from tanqiao_region.storage import evidence as evidence_store
from tanqiao_region.storage import finality as finality_store
from tanqiao_region.storage import holdings as holding_store
from tanqiao_region.storage import journal as journal_store
from tanqiao_region.storage import node
from tanqiao_region.storage import trading_mandates as mandate_store
from tanqiao_region.storage import transfers as transfer_store
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.beneficiaries import BeneficiaryRow, insert_beneficiaries
from tanqiao_region.storage.encumbrances import EncumberedBlock
from tanqiao_region.storage.finality import PendingRow
from tanqiao_region.storage.holdings import HoldingRow, SeriesRow
from tanqiao_region.storage.issues import IssuanceRow
from tanqiao_region.storage.parameter_tables import ParameterRow
from tanqiao_region.storage.tables import outbox, request_ids, signature
from tanqiao_region.storage.trading_mandates import MandateRow
from tanqiao_region.storage.transfers import (
    DecisionUpdate,
    IncomingRow,
    NewIncoming,
    NewOutgoing,
    OutgoingRow,
    RetirementRow,
)

CLOCK_BEHIND_SECONDS_MAX: Final = 5
"""How far the clock may lie behind the journal before local commands are refused: steps of a time service."""
MICROSECONDS: Final = 1_000_000


@dataclass(slots=True)
class Needs:
    """What the hot commands of a stretch will look at."""

    accounts: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    outgoing: set[bytes] = field(default_factory=set)
    released: set[bytes] = field(default_factory=set)
    incoming: set[TransferKey] = field(default_factory=set)
    series: set[str] = field(default_factory=set)
    touched: list[UnitBlock] = field(default_factory=list)
    requests: list[ClientRequest] = field(default_factory=list)
    demands: dict[str, int] = field(default_factory=dict)
    demanded: set[tuple[str, str]] = field(default_factory=set)
    joining: set[str] = field(default_factory=set)
    agents: set[tuple[str, str]] = field(default_factory=set)
    """Accounts that give, with those that instruct a trade for them."""

    def selection(self, account_id: str, selection: Selection) -> None:
        """Note that units of the account will be chosen."""
        self.accounts.add(account_id)
        if selection.blocks:
            self.touched.extend(selection.blocks)
        else:
            self.demanded.add((account_id, selection.series_id))
        # Exact blocks count too: they may take what a quantity would have found.
        self.demands[account_id] = self.demands.get(account_id, 0) + selection.total_kg


@dataclass(slots=True)
class Ended:
    """A transfer or use that was decided, for those who wait for it; an id is its source's own."""

    key: TransferKey
    state: int


class RestoredOutgoing(NamedTuple):
    """A forgotten lock or Use that is kept again, with the row of the signature that the bridge had."""

    row: NewOutgoing
    signature_id: int


class RestoredIncoming(NamedTuple):
    """A forgotten Ready that is kept again; as above."""

    row: NewIncoming
    signature_id: int


@dataclass(slots=True)
class Aftermath:
    """What a committed group leaves to be sent and told."""

    offered: list[envelope_pb2.EnvelopeBatch] = field(default_factory=list)
    stored: list[TransferKey] = field(default_factory=list)
    numbered: bool = False
    ended: list[Ended] = field(default_factory=list)
    journal_index: int = 0
    has_entries: bool = False
    directory: KeyDirectory | None = None
    recognitions: Mapping[tuple[str, str], tuple[Recognition, ...]] | None = None
    applied_log_index: int = node.NOTHING_APPLIED
    life: tuple[int, bool] | None = None
    """A new incarnation, and whether the node recovers, where the group changed it."""
    epoch_start: EpochStart | None = None
    withdrawals: list[bytes] = field(default_factory=list)
    promised: list[OutgoingRow] = field(default_factory=list)
    answered: list[IncomingRow] = field(default_factory=list)
    settled: list[TransferKey] = field(default_factory=list)
    """Undecided rows that were written, and the transfers that are decided now."""
    pending: list[PendingRow] = field(default_factory=list)
    final_indexes: list[int] = field(default_factory=list)
    parameters: Sequence[ParameterRow] | None = None
    """Every published value, where the group has published one."""

    def mark(self) -> tuple[Aftermath, tuple[int, ...]]:
        """Note how it stands, for `back_to`."""
        return replace(self), tuple(len(getattr(self, name)) for name in GROWING)

    def back_to(self, mark: tuple[Aftermath, tuple[int, ...]]) -> None:
        """Forget what came since the mark: what was undone is neither sent nor told (PROTOCOL R1)."""
        known, lengths = mark
        for one in fields(self):
            setattr(self, one.name, getattr(known, one.name))
        for name, length in zip(GROWING, lengths, strict=True):
            del getattr(self, name)[length:]


GROWING: Final = (
    "offered",
    "stored",
    "ended",
    "withdrawals",
    "promised",
    "answered",
    "settled",
    "pending",
    "final_indexes",
)
"""The lists of an `Aftermath`; nothing is ever taken out of them within a group."""


class Group:
    """The work of one transaction.

    Args:
        context: the node's own things.
        connection: inside the write transaction.
    """

    def __init__(self, context: RegionContext, connection: sa.Connection) -> None:
        self.context: Final = context
        self.connection: Final = connection
        values = node.lock_writer(connection)
        last_index, last_recorded = journal_store.journal_head(connection)
        moment = int(context.now().timestamp())
        self.clock_behind_seconds: Final = last_recorded - moment
        self.now: Final = max(moment, last_recorded)
        """Epoch seconds; never before what the journal has recorded."""
        self.last_recorded: Final = last_recorded
        context.undecided.begin(last_index)
        self.legal_date: Final[date] = legal_date(datetime.fromtimestamp(self.now, UTC))
        self.legal_date_text: Final = self.legal_date.isoformat()
        self.journal: Final = JournalBuffer(last_index, self.now, self.legal_date_text)
        self.aftermath: Final = Aftermath()
        self.applied_log_index = int(values.get(node.APPLIED_LOG_INDEX, node.NOTHING_APPLIED))
        self._applied_before = self.applied_log_index
        self.incarnation = int(values.get(node.INCARNATION, context.incarnation))
        self.recovering = bool(values.get(node.RECOVERING))
        self.quorum: Final = context.pending.quorum
        """Of witnesses, one for the whole group: another thread learns of the first witnesses meanwhile."""
        self.frozen: FrozenThings | None = None
        """What is frozen, once the group has looked; None again after an order."""
        self.correction_waits: list[tuple[UnitBlock, bytes]] | None = None
        self.bridge_stream: InboxState | None = None
        """How far the bridge's numbers have taken effect, once the group has looked."""
        self._pack: RulePack | None = None
        self._signatures: dict[int, tuple[Frame, int]] = {}
        self._clear()

    def _clear(self) -> None:
        """Forget what was loaded and what is written: a new stretch begins."""
        self.holdings = Holdings(())
        self.accounts: dict[str, AccountRow] = {}
        self.addresses: dict[str, str] = {}
        self.outgoing: dict[bytes, OutgoingRow] = {}
        self.incoming: dict[TransferKey, IncomingRow] = {}
        self.series: dict[str, SeriesRow] = {}
        self.encumbered: dict[str, list[EncumberedBlock]] = {}
        """Of the accounts whose units are chosen: what is encumbered."""
        self.mandates: Mapping[tuple[str, str], MandateRow] = {}
        """By principal and agent: the mandate to trade that stands today."""
        self.entrustable: Mapping[str, frozenset[str]] = {}
        """Of the agents: what the registers say that they are."""
        self.issuances: dict[bytes, IssuanceRow] = {}
        self.verdicts: dict[tuple[object, ...], Verdict] = {}
        self.used_kg: dict[tuple[str, int], dict[str, int]] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        self.new_accounts: list[AccountRow] = []
        self.new_series: list[SeriesRow] = []
        self.new_outgoing: dict[str, list[NewOutgoing]] = {}
        self.new_retirements: list[RetirementRow] = []
        self.new_beneficiaries: list[BeneficiaryRow] = []
        self.new_incoming: dict[str, list[NewIncoming]] = {}
        self.answered_incoming: dict[str, list[NewIncoming]] = {}
        self.dropped_incoming: list[NewIncoming] = []
        self.restored_outgoing: list[RestoredOutgoing] = []
        self.restored_incoming: list[RestoredIncoming] = []
        self.ended_outgoing: list[DecisionUpdate] = []
        self.ended_incoming: list[DecisionUpdate] = []
        self.decision_dates: list[tuple[bytes, str]] = []
        self.new_pending: list[PendingRow] = []
        self.numbered: list[OutboxMessage] = []
        self.evidence: list[evidence_store.EvidenceRow] = []
        self._new_answers: list[tuple[ClientRequest, bytes]] = []

    # -- rules and clock -------------------------------------------------------------------------------------

    @property
    def pack(self) -> RulePack:
        """The rule pack of the legal date."""
        if self._pack is None:
            published = self.aftermath.parameters
            packs = self.context.pack if published is None else self.context.pack.with_rows(published)
            self._pack = packs(self.legal_date)
        return self._pack

    def take_parameters(self, rows: Sequence[ParameterRow]) -> None:
        """Let what is decided from here on, and after the commit, stand on these published values."""
        self.aftermath.parameters = rows
        self._pack = None

    def require_clock(self) -> None:
        """Refuse a local order while the clock lies behind the journal, or the node recovers.

        The bridge's messages go on.

        Raises:
            DomainError: CLOCK_SET_BACK, REGION_RECOVERING.
        """
        if self.recovering or self.context.recovering:
            raise DomainError("REGION_RECOVERING", region=self.context.party)
        if self.clock_behind_seconds > CLOCK_BEHIND_SECONDS_MAX:
            raise DomainError(
                "CLOCK_SET_BACK",
                now=datetime.fromtimestamp(self.last_recorded - self.clock_behind_seconds, UTC).isoformat(),
                last=datetime.fromtimestamp(self.last_recorded, UTC).isoformat(),
            )

    def frozen_things(self) -> FrozenThings:
        """Give what is frozen here as this group sees it."""
        if self.frozen is None:
            self.frozen = FrozenThings(clawback_store.load_stopped(self.connection))
        return self.frozen

    # -- loading ---------------------------------------------------------------------------------------------

    def load(self, needs: Needs) -> None:
        """Load for a stretch of hot commands everything that they look at, set by set."""
        connection = self.connection
        self.load_answers(needs.requests)
        self._load_transfers(needs)
        self.addresses = account_store.load_addresses(connection, needs.addresses)
        account_ids = set(needs.accounts)
        account_ids.update(self.addresses.values())
        account_ids.update(row.account_id for row in self.outgoing.values())
        account_ids.update(row.account_id for row in self.incoming.values() if row.account_id)
        self.accounts = self.load_accounts(account_ids)
        self.encumbered = encumbrance_store.load_encumbered(connection, needs.demands)
        if needs.agents:
            self.mandates = mandate_store.load_mandates(connection, needs.agents, self.legal_date_text)
            self.entrustable = mandate_store.load_entrustable(connection, {two for _, two in needs.agents})
        rows = self._load_holdings(needs)
        self.holdings = Holdings(
            rows, {account_id for account_id, _ in needs.demanded}, self._withheld() if needs.demanded else ()
        )
        series_ids = (
            needs.series | {row.series_id for row in rows} | {block.series_id for block in needs.touched}
        )
        self.series = holding_store.load_series(connection, series_ids)

    def _load_transfers(self, needs: Needs) -> None:
        """Take what is remembered as undecided, unless this very group has settled it, and read the rest."""
        undecided, settled = self.context.undecided, set(self.aftermath.settled)
        settled_ids = {key.transfer_id for key in settled}.union(self.aftermath.withdrawals)
        self.outgoing = undecided.outgoing(needs.outgoing - settled_ids)
        self.outgoing |= transfer_store.load_outgoing(
            self.connection, self.context.party, needs.outgoing - self.outgoing.keys()
        )
        self.incoming = undecided.incoming(needs.incoming - settled)
        self.incoming |= transfer_store.load_incoming(self.connection, needs.incoming - self.incoming.keys())

    def _load_holdings(self, needs: Needs) -> list[HoldingRow]:
        connection = self.connection
        rows: list[HoldingRow] = []
        # Units that are moved, released or credited are joined with what lies beside them.
        joined = list(needs.touched)
        # Frozen and encumbered units are passed over where a quantity is chosen: others are taken instead.
        withheld_kg = total_quantity_kg(self._withheld()) if needs.demanded else 0
        for account_id, series_id in sorted(needs.demanded):
            if account_id in self.accounts:
                wanted_kg = needs.demands[account_id] + withheld_kg
                held = holding_store.load_held(connection, account_id, series_id, wanted_kg)
                rows += held
                if self.quorum:
                    rows += holding_store.load_pending_held(
                        connection, account_id, series_id, held, needs.demands[account_id]
                    )
                if account_id in needs.joining:
                    joined += [UnitBlock(row.series_id, row.start, row.end) for row in held]
        leaving: list[UnitBlock] = []
        for transfer_id, out in self.outgoing.items():
            (joined if transfer_id in needs.released else leaving).extend(out.record.blocks)
        for arriving in self.incoming.values():
            joined += arriving.record.blocks
        rows += holding_store.load_beginning(connection, leaving)
        rows += holding_store.load_touched(connection, joined)
        return rows

    def _withheld(self) -> tuple[UnitBlock, ...]:
        return (
            *self.frozen_things().blocks,
            *(one.block for blocks in self.encumbered.values() for one in blocks),
        )

    def load_answers(self, requests: Sequence[ClientRequest]) -> None:
        """Look up which requests have been answered before."""
        for request, answer in zip(requests, request_ids.answers(self.connection, requests), strict=True):
            if isinstance(answer, bytes):
                self._answers[request.caller, request.request_id] = (request.body_hash, answer)
            elif answer is not None:  # another body: the hash that is stored is not this one
                self._answers.setdefault((request.caller, request.request_id), (b"", b""))

    def load_accounts(self, account_ids: Iterable[str]) -> dict[str, AccountRow]:
        """Give accounts that exist, with those of the data-platform operators behind them."""
        found = account_store.load_accounts(self.connection, account_ids)
        operators = operators_of(found.values()) - found.keys()
        return found | account_store.load_accounts(self.connection, operators) if operators else found

    # -- request ids -----------------------------------------------------------------------------------------

    def known_answer(self, request: ClientRequest) -> bytes | None:
        """Give the first answer of a request; None for a new one.

        Raises:
            DomainError: REQUEST_ID_REUSED for another body.
        """
        known = self._answers.get((request.caller, request.request_id))
        if known is None:
            return None
        if known[0] != request.body_hash:
            raise DomainError("REQUEST_ID_REUSED", field="request_id", request_id=request.request_id)
        return known[1]

    def find_answer(self, request: ClientRequest) -> bytes | None:
        """The same for a `Work`, which looks for itself."""
        self.load_answers([request])
        return self.known_answer(request)

    def note_answer(self, request: ClientRequest, answer: bytes) -> None:
        """Keep the first answer of a request."""
        self._answers[request.caller, request.request_id] = (request.body_hash, answer)
        self._new_answers.append((request, answer))

    # -- what messages leave ---------------------------------------------------------------------------------

    def signature_of(self, frame: Frame) -> int:
        """Keep the signature of a received frame, once for all its items."""
        known = self._signatures.get(id(frame))
        if known is None:
            stored = (
                store_batch(self.connection, signature, frame.batch, frame.hashes)
                if frame.envelope is None
                else store_envelope(self.connection, signature, frame.envelope)
            )
            known = (frame, stored)
            self._signatures[id(frame)] = known
        return known[1]

    def send_numbered(self, payload_type: str, payload: bytes) -> None:
        """Number a message for the bridge."""
        self.numbered.append(OutboxMessage(BRIDGE, payload_type, payload))

    def suspense_account(self, closed: AccountRow) -> AccountRow:
        """Give the account that keeps units for a closed account's owner (R7); made when first needed."""
        for row in self.new_accounts:
            if row.suspense_of == closed.account_id:
                return row
        found = account_store.load_suspense_accounts(self.connection, (closed.account_id,)).get(
            closed.account_id
        )
        if found is None:
            account_id = new_account_id(self.context.random_bytes)
            found = AccountRow(
                account_id,
                account_store.KIND_SUSPENSE,
                account_store.OPEN,
                closed.display_name,
                closed.uscc,
                closed.operator_account_id,
                closed.seat,
                closed.invented,
                self.context.secrets.pseudonym(account_id),
                self.now,
                self.context.party,
                closed.account_id,
                closed.holder_party,
                closed.owner_id,
            )
            self.new_accounts.append(found)
            self.journal.append(
                journal.ACCOUNT_OPENED,
                account_id,
                (journal.Effect(account_id),),
                details={
                    "kind": str(found.kind),
                    "by": self.context.party,
                    "owner": found.owner_id,
                    "suspense_of": closed.account_id,
                },
            )
        self.accounts[found.account_id] = found
        return found

    # -- writing ---------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write everything that is noted, with few statements, and begin a new stretch."""
        connection = self.connection
        account_store.insert_accounts(connection, self.new_accounts)
        holding_store.insert_series(connection, self.new_series)
        difference = self.holdings.difference()
        gone = holding_store.write_difference(connection, difference.deleted, difference.inserted)
        require(gone == len(difference.deleted), "a holding changed under the one writer")
        self._write_outgoing()
        self._write_incoming()
        journal_store.insert_entries(connection, self.journal.rows, self.journal.accounts)
        outbox.append_many(connection, self.incarnation, self.numbered, created_at_us=self.now * MICROSECONDS)
        evidence_store.insert_evidence(connection, self.evidence)
        finality_store.insert_pending(connection, self.new_pending)
        self.aftermath.pending.extend(self.new_pending)
        request_ids.store(connection, self._new_answers, created_at_us=self.now * MICROSECONDS)
        if self.applied_log_index != self._applied_before:
            node.store_value(connection, node.APPLIED_LOG_INDEX, self.applied_log_index)
            self._applied_before = self.applied_log_index
        self.aftermath.numbered |= bool(self.numbered)
        self.aftermath.has_entries |= bool(self.journal.rows)
        self.aftermath.journal_index = self.journal.last_index
        self.aftermath.applied_log_index = self.applied_log_index
        self.journal.rows.clear()
        self.journal.accounts.clear()
        self._clear()

    def discard(self, journal_index: int, aftermath: tuple[Aftermath, tuple[int, ...]]) -> None:
        """Forget what a refused `Work` noted; what it wrote is undone by its savepoint."""
        self.journal.rows.clear()
        self.journal.accounts.clear()
        self.journal.last_index = journal_index
        self.aftermath.back_to(aftermath)
        self._pack = None
        self.frozen = None
        self.applied_log_index = self._applied_before
        self._clear()

    def _write_outgoing(self) -> None:
        for restored in self.restored_outgoing:
            transfer_store.insert_outgoing(self.connection, [restored.row], restored.signature_id)
        for payload_type, rows in self.new_outgoing.items():
            for part in _parts(rows):
                hashes = [row.record.lock_hash for row in part]
                batch = sign_batch(
                    self.context.signer,
                    payload_type,
                    [row.payload for row in part],
                    [row.companion for row in part],
                    hashes,
                )
                signature_id = store_batch(self.connection, signature, batch, hashes)
                transfer_store.insert_outgoing(self.connection, part, signature_id)
                self.aftermath.offered.append(batch)
                self.aftermath.promised.extend(
                    [OutgoingRow(row.record, row.account_id, row.quantity_kg, row.created_at) for row in part]
                )
        transfer_store.insert_retirements(self.connection, self.new_retirements)
        insert_beneficiaries(self.connection, self.new_beneficiaries)
        ended = transfer_store.end_outgoing(self.connection, self.ended_outgoing)
        require(ended == len(self.ended_outgoing), "a transfer vanished under the one writer")
        self.aftermath.settled.extend([row.record.key for row in self.ended_outgoing])
        transfer_store.set_decision_dates(self.connection, self.decision_dates)

    def _write_incoming(self) -> None:
        for restored in self.restored_incoming:
            transfer_store.insert_incoming(self.connection, [restored.row], restored.signature_id)
        # Before the answers: a Prepare may come in the group of the ABORT that dropped its transfer unheard.
        transfer_store.insert_incoming(self.connection, self.dropped_incoming, None)
        for rows_by_type, write in (
            (self.new_incoming, transfer_store.insert_incoming),
            (self.answered_incoming, transfer_store.answer_incoming),
        ):
            for payload_type, rows in rows_by_type.items():
                for part in _parts(rows):
                    hashes = [row.record.answer_hash for row in part]
                    batch = sign_batch(
                        self.context.signer,
                        payload_type,
                        [row.answer_payload for row in part],
                        hashes=hashes,
                    )
                    signature_id = store_batch(self.connection, signature, batch, hashes)
                    write(self.connection, part, signature_id)
                    self.aftermath.offered.append(batch)
                    self.aftermath.answered.extend(
                        [
                            IncomingRow(row.record, row.account_id, row.quantity_kg, row.created_at)
                            for row in part
                            if not row.record.decision_hash
                        ]
                    )
        ended = transfer_store.end_incoming(self.connection, self.ended_incoming)
        require(ended == len(self.ended_incoming), "an incoming transfer vanished under the one writer")
        self.aftermath.settled.extend([row.record.key for row in self.ended_incoming])


ACCOUNT_ID_CHARACTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
ACCOUNT_ID_RANDOM: Final = 16


def new_account_id(random_bytes: RandomBytes) -> str:
    """Give ``A`` and 16 random characters: an account number carries no meaning."""
    drawn = random_bytes(ACCOUNT_ID_RANDOM)
    return "A" + "".join(ACCOUNT_ID_CHARACTERS[byte % len(ACCOUNT_ID_CHARACTERS)] for byte in drawn)


Row = TypeVar("Row")


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut into what one signature may stand over."""
    for at in range(0, len(rows), BATCH_ITEMS_MAX):
        yield rows[at : at + BATCH_ITEMS_MAX]
