"""Many commands, one transaction, one answer each, on both databases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import pytest
import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.db.engine import Database, TransactionConflictError
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import count, run

WAIT_SECONDS = 50
entry = sa.Table("entry", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True))
Maker = Callable[..., GroupCommit[int, str]]


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    run(opened, "CREATE TABLE entry (id bigint PRIMARY KEY)")
    return opened


class Handler:
    """Stores numbers; refuses those below zero, fails at zero, lets a refusal escape at `escapes`."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.escapes: dict[int, DomainError] = {}
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()

    def __call__(self, connection: sa.Connection, commands: Sequence[int]) -> list[str | DomainError]:
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS)
        self.groups.append(list(commands))
        insert_rows(connection, entry, [(number,) for number in commands if number >= 0])
        if 0 in commands:
            raise ValueError("zero")
        for number in self.escapes.keys() & set(commands):
            raise self.escapes[number]
        return [f"stored {n}" if n >= 0 else DomainError("NOT_FOUND", what="entry", id=n) for n in commands]


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def make(node: Database, handler: Handler) -> Iterator[Maker]:
    made: list[GroupCommit[int, str]] = []

    def maker(**options: object) -> GroupCommit[int, str]:
        made.append(GroupCommit(node, handler, name="entries", **options))  # type: ignore[arg-type]
        return made[-1]

    yield maker
    handler.gate.set()
    for commits in made:
        commits.close()


def stop_at_the_gate(
    handler: Handler, commits: GroupCommit[int, str], number: int = 1_000_000
) -> Future[str]:
    """Let the worker wait inside a group of one command, so that what follows is gathered."""
    handler.gate.clear()
    handler.entered.clear()
    first = commits.submit(number)
    assert handler.entered.wait(WAIT_SECONDS)
    return first


def test_a_command_is_answered_once_it_is_durable(make: Maker, node: Database) -> None:
    assert make().execute(7, WAIT_SECONDS) == "stored 7"
    assert count(node, "entry") == 1


def test_what_waits_together_is_committed_together_and_answered_one_by_one(
    make: Maker, handler: Handler, node: Database
) -> None:
    commits = make()
    first = stop_at_the_gate(handler, commits)
    futures = [commits.submit(number) for number in range(1, 50)]
    assert commits.waiting == 49
    assert not any(future.done() for future in futures)
    handler.gate.set()
    assert [future.result(WAIT_SECONDS) for future in futures] == [
        f"stored {number}" for number in range(1, 50)
    ]
    assert first.result(WAIT_SECONDS) == "stored 1000000"
    assert handler.groups == [[1_000_000], list(range(1, 50))]
    assert count(node, "entry") == 50


def test_a_group_is_bounded(make: Maker, handler: Handler) -> None:
    commits = make(commands_per_group_max=10)
    stop_at_the_gate(handler, commits)
    futures = commits.submit_many(list(range(1, 26)))
    handler.gate.set()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert [len(group) for group in handler.groups] == [1, 10, 10, 5]


def test_a_group_is_bounded_by_the_weight_of_its_commands(make: Maker, handler: Handler) -> None:
    """A command heavier than the bound gets a group of its own; order is kept."""
    commits = make(weigh=lambda number: number, weight_per_group_max=10)
    stop_at_the_gate(handler, commits)
    futures = commits.submit_many([3, 4, 5, 50, 1, 2, 7, 6])
    handler.gate.set()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert handler.groups[1:] == [[3, 4], [5], [50], [1, 2, 7], [6]]


def test_patient_commands_share_the_group_of_one_that_is_not(make: Maker, handler: Handler) -> None:
    commits = make(patience_ms=WAIT_SECONDS * 1000 * 10)
    patient = [commits.submit(1, patient=True), commits.submit(2, patient=True)]
    assert not any(future.done() for future in patient)
    assert commits.execute(3, WAIT_SECONDS) == "stored 3"
    assert [future.result(WAIT_SECONDS) for future in patient] == ["stored 1", "stored 2"]
    assert handler.groups == [[1, 2, 3]]


def test_patience_ends(make: Maker, handler: Handler) -> None:
    commits = make(patience_ms=1)
    assert commits.submit(1, patient=True).result(WAIT_SECONDS) == "stored 1"
    assert commits.submit(2, patient=True).result(WAIT_SECONDS) == "stored 2"
    assert handler.groups == [[1], [2]]


def test_closing_does_not_wait_for_the_patient(make: Maker, handler: Handler) -> None:
    commits = make(patience_ms=WAIT_SECONDS * 1000 * 10)
    patient = commits.submit(1, patient=True)
    commits.close(WAIT_SECONDS)
    assert patient.result(WAIT_SECONDS) == "stored 1"


def test_a_refused_command_does_not_harm_its_neighbours(
    make: Maker, handler: Handler, node: Database
) -> None:
    commits = make()
    stop_at_the_gate(handler, commits)
    good, bad, other = commits.submit_many([1, -1, 2])
    handler.gate.set()
    assert (good.result(WAIT_SECONDS), other.result(WAIT_SECONDS)) == ("stored 1", "stored 2")
    with pytest.raises(DomainError) as refusal:
        bad.result(WAIT_SECONDS)
    assert refusal.value.symbol == "NOT_FOUND"
    assert count(node, "entry") == 3


def test_a_fault_of_the_program_fails_the_whole_group_and_nothing_is_written(
    make: Maker, handler: Handler, node: Database
) -> None:
    commits = make()
    stop_at_the_gate(handler, commits)
    futures = commits.submit_many([1, 0, 2])
    handler.gate.set()
    for future in futures:
        with pytest.raises(ValueError, match="zero"):
            future.result(WAIT_SECONDS)
    assert count(node, "entry") == 1
    assert commits.execute(3, WAIT_SECONDS) == "stored 3"


def test_a_failed_group_is_run_one_by_one_if_the_handler_says_so(
    make: Maker, handler: Handler, node: Database
) -> None:
    commits = make(one_by_one_after_failure=True)
    stop_at_the_gate(handler, commits)
    first, bad, last = commits.submit_many([1, 0, 2])
    handler.gate.set()
    assert (first.result(WAIT_SECONDS), last.result(WAIT_SECONDS)) == ("stored 1", "stored 2")
    with pytest.raises(ValueError, match="zero"):
        bad.result(WAIT_SECONDS)
    assert handler.groups[1:] == [[1, 0, 2], [1], [0], [2]]
    assert count(node, "entry") == 3


def test_a_refusal_that_escapes_a_handler_is_its_own_commands_and_one_of_the_system_everybodys(
    make: Maker, handler: Handler, node: Database
) -> None:
    handler.escapes = {
        5: DomainError("FIELD_INVALID", field="x", detail="bad"),
        6: DomainError("BUSY", detail=""),
    }
    commits = make(one_by_one_after_failure=True)
    stop_at_the_gate(handler, commits)
    first, bad, last = commits.submit_many([1, 5, 2])
    handler.gate.set()
    assert (first.result(WAIT_SECONDS), last.result(WAIT_SECONDS)) == ("stored 1", "stored 2")
    with pytest.raises(DomainError) as refusal:
        bad.result(WAIT_SECONDS)
    assert refusal.value.symbol == "FIELD_INVALID"
    stop_at_the_gate(handler, commits, 2_000_000)
    futures = commits.submit_many([3, 6])
    handler.gate.set()
    for future in futures:
        with pytest.raises(DomainError) as refusal:
            future.result(WAIT_SECONDS)
        assert refusal.value.symbol == "BUSY"
    assert handler.groups[-1] == [3, 6]
    assert count(node, "entry") == 4


def test_a_full_queue_refuses_and_takes_all_or_none(make: Maker, handler: Handler, node: Database) -> None:
    commits = make(commands_waiting_max=5)
    stop_at_the_gate(handler, commits)
    commits.submit_many([1, 2, 3])
    with pytest.raises(DomainError) as refusal:
        commits.submit_many([4, 5, 6])
    assert refusal.value.symbol == "BUSY"
    futures = commits.submit_many([7, 8])
    with pytest.raises(DomainError):
        commits.submit(9)
    handler.gate.set()
    futures[-1].result(WAIT_SECONDS)
    assert handler.groups[1] == [1, 2, 3, 7, 8]


def test_closing_finishes_what_waits_and_refuses_what_comes(
    make: Maker, handler: Handler, node: Database
) -> None:
    commits = make()
    stop_at_the_gate(handler, commits)
    futures = commits.submit_many([1, 2, 3])
    closing = threading.Thread(target=commits.close)
    closing.start()
    while not commits._closing:
        time.sleep(0.001)
    with pytest.raises(DomainError) as refusal:
        commits.submit(4)
    assert refusal.value.symbol == "SERVER_STOPPING"
    handler.gate.set()
    closing.join(WAIT_SECONDS)
    assert [future.result(0) for future in futures] == ["stored 1", "stored 2", "stored 3"]
    commits.close()


def test_a_command_that_its_caller_gave_up_is_not_run(make: Maker, handler: Handler, node: Database) -> None:
    commits = make()
    stop_at_the_gate(handler, commits)
    given_up, kept = commits.submit_many([1, 2])
    assert given_up.cancel()
    handler.gate.set()
    assert kept.result(WAIT_SECONDS) == "stored 2"
    assert handler.groups[1] == [2]


def test_listeners_hear_of_a_group_after_its_commit(
    make: Maker, node: Database, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[list[int], list[object], int]] = []

    def listen(commands: Sequence[int], answers: Sequence[str | DomainError]) -> None:
        heard.append((list(commands), list(answers), count(node, "entry")))
        raise ValueError("a listener")

    commits = make(after_commit=listen)
    with caplog.at_level(logging.ERROR):
        assert commits.execute(5, WAIT_SECONDS) == "stored 5"
    assert heard == [([5], ["stored 5"], 1)]
    assert "a listener of entries failed" in caplog.text


def test_a_handler_that_forgets_an_answer_breaks_an_invariant(node: Database) -> None:
    def forgetful(_connection: sa.Connection, commands: Sequence[int]) -> list[str | DomainError]:
        return ["one"]

    commits: GroupCommit[int, str] = GroupCommit(node, forgetful, name="forgetful", commands_waiting_max=4)
    with pytest.raises(InvariantBroken):
        commits.submit_many([1, 2])[0].result(WAIT_SECONDS)
    commits.close()


def test_a_group_is_run_again_after_a_conflict(node: Database) -> None:
    tries: list[list[int]] = []

    def unlucky(connection: sa.Connection, commands: Sequence[int]) -> list[str | DomainError]:
        tries.append(list(commands))
        insert_rows(connection, entry, [(number,) for number in commands])
        if len(tries) < 3:
            raise TransactionConflictError.of("made by the test")
        return ["stored"] * len(commands)

    commits: GroupCommit[int, str] = GroupCommit(node, unlucky, name="unlucky")
    assert commits.execute(1, WAIT_SECONDS) == "stored"
    assert tries == [[1], [1], [1]]
    assert count(node, "entry") == 1
    commits.close()


def test_after_a_failure_of_the_storage_every_command_is_refused_at_once(
    make: Maker, handler: Handler, node: Database
) -> None:
    commits = make()
    stop_at_the_gate(handler, commits)
    waiting = commits.submit(1)
    node.mark_failed("made by the test")
    with pytest.raises(DomainError):
        commits.submit(2)
    handler.gate.set()
    with pytest.raises(DomainError) as refusal:
        waiting.result(WAIT_SECONDS)
    assert refusal.value.symbol == "DATABASE_UNAVAILABLE"


def test_callers_that_share_a_failed_group_get_an_error_each(
    make: Maker, handler: Handler, node: Database
) -> None:
    commits = make()
    stop_at_the_gate(handler, commits)
    futures = commits.submit_many([1, 2])
    node.mark_failed("made by the test")
    handler.gate.set()
    errors = [future.exception(WAIT_SECONDS) for future in futures]
    assert errors[0] is not errors[1]
    assert [error.symbol for error in errors if isinstance(error, DomainError)] == [
        "DATABASE_UNAVAILABLE"
    ] * 2


def test_many_callers_share_few_forced_writes(make: Maker, handler: Handler, node: Database) -> None:
    """With 32 callers at once there are far fewer transactions than commands."""
    commits = make()
    numbers = iter(range(1, 10_000))

    def call() -> None:
        for _ in range(20):
            commits.execute(next(numbers), WAIT_SECONDS)

    threads = [threading.Thread(target=call) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(node, "entry") == 640
    assert len(handler.groups) < 320


def test_who_waits_for_room_is_taken_in_as_soon_as_there_is_some_and_not_for_ever(
    make: Maker, handler: Handler
) -> None:
    commits = make(commands_waiting_max=1)
    stop_at_the_gate(handler, commits)
    commits.submit(1)
    with pytest.raises(DomainError) as caught:
        commits.submit_waiting(2, seconds_max=0.02)
    assert caught.value.symbol == "BUSY"
    answers: list[str] = []

    def ask() -> None:
        answers.append(commits.submit_waiting(3, seconds_max=WAIT_SECONDS).result(WAIT_SECONDS))

    waiting = threading.Thread(target=ask)
    waiting.start()
    handler.gate.set()
    waiting.join(WAIT_SECONDS)
    assert answers == ["stored 3"]
    commits.close()
    with pytest.raises(DomainError) as stopped:
        commits.submit_waiting(4, seconds_max=WAIT_SECONDS)
    assert stopped.value.symbol == "SERVER_STOPPING"
