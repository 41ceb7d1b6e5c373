"""Plain SQL in one unit of work, for the contract suites of the storage."""

from __future__ import annotations

from tanqiao.db.engine import Database
from tanqiao.db.unit_of_work import UnitOfWork


def run(node: Database, *statements: str) -> None:
    """Run the statements and commit; nothing is written when one of them is refused."""
    with UnitOfWork(node) as unit:
        for statement in statements:
            unit.connection.exec_driver_sql(statement)
        unit.commit()


def count(node: Database, table: str) -> int:
    """Count the rows of a table on a fresh snapshot."""
    with node.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
