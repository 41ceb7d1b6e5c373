"""What the node has promised and not seen decided, as it is offered; and stored messages as envelopes again.

Offered traffic carries no number: state is the outbox (PROTOCOL section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.protocol.types import DestinationState, Kind, SourceState, TransferKey
from tanqiao_region.storage.tables import incoming_transfer, issuance, outgoing_transfer, signature

ISSUING: Final = 1
COMPANION: Final = 3
"""Place of the companion in the rows of promises that have one."""


@dataclass(frozen=True, slots=True)
class StoredPromise:
    """A payload to be offered: `key` is what pages go by, `subject` the transfer or issuance id."""

    key: tuple[int, bytes]
    subject: bytes
    payload: bytes
    companion: bytes = b""


Page = tuple[int, bytes]
BEGINNING: Final[Page] = (-1, b"")


def open_locks(connection: sa.Connection, after: Page, before: int, limit: int) -> list[StoredPromise]:
    """Give LockAssertions of locked transfers, oldest first.

    Args:
        connection: inside a transaction.
        after: key behind which the page begins.
        before: only those made before this moment, epoch seconds.
        limit: most rows.
    """
    return _open_outgoing(connection, SourceState.LOCKED, after, before, limit)


def open_uses(connection: sa.Connection, after: Page, before: int, limit: int) -> list[StoredPromise]:
    """Give Uses of retiring units, oldest first; as `open_locks`."""
    return _open_outgoing(connection, SourceState.RETIRING, after, before, limit)


def _open_outgoing(
    connection: sa.Connection, state: SourceState, after: Page, before: int, limit: int
) -> list[StoredPromise]:
    columns = outgoing_transfer.c
    rows = connection.execute(
        sa.select(columns.created_at, columns.transfer_id, columns.payload, columns.companion)
        .where(
            columns.state == int(state),
            columns.ended_at.is_(None),
            columns.created_at < before,
            _behind(columns, after),
        )
        .order_by(columns.created_at, columns.transfer_id)
        .limit(limit)
    )
    return [_promise(row) for row in rows]


def open_withdrawals(connection: sa.Connection, after: Page, limit: int) -> list[StoredPromise]:
    """Give Withdraws of transfers that are still locked, oldest first."""
    columns = outgoing_transfer.c
    rows = connection.execute(
        sa.select(columns.created_at, columns.transfer_id, columns.withdraw_payload)
        .where(
            columns.state == int(SourceState.LOCKED),
            columns.ended_at.is_(None),
            columns.withdraw_payload != b"",
            _behind(columns, after),
        )
        .order_by(columns.created_at, columns.transfer_id)
        .limit(limit)
    )
    return [_promise(row) for row in rows]


def withdrawals_of(connection: sa.Connection, transfer_ids: Iterable[bytes]) -> list[bytes]:
    """Give the Withdraw payloads of these transfers."""
    rows = rows_by_key(
        connection,
        outgoing_transfer,
        ("transfer_id",),
        [(transfer_id,) for transfer_id in transfer_ids],
        ("withdraw_payload",),
    )
    return [bytes(row[0]) for row in rows if row[0]]


def open_withdrawals_of(connection: sa.Connection, transfer_ids: Iterable[bytes]) -> list[bytes]:
    """Give the Withdraw payloads of those of these transfers that are still locked."""
    rows = rows_by_key(
        connection,
        outgoing_transfer,
        ("transfer_id",),
        [(transfer_id,) for transfer_id in dict.fromkeys(transfer_ids)],
        ("withdraw_payload", "state"),
    )
    return [bytes(row[0]) for row in rows if row[0] and row[1] == int(SourceState.LOCKED)]


def open_issues_of(connection: sa.Connection, issue_ids: Iterable[bytes]) -> list[bytes]:
    """Give the Issues of these ids without a receipt."""
    rows = rows_by_key(
        connection,
        issuance,
        ("issuance_id",),
        [(issue_id.hex(),) for issue_id in dict.fromkeys(issue_ids)],
        ("payload", "state"),
    )
    return [bytes(row[0]) for row in rows if row[1] == ISSUING]


def promises_of(connection: sa.Connection, transfer_ids: Iterable[bytes]) -> list[tuple[Kind, StoredPromise]]:
    """Give the LockAssertions and Uses of these ids that are still undecided."""
    rows = rows_by_key(
        connection,
        outgoing_transfer,
        ("transfer_id",),
        [(transfer_id,) for transfer_id in dict.fromkeys(transfer_ids)],
        ("created_at", "transfer_id", "payload", "companion", "kind", "state"),
    )
    undecided = (int(SourceState.LOCKED), int(SourceState.RETIRING))
    return [(Kind(row[4]), _promise(row[:4])) for row in rows if row[5] in undecided]


def open_answers(
    connection: sa.Connection, state: DestinationState, after: Page, before: int, limit: int
) -> list[StoredPromise]:
    """Give the Readys or Refuses of transfers that are undecided, oldest first; as `open_locks`."""
    columns = incoming_transfer.c
    rows = connection.execute(
        sa.select(columns.created_at, columns.transfer_id, columns.answer_payload)
        .where(
            columns.state == int(state),
            columns.ended_at.is_(None),
            columns.created_at < before,
            _behind(columns, after),
        )
        .order_by(columns.created_at, columns.transfer_id)
        .limit(limit)
    )
    return [_promise(row) for row in rows]


def answers_of(connection: sa.Connection, keys: Iterable[TransferKey]) -> list[tuple[str, bytes]]:
    """Give (payload type, payload) of the stored answers of these transfers (R4)."""
    rows = rows_by_key(
        connection,
        incoming_transfer,
        ("source", "transfer_id"),
        [(key.source, key.transfer_id) for key in dict.fromkeys(keys)],
        ("answer_type", "answer_payload"),
    )
    return [(row[0], bytes(row[1])) for row in rows if row[0]]


def open_answers_of(connection: sa.Connection, transfer_ids: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Give (payload type, payload) of the answers to these transfers that are still undecided."""
    rows = rows_by_key(
        connection,
        incoming_transfer,
        ("transfer_id",),
        [(transfer_id,) for transfer_id in dict.fromkeys(transfer_ids)],
        ("answer_type", "answer_payload", "state"),
    )
    undecided = (int(DestinationState.READY), int(DestinationState.REFUSED))
    return [(row[0], bytes(row[1])) for row in rows if row[2] in undecided]


def open_issues(connection: sa.Connection, after: Page, limit: int) -> list[StoredPromise]:
    """Give the Issues without a receipt, oldest first; the subject is the issuance id as text."""
    columns = issuance.c
    key = sa.tuple_(columns.created_at, columns.issuance_id)
    rows = connection.execute(
        sa.select(columns.created_at, columns.issuance_id, columns.payload)
        .where(columns.state == ISSUING, key > sa.tuple_(after[0], after[1].decode()))
        .order_by(columns.created_at, columns.issuance_id)
        .limit(limit)
    )
    return [StoredPromise((row[0], row[1].encode()), row[1].encode(), bytes(row[2])) for row in rows]


def _behind(columns: Any, after: Page) -> sa.ColumnElement[bool]:  # noqa: ANN401 - of either table
    created_at, transfer_id = after
    return sa.or_(
        columns.created_at > created_at,
        sa.and_(columns.created_at == created_at, columns.transfer_id > transfer_id),
    )


def _promise(row: Sequence[Any]) -> StoredPromise:
    companion = bytes(row[COMPANION]) if len(row) > COMPANION else b""
    return StoredPromise((row[0], bytes(row[1])), bytes(row[1]), bytes(row[2]), companion)


@dataclass(frozen=True, slots=True)
class StoredPrepare:
    """A Prepare as it came, with the answer to it: both can be shown again, each provable alone."""

    key: TransferKey
    payload: bytes
    companion: bytes
    envelope: envelope_pb2.Envelope
    answer: envelope_pb2.Envelope | None


def load_prepares(connection: sa.Connection, keys: Iterable[TransferKey]) -> list[StoredPrepare]:
    """Give the stored Prepares of these transfers with their answers."""
    rows = rows_by_key(
        connection,
        incoming_transfer,
        ("source", "transfer_id"),
        [(key.source, key.transfer_id) for key in dict.fromkeys(keys)],
        (
            "source",
            "transfer_id",
            "prepare_payload",
            "prepare_companion",
            "prepare_signature_id",
            "prepare_item_index",
            "answer_payload",
            "answer_signature_id",
            "answer_item_index",
        ),
    )
    held = [row for row in rows if row[4] is not None]
    signatures = load_signatures(connection, signature, [value for row in held for value in (row[4], row[7])])
    return [
        StoredPrepare(
            TransferKey(row[0], bytes(row[1])),
            bytes(row[2]),
            bytes(row[3]),
            envelope_from(signatures[row[4]], bytes(row[2]), row[5]),
            envelope_from(signatures[row[7]], bytes(row[6]), row[8]) if row[7] is not None else None,
        )
        for row in held
    ]


def load_decision(
    connection: sa.Connection, own_party: str, key: TransferKey
) -> envelope_pb2.Envelope | None:
    """Give the decision that is stored for a transfer, if one is."""
    wanted = ("decision_payload", "decision_signature_id", "decision_item_index")
    if key.source == own_party:
        rows = rows_by_key(connection, outgoing_transfer, ("transfer_id",), [(key.transfer_id,)], wanted)
    else:
        value = (key.source, key.transfer_id)
        rows = rows_by_key(connection, incoming_transfer, ("source", "transfer_id"), [value], wanted)
    for payload, signature_id, item_index in rows:
        if signature_id is not None:
            row = load_signatures(connection, signature, [signature_id])[signature_id]
            return envelope_from(row, bytes(payload), item_index)
    return None
