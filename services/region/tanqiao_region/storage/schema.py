"""The schema of a region node: tables, and what the database itself refuses (looked for at every start)."""

from __future__ import annotations

from typing import Final

from tanqiao.db.guards import BlockColumns, append_only, immutable, no_overlap, undeletable, write_once
from tanqiao.db.migrations import Schema
from tanqiao_region.storage.certificate_tables import GUARDS as CERTIFICATE_GUARDS
from tanqiao_region.storage.clawback_tables import GUARDS as CLAWBACK_GUARDS
from tanqiao_region.storage.consent_tables import GUARDS as CONSENT_GUARDS
from tanqiao_region.storage.decision_tables import GUARDS as DECISION_GUARDS
from tanqiao_region.storage.dossier_tables import GUARDS as DOSSIER_GUARDS
from tanqiao_region.storage.encumbrance_tables import GUARDS as ENCUMBRANCE_GUARDS
from tanqiao_region.storage.mandate_tables import GUARDS as MANDATE_GUARDS
from tanqiao_region.storage.parameter_tables import rule_parameter
from tanqiao_region.storage.reserve_tables import GUARDS as RESERVE_GUARDS
from tanqiao_region.storage.scene_tables import GUARDS as SCENE_GUARDS
from tanqiao_region.storage.tables import APPEND_ONLY, inbox, metadata, outbox, request_ids, sealed_logs
from tanqiao_region.storage.version_tables import GUARDS as VERSION_GUARDS

GUARDS: Final = (
    *(append_only(table) for table in APPEND_ONLY),
    no_overlap(
        "holding",
        BlockColumns(("series_id",), "start_serial", "end_serial"),
        series_table="series",
        series_key=("series_id",),
        start_is_key=True,
    ),
    append_only("series"),
    undeletable("account"),
    immutable("account", "kind", "pseudonym", "suspense_of", "opened_at", "opened_by"),
    append_only("receiving_address"),
    undeletable("outgoing_transfer"),
    immutable(
        "outgoing_transfer",
        "transfer_id",
        "kind",
        "destination",
        "account_id",
        "quantity_kg",
        "blocks",
        "payload",
        "message_hash",
    ),
    write_once("outgoing_transfer", "ended_at", "decision_signature_id"),
    undeletable("incoming_transfer"),
    immutable("incoming_transfer", "source", "transfer_id"),
    write_once("incoming_transfer", "ended_at", "decision_signature_id", "answer_signature_id"),
    undeletable("retirement"),
    undeletable("issuance"),
    immutable(
        "issuance", "issuance_id", "series_id", "start_serial", "end_serial", "payload", "message_hash"
    ),
    undeletable("methodology"),
    immutable("methodology", "methodology_id", "kind", "unit_class", "quantification"),
    undeletable("project"),
    immutable("project", "project_id", "owner_account_id", "methodology_id", "claim_id", "submitted_by"),
    undeletable("claim_step"),
    immutable("claim_step", "step_id", "kind", "subject_id", "caller", "request_id", "command", "envelope"),
    append_only("issuance_basis"),
    append_only("activity_batch"),
    undeletable("activity"),
    immutable("activity", "end_date", "on_grid_wh", "self_use_wh", "batch_id"),
    append_only("resource"),
    append_only("resource_asset"),
    undeletable("transfer_finality"),
    immutable("transfer_finality", "source", "transfer_id", "log_index", "decision_hash", "blocks"),
    write_once("transfer_finality", "final_at_ms"),
    *DOSSIER_GUARDS,
    *ENCUMBRANCE_GUARDS,
    append_only(rule_parameter.name),
    *SCENE_GUARDS,
    *RESERVE_GUARDS,
    *MANDATE_GUARDS,
    *CERTIFICATE_GUARDS,
    *CONSENT_GUARDS,
    *CLAWBACK_GUARDS,
    *VERSION_GUARDS,
    *DECISION_GUARDS,
    *sealed_logs.guards(),
    *outbox.guards(),
    *inbox.guards(),
    *request_ids.guards(),
)
SCHEMA: Final = Schema("tanqiao_region.migrations", metadata, GUARDS)
