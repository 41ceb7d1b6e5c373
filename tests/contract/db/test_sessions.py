"""Statements that a session of PostgreSQL has prepared give what a cursor gives, and fail as it does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa

from tanqiao.db import sessions
from tanqiao.db.direct import fetch, write
from tanqiao.db.engine import Database, TransactionConflictError
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest

pytestmark = pytest.mark.postgresql
OFTEN: Final = sessions.CALLS_BEFORE + 3
TABLE: Final = "CREATE TABLE held (number bigint PRIMARY KEY, name text, paper bytea, counts boolean)"
INSERT: Final = "INSERT INTO held VALUES (%s, %s, %s, %s)"
SELECT: Final = "SELECT number, name, paper, counts FROM held WHERE number = %(number)s ORDER BY %(number)s"
MINE: Final = "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'tanqiao%'"


@pytest.fixture
def made(database_maker: DatabaseMaker) -> Iterator[DatabaseUnderTest]:
    database = database_maker.make("postgresql")
    with database.open(owner=True).writing() as connection:
        connection.exec_driver_sql(TABLE)
        connection.commit()
    yield database
    database_maker.drop(database)


@pytest.fixture
def node(made: DatabaseUnderTest) -> Database:
    return made.open(owner=True)


def prepared(connection: sa.Connection) -> list[str]:
    return list(connection.exec_driver_sql(MINE.replace("%", "%%")).scalars())


ROWS: Final = (
    (1, "一", b"\x00\xff", True),
    (-(2**15) - 1, "it's 100% \\ “”", b"", False),
    (2**31, "", None, None),
    (2**63 - 1, None, bytes(range(256)) * 300, True),
    (-(2**63), "x" * 70_000, b"\\x", False),
)


def test_values_come_back_as_they_were_whoever_runs_the_statement(node: Database) -> None:
    with UnitOfWork(node) as unit:
        for turn in range(OFTEN):
            write(unit.connection, "DELETE FROM held WHERE number IS NOT NULL", ())
            assert [write(unit.connection, INSERT, row) for row in ROWS] == [1] * len(ROWS)
            for row in ROWS:
                assert fetch(unit.connection, SELECT, {"number": row[0], "other": None}) == [row], turn
            assert fetch(unit.connection, SELECT, {"number": 2}) == []
        assert any(one.startswith("INSERT INTO held") for one in prepared(unit.connection))
        assert any(one.endswith("ORDER BY $1") for one in prepared(unit.connection))
        driver: Any = unit.connection.connection.driver_connection
        for row in ROWS:
            assert driver.execute(SELECT, {"number": row[0]}).fetchall() == [row]
        unit.commit()


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        ("SELECT %b::bigint[], %b::text[], %b::bytea[]", ([1, 2**40], ["a", None], [b"1"]), None),
        ("SELECT count(*), sum(n), '%%', 7 %% 4 FROM unnest(%s::bigint[]) AS k (n)", ([2, 3],), None),
        ("SELECT %(b)s::text, %(a)s::text, %(b)s::text", {"a": "1", "b": "2"}, [("2", "1", "2")]),
        ("SELECT NULL, now() IS NULL, 1.5::float8, %t::text", ("5",), [(None, False, 1.5, "5")]),
    ],
)
def test_values_of_every_form_are_a_cursors(
    node: Database, statement: str, values: Any, expected: list[tuple[Any, ...]] | None
) -> None:
    with node.reading() as connection:
        driver: Any = connection.connection.driver_connection
        of_cursor = driver.execute(statement, values).fetchall()
        assert expected in (None, of_cursor)
        for _ in range(OFTEN):
            assert fetch(connection, statement, values) == of_cursor
        assert len(prepared(connection)) == 1


def test_what_a_session_has_prepared_outlives_its_transactions(node: Database) -> None:
    for _ in range(OFTEN):
        with node.reading() as connection:
            fetch(connection, "SELECT 1", ())  # begins the transaction
            fetch(connection, SELECT, {"number": 1})
    with node.reading() as connection:
        assert len(prepared(connection)) == 1
        of_the_driver = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE '_pg3%%'"
        assert connection.exec_driver_sql(of_the_driver).scalar(), "a COMMIT ends what only reads"


def test_a_question_of_one_statement_takes_one_trip(node: Database) -> None:
    for _ in range(OFTEN):
        with node.reading_once() as connection:
            assert fetch(connection, SELECT, {"number": 1}) == []
            driver: Any = connection.connection.driver_connection
            assert driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE, "nothing was begun"
    with node.reading() as connection:
        assert len(prepared(connection)) == 1
        assert not connection.connection.driver_connection.autocommit  # type: ignore[union-attr]


def test_statements_of_a_session_are_bounded(node: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "STATEMENTS_MAX", 3)
    with node.reading() as connection:
        fetch(connection, "SELECT 1", ())
        for _ in range(OFTEN):
            for number in range(3):
                assert fetch(connection, f"SELECT {number} + %s::int", (1,)) == [(number + 1,)]
        for number in range(6):
            for _ in range(OFTEN):
                assert fetch(connection, f"SELECT {number} + %s::int", (1,)) == [(number + 1,)]
        assert len(prepared(connection)) == 3


def insert_often(unit: UnitOfWork) -> None:
    for number in range(OFTEN):
        write(unit.connection, INSERT, (number, "", None, None))


def insert_again(node: Database, values: tuple[Any, ...]) -> None:
    with UnitOfWork(node) as unit:
        for _ in range(OFTEN):  # a ROLLBACK has made the server forget
            write(unit.connection, INSERT + " ON CONFLICT (number) DO NOTHING", (0, "", None, None))
            write(unit.connection, INSERT, (-secrets.randbelow(2**40) - 1, "", None, None))
        assert prepared(unit.connection)
        write(unit.connection, INSERT, values)


def test_errors_are_those_of_a_cursor(node: Database) -> None:
    with UnitOfWork(node) as unit:
        insert_often(unit)
        unit.commit()
    with pytest.raises(sa.exc.IntegrityError) as broken:
        insert_again(node, (0, "", None, None))
    assert isinstance(broken.value.orig, psycopg.errors.UniqueViolation)
    assert broken.value.orig.diag.constraint_name == "held_pkey"
    for values in ((2**64, "", None, None), (1, "\0", None, None), (1, "", None), (1, "", None, None, None)):
        with pytest.raises(sa.exc.DBAPIError):
            insert_again(node, values)
    with UnitOfWork(node) as unit:
        fetch(unit.connection, "SELECT 1", ())
        assert fetch(unit.connection, "SELECT count(*) FROM held", ()) == [(OFTEN,)]


def test_a_server_that_goes_away_is_told_and_the_next_session_begins_anew(node: Database) -> None:
    def cut() -> None:
        with UnitOfWork(node) as unit:
            insert_often(unit)
            (pid,) = unit.connection.exec_driver_sql("SELECT pg_backend_pid()").scalars()
            with node.reading() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
            write(unit.connection, INSERT, (OFTEN, "", None, None))

    with pytest.raises(DomainError) as caught:
        cut()
    assert caught.value.symbol == "DATABASE_UNAVAILABLE"
    with UnitOfWork(node) as unit:
        assert prepared(unit.connection) == []
        insert_often(unit)
        unit.commit()


@pytest.mark.parametrize("driver_prepares", [False, True])
def test_what_the_server_forgets_at_a_rollback_is_prepared_again(
    node: Database, driver_prepares: bool
) -> None:
    def read(connection: sa.Connection) -> None:
        for _ in range(OFTEN):
            assert fetch(connection, SELECT, {"number": 1}) == []
            if driver_prepares:  # only then it lets the server forget
                connection.exec_driver_sql("SELECT 5").scalar()
        assert len(prepared(connection)) == 1

    kept = 0 if driver_prepares else 1
    with node.writing() as connection:
        fetch(connection, "SELECT 1", ())
        read(connection)
        inside = connection.begin_nested()
        read(connection)
        inside.rollback()
        assert len(prepared(connection)) == kept
        read(connection)
        connection.rollback()
        connection.begin()
        assert len(prepared(connection)) == kept
        read(connection)
        connection.commit()
    for _ in range(2):  # what nobody ended is rolled back by the pool
        raw: Any = node._writer.raw_connection()  # type: ignore[union-attr]
        raw.cursor().execute("SELECT 1")
        raw.close()
        with node.writing() as connection:
            assert len(prepared(connection)) == kept
            read(connection)
            connection.commit()


def test_a_session_whose_statements_were_taken_away_is_a_conflict(node: Database) -> None:
    tried: list[int] = []

    def work(unit: UnitOfWork) -> None:
        insert_often(unit)
        if not tried:
            tried.append(1)
            unit.connection.exec_driver_sql("DEALLOCATE ALL")
            write(unit.connection, INSERT, (OFTEN, "", None, None))
        unit.commit()

    run_in_transaction(node, work)
    with node.reading() as connection:
        assert fetch(connection, "SELECT count(*) FROM held", ()) == [(OFTEN,)]


def test_what_was_taken_away_before_a_commit_is_a_conflict(node: Database) -> None:
    tried: list[int] = []

    def work(unit: UnitOfWork) -> None:
        write(unit.connection, INSERT, (1, "", None, None))
        if not tried:
            assert "pg_current_xact_id" in prepared(unit.connection)[0]
            unit.connection.exec_driver_sql("DEALLOCATE ALL")
        tried.append(1)
        unit.commit()

    for _ in range(OFTEN):
        with UnitOfWork(node) as unit:
            fetch(unit.connection, "SELECT 1", ())
            unit.commit()
    run_in_transaction(node, work)
    assert len(tried) == 2, "the commit was refused, and all of it was run again"
    with node.reading() as connection:
        assert fetch(connection, "SELECT number FROM held", ()) == [(1,)]


def ask_once(node: Database) -> list[tuple[Any, ...]]:
    with node.reading_once() as connection:
        return fetch(connection, SELECT, {"number": 1})


def test_a_question_of_one_statement_is_answered_whatever_was_taken_away(node: Database) -> None:
    for _ in range(OFTEN):
        assert ask_once(node) == []
    with node.reading_once() as connection:
        assert prepared(connection)
        connection.exec_driver_sql("DEALLOCATE ALL")
    for _ in range(OFTEN):
        assert ask_once(node) == []
    with node.reading_once() as connection:
        assert prepared(connection)


def test_a_column_that_got_another_type_is_read_anew(made: DatabaseUnderTest, node: Database) -> None:
    def read() -> list[tuple[Any, ...]]:
        with node.reading() as connection:
            for _ in range(OFTEN):
                rows = fetch(connection, SELECT, {"number": 1})
            return rows

    def work(unit: UnitOfWork) -> None:
        for _ in range(OFTEN):
            fetch(unit.connection, SELECT, {"number": 1})
        unit.commit()

    def alter(change: str) -> None:
        with made.open(owner=True).writing() as connection:
            connection.exec_driver_sql(f"ALTER TABLE held {change}")
            connection.commit()

    with UnitOfWork(node) as unit:
        insert_often(unit)
        unit.commit()
    run_in_transaction(node, work)
    for _ in range(OFTEN):
        ask_once(node)
    alter("ALTER COLUMN counts TYPE text")
    assert ask_once(node) == [(1, "", None, None)]
    run_in_transaction(node, work)
    assert read() == [(1, "", None, None)]
    alter("ALTER COLUMN paper TYPE text")
    with pytest.raises(TransactionConflictError):
        read()
    assert read() == [(1, "", None, None)]


def test_a_readers_session_asks_what_is_left_after_a_rollback(node: Database) -> None:
    def read(connection: sa.Connection) -> None:
        for _ in range(OFTEN):
            assert fetch(connection, SELECT, {"number": 1}) == []
            connection.exec_driver_sql("SELECT 5").scalar()

    for _ in range(2):
        with node.reading() as connection:
            read(connection)
            with pytest.raises(sa.exc.DBAPIError):
                fetch(connection, "SELECT 1 / %s::int", (0,))
        with node.reading_once() as connection:
            assert prepared(connection) == []
            read(connection)


def test_no_answer_of_the_server_is_kept_when_its_rows_are_given(node: Database) -> None:
    large = "SELECT repeat('x', 100000000)"
    with node.reading() as connection:
        for _ in range(OFTEN):
            assert len(fetch(connection, large, ())[0][0]) == 100_000_000
        kept = sessions.session_of(connection.connection)._transformer.pgresult
        assert kept is None


def test_a_table_that_got_a_column_is_read_as_before(made: DatabaseUnderTest, node: Database) -> None:
    with UnitOfWork(node) as unit:
        insert_often(unit)
        for _ in range(OFTEN):
            fetch(unit.connection, SELECT, {"number": 1})
        unit.commit()
    with made.open(owner=True).writing() as connection:
        connection.exec_driver_sql("ALTER TABLE held ADD COLUMN more bigint DEFAULT 5")
        connection.commit()
    with UnitOfWork(node) as unit:
        fetch(unit.connection, "SELECT 1", ())
        assert prepared(unit.connection)
        assert fetch(unit.connection, SELECT, {"number": 1}) == [(1, "", None, None)]
