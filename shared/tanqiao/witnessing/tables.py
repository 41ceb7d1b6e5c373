"""Tables of a witness: what it has replayed, what it has promised, and the mirror of the log.

PROTOCOL sections 6 and 8. One witness follows one log. `witness_tree` is the tree replayed so far with the
hashes that appending to it needs; `witness_promise` the largest tree that was cosigned. A witness that
loses them could cosign a second history: its database is to be kept as carefully as its key.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

from tanqiao.db.guards import append_only, never_decreases, undeletable
from tanqiao.db.migrations import Schema
from tanqiao.db.node_state import node_state_table

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

node_state = node_state_table(metadata)
"""Whose database this is."""

tree = Table(
    "witness_tree",
    metadata,
    Column("log", String(192), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("edge", LargeBinary, nullable=False),
)
"""The tree that was replayed; `edge` are the hashes of its perfect subtrees, left to right."""

promise = Table(
    "witness_promise",
    metadata,
    Column("log", String(192), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("time_seconds", BigInteger, nullable=False, server_default="0"),
)
"""The largest tree that was cosigned, with the log's signed checkpoint of it; the latest time stated."""

key = Table(
    "witness_key",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("role", Integer, nullable=False),
    Column("suite", Integer, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("key_epoch", BigInteger, nullable=False),
    Column("valid_from_index", BigInteger, nullable=False),
    Column("valid_to_index", BigInteger, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("holder", String(128), nullable=False),
)
"""Keys as the log has stated them so far."""

location = Table(
    "witness_location",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("start_serial", BigInteger, primary_key=True, autoincrement=False),
    Column("end_serial", BigInteger, nullable=False),
    Column("region", String(96), nullable=False),
    Column("state", Integer, nullable=False),
    Index("uq_witness_location_end", "series_id", "end_serial", unique=True),
)
"""Where units are by the replayed leaves: 1 held, 2 used, 3 cancelled."""

decided = Table(
    "witness_decided",
    metadata,
    Column("source", String(96), primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("log_index", BigInteger, nullable=False),
)

issued = Table(
    "witness_issued",
    metadata,
    Column("region", String(96), primary_key=True),
    Column("issue_id", LargeBinary, primary_key=True),
    Column("log_index", BigInteger, nullable=False),
)

claimed = Table(
    "witness_claimed",
    metadata,
    Column("receipt_hash", LargeBinary, primary_key=True),
    Column("claim_id", String(96), nullable=False),
    Column("log_index", BigInteger, nullable=False),
)
"""Receipts of claims that are not rejected."""

group_change = Table(
    "witness_group_change",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("witnesses", Text, nullable=False),
    Column("quorum", Integer, nullable=False),
    Column("by_roots", Boolean, nullable=False),
)
"""Changes of the group of witnesses as the replayed leaves state them; `witnesses` a line each."""

handover = Table(
    "witness_handover",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)
"""Of such a change the checkpoint that the group before has cosigned; it fits the replayed tree."""

mirrored_leaf = Table(
    "mirrored_leaf",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("records", LargeBinary, nullable=False),
)
"""The mirror: every leaf; a serialised `LogLeaf` with the messages that it names and its sealed record."""

mirror_checkpoint = Table(
    "mirror_checkpoint",
    metadata,
    Column("log", String(192), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("proof", LargeBinary, nullable=False),
)
"""Checkpoints that show what the mirror is worth.

`shown`: the one that the replayed tree of `size` leaves was shown to belong to, with the consistency proof;
`cosigned`: the largest with a quorum that fits the replayed tree.
"""

evidence = Table(
    "witness_evidence",
    metadata,
    Column("evidence_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("first_note", LargeBinary, nullable=False),
    Column("second_note", LargeBinary, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
"""What made this witness stop: two checkpoints, or a checkpoint and the leaf that it would not cosign."""

FIRST_GUARDS: Final = (
    undeletable("witness_tree"),
    never_decreases("witness_tree", "size"),
    undeletable("witness_promise"),
    never_decreases("witness_promise", "size"),
    append_only("witness_decided"),
    append_only("witness_issued"),
    append_only("witness_claimed"),
    append_only("mirrored_leaf"),
    append_only("witness_evidence"),
)
GUARDS: Final = (
    *FIRST_GUARDS,
    never_decreases("witness_promise", "time_seconds"),
    undeletable("mirror_checkpoint"),
    append_only("witness_group_change"),
    append_only("witness_handover"),
    never_decreases("mirror_checkpoint", "size"),
)
SCHEMA: Final = Schema("tanqiao.witnessing.migrations", metadata, GUARDS)
