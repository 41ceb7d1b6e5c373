"""What callers read: transfers and retirements with their signed messages, and totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.signatures import SignatureRow, envelope_from, load_signatures
from tanqiao_region.storage.accounts import Viewer, seen_among
from tanqiao_region.storage.holdings import HELD, LOCKED, RETIRING
from tanqiao_region.storage.tables import (
    holding,
    incoming_transfer,
    issuance,
    outgoing_transfer,
    retirement,
    signature,
)

_OUT: Final = outgoing_transfer.c
_IN: Final = incoming_transfer.c
_TRANSFER: Final = 1


@dataclass(frozen=True, slots=True)
class OutgoingView:
    """An outgoing transfer or use as it is shown; envelopes where they were asked for."""

    transfer_id: bytes
    kind: int
    state: int
    destination: str
    account_id: str
    quantity_kg: int
    blocks: bytes
    companion: bytes
    decision_payload: bytes
    created_at: int
    ended_at: int | None
    promise: envelope_pb2.Envelope | None
    decision: envelope_pb2.Envelope | None


@dataclass(frozen=True, slots=True)
class IncomingView:
    """An incoming transfer as it is shown."""

    source: str
    transfer_id: bytes
    state: int
    account_id: str
    receiving_address: str
    quantity_kg: int
    blocks: bytes
    prepare_payload: bytes
    answer_type: str
    answer_payload: bytes
    decision_payload: bytes
    legal_date: str
    created_at: int
    ended_at: int | None
    answer: envelope_pb2.Envelope | None
    decision: envelope_pb2.Envelope | None


class _Outgoing(NamedTuple):
    """What is read of a row of `outgoing_transfer`."""

    transfer_id: bytes
    kind: int
    state: int
    destination: str
    account_id: str
    quantity_kg: int
    blocks: bytes
    companion: bytes
    decision_payload: bytes
    created_at: int
    ended_at: int | None
    payload: bytes
    signature_id: int | None
    item_index: int | None
    decision_signature_id: int | None
    decision_item_index: int | None


_OUT_COLUMNS: Final = tuple(_OUT[name] for name in _Outgoing._fields)
_IN_COLUMNS: Final = (
    _IN.source,
    _IN.transfer_id,
    _IN.state,
    _IN.account_id,
    _IN.receiving_address,
    _IN.quantity_kg,
    _IN.blocks,
    _IN.prepare_payload,
    _IN.answer_type,
    _IN.answer_payload,
    _IN.decision_payload,
    _IN.legal_date,
    _IN.created_at,
    _IN.ended_at,
    _IN.answer_signature_id,
    _IN.answer_item_index,
    _IN.decision_signature_id,
    _IN.decision_item_index,
)

Signatures = dict[int, SignatureRow]


def _envelope(
    signatures: Signatures, payload: bytes, signature_id: int | None, item_index: int | None
) -> envelope_pb2.Envelope | None:
    row = signatures.get(signature_id) if signature_id is not None else None
    return None if row is None else envelope_from(row, bytes(payload), item_index or 0)


def _outgoing_views(
    connection: sa.Connection, rows: Sequence[Any], *, with_envelopes: bool
) -> list[OutgoingView]:
    signatures: Signatures = {}
    if with_envelopes:
        ids = [value for row in rows for value in (row.signature_id, row.decision_signature_id)]
        signatures = dict(load_signatures(connection, signature, ids))
    return [
        OutgoingView(
            bytes(row.transfer_id),
            row.kind,
            row.state,
            row.destination,
            row.account_id,
            row.quantity_kg,
            bytes(row.blocks),
            bytes(row.companion),
            bytes(row.decision_payload),
            row.created_at,
            row.ended_at,
            _envelope(signatures, row.payload, row.signature_id, row.item_index),
            _envelope(signatures, row.decision_payload, row.decision_signature_id, row.decision_item_index),
        )
        for row in rows
    ]


def _incoming_views(
    connection: sa.Connection, rows: Sequence[Any], *, with_envelopes: bool
) -> list[IncomingView]:
    signatures: Signatures = {}
    if with_envelopes:
        ids = [value for row in rows for value in (row.answer_signature_id, row.decision_signature_id)]
        signatures = dict(load_signatures(connection, signature, ids))
    return [
        IncomingView(
            row.source,
            bytes(row.transfer_id),
            row.state,
            row.account_id,
            row.receiving_address,
            row.quantity_kg,
            bytes(row.blocks),
            bytes(row.prepare_payload),
            row.answer_type,
            bytes(row.answer_payload),
            bytes(row.decision_payload),
            row.legal_date,
            row.created_at,
            row.ended_at,
            _envelope(signatures, row.answer_payload, row.answer_signature_id, row.answer_item_index),
            _envelope(signatures, row.decision_payload, row.decision_signature_id, row.decision_item_index),
        )
        for row in rows
    ]


def find_outgoing(
    connection: sa.Connection, transfer_ids: Sequence[bytes], *, with_envelopes: bool
) -> list[OutgoingView]:
    """Give outgoing transfers and uses by id, in no particular order."""
    ids = [(transfer_id,) for transfer_id in dict.fromkeys(transfer_ids)]
    found = rows_by_key(connection, outgoing_transfer, ("transfer_id",), ids, _Outgoing._fields)
    rows = [_Outgoing(*row) for row in found]
    return _outgoing_views(connection, rows, with_envelopes=with_envelopes)


def find_incoming(connection: sa.Connection, transfer_id: bytes) -> list[IncomingView]:
    """Give incoming transfers of an id; two sources may have drawn the same one."""
    rows = connection.execute(
        sa.select(*_IN_COLUMNS).where(_IN.transfer_id == transfer_id).order_by(_IN.source)
    ).all()
    return _incoming_views(connection, rows, with_envelopes=True)


def list_outgoing(
    connection: sa.Connection, *, state: int, account_id: str, viewer: Viewer, after: bytes, limit: int
) -> list[OutgoingView]:
    """Give a page of transfers that leave, in the order of ids; state 0 and an empty account are any."""
    statement = (
        sa.select(*_OUT_COLUMNS)
        .where(_OUT.kind == _TRANSFER, _OUT.transfer_id > after, seen_among(_OUT.account_id, viewer))
        .order_by(_OUT.transfer_id)
        .limit(limit)
    )
    if state:
        statement = statement.where(_OUT.state == state)
    if account_id:
        statement = statement.where(_OUT.account_id == account_id)
    return _outgoing_views(connection, connection.execute(statement).all(), with_envelopes=False)


def list_incoming(
    connection: sa.Connection,
    *,
    state: int,
    account_id: str,
    viewer: Viewer,
    after: tuple[str, bytes],
    limit: int,
) -> list[IncomingView]:
    """Give a page of transfers that come in, in the order of source and id."""
    statement = (
        sa.select(*_IN_COLUMNS)
        .where(
            sa.or_(_IN.source > after[0], sa.and_(_IN.source == after[0], _IN.transfer_id > after[1])),
            seen_among(_IN.account_id, viewer),
        )
        .order_by(_IN.source, _IN.transfer_id)
        .limit(limit)
    )
    if state:
        statement = statement.where(_IN.state == state)
    if account_id:
        statement = statement.where(_IN.account_id == account_id)
    return _incoming_views(connection, connection.execute(statement).all(), with_envelopes=False)


@dataclass(frozen=True, slots=True)
class RetirementView:
    """A use as it is shown: what left, and what for."""

    use: OutgoingView
    purpose: str
    purpose_text: str
    beneficiary_name: str
    beneficiary_uscc: str
    pseudonymous: bool
    beneficiary_salt: bytes
    document_reference: str
    article: str
    rule_pack_id: str
    rule_pack_version: str
    retiring_date: str
    decision_date: str


_RET: Final = retirement.c


def list_retirements(
    connection: sa.Connection,
    *,
    account_id: str,
    after: bytes,
    limit: int,
    transfer_id: bytes = b"",
    with_envelopes: bool = False,
) -> list[RetirementView]:
    """Give a page of uses in the order of their ids, or one of them."""
    statement = (
        sa.select(*_OUT_COLUMNS, *(column for column in retirement.c if column.name not in _SHARED))
        .join(retirement, _RET.transfer_id == _OUT.transfer_id)
        .where(_OUT.transfer_id > after)
        .order_by(_OUT.transfer_id)
        .limit(limit)
    )
    if account_id:
        statement = statement.where(_OUT.account_id == account_id)
    if transfer_id:
        statement = statement.where(_OUT.transfer_id == transfer_id)
    rows = connection.execute(statement).all()
    views = _outgoing_views(connection, rows, with_envelopes=with_envelopes)
    return [
        RetirementView(
            view,
            row.purpose,
            row.purpose_text,
            row.beneficiary_name,
            row.beneficiary_uscc,
            bool(row.pseudonymous),
            bytes(row.beneficiary_salt),
            row.document_reference,
            row.article,
            row.rule_pack_id,
            row.rule_pack_version,
            row.retiring_date,
            row.decision_date,
        )
        for view, row in zip(views, rows, strict=True)
    ]


_SHARED: Final = frozenset({"transfer_id", "kind"})


def series_totals(connection: sa.Connection, series_ids: Sequence[str]) -> dict[str, dict[int, int]]:
    """Give kilograms by state of these series, of everything in this node's books."""
    columns = holding.c
    rows = connection.execute(
        sa.select(columns.series_id, columns.state, sa.func.sum(columns.end_serial - columns.start_serial))
        .where(columns.series_id.in_(series_ids))
        .group_by(columns.series_id, columns.state)
    )
    found: dict[str, dict[int, int]] = {}
    for series_id, state, quantity_kg in rows:
        found.setdefault(series_id, {})[state] = int(quantity_kg)
    return found


def count_open(connection: sa.Connection) -> int:
    """Count what is locked, retiring, promised or being issued."""
    undecided = sa.select(sa.func.count()).select_from(outgoing_transfer).where(_OUT.ended_at.is_(None))
    promised = (
        sa.select(sa.func.count())
        .select_from(incoming_transfer)
        .where(_IN.state == 1, _IN.ended_at.is_(None))
    )
    issuing = sa.select(sa.func.count()).select_from(issuance).where(issuance.c.state == 1)
    return sum(int(connection.execute(one).scalar_one()) for one in (undecided, promised, issuing))


STATE_NAMES: Final = {HELD: "HELD", LOCKED: "LOCKED", RETIRING: "RETIRING", 4: "USED", 5: "CANCELLED"}
