"""Opening a database: its settings are read back, what is wrong is said in one line; on both databases."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tanqiao.db.away import is_away
from tanqiao.db.embedded_postgres import EmbeddedPostgres
from tanqiao.db.engine import open_engine
from tanqiao.db.provision import libpq_address
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import count, run

SQLITE_WRITER = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "recursive_triggers": 1,
    "busy_timeout": 5_000,
}
POSTGRES = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_sync_retry": "off",
    "transaction_isolation": "read committed",
    "TimeZone": "UTC",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
}


LOOK = "SELECT * FROM entry"


def refusal_of(url: str, role: str = "writer") -> DomainError:
    with pytest.raises(DomainError) as refusal:
        open_engine(url, role=role).close()  # type: ignore[arg-type]
    assert "\n" not in refusal.value.sentence("en")
    return refusal.value


def test_the_settings_that_keep_a_commit_are_those_of_the_writer(database: DatabaseUnderTest) -> None:
    with database.open().writing() as connection:
        if database.kind == "sqlite":
            for pragma, expected in SQLITE_WRITER.items():
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == expected, pragma
            assert connection.connection.driver_connection.in_transaction  # type: ignore[union-attr]
        else:
            for name, expected in POSTGRES.items():
                assert connection.exec_driver_sql(f"SHOW {name}").scalar() == expected, name


def test_a_write_transaction_holds_the_write_lock_from_its_begin(database: DatabaseUnderTest) -> None:
    """BEGIN IMMEDIATE: nobody can write between the first read and the first write of a transaction."""
    if database.kind == "postgresql":
        with database.open().writing() as connection:
            assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "off"
        return

    with database.open().writing():
        intruder = sqlite3.connect(database.path or "", timeout=0.01, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            intruder.execute("BEGIN IMMEDIATE")
        intruder.close()


def test_reading_sees_one_snapshot_to_its_end(database: DatabaseUnderTest) -> None:
    node = database.open(owner=True)
    run(node, "CREATE TABLE entry (id bigint PRIMARY KEY)", "INSERT INTO entry VALUES (1)")
    with node.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM entry").scalar() == 1
        run(node, "INSERT INTO entry VALUES (2)")
        assert connection.exec_driver_sql("SELECT count(*) FROM entry").scalar() == 1
    assert count(node, "entry") == 2


@pytest.mark.parametrize(
    "statement", ["INSERT INTO entry VALUES (1)", "DELETE FROM entry", "DROP TABLE entry"]
)
def test_reading_cannot_write(database: DatabaseUnderTest, statement: str) -> None:
    node = database.open(owner=True)
    run(node, "CREATE TABLE entry (id bigint PRIMARY KEY)")
    with node.reading() as connection, pytest.raises(DomainError) as refusal:
        connection.exec_driver_sql(statement)
    assert refusal.value.symbol == "DATABASE_READ_ONLY"


def test_a_reader_has_no_writer_and_lets_the_writer_be(database: DatabaseUnderTest) -> None:
    node = database.open(owner=True)
    reader = database.open("reader")
    assert (node.is_writer, reader.is_writer) == (True, False)
    with pytest.raises(InvariantBroken), reader.writing():
        pass
    run(node, "CREATE TABLE entry (id bigint PRIMARY KEY)")


def test_connections_are_bounded_and_the_next_caller_is_told(database: DatabaseUnderTest) -> None:
    node = database.open(reader_connections_max=1, connection_wait_seconds_max=0.05)
    with node.reading(), pytest.raises(DomainError) as refusal, node.reading():
        pass
    assert refusal.value.symbol == "BUSY"


def test_values_never_stand_in_an_error(database: DatabaseUnderTest) -> None:
    node = database.open(owner=True)
    run(node, "CREATE TABLE person (name text NOT NULL, age bigint NOT NULL)")
    with pytest.raises(sa.exc.IntegrityError) as failure, node.writing() as connection:
        connection.execute(sa.text("INSERT INTO person VALUES (:name, NULL)"), {"name": "Li Lei"})
    if database.kind == "sqlite":
        assert "Li Lei" not in str(failure.value)
    else:
        # The server's own detail has the row; what SQLAlchemy adds has not.
        assert "Li Lei" not in str(failure.value).partition("[SQL:")[2]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    refusal = refusal_of(f"sqlite:///{tmp_path}/absent/node.db")
    assert refusal.symbol == "DIRECTORY_MISSING"
    assert f"{tmp_path}/absent" in refusal.sentence("zh")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"x", "is not an SQLite database"), (b"SQLite format 2\x00" + b"\x00" * 5_000, "is not an")],
)
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for role in ("writer", "reader"):
        refusal = refusal_of(f"sqlite:///{path}", role)
        assert refusal.symbol == "SETTING_INVALID"
        assert said in refusal.sentence("en")
    assert path.read_bytes() == content


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(b"SQLite format 3\x00" + os.urandom(8_000))
    assert refusal_of(f"sqlite:///{path}").symbol in ("DATABASE_UNAVAILABLE", "SETTING_INVALID")


def test_a_directory_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    assert "is not a file" in refusal_of(f"sqlite:///{tmp_path}").sentence("en")


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.touch()
    path.chmod(0o666)
    assert "chmod 600" in refusal_of(f"sqlite:///{path}").sentence("en")


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_engine(f"sqlite:///{tmp_path}/node.db", role="writer") as node:
            run(node, "CREATE TABLE entry (id bigint)")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"node.db", "node.db-wal", "node.db-shm", "node.db.writer-lock"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_a_reader_of_nothing_makes_nothing(tmp_path: Path) -> None:
    assert refusal_of(f"sqlite:///{tmp_path}/node.db", "reader").symbol == "FILE_MISSING"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://localhost/x",
        "postgresql+psycopg2://localhost/x",
    ],
)
def test_an_address_of_nothing_durable_is_refused(url: str) -> None:
    assert refusal_of(url).symbol == "SETTING_INVALID"


def test_a_relative_path_with_odd_characters_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_engine("sqlite:///深圳 50%?.db".replace("?", "%3F"), role="writer") as node:
        run(node, "CREATE TABLE entry (id bigint)")
    assert any(path.suffix == ".db" for path in tmp_path.iterdir())


def test_the_same_file_by_two_ways_has_one_writer(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with open_engine(f"sqlite:///{tmp_path}/data/node.db", role="writer"):
        assert refusal_of(f"sqlite:///{tmp_path}/data/../data/node.db").symbol == "WRITER_ALREADY_RUNNING"
        (tmp_path / "other").symlink_to(tmp_path / "data")
        assert refusal_of(f"sqlite:///{tmp_path}/other/node.db").symbol == "WRITER_ALREADY_RUNNING"
        (tmp_path / "data" / "alias.db").symlink_to(tmp_path / "data" / "node.db")
        assert refusal_of(f"sqlite:///{tmp_path}/data/alias.db").symbol == "WRITER_ALREADY_RUNNING"
    open_engine(f"sqlite:///{tmp_path}/data/node.db", role="writer").close()


def test_a_refused_opening_gives_the_writer_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(b"SQLite format 3\x00" + os.urandom(8_000))
    refusal_of(f"sqlite:///{path}")
    path.unlink()
    open_engine(f"sqlite:///{path}", role="writer").close()


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    refusal = refusal_of(f"postgresql+psycopg://role:geheim@127.0.0.1:{port}/x")
    assert refusal.symbol == "DATABASE_UNAVAILABLE"
    assert "geheim" not in str(refusal.metadata)
    assert str(port) in str(refusal.metadata)


def test_a_server_that_refuses_is_told_at_once_with_what_to_do(postgres_server: EmbeddedPostgres) -> None:
    url = postgres_server.admin_url
    for wrong in (url.set(password="geheim"), url.set(database="absent"), url.set(username="nobody")):
        refusal = refusal_of(wrong.render_as_string(hide_password=False))
        assert refusal.symbol == "SETTING_INVALID"
        sentence = refusal.sentence("en")
        assert "user, password and database" in sentence
        assert str(url.port) in sentence
        assert "\n" not in sentence
        assert "geheim" not in sentence
        assert not is_away(refusal), "a start does not wait for it"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("default_transaction_isolation", "'repeatable read'"),
        ("default_transaction_isolation", "'serializable'"),
    ],
)
def test_a_postgresql_that_does_not_keep_its_promises_is_refused(
    database: DatabaseUnderTest, postgres_server: EmbeddedPostgres, setting: str, value: str
) -> None:
    if database.kind == "sqlite":
        path = database.path
        assert path is not None
        # The same for a file: one that cannot have a write-ahead log, for its name is too long for "-wal".
        long = path.with_name("x" * 252 + ".db")
        assert refusal_of(f"sqlite:///{long}").symbol in ("DATABASE_UNAVAILABLE", "DATABASE_READ_ONLY")
        return
    name = database.url.rpartition("/")[2]
    with psycopg.connect(libpq_address(postgres_server.admin_url), autocommit=True) as session:
        session.execute(f"ALTER DATABASE {name} SET {setting} = {value}")
    refusal = refusal_of(database.url)
    assert refusal.symbol == "SETTING_INVALID"
    assert setting in refusal.sentence("en")


def test_opening_a_file_twice_in_one_process_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """A process that closes any descriptor of a file loses its locks on it; only SQLite may open the file."""
    url = f"sqlite:///{tmp_path}/node.db"
    with open_engine(url, role="writer") as node:
        run(node, "CREATE TABLE entry (id bigint PRIMARY KEY)")
        for _ in range(3):
            refusal_of(url)
            open_engine(url, role="reader").close()
        # Another process that opens and closes the file would, as the last one, remove the log under us.
        program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.close()"
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "node.db"), LOOK], check=True)
        assert (tmp_path / "node.db-wal").exists()
        run(node, "INSERT INTO entry VALUES (1)")
    with open_engine(url, role="reader") as node:
        assert count(node, "entry") == 1


def test_a_connection_given_back_after_the_end_is_closed_then(database: DatabaseUnderTest) -> None:
    opened = database.open()
    with opened.reading() as connection:
        driver = connection.connection.driver_connection
        opened.close()
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1  # a reader at work is not cut off
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match="closed"):
        driver.execute("SELECT 1")  # type: ignore[union-attr]
