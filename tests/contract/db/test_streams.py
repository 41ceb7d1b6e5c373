"""Outbox, inbox and request ids, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.db.faults import violated_guard
from tanqiao.db.guards import install
from tanqiao.db.streams import (
    ClientRequest,
    Inbox,
    InboxRecord,
    Outbox,
    OutboxMessage,
    RequestIds,
)
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import run

NOW_US = 1_772_409_600_000_000

metadata = sa.MetaData()
outbox = Outbox(metadata)
inbox = Inbox(metadata)
request_ids = RequestIds(metadata)
GUARDS = (*outbox.guards(), *inbox.guards(), *request_ids.guards())


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    with UnitOfWork(opened) as unit:
        metadata.create_all(unit.connection)
        install(unit.connection, GUARDS)
        unit.commit()
    return opened


def append(node: Database, peer: str, count: int, incarnation: int = 1) -> range:
    with UnitOfWork(node) as unit:
        payloads = [b"payload %d" % index for index in range(count)]
        numbers = outbox.append(
            unit.connection, peer, incarnation, payloads, kind="decision", created_at_us=NOW_US
        )
        unit.commit()
    return numbers


def test_numbers_are_dense_per_peer_and_incarnation_and_begin_at_one(node: Database) -> None:
    assert append(node, "region/310000", 3) == range(1, 4)
    assert append(node, "region/440300", 2) == range(1, 3)
    assert append(node, "region/310000", 2) == range(4, 6)
    assert append(node, "region/310000", 1, incarnation=2) == range(1, 2)


def test_appending_nothing_gives_no_number(node: Database) -> None:
    assert append(node, "region/310000", 0) == range(0)
    assert append(node, "region/310000", 1) == range(1, 2)


def test_messages_for_several_peers_are_numbered_in_their_order(node: Database) -> None:
    append(node, "a", 1)
    with UnitOfWork(node) as unit:
        numbers = outbox.append_many(
            unit.connection,
            1,
            [OutboxMessage(peer, "decision", peer.encode()) for peer in ("b", "a", "a", "b", "a")],
            created_at_us=NOW_US,
        )
        unit.commit()
    assert numbers == [1, 2, 3, 2, 4]
    with node.reading() as connection:
        assert [row.number for row in outbox.pending(connection, "a", 1, after=1, limit=10)] == [2, 3, 4]


def test_numbers_of_a_rolled_back_unit_are_given_again(node: Database) -> None:
    with UnitOfWork(node) as unit:
        outbox.append(unit.connection, "a", 1, [b"lost"], kind="decision", created_at_us=NOW_US)
    assert append(node, "a", 1) == range(1, 2)
    with node.reading() as connection:
        assert [row.payload for row in outbox.pending(connection, "a", 1, after=0, limit=10)] == [
            b"payload 0"
        ]


def test_pending_gives_what_follows_a_number_up_to_a_limit(node: Database) -> None:
    append(node, "a", 5)
    with node.reading() as connection:
        page = outbox.pending(connection, "a", 1, after=2, limit=2)
    assert [(row.number, row.payload, row.kind, row.created_at_us) for row in page] == [
        (3, b"payload 2", "decision", NOW_US),
        (4, b"payload 3", "decision", NOW_US),
    ]


def test_an_acknowledgement_moves_forward_only_and_never_beyond_what_was_sent(node: Database) -> None:
    append(node, "a", 5)
    with UnitOfWork(node) as unit:
        assert outbox.acknowledge(unit.connection, "a", 1, 3) == 3
        assert outbox.acknowledge(unit.connection, "a", 1, 2) == 3
        unit.commit()
    with node.reading() as connection:
        assert outbox.marks(connection, "a", 1) == (5, 3)
        assert outbox.marks(connection, "nobody", 1) == (0, 0)
    with pytest.raises(DomainError) as refusal, UnitOfWork(node) as unit:
        outbox.acknowledge(unit.connection, "a", 1, 6)
    assert refusal.value.symbol == "SEQUENCE_GAP"
    assert refusal.value.metadata["expected"] == "6"


def test_concurrent_appends_leave_no_gap_and_no_double(node: Database) -> None:
    threads = [threading.Thread(target=lambda: [append(node, "a", 3) for _ in range(10)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with node.reading() as connection:
        numbers = [row.number for row in outbox.pending(connection, "a", 1, after=0, limit=1_000)]
    assert numbers == list(range(1, 181))


def test_the_inbox_gives_the_first_message_and_its_answer(node: Database) -> None:
    record = InboxRecord("region/310000", "lock", b"\x01\x00", b"hash", b"answer", NOW_US)
    with UnitOfWork(node) as unit:
        inbox.record(unit.connection, [record])
        unit.commit()
    asked = [("region/310000", "lock", b"\x01\x00"), ("region/310000", "ready", b"\x01\x00")]
    with node.reading() as connection:
        found = inbox.find(connection, [*asked, asked[0]])
    assert found == {asked[0]: record}


def test_the_inbox_never_replaces_a_first_message(node: Database) -> None:
    first = InboxRecord("region/310000", "lock", b"\x01", b"hash", b"answer", NOW_US)
    second = InboxRecord("region/310000", "lock", b"\x01", b"other", b"other", NOW_US)
    with UnitOfWork(node) as unit:
        inbox.record(unit.connection, [first])
        unit.commit()

    def record_second(unit: UnitOfWork) -> None:
        inbox.record(unit.connection, [second])
        unit.commit()

    with pytest.raises((sa.exc.IntegrityError, DomainError)):
        run_in_transaction(node, record_second)
    with node.reading() as connection:
        assert list(inbox.find(connection, [("region/310000", "lock", b"\x01")]).values()) == [first]


def test_a_stream_is_received_without_gaps(node: Database) -> None:
    with UnitOfWork(node) as unit:
        assert inbox.received(unit.connection, "bridge", 7) == 0
        assert inbox.advance(unit.connection, "bridge", 7, 1, 4) == 4
        assert inbox.advance(unit.connection, "bridge", 7, 3, 6) == 6
        assert inbox.advance(unit.connection, "bridge", 7, 2, 5) == 6
        unit.commit()
    with pytest.raises(DomainError) as refusal, UnitOfWork(node) as unit:
        inbox.advance(unit.connection, "bridge", 7, 8, 9)
    assert (refusal.value.symbol, refusal.value.metadata["expected"]) == ("SEQUENCE_GAP", "7")


def answer(node: Database, requests: Sequence[ClientRequest], prefix: bytes = b"answer") -> list[object]:
    def work(fresh: list[int]) -> list[bytes | DomainError]:
        return [
            DomainError("BUSY") if requests[index].request_id == "refused" else prefix + b" %d" % index
            for index in fresh
        ]

    with UnitOfWork(node) as unit:
        answers = request_ids.execute(unit.connection, requests, work, created_at_us=NOW_US)
        unit.commit()
    return [item.symbol if isinstance(item, DomainError) else item for item in answers]


def test_a_request_made_again_gets_its_first_answer(node: Database) -> None:
    request = ClientRequest("operator/310000/sh.centre", "r-1", b"body")
    assert answer(node, [request]) == [b"answer 0"]
    assert answer(node, [request], b"second") == [b"answer 0"]


def test_a_request_id_with_another_body_is_refused(node: Database) -> None:
    answer(node, [ClientRequest("a", "r-1", b"body")])
    assert answer(node, [ClientRequest("a", "r-1", b"other")]) == ["REQUEST_ID_REUSED"]
    assert answer(node, [ClientRequest("b", "r-1", b"other")]) == [b"answer 0"]


def test_one_id_twice_in_a_batch_is_done_once(node: Database) -> None:
    first = ClientRequest("a", "r-1", b"body")
    requests = [first, ClientRequest("a", "r-2", b"x"), first, ClientRequest("a", "r-1", b"other")]
    assert answer(node, requests) == [b"answer 0", b"answer 1", b"answer 0", "REQUEST_ID_REUSED"]


def test_a_refused_request_is_not_stored_and_may_succeed_later(node: Database) -> None:
    assert answer(node, [ClientRequest("a", "refused", b"x"), ClientRequest("a", "r-3", b"x")]) == [
        "BUSY",
        b"answer 1",
    ]
    with node.reading() as connection:
        assert request_ids.answers(connection, [ClientRequest("a", "refused", b"x")]) == [None]


def test_a_request_raced_by_many_threads_has_one_effect_and_one_answer(node: Database) -> None:
    request = ClientRequest("a", "raced", b"body")
    answers: list[object] = []

    def attempt(name: bytes) -> None:
        def work(unit: UnitOfWork) -> list[bytes | DomainError]:
            result = request_ids.execute(unit.connection, [request], lambda _: [name], created_at_us=NOW_US)
            unit.commit()
            return result

        answers.extend(run_in_transaction(node, work, attempts=20))

    threads = [threading.Thread(target=attempt, args=(b"thread %d" % index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1
    with node.reading() as connection:
        assert request_ids.answers(connection, [request]) == [answers[0]]


@pytest.mark.parametrize(
    ("statement", "guard"),
    [
        ("UPDATE outbox SET payload = payload", "outbox_append_only"),
        ("DELETE FROM outbox", "outbox_append_only"),
        ("DELETE FROM outbox_stream", "outbox_stream_undeletable"),
        (
            "UPDATE outbox_stream SET last_number = 0",
            outbox.guards()[2].name,
        ),
        ("UPDATE inbox SET answer = key", "inbox_append_only"),
        ("DELETE FROM inbox", "inbox_append_only"),
        ("UPDATE inbox_stream SET received_number = 1", "inbox_stream_never_decreases_received_number"),
        ("DELETE FROM request_ids", "request_ids_append_only"),
    ],
)
def test_what_was_sent_received_and_answered_stays(node: Database, statement: str, guard: str) -> None:
    append(node, "a", 2)
    answer(node, [ClientRequest("a", "r-1", b"body")])
    with UnitOfWork(node) as unit:
        inbox.record(unit.connection, [InboxRecord("bridge", "lock", b"1", b"hash", b"answer", NOW_US)])
        inbox.advance(unit.connection, "bridge", 7, 1, 4)
        unit.commit()
    with pytest.raises(sa.exc.IntegrityError) as refusal:
        run(node, statement)
    assert violated_guard(refusal.value) == guard
