"""What a liar may leave behind, and what must stay: compared table by table before and after.

Places of units, claims, series, agreements, keys and accounts are the same to the last bit. Rows that were
there stay as they were in every ledger, and nothing is added to one but refusals: an ABORT of a transfer to
which the liar is party, an Issue that is refused, a transfer that was promised or refused and not credited.
Evidence, cases, the liar's own freeze, streams and the log may grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.protocol.types import DestinationState, Outcome
from tanqiao_region.application import journal

Row = tuple[Any, ...]
MayAdd = Callable[[Mapping[str, Any]], bool]
MayChange = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
SHOWN_MAX: Final = 5


@dataclass(frozen=True)
class Rules:
    """How the tables of a service may change.

    Args:
        still: tables that do not change at all; so is every table that is not named.
        growing: tables whose rows never change, with what may be added.
        free: tables that a liar may make grow, each with the reason.
        volatile: columns of `still` and `growing` tables that say when, not what.
        settling: rows of growing tables that may give way to another of the same key: before, after.
    """

    still: frozenset[str]
    growing: Mapping[str, MayAdd]
    free: Mapping[str, str]
    volatile: frozenset[tuple[str, str]] = frozenset()
    settling: Mapping[str, MayChange] = field(default_factory=dict)

    def compared(self, metadata: sa.MetaData) -> list[sa.Table]:
        """Give the tables that are compared: a new one that nobody has named stays still, to the last bit."""
        return [table for table in metadata.sorted_tables if table.name not in self.free]


def bridge_rules(liars: Iterable[str], liar_side: int) -> Rules:
    """Give the rules of the bridge; `liar_side` is whose receipts the liar may give, once."""
    names = frozenset(liars)

    def aborted(row: Mapping[str, Any]) -> bool:
        return row["outcome"] == Outcome.ABORT and bool(names & {row["source"], row["destination"]})

    return Rules(
        still=frozenset(
            {"key_record", "agreement", "agreement_use", "series", "location", "claim", "claim_key"}
            | {"claim_receipt", "node_state", "bridge_time"}
        ),
        growing={
            "decision": aborted,
            "decision_block": lambda _: True,  # beside a decision, which is judged
            "issue": lambda row: not row["accepted"],
            "freeze_order": lambda row: any(name.encode() in bytes(row["payload"]) for name in names),
            "frozen": lambda row: bool(names & {row["region"], row["other_region"]}),
            "transfer_final": lambda row: row["side"] == liar_side,
        },
        free={
            "region": "the session and incarnation that a liar says he has",
            "counter": "the place of the next leaf",
            "log_leaf": "refusals and freezes are logged",
            "message": "what a refusal rests on",
            "signature": "as messages",
            "late_answer": "a promise made after the decision",
            "evidence": "PROTOCOL 10.5",
            "conflict_case": "PROTOCOL 10.5",
            "outbox": "Nacks and ABORTs",
            "outbox_stream": "as outbox",
            "inbox_stream": "numbers taken",
            "inbox": "numbers taken",
            "request_ids": "answers of requests",
            "claim_lock": "a row to lock by, without content",
            "lease": "who seals the log",
            "sealed_tree": "how far the log is sealed, by time",
            "tree_tile": "as sealed_tree",
            "tree_checkpoint": "as sealed_tree",
            "tree_cosignature": "a witness's word on the bridge's tree: no unit moves by it",
            "tree_cosigned": "as tree_cosignature",
        },
        volatile=frozenset({("node_state", "value"), ("bridge_time", "value")}),
    )


UNPAID: Final = frozenset({DestinationState.READY, DestinationState.REFUSED, DestinationState.DROPPED})
NOTES: Final = frozenset(
    {journal.TRANSFER_READY, journal.TRANSFER_REFUSED, journal.TRANSFER_DROPPED, journal.HOME_NOTICE}
    | {journal.FROZEN}
)


def region_rules() -> Rules:
    """Give the rules of a region whose bridge lies."""
    return Rules(
        still=frozenset(
            {"account", "claim_step", "key_record", "methodology", "recognition", "resource", "holding"}
            | {"outgoing_transfer", "person_data", "project", "receiving_address", "resource_asset"}
            | {"activity_batch", "issuance", "retirement", "activity", "issuance_basis", "request_ids"}
        ),
        growing={
            "incoming_transfer": lambda row: row["state"] in UNPAID,
            "journal": lambda row: row["kind"] in NOTES,
            "series": lambda _: True,  # a series that a Ready names is noted; no unit of it is here
        },
        free={
            "node_state": "the session's number, the bridge's log index",
            "evidence": "PROTOCOL 10.5",
            "signature": "what evidence and answers rest on",
            "outbox": "Nacks and receipts",
            "outbox_stream": "as outbox",
            "inbox": "numbers taken",
            "inbox_stream": "numbers taken",
            "journal_account": "beside the journal, which is judged",
            "freeze_order": "row 10: the bridge may freeze; no unit moves by it",
            "frozen": "as freeze_order",
            "correction_wait": "a correction that waits for what it needs moves nothing",
            "lease": "who seals the node's own log",
            "sealed_tree": "how far that log is sealed, by time",
            "tree_tile": "as sealed_tree",
            "tree_checkpoint": "as sealed_tree",
            "tree_cosignature": "as sealed_tree",
            "tree_cosigned": "as sealed_tree",
        },
        # Section 5: REFUSED becomes DROPPED on any ABORT. R9: DROPPED unheard refuses a Prepare, once.
        settling={
            "incoming_transfer": lambda before, after: (
                after["state"] == DestinationState.DROPPED
                and (before["state"] == DestinationState.REFUSED or not before["answer_payload"])
            )
        },
    )


@dataclass
class Ledger:
    """The rows of a database as they stood, by table."""

    database: Database
    metadata: sa.MetaData
    rules: Rules
    rows: dict[str, frozenset[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = self._read()

    def changes(self) -> list[str]:
        """Say what changed that must not; the rows read now are what the next look compares with."""
        now = self._read()
        found = []
        for table in self.metadata.sorted_tables:
            name = table.name
            before = self.rows.get(name)
            if before is None:
                continue
            gone, new = before - now[name], now[name] - before
            columns = self._columns(table)
            may_add, may_change = self.rules.growing.get(name), self.rules.settling.get(name)
            if may_change is not None:
                keys = [columns.index(column.name) for column in table.primary_key]
                after = {tuple(row[at] for at in keys): row for row in new}
                gone = frozenset(
                    row
                    for row in gone
                    if (other := after.get(tuple(row[at] for at in keys))) is None
                    or not may_change(
                        dict(zip(columns, row, strict=True)), dict(zip(columns, other, strict=True))
                    )
                )
            if may_add is not None:
                new = frozenset(row for row in new if not may_add(dict(zip(columns, row, strict=True))))
            found += [f"{name}: gone or changed {row!r:.400}" for row in list(gone)[:SHOWN_MAX]]
            found += [f"{name}: new {row!r:.400}" for row in list(new)[:SHOWN_MAX]]
        self.rows = now
        return found

    def _columns(self, table: sa.Table) -> list[str]:
        return [c.name for c in table.columns if (table.name, c.name) not in self.rules.volatile]

    def _read(self) -> dict[str, frozenset[Row]]:
        read: dict[str, frozenset[Row]] = {}
        with self.database.reading() as connection:
            for table in self.rules.compared(self.metadata):
                chosen = [table.c[name] for name in self._columns(table)]
                rows = connection.execute(sa.select(*chosen))
                read[table.name] = frozenset(tuple(_plain(value) for value in row) for row in rows)
        return read


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
