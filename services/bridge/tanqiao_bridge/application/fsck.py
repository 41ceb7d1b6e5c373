"""fsck of a bridge.

Rebuilds what is derived from what is append-only, and
compares (ARCHITECTURE section 2, rule 5).

Locations are rebuilt from accepted Issues, COMMITs and corrections in the order of the log, what is frozen
from the orders, where claims stand from their receipts, alias classes from the decisions; leaves are hashed
again and must be dense; every Decision, receipt and message is verified against the key directory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from tanqiao.db.engine import Database, open_engine
from tanqiao.db.guards import missing
from tanqiao.db.signatures import envelopes_by_batch
from tanqiao.protocol.locations import LocationBook
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.holding import SignatureChecks
from tanqiao.signing.pae import message_hash
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.application.freezes import replayed
from tanqiao_bridge.application.fsck_claims import alias_faults, claim_faults
from tanqiao_bridge.application.location_history import location_events, replay_into
from tanqiao_bridge.application.start import load_directory
from tanqiao_bridge.settings import Settings
from tanqiao_bridge.storage import log, orders
from tanqiao_bridge.storage.schema import GUARDS
from tanqiao_bridge.storage.tables import (
    decision,
    location,
    message,
    signature,
)

FINDINGS_MAX: Final = 100
ROWS_PER_PAGE: Final = 1_000


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
        lines = [f"checked: {counted}", *self.findings, "clean" if self.clean else "NOT CLEAN"]
        return "\n".join(lines)


def check(settings: Settings) -> Report:
    """Check the database of the settings; it may be served meanwhile."""
    database = open_engine(settings.database_url, role="reader")
    try:
        return check_database(database)
    finally:
        database.close()


def check_database(database: Database) -> Report:
    """Check everything in one snapshot."""
    report = Report()
    with database.reading() as connection:
        for name in missing(connection, GUARDS):
            report.note(f"guard {name} is missing")
        _check_log(connection, report)
        _check_locations(connection, report)
        check_frozen(connection, report)
        for finding in (*claim_faults(connection), *alias_faults(connection)):
            report.note(finding)
        _check_signatures(connection, report, load_directory(connection))
    return report


def _check_log(connection: sa.Connection, report: Report) -> None:
    size = log.log_size(connection)
    expected = 0
    named: dict[bytes, int] = {}
    while leaves := log.read_leaves(connection, expected, ROWS_PER_PAGE):
        for stored in leaves:
            if stored.log_index != expected:
                report.note(f"the log has a gap before {stored.log_index}: {expected} is missing")
                expected = stored.log_index
            leaf = decode_leaf(stored.leaf)
            if leaf.hash != stored.leaf_hash or leaf.kind != stored.kind:
                report.note(f"leaf {stored.log_index} does not have its hash or kind")
            if leaf.kind == "decision":
                named[leaf.message_hashes[-1]] = stored.log_index
            expected += 1
    if expected != size:
        report.note(f"the log holds {expected} leaves, its counter says {size}")
    report.checked["leaves"] = expected
    rows = connection.execute(sa.select(decision.c.log_index, decision.c.decision_hash))
    count = 0
    for row in rows:
        count += 1
        if named.pop(bytes(row.decision_hash), None) != row.log_index:
            report.note(f"the decision at {row.log_index} has no leaf of its own there")
    for log_index in named.values():
        report.note(f"leaf {log_index} names a decision that is not stored")
    report.checked["decisions"] = count


def _check_locations(connection: sa.Connection, report: Report) -> None:
    book: LocationBook[tuple[str, int]] = LocationBook()
    count = 0
    for log_index, failing in replay_into(book, location_events(connection)):
        count += 1
        for part in failing:
            report.note(f"log {log_index}: {part} was not where its event needs it")
    rebuilt = {(row.series_id, row.start, row.end, *row.place) for row in book.rows()}
    stored = {
        (row.series_id, row.start_serial, row.end_serial, row.region, row.state)
        for row in connection.execute(sa.select(location))
    }
    for extra in sorted(stored - rebuilt):
        report.note(f"location {extra} is not what the log gives")
    for absent in sorted(rebuilt - stored):
        report.note(f"location {absent} of the log is not stored")
    report.checked["location events"] = count
    report.checked["locations"] = len(stored)


def check_frozen(connection: sa.Connection, report: Report) -> None:
    """Rebuild what is frozen from the orders in the order of the log, and compare."""
    rebuilt = {repr(row) for row in replayed(orders.all_orders(connection))}
    stored = {repr(row) for row in orders.load_frozen(connection)}
    for extra in sorted(stored - rebuilt):
        report.note(f"{extra} is frozen by no order")
    for absent in sorted(rebuilt - stored):
        report.note(f"{absent} of an order is not frozen")
    report.checked["frozen"] = len(stored)


def _check_signatures(connection: sa.Connection, report: Report, directory: KeyDirectory) -> None:
    count = 0
    checks = SignatureChecks(directory)
    columns = message.c
    selected = sa.select(
        columns.message_hash, columns.payload_type, columns.payload, columns.signature_id, columns.item_index
    )
    for row, envelope in envelopes_by_batch(connection, signature, selected):
        count += 1
        stated = bytes(row.message_hash)
        if message_hash(row.payload_type, envelope.payload) != stated:
            report.note(f"message {stated.hex()} does not have its hash")
        elif not checks.hold(envelope):
            report.note(f"no signature holds over message {stated.hex()}")
    report.checked["messages"] = count
