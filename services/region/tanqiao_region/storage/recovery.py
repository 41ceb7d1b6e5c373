"""What this node has stored of the bridge's messages: its report to a bridge that was restored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.db.signatures import SignatureRow, envelope_from, load_signatures
from tanqiao.protocol.types import DestinationState, SourceState, TransferKey
from tanqiao_region.storage import node
from tanqiao_region.storage.offers import load_prepares
from tanqiao_region.storage.tables import (
    claim_step,
    correction,
    freeze_order,
    incoming_transfer,
    issuance,
    outgoing_transfer,
    signature,
)

ROWS_PER_PAGE: Final = 200


def bridge_messages(database: Database, above: int) -> Iterator[recovery_pb2.ReportItem]:
    """Give the bridge's decisions and receipts from an index on, with what they rest on, and all records.

    Args:
        database: read page by page, so that nothing waits for the report.
        above: log index from which the bridge knows nothing; what it knows all the same is no harm.
    """
    yield from _records(database)
    yield from _claims(database, above)
    yield from _issues(database, above)
    yield from _outgoing(database, above)
    yield from _incoming(database, above)
    yield from _corrections(database, above)
    yield from _freezes(database)


def undecided_promises(database: Database) -> Iterator[recovery_pb2.Papers]:
    """Give the promises of which this node has seen no decision: another region may have.

    Locks and Uses with their openings, then Readys; read page by page as `bridge_messages`.
    """
    open_out = (SourceState.LOCKED, SourceState.RETIRING)
    for connection, rows in _pages(database, outgoing_transfer, outgoing_transfer.c.transfer_id):
        wanted = [row for row in rows if row.state in open_out]
        signatures = _signatures(connection, wanted, "signature_id")
        for row in wanted:
            lock = envelope_from(signatures[row.signature_id], bytes(row.payload), row.item_index)
            openings = messages_pb2.Openings.FromString(bytes(row.companion))
            yield recovery_pb2.Papers(lock=lock, openings=openings)
    keys = (incoming_transfer.c.transfer_id, incoming_transfer.c.source)
    for connection, rows in _pages(database, incoming_transfer, *keys):
        wanted = [row for row in rows if row.state == DestinationState.READY]
        signatures = _signatures(connection, wanted, "answer_signature_id")
        for row in wanted:
            stored = signatures[row.answer_signature_id]
            ready = envelope_from(stored, bytes(row.answer_payload), row.answer_item_index)
            yield recovery_pb2.Papers(ready=ready)


def _pages(database: Database, table: sa.Table, *keys: sa.Column[Any]) -> Iterator[tuple[Any, Any]]:
    """Give the rows of a table in the order of its key, page by page, each page with its connection."""
    last: tuple[Any, ...] | None = None
    while True:
        with database.reading() as connection:
            statement = sa.select(table).order_by(*keys).limit(ROWS_PER_PAGE)
            if last is not None:
                statement = statement.where(sa.tuple_(*keys) > sa.tuple_(*map(sa.literal, last)))
            rows = connection.execute(statement).all()
            if not rows:
                return
            yield connection, rows
            last = tuple(getattr(rows[-1], key.name) for key in keys)


def _records(database: Database) -> Iterator[recovery_pb2.ReportItem]:
    with database.reading() as connection:
        envelopes = node.load_key_envelopes(connection)
        envelopes += [envelope for _, envelope in node.load_recognitions(connection)]
    for data in envelopes:
        yield recovery_pb2.ReportItem(message=envelope_pb2.Envelope.FromString(data))


def _corrections(database: Database, above: int) -> Iterator[recovery_pb2.ReportItem]:
    for _, rows in _pages(database, correction, correction.c.correction_id):
        for row in rows:
            if row.log_index >= above:
                envelope = envelope_pb2.Envelope.FromString(bytes(row.envelope))
                yield recovery_pb2.ReportItem(message=envelope, place=row.log_index)


def _freezes(database: Database) -> Iterator[recovery_pb2.ReportItem]:
    """Give the orders that came over the bridge, in the order in which they were taken: there are few."""
    for _, rows in _pages(database, freeze_order, freeze_order.c.journal_index):
        for row in rows:
            if not row.local:
                envelope = envelope_pb2.Envelope.FromString(bytes(row.envelope))
                yield recovery_pb2.ReportItem(message=envelope, place=row.journal_index)


def _claims(database: Database, above: int) -> Iterator[recovery_pb2.ReportItem]:
    for _, rows in _pages(database, claim_step, claim_step.c.step_id):
        for row in rows:
            if not row.receipt:
                continue
            receipt = envelope_pb2.Envelope.FromString(bytes(row.receipt))
            if claims_pb2.ClaimReceipt.FromString(receipt.payload).log_index >= above:
                statement = envelope_pb2.Envelope.FromString(bytes(row.envelope))
                yield recovery_pb2.ReportItem(message=receipt, statement=statement)


def _issues(database: Database, above: int) -> Iterator[recovery_pb2.ReportItem]:
    for connection, rows in _pages(database, issuance, issuance.c.issuance_id):
        signatures = load_signatures(connection, signature, [row.signature_id for row in rows])
        for row in rows:
            if not row.receipt:
                continue
            receipt = envelope_pb2.Envelope.FromString(bytes(row.receipt))
            if messages_pb2.IssueReceipt.FromString(receipt.payload).log_index >= above:
                issue = envelope_from(signatures[row.signature_id], bytes(row.payload), row.item_index)
                yield recovery_pb2.ReportItem(message=receipt, papers=recovery_pb2.Papers(issue=issue))


def _is_above(payload: bytes, above: int) -> bool:
    return bool(payload) and messages_pb2.Decision.FromString(bytes(payload)).log_index >= above


def _outgoing(database: Database, above: int) -> Iterator[recovery_pb2.ReportItem]:
    for connection, rows in _pages(database, outgoing_transfer, outgoing_transfer.c.transfer_id):
        wanted = [row for row in rows if _is_above(row.decision_payload, above)]
        signatures = _signatures(connection, wanted, "signature_id", "decision_signature_id")
        for row in wanted:
            lock = envelope_from(signatures[row.signature_id], bytes(row.payload), row.item_index)
            openings = messages_pb2.Openings.FromString(bytes(row.companion))
            yield recovery_pb2.ReportItem(
                message=_decision(signatures, row),
                papers=recovery_pb2.Papers(lock=lock, openings=openings),
            )


def _incoming(database: Database, above: int) -> Iterator[recovery_pb2.ReportItem]:
    keys = (incoming_transfer.c.transfer_id, incoming_transfer.c.source)
    for connection, rows in _pages(database, incoming_transfer, *keys):
        wanted = [row for row in rows if _is_above(row.decision_payload, above)]
        signatures = _signatures(connection, wanted, "answer_signature_id", "decision_signature_id")
        named = [TransferKey(row.source, bytes(row.transfer_id)) for row in wanted]
        prepares = {prepare.key: prepare for prepare in load_prepares(connection, named)}
        for row in wanted:
            papers = recovery_pb2.Papers()
            prepare = prepares.get(TransferKey(row.source, bytes(row.transfer_id)))
            if prepare is not None:
                message = messages_pb2.Prepare.FromString(prepare.payload)
                papers.lock.CopyFrom(message.lock)
                papers.series.extend(message.series)
                papers.openings.CopyFrom(messages_pb2.Openings.FromString(prepare.companion))
            if row.answer_signature_id is not None:
                papers.ready.CopyFrom(
                    envelope_from(
                        signatures[row.answer_signature_id], bytes(row.answer_payload), row.answer_item_index
                    )
                )
            yield recovery_pb2.ReportItem(message=_decision(signatures, row), papers=papers)


def _signatures(connection: sa.Connection, rows: list[Any], *names: str) -> dict[int, SignatureRow]:
    ids = [getattr(row, name) for row in rows for name in names]
    return dict(load_signatures(connection, signature, ids))


def _decision(signatures: dict[int, SignatureRow], row: Any) -> envelope_pb2.Envelope:  # noqa: ANN401 - a row
    return envelope_from(
        signatures[row.decision_signature_id], bytes(row.decision_payload), row.decision_item_index
    )
