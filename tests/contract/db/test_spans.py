"""Which rows some blocks touch or share a serial with, on both databases: what a look at each row tells."""

from __future__ import annotations

from random import Random

import pytest
import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao.db.engine import Database
from tanqiao.db.spans import rows_touching, rows_within
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.kernel.units import UnitBlock
from tanqiao.testing.databases import DatabaseUnderTest

metadata = sa.MetaData()
block_table = sa.Table(
    "block_table",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("series_id", sa.String(160), nullable=False),
    sa.Column("start_serial", sa.BigInteger, nullable=False),
    sa.Column("end_serial", sa.BigInteger, nullable=False),
    sa.Column("counts", sa.Boolean, nullable=False),
)
COLUMNS = ("series_id", "start_serial", "end_serial")
SERIES = ("310000:A:P:2026:1", "310000:B:P:2026:1")


@pytest.fixture
def node(database: DatabaseUnderTest) -> Database:
    opened = database.open(owner=True)
    with UnitOfWork(opened) as unit:
        metadata.create_all(unit.connection)
        unit.commit()
    return opened


def test_rows_are_those_that_a_look_at_each_gives(node: Database) -> None:
    random = Random(7)
    rows: list[tuple[int, str, int, int, bool]] = []
    for series in SERIES:
        at = 0
        while at < 400:
            start = at + random.choice((0, 0, 1, 9))
            at = start + random.randint(1, 20)
            rows.append((len(rows), series, start, at, True))
    disjoint = [UnitBlock(*row[1:4]) for row in rows]
    # Those that do not count overlap the others.
    refused = [(len(rows) + number, SERIES[0], number, number + 50, False) for number in range(0, 400, 7)]
    with UnitOfWork(node) as unit:
        insert_rows(unit.connection, block_table, rows)
        unit.commit()
    looked_for = [
        [
            UnitBlock(random.choice(SERIES), start, start + random.randint(1, 30))
            for start in random.sample(range(430), count)
        ]
        for count in (1, 1, 1, 2, 5, 20)
        for _ in range(10)
    ]
    with node.reading() as connection:
        for blocks in looked_for:
            found = rows_touching(connection, block_table, blocks, COLUMNS)
            assert sorted(UnitBlock(*row) for row in found) == sorted(
                one
                for one in disjoint
                if any(
                    one.series_id == block.series_id and one.start <= block.end and block.start <= one.end
                    for block in blocks
                )
            )
    with UnitOfWork(node) as unit:
        insert_rows(unit.connection, block_table, refused)
        unit.commit()
    with node.reading() as connection:
        assert rows_within(connection, block_table, [], COLUMNS, only="counts") == []
        for blocks in looked_for:
            found = rows_within(connection, block_table, blocks, COLUMNS, only="counts")
            assert sorted(UnitBlock(*row) for row in found) == sorted(
                one for one in disjoint if any(map(one.overlaps, blocks))
            )
