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
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from tanqiao.db.guards import append_only
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
    Index("uq_list_import_digest", "digest", "as_of_date", "mapping", unique=True),
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

GUARDS: Final = tuple(append_only(table) for table in ("list_import", "record", "record_key"))
SCHEMA: Final = Schema("tanqiao_gateway.migrations", metadata, GUARDS)
