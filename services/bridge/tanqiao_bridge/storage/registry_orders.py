"""Orders to other registries: written with their cause, sent until they are decided, answered once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import coordination_pb2, messages_pb2
from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao_bridge.storage.tables import key_record, recovery_item, registry_answer, registry_order

COLUMNS: Final = (
    "order_id",
    "registry",
    "claim_id",
    "kind",
    "statement_hash",
    "order_hash",
    "payload",
    "envelope",
    "ordered_at",
    "log_index",
)
_DONE: Final = frozenset(
    {
        coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED,
        coordination_pb2.REGISTRY_ORDER_STATE_PART_CONFIRMED,
    }
)
RELEASED: Final = frozenset({None, coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED})
"""Decisions about a release after which nothing counts as frozen; None: that may come at any moment."""
_ANSWERS: Final = ("acknowledged_answer", "decision", "decided_answer")
_BYTES: Final = (
    "order_id",
    "statement_hash",
    "order_hash",
    "payload",
    "envelope",
    "acknowledged_answer",
    "decided_answer",
)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order; answers are serialised envelopes, None before they came."""

    order_id: bytes
    registry: str
    claim_id: str
    kind: int
    statement_hash: bytes
    order_hash: bytes
    payload: bytes
    envelope: bytes
    ordered_at: int
    log_index: int
    acknowledged_answer: bytes | None = None
    decision: int | None = None
    decided_answer: bytes | None = None

    @property
    def answer(self) -> bytes | None:
        """The newest answer."""
        return self.decided_answer or self.acknowledged_answer


_acknowledged = registry_answer.alias("acknowledged")
_decided = registry_answer.alias("decided_answer")


def _select() -> sa.Select[tuple[object, ...]]:
    both = registry_order.outerjoin(
        _acknowledged,
        sa.and_(
            _acknowledged.c.order_id == registry_order.c.order_id, _acknowledged.c.decided.is_(sa.false())
        ),
    ).outerjoin(
        _decided,
        sa.and_(_decided.c.order_id == registry_order.c.order_id, _decided.c.decided.is_(sa.true())),
    )
    own = [registry_order.c[name] for name in COLUMNS]
    return sa.select(*own, _acknowledged.c.envelope, _decided.c.state, _decided.c.envelope).select_from(both)


def _row(row: Sequence[object]) -> OrderRow:
    values = dict(zip((*COLUMNS, *_ANSWERS), row, strict=True))
    for name in _BYTES:
        if values[name] is not None:
            values[name] = bytes(values[name])  # type: ignore[call-overload]  # a driver's own bytes
    return OrderRow(**values)  # type: ignore[arg-type]


def insert_order(connection: sa.Connection, row: OrderRow) -> None:
    """Store an order; the row is the outbox of it."""
    insert_rows(connection, registry_order, [tuple(getattr(row, name) for name in COLUMNS)], COLUMNS)


def load_order(connection: sa.Connection, order_id: bytes) -> OrderRow | None:
    """Give an order by its id."""
    row = connection.execute(_select().where(registry_order.c.order_id == order_id)).first()
    return None if row is None else _row(row)


def open_orders(
    connection: sa.Connection,
    registry: str,
    limit: int,
    *,
    acknowledged: bool,
    after: tuple[int, bytes] = (-1, b""),
) -> list[OrderRow]:
    """Give orders to a registry that are not decided, in the order in which they were given.

    Args:
        connection: inside a transaction.
        registry: who is to decide.
        limit: most rows.
        acknowledged: whether the registry has said that it has them.
        after: index of the log and id of the order behind which they are.
    """
    place = sa.tuple_(registry_order.c.log_index, registry_order.c.order_id)
    known = _acknowledged.c.order_id
    rows = connection.execute(
        _select()
        .where(registry_order.c.registry == registry, _decided.c.order_id.is_(None))
        .where(known.is_not(None) if acknowledged else known.is_(None))
        .where(place > after)
        .order_by(registry_order.c.log_index, registry_order.c.order_id)
        .limit(limit)
    )
    return [_row(row) for row in rows]


def list_orders(
    connection: sa.Connection, *, claim_id: str, before: int, limit: int, kinds: Collection[int] = ()
) -> list[OrderRow]:
    """Give orders, newest first, before a log index (0: from the newest), of some kinds or of any."""
    statement = _select()
    if claim_id:
        statement = statement.where(registry_order.c.claim_id == claim_id)
    if kinds:
        statement = statement.where(registry_order.c.kind.in_(kinds))
    if before:
        statement = statement.where(registry_order.c.log_index < before)
    rows = connection.execute(statement.order_by(registry_order.c.log_index.desc()).limit(limit))
    return [_row(row) for row in rows]


def with_freezes(connection: sa.Connection, claim_ids: Sequence[str]) -> set[str]:
    """Give those of the claims for which something was frozen since their last release, if only in part.

    Of a freeze that was ordered again after a backup, and refused, nobody here knows whether it was asked for
    once more: that may have been done, and counts as frozen.
    """
    wanted = [
        (claim_id, kind)
        for claim_id in claim_ids
        for kind in (
            coordination_pb2.REGISTRY_ORDER_KIND_FREEZE,
            coordination_pb2.REGISTRY_ORDER_KIND_RELEASE,
        )
    ]
    columns = ("order_id", "claim_id", "kind", "log_index")
    orders = rows_by_key(connection, registry_order, ("claim_id", "kind"), wanted, columns)
    keys = [(row[0], True) for row in orders]
    answers = rows_by_key(connection, registry_answer, ("order_id", "decided"), keys, ("order_id", "state"))
    decisions = {bytes(row[0]): row[1] for row in answers}
    refused = [
        log_index
        for order_id, _, _, log_index in orders
        if decisions.get(bytes(order_id)) == coordination_pb2.REGISTRY_ORDER_STATE_REFUSED
    ]
    adopted = adopted_at(connection, refused) if refused else set()
    newest: dict[str, tuple[int, bool]] = {}
    for order_id, claim_id, kind, log_index in orders:
        decision = decisions.get(bytes(order_id))
        frozen = kind == coordination_pb2.REGISTRY_ORDER_KIND_FREEZE
        counts = decision in (_DONE | {None} if frozen else RELEASED)
        if counts or (frozen and log_index in adopted):
            newest[claim_id] = max(newest.get(claim_id, (log_index, frozen)), (log_index, frozen))
    return {claim_id for claim_id, (_, frozen) in newest.items() if frozen}


def adopted_at(connection: sa.Connection, log_indexes: Sequence[int]) -> set[int]:
    """Give those of the log's indexes at which a bridge that was restored took back what regions reported."""
    keys = [(log_index,) for log_index in log_indexes]
    return {
        int(row[0]) for row in rows_by_key(connection, recovery_item, ("log_index",), keys, ("log_index",))
    }


def newest_of(
    connection: sa.Connection, claim_id: str, kinds: Collection[int]
) -> dict[tuple[int, int | None], int]:
    """Give the log index of a claim's newest order of each of some kinds and each decision (None: none yet).

    However many orders there are, the one that matters is among these.
    """
    decided = sa.and_(
        registry_answer.c.order_id == registry_order.c.order_id, registry_answer.c.decided.is_(sa.true())
    )
    rows = connection.execute(
        sa.select(registry_order.c.kind, registry_answer.c.state, sa.func.max(registry_order.c.log_index))
        .select_from(registry_order.outerjoin(registry_answer, decided))
        .where(registry_order.c.claim_id == claim_id, registry_order.c.kind.in_(kinds))
        .group_by(registry_order.c.kind, registry_answer.c.state)
    )
    return {(kind, decision): int(log_index) for kind, decision, log_index in rows}


def indexes_of(connection: sa.Connection, claim_ids: Sequence[str], kind: int) -> list[int]:
    """Give the log indexes of the orders of a kind for some claims."""
    wanted = [(claim_id, kind) for claim_id in claim_ids]
    found = rows_by_key(connection, registry_order, ("claim_id", "kind"), wanted, ("log_index",))
    return [int(row[0]) for row in found]


def insert_answer(
    connection: sa.Connection, order_id: bytes, *, decided: bool, state: int, envelope: bytes, now: int
) -> None:
    """Keep an answer; the database refuses a second acknowledgement and a second decision."""
    row = (order_id, decided, state, envelope, now)
    insert_rows(
        connection, registry_answer, [row], ("order_id", "decided", "state", "envelope", "received_at")
    )


def key_records_of(connection: sa.Connection, owner: str) -> list[bytes]:
    """Give the records of a party's message keys as signed by its root, oldest first."""
    rows = connection.execute(
        sa.select(key_record.c.envelope)
        .where(key_record.c.owner == owner, key_record.c.role == messages_pb2.KEY_ROLE_MESSAGE)
        .order_by(key_record.c.log_index)
    )
    return [bytes(value) for value in rows.scalars()]
