"""Many stored payloads under the signatures of their batches, on both databases."""

from __future__ import annotations

import random

import sqlalchemy as sa

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db import signatures
from tanqiao.db.bulk import insert_rows
from tanqiao.db.signatures import envelopes_by_batch, signature_table, store_batch
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.signing.merkle import root_from_path
from tanqiao.signing.pae import message_hash
from tanqiao.testing.databases import DatabaseUnderTest

TYPE = "application/vnd.tanqiao.test.v1"
BATCHES = signatures.LEVELS_KEPT_MAX + 10
ITEMS = 5

metadata = sa.MetaData()
signature = signature_table(metadata)
stored = sa.Table(
    "stored",
    metadata,
    sa.Column("name", sa.LargeBinary, primary_key=True),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("signature_id", sa.BigInteger),
    sa.Column("item_index", sa.Integer),
)


def test_the_tree_of_a_batch_is_made_once_however_its_items_are_stored(database: DatabaseUnderTest) -> None:
    node = database.open(owner=True)
    rows = []
    with UnitOfWork(node) as unit:
        metadata.create_all(unit.connection)
        for number in range(BATCHES):
            payloads = [f"{number}/{item}".encode() for item in range(ITEMS)]
            batch = envelope_pb2.EnvelopeBatch(payload_type=TYPE, payloads=payloads)
            signature_id = store_batch(unit.connection, signature, batch)
            rows += [
                (message_hash(TYPE, payload), payload, signature_id, index)
                for index, payload in enumerate(payloads)
            ]
        random.Random(7).shuffle(rows)
        insert_rows(unit.connection, stored, rows)
        unit.commit()
    signatures._levels.cache_clear()
    roots: dict[int, set[bytes | None]] = {}
    names = []
    with node.reading() as connection:
        for row, envelope in envelopes_by_batch(connection, signature, sa.select(stored)):
            names.append(bytes(row.name))
            assert message_hash(TYPE, envelope.payload) == names[-1]
            proof = envelope.batch_proof
            root = root_from_path(names[-1], proof.index, proof.size, proof.path)
            roots.setdefault(row.signature_id, set()).add(root)
    assert sorted(names) == sorted(row[0] for row in rows)
    assert len(roots) == BATCHES
    assert all(len(found) == 1 and None not in found for found in roots.values())
    assert signatures._levels.cache_info().misses == BATCHES
