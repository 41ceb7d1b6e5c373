"""fsck of a region node: makes holdings and states of transfers again from the journal, and compares.

The journal is the truth (ARCHITECTURE section 2, rule 5): its indexes are dense, each entry names what
accounts hold more or less, and from the entries alone every row of `holding` and every state of a transfer
follows. Then the signed messages of transfers are verified against the key directory, and the guards are
looked for by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.db.engine import Database, open_engine
from tanqiao.db.guards import missing
from tanqiao.db.signatures import envelopes_by_batch
from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao.protocol.locations import LocationBook
from tanqiao.protocol.types import DestinationState, Kind, SourceState
from tanqiao.rpc.protocol_facts import block_of
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import Federation
from tanqiao.signing.holding import SignatureChecks
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.verify import Verifier
from tanqiao_region.application import journal
from tanqiao_region.application.body_decision_fsck import check_body_decisions
from tanqiao_region.application.certificate_fsck import check_certificates
from tanqiao_region.application.clawback_fsck import check_clawbacks
from tanqiao_region.application.consent_fsck import check_consents
from tanqiao_region.application.dossier_fsck import check_dossiers
from tanqiao_region.application.encumbrance_fsck import check_encumbrances
from tanqiao_region.application.freezes import replayed
from tanqiao_region.application.journal import entry_message
from tanqiao_region.application.list_fsck import check_versions
from tanqiao_region.application.mandate_fsck import check_mandates
from tanqiao_region.application.records import with_key_records
from tanqiao_region.storage import orders
from tanqiao_region.storage.holdings import CANCELLED, HELD, LOCKED, RETIRING, USED, Place
from tanqiao_region.storage.journal import read_entries
from tanqiao_region.storage.node import load_key_envelopes
from tanqiao_region.storage.schema import GUARDS
from tanqiao_region.storage.tables import account, holding, incoming_transfer, outgoing_transfer, signature

FINDINGS_MAX: Final = 100
ROWS_PER_PAGE: Final = 500

_LOCKS: Final = {journal.UNITS_LOCKED: LOCKED, journal.UNITS_RETIRING: RETIRING}
_ENDS: Final = {journal.UNITS_RETIRED: USED, journal.UNITS_CANCELLED: CANCELLED}
_SOURCE_STATES: Final = {
    journal.UNITS_LOCKED: SourceState.LOCKED,
    journal.UNITS_RETIRING: SourceState.RETIRING,
    journal.UNITS_MOVED: SourceState.MOVED,
    journal.UNITS_RELEASED: SourceState.RELEASED,
    journal.USE_RETURNED: SourceState.RELEASED,
    journal.UNITS_RETIRED: SourceState.USED,
    journal.UNITS_CANCELLED: SourceState.CANCELLED,
}
_DESTINATION_STATES: Final = {
    journal.TRANSFER_READY: DestinationState.READY,
    journal.TRANSFER_REFUSED: DestinationState.REFUSED,
    journal.UNITS_CREDITED: DestinationState.CREDITED,
    journal.TRANSFER_DROPPED: DestinationState.DROPPED,
}


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong; bounded."""

    checked: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def note(self, finding: str) -> None:
        """Add a finding; after the bound only the fact that there are more."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)
        elif len(self.findings) == FINDINGS_MAX:
            self.findings.append("… and more")

    def as_json(self) -> str:
        """Give the report as one JSON object."""
        return json.dumps({"clean": self.clean, "checked": self.checked, "findings": self.findings})

    def as_text(self) -> str:
        """Give the report for a person."""
        counted = ", ".join(f"{count} {name}" for name, count in self.checked.items())
        return "\n".join([f"checked: {counted}", *self.findings, "clean" if self.clean else "NOT CLEAN"])


def check(database_url: str, federation_file: Path) -> Report:
    """Check a node's database; it may be served meanwhile.

    Raises:
        DomainError: the database or the federation file cannot be read.
    """
    federation = Federation.load(federation_file)
    database = open_engine(database_url, role="reader")
    try:
        return check_database(database, federation)
    finally:
        database.close()


def check_database(database: Database, federation: Federation) -> Report:
    """Check everything in one snapshot; keys are those of the federation and of the records taken since."""
    report = Report()
    with database.reading() as connection:
        for name in missing(connection, GUARDS):
            report.note(f"guard {name} is missing")
        books = _rebuild(connection, report)
        _compare_holdings(connection, books, report)
        _compare_transfers(connection, books, report)
        _compare_frozen(connection, report)
        report.checked["encumbrances"] = check_encumbrances(connection, books.holdings, report.note)
        report.checked["versions"] = check_versions(connection, report.note)
        report.checked["dossiers"] = check_dossiers(connection, report.note)
        report.checked["clawbacks"] = check_clawbacks(connection, books.outgoing, report.note)
        report.checked["consents"] = check_consents(connection, report.note)
        report.checked["mandates to trade"] = check_mandates(connection, report.note)
        report.checked["certificates"] = check_certificates(connection, books.outgoing, report.note)
        verifier = Verifier(federation.network_id, BRIDGE)
        directory = with_key_records(verifier, federation.directory(), load_key_envelopes(connection))
        report.checked["decisions"] = check_body_decisions(connection, directory, report.note)
        _check_signatures(connection, directory, report)
    return report


# -- rebuilding ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Books:
    """What follows from the journal."""

    holdings: LocationBook[Place] = field(default_factory=LocationBook)
    locked: dict[bytes, tuple[Place, tuple[UnitBlock, ...]]] = field(default_factory=dict)
    pending: dict[tuple[str, bytes], tuple[str, tuple[UnitBlock, ...]]] = field(default_factory=dict)
    outgoing: dict[bytes, SourceState] = field(default_factory=dict)
    incoming: dict[tuple[str, bytes], DestinationState] = field(default_factory=dict)


def _entries(connection: sa.Connection, report: Report) -> Iterator[journal_pb2.JournalEntry]:
    expected = 1
    while rows := read_entries(connection, from_index=expected, limit=ROWS_PER_PAGE):
        for row in rows:
            if row.journal_index != expected:
                report.note(f"the journal has a gap before {row.journal_index}: {expected} is missing")
                expected = row.journal_index
            entry = entry_message(row)
            if (entry.kind, entry.subject_id) != (row.kind, row.subject_id):
                report.note(f"journal {row.journal_index}: its columns are not those of its entry")
            yield entry
            expected += 1
    report.checked["journal entries"] = expected - 1


def _rebuild(connection: sa.Connection, report: Report) -> _Books:
    books = _Books()
    for entry in _entries(connection, report):
        if entry.kind in _SOURCE_STATES:
            _take_source(books, entry, report)
            books.outgoing[bytes.fromhex(entry.subject_id)] = _SOURCE_STATES[entry.kind]
        else:
            if entry.kind in _DESTINATION_STATES:
                key = (entry.details["source"], bytes.fromhex(entry.subject_id))
                state = _DESTINATION_STATES[entry.kind]
                dropped = books.incoming.get(key) is DestinationState.DROPPED
                if not (dropped and state is DestinationState.REFUSED):  # a Prepare behind its ABORT (R9)
                    books.incoming[key] = state
            if entry.kind == journal.UNITS_CORRECTED:
                _take_pending_out(books, entry)
            if entry.kind == journal.UNITS_FINAL:
                _take_finality(books, entry, report)
            else:
                _take_effects(books, entry, report)
    return books


def _take_source(books: _Books, entry: journal_pb2.JournalEntry, report: Report) -> None:
    """Follow the units of an outgoing transfer or use: locked, then gone, used or back."""
    transfer_id = bytes.fromhex(entry.subject_id)
    if entry.kind in _LOCKS:
        for effect in entry.effects:
            blocks = tuple(block_of(block) for block in effect.removed)
            place: Place = (effect.account_id, _LOCKS[entry.kind], transfer_id)
            _note_failing(books.holdings.move(blocks, _held(effect.account_id), place), entry, report)
            books.locked[transfer_id] = (place, blocks)
        return
    known = books.locked.pop(transfer_id, None)
    if known is None:
        report.note(f"journal {entry.journal_index}: nothing was locked for {entry.subject_id}")
        return
    place, blocks = known
    if entry.kind == journal.UNITS_MOVED:
        failing = books.holdings.remove(blocks, place)
    elif entry.kind in _ENDS:
        failing = books.holdings.move(blocks, place, (place[0], _ENDS[entry.kind], transfer_id))
    else:
        back = next((effect.account_id for effect in entry.effects if effect.added), place[0])
        failing = books.holdings.move(blocks, place, _held(back))
    _note_failing(failing, entry, report)


def _take_effects(books: _Books, entry: journal_pb2.JournalEntry, report: Report) -> None:
    for effect in entry.effects:
        removed = tuple(block_of(block) for block in effect.removed)
        _note_failing(books.holdings.remove(removed, _held(effect.account_id)), entry, report)
    for effect in entry.effects:
        added = tuple(block_of(block) for block in effect.added)
        place = _held(effect.account_id)
        if "pending" in entry.details:  # R10: until a quorum of witnesses has cosigned the decision
            transfer_id = bytes.fromhex(entry.subject_id)
            place = (effect.account_id, HELD, transfer_id)
            books.pending[entry.details["source"], transfer_id] = (effect.account_id, added)
        _note_failing(books.holdings.register(added, place), entry, report)


def _take_pending_out(books: _Books, entry: journal_pb2.JournalEntry) -> None:
    """Let what a correction takes while it is pending (R10) be held first, from where it is taken then."""
    for effect in entry.effects:
        removed = [block_of(block) for block in effect.removed]
        waiting = books.holdings.elsewhere(removed, _held(effect.account_id))
        for key, (account_id, blocks) in list(books.pending.items()) if waiting else ():
            left = subtract_blocks(blocks, waiting)
            taken = subtract_blocks(blocks, left)
            if account_id == effect.account_id and taken:
                books.holdings.move(taken, (account_id, HELD, key[1]), _held(account_id))
                books.pending[key] = (account_id, left)


def _take_finality(books: _Books, entry: journal_pb2.JournalEntry, report: Report) -> None:
    """Let units that were credited pending be held like all others."""
    transfer_id = bytes.fromhex(entry.subject_id)
    found = books.pending.pop((entry.details["source"], transfer_id), None)
    if found is None:
        report.note(f"journal {entry.journal_index}: nothing was pending for {entry.subject_id}")
        return
    account_id, blocks = found
    place: Place = (account_id, HELD, transfer_id)
    _note_failing(books.holdings.move(blocks, place, _held(account_id)), entry, report)


def _held(account_id: str) -> Place:
    return (account_id, HELD, b"")


def _note_failing(failing: Sequence[UnitBlock], entry: journal_pb2.JournalEntry, report: Report) -> None:
    for block in failing:
        report.note(f"journal {entry.journal_index}: {block} was not where its entry needs it")


# -- comparing -----------------------------------------------------------------------------------------------


def _compare_holdings(connection: sa.Connection, books: _Books, report: Report) -> None:
    rebuilt = {(row.series_id, row.start, row.end, *row.place) for row in books.holdings.rows()}
    columns = holding.c
    stored = {
        (row[0], row[1], row[2], row[3], row[4], bytes(row[5]))
        for row in connection.execute(
            sa.select(
                columns.series_id,
                columns.start_serial,
                columns.end_serial,
                columns.account_id,
                columns.state,
                columns.transfer_id,
            )
        )
    }
    report.checked["holdings"] = len(stored)
    # Pieces of one place need not be cut alike: what counts is every serial.
    for row in sorted(_serials(stored) - _serials(rebuilt)):
        report.note(f"holding {row} is not what the journal gives")
    for row in sorted(_serials(rebuilt) - _serials(stored)):
        report.note(f"holding {row} of the journal is not stored")


_HoldingTuple = tuple[str, int, int, str, int, bytes]


def _serials(rows: set[_HoldingTuple]) -> set[_HoldingTuple]:
    """Join adjacent rows of one place, so that only serials and places are compared."""
    joined: list[_HoldingTuple] = []
    for row in sorted(rows):
        last = joined[-1] if joined else None
        if last is not None and (last[0], last[2], last[3:]) == (row[0], row[1], row[3:]):
            joined[-1] = (last[0], last[1], row[2], *last[3:])
        else:
            joined.append(row)
    return set(joined)


def _compare_transfers(connection: sa.Connection, books: _Books, report: Report) -> None:
    outgoing = {
        bytes(row.transfer_id): SourceState(row.state)
        for row in connection.execute(sa.select(outgoing_transfer.c.transfer_id, outgoing_transfer.c.state))
    }
    incoming = {
        (row.source, bytes(row.transfer_id)): DestinationState(row.state)
        for row in connection.execute(
            sa.select(incoming_transfer.c.source, incoming_transfer.c.transfer_id, incoming_transfer.c.state)
        )
    }
    report.checked["transfers out and uses"] = len(outgoing)
    report.checked["transfers in"] = len(incoming)
    for transfer_id in sorted(outgoing.keys() | books.outgoing.keys()):
        if outgoing.get(transfer_id) is not books.outgoing.get(transfer_id):
            report.note(f"transfer {transfer_id.hex()} is not in the state that the journal gives")
    for key in sorted(incoming.keys() | books.incoming.keys()):
        if incoming.get(key) is not books.incoming.get(key):
            report.note(f"transfer {key[1].hex()} from {key[0]} is not in the state that the journal gives")


def _compare_frozen(connection: sa.Connection, report: Report) -> None:
    known = orders.all_orders(connection)
    pseudonyms = (
        {
            row.account_id: bytes(row.pseudonym)
            for row in connection.execute(sa.select(account.c.account_id, account.c.pseudonym))
        }
        if known
        else {}
    )
    rebuilt = {repr(row) for row, _ in replayed(known, pseudonyms)}
    stored = {repr(row) for row in orders.load_frozen(connection)}
    for extra in sorted(stored - rebuilt):
        report.note(f"{extra} is frozen by no order")
    for absent in sorted(rebuilt - stored):
        report.note(f"{absent} of an order is not frozen")
    report.checked["frozen"] = len(stored)


# -- signatures ----------------------------------------------------------------------------------------------


def _check_signatures(connection: sa.Connection, directory: KeyDirectory, report: Report) -> None:
    """Verify the own promise of every outgoing transfer and every Decision that was acted on."""
    checks = SignatureChecks(directory)
    columns = outgoing_transfer.c
    promises = sa.select(
        columns.transfer_id,
        columns.kind,
        columns.payload,
        columns.message_hash,
        columns.signature_id,
        columns.item_index,
    )
    decisions = sa.select(
        columns.transfer_id,
        columns.kind,
        columns.decision_payload.label("payload"),
        columns.decision_hash.label("message_hash"),
        columns.decision_signature_id.label("signature_id"),
        columns.decision_item_index.label("item_index"),
    ).where(columns.decision_signature_id.is_not(None))
    count = 0
    for selected in (promises, decisions):
        for row, envelope in envelopes_by_batch(connection, signature, selected):
            count += 1
            if message_hash(envelope.payload_type, envelope.payload) != bytes(row.message_hash):
                report.note(f"a message of {Kind(row.kind).name} {row.transfer_id.hex()} has another hash")
            elif not checks.hold(envelope):
                report.note(f"no signature holds over a message of {row.transfer_id.hex()}")
    report.checked["signed messages"] = count
