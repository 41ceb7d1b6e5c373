"""What the tables hold of leaves beyond the messages that they name: for mirrors, sealed (PROTOCOL I6).

Read for a page of leaves at once. Cases have no leaf until they are resolved: they go beside the leaves of
the claims that they name, as they are at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import mirror_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.tlog.leaf import Leaf
from tanqiao_bridge.storage import cases
from tanqiao_bridge.storage.claim_tables import bridge_time, case_claim, case_event
from tanqiao_bridge.storage.tables import (
    claim,
    decision,
    log_leaf,
    message,
    reconciliation,
    registry_order,
    signature,
)

DOWN_SECONDS: Final = "down_seconds"
"""Name of the bridge's whole downtime among its times."""
_EVENT_FIELDS: Final = ("event_id", "what", "party", "document", "happened_at", "log_index", "envelope")
_ORDER_FIELDS: Final = (
    "order_id",
    "registry",
    "kind",
    "statement_hash",
    "order_hash",
    "payload",
    "envelope",
    "ordered_at",
)
_CASE_FIELDS: Final = tuple(
    name for name in cases.CaseRow.__dataclass_fields__ if name not in ("case_id", "claim_ids")
)


def leaf_records(
    connection: sa.Connection, first_index: int, leaves: Sequence[Leaf]
) -> list[mirror_pb2.LeafRecord]:
    """Give the records of consecutive leaves, in their order."""
    end = first_index + len(leaves)
    down = connection.execute(
        sa.select(bridge_time.c.value).where(bridge_time.c.name == DOWN_SECONDS)
    ).scalar()
    rows = connection.execute(
        sa.select(log_leaf.c.recorded_at)
        .where(log_leaf.c.log_index >= first_index, log_leaf.c.log_index < end)
        .order_by(log_leaf.c.log_index)
    ).scalars()
    records = [mirror_pb2.LeafRecord(recorded_at=row, down_seconds=int(down or 0)) for row in rows]
    by_index = dict(enumerate(zip(leaves, records, strict=True), first_index))
    kinds = {leaf.kind for leaf in leaves}
    if "decision" in kinds:
        _add_decisions(connection, first_index, end, by_index)
    if kinds & {"claim", "case_resolution"}:
        _add_claims(connection, by_index)
    if kinds & {"claim", "case_resolution", "issue"}:
        _add_registry_orders(connection, first_index, end, by_index)
    if "reconciliation" in kinds:
        _add_runs(connection, by_index)
    return records


_ByIndex = Mapping[int, tuple[Leaf, mirror_pb2.LeafRecord]]


def _add_decisions(connection: sa.Connection, first_index: int, end: int, by_index: _ByIndex) -> None:
    columns = decision.c
    decided = connection.execute(
        sa.select(columns.log_index, columns.lock_hash, columns.answer_hash).where(
            columns.log_index >= first_index, columns.log_index < end
        )
    ).all()
    wanted: dict[bytes, int] = {}
    for row in decided:
        wanted[bytes(row.lock_hash)] = row.log_index
        if row.answer_hash and bytes(row.answer_hash) not in by_index[row.log_index][0].message_hashes:
            wanted[bytes(row.answer_hash)] = row.log_index
    found = rows_by_key(
        connection,
        message,
        ("message_hash",),
        [(value,) for value in wanted],
        ("message_hash", "payload", "signature_id", "item_index", "companion"),
    )
    signatures = load_signatures(connection, signature, [row[2] for row in found])
    for message_hash, payload, signature_id, item_index, companion in found:
        leaf, record = by_index[wanted[bytes(message_hash)]]
        if companion is not None:
            record.openings = bytes(companion)
        if bytes(message_hash) not in leaf.message_hashes:
            record.answer.CopyFrom(envelope_from(signatures[signature_id], bytes(payload), item_index))


def _add_claims(connection: sa.Connection, by_index: _ByIndex) -> None:
    named: dict[int, list[str]] = {}
    for log_index, (leaf, _) in by_index.items():
        field = {"claim": "claim_id", "case_resolution": "claims"}.get(leaf.kind)
        if field is not None:
            named[log_index] = (leaf.get(field) or b"").decode().split("\n")
    claim_ids = sorted({claim_id for ids in named.values() for claim_id in ids})
    rows = rows_by_key(
        connection,
        claim,
        ("claim_id",),
        [(name,) for name in claim_ids],
        ("claim_id", "content", "lapses_at"),
    )
    contents = {row[0]: (bytes(row[1]), int(row[2])) for row in rows}
    by_claim = _cases_of(connection, claim_ids)
    for log_index, ids in named.items():
        leaf, record = by_index[log_index]
        if leaf.kind == "claim" and ids[0] in contents:
            record.claim_content, record.lapses_at = contents[ids[0]]
        found = {case.case_id: case for claim_id in ids for case in by_claim.get(claim_id, ())}
        record.cases.extend(found[case_id] for case_id in sorted(found))


def _cases_of(connection: sa.Connection, claim_ids: Sequence[str]) -> dict[str, list[mirror_pb2.CaseRecord]]:
    found = {row.case_id: row for row in cases.cases_of_claims(connection, claim_ids)}
    events: dict[int, list[Any]] = {}
    rows = rows_by_key(
        connection, case_event, ("case_id",), [(number,) for number in found], ("case_id", *_EVENT_FIELDS)
    )
    for row in sorted(rows, key=lambda one: one[1]):
        values = dict(zip(_EVENT_FIELDS, row[1:], strict=True))
        values["envelope"] = bytes(values["envelope"])
        events.setdefault(row[0], []).append(mirror_pb2.CaseEventRecord(**values))
    made = {
        number: mirror_pb2.CaseRecord(
            case_id=number,
            claim_ids=row.claim_ids,
            events=events.get(number, []),
            **{name: getattr(row, name) for name in _CASE_FIELDS},
        )
        for number, row in found.items()
    }
    by_claim: dict[str, list[mirror_pb2.CaseRecord]] = {}
    pairs = rows_by_key(
        connection,
        case_claim,
        ("claim_id",),
        [(claim_id,) for claim_id in claim_ids],
        ("claim_id", "case_id"),
    )
    for claim_id, number in pairs:
        by_claim.setdefault(claim_id, []).append(made[number])
    return by_claim


def _add_registry_orders(connection: sa.Connection, first_index: int, end: int, by_index: _ByIndex) -> None:
    columns = registry_order.c
    rows = connection.execute(
        sa.select(columns.log_index, *(columns[name] for name in _ORDER_FIELDS)).where(
            columns.log_index >= first_index, columns.log_index < end
        )
    )
    for row in rows:
        values: dict[str, Any] = {
            name: bytes(value) if isinstance(value, memoryview) else value
            for name, value in zip(_ORDER_FIELDS, row[1:], strict=True)
        }
        by_index[row.log_index][1].registry_orders.append(mirror_pb2.RegistryOrderRecord(**values))


def _add_runs(connection: sa.Connection, by_index: _ByIndex) -> None:
    keys = [
        ((leaf.get("region") or b"").decode(), log_index)
        for log_index, (leaf, _) in by_index.items()
        if leaf.kind == "reconciliation"
    ]
    for log_index, started_at in rows_by_key(
        connection, reconciliation, ("region", "log_index"), keys, ("log_index", "started_at")
    ):
        by_index[log_index][1].started_at = started_at
