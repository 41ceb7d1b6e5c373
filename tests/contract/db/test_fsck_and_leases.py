"""Comparing what is with what must be, and leases that fence, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tanqiao.db import guards
from tanqiao.db.engine import Database, open_engine
from tanqiao.db.faults import violated_guard
from tanqiao.db.fsck import compare_queries
from tanqiao.db.leases import Lease, Leases
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import run

HOUR_US = 3_600_000_000
metadata = sa.MetaData()
leases = Leases(metadata)
kept = sa.Table(
    "kept", metadata, sa.Column("account", sa.BigInteger, primary_key=True), sa.Column("kg", sa.BigInteger)
)
journal = sa.Table(
    "journal",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("account", sa.BigInteger),
    sa.Column("kg", sa.BigInteger),
)


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    with UnitOfWork(opened) as unit:
        metadata.create_all(unit.connection)
        guards.install(unit.connection, leases.guards())
        unit.commit()
    return opened


def compared(node: Database, limit: int = 100) -> list[str]:
    expected = sa.select(
        journal.c.account, sa.cast(sa.func.sum(journal.c.kg), sa.BigInteger).label("kg")
    ).group_by(journal.c.account)
    with node.reading() as connection:
        found = compare_queries(
            connection, "balance", expected, sa.select(kept.c.account, kept.c.kg), limit=limit
        )
    return sorted(str(difference) for difference in found)


def test_balances_that_follow_from_the_journal_show_no_difference(node: Database) -> None:
    run(
        node,
        "INSERT INTO journal VALUES (1, 1, 10), (2, 1, -3), (3, 2, 5)",
        "INSERT INTO kept VALUES (1, 7), (2, 5)",
    )
    assert compared(node) == []


def test_each_wrong_missing_and_surplus_row_is_named(node: Database) -> None:
    run(node, "INSERT INTO journal VALUES (1, 1, 10), (2, 2, 5)", "INSERT INTO kept VALUES (1, 11), (3, 4)")
    assert compared(node) == [
        "balance: (1, 10) is missing",
        "balance: (1, 11) should not be there",
        "balance: (2, 5) is missing",
        "balance: (3, 4) should not be there",
    ]


def test_the_report_is_bounded(node: Database) -> None:
    run(node, "INSERT INTO kept VALUES " + ", ".join(f"({number}, 1)" for number in range(50)))
    assert len(compared(node, limit=7)) == 7


def test_queries_of_different_shape_are_a_fault_of_the_program(node: Database) -> None:
    with node.reading() as connection, pytest.raises(InvariantBroken):
        compare_queries(connection, "x", sa.select(kept.c.kg), sa.select(kept.c.kg, kept.c.account))


def acquire(node: Database, holder: str, now_us: int) -> Lease | None:
    def work(unit: UnitOfWork) -> Lease | None:
        lease = leases.acquire(unit.connection, "seal", holder, now_us=now_us, duration_us=HOUR_US)
        unit.commit()
        return lease

    return run_in_transaction(node, work)


def require_held(node: Database, lease: Lease) -> None:
    with UnitOfWork(node) as unit:
        leases.require_held(unit.connection, lease)


def test_a_lease_is_held_by_one_until_it_expires(node: Database) -> None:
    first = acquire(node, "a", 0)
    assert first == Lease("seal", "a", 1, HOUR_US)
    assert acquire(node, "b", HOUR_US - 1) is None
    assert acquire(node, "a", 10) == Lease("seal", "a", 1, HOUR_US + 10)
    second = acquire(node, "b", 2 * HOUR_US)
    assert second is not None
    assert second.epoch == 2
    require_held(node, second)


def test_the_former_holder_is_fenced_whatever_its_clock_says(node: Database) -> None:
    first = acquire(node, "a", 0)
    assert first is not None
    require_held(node, first)
    acquire(node, "b", 2 * HOUR_US)
    with pytest.raises(DomainError) as refusal:
        require_held(node, first)
    assert refusal.value.symbol == "LEASE_LOST"
    with pytest.raises(DomainError), UnitOfWork(node) as unit:
        leases.renew(unit.connection, first, now_us=0, duration_us=HOUR_US)


def test_an_expired_lease_that_nobody_took_still_holds_and_can_be_renewed(node: Database) -> None:
    first = acquire(node, "a", 0)
    assert first is not None
    require_held(node, first)
    with UnitOfWork(node) as unit:
        renewed = leases.renew(unit.connection, first, now_us=3 * HOUR_US, duration_us=HOUR_US)
        unit.commit()
    assert renewed == Lease("seal", "a", 1, 4 * HOUR_US)
    assert acquire(node, "b", 4 * HOUR_US - 1) is None


def test_a_released_lease_is_free_at_once(node: Database) -> None:
    first = acquire(node, "a", 0)
    assert first is not None
    with UnitOfWork(node) as unit:
        leases.release(unit.connection, first)
        unit.commit()
    second = acquire(node, "b", 1)
    assert second is not None
    assert second.epoch == 2


def test_the_newest_session_fences_the_older(node: Database) -> None:
    first = acquire(node, "a", 0)
    assert first is not None
    with UnitOfWork(node) as unit:
        second = leases.take_over(unit.connection, "seal", "b", now_us=1, duration_us=HOUR_US)
        other = leases.take_over(unit.connection, "other", "b", now_us=1, duration_us=HOUR_US)
        unit.commit()
    assert (second.epoch, other.epoch) == (2, 1)
    with pytest.raises(DomainError):
        require_held(node, first)


def test_while_the_holder_writes_nobody_takes_over(node: Database, database: DatabaseUnderTest) -> None:
    first = acquire(node, "a", 0)
    assert first is not None
    if database.kind == "sqlite":
        with UnitOfWork(node) as unit:
            leases.require_held(unit.connection, first)  # one writer: whoever takes over waits for this unit
        return
    with open_engine(database.owner_url, role="writer") as other, UnitOfWork(node) as unit:
        leases.require_held(unit.connection, first)
        with pytest.raises(DomainError) as refusal:
            run_in_transaction(other, take_over_hastily, attempts=1)
    assert refusal.value.symbol == "BUSY"


def take_over_hastily(unit: UnitOfWork) -> None:
    unit.connection.exec_driver_sql("SET LOCAL lock_timeout = 50")
    leases.take_over(unit.connection, "seal", "b", now_us=1, duration_us=HOUR_US)


def test_an_epoch_never_comes_back(node: Database) -> None:
    acquire(node, "a", 0)
    acquire(node, "b", 2 * HOUR_US)
    for statement, guard in (
        ("UPDATE lease SET epoch = 1", "lease_never_decreases_epoch"),
        ("DELETE FROM lease", "lease_undeletable"),
    ):
        with pytest.raises(sa.exc.IntegrityError) as refusal:
            run(node, statement)
        assert violated_guard(refusal.value) == guard
