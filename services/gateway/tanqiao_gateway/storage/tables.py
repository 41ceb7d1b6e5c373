"""Tables of a gateway.

An import is written whole or not at all and never changed; the newest one is current.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from tanqiao.db.guards import append_only, immutable, undeletable, write_once
from tanqiao.db.migrations import Schema
from tanqiao.db.node_state import node_state_table
from tanqiao.db.streams import RequestIds

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

node_state = node_state_table(metadata)
request_ids: Final = RequestIds(metadata)

list_import = Table(
    "list_import",
    metadata,
    Column("import_number", BigInteger, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("as_of_date", String(10), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("mapping", String(64), nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("imported_at", BigInteger, nullable=False),
    Column("imported_by", String(128), nullable=False),
    Index("ix_list_import_digest", "digest", "as_of_date", "mapping"),
    Index(None, "as_of_date", "import_number"),
)
"""One list as received.

Its digest is SHA-256 of the file's bytes; the current one has the latest as-of date.
"""

record = Table(
    "record",
    metadata,
    Column("import_number", BigInteger, ForeignKey("list_import.import_number"), primary_key=True),
    Column("row_number", BigInteger, primary_key=True),
    Column("reference", String(128), nullable=False),
    Column("title", Text, nullable=False),
    Column("subject_uscc", String(18), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("invented", Boolean, nullable=False),
    Index(None, "import_number", "subject_uscc"),
    Index(None, "import_number", "reference"),
)
"""One record of a list; `content` is the serialised RegistryRecord."""

record_key = Table(
    "record_key",
    metadata,
    Column("import_number", BigInteger, primary_key=True),
    Column("asset_key", String(160), primary_key=True),
    Column("row_number", BigInteger, primary_key=True),
)
"""Asset keys under which a record is found."""

list_undo = Table(
    "list_undo",
    metadata,
    Column("import_number", BigInteger, ForeignKey("list_import.import_number"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("undone_at", BigInteger, nullable=False),
    Column("undone_by", String(128), nullable=False),
)
"""Imports that count no more: the list before them is current again, and their rows stay as evidence."""

registry_order = Table(
    "registry_order",
    metadata,
    Column("order_id", LargeBinary, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("claim_id", String(96), nullable=False),
    Column("order_hash", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("standing_until", String(10), nullable=False),
    Column("received_answer", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("decision", Integer),
    Column("decided_answer", LargeBinary),
    Column("decided_at", BigInteger),
    Column("decided_by", String(128)),
    Index(None, "claim_id"),
    Index(None, "received_at"),
)
"""Orders of the bridge (CLAIMS section 4): stored with the acknowledgement, decided once."""

certificate_effect = Table(
    "certificate_effect",
    metadata,
    Column("effect_number", BigInteger, primary_key=True, autoincrement=False),
    Column("order_id", LargeBinary, ForeignKey("registry_order.order_id"), nullable=False),
    Column("claim_id", String(96), nullable=False),
    Column("asset_key", String(160), nullable=False),
    Column("start_date", String(10), nullable=False),
    Column("end_date", String(10), nullable=False),
    Column("frozen_mwh", BigInteger, nullable=False),
    Column("cancelled_mwh", BigInteger, nullable=False),
    Column("unfrozen_mwh", BigInteger, nullable=False),
    Column("import_number", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Index(None, "asset_key"),
    Index(None, "claim_id"),
)
"""What orders did to certificates: changes of the frozen, cancelled and released MWh of a plant's period."""

GUARDS_OF_LISTS: Final = tuple(append_only(table) for table in ("list_import", "record", "record_key"))
GUARDS_OF_ORDERS_AND_UNDO: Final = (
    undeletable("registry_order"),
    immutable("registry_order", "order_id", "kind", "claim_id", "order_hash", "payload", "envelope"),
    immutable("registry_order", "standing_until", "received_answer", "received_at"),
    write_once("registry_order", "decision", "decided_answer", "decided_at", "decided_by"),
    append_only("certificate_effect"),
    append_only("list_undo"),
)
GUARDS: Final = (*GUARDS_OF_LISTS, *GUARDS_OF_ORDERS_AND_UNDO)
SCHEMA: Final = Schema("tanqiao_gateway.migrations", metadata, GUARDS)
