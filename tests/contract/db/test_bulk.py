"""Set-based statements on both databases, with every type of value that the hot paths use."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tanqiao.db.bulk import (
    ALIKE_LOOKED_FOR_MIN,
    PARAMETERS_PER_STATEMENT_MAX,
    delete_by_key,
    insert_missing,
    insert_rows,
    rows_by_key,
    update_by_key,
)
from tanqiao.db.engine import Database
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.testing.databases import DatabaseUnderTest

metadata = sa.MetaData()
mixed = sa.Table(
    "mixed",
    metadata,
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary),
    sa.Column("flag", sa.Boolean),
    sa.Column("note", sa.Text),
)
ROWS = [
    ("上海-1", 0, b"\x00\xff", True, "100 %s :name ?"),
    ("上海-1", 10, None, False, None),
    ('"quoted"', 9_223_372_036_854_775_807, b"", None, "'"),
    ("{array},\\", -1, b"\\", True, "{}"),
]


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    with UnitOfWork(opened) as unit:
        metadata.create_all(unit.connection)
        insert_rows(unit.connection, mixed, ROWS)
        unit.commit()
    return opened


def all_rows(node: Database) -> list[tuple[object, ...]]:
    with node.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(mixed).order_by(mixed.c.start))]


def test_rows_come_back_as_they_went_in(node: Database) -> None:
    assert all_rows(node) == sorted(ROWS, key=lambda row: row[1])


def test_a_row_that_is_there_stays_as_it_is(node: Database) -> None:
    fresh = ("new", 7, b"\x01", True, "note")
    with UnitOfWork(node) as unit:
        insert_missing(unit.connection, mixed, [])
        insert_missing(unit.connection, mixed, [("上海-1", 10, b"other", True, "other"), fresh, fresh])
        unit.commit()
    assert all_rows(node) == sorted([*ROWS, fresh], key=lambda row: row[1])


def test_columns_left_out_stay_empty(node: Database) -> None:
    with UnitOfWork(node) as unit:
        insert_rows(unit.connection, mixed, [(5, "x")], ("start", "series"))
        insert_rows(unit.connection, mixed, [])
        unit.commit()
    with node.reading() as connection:
        assert rows_by_key(connection, mixed, ("series",), [("x",)]) == [("x", 5, None, None, None)]


def test_columns_without_any_value_and_rows_of_every_size_of_integer(node: Database) -> None:
    numbers = [-(2**63), -(2**31) - 1, -1, 2**15, 2**31, 2**63 - 2]
    with UnitOfWork(node) as unit:
        insert_rows(unit.connection, mixed, [("size", number, None, None, None) for number in numbers])
        insert_rows(unit.connection, mixed, [("one", 1, None, None, None)])
        found = rows_by_key(
            unit.connection, mixed, ("series", "start"), [("size", number) for number in numbers]
        )
        changed = update_by_key(
            unit.connection, mixed, ("series",), ("hash", "flag", "note"), [("one", None, None, None)]
        )
        unit.commit()
    assert sorted(tuple(row) for row in found) == [("size", number, None, None, None) for number in numbers]
    assert changed == 1


def test_values_that_are_alike_in_a_large_batch_come_back_in_each_of_its_rows(node: Database) -> None:
    many = range(1_000, 1_000 + ALIKE_LOOKED_FOR_MIN)
    rows = [("上海-3", number, None, True, "注") for number in many]
    others = [(f"series-{number}", 1, bytes((number % 256,)), number % 2 == 0, None) for number in many]
    same = [("same", 3, b"\x00", False, "")] * ALIKE_LOOKED_FOR_MIN
    with UnitOfWork(node) as unit:
        insert_rows(unit.connection, mixed, rows)
        insert_rows(unit.connection, mixed, others)
        insert_missing(unit.connection, mixed, same)
        insert_missing(unit.connection, mixed, [*rows, ("more", 1, None, True, "注")])
        unit.commit()
    wanted = [*ROWS, *rows, *others, same[0], ("more", 1, None, True, "注")]
    assert sorted(all_rows(node), key=repr) == sorted(wanted, key=repr)


def test_rows_are_found_by_keys_of_several_columns(node: Database) -> None:
    with node.reading() as connection:
        keys = [(row[0], row[1]) for row in ROWS] + [("上海-1", 11), ("absent", 0)]
        found = rows_by_key(connection, mixed, ("series", "start"), keys, ("start", "hash"))
        assert sorted(found) == sorted((row[1], row[2]) for row in ROWS)
        assert rows_by_key(connection, mixed, ("series", "start"), []) == []
        assert len(rows_by_key(connection, mixed, ("series",), [("上海-1",)])) == 2


def test_rows_are_found_by_keys_of_bytes(node: Database) -> None:
    with node.reading() as connection:
        assert rows_by_key(connection, mixed, ("hash",), [(b"\\",), (b"\x00\xff",)], ("start",)) != []
        assert [tuple(row) for row in rows_by_key(connection, mixed, ("hash",), [(b"",)], ("note",))] == [
            ("'",)
        ]


def test_rows_are_changed_by_key(node: Database) -> None:
    with UnitOfWork(node) as unit:
        changes = [("上海-1", 0, b"new", "a"), ("上海-1", 10, b"other", None), ("absent", 0, b"", "b")]
        assert update_by_key(unit.connection, mixed, ("series", "start"), ("hash", "note"), changes) == 2
        assert update_by_key(unit.connection, mixed, ("series", "start"), ("note",), []) == 0
        unit.commit()
    assert [(row[2], row[4]) for row in all_rows(node) if row[0] == "上海-1"] == [
        (b"new", "a"),
        (b"other", None),
    ]


def test_rows_are_removed_by_key(node: Database) -> None:
    with UnitOfWork(node) as unit:
        assert delete_by_key(unit.connection, mixed, ("series", "start"), [("上海-1", 0), ("absent", 0)]) == 1
        assert delete_by_key(unit.connection, mixed, ("series", "start"), []) == 0
        unit.commit()
    assert len(all_rows(node)) == 3


def test_batches_beyond_the_bound_of_parameters_are_cut(node: Database) -> None:
    numbers = range(1_000, 1_000 + PARAMETERS_PER_STATEMENT_MAX)
    with UnitOfWork(node) as unit:
        insert_rows(unit.connection, mixed, [("many", number) for number in numbers], ("series", "start"))
        found = rows_by_key(
            unit.connection, mixed, ("series", "start"), [("many", number) for number in numbers], ("start",)
        )
        unit.commit()
    assert sorted(row[0] for row in found) == list(numbers)


def test_a_key_that_is_there_already_refuses_the_whole_batch(node: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), UnitOfWork(node) as unit:
        insert_rows(unit.connection, mixed, [("new", 1), ("上海-1", 0)], ("series", "start"))
    assert len(all_rows(node)) == len(ROWS)
