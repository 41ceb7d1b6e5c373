"""Tables of a region node, the same on SQLite and PostgreSQL.

The journal is the truth: append-only, dense. `holding` and the states of transfers, uses and issuances are
kept in the same transaction and can be rebuilt from it: `tanqiao-region fsck`. Personal data stand in
`person_data` alone, under the random account number; nothing else of a person is stored anywhere. Quantities
are kilograms of CO2 equivalent; serial ranges are half-open; hashes are 32 bytes, ids 16; times are epoch
seconds; dates are ISO text in Asia/Shanghai.
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

node_state = node_state_table(metadata)
"""Small durable facts: network id, party, incarnation, session number, offset of the test clock."""

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
)

account = Table(
    "account",
    metadata,
    Column("account_id", String(32), primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("uscc", String(18), nullable=False),
    Column("operator_account_id", String(32), ForeignKey("account.account_id"), nullable=True),
    Column("seat", String(16), nullable=False),
    Column("invented", Boolean, nullable=False),
    Column("pseudonym", LargeBinary, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("opened_by", String(96), nullable=False),
    Column("suspense_of", String(32), nullable=False),
    Column("holder_party", String(128), nullable=False, server_default=""),
    Column("owner_id", String(32), nullable=False, server_default=""),
    CheckConstraint("state IN (1, 2)", name="state_known"),
    Index(None, "operator_account_id"),
    Index(None, "uscc"),
    Index(None, "suspense_of"),
    Index(None, "holder_party"),
)
"""Accounts; display_name and uscc are empty for persons. `pseudonym` is HMAC(region key, account).

`holder_party` is the party whose certificate acts for the account (empty: nobody's but its data-platform
operator's); the office that keeps the accounts sets and changes it. `owner_id` is the number of its owner's
first account: accounts that have it in common are one owner's. `suspense_of` names the closed account
whose units a suspense account keeps (PROTOCOL R7), and is empty otherwise.
"""

person_data = Table(
    "person_data",
    metadata,
    Column("account_id", String(32), ForeignKey("account.account_id"), primary_key=True),
    Column("operator_account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("reference_index", LargeBinary, nullable=False),
    Column("operator_reference", LargeBinary, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Index("uq_person_data_reference", "operator_account_id", "reference_index", unique=True),
)
"""What an operator calls its user, encrypted under a key of that person; mutable, deletable.

`wrapped_key` is that key under the node's own secret: with the row it is gone. `reference_index` is a keyed
hash, so that an operator opens one account for one of its users.
"""

beneficiary_data = Table(
    "beneficiary_data",
    metadata,
    Column("transfer_id", LargeBinary, ForeignKey("outgoing_transfer.transfer_id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
)
"""For whom a use is, where that may be a person: the name and the salt that opens its commitment, sealed.

Mutable and deletable like `person_data`: without the row the commitment in the signed Use says nothing.
"""

receiving_address = Table(
    "receiving_address",
    metadata,
    Column("receiving_address", String(64), primary_key=True),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "account_id"),
)

methodology = Table(
    "methodology",
    metadata,
    Column("methodology_id", String(64), primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("unit_class", String(8), nullable=False),
    Column("title", Text, nullable=False),
    Column("quantification", String(64), nullable=False),
    Column("publish_date", String(10), nullable=False),
    Column("document", Text, nullable=False),
    Column("invented", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("published_by", String(96), nullable=False),
    Column("rule_pack_id", String(32), nullable=False),
    Column("rule_pack_version", String(32), nullable=False),
    Column("stop_date", String(10), nullable=False, server_default=""),
    Column("supersede_date", String(10), nullable=False, server_default=""),
)
"""Published methodologies, kind and class fixed for ever; `content` is the request that was decided on."""

project = Table(
    "project",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("title", Text, nullable=False),
    Column("owner_account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("methodology_id", String(64), ForeignKey("methodology.methodology_id"), nullable=False),
    Column("state", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("claim_id", String(96), nullable=False),
    Column("claim_receipt", LargeBinary, nullable=False),
    Column("notice_first_day", String(10), nullable=False),
    Column("notice_last_day", String(10), nullable=False),
    Column("publish_date", String(10), nullable=False),
    Column("carried_g", BigInteger, nullable=False),
    Column("submitted_by", String(96), nullable=False),
    Column("rule_pack_id", String(32), nullable=False),
    Column("rule_pack_version", String(32), nullable=False),
    CheckConstraint("carried_g >= 0", name="carried_not_negative"),
    Index(None, "state"),
    Index(None, "owner_account_id"),
)
"""Projects; `content` is the serialised Project as it stands, `carried_g` grams for the next period.

`claim_id` is that of its first declaration; one that was declared anew has its present one in `content`.
"""

claim_step = Table(
    "claim_step",
    metadata,
    Column("step_id", String(32), primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("subject_id", String(96), nullable=False),
    Column("caller", String(96), nullable=False),
    Column("role", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("command", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("state", Integer, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    CheckConstraint("state IN (1, 2, 3)", name="state_known"),
    Index(None, "state", "created_at"),
    Index(None, "caller", "request_id"),
    Index(None, "subject_id"),
)
"""Commands between their two transactions: 1 open (on its way to the bridge), 2 done, 3 refused.

`command` is what was asked, `envelope` the statement as signed, `receipt` the bridge's signed answer (CLAIMS
section 3).
"""

activity_batch = Table(
    "activity_batch",
    metadata,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("project_id", String(64), ForeignKey("project.project_id"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("submitted_by", String(96), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Index(None, "project_id"),
)
"""Who handed in which activity data: SHA-256 over the accepted rows; the id is the journal's index."""

activity = Table(
    "activity",
    metadata,
    Column("project_id", String(64), ForeignKey("project.project_id"), primary_key=True),
    Column("meter", String(64), primary_key=True),
    Column("start_date", String(10), primary_key=True),
    Column("end_date", String(10), nullable=False),
    Column("on_grid_wh", BigInteger, nullable=False),
    Column("self_use_wh", BigInteger, nullable=False),
    Column("issuance_id", String(32), nullable=False),
    Column("batch_id", BigInteger, ForeignKey("activity_batch.batch_id"), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    CheckConstraint("on_grid_wh >= 0 AND self_use_wh >= 0", name="energy_not_negative"),
)
"""Metered months; `issuance_id` is empty until an issuance rests on the row."""

issuance = Table(
    "issuance",
    metadata,
    Column("issuance_id", String(32), primary_key=True),
    Column("project_id", String(64), ForeignKey("project.project_id"), nullable=False),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("start_date", String(10), nullable=False),
    Column("end_date", String(10), nullable=False),
    Column("series_id", String(160), nullable=False),
    Column("vintage_year", Integer, nullable=False),
    Column("batch_number", Integer, nullable=False),
    Column("start_serial", BigInteger, nullable=False),
    Column("end_serial", BigInteger, nullable=False),
    Column("carried_in_g", BigInteger, nullable=False),
    Column("carried_out_g", BigInteger, nullable=False),
    Column("state", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("message_hash", LargeBinary, nullable=False),
    Column("signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=False),
    Column("item_index", Integer, nullable=False),
    Column("receipt_hash", LargeBinary, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Column("reasons", LargeBinary, nullable=False),
    Column("legal_date", String(10), nullable=False),
    Column("rule_pack_id", String(32), nullable=False),
    Column("rule_pack_version", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("start_serial >= 0 AND start_serial < end_serial", name="range_ordered"),
    CheckConstraint("state IN (1, 2, 3)", name="state_known"),
    Index(None, "project_id"),
    Index(None, "state"),
    Index("uq_issuance_series", "series_id", "start_serial", unique=True),
)
"""Issuances: 1 ISSUING (offered to the bridge), 2 issued, 3 refused. Refused serials are never reused.

`receipt` is the bridge's answer as an envelope.
"""

issuance_basis = Table(
    "issuance_basis",
    metadata,
    Column("issuance_id", String(32), ForeignKey("issuance.issuance_id"), primary_key=True),
    Column("claim_id", String(96), nullable=False),
    Column("claim_receipt", LargeBinary, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("requested_by", String(96), nullable=False),
    Column("working", LargeBinary, nullable=False),
)
"""What an issuance rests on: the request with audit and approvals, the claim's receipt, the computation."""

series = Table(
    "series",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("region_code", String(12), nullable=False),
    Column("programme", String(32), nullable=False),
    Column("source_id", String(64), nullable=False),
    Column("vintage_year", Integer, nullable=False),
    Column("batch_number", Integer, nullable=False),
    Column("methodology_id", String(64), nullable=False),
    Column("unit_class", String(8), nullable=False),
)
"""Every series that this node has issued or received."""

holding = Table(
    "holding",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("start_serial", BigInteger, primary_key=True),
    Column("end_serial", BigInteger, nullable=False),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("state", Integer, nullable=False),
    Column("transfer_id", LargeBinary, nullable=False),
    CheckConstraint("start_serial >= 0 AND start_serial < end_serial", name="range_ordered"),
    CheckConstraint("state IN (1, 2, 3, 4, 5)", name="state_known"),
    Index(None, "account_id", "state", "series_id", "start_serial"),
    sqlite_with_rowid=False,
)
"""Units here: 1 held, 2 locked, 3 retiring, 4 used, 5 cancelled.

`transfer_id` is empty where units are held; units that are held and pending (R10) keep that of the transfer
which brought them until a quorum of witnesses has cosigned it.
"""

transfer_finality = Table(
    "transfer_finality",
    metadata,
    Column("source", String(96), primary_key=True),
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("log_index", BigInteger, nullable=False),
    Column("decision_hash", LargeBinary, nullable=False),
    Column("account_id", String(32), nullable=False),
    Column("blocks", LargeBinary, nullable=False),
    Column("decided_at_ms", BigInteger, nullable=False),
    Column("final_at_ms", BigInteger, nullable=True),
    Column("bundle", LargeBinary, nullable=False),
    Index(
        "ix_transfer_finality_pending",
        "log_index",
        sqlite_where=text("final_at_ms IS NULL"),
        postgresql_where=text("final_at_ms IS NULL"),
    ),
)
"""COMMITs that await or have their quorum; `blocks` are what they credited here, `bundle` is the proof."""

outgoing_transfer = Table(
    "outgoing_transfer",
    metadata,
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("destination", String(96), nullable=False),
    Column("account_id", String(32), ForeignKey("account.account_id"), nullable=False),
    Column("quantity_kg", BigInteger, nullable=False),
    Column("blocks", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("companion", LargeBinary, nullable=False),
    Column("message_hash", LargeBinary, nullable=False),
    Column("signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=False),
    Column("item_index", Integer, nullable=False),
    Column("withdraw_payload", LargeBinary, nullable=False),
    Column("decision_payload", LargeBinary, nullable=False),
    Column("decision_hash", LargeBinary, nullable=False),
    Column("decision_signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=True),
    Column("decision_item_index", Integer, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    CheckConstraint("kind IN (1, 2, 3)", name="kind_known"),
    CheckConstraint("state IN (1, 2, 3, 4, 5, 6)", name="state_known"),
    CheckConstraint("quantity_kg > 0", name="quantity_positive"),
    Index(
        "ix_outgoing_transfer_open",
        "state",
        "created_at",
        "transfer_id",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(None, "account_id"),
)
"""Transfers and uses that left or leave; kind and state as in `tanqiao.protocol`, `blocks` packed text."""

retirement = Table(
    "retirement",
    metadata,
    Column("transfer_id", LargeBinary, ForeignKey("outgoing_transfer.transfer_id"), primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("purpose", String(48), nullable=False),
    Column("purpose_text", Text, nullable=False),
    Column("beneficiary_name", Text, nullable=False),
    Column("beneficiary_uscc", String(18), nullable=False),
    Column("pseudonymous", Boolean, nullable=False),
    Column("beneficiary_salt", LargeBinary, nullable=False),
    Column("document_reference", Text, nullable=False),
    Column("article", Text, nullable=False),
    Column("compliance_year", Integer, nullable=False),
    Column("retiring_date", String(10), nullable=False),
    Column("decision_date", String(10), nullable=False),
    Column("rule_pack_id", String(32), nullable=False),
    Column("rule_pack_version", String(32), nullable=False),
    Column("requested_by", String(96), nullable=False),
    Index(None, "purpose", "compliance_year"),
)
"""What a use was for; its blocks, state and signed messages stand in `outgoing_transfer`.

The name and salt of a beneficiary that may be a person stand in `beneficiary_data`, and here are empty.
"""

incoming_transfer = Table(
    "incoming_transfer",
    metadata,
    Column("transfer_id", LargeBinary, primary_key=True),
    Column("source", String(96), primary_key=True),
    Column("state", Integer, nullable=False),
    Column("account_id", String(32), nullable=False),
    Column("receiving_address", String(64), nullable=False),
    Column("quantity_kg", BigInteger, nullable=False),
    Column("blocks", LargeBinary, nullable=False),
    Column("lock_hash", LargeBinary, nullable=False),
    Column("prepare_hash", LargeBinary, nullable=False),
    Column("prepare_payload", LargeBinary, nullable=False),
    Column("prepare_companion", LargeBinary, nullable=False),
    Column("prepare_signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=True),
    Column("prepare_item_index", Integer, nullable=True),
    Column("answer_type", String(96), nullable=False),
    Column("answer_payload", LargeBinary, nullable=False),
    Column("answer_hash", LargeBinary, nullable=False),
    Column("answer_signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=True),
    Column("answer_item_index", Integer, nullable=True),
    Column("decision_payload", LargeBinary, nullable=False),
    Column("decision_hash", LargeBinary, nullable=False),
    Column("decision_signature_id", BigInteger, ForeignKey("signature.signature_id"), nullable=True),
    Column("decision_item_index", Integer, nullable=True),
    Column("legal_date", String(10), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    CheckConstraint("state IN (1, 2, 3, 4)", name="state_known"),
    Index(
        "ix_incoming_transfer_open",
        "state",
        "created_at",
        "transfer_id",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(None, "account_id"),
)
"""Transfers that come in: 1 READY, 2 REFUSED, 3 CREDITED, 4 DROPPED."""

signature = signature_table(metadata)
"""Signatures of the payloads stored in other tables: one row for a batch (`tanqiao.db.signatures`)."""

journal = Table(
    "journal",
    metadata,
    Column(
        "journal_index",
        # An INTEGER key is the row's own number on SQLite: one tree instead of two.
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("kind", Integer, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("legal_date", String(10), nullable=False),
    Column("subject_id", String(96), nullable=False),
    Column("entry", LargeBinary, nullable=False),
)
"""Dense from 1; `entry` is the serialised JournalEntry without its index."""

journal_account = Table(
    "journal_account",
    metadata,
    Column("account_id", String(32), primary_key=True),
    Column("journal_index", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
"""Which accounts an entry touches: the feed's filter."""

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

recognition = Table(
    "recognition",
    metadata,
    Column("agreement_id", String(64), primary_key=True),
    Column("from_region", String(96), nullable=False),
    Column("to_region", String(96), nullable=False),
    Column("start_date", String(10), nullable=False),
    Column("end_date", String(10), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Index(None, "from_region", "to_region"),
)
"""Recognition records that concern this region, as signed by both roots."""

freeze_order = Table(
    "freeze_order",
    metadata,
    Column("order_id", LargeBinary, primary_key=True),
    Column("unfreeze", Boolean, nullable=False),
    Column("ordered_by", String(96), nullable=False),
    Column("local", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("journal_index", BigInteger, nullable=False),
    Index("uq_freeze_order_journal_index", "journal_index", unique=True),
)
"""Freezes and their lifting, each as it was signed: from the bridge, or to this node alone (`local`)."""

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
    Column("ordered_by", String(96), nullable=False),
    Column("local", Boolean, nullable=False),
    Index(None, "order_id"),
)
"""What is frozen now: derived from the orders. An account stands here under its pseudonym."""

correction = Table(
    "correction",
    metadata,
    Column("correction_id", LargeBinary, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=False),
)
"""Corrections as two approvers of each authority signed them."""

correction_wait = Table(
    "correction_wait",
    metadata,
    Column("series_id", String(160), primary_key=True),
    Column("start_serial", BigInteger, primary_key=True),
    Column("end_serial", BigInteger, nullable=False),
    Column("correction_id", LargeBinary, ForeignKey("correction.correction_id"), nullable=False),
)
"""Units that a correction takes from here as soon as the ABORT of their transfer or use gives them back."""

resource = Table(
    "resource",
    metadata,
    Column("entry_id", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("claim_id", String(96), nullable=False),
    Column("low_income_area", Boolean, nullable=False),
    Column("entered_at", BigInteger, nullable=False),
    Column("entered_by", String(96), nullable=False),
)
"""Reserve entries; no unit arises from them. `content` is the serialised CarbonResource."""

resource_asset = Table(
    "resource_asset",
    metadata,
    Column("asset_key", String(192), primary_key=True),
    Column("entry_id", String(64), ForeignKey("resource.entry_id"), primary_key=True),
)
"""Under which asset keys an entry is found."""

outbox: Final = Outbox(metadata)
"""Numbered messages to the bridge, per incarnation of this node."""

inbox: Final = Inbox(metadata)
"""Numbered messages from the bridge: how far its stream has taken effect."""

request_ids: Final = RequestIds(metadata)
"""Answers given to mutating calls."""

sealed_logs: Final = SealedLogs(metadata)
"""The node's own log, sealed: one leaf for each entry of the journal."""

APPEND_ONLY: Final = (
    "journal",
    "journal_account",
    "signature",
    "evidence",
    "freeze_order",
    "correction",
    "dossier_step",
    "dossier_signature",
    "body_signature",
    "encumbrance_signature",
)
"""UPDATE, DELETE and TRUNCATE are refused by the database."""
