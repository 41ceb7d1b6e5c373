"""Receipts that do not come (PROTOCOL section 6: a refusal after COMMIT is an overdue DestFinal).

A decision is to be answered by its source and, unless it is a Use, by its destination. One that is not after
`FINAL_SECONDS_MAX` of the bridge's running time (who was to answer a bridge that is down?) is an alarm: a
warning in the log and a case with the reason FINAL_OVERDUE, which names the region and the transfer. Nothing
is decided by it and nothing stops: who does not answer is not told from who is not reached. The case is
settled when the receipt is in.

Decisions are walked once, in the order of the log, up to the first that is too young; where the walk stands
is durable. So a round costs what was decided since the last one, whatever lies behind. A region that owes
more than its open cases may be is passed by, and the index at which that began is kept: as soon as one of
its cases is settled, a walk of its own goes on from there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

import sqlalchemy as sa
import structlog

from tanqiao.db.node_state import get_state, set_state
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import Kind, TransferKey
from tanqiao.rpc.errors import to_refusal
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.evidence import case_subject, open_case_about, settle_cases
from tanqiao_bridge.application.outages import load_outages, moment_before
from tanqiao_bridge.storage.cases import OPEN
from tanqiao_bridge.storage.decisions import DESTINATION_SIDE, SOURCE_SIDE, load_decisions
from tanqiao_bridge.storage.tables import conflict_case, decision, node_state

FINAL_SECONDS_MAX: Final = 24 * 3600
"""Time for a receipt; bridge policy, as long as the hard cap of a destination's answer."""
DECISIONS_PER_ROUND_MAX: Final = 1_000
"""Of one walk: that of all regions, and that of each which was passed by."""
CASES_OF_ONE_MAX: Final = 20
"""Open cases of one region: who owes more than these is named already."""
KIND: Final = "receipt overdue"
_CURSOR: Final = "finals_looked_to"
_PASSED_BY: Final = "finals_passed_by"
_BEFORE_ALL: Final = -1

_log = structlog.get_logger(__name__)


class WatchFinals:
    """Look for receipts that are overdue, and settle the alarms about those that have come."""


@dataclass
class _Round:
    """One look: open cases by region, and the regions that were passed by, with the index to go on from."""

    group: Group
    owing: Counter[str]
    passed_by: dict[str, int]

    def name(self, region: str, side: int, key: TransferKey, row: Any) -> None:  # noqa: ANN401 - a row
        """Open a case, or note that the region is passed by from here on."""
        if self.owing[region] < CASES_OF_ONE_MAX:
            self.owing[region] += 1
            _alarm(self.group, region, side, key, row)
        else:
            self.passed_by[region] = row.log_index


def watch_finals(group: Group, _command: object) -> int:
    """Walk on through the decisions; how many were looked at. A bridge that recovers waits."""
    if not group.context.recovery.is_over:
        return 0
    passed_by = json.loads(get_state(group.connection, node_state, _PASSED_BY) or "{}")
    now = _Round(group, _settle_answered(group), dict(passed_by))
    after = int(get_state(group.connection, node_state, _CURSOR) or _BEFORE_ALL)
    looked_at = sum(
        _walk_for(now, region, first, after)
        for region, first in passed_by.items()
        if now.owing[region] < CASES_OF_ONE_MAX
    )
    rows = _decided(group.connection, after + 1)
    due_at = moment_before(load_outages(group.connection), group.now, FINAL_SECONDS_MAX)
    due = list(takewhile(lambda row: row.decided_at <= due_at, rows))
    for region, side, key, row in _missing(group.connection, due):
        if region not in now.passed_by:
            now.name(region, side, key, row)
    if due:
        set_state(group.connection, node_state, _CURSOR, str(due[-1].log_index))
    if now.passed_by != passed_by:
        set_state(group.connection, node_state, _PASSED_BY, json.dumps(now.passed_by))
    return looked_at + len(due)


def _walk_for(now: _Round, region: str, first: int, last: int) -> int:
    """Walk on for a region that was passed by, up to where all are; how many were looked at."""
    rows = [row for row in _decided(now.group.connection, first) if row.log_index <= last]
    del now.passed_by[region]
    for owing, side, key, row in _missing(now.group.connection, rows):
        if owing == region and region not in now.passed_by:
            now.name(region, side, key, row)
    if region not in now.passed_by and len(rows) == DECISIONS_PER_ROUND_MAX:
        now.passed_by[region] = rows[-1].log_index + 1
    return len(rows)


def _decided(connection: sa.Connection, first: int) -> Sequence[Any]:
    """Give the decisions from an index of the log on, in its order."""
    table = decision.c
    columns = (table.source, table.transfer_id, table.destination, table.log_index, table.decided_at)
    statement = sa.select(*columns).where(table.log_index >= first).order_by(table.log_index)
    return connection.execute(statement.limit(DECISIONS_PER_ROUND_MAX)).all()


def _missing(connection: sa.Connection, rows: Sequence[Any]) -> Iterator[tuple[str, int, TransferKey, Any]]:
    """Give the receipts that these decisions wait for: region, its side, transfer, row."""
    known = load_decisions(connection, [TransferKey(row.source, bytes(row.transfer_id)) for row in rows])
    for row in rows:
        record = known[TransferKey(row.source, bytes(row.transfer_id))]
        if not record.source_final_hash:
            yield row.source, SOURCE_SIDE, record.key, row
        if record.kind is Kind.TRANSFER and not record.destination_final_hash:
            yield row.destination, DESTINATION_SIDE, record.key, row


def _alarm(group: Group, region: str, side: int, key: TransferKey, row: Any) -> None:  # noqa: ANN401 - a row
    transfer = case_subject(key)
    overdue = DomainError("FINAL_OVERDUE", region=region, transfer_id=transfer)
    details = {
        "reason": overdue.symbol,
        "party": region,
        "side": side,
        "source": key.source,
        "transfer_id": key.transfer_id.hex(),
        "log_index": row.log_index,
        "decided_at": row.decided_at,
        "sentence_zh": to_refusal(overdue).sentence_zh,
        "sentence_en": to_refusal(overdue).sentence_en,
    }
    open_case_about(group, KIND, region, f"{region}:{transfer}", json.dumps(details, ensure_ascii=False))
    _log.warning("a receipt is overdue", reason=overdue.symbol, region=region, transfer=transfer)


def _settle_answered(group: Group) -> Counter[str]:
    """Settle the alarms whose receipts are in; how many of each region stay open."""
    table = conflict_case.c
    rows = group.connection.execute(
        sa.select(table.subject, table.details).where(table.kind == KIND, table.state == OPEN)
    ).all()
    told = [(row.subject, json.loads(row.details)) for row in rows]
    keys = {subject: _key_of(details) for subject, details in told}
    known = load_decisions(group.connection, keys.values())
    owing: Counter[str] = Counter()
    for subject, details in told:
        record = known[keys[subject]]
        source_side = details["side"] == SOURCE_SIDE
        if record.source_final_hash if source_side else record.destination_final_hash:
            settle_cases(group, subject)
        else:
            owing[details["party"]] += 1
    return owing


def _key_of(details: dict[str, Any]) -> TransferKey:
    return TransferKey(details["source"], bytes.fromhex(details["transfer_id"]))
