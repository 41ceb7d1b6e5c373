"""The digest by which tests see that nothing changed sees each change, on both databases."""

from __future__ import annotations

import sqlalchemy as sa

from tanqiao.testing.databases import DatabaseUnderTest
from tests.contract.db.statements import run
from tests.contract.digests import digest_of_rows

METADATA = sa.MetaData()
sa.Table("one", METADATA, sa.Column("number", sa.Integer), sa.Column("bytes", sa.LargeBinary))
sa.Table("other", METADATA, sa.Column("text", sa.Text))


def test_a_digest_of_rows_sees_every_change_and_no_order(database: DatabaseUnderTest) -> None:
    node = database.open(owner=True)
    kind = "BYTEA" if database.kind == "postgresql" else "BLOB"
    run(node, f"CREATE TABLE one (number INTEGER, bytes {kind})", "CREATE TABLE other (text TEXT)")
    seen = [digest_of_rows(node, METADATA, ())]
    for change in (
        "INSERT INTO one VALUES (1, NULL)",
        "INSERT INTO one VALUES (2, NULL)",
        "UPDATE one SET number = 3 WHERE number = 2",
        "INSERT INTO other VALUES (NULL)",
        "UPDATE other SET text = ''",
        "UPDATE other SET text = '|'",
        "INSERT INTO other VALUES ('|')",
    ):
        run(node, change)
        seen.append(digest_of_rows(node, METADATA, ()))
    assert len(set(seen)) == len(seen)
    run(node, "DELETE FROM one", "INSERT INTO one VALUES (3, NULL), (1, NULL)")
    assert digest_of_rows(node, METADATA, ()) == seen[-1]
    run(node, "DELETE FROM other")
    assert digest_of_rows(node, METADATA, {"other"}) != digest_of_rows(node, METADATA, ())
