"""What the database refuses by itself, on both databases, tried with plain SQL as an intruder would."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa

from tanqiao.db import guards
from tanqiao.db.engine import Database, open_engine
from tanqiao.db.faults import violated_guard
from tanqiao.db.guards import (
    BlockColumns,
    append_only,
    immutable,
    never_decreases,
    no_overlap,
    undeletable,
    write_once,
)
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import run

metadata = sa.MetaData()
journal = sa.Table(
    "journal",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text),
)
series = sa.Table("series", metadata, sa.Column("id", sa.Text, primary_key=True))
block = sa.Table(
    "block",
    metadata,
    sa.Column("series_id", sa.Text, sa.ForeignKey("series.id"), nullable=False),
    sa.Column("start_kg", sa.BigInteger, nullable=False),
    sa.Column("end_kg", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text),
)
mark = sa.Table(
    "mark",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("decided", sa.Text),
    sa.Column("name", sa.Text),
)

BLOCKS = BlockColumns(("series_id",), "start_kg", "end_kg")
GUARDS = (
    append_only("journal"),
    no_overlap("block", BLOCKS, series_table="series", series_key=("id",)),
    never_decreases("mark", "epoch"),
    write_once("mark", "decided"),
    immutable("mark", "name"),
    undeletable("mark"),
)


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    with UnitOfWork(opened) as unit:
        metadata.create_all(unit.connection)
        guards.install(unit.connection, GUARDS)
        unit.commit()
    run(
        opened,
        "INSERT INTO series VALUES ('SH-1'), ('SH-2')",
        "INSERT INTO journal VALUES (1, 'first')",
        "INSERT INTO mark VALUES (1, 5, NULL, 'bridge')",
    )
    return opened


def refused(node: Database, statement: str) -> str | None:
    with pytest.raises(sa.exc.IntegrityError) as refusal:
        run(node, statement)
    return violated_guard(refusal.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET text = 'other'",
        "UPDATE journal SET text = text",
        "DELETE FROM journal",
        "DELETE FROM journal WHERE number = 1",
        "INSERT INTO journal VALUES (1, 'x') ON CONFLICT (number) DO UPDATE SET text = 'x'",
    ],
)
def test_an_append_only_table_refuses_update_delete_and_upsert(node: Database, statement: str) -> None:
    assert refused(node, statement) == "journal_append_only"
    with node.reading() as connection:
        assert connection.execute(sa.select(journal)).all() == [(1, "first")]


def test_an_append_only_table_accepts_new_rows(node: Database) -> None:
    run(
        node,
        "INSERT INTO journal VALUES (2, 'second')",
        "INSERT INTO journal VALUES (2, 'x') ON CONFLICT DO NOTHING",
    )
    with node.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(journal)) == 2


def test_an_append_only_table_refuses_truncate_on_postgresql_and_replace_on_sqlite(
    node: Database, database_kind: str
) -> None:
    statement = {"sqlite": "REPLACE INTO journal VALUES (1, 'x')", "postgresql": "TRUNCATE journal"}[
        database_kind
    ]
    assert refused(node, statement) == "journal_append_only"
    assert not guards_missing(node)


def test_a_session_that_plays_a_replica_meets_the_same_guards(
    node: Database, database: DatabaseUnderTest, database_kind: str, request: pytest.FixtureRequest
) -> None:
    if database_kind == "sqlite":
        # What the guards rest on there: the setting that makes REPLACE fire the triggers of DELETE.
        with UnitOfWork(node) as unit:
            assert unit.connection.exec_driver_sql("PRAGMA recursive_triggers").scalar() == 1
        return
    server = request.getfixturevalue("postgres_server")
    name = database.url.rpartition("/")[2]
    address = server.admin_url.set(drivername="postgresql", database=name).render_as_string(
        hide_password=False
    )
    with psycopg.connect(address) as session:
        session.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.IntegrityError):
            session.execute("DELETE FROM journal")


def test_blocks_of_one_series_do_not_overlap(node: Database) -> None:
    run(node, "INSERT INTO block VALUES ('SH-1', 10, 20, 'a'), ('SH-1', 30, 40, 'a'), ('SH-1', 20, 30, 'a')")
    for start, end in (
        (5, 11),
        (10, 20),
        (12, 15),
        (19, 21),
        (0, 100),
        (10, 11),
        (39, 50),
        (9, 20),
        (25, 35),
    ):
        assert refused(node, f"INSERT INTO block VALUES ('SH-1', {start}, {end}, 'b')") is not None, (
            start,
            end,
        )
    run(node, "INSERT INTO block VALUES ('SH-2', 10, 20, 'a'), ('SH-1', 0, 10, 'a'), ('SH-1', 40, 41, 'a')")


@pytest.mark.parametrize(("start", "end"), [(10, 10), (11, 10), (-1, 5)])
def test_an_empty_reversed_or_negative_block_is_refused(node: Database, start: int, end: int) -> None:
    assert refused(node, f"INSERT INTO block VALUES ('SH-1', {start}, {end}, 'a')") == "block_no_overlap"


def test_blocks_that_overlap_within_one_statement_are_refused(node: Database) -> None:
    statement = "INSERT INTO block VALUES ('SH-1', 0, 10, 'a'), ('SH-2', 0, 10, 'a'), ('SH-1', 9, 12, 'a')"
    assert refused(node, statement) == "block_no_overlap"
    with node.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(block)) == 0


def test_a_block_is_moved_only_to_where_no_other_is(node: Database) -> None:
    run(node, "INSERT INTO block VALUES ('SH-1', 0, 10, 'a'), ('SH-1', 20, 30, 'a')")
    run(node, "UPDATE block SET end_kg = 15 WHERE start_kg = 0", "UPDATE block SET holder = 'b'")
    assert refused(node, "UPDATE block SET end_kg = 21 WHERE start_kg = 0") == "block_no_overlap"
    assert refused(node, "UPDATE block SET start_kg = 14 WHERE start_kg = 20") == "block_no_overlap"
    run(
        node,
        "UPDATE block SET series_id = 'SH-2' WHERE start_kg = 20",
        "UPDATE block SET end_kg = 90 WHERE start_kg = 0",
    )


def test_a_block_is_split_by_removing_it_and_adding_its_pieces(node: Database) -> None:
    run(node, "INSERT INTO block VALUES ('SH-1', 0, 10, 'a')")
    run(
        node,
        "DELETE FROM block WHERE series_id = 'SH-1' AND start_kg = 0",
        "INSERT INTO block VALUES ('SH-1', 0, 4, 'b'), ('SH-1', 4, 10, 'a')",
    )


def test_the_overlap_guard_refuses_repeatable_read_on_postgresql(node: Database, database_kind: str) -> None:
    if database_kind == "sqlite":
        # One writer: there is nothing to choose, and the engine begins IMMEDIATE.
        with UnitOfWork(node) as unit:
            assert unit.connection.connection.driver_connection.in_transaction  # type: ignore[union-attr]
        return
    with pytest.raises(sa.exc.DBAPIError, match="READ COMMITTED only"):
        run(
            node,
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "INSERT INTO block VALUES ('SH-1', 0, 10, 'a')",
        )


def test_of_a_thousand_racing_overlapping_blocks_exactly_one_wins(
    node: Database, database: DatabaseUnderTest, database_kind: str
) -> None:
    """Every block covers [500, 501), so that any two overlap, but no two are equal at either end."""
    attempts = [(500 - index, 501 + index) for index in range(500)]
    attempts += [(500 - index % 500, 2_001 + index) for index in range(500)]
    # A process has one SQLite writer; on PostgreSQL each thread has an engine of its own, as servers have.
    own = database_kind == "postgresql"
    won: list[tuple[int, int]] = []
    others: list[BaseException] = []
    barrier = threading.Barrier(4)

    def race(mine: list[tuple[int, int]]) -> None:
        racer = open_engine(database.owner_url, role="writer", writer_connections_max=1) if own else node
        barrier.wait()
        for start, end in mine:
            try:
                run_in_transaction(racer, insert_block(start, end), attempts=50)
                won.append((start, end))
            except sa.exc.IntegrityError:
                pass
            except Exception as error:  # noqa: BLE001 - told below, from the main thread
                others.append(error)
        if own:
            racer.close()

    threads = [threading.Thread(target=race, args=(attempts[part::4],)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not others
    assert len(won) == 1
    with node.reading() as connection:
        assert connection.execute(sa.select(block.c.start_kg, block.c.end_kg)).all() == won


def insert_block(start: int, end: int) -> Callable[[UnitOfWork], None]:
    def work(unit: UnitOfWork) -> None:
        unit.connection.exec_driver_sql(f"INSERT INTO block VALUES ('SH-1', {start}, {end}, 'racer')")
        unit.commit()

    return work


def test_a_mark_moves_forward_only(node: Database) -> None:
    run(node, "UPDATE mark SET epoch = 6", "UPDATE mark SET epoch = 6")
    assert refused(node, "UPDATE mark SET epoch = 5") == "mark_never_decreases_epoch"


def test_a_column_is_written_once(node: Database) -> None:
    run(
        node,
        "UPDATE mark SET decided = NULL",
        "UPDATE mark SET decided = 'COMMIT'",
        "UPDATE mark SET decided = 'COMMIT'",
    )
    assert refused(node, "UPDATE mark SET decided = 'ABORT'") == "mark_write_once_decided"
    assert refused(node, "UPDATE mark SET decided = NULL") == "mark_write_once_decided"


def test_a_column_never_changes(node: Database) -> None:
    run(node, "UPDATE mark SET name = 'bridge'")
    assert refused(node, "UPDATE mark SET name = 'other'") == "mark_immutable_name"
    assert refused(node, "UPDATE mark SET name = NULL") == "mark_immutable_name"


def test_a_row_is_never_removed(node: Database, database_kind: str) -> None:
    assert refused(node, "DELETE FROM mark") == "mark_undeletable"
    last = {"sqlite": "REPLACE INTO mark VALUES (1, 9, 'x', 'x')", "postgresql": "TRUNCATE mark"}[
        database_kind
    ]
    assert refused(node, last) == "mark_undeletable"


def guards_missing(node: Database) -> list[str]:
    with node.reading() as connection:
        return guards.missing(connection, GUARDS)


def all_pieces() -> list[tuple[str, guards.Piece]]:
    return [
        (kind, piece)
        for guard in GUARDS
        for kind, pieces in (("sqlite", guard.sqlite), ("postgresql", guard.postgresql))
        for piece in pieces
    ]


def test_every_single_object_of_a_guard_is_missed_by_name(node: Database, database_kind: str) -> None:
    assert guards_missing(node) == []
    for kind, piece in all_pieces():
        if kind != database_kind:
            continue
        drop = {
            "unique": f'DROP INDEX "{piece.name}"',
            "function": f'DROP FUNCTION "{piece.name}" CASCADE',
        }.get(
            piece.kind,
            f'DROP TRIGGER "{piece.name}"' + (f' ON "{piece.table}"' if kind == "postgresql" else ""),
        )
        run(node, drop)
        assert piece.name in guards_missing(node)
        with UnitOfWork(node) as unit, pytest.raises(DomainError) as refusal:
            guards.require_guards(unit.connection, GUARDS)
        assert refusal.value.symbol == "DATABASE_GUARD_MISSING"
        assert piece.name in refusal.value.sentence("en")
        with UnitOfWork(node) as unit:
            guards.install(unit.connection, GUARDS)
            unit.commit()
        assert guards_missing(node) == []


def test_a_guard_with_another_text_is_missed(node: Database, database_kind: str) -> None:
    if database_kind == "sqlite":
        run(
            node,
            "DROP TRIGGER journal_append_only_update",
            "CREATE TRIGGER journal_append_only_update BEFORE UPDATE ON journal BEGIN SELECT 1; END",
        )
        assert guards_missing(node) == ["journal_append_only_update"]
        return
    run(
        node,
        "CREATE OR REPLACE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'",
        "ALTER TABLE journal DISABLE TRIGGER journal_append_only_delete",
        "DROP INDEX block_no_overlap_end_kg",
        "CREATE INDEX block_no_overlap_end_kg ON block (series_id, end_kg)",
    )
    assert guards_missing(node) == [
        "journal_append_only",
        "journal_append_only_delete",
        "block_no_overlap_end_kg",
    ]


def test_installing_twice_changes_nothing_and_removing_takes_all_away(node: Database) -> None:
    with UnitOfWork(node) as unit:
        guards.install(unit.connection, GUARDS)
        guards.remove(unit.connection, GUARDS)
        assert len(guards.missing(unit.connection, GUARDS)) == len(
            [piece for guard in GUARDS for piece in guard.pieces(unit.connection)]
        )
        unit.connection.exec_driver_sql("DELETE FROM journal")
    assert guards_missing(node) == []


def test_a_primary_key_stands_for_the_unique_start(node: Database) -> None:
    keyed = sa.Table(
        "location",
        sa.MetaData(),
        sa.Column("series_id", sa.Text, primary_key=True),
        sa.Column("start_kg", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end_kg", sa.BigInteger, nullable=False),
    )
    guard = no_overlap("location", BLOCKS, series_table="series", series_key=("id",), start_is_key=True)
    with UnitOfWork(node) as unit:
        keyed.create(unit.connection)
        guards.install(unit.connection, [guard])
        assert guards.missing(unit.connection, [guard]) == []
        assert guard.name + "_start_kg" not in guards.guard_object_names([guard])
        unit.connection.exec_driver_sql("INSERT INTO location VALUES ('SH-1', 0, 10)")
        unit.commit()
    assert refused(node, "INSERT INTO location VALUES ('SH-1', 5, 7)") == "location_no_overlap"


def test_a_table_without_the_promised_key_is_missed(node: Database) -> None:
    guard = no_overlap("block", BLOCKS, series_table="series", series_key=("id",), start_is_key=True)
    run(node, "DROP INDEX block_no_overlap_start_kg")
    with node.reading() as connection:
        assert guards.missing(connection, [guard]) == ["block_no_overlap_start_kg"]


def test_a_refusal_that_is_no_guard_has_no_name() -> None:
    assert violated_guard(ValueError("x")) is None
    assert violated_guard(sqlite3.OperationalError("no such table")) is None


def test_a_hundred_thousand_blocks_are_inserted_under_the_guard(node: Database) -> None:
    """The guard looks at one neighbour, so that a bulk insert stays linear; a square would time out."""
    from tanqiao.db.bulk import insert_rows  # noqa: PLC0415 - this test alone

    rows = [("SH-1", number * 10, number * 10 + 10, "a") for number in range(100_000)]
    with UnitOfWork(node) as unit:
        insert_rows(unit.connection, block, rows)
        unit.commit()
    assert refused(node, "INSERT INTO block VALUES ('SH-1', 500005, 500006, 'b')") == "block_no_overlap"
