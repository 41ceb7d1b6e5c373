"""Receipts that do not come (PROTOCOL section 6: a refusal after COMMIT is an overdue DestFinal).

A decision is to be answered by its source and, unless it is a Use, by its destination. One that is not after
`FINAL_SECONDS_MAX` is an alarm: a warning in the log and a case with the reason FINAL_OVERDUE, which names
the region and the transfer. Nothing is decided by it and nothing stops: who does not answer is not told from
who is not reached. The case is settled when the receipt is in.

Decisions are walked once, in the order of the log, up to those that are too young; where the walk stands is
durable. So a round costs what was decided since the last one, whatever lies behind.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

import sqlalchemy as sa
import structlog

from tanqiao.db.node_state import get_state, set_state
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import Kind, TransferKey
from tanqiao.rpc.errors import to_refusal
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.evidence import case_subject, open_case_about, settle_cases
from tanqiao_bridge.storage.cases import OPEN
from tanqiao_bridge.storage.decisions import DESTINATION_SIDE, SOURCE_SIDE, load_decisions
from tanqiao_bridge.storage.tables import conflict_case, decision, node_state

FINAL_SECONDS_MAX: Final = 24 * 3600
"""Time for a receipt; bridge policy, as long as the hard cap of a destination's answer."""
DECISIONS_PER_ROUND_MAX: Final = 1_000
CASES_OF_ONE_MAX: Final = 20
"""Open cases of one region: who owes more than these is named already."""
KIND: Final = "receipt overdue"
_CURSOR: Final = "finals_looked_to"
_BEFORE_ALL: Final = -1

_log = structlog.get_logger(__name__)


class WatchFinals:
    """Look for receipts that are overdue, and settle the alarms about those that have come."""


def watch_finals(group: Group, _command: object) -> int:
    """Walk on through the decisions; how many were looked at. A bridge that recovers waits."""
    if not group.context.recovery.is_over:
        return 0
    owing = _settle_answered(group)
    table = decision.c
    after = int(get_state(group.connection, node_state, _CURSOR) or _BEFORE_ALL)
    rows = group.connection.execute(
        sa.select(table.source, table.transfer_id, table.destination, table.log_index, table.decided_at)
        .where(table.log_index > after)
        .order_by(table.log_index)
        .limit(DECISIONS_PER_ROUND_MAX)
    ).all()
    due = [row for row in rows if row.decided_at <= group.now - FINAL_SECONDS_MAX]
    known = load_decisions(group.connection, [TransferKey(row.source, bytes(row.transfer_id)) for row in due])
    for row in due:
        record = known[TransferKey(row.source, bytes(row.transfer_id))]
        missing = []
        if not record.source_final_hash:
            missing.append((row.source, SOURCE_SIDE))
        if record.kind is Kind.TRANSFER and not record.destination_final_hash:
            missing.append((row.destination, DESTINATION_SIDE))
        for region, side in missing:
            if owing[region] < CASES_OF_ONE_MAX:
                owing[region] += 1
                _alarm(group, region, side, record.key, row)
    if due:
        set_state(group.connection, node_state, _CURSOR, str(due[-1].log_index))
    return len(due)


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
