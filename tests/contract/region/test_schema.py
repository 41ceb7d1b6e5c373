"""The schema: from empty, one step down and up again, no drift, every guard there and at work."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tanqiao.db.migrations import check_current, drift, migrate, step_down
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao_region.application.commands import Selection
from tanqiao_region.storage.schema import GUARDS, SCHEMA
from tests.contract.region.harness import Node, block


def test_the_migrations_make_what_the_program_uses(database: DatabaseUnderTest) -> None:
    opened = database.open(owner=True)
    steps = migrate(opened, SCHEMA)
    assert steps == sorted(steps)
    assert steps[0] == "0001"
    assert migrate(opened, SCHEMA) == []
    assert drift(opened, SCHEMA) == []


def test_every_step_down_and_up_again(database: DatabaseUnderTest) -> None:
    opened = database.open(owner=True)
    steps = migrate(opened, SCHEMA)
    for at in reversed(range(len(steps))):
        assert step_down(opened, SCHEMA) == (steps[at - 1] if at else None)
    assert migrate(opened, SCHEMA) == steps
    assert drift(opened, SCHEMA) == []


def test_a_node_does_not_start_on_a_schema_without_a_guard(database: DatabaseUnderTest) -> None:
    opened = database.open(owner=True)
    migrate(opened, SCHEMA)
    with opened.writing() as connection:
        piece = next(one for one in GUARDS[0].pieces(connection) if one.kind == "trigger")
        table = "" if connection.dialect.name == "sqlite" else f' ON "{piece.table}"'
        connection.exec_driver_sql(f'DROP TRIGGER "{piece.name}"{table}')
        connection.commit()
    reader = database.open("reader") if database.kind == "sqlite" else database.open()
    with pytest.raises(DomainError) as refusal:
        check_current(reader, SCHEMA)
    assert refusal.value.symbol == "DATABASE_GUARD_MISSING"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journal",
        "UPDATE journal SET kind = 2",
        "DELETE FROM journal_account",
        "DELETE FROM account",
        "UPDATE account SET kind = 1",
        "UPDATE holding SET end_serial = end_serial + 100 WHERE start_serial = 0",
        "UPDATE holding SET end_serial = start_serial WHERE start_serial = 0",
        "UPDATE series SET unit_class = 'II'",
    ],
)
def test_the_database_itself_refuses(node: Node, statement: str) -> None:
    account, other = node.open_account("a"), node.open_account("b")
    node.give(account.account_id, block(0, 100))
    node.move(account.account_id, other.account_id, Selection(quantity_kg=10))
    before = node.held(account.account_id)
    with pytest.raises(sa.exc.DBAPIError):
        write(node, statement)
    assert node.held(account.account_id) == before


def write(node: Node, statement: str) -> None:
    """Run a statement as the node's own role, and commit."""
    with node.region.database.writing() as connection:
        connection.exec_driver_sql(statement)
        connection.commit()
