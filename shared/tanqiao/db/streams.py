"""Numbered outbox, inbox and request ids: at least once on the wire, exactly once in effect (PROTOCOL R4).

A *stream* is what this node sends to one peer in one incarnation of its own; its numbers are dense and begin
at 1. Rows are never changed or removed: what a peer acknowledged is a mark beside the stream. The inbox keeps
per sender, kind and key the hash of the first message and the answer given to it. Times are microseconds
since 1970-01-01 UTC and are given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao.db.direct import Prepared
from tanqiao.db.engine import TransactionConflictError
from tanqiao.db.guards import Guard, append_only, never_decreases, undeletable
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

PENDING_ROWS_MAX: Final = 10_000
STATEMENTS_KEPT_MAX: Final = 64


class OutboxMessage(NamedTuple):
    """A message to be numbered: for whom, of which kind (the receiver's word), and its signed bytes."""

    peer: str
    kind: str
    payload: bytes


class PendingMessage(NamedTuple):
    """A message that its peer has not acknowledged."""

    number: int
    kind: str
    payload: bytes
    created_at_us: int


class Outbox:
    """Numbered messages to peers; tables `<name>` and `<name>_stream`."""

    def __init__(self, metadata: sa.MetaData, name: str = "outbox") -> None:
        self.rows: Final = sa.Table(
            name,
            metadata,
            sa.Column("peer", sa.Text, primary_key=True),
            sa.Column("incarnation", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("payload", sa.LargeBinary, nullable=False),
            sa.Column("created_at_us", sa.BigInteger, nullable=False),
            sa.CheckConstraint("number >= 1", name=f"{name}_number_is_positive"),
        )
        self.streams: Final = sa.Table(
            f"{name}_stream",
            metadata,
            sa.Column("peer", sa.Text, primary_key=True),
            sa.Column("incarnation", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("last_number", sa.BigInteger, nullable=False),
            sa.Column("acknowledged_number", sa.BigInteger, nullable=False),
            sa.CheckConstraint(
                "0 <= acknowledged_number AND acknowledged_number <= last_number",
                name=f"{name}_stream_acknowledged_was_sent",
            ),
        )

    def guards(self) -> tuple[Guard, ...]:
        """Give the guards of both tables: messages are for ever, and marks only move forward."""
        return (
            append_only(self.rows.name),
            undeletable(self.streams.name),
            never_decreases(self.streams.name, "last_number", "acknowledged_number"),
        )

    def append(
        self,
        connection: sa.Connection,
        peer: str,
        incarnation: int,
        payloads: Sequence[bytes],
        *,
        kind: str,
        created_at_us: int,
    ) -> range:
        """Number the payloads for one peer, in order and without a gap; the numbers given."""
        if not payloads:
            return range(0)
        last = self._reserve(connection, incarnation, {peer: len(payloads)})[peer]
        numbers = range(last - len(payloads) + 1, last + 1)
        insert_rows(
            connection,
            self.rows,
            [
                (peer, incarnation, number, kind, payload, created_at_us)
                for number, payload in zip(numbers, payloads, strict=True)
            ],
        )
        return numbers

    def append_many(
        self,
        connection: sa.Connection,
        incarnation: int,
        messages: Sequence[OutboxMessage],
        *,
        created_at_us: int,
    ) -> list[int]:
        """Number messages for several peers with two statements; the number of each, in the given order."""
        if not messages:
            return []
        counts: dict[str, int] = {}
        places: list[int] = []
        for message in messages:
            places.append(counts.get(message.peer, 0))
            counts[message.peer] = places[-1] + 1
        last = self._reserve(connection, incarnation, counts)
        numbers = [
            last[message.peer] - counts[message.peer] + 1 + place
            for message, place in zip(messages, places, strict=True)
        ]
        insert_rows(
            connection,
            self.rows,
            [
                (message.peer, incarnation, number, message.kind, message.payload, created_at_us)
                for message, number in zip(messages, numbers, strict=True)
            ],
        )
        return numbers

    def _reserve(self, connection: sa.Connection, incarnation: int, counts: dict[str, int]) -> dict[str, int]:
        """Move the last number of each stream on; its row is locked to the end of the transaction."""
        statement = _moving_on(connection.dialect.name, self.streams)
        # In the order of peers, so that two transactions lock the rows in the same order.
        values = [
            {"peer": peer, "incarnation": incarnation, "last_number": counts[peer], "acknowledged_number": 0}
            for peer in sorted(counts)
        ]
        return dict(row for each in values for row in statement.rows(connection, **each))

    def pending(
        self, connection: sa.Connection, peer: str, incarnation: int, *, after: int, limit: int
    ) -> list[PendingMessage]:
        """Give up to `limit` messages numbered above `after`, in order."""
        require(0 < limit <= PENDING_ROWS_MAX, f"a page of the outbox has 1 to {PENDING_ROWS_MAX} rows")
        values = {"of_peer": peer, "of_incarnation": incarnation, "behind": after, "at_most": limit}
        # All at once: fetched row by row, each costs several times as much.
        return [PendingMessage(*row) for row in _behind(self.rows).rows(connection, **values)]

    def acknowledge(self, connection: sa.Connection, peer: str, incarnation: int, up_to: int) -> int:
        """Note that the peer made everything up to a number durable; the mark, which never moves back.

        Raises:
            DomainError: SEQUENCE_GAP when the peer acknowledges what was never sent.
        """
        last, acknowledged = self.marks(connection, peer, incarnation)
        if up_to > last:
            raise DomainError("SEQUENCE_GAP", expected=last + 1, received=up_to, peer=peer)
        if up_to > acknowledged:
            values = {"of_peer": peer, "of_incarnation": incarnation, "up_to": up_to}
            _acknowledging(self.streams).write(connection, **values)
        return max(acknowledged, up_to)

    def marks(self, connection: sa.Connection, peer: str, incarnation: int) -> tuple[int, int]:
        """Give (last number sent, last number acknowledged) of a stream; zeros for one not begun."""
        values = {"of_peer": peer, "of_incarnation": incarnation}
        rows = _marks_of(self.streams).rows(connection, **values)
        return (rows[0][0], rows[0][1]) if rows else (0, 0)


@dataclass(frozen=True, slots=True)
class InboxRecord:
    """The first message of its (sender, kind, key), by its hash, and the answer that was given to it."""

    sender: str
    kind: str
    key: bytes
    message_hash: bytes
    answer: bytes
    received_at_us: int


InboxKey = tuple[str, str, bytes]


class Inbox:
    """Messages that had an effect; tables `<name>` and `<name>_stream`.

    A record is written in the transaction of the effect and after the signature was verified (PROTOCOL §2).
    """

    def __init__(self, metadata: sa.MetaData, name: str = "inbox") -> None:
        self.rows: Final = sa.Table(
            name,
            metadata,
            sa.Column("sender", sa.Text, primary_key=True),
            sa.Column("kind", sa.Text, primary_key=True),
            sa.Column("key", sa.LargeBinary, primary_key=True),
            sa.Column("message_hash", sa.LargeBinary, nullable=False),
            sa.Column("answer", sa.LargeBinary, nullable=False),
            sa.Column("received_at_us", sa.BigInteger, nullable=False),
        )
        self.streams: Final = sa.Table(
            f"{name}_stream",
            metadata,
            sa.Column("sender", sa.Text, primary_key=True),
            sa.Column("incarnation", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("received_number", sa.BigInteger, nullable=False),
            sa.CheckConstraint("received_number >= 0", name=f"{name}_stream_received_not_negative"),
        )

    def guards(self) -> tuple[Guard, ...]:
        """Give the guards of both tables: first messages are for ever, and marks only move forward."""
        return (
            append_only(self.rows.name),
            undeletable(self.streams.name),
            never_decreases(self.streams.name, "received_number"),
        )

    def find(self, connection: sa.Connection, keys: Iterable[InboxKey]) -> dict[InboxKey, InboxRecord]:
        """Give what is recorded under the keys; an absent key was never received."""
        found = rows_by_key(connection, self.rows, ("sender", "kind", "key"), list(dict.fromkeys(keys)))
        records = [InboxRecord(*row) for row in found]
        return {(record.sender, record.kind, record.key): record for record in records}

    def record(self, connection: sa.Connection, records: Sequence[InboxRecord]) -> None:
        """Record first messages; one that another transaction recorded meanwhile is a conflict."""
        rows = [
            (row.sender, row.kind, row.key, row.message_hash, row.answer, row.received_at_us)
            for row in records
        ]
        _insert_first(connection, self.rows, rows)

    def received(self, connection: sa.Connection, sender: str, incarnation: int) -> int:
        """Give the number up to which the sender's stream was received without a gap; 0 at its beginning."""
        values = {"of_sender": sender, "of_incarnation": incarnation}
        rows = _mark_of(self.streams).rows(connection, **values)
        return int(rows[0][0]) if rows else 0

    def advance(
        self,
        connection: sa.Connection,
        sender: str,
        incarnation: int,
        first: int,
        last: int,
        *,
        mark: int | None = None,
    ) -> int:
        """Note that the numbers first..last of the sender's stream took effect; the new mark.

        Numbers received before are skipped by the caller: `first` is at most the mark plus one. A caller that
        has read the mark in this transaction gives it.

        Raises:
            DomainError: SEQUENCE_GAP when numbers before `first` are missing.
        """
        if mark is None:
            mark = self.received(connection, sender, incarnation)
        if first > mark + 1:
            raise DomainError("SEQUENCE_GAP", expected=mark + 1, received=first, peer=sender)
        if last <= mark:
            return mark
        statement = _advancing(connection.dialect.name, self.streams)
        values = {"sender": sender, "incarnation": incarnation, "received_number": last, "mark": mark}
        if not statement.rows(connection, **values):
            raise _conflict("another session moved the mark of the same stream")
        return last


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What makes a mutating call the same one: who calls, its request_id, and the hash of its body."""

    caller: str
    request_id: str
    body_hash: bytes


class RequestIds:
    """Answers given to mutating calls, so that a retried call gets its first answer (STYLE section 3)."""

    def __init__(self, metadata: sa.MetaData, name: str = "request_ids") -> None:
        self.rows: Final = sa.Table(
            name,
            metadata,
            sa.Column("caller", sa.Text, primary_key=True),
            sa.Column("request_id", sa.Text, primary_key=True),
            sa.Column("body_hash", sa.LargeBinary, nullable=False),
            sa.Column("response", sa.LargeBinary, nullable=False),
            sa.Column("created_at_us", sa.BigInteger, nullable=False),
        )

    def guards(self) -> tuple[Guard, ...]:
        """Give the guard of the table: a first answer stays."""
        return (append_only(self.rows.name),)

    def answers(
        self, connection: sa.Connection, requests: Sequence[ClientRequest]
    ) -> list[bytes | DomainError | None]:
        """Give per request the stored answer, REQUEST_ID_REUSED for another body, or None for a new one."""
        keys = list(dict.fromkeys((request.caller, request.request_id) for request in requests))
        columns = ("caller", "request_id", "body_hash", "response")
        found = {
            (caller, request_id): (body_hash, response)
            for caller, request_id, body_hash, response in rows_by_key(
                connection, self.rows, ("caller", "request_id"), keys, columns
            )
        }
        return [
            _answer(request, *stored)
            if (stored := found.get((request.caller, request.request_id))) is not None
            else None
            for request in requests
        ]

    def store(
        self,
        connection: sa.Connection,
        answered: Sequence[tuple[ClientRequest, bytes]],
        *,
        created_at_us: int,
    ) -> None:
        """Store first answers; an id that another transaction stored meanwhile is a conflict."""
        rows = [
            (request.caller, request.request_id, request.body_hash, response, created_at_us)
            for request, response in answered
        ]
        _insert_first(connection, self.rows, rows)

    def execute(
        self,
        connection: sa.Connection,
        requests: Sequence[ClientRequest],
        work: Callable[[list[int]], Sequence[bytes | DomainError]],
        *,
        created_at_us: int,
    ) -> list[bytes | DomainError]:
        """Answer a batch: the new requests by `work`, all others from what is stored.

        Args:
            connection: inside the write transaction of the effect.
            requests: may name one id twice; the second gets the answer of the first.
            work: given the indexes of the new requests, in order; answers each with the response's bytes,
                which are stored, or a refusal, which is not: the same id may succeed later.
            created_at_us: when.
        """
        answers = self.answers(connection, requests)
        first_index: dict[tuple[str, str], int] = {}
        for index, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            if answer is None:
                first_index.setdefault((request.caller, request.request_id), index)
        fresh = list(first_index.values())
        results = work(fresh) if fresh else []
        require(len(results) == len(fresh), f"{len(fresh)} requests got {len(results)} answers")
        done = dict(zip(fresh, results, strict=True))
        stored = [(requests[index], answer) for index, answer in done.items() if isinstance(answer, bytes)]
        self.store(connection, stored, created_at_us=created_at_us)
        return [
            answer if answer is not None else _repeat(requests, done, first_index, index)
            for index, answer in enumerate(answers)
        ]


def _repeat(
    requests: Sequence[ClientRequest],
    done: dict[int, bytes | DomainError],
    first_index: dict[tuple[str, str], int],
    index: int,
) -> bytes | DomainError:
    """Answer a request of this batch, which may be the second with its id."""
    request = requests[index]
    first = first_index[request.caller, request.request_id]
    answer = done[first]
    if isinstance(answer, bytes):
        return _answer(request, requests[first].body_hash, answer)
    if requests[first].body_hash != request.body_hash:
        return DomainError("REQUEST_ID_REUSED", request_id=request.request_id)
    return answer


def _answer(request: ClientRequest, body_hash: bytes, response: bytes) -> bytes | DomainError:
    if body_hash != request.body_hash:
        return DomainError("REQUEST_ID_REUSED", request_id=request.request_id)
    return response


# Statements of every group are made once: making one costs more than running it.


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _moving_on(dialect: str, streams: sa.Table) -> Prepared:
    insert = _insert_for(dialect, streams)
    statement = insert.on_conflict_do_update(
        index_elements=["peer", "incarnation"],
        set_={"last_number": streams.c.last_number + insert.excluded.last_number},
    ).returning(streams.c.peer, streams.c.last_number)
    return Prepared(statement, ("peer", "incarnation", "last_number", "acknowledged_number"))


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _marks_of(streams: sa.Table) -> Prepared:
    return Prepared(
        sa.select(streams.c.last_number, streams.c.acknowledged_number).where(
            streams.c.peer == sa.bindparam("of_peer"), streams.c.incarnation == sa.bindparam("of_incarnation")
        )
    )


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _acknowledging(streams: sa.Table) -> Prepared:
    # The mark never moves back, whoever else moves it on meanwhile.
    up_to = sa.bindparam("up_to", type_=sa.BigInteger)
    return Prepared(
        sa.update(streams)
        .where(
            streams.c.peer == sa.bindparam("of_peer"),
            streams.c.incarnation == sa.bindparam("of_incarnation"),
            streams.c.acknowledged_number < up_to,
        )
        .values(acknowledged_number=up_to)
    )


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _behind(rows: sa.Table) -> Prepared:
    columns = rows.c
    return Prepared(
        sa.select(columns.number, columns.kind, columns.payload, columns.created_at_us)
        .where(
            columns.peer == sa.bindparam("of_peer"),
            columns.incarnation == sa.bindparam("of_incarnation"),
            columns.number > sa.bindparam("behind"),
        )
        .order_by(columns.number)
        .limit(sa.bindparam("at_most", type_=sa.Integer))
    )


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _mark_of(streams: sa.Table) -> Prepared:
    return Prepared(
        sa.select(streams.c.received_number).where(
            streams.c.sender == sa.bindparam("of_sender"),
            streams.c.incarnation == sa.bindparam("of_incarnation"),
        )
    )


@lru_cache(maxsize=STATEMENTS_KEPT_MAX)
def _advancing(dialect: str, streams: sa.Table) -> Prepared:
    insert = _insert_for(dialect, streams)
    statement = insert.on_conflict_do_update(
        index_elements=["sender", "incarnation"],
        set_={"received_number": insert.excluded.received_number},
        where=streams.c.received_number == sa.bindparam("mark"),
    ).returning(streams.c.received_number)
    return Prepared(statement, ("sender", "incarnation", "received_number"))


def _insert_for(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def _insert_first(connection: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose key must be new; a key that another transaction took is a conflict to run again."""
    try:
        insert_rows(connection, table, rows)
    except sa.exc.IntegrityError as error:
        if connection.dialect.name == "sqlite":
            raise  # there is one writer: the caller gave a key twice
        raise _conflict(f"another transaction wrote the same key of {table.name}") from error


def _conflict(detail: str) -> TransactionConflictError:
    return TransactionConflictError.of(detail)
