"""A copy of a running node is one snapshot of it, and taking it disturbs nobody."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqiao.db.backup import copy_database
from tanqiao.db.engine import Database, open_engine
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import count, run


@pytest.fixture
def node(database: DatabaseUnderTest) -> Iterator[Database]:
    opened = database.open(owner=True)
    run(opened, "CREATE TABLE entry (id bigint PRIMARY KEY, half int, filling text)")
    yield opened
    database.close()


def test_a_copy_under_load_has_only_whole_transactions(node: Database, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    if node.dialect == "postgresql":
        with pytest.raises(DomainError) as refusal:
            copy_database(node, target)
        assert "pg_basebackup" in refusal.value.sentence("en")
        return
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 2
            run(node, f"INSERT INTO entry VALUES ({number}, 0, '{'x' * 9_000}'), ({number + 1}, 1, 'y')")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            copy_database(node, tmp_path / f"copy-{number}.db")
    finally:
        stop.set()
        writer.join()
    last = count(node, "entry")
    for number in range(3):
        path = tmp_path / f"copy-{number}.db"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with open_engine(f"sqlite:///{path}", role="writer") as copy:
            with copy.reading() as connection:
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
                halves = connection.exec_driver_sql("SELECT half, count(*) FROM entry GROUP BY half").all()
            assert len({amount for _, amount in halves}) <= 1
            assert count(copy, "entry") <= last
    assert sorted(path.name for path in tmp_path.glob("*.draft")) == []


def test_a_copy_never_replaces_a_file(node: Database, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("kept")
    with pytest.raises(DomainError) as refusal:
        copy_database(node, target)
    assert refusal.value.symbol == "SETTING_INVALID"
    assert target.read_text() == "kept"
