"""Reads for the public services: keys, agreements, outcomes, the log, locations and the trace of a unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import Outcome, TransferKey
from tanqiao.rpc.protocol_facts import blocks_of
from tanqiao_bridge.storage.locations import LocationRow
from tanqiao_bridge.storage.orders import corrections_touching
from tanqiao_bridge.storage.tables import (
    decision,
    decision_block,
    issue,
    location,
    message,
    signature,
    transfer_final,
)

STEPS_PER_TRACE_MAX = 10_000
CORRECTION = -1
"""Kind of a correction's step."""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One decision that moved or used serials, the issue that registered them, or a correction.

    Of a correction the envelope stands in the row; those of the others are looked up by the transfer.
    """

    log_index: int
    kind: int
    source: str
    destination: str
    transfer_id: bytes
    outcome: int
    purpose: str
    legal_date: str
    decided_at: int
    blocks: tuple[UnitBlock, ...]
    claim_id: str
    envelope: bytes = b""


def envelopes_of_transfer(connection: sa.Connection, key: TransferKey) -> list[envelope_pb2.Envelope]:
    """Give the signed messages of a transfer in the order of the protocol: lock, ready, decision, finals."""
    rows = connection.execute(
        sa.select(
            message.c.payload_type, message.c.payload, message.c.signature_id, message.c.item_index
        ).where(message.c.source == key.source, message.c.transfer_id == key.transfer_id)
    ).all()
    signatures = load_signatures(connection, signature, [row.signature_id for row in rows])
    ordered = sorted(rows, key=lambda row: _order(row.payload_type))
    return [
        envelope_from(signatures[row.signature_id], bytes(row.payload), row.item_index) for row in ordered
    ]


def _order(payload_type: str) -> int:
    name = payload_type.removeprefix("application/vnd.tanqiao.").split(".", 1)[0]
    order = ("issue", "lock-assertion", "use", "ready", "refuse", "decision", "issue-receipt", "source-final")
    return order.index(name) if name in order else len(order)


def envelopes_by_hash(connection: sa.Connection, hashes: Iterable[bytes]) -> list[envelope_pb2.Envelope]:
    """Give the signed messages that a leaf names, as far as they are kept, in the order of the hashes."""
    wanted = list(dict.fromkeys(hashes))
    rows = {
        bytes(row.message_hash): row
        for row in connection.execute(
            sa.select(
                message.c.message_hash, message.c.payload, message.c.signature_id, message.c.item_index
            ).where(message.c.message_hash.in_(wanted))
        )
    }
    signatures = load_signatures(connection, signature, [row.signature_id for row in rows.values()])
    return [
        envelope_from(
            signatures[rows[value].signature_id], bytes(rows[value].payload), rows[value].item_index
        )
        for value in wanted
        if value in rows
    ]


def decision_envelope(
    connection: sa.Connection, key: TransferKey
) -> tuple[envelope_pb2.Envelope, int, int] | None:
    """Give the signed Decision of a transfer, its outcome and its index in the log, or None."""
    row = connection.execute(
        sa.select(decision.c.decision_hash, decision.c.outcome, decision.c.log_index).where(
            decision.c.source == key.source, decision.c.transfer_id == key.transfer_id
        )
    ).first()
    if row is None:
        return None
    found = envelopes_by_hash(connection, [bytes(row.decision_hash)])
    return (found[0], row.outcome, row.log_index) if found else None


def finals_of(connection: sa.Connection, key: TransferKey) -> set[int]:
    """Give which sides have sent their receipt."""
    return set(
        connection.execute(
            sa.select(transfer_final.c.side).where(
                transfer_final.c.source == key.source, transfer_final.c.transfer_id == key.transfer_id
            )
        ).scalars()
    )


def list_locations(
    connection: sa.Connection, *, series_id: str, region: str, begin: tuple[str, int], limit: int
) -> list[LocationRow]:
    """Give location rows in order of series and serial, from the one on that reaches beyond a serial."""
    columns = location.c
    across = (
        sa.select(sa.func.max(columns.start_serial))
        .where(columns.series_id == begin[0], columns.start_serial <= begin[1])
        .scalar_subquery()
    )
    first = sa.tuple_(sa.literal(begin[0]), sa.func.coalesce(across, begin[1]))
    statement = (
        sa.select(
            columns.series_id,
            columns.start_serial,
            columns.end_serial,
            columns.region,
            columns.state,
            columns.log_index,
        )
        .where(
            sa.tuple_(columns.series_id, columns.start_serial) >= first,
            sa.or_(columns.series_id > begin[0], columns.end_serial > begin[1]),
        )
        .order_by(columns.series_id, columns.start_serial)
        .limit(limit)
    )
    if series_id:
        statement = statement.where(columns.series_id == series_id)
    if region:
        statement = statement.where(columns.region == region)
    return [
        LocationRow(
            UnitBlock(row.series_id, row.start_serial, row.end_serial), row.region, row.state, row.log_index
        )
        for row in connection.execute(statement)
    ]


def locations_of(connection: sa.Connection, block: UnitBlock) -> list[LocationRow]:
    """Give where the serials of a block are."""
    columns = location.c
    rows = connection.execute(
        sa.select(columns.start_serial, columns.end_serial, columns.region, columns.state, columns.log_index)
        .where(
            columns.series_id == block.series_id,
            columns.start_serial < block.end,
            columns.end_serial > block.start,
        )
        .order_by(columns.start_serial)
    )
    return [LocationRow(UnitBlock(block.series_id, row[0], row[1]), row[2], row[3], row[4]) for row in rows]


def trace(connection: sa.Connection, block: UnitBlock) -> list[TraceRow]:
    """Give issue, moves, uses and corrections that touch a block, oldest first."""
    issues = connection.execute(
        sa.select(
            issue.c.log_index,
            issue.c.region,
            issue.c.issue_id,
            issue.c.start_serial,
            issue.c.end_serial,
            issue.c.claim_id,
        ).where(
            issue.c.series_id == block.series_id,
            issue.c.accepted,
            issue.c.start_serial < block.end,
            issue.c.end_serial > block.start,
        )
    )
    steps = [
        TraceRow(
            row.log_index,
            0,
            row.region,
            "",
            bytes(row.issue_id),
            1,
            "",
            "",
            0,
            (UnitBlock(block.series_id, row.start_serial, row.end_serial),),
            row.claim_id,
        )
        for row in issues
    ]
    touched = sorted(
        set(
            connection.execute(
                sa.select(decision_block.c.log_index)
                .where(
                    decision_block.c.series_id == block.series_id,
                    decision_block.c.start_serial < block.end,
                    decision_block.c.end_serial > block.start,
                )
                .order_by(decision_block.c.log_index)
                .limit(STEPS_PER_TRACE_MAX)
            ).scalars()
        )
    )
    steps.extend(_decision_steps(connection, touched))
    steps.extend(
        TraceRow(
            row.log_index,
            CORRECTION,
            row.from_region,
            row.to_region,
            b"",
            int(Outcome.COMMIT),
            "",
            row.legal_date,
            row.recorded_at,
            blocks_of(messages_pb2.Correction.FromString(row.payload).blocks),
            "",
            row.envelope,
        )
        for row in corrections_touching(connection, block)
    )
    return sorted(steps, key=lambda step: step.log_index)


def _decision_steps(connection: sa.Connection, indexes: Sequence[int]) -> list[TraceRow]:
    if not indexes:
        return []
    blocks: dict[int, list[UnitBlock]] = {}
    for row in connection.execute(
        sa.select(
            decision_block.c.log_index,
            decision_block.c.series_id,
            decision_block.c.start_serial,
            decision_block.c.end_serial,
        ).where(decision_block.c.log_index.in_(indexes))
    ):
        blocks.setdefault(row[0], []).append(UnitBlock(row[1], row[2], row[3]))
    rows = connection.execute(
        sa.select(
            decision.c.log_index,
            decision.c.kind,
            decision.c.source,
            decision.c.destination,
            decision.c.transfer_id,
            decision.c.outcome,
            decision.c.purpose,
            decision.c.legal_date,
            decision.c.decided_at,
        ).where(decision.c.log_index.in_(indexes))
    )
    return [
        TraceRow(
            row.log_index,
            row.kind,
            row.source,
            row.destination,
            bytes(row.transfer_id),
            row.outcome,
            row.purpose,
            row.legal_date,
            row.decided_at,
            tuple(sorted(blocks.get(row.log_index, []))),
            "",
        )
        for row in rows
    ]
