"""Tables of the bridge, the same on SQLite and PostgreSQL.

Append-only tables are named in `APPEND_ONLY`; the database itself refuses to change them (migrations install
the guards, the start looks for them by name). `location`, `agreement_use` and `claim` are kept in the same
transaction as the leaf that changes them and can be rebuilt from the log: `tanqiao-bridge fsck`.
Quantities are kilograms of CO2 equivalent; serial ranges are half-open; hashes are 32 bytes, ids 16.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from tanqiao.db.leases import Leases
from tanqiao.db.node_state import node_state_table
from tanqiao.db.sealed_logs import SealedLogs
from tanqiao.db.signatures import signature_table
from tanqiao.db.streams import Inbox, Outbox, RequestIds

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ON_EVIDENCE_ALONE: Final = "bridge"
"""Who orders a freeze that rests on evidence; an authority orders every other one."""

counter = Table(
    "counter",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Dense numbers: `log_size` is the number of leaves; its row is locked by whoever appends."""

node_state = node_state_table(metadata)
"""Small durable facts: network id, bridge epoch, offset of the test clock in seconds."""

key_record = Table(
    "key_record",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("owner", String(96), nullable=False),
    Column("role", Integer, nullable=False),
    Column("suite", Integer, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("key_epoch", BigInteger, nullable=False),
    Column("valid_from_index", BigInteger, nullable=False),
    Column("valid_to_index", BigInteger, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=False),
)

region = Table(
    "region",
    metadata,
    Column("region", String(96), primary_key=True),
    Column("region_code", String(12), nullable=False),
    Column("incarnation", BigInteger, nullable=False),
    Column("session_number", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
)
"""Regions of the federation; `session_number` grows and fences, `last_seen_at` is in epoch seconds."""

agreement = Table(
    "agreement",
    metadata,
    Column("agreement_id", String(64), primary_key=True),
    Column("from_region", String(96), nullable=False),
    Column("to_region", String(96), nullable=False),
    Column("programmes", Text, nullable=False),
    Column("unit_classes", Text, nullable=False),
    Column("purposes", Text, nullable=False),
    Column("quantity_cap_kg", BigInteger, nullable=False),
    Column("start_date", String(10), nullable=False),
    Column("end_date", String(10), nullable=False),
    Column("document", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    CheckConstraint("quantity_cap_kg >= 0", name="cap_not_negative"),
    Index(None, "from_region", "to_region"),
)
"""Recognition records as signed by both roots; lists are JSON text, a cap of 0 means none."""

agreement_use = Table(
    "agreement_use",
    metadata,
    Column("agreement_id", String(64), ForeignKey("agreement.agreement_id"), primary_key=True),
    Column("used_kg", BigInteger, nullable=False),
    CheckConstraint("used_kg >= 0", name="used_not_negative"),
)

series = Table(
    "series",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("region", String(96), nullable=False),
    Column("programme", String(32), nullable=False),
    Column("source_id", String(64), nullable=False),
    Column("vintage_year", Integer, nullable=False),
    Column("batch_number", Integer, nullable=False),
    Column("methodology_id", String(64), nullable=False),
    Column("unit_class", String(8), nullable=False),
    Column("log_index", BigInteger, nullable=False),
)

location = Table(
    "location",
    metadata,
    Column("series_id", String(160), ForeignKey("series.series_id"), primary_key=True),
    Column("start_serial", BigInteger, primary_key=True),
    Column("end_serial", BigInteger, nullable=False),
    Column("region", String(96), nullable=False),
    Column("state", Integer, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    CheckConstraint("start_serial >= 0 AND start_serial < end_serial", name="range_ordered"),
    CheckConstraint("state IN (1, 2, 3)", name="state_known"),
    Index(None, "region", "series_id"),
)
"""Where every unit is: 1 held at the region, 2 used there, 3 cancelled there. No overlap within a series."""

issue = Table(
    "issue",
    metadata,
    Column("region", String(96), primary_key=True),
    Column("issue_id", LargeBinary, primary_key=True),
    Column("message_hash", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("receipt_payload", LargeBinary, nullable=False),
    Column("receipt_hash", LargeBinary, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("series_id", String(160), nullable=False),
    Column("start_serial", BigInteger, nullable=False),
    Column("end_serial", BigInteger, nullable=False),
    Column("claim_id", String(96), nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=False),
    Column("item_index", Integer, nullable=False),
    Index(None, "claim_id"),
    Index(
        "ix_issue_units",
        "series_id",
        "start_serial",
        sqlite_where=text("accepted"),
        postgresql_where=text("accepted"),
    ),
)
"""Each Issue once, accepted or refused, with the stored answer; the units of those accepted are disjoint."""

decision = Table(
    "decision",
    metadata,
    Column("source", String(96), primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("destination", String(96), nullable=False),
    Column("outcome", Integer, nullable=False),
    Column("lock_hash", LargeBinary, nullable=False),
    Column("ready_hash", LargeBinary, nullable=False),
    Column("answer_hash", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("legal_date", String(10), nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("decision_hash", LargeBinary, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("quantity_kg", BigInteger, nullable=False),
    CheckConstraint("outcome IN (1, 2)", name="outcome_known"),
    CheckConstraint("kind IN (1, 2, 3)", name="kind_known"),
    Index("uq_decision_log_index", "log_index", unique=True),
)
"""Written once for (source, transfer id); kind 1 transfer, 2 retirement, 3 cancellation."""

decision_block = Table(
    "decision_block",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("log_index", BigInteger, primary_key=True),
    Column("start_serial", BigInteger, primary_key=True),
    Column("end_serial", BigInteger, nullable=False),
    Index(None, "log_index"),
)
"""Blocks that a COMMIT moved or used, keyed by series for tracing."""

message = Table(
    "message",
    metadata,
    Column("message_hash", LargeBinary, primary_key=True),
    Column("payload_type", String(96), nullable=False),
    Column("sender", String(96), nullable=False),
    Column("source", String(96), nullable=False),
    Column("transfer_id", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=False),
    Column("item_index", Integer, nullable=False),
    Column("companion", LargeBinary, nullable=True),
    Index(None, "source", "transfer_id"),
)
"""Signed messages as received or sent that a decision, receipt or case names: locks, readies, finals."""

signature = signature_table(metadata)
"""Signatures of the payloads stored in other tables: one row for a batch (`tanqiao.db.signatures`)."""

late_answer = Table(
    "late_answer",
    metadata,
    Column("source", String(96), primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("message_hash", LargeBinary, nullable=False),
)
"""A destination's answer that came after the decision, where the decision rests on none."""

transfer_final = Table(
    "transfer_final",
    metadata,
    Column("source", String(96), primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("side", Integer, primary_key=True),
    Column("message_hash", LargeBinary, nullable=False),
    Column("state", Integer, nullable=False),
    Column("journal_index", BigInteger, nullable=False),
    CheckConstraint("side IN (1, 2)", name="side_known"),
)
"""Receipts of the two sides: 1 source, 2 destination."""

log_leaf = Table(
    "log_leaf",
    metadata,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
"""The decision log: dense from 0, the leaf bytes and their RFC 6962 leaf hash."""

freeze_order = Table(
    "freeze_order",
    metadata,
    Column("order_id", LargeBinary, primary_key=True),
    Column("scope", Integer, nullable=False),
    Column("unfreeze", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("ordered_by", String(96), nullable=False, server_default=ON_EVIDENCE_ALONE),
    Index("uq_freeze_order_log_index", "log_index", unique=True),
)
"""Freezes and their lifting, each as it was signed; `ordered_by` is the authority, or the bridge alone."""

frozen = Table(
    "frozen",
    metadata,
    Column("frozen_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("order_id", LargeBinary, nullable=False),
    Column("scope", Integer, nullable=False),
    Column("series_id", String(160), nullable=False),
    Column("start_serial", BigInteger, nullable=False),
    Column("end_serial", BigInteger, nullable=False),
    Column("pseudonym", LargeBinary, nullable=False),
    Column("region", String(96), nullable=False),
    Column("other_region", String(96), nullable=False),
    Column("document", Text, nullable=False),
    Column("ordered_by", String(96), nullable=False, server_default=ON_EVIDENCE_ALONE),
    Index(None, "scope"),
    Index(None, "order_id"),
)
"""What is frozen now: derived from the orders."""

correction = Table(
    "correction",
    metadata,
    Column("correction_id", LargeBinary, primary_key=True),
    Column("from_region", String(96), nullable=False),
    Column("to_region", String(96), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("legal_date", String(10), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Index("uq_correction_log_index", "log_index", unique=True),
)
"""Corrections (row 14) as two approvers of each authority signed them."""

correction_block = Table(
    "correction_block",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("log_index", BigInteger, primary_key=True),
    Column("start_serial", BigInteger, primary_key=True),
    Column("end_serial", BigInteger, nullable=False),
)
"""Blocks of a correction, keyed by series for tracing."""

evidence = Table(
    "evidence",
    metadata,
    Column("evidence_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(64), nullable=False),
    Column("party", String(96), nullable=False),
    Column("first_envelope", LargeBinary, nullable=False),
    Column("second_envelope", LargeBinary, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
"""Two signed messages that cannot both be honest, or one that cannot be accepted, kept for ever."""

claim = Table(
    "claim",
    metadata,
    Column("claim_id", String(96), primary_key=True),
    Column("region", String(96), nullable=False),
    Column("programme", Integer, nullable=False),
    Column("programme_code", String(32), nullable=False),
    Column("object", Integer, nullable=False),
    Column("project_id", String(96), nullable=False),
    Column("status", Integer, nullable=False),
    Column("attribute", Integer, nullable=False),
    Column("start_date", String(10), nullable=False),
    Column("end_date", String(10), nullable=False),
    Column("subject_uscc", String(18), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    Column("declared_index", BigInteger, nullable=False),
    Column("declared_at", BigInteger, nullable=False),
    Column("lapses_at", BigInteger, nullable=False, server_default="0"),
    Index(None, "region"),
    Index(None, "subject_uscc", "programme"),
    Index(None, "project_id"),
    Index(
        "ix_claim_lapsing",
        "lapses_at",
        sqlite_where=text("status = 2 AND lapses_at > 0"),
        postgresql_where=text("status = 2 AND lapses_at > 0"),
    ),
)
"""The claim index: `content` is the serialised claim, `status` the present one.

`lapses_at` is in seconds of the bridge's own running time (`bridge_time`), 0 for a claim without a lease.
"""

claim_key = Table(
    "claim_key",
    metadata,
    Column("asset_key", String(160), primary_key=True),
    Column("claim_id", String(96), ForeignKey("claim.claim_id"), primary_key=True),
    Index(None, "claim_id"),
)
"""Asset keys (S3 and S2 references) and grid cells of its polygon under which a claim is found."""

claim_lock = Table(
    "claim_lock",
    metadata,
    Column("lock_key", String(160), primary_key=True),
)
"""A row for each reference, subject or cell; writers lock their sorted rows before they check."""

claim_receipt = Table(
    "claim_receipt",
    metadata,
    Column("claim_id", String(96), primary_key=True),
    Column("log_index", BigInteger, primary_key=True),
    Column("statement_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("receipt_hash", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Index("uq_claim_receipt_statement", "statement_hash", unique=True),
)
"""Every receipt of a claim, in order; the answer to a repeated statement."""

registry_order = Table(
    "registry_order",
    metadata,
    Column("order_id", LargeBinary, primary_key=True),
    Column("registry", String(32), nullable=False),
    Column("claim_id", String(96), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("statement_hash", LargeBinary, nullable=False),
    Column("order_hash", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("ordered_at", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Index(None, "claim_id", "kind", "log_index"),
    Index(None, "log_index"),
)
"""Orders to other registries, written with what causes them: the rows are the outbox (CLAIMS section 3)."""

registry_answer = Table(
    "registry_answer",
    metadata,
    Column("order_id", LargeBinary, ForeignKey("registry_order.order_id"), primary_key=True),
    Column("decided", Boolean, primary_key=True),
    Column("state", Integer, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
"""The acknowledgement of an order, and the decision about it: each once."""

conflict_case = Table(
    "conflict_case",
    metadata,
    Column("case_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("blocking", Boolean, nullable=False),
    Column("details", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("body", String(96), nullable=False, server_default="authority/bridge"),
    Column("deadline_at", BigInteger, nullable=False, server_default="0"),
    Column("matrix_version", String(64), nullable=False, server_default=""),
    Column("article", Text, nullable=False, server_default=""),
    Column("log_size", BigInteger, nullable=False, server_default="0"),
    Index(None, "kind", "state"),
    Index(None, "body", "state"),
    Index(None, "subject", "state"),
)
"""What people settle; `body` decides. A case about claims is of one version of the matrix and one article;
`log_size` is how many leaves there were when it was opened."""

recovery_item = Table(
    "recovery_item",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("message_hash", LargeBinary, primary_key=True),
    Column("region", String(96), primary_key=True),
    Column("kind", String(96), nullable=False),
    Column("old_index", BigInteger, nullable=False),
    Column("item", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=True),
)
"""What regions reported to an epoch that continues from a backup; `log_index` is null until it is adopted."""

recovery_paper = Table(
    "recovery_paper",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("source", String(96), primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("message_hash", LargeBinary, primary_key=True),
    Column("region", String(96), nullable=False),
    Column("paper", LargeBinary, nullable=False),
)
"""Undecided promises of regions, reported to an epoch: serialised Papers that a decision may rest on."""

recovery_report = Table(
    "recovery_report",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("region", String(96), primary_key=True),
    Column("reported_at", BigInteger, nullable=False),
)
"""Regions that have handed in the whole of their report to an epoch; epoch seconds."""

reconciliation = Table(
    "reconciliation",
    metadata,
    Column("run_id", LargeBinary, primary_key=True),
    Column("region", String(96), nullable=False),
    Column("depth", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("applied_index", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("series_count", BigInteger, nullable=False),
    Column("block_count", BigInteger, nullable=False),
    Column("quantity_kg", BigInteger, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("result", LargeBinary, nullable=False),
    Index(None, "region", "log_index"),
)
"""Runs that ended with a result, each with its leaf; the region's statement and the result as envelopes."""

outbox: Final = Outbox(metadata)
"""Numbered messages to the regions, per bridge epoch."""

inbox: Final = Inbox(metadata)
"""Numbered messages from the regions: how far each stream has been received."""

request_ids: Final = RequestIds(metadata)
"""Answers given to mutating calls."""

location_page = Table(
    "location_page",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    CheckConstraint("number >= 0 AND size >= 0", name="page_counts"),
    Index(None, "log_index"),
)
"""Pages of the location map as of the location root at `log_index`, where they changed; size 0: gone."""

sealed_logs: Final = SealedLogs(metadata)
"""The bridge's own log and those of the regions, sealed: tiles, checkpoints, cosignatures."""

leases: Final = Leases(metadata)
"""Who seals: one process at a time."""

region_leaf = Table(
    "region_leaf",
    metadata,
    Column("log", String(128), primary_key=True),
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
)
"""Leaves of the regions' logs as they came up, dense from 0 in each."""

known_leaf_kind = Table(
    "known_leaf_kind",
    metadata,
    Column("witness", String(96), primary_key=True),
    Column("kind", String(64), primary_key=True),
)
"""Kinds of leaf that a witness has said it validates: a new kind is written when every witness has."""

APPEND_ONLY: Final = (
    "outbox",
    "issue",
    "decision",
    "decision_block",
    "message",
    "signature",
    "late_answer",
    "transfer_final",
    "log_leaf",
    "freeze_order",
    "correction",
    "correction_block",
    "evidence",
    "claim_receipt",
    "case_event",
    "alias_decision",
    "claim_query",
    "recovery_report",
    "reconciliation",
    "region_leaf",
    "known_leaf_kind",
    "registry_order",
    "registry_answer",
    "location_page",
)
"""UPDATE, DELETE and TRUNCATE are refused by the database."""
