"""Full, broken and read-only disks, and killed processes: told by name, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tanqiao.db.embedded_postgres import EmbeddedPostgres
from tanqiao.db.engine import Database
from tanqiao.db.provision import libpq_address
from tanqiao.kernel.errors import DomainError
from tanqiao.testing import disk_faults
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tests.contract.db.child import write_pair
from tests.contract.db.statements import count, run

CHILD = Path(__file__).with_name("child.py")
TABLE = "CREATE TABLE pair (number bigint, half int, filling text, PRIMARY KEY (number, half))"
TMPFS_KIBIBYTES = 1_024
needs_seccomp = pytest.mark.skipif(
    not disk_faults.can_refuse_system_calls(),
    reason="system calls can be refused on Linux, x86-64 or ARM64, only",
)


@pytest.fixture
def prepared(database: DatabaseUnderTest) -> DatabaseUnderTest:
    """A database with the table of pairs, closed again."""
    node = database.open(owner=True)
    run(node, TABLE)
    database.close()
    return database


@pytest.fixture
def sqlite_file(database_maker: DatabaseMaker) -> Iterator[DatabaseUnderTest]:
    made = database_maker.make("sqlite")
    run(made.open(), TABLE)
    made.close()
    yield made
    database_maker.drop(made)


def command(program: str, url: str) -> list[str]:
    return [sys.executable, "-B", str(CHILD), program, url]


def environment() -> dict[str, str]:
    root = Path(__file__).parents[3]
    return {**os.environ, "PYTHONPATH": str(root)}


def facts_of(program: str, url: str, *, user: int | None = None) -> dict[str, Any]:
    """Run a program to its end and give all that it said."""
    options: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    done = subprocess.run(
        command(program, url),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=environment(),
        **options,
    )
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        facts.update(json.loads(line))
    return facts


def assert_only_whole_pairs(node: Database) -> int:
    with node.reading() as connection:
        halves = connection.exec_driver_sql("SELECT number, count(*) FROM pair GROUP BY number").all()
    assert all(number_of_rows == 2 for _, number_of_rows in halves)
    return len(halves)


def assert_intact(database: DatabaseUnderTest) -> int:
    node = database.open(owner=True)
    if database.kind == "sqlite":
        with node.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
    return assert_only_whole_pairs(node)


def test_a_file_size_limit_is_a_full_disk_and_goes_away_with_it(sqlite_file: DatabaseUnderTest) -> None:
    facts = facts_of("limit", sqlite_file.url)
    assert facts["refused"] == "DISK_FULL"
    assert facts["again"] == "DISK_FULL"
    assert facts["failure"] is None
    assert facts["after"] == "committed"
    assert assert_intact(sqlite_file) == facts["number"] > 3


@needs_seccomp
def test_a_full_disk_refuses_each_write_and_leaves_reading(sqlite_file: DatabaseUnderTest) -> None:
    facts = facts_of("full", sqlite_file.url)
    assert (facts["first"], facts["second"], facts["third"]) == ("committed", "DISK_FULL", "DISK_FULL")
    assert facts["failure"] is None
    assert facts["rows"] == 2
    assert assert_intact(sqlite_file) == 1


@needs_seccomp
@pytest.mark.parametrize("program", ["broken-write", "broken-fsync"])
def test_after_an_io_error_nothing_is_written_until_a_restart(
    sqlite_file: DatabaseUnderTest, program: str
) -> None:
    facts = facts_of(program, sqlite_file.url)
    assert (facts["first"], facts["second"]) == ("committed", "DATABASE_UNAVAILABLE")
    assert facts["third"] == "DATABASE_UNAVAILABLE"
    assert "SQLITE_IOERR" in facts["failure"]
    assert facts["rows"] == 2
    # A write whose forced write failed may or may not be there after a restart; it is whole in any case.
    assert assert_intact(sqlite_file) in (1, 2)


def test_a_full_disk_that_is_passed_over_leaves_nothing_half_written(sqlite_file: DatabaseUnderTest) -> None:
    """SQLite rolls back by itself when a page does not fit; what follows must not be committed alone."""
    facts = facts_of("pass-over", sqlite_file.url)
    assert facts["passed_over"] == "DISK_FULL"
    assert facts["refused"] == "DISK_FULL"
    assert count(sqlite_file.open("reader"), "pair") == 0


@needs_seccomp
def test_every_caller_of_a_group_whose_forced_write_failed_is_told(sqlite_file: DatabaseUnderTest) -> None:
    facts = facts_of("group", sqlite_file.url)
    assert facts["first"] == [1, 2]
    assert facts["second"] == ["DATABASE_UNAVAILABLE"] * 3
    assert facts["third"] == "DATABASE_UNAVAILABLE"
    assert "until this process is restarted" in facts["sentence"]
    assert_intact(sqlite_file)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system that a test can fill or close for writing, which the server's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tanqiao-small-"))
    folder.chmod(0o711)
    size = f"size={TMPFS_KIBIBYTES}k,mode=0777"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("only root may mount a small file system; the file size limit is tested without it")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def test_a_small_disk_runs_full_on_sqlite_and_is_used_again_when_there_is_room(small_disk: Path) -> None:
    made = DatabaseUnderTest("sqlite", f"sqlite:///{small_disk}/node.db", f"sqlite:///{small_disk}/node.db")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 300_000)
    node = made.open()
    run(node, TABLE)
    number = 1
    while (result := write_pair(node, number, 20_000)) == "committed":
        number += 1
    assert result == "DISK_FULL"
    assert node.failure is None
    assert assert_only_whole_pairs(node) == number - 1
    ballast.unlink()
    assert write_pair(node, number, 20_000) == "committed"
    made.close()
    assert assert_intact(made) == number
    made.close()


@pytest.fixture
def postgres_database(database_maker: DatabaseMaker) -> Iterator[DatabaseUnderTest]:
    made = database_maker.make("postgresql")
    yield made
    database_maker.drop(made)


@pytest.fixture
def small_tablespace(
    small_disk: Path, postgres_server: EmbeddedPostgres, postgres_database: DatabaseUnderTest
) -> Iterator[str]:
    """A tablespace on the small disk; the log of the server has room."""
    folder = small_disk / "space"
    folder.mkdir()
    owner = Path(f"/proc/{postgres_server.pid}").stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    address = libpq_address(postgres_server.admin_url)
    with psycopg.connect(address, autocommit=True) as session:
        session.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        session.execute("GRANT CREATE ON TABLESPACE small TO PUBLIC")
        yield "small"
        postgres_database.close()
        name = postgres_database.owner_url.rpartition("/")[2]
        with psycopg.connect(
            libpq_address(postgres_server.admin_url.set(database=name)), autocommit=True
        ) as own:
            own.execute("DROP TABLE IF EXISTS pair")
        session.execute("DROP TABLESPACE small")


def test_a_full_disk_of_postgresql_is_told_and_goes_away(
    small_tablespace: str, small_disk: Path, postgres_database: DatabaseUnderTest
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 300_000)
    node = postgres_database.open(owner=True)
    run(node, f"{TABLE} TABLESPACE {small_tablespace}", "ALTER TABLE pair ALTER filling SET STORAGE EXTERNAL")
    number = 1
    while (result := write_pair(node, number, 60_000)) == "committed":
        number += 1
    assert result == "DISK_FULL"
    assert node.failure is None
    assert assert_only_whole_pairs(node) == number - 1 > 2
    ballast.unlink()
    assert write_pair(node, number, 60_000) == "committed"


@pytest.mark.parametrize(("closed", "mode"), [("file", 0o400), ("directory", 0o500)])
def test_a_file_or_directory_without_the_right_to_write_is_refused_at_the_start(
    sqlite_file: DatabaseUnderTest, closed: str, mode: int
) -> None:
    if os.geteuid() == 0:
        pytest.skip("modes do not bind root; the test with a read-only file system does")
    assert sqlite_file.path is not None
    path = sqlite_file.path if closed == "file" else sqlite_file.path.parent
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        facts = facts_of("try-to-open", sqlite_file.url)
    finally:
        path.chmod(before)
    assert facts["refused"] == "DATABASE_READ_ONLY"
    assert str(path) in facts["detail"]


def test_a_read_only_file_system_is_refused_at_the_start_and_under_way(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/node.db"
    made = DatabaseUnderTest("sqlite", url, url)
    node = made.open()
    run(node, TABLE)
    made.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(DomainError) as refusal:
        made.open()
    assert refusal.value.symbol == "DATABASE_READ_ONLY"
    assert str(small_disk) in refusal.value.metadata["detail"]
    with pytest.raises(DomainError) as refusal:
        DatabaseUnderTest("sqlite", url.replace("node", "new"), url).open()
    assert refusal.value.symbol == "DATABASE_READ_ONLY"
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert write_pair(made.open(), 1) == "committed"
    made.close()


def test_a_database_that_becomes_read_only_refuses_writes(prepared: DatabaseUnderTest) -> None:
    node = prepared.open(owner=True)
    if prepared.kind == "postgresql":
        run(node, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    else:
        with node.writing() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
    results = {write_pair(node, number) for number in range(1, 20)}
    assert "DATABASE_READ_ONLY" in results
    prepared.close()
    assert_intact(prepared)


def test_a_second_writer_of_a_file_is_refused_until_the_first_is_gone(sqlite_file: DatabaseUnderTest) -> None:
    first = subprocess.Popen(
        command("hold", sqlite_file.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert first.stdin is not None
    assert first.stdout is not None
    try:
        assert json.loads(first.stdout.readline()) == {"opened": True}
        facts = facts_of("try-to-open", sqlite_file.url)
        assert facts["refused"] == "WRITER_ALREADY_RUNNING"
        assert str(sqlite_file.path and sqlite_file.path.parent) in facts["sentence"]
        with pytest.raises(DomainError) as refusal:
            sqlite_file.open()
        assert refusal.value.symbol == "WRITER_ALREADY_RUNNING"
        assert refusal.value.metadata["process"] == str(first.pid)
        assert count(sqlite_file.open("reader"), "pair") == 0
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        assert facts_of("try-to-open", sqlite_file.url) == {"opened": True}
    finally:
        first.kill()
        first.stdin.close()
        first.stdout.close()
        first.wait(10)


def test_a_process_killed_while_it_writes_loses_nothing_it_told(prepared: DatabaseUnderTest) -> None:
    told: list[int] = []
    for lifetime_seconds in (0.05, 0.13, 0.31):
        child = subprocess.Popen(
            command("write-for-ever", prepared.owner_url),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert child.stdout is not None
        told.append(json.loads(child.stdout.readline())["number"])
        time.sleep(lifetime_seconds)
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate(timeout=50)
        for line in rest.splitlines():
            if line.endswith("}"):
                facts = json.loads(line)
                assert facts["result"] == "committed"
                told.append(facts["number"])
    assert assert_intact(prepared) >= len(told)
    node = prepared.open("reader")
    with node.reading() as connection:
        present = set(connection.exec_driver_sql("SELECT number FROM pair").scalars())
    assert set(told) <= present
    assert len(told) == len(set(told)) > 3
