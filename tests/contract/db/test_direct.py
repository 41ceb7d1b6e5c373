"""Statements handed to the driver: errors mean the same as through SQLAlchemy, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tanqiao.db.direct import Prepared, fetch, write, write_each
from tanqiao.db.engine import Database
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.testing.databases import DatabaseUnderTest

metadata = sa.MetaData()
counted = sa.Table(
    "counted",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
    sa.Column("paper", sa.LargeBinary),
)
ADDED = Prepared(
    sa.insert(counted).returning(counted.c.name, counted.c.value, counted.c.paper), ("name", "value", "paper")
)
FOUND = Prepared(
    sa.select(counted.c.value, counted.c.paper)
    .where(counted.c.name == sa.bindparam("of_name"), counted.c.value > 0)
    .order_by(counted.c.value)
    .limit(5)
)
MOVED = Prepared(
    sa.update(counted)
    .where(counted.c.name == sa.bindparam("of_name"))
    .values(value=counted.c.value + sa.bindparam("more"))
)


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    with UnitOfWork(opened) as unit:
        metadata.create_all(unit.connection)
        assert ADDED.rows(unit.connection, name="一", value=2**40, paper=b"\x00\xff") == [
            ("一", 2**40, b"\x00\xff")
        ]
        unit.commit()
    return opened


def test_a_prepared_statement_gives_the_values_of_the_driver(node: Database) -> None:
    with UnitOfWork(node) as unit:
        assert MOVED.write(unit.connection, of_name="一", more=1) == 1
        assert MOVED.write(unit.connection, of_name="nobody", more=1) == 0
        unit.commit()
    with node.reading() as connection:
        assert FOUND.rows(connection, of_name="一") == [(2**40 + 1, b"\x00\xff")]
        assert FOUND.rows(connection, of_name="nobody") == []


def test_what_is_not_committed_is_not_there(node: Database) -> None:
    with UnitOfWork(node) as unit:
        ADDED.rows(unit.connection, name="two", value=2, paper=None)
        assert FOUND.rows(unit.connection, of_name="two") == [(2, None)]
    with node.reading() as connection:
        assert FOUND.rows(connection, of_name="two") == []


def test_a_broken_constraint_stays_an_error_of_the_program(node: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), UnitOfWork(node) as unit:
        ADDED.rows(unit.connection, name="一", value=1, paper=None)
    quoted = "INSERT INTO counted (name, value) VALUES ('一', 1)"
    with pytest.raises(sa.exc.IntegrityError), UnitOfWork(node) as unit:
        write(unit.connection, quoted, ())
    text = quoted.replace("'一', 1", "?, ?" if node.dialect == "sqlite" else "%s, %s")
    with pytest.raises(sa.exc.IntegrityError), UnitOfWork(node) as unit:
        write_each(unit.connection, text, [("new", 1), ("一", 1)])
    with node.reading() as connection:
        assert fetch(connection, "SELECT name FROM counted", ()) == [("一",)]


def test_a_statement_that_failed_is_not_committed_around(node: Database) -> None:
    def pass_over() -> None:
        with UnitOfWork(node) as unit:
            ADDED.rows(unit.connection, name="before", value=1, paper=None)
            driver = unit.connection.connection.driver_connection
            if node.dialect == "sqlite":
                driver.rollback()  # type: ignore[union-attr]  # as SQLite itself does when the disk is full
            with pytest.raises(sa.exc.DBAPIError):
                fetch(unit.connection, "SELECT nothing FROM nowhere", ())
            unit.commit()

    with pytest.raises(InvariantBroken, match="a statement failed"):
        pass_over()
    with node.reading() as connection:
        assert FOUND.rows(connection, of_name="before") == []


def test_a_reader_is_told_that_it_may_not_write(node: Database) -> None:
    with pytest.raises(DomainError) as refusal, node.reading() as connection:
        ADDED.rows(connection, name="two", value=2, paper=None)
    assert refusal.value.symbol == "DATABASE_READ_ONLY"


def test_a_value_that_no_column_holds_is_refused(node: Database) -> None:
    with pytest.raises((OverflowError, sa.exc.DBAPIError)), UnitOfWork(node) as unit:
        ADDED.rows(unit.connection, name="large", value=2**70, paper=None)


def test_a_statement_outside_of_a_transaction_begins_one(node: Database) -> None:
    with node.reading() as connection:
        engine = connection.engine
    with engine.connect() as connection:
        assert FOUND.rows(connection, of_name="一") == [(2**40, b"\x00\xff")]
        assert connection.in_transaction()


def test_a_value_that_is_missing_or_misnamed_is_never_taken_for_none(node: Database) -> None:
    with pytest.raises(InvariantBroken), UnitOfWork(node) as unit:
        MOVED.write(unit.connection, of_name="一")
    with pytest.raises(InvariantBroken), node.reading() as connection:
        FOUND.rows(connection, name="一")
    with pytest.raises(InvariantBroken), UnitOfWork(node) as unit:
        ADDED.rows(unit.connection, name="two", value=2, papers=b"")
