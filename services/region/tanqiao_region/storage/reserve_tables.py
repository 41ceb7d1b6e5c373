"""Tables of what happens to reserve entries; units as in `tanqiao_region.storage.tables`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, LargeBinary, String, Table

from tanqiao.db.guards import Guard, append_only
from tanqiao_region.storage.tables import metadata

resource_link = Table(
    "resource_link",
    metadata,
    Column("entry_id", String(64), ForeignKey("resource.entry_id"), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""To which application elsewhere an entry was handed over: the serialised ResourceLink."""

GUARDS: Final[tuple[Guard, ...]] = (append_only("resource_link"),)
