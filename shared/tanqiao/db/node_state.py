"""Small durable facts of a node by name: network id, incarnation, offset of the test clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError

NETWORK_ID: Final = "network_id"
PARTY: Final = "party"
CLOCK_OFFSET: Final = "clock_offset_microseconds"
_MICROSECOND: Final = timedelta(microseconds=1)


def node_state_table(metadata: sa.MetaData, name: str = "node_state") -> sa.Table:
    """Define the table."""
    return sa.Table(
        name,
        metadata,
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def get_state(connection: sa.Connection, table: sa.Table, name: str) -> str | None:
    """Give a fact, None if it was never set."""
    value = connection.execute(sa.select(table.c.value).where(table.c.name == name)).scalar()
    return None if value is None else str(value)


def set_state(connection: sa.Connection, table: sa.Table, name: str, value: str) -> None:
    """Set a fact."""
    changed = connection.execute(sa.update(table).where(table.c.name == name).values(value=value))
    if changed.rowcount == 0:
        connection.execute(sa.insert(table).values(name=name, value=value))


def claim_database(connection: sa.Connection, table: sa.Table, *, network_id: str, party: str) -> bool:
    """Note at the first start whose database this is; True if it was new.

    Raises:
        DomainError: SETTING_INVALID if it is another node's or another network's: keys of a test network are
            valid nowhere else (ARCHITECTURE section 5).
    """
    known_network = get_state(connection, table, NETWORK_ID)
    known_party = get_state(connection, table, PARTY)
    if known_network is None and known_party is None:
        set_state(connection, table, NETWORK_ID, network_id)
        set_state(connection, table, PARTY, party)
        return True
    if (known_network, known_party) != (network_id, party):
        detail = f"the database is that of {known_party} on {known_network}, not of {party} on {network_id}"
        raise DomainError("SETTING_INVALID", setting="database_url", detail=detail)
    return False


class ClockOffsets:
    """Keeps the offset of the test clock in the node's database (`tanqiao.rpc.clock.OffsetStore`)."""

    def __init__(self, database: Database, table: sa.Table) -> None:
        self._database = database
        self._table = table

    def load(self) -> timedelta | None:
        """Give the offset that was saved last, or None."""
        with self._database.reading() as connection:
            value = get_state(connection, self._table, CLOCK_OFFSET)
        return None if value is None else int(value) * _MICROSECOND

    def save(self, offset: timedelta) -> None:
        """Keep the offset; durable when it returns."""

        def work(unit: UnitOfWork) -> None:
            set_state(unit.connection, self._table, CLOCK_OFFSET, str(offset // _MICROSECOND))
            unit.commit()

        run_in_transaction(self._database, work)
