"""PostgreSQL that goes away: during a commit, whose outcome is asked for, and before a start, which waits."""

from __future__ import annotations

import multiprocessing
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tanqiao.db import away
from tanqiao.db.engine import Database, open_engine
from tanqiao.db.group_commit import GroupCommit
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest

pytestmark = pytest.mark.postgresql
Commit = Callable[[Any], None]


@pytest.fixture
def made(database_maker: DatabaseMaker) -> Iterator[DatabaseUnderTest]:
    """A PostgreSQL database with a table that the node may write."""
    database = database_maker.make("postgresql")
    with database.open(owner=True).writing() as connection:
        connection.exec_driver_sql("CREATE TABLE note (number bigint PRIMARY KEY)")
        connection.exec_driver_sql("GRANT SELECT, INSERT ON note TO PUBLIC")
        connection.commit()
    yield database
    database_maker.drop(database)


@pytest.fixture
def database(made: DatabaseUnderTest) -> Database:
    return made.open()


def insert(number: int) -> Callable[[UnitOfWork], None]:
    def work(unit: UnitOfWork) -> None:
        unit.connection.execute(sa.text("INSERT INTO note VALUES (:number)"), {"number": number})
        unit.commit()

    return work


def notes(database: Database) -> list[int]:
    with database.reading() as connection:
        return list(connection.exec_driver_sql("SELECT number FROM note ORDER BY number").scalars())


def lose_the_answer(database: Database, *, committed: bool) -> None:
    """Let the connection break in the next COMMIT: behind its effect, or before it."""
    dialect: Any = database._writer.dialect  # type: ignore[union-attr]
    really: Commit = dialect.do_commit

    def commit(connection: Any) -> None:
        dialect.do_commit = really
        if committed:
            really(connection)
        connection.driver_connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    dialect.do_commit = commit


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_is_lost_is_told_as_it_was(database: Database, committed: bool) -> None:
    run_in_transaction(database, insert(1))
    lose_the_answer(database, committed=committed)
    if committed:
        run_in_transaction(database, insert(2))
    else:
        with pytest.raises(DomainError) as caught:
            run_in_transaction(database, insert(2))
        assert caught.value.symbol == "DATABASE_UNAVAILABLE"
    run_in_transaction(database, insert(3))
    assert notes(database) == ([1, 2, 3] if committed else [1, 3])
    assert database.failure is None


def test_the_callers_of_a_group_in_doubt_get_their_answers_and_its_listeners_are_told(
    database: Database,
) -> None:
    told: list[int] = []

    def handle(connection: sa.Connection, commands: Any) -> list[int]:
        for number in commands:
            connection.execute(sa.text("INSERT INTO note VALUES (:number)"), {"number": number})
        return list(commands)

    group = GroupCommit(
        database, handle, name="test", after_commit=lambda commands, _answers: told.extend(commands)
    )
    lose_the_answer(database, committed=True)
    assert [one.result(30) for one in group.submit_many([1, 2])] == [1, 2]
    assert told == [1, 2]
    lose_the_answer(database, committed=False)
    refused = group.submit(3)
    assert isinstance(refused.exception(30), DomainError)
    assert group.execute(4, 30) == 4
    assert told == [1, 2, 4]
    group.close()
    assert notes(database) == [1, 2, 4]


def test_nobody_waits_behind_a_commit_in_doubt(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, known = threading.Event(), threading.Event()
    status = away._status

    def handle(connection: sa.Connection, commands: Any) -> list[int]:
        begun.set()
        assert second_waits.wait(30)
        for number in commands:
            connection.execute(sa.text("INSERT INTO note VALUES (:number)"), {"number": number})
        return list(commands)

    monkeypatch.setattr(
        away, "_status", lambda database, mark: status(database, mark) if known.is_set() else away.AWAY
    )
    group = GroupCommit(database, handle, name="test")
    second_waits = threading.Event()
    lose_the_answer(database, committed=True)
    doubtful = group.submit(1)
    assert begun.wait(30)
    behind = group.submit(2)
    second_waits.set()
    refusal = behind.exception(30)
    assert isinstance(refusal, DomainError)
    assert (refusal.symbol, refusal.metadata["directory"]) == ("DATABASE_UNAVAILABLE", database.place)
    for write in (lambda: group.submit(3), lambda: run_in_transaction(database, insert(4))):
        with pytest.raises(DomainError) as caught:
            write()
        assert caught.value.symbol == "DATABASE_UNAVAILABLE"
    assert not doubtful.done()
    known.set()
    assert doubtful.result(30) == 1
    assert group.execute(5, 30) == 5
    group.close()
    assert notes(database) == [1, 5]


def test_a_group_goes_on_whose_commands_were_refused_while_it_gathered(database: Database) -> None:
    def handle(connection: sa.Connection, commands: Any) -> list[int]:
        for number in commands:
            connection.execute(sa.text("INSERT INTO note VALUES (:number)"), {"number": number})
        return list(commands)

    gather_seconds = 1.2
    group = GroupCommit(database, handle, name="test", gather_ms_max=gather_seconds * 1000)
    assert [one.result(30) for one in group.submit_many([1, 2])] == [1, 2]
    lose_the_answer(database, committed=False)
    refused = group.submit(3)  # a second one is waited for
    with pytest.raises(DomainError):
        run_in_transaction(database, insert(4))
    assert isinstance(refused.exception(0), DomainError)
    time.sleep(gather_seconds + 0.2)  # until it waits no longer
    assert group.execute(5, 30) == 5
    group.close()
    assert notes(database) == [1, 2, 5]


def test_where_nobody_can_say_what_became_of_a_commit_nothing_more_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away, "_status", lambda _database, _mark: "")
    lose_the_answer(database, committed=True)
    with pytest.raises(DomainError):
        run_in_transaction(database, insert(1))
    with pytest.raises(DomainError) as caught:
        run_in_transaction(database, insert(2))
    assert caught.value.symbol == "DATABASE_UNAVAILABLE"
    assert "restarted" in caught.value.metadata["detail"]
    assert notes(database) == [1]


def test_a_server_that_is_away_is_asked_until_the_process_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def status(_database: Database, _mark: str) -> str:
        asked.set()
        return away.AWAY

    monkeypatch.setattr(away, "_status", status)
    lose_the_answer(database, committed=True)
    refusals: list[str] = []

    def write() -> None:
        try:
            run_in_transaction(database, insert(1))
        except DomainError as refusal:
            refusals.append(refusal.symbol)

    writer = threading.Thread(target=write)
    writer.start()
    assert asked.wait(30)
    database.end_doubts()
    writer.join(30)
    assert refusals == ["DATABASE_UNAVAILABLE"]
    assert database.failure is not None


def test_a_number_of_another_server_is_not_known(database: Database) -> None:
    assert away.was_committed(database, str(2**60), threading.Event()) is None
    assert away.was_committed(database, "3", threading.Event()) is None, "long forgotten"


def test_what_wrote_nothing_is_not_in_doubt(database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("SELECT 1")
        assert not database.mark_of(connection)


def test_a_start_waits_for_a_server_and_not_for_a_broken_file(caplog: pytest.LogCaptureFixture) -> None:
    refusals = [
        DomainError("DATABASE_UNAVAILABLE", directory="127.0.0.1:5432/sh", detail="Connection refused")
        for _ in range(3)
    ]

    def begin() -> str:
        if refusals:
            raise refusals.pop()
        return "there"

    assert away.when_there(begin, pause_seconds=0) == "there"
    assert "Connection refused" in caplog.text
    broken = DomainError("DATABASE_UNAVAILABLE", directory="/data/sh", detail="SQLITE_IOERR")

    def fail() -> None:
        raise broken

    with pytest.raises(DomainError):
        away.when_there(fail, pause_seconds=60)


def test_a_server_that_does_not_come_is_told_when_the_time_is_over() -> None:
    def begin() -> None:
        open_engine("postgresql+psycopg://nobody:secret@127.0.0.1:1/none", role="writer").close()

    begun = time.monotonic()
    with pytest.raises(DomainError) as caught:
        away.when_there(begin, seconds_max=0.2, pause_seconds=0.05)
    assert away.is_away(caught.value)
    assert time.monotonic() - begun > 0.2


class RefusingServer:
    """Speaks as much of PostgreSQL's protocol as to refuse each session with one SQLSTATE and sentence.

    In a process of its own: libpq's ping keeps the interpreter to itself while it waits for the answer.
    """

    def __init__(self, state: str, sentence: str) -> None:
        fields = (("S", "FATAL"), ("V", "FATAL"), ("C", state), ("M", sentence))
        body = b"".join(name.encode() + text.encode() + b"\0" for name, text in fields) + b"\0"
        self._refusal = b"E" + struct.pack("!i", len(body) + 4) + body
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._process = multiprocessing.get_context("fork").Process(target=self._serve, daemon=True)
        self._process.start()

    def _serve(self) -> None:
        while True:
            session, _ = self._socket.accept()
            with session, suppress(OSError):
                while len(head := session.recv(8, socket.MSG_WAITALL)) == 8:
                    length, code = struct.unpack("!ii", head)
                    session.recv(length - 8, socket.MSG_WAITALL)
                    if code >> 16 != 1234:  # not the question for encryption
                        session.sendall(self._refusal)
                        break
                    session.sendall(b"N")

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._socket.close()


@pytest.mark.parametrize(
    ("state", "sentence", "symbol"),
    [
        ("57P03", "the database system is starting up", "DATABASE_UNAVAILABLE"),
        ("57P03", "数据库系统正在启动", "DATABASE_UNAVAILABLE"),
        ("53300", "sorry, too many clients already", "DATABASE_UNAVAILABLE"),
        ("28P01", 'password authentication failed for user "sh"', "SETTING_INVALID"),
        ("28P01", "用户 sh 密码验证失败", "SETTING_INVALID"),
        ("3D000", 'database "sh" does not exist', "SETTING_INVALID"),
    ],
)
def test_absence_is_waited_for_and_a_refusal_is_not(state: str, sentence: str, symbol: str) -> None:
    server = RefusingServer(state, sentence)
    try:
        with pytest.raises(DomainError) as caught:
            open_engine(f"postgresql+psycopg://sh:geheim@127.0.0.1:{server.port}/sh", role="writer")
    finally:
        server.close()
    assert caught.value.symbol == symbol
    assert away.is_away(caught.value) is (symbol == "DATABASE_UNAVAILABLE")
    assert sentence in caught.value.sentence("zh") + caught.value.metadata["detail"]
