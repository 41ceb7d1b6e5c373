"""Rows that an earlier schema wrote are there, whole, after the migration to the newest (docs/storage.md).

Nodes work, stop, and their databases are taken back to the schema of an earlier program: what it would have
written is what is left. From there they are migrated as `migrate` does at a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.db.engine import Database, open_engine
from tanqiao.db.migrations import Schema, migrate, step_down
from tanqiao.testing.databases import DatabaseMaker
from tanqiao_bridge.storage.schema import SCHEMA as BRIDGE_SCHEMA
from tanqiao_region.storage.schema import SCHEMA as REGION_SCHEMA
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio, trio

FIRST: Final = "0001"
WRITTEN_BY_THE_FIRST: Final = {
    "bridge": {"decision", "location", "log_leaf", "message", "outbox"},
    SHANGHAI: {"account", "holding", "journal", "outgoing_transfer", "signature"},
    SHENZHEN: {"account", "holding", "incoming_transfer", "journal", "receiving_address"},
}
"""Tables of the first schema that a transfer, a use and an issue leave rows in."""
Rows = dict[str, list[dict[str, Any]]]

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


def rows_of(database: Database) -> Rows:
    """Give every row of every table, by column."""
    with database.reading() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        return {
            table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for table in tables.sorted_tables
            if table.name != "alembic_version"
        }


def kept(before: Rows, after: Rows) -> None:
    """Demand that each row is there, with the values of the columns that it had."""
    for table, rows in before.items():
        columns = list(rows[0]) if rows else []
        now = [repr([row[name] for name in columns]) for row in after[table]]
        assert sorted(now) == sorted(repr(list(row.values())) for row in rows), table


def stages(revisions: Sequence[str]) -> tuple[str, ...]:
    """Choose earlier schemas, latest first: the one before, one in the middle, the first."""
    return tuple(dict.fromkeys((revisions[-2], revisions[len(revisions) // 2], FIRST)))


def upgraded(url: str, schema: Schema, revisions: Sequence[str], party: str) -> None:
    """Take a database back to earlier schemas in turn, and migrate it from each."""
    with open_engine(url, role="writer") as database:
        for stage in stages(revisions):
            assert step_down(database, schema, stage) == stage
            before = rows_of(database)
            assert all(before[table] for table in WRITTEN_BY_THE_FIRST[party]), (party, stage)
            assert migrate(database, schema) == list(revisions[revisions.index(stage) + 1 :])
            kept(before, rows_of(database))


def revisions_of(schema: Schema) -> list[str]:
    """Give the revisions by the names of their files: ``0003_orders.py`` is revision 0003."""
    versions = resources.files(schema.package) / "versions"
    return sorted(one.name.partition("_")[0] for one in versions.iterdir() if one.name[:1].isdigit())


def work(nodes: Trio, first: int) -> None:
    """Let two transfers cross, and use a kilogram."""
    sent = [nodes.market.send(number) for number in (first, first + 1)]
    ended = nodes.market.wait_ended(sent)
    assert set(ended.values()) == {ledger_pb2.TRANSFER_STATE_MOVED}
    nodes.market.retire(1)


def test_rows_of_earlier_schemas_are_whole_at_the_newest(
    tmp_path: Path, database_maker: DatabaseMaker, database_kind: str
) -> None:
    network = full_network(tmp_path / "network")
    schemas = {"bridge": BRIDGE_SCHEMA, SHANGHAI: REGION_SCHEMA, SHENZHEN: REGION_SCHEMA}
    with trio(network, database_maker, database_kind) as nodes:
        work(nodes, 1)
        for party in schemas:
            nodes.stop(party)
        for party, schema in schemas.items():
            revisions = revisions_of(schema)
            assert len(revisions) > len(stages(revisions)) > 1
            upgraded(nodes._databases[party].owner_url, schema, revisions, party)
        # Of the regions the first schema held everything that their books rest on: they go on with it.
        for party in (SHANGHAI, SHENZHEN):
            nodes.start(party)
            nodes.require_clean_at(party)
