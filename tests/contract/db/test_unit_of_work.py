"""One transaction per unit, rolled back unless committed, on both databases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tanqiao.db.engine import Database, TransactionConflictError
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import count, run

WAIT_SECONDS = 50
INSERT = sa.text("INSERT INTO entry VALUES (:id, 0)")


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    run(opened, "CREATE TABLE entry (id bigint PRIMARY KEY, value bigint)")
    return opened


def write_and_raise(
    node: Database, text: str, *, commit: bool, hook: Callable[[], None] = lambda: None
) -> None:
    with UnitOfWork(node) as unit:
        unit.connection.execute(INSERT, {"id": 1})
        unit.after_commit(hook)
        if commit:
            unit.commit()
        raise ValueError(text)


def test_a_unit_that_is_not_committed_leaves_nothing(node: Database) -> None:
    with UnitOfWork(node) as unit:
        unit.connection.execute(INSERT, {"id": 1})
    assert not unit.committed
    assert count(node, "entry") == 0


def test_a_unit_that_raises_leaves_nothing_and_the_next_one_works(node: Database) -> None:
    with pytest.raises(ValueError, match="the reason"):
        write_and_raise(node, "the reason", commit=False)
    run(node, "INSERT INTO entry VALUES (1, 0)")
    assert count(node, "entry") == 1


def test_a_committed_unit_is_seen_by_others_and_cannot_be_used_again(node: Database) -> None:
    with UnitOfWork(node) as unit:
        unit.connection.execute(INSERT, {"id": 1})
        assert count(node, "entry") == 0
        unit.commit()
        assert unit.committed
        assert count(node, "entry") == 1
        with pytest.raises(InvariantBroken):
            _ = unit.connection
        with pytest.raises(InvariantBroken):
            unit.commit()
    with pytest.raises(InvariantBroken), unit:
        pass


def test_a_unit_outside_its_block_is_refused(node: Database) -> None:
    unit = UnitOfWork(node)
    with pytest.raises(InvariantBroken):
        _ = unit.connection
    with pytest.raises(InvariantBroken):
        unit.after_commit(lambda: None)


def test_an_error_after_the_commit_takes_nothing_back_and_hooks_run(node: Database) -> None:
    told: list[int] = []
    with pytest.raises(ValueError, match="late"):
        write_and_raise(node, "late", commit=True, hook=lambda: told.append(1))
    assert count(node, "entry") == 1
    assert told == [1]


def test_hooks_run_in_order_after_the_commit_and_may_write_themselves(node: Database) -> None:
    told: list[int] = []

    def write_too() -> None:
        told.append(count(node, "entry"))
        run(node, "INSERT INTO entry VALUES (2, 0)")

    with UnitOfWork(node) as unit:
        unit.connection.execute(INSERT, {"id": 1})
        unit.after_commit(write_too)
        unit.after_commit(lambda: told.append(count(node, "entry")))
        unit.commit()
        assert told == []
    assert told == [1, 2]


def test_hooks_of_a_unit_that_is_rolled_back_never_run(node: Database) -> None:
    told: list[int] = []
    with UnitOfWork(node) as unit:
        unit.after_commit(lambda: told.append(1))
    assert told == []


def test_a_hook_that_fails_is_logged_and_the_others_run(
    node: Database, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    def fail() -> None:
        raise ValueError("a hook")

    with caplog.at_level(logging.ERROR), UnitOfWork(node) as unit:
        unit.after_commit(fail)
        unit.after_commit(lambda: told.append(1))
        unit.commit()
    assert told == [1]
    assert "a hook failed" in caplog.text


def test_a_unit_inside_a_unit_of_the_same_thread_is_a_fault_of_the_program(node: Database) -> None:
    with UnitOfWork(node), pytest.raises(InvariantBroken), UnitOfWork(node):
        pass
    run(node, "INSERT INTO entry VALUES (1, 0)")


def test_a_writer_that_waits_too_long_is_told_to_come_again(database: DatabaseUnderTest) -> None:
    node = database.open(owner=True, connection_wait_seconds_max=0.1, writer_connections_max=1)
    refusals: list[str] = []

    def wait() -> None:
        try:
            run(node, "SELECT 1")
        except DomainError as refusal:
            refusals.append(refusal.symbol)

    with UnitOfWork(node):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert refusals == ["BUSY"]


def test_a_function_is_run_again_after_a_conflict_until_it_wins(node: Database) -> None:
    attempts: list[int] = []

    def work(unit: UnitOfWork) -> str:
        attempts.append(1)
        unit.connection.execute(INSERT, {"id": 1})
        if len(attempts) < 3:
            raise conflict()
        unit.commit()
        return "done"

    assert run_in_transaction(node, work) == "done"
    assert len(attempts) == 3
    assert count(node, "entry") == 1


def conflict() -> TransactionConflictError:
    return TransactionConflictError.of("made by the test")


def test_attempts_are_bounded_and_the_caller_is_told(node: Database) -> None:
    attempts: list[int] = []

    def work(unit: UnitOfWork) -> None:
        attempts.append(1)
        raise conflict()

    with pytest.raises(DomainError) as refusal:
        run_in_transaction(node, work, attempts=4)
    assert refusal.value.symbol == "BUSY"
    assert len(attempts) == 4


def test_an_error_that_is_no_conflict_is_not_tried_again(node: Database) -> None:
    attempts: list[int] = []

    def work(unit: UnitOfWork) -> None:
        attempts.append(1)
        unit.connection.execute(INSERT, {"id": 1})
        unit.connection.execute(INSERT, {"id": 1})

    with pytest.raises(sa.exc.IntegrityError):
        run_in_transaction(node, work)
    assert len(attempts) == 1


def test_two_transactions_that_wait_for_each_other_both_end(node: Database) -> None:
    """A real deadlock on PostgreSQL, ended by the server and run again; on SQLite writers queue instead."""
    run(node, "INSERT INTO entry VALUES (1, 0), (2, 0)")
    together = threading.Barrier(2, timeout=WAIT_SECONDS) if node.dialect == "postgresql" else None
    errors: list[BaseException] = []

    def add(first: int, second: int) -> None:
        tries: list[int] = []

        def work(unit: UnitOfWork) -> None:
            tries.append(1)
            unit.connection.execute(
                sa.text("UPDATE entry SET value = value + 1 WHERE id = :id"), {"id": first}
            )
            if together is not None and len(tries) == 1:
                together.wait()
            unit.connection.execute(
                sa.text("UPDATE entry SET value = value + 1 WHERE id = :id"), {"id": second}
            )
            unit.commit()

        try:
            run_in_transaction(node, work)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            errors.append(error)

    threads = [threading.Thread(target=add, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with node.reading() as connection:
        assert connection.exec_driver_sql("SELECT sum(value) FROM entry").scalar() == 4


def _asked(node: Database, question: str) -> int:
    with node.reading() as connection:
        return int(connection.exec_driver_sql(question).scalar_one())


def write_while_the_session_is_ended(node: Database) -> None:
    with UnitOfWork(node) as unit:
        unit.connection.execute(INSERT, {"id": 1})
        pid = unit.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with node.reading() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
        there = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"
        until = time.monotonic() + WAIT_SECONDS
        while _asked(node, there):
            assert time.monotonic() < until, "the session does not end"
        unit.commit()


def test_a_connection_that_the_server_ended_is_told_and_the_next_unit_gets_another(
    database: DatabaseUnderTest, node: Database
) -> None:
    if database.kind == "sqlite":
        return  # there is no server; a killed process is tested with the bad luck
    with pytest.raises(DomainError) as refusal:
        write_while_the_session_is_ended(node)
    assert refusal.value.symbol == "DATABASE_UNAVAILABLE"
    assert node.failure is None
    run(node, "INSERT INTO entry VALUES (1, 0)")
    assert count(node, "entry") == 1


def test_after_a_failure_of_the_storage_only_reading_goes_on(node: Database) -> None:
    node.mark_failed("SQLITE_IOERR_FSYNC: disk I/O error")
    node.mark_failed("a later one")
    with pytest.raises(DomainError) as refusal, UnitOfWork(node):
        pass
    assert refusal.value.symbol == "DATABASE_UNAVAILABLE"
    assert "SQLITE_IOERR_FSYNC" in refusal.value.metadata["detail"]
    assert count(node, "entry") == 0


def test_an_error_that_was_passed_over_is_never_committed_as_a_success(node: Database) -> None:
    """PostgreSQL answers such a COMMIT with a silent rollback; SQLite keeps what went before the error."""
    run(node, "INSERT INTO entry VALUES (1, 0)")

    def careless(unit: UnitOfWork) -> None:
        unit.connection.execute(INSERT, {"id": 2})
        with pytest.raises(sa.exc.IntegrityError):
            unit.connection.execute(INSERT, {"id": 1})
        unit.commit()

    if node.dialect == "sqlite":
        run_in_transaction(node, careless)
        assert count(node, "entry") == 2
        return
    with pytest.raises(InvariantBroken):
        run_in_transaction(node, careless)
    assert count(node, "entry") == 1


def test_an_error_inside_a_savepoint_may_be_passed_over(node: Database) -> None:
    run(node, "INSERT INTO entry VALUES (1, 0)")
    with UnitOfWork(node) as unit:
        unit.connection.execute(INSERT, {"id": 2})
        with pytest.raises(sa.exc.IntegrityError), unit.connection.begin_nested():
            unit.connection.execute(INSERT, {"id": 1})
        unit.connection.execute(INSERT, {"id": 3})
        unit.commit()
    assert count(node, "entry") == 3
