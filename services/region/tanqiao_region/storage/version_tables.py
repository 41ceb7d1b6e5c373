"""Table of what registers held before: for lists as of an earlier index of the journal."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from tanqiao.db.guards import Guard, append_only
from tanqiao_region.storage.tables import metadata

register_version = Table(
    "register_version",
    metadata,
    Column("version_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("register", String(32), nullable=False),
    Column("object_id", String(96), nullable=False),
    Column("first_index", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index(None, "register", "object_id", "version_id"),
)
"""An object of a register as it stood from an index of the journal on, until its next version.

`content` is the serialised message; `first_index` that of the first entry of the transaction that wrote it,
0 for what stood when this table was made.
"""

GUARDS: Final[tuple[Guard, ...]] = (append_only("register_version"),)
