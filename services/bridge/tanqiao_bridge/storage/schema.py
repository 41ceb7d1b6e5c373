"""The bridge's schema: tables, and what the database itself refuses (looked for at every start)."""

from __future__ import annotations

from typing import Final

from tanqiao.db.guards import (
    BlockColumns,
    append_only,
    never_decreases,
    no_overlap,
    undeletable,
)
from tanqiao.db.migrations import Schema
from tanqiao_bridge.storage.claim_tables import metadata
from tanqiao_bridge.storage.tables import APPEND_ONLY, leases, sealed_logs
from tanqiao_bridge.storage.witness_groups import witness_group_change

GUARDS: Final = (
    *(append_only(table) for table in APPEND_ONLY),
    no_overlap(
        "location",
        BlockColumns(("series_id",), "start_serial", "end_serial"),
        series_table="series",
        series_key=("series_id",),
        start_is_key=True,
    ),
    append_only("series"),
    append_only("agreement"),
    undeletable("agreement_use"),
    never_decreases("agreement_use", "used_kg"),
    undeletable("counter"),
    never_decreases("counter", "value"),
    undeletable("claim"),
    undeletable("conflict_case"),
    undeletable("recovery_item"),
    append_only(witness_group_change.name),
    never_decreases("region", "session_number", "incarnation"),
    *sealed_logs.guards(),
    *leases.guards(),
)
SCHEMA: Final = Schema("tanqiao_bridge.migrations", metadata, GUARDS)
