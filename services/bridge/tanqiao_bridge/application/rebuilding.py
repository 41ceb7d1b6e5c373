"""Rebuilds the bridge's tables from its log and what mirrors kept beside it (PROTOCOL sections 6 and 7, I6).

Leaves come in order with the messages that they name and their records, all of them verified before. Each
leaf gives the rows that the bridge wrote with it; what is derived (locations, counters of agreements, where
claims stand, what is frozen, classes of references) is derived again by the code that fsck uses. Receipts of
regions, their logs, and answers of other registries have no leaf: those who signed them send them again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, mirror_pb2, reconcile_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.node_state import set_state
from tanqiao.db.signatures import store_envelope
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.offline.location_map import LOCATION_ROOT_KIND, PageKey, page_key
from tanqiao.protocol.locations import LocationBook, LocationRow
from tanqiao.protocol.types import Kind, Outcome, TransferKey
from tanqiao.rpc.protocol_facts import block_of, blocks_of
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.witness_groups import WITNESS_GROUP_KIND
from tanqiao.tlog.leaf import Leaf, decode_leaf, leaf_hash
from tanqiao_bridge.application.context import NO_TRANSFER
from tanqiao_bridge.application.lapsing import ALIVE_AT, DOWN_SECONDS
from tanqiao_bridge.application.location_history import CORRECTED, ISSUED, LocationEvent, replay_into
from tanqiao_bridge.application.rebuilding_claims import RebuiltClaims
from tanqiao_bridge.application.rebuilding_policy import RebuiltPolicy
from tanqiao_bridge.application.start import EPOCH
from tanqiao_bridge.storage import locations
from tanqiao_bridge.storage.claim_tables import bridge_time
from tanqiao_bridge.storage.decisions import DecisionRow, MessageRow, insert_decisions, insert_messages
from tanqiao_bridge.storage.location_pages import PAGES, insert_versions
from tanqiao_bridge.storage.log import LOG_SIZE
from tanqiao_bridge.storage.recovery import CONTINUES_FROM, EPOCH_RECORD
from tanqiao_bridge.storage.tables import counter, issue, log_leaf, node_state, reconciliation, signature

LEAVES_PER_CHUNK_MAX: Final = 500
USE_TYPE: Final = payload_type_of(messages_pb2.Use)
_ROOT_START: Final = Leaf(LOCATION_ROOT_KIND).encode()[:-1]


class RebuiltLeaf(NamedTuple):
    """A leaf with what a mirror kept beside it; `has_effect` is false where a correction settled it."""

    log_index: int
    data: bytes
    envelopes: Sequence[envelope_pb2.Envelope]
    record: mirror_pb2.LeafRecord
    has_effect: bool = True


@dataclass(slots=True)
class _Beside:
    """A leaf under work: taken apart, with the messages beside it by their hashes."""

    log_index: int
    leaf: Leaf
    envelopes: Mapping[bytes, envelope_pb2.Envelope]
    record: mirror_pb2.LeafRecord

    def text(self, name: str) -> str:
        return (self.leaf.get(name) or b"").decode()

    def envelope(self, position: int) -> envelope_pb2.Envelope:
        """Give the message at a position among those that the leaf names."""
        found = self.envelopes.get(self.leaf.message_hashes[position])
        if found is None:
            detail = "a message that the leaf names is not beside it"
            raise DomainError("MIRROR_RECORD_UNSOUND", index=self.log_index, detail=detail)
        return found


@dataclass(slots=True)
class Rebuilding:
    """Writes the tables of an empty database.

    Args:
        connection: of the one transaction in which all is written.
        handovers: of changes of the group of witnesses, by log index: what those before cosigned.
    """

    connection: sa.Connection
    handovers: Mapping[int, bytes] = field(default_factory=dict)
    size: int = 0
    _messages: list[MessageRow] = field(default_factory=list)
    _decisions: list[DecisionRow] = field(default_factory=list)
    _events: list[LocationEvent] = field(default_factory=list)
    _changed_pages: set[PageKey] = field(default_factory=set)
    _claims: RebuiltClaims = field(init=False)
    _policy: RebuiltPolicy = field(init=False)
    _last: mirror_pb2.LeafRecord = field(default_factory=mirror_pb2.LeafRecord)

    def __post_init__(self) -> None:
        self._claims = RebuiltClaims(self.connection)
        self._policy = RebuiltPolicy(self.connection)

    def feed(self, leaves: Sequence[RebuiltLeaf]) -> None:
        """Write consecutive leaves with their rows.

        Raises:
            DomainError: MIRROR_RECORD_UNSOUND for a leaf whose rows cannot be made of what is beside it.
        """
        chunk: list[RebuiltLeaf] = []
        for leaf in leaves:
            chunk.append(leaf)
            if len(chunk) == LEAVES_PER_CHUNK_MAX or _is_location_root(leaf.data):
                self._write(chunk)
                chunk = []
        self._write(chunk)

    def finish(self) -> None:
        """Write what the end of the log gives: cases, classes, what is frozen, the bridge's times."""
        self._claims.finish()
        self._policy.finish()
        self.connection.execute(sa.update(counter).where(counter.c.name == LOG_SIZE).values(value=self.size))
        times = {ALIVE_AT: self._last.recorded_at, DOWN_SECONDS: self._last.down_seconds}
        insert_rows(self.connection, bridge_time, list(times.items()))

    def _write(self, chunk: Sequence[RebuiltLeaf]) -> None:
        decoded = [decode_leaf(one.data) for one in chunk]
        insert_rows(
            self.connection,
            log_leaf,
            [
                (one.log_index, leaf.kind, one.data, leaf_hash(one.data), one.record.recorded_at)
                for one, leaf in zip(chunk, decoded, strict=True)
            ],
        )
        for one, leaf in zip(chunk, decoded, strict=True):
            named = {message_hash(env.payload_type, env.payload): env for env in one.envelopes}
            work = _WRITERS.get(leaf.kind)
            if work is None:
                detail = f"a kind of leaf that this version does not know: {leaf.kind}"
                raise DomainError("MIRROR_RECORD_UNSOUND", index=one.log_index, detail=detail)
            if one.has_effect:
                work(self, _Beside(one.log_index, leaf, named, one.record))
            self._last = one.record
            self.size = one.log_index + 1
        self._flush()
        if chunk and _is_location_root(chunk[-1].data):
            pages = PAGES.pages_of(self.connection, self._changed_pages)
            insert_versions(self.connection, chunk[-1].log_index, pages.items())
            self._changed_pages.clear()

    def _flush(self) -> None:
        insert_messages(self.connection, self._messages)
        insert_decisions(self.connection, self._decisions)
        self._place(self._events)
        self._claims.flush()
        self._messages, self._decisions, self._events = [], [], []

    def _place(self, events: Sequence[LocationEvent]) -> None:
        """Move the location map on: what was loaded is changed in memory and written as a difference."""
        rows = locations.load_touched(self.connection, [event.block for event in events])
        loaded = {(row.block.series_id, row.block.start): row for row in rows}
        book: LocationBook[tuple[str, int]] = LocationBook(
            LocationRow(row.block.series_id, row.block.start, row.block.end, (row.region, row.state))
            for row in rows
        )
        for event in events:
            book.stamp = event.log_index
            for log_index, failing in replay_into(book, [event]):
                if failing:
                    detail = f"units that are not where the leaf needs them: {failing[0]}"
                    raise DomainError("MIRROR_RECORD_UNSOUND", index=log_index, detail=detail)
        difference = book.difference()
        written = [
            locations.LocationRow(
                UnitBlock(row.series_id, row.start, row.end), *row.place, book.stamp_of(row)
            )
            for row in difference.inserted
        ]
        deleted = [loaded[row.series_id, row.start] for row in difference.deleted]
        locations.write_difference(self.connection, deleted, written)
        for touched in (*deleted, *written):
            self._changed_pages.add(page_key(touched.block.series_id, touched.block.start))

    # -- messages --------------------------------------------------------------------------------------------

    def _keep(
        self, envelope: envelope_pb2.Envelope, key: TransferKey = NO_TRANSFER, companion: bytes = b""
    ) -> bytes:
        """Keep a message as the bridge did; its hash."""
        value = message_hash(envelope.payload_type, envelope.payload)
        # Every payload begins with its header (PROTOCOL section 2); this message has little else to read.
        header = recovery_pb2.EpochRecord.FromString(envelope.payload).header
        self._messages.append(
            MessageRow(
                value,
                envelope.payload_type,
                header.sender,
                key,
                envelope.payload,
                store_envelope(self.connection, signature, envelope),
                0,
                companion or None,
            )
        )
        return value

    # -- kinds of leaves -------------------------------------------------------------------------------------

    def _decision(self, beside: _Beside) -> None:
        envelope = beside.envelope(-1)
        decision = messages_pb2.Decision.FromString(envelope.payload)
        key = TransferKey(decision.header.source, decision.header.transfer_id)
        self._keep(envelope, key)
        kind, outcome = Kind[beside.text("kind")], Outcome(decision.outcome)
        lock = _lock_of(beside)
        if lock is not None:
            self._keep(beside.envelope(0), key, beside.record.openings)
        elif outcome is Outcome.COMMIT:
            beside.envelope(0)  # refuses: a COMMIT rests on its lock
        blocks = () if lock is None else blocks_of(lock.blocks)
        answer_hash = self._answer_of(beside, key)
        self._decisions.append(
            DecisionRow(
                key,
                kind,
                beside.text("destination"),
                outcome,
                decision.lock_hash,
                decision.ready_hash,
                answer_hash,
                beside.log_index,
                beside.text("legal_date"),
                decision.decision_time.seconds,
                envelope.payload,
                message_hash(envelope.payload_type, envelope.payload),
                "" if lock is None else lock.purpose,
                blocks,
            )
        )
        if outcome is Outcome.COMMIT:
            self._events.extend(
                LocationEvent(beside.log_index, block, key.source, beside.text("destination"), kind)
                for block in blocks
            )
            if kind is Kind.TRANSFER:
                self._policy.count_use(self._decisions[-1])

    def _answer_of(self, beside: _Beside, key: TransferKey) -> bytes:
        """Keep the destination's answer; its hash, empty where there is none."""
        hashes = beside.leaf.message_hashes
        named = [beside.envelopes[value] for value in hashes[1:-1] if value in beside.envelopes]
        if beside.record.HasField("answer"):
            named = [beside.record.answer]
        for envelope in named:
            return self._keep(envelope, key)
        return b""

    def _issue(self, beside: _Beside) -> None:
        own, answer = beside.envelope(0), beside.envelope(1)
        stated = messages_pb2.Issue.FromString(own.payload)
        receipt = messages_pb2.IssueReceipt.FromString(answer.payload)
        region, block = beside.text("region"), block_of(stated.block)
        issue_hash = self._keep(own, TransferKey(region, receipt.issue_id))
        if receipt.accepted:
            self._policy.register_series(stated, region, beside.log_index)
            self._events.append(LocationEvent(beside.log_index, block, "", region, ISSUED))
            self._claims.issued(stated.claim_id)
        self._claims.orders_of(beside.log_index, beside.record)
        row = (
            region,
            receipt.issue_id,
            issue_hash,
            own.payload,
            answer.payload,
            message_hash(answer.payload_type, answer.payload),
            receipt.accepted,
            block.series_id,
            block.start,
            block.end,
            stated.claim_id,
            beside.log_index,
            store_envelope(self.connection, signature, answer),
            0,
        )
        insert_rows(self.connection, issue, [row])

    def _claim(self, beside: _Beside) -> None:
        self._claims.receipt(beside.log_index, beside.leaf, beside.envelope(1), beside.record)

    def _case_resolution(self, beside: _Beside) -> None:
        self._keep(beside.envelope(0))
        self._claims.cases_of(beside.record)

    def _alias(self, beside: _Beside) -> None:
        self._keep(beside.envelope(0))
        self._claims.alias(beside.log_index, beside.envelope(0))

    def _key(self, beside: _Beside) -> None:
        envelope = None if beside.leaf.kind == "trust_anchor" else beside.envelope(0)
        if envelope is not None:
            self._keep(envelope)
        self._policy.key(beside.log_index, beside.leaf, envelope, beside.record.recorded_at)

    def _recognition(self, beside: _Beside) -> None:
        self._keep(beside.envelope(0))
        self._policy.agreement(beside.log_index, beside.envelope(0))

    def _freeze(self, beside: _Beside) -> None:
        self._policy.freeze(beside.log_index, beside.text("ordered_by"), beside.envelope(0))

    def _correction(self, beside: _Beside) -> None:
        made = self._policy.correction(beside.log_index, beside.envelope(0), beside.record.recorded_at)
        self._events.extend(
            LocationEvent(beside.log_index, block, made.from_region, made.to_region, CORRECTED)
            for block in blocks_of(made.blocks)
        )

    def _reconciliation(self, beside: _Beside) -> None:
        from_region, result = beside.envelope(0), beside.envelope(1)
        row = _run_row(beside, from_region, result)
        key = TransferKey(row[1], row[0])
        for envelope in (from_region, result):
            self._keep(envelope, key)
        insert_rows(self.connection, reconciliation, [row])

    def _epoch(self, beside: _Beside) -> None:
        envelope = beside.envelope(0)
        self._keep(envelope)
        record = recovery_pb2.EpochRecord.FromString(envelope.payload)
        text = base64.b64encode(envelope.SerializeToString()).decode()
        set_state(self.connection, node_state, EPOCH, str(record.bridge_epoch))
        set_state(self.connection, node_state, EPOCH_RECORD, text)
        set_state(self.connection, node_state, CONTINUES_FROM, str(record.continues_from_index))

    def _witness_group(self, beside: _Beside) -> None:
        self._keep(beside.envelope(0))
        handover = self.handovers.get(beside.log_index, b"")
        self._policy.witness_group(beside.log_index, beside.leaf, beside.envelope(0), handover)

    def _nothing(self, _beside: _Beside) -> None:
        """A location root says nothing new: its pages are written behind its chunk."""


_Writer = Callable[[Rebuilding, _Beside], None]
_WRITERS: Final[dict[str, _Writer]] = {
    "decision": Rebuilding._decision,  # noqa: SLF001 - the class's own table of its kinds
    "issue": Rebuilding._issue,  # noqa: SLF001 - as above
    "claim": Rebuilding._claim,  # noqa: SLF001 - as above
    "case_resolution": Rebuilding._case_resolution,  # noqa: SLF001 - as above
    "asset_alias": Rebuilding._alias,  # noqa: SLF001 - as above
    "trust_anchor": Rebuilding._key,  # noqa: SLF001 - as above
    "key_record": Rebuilding._key,  # noqa: SLF001 - as above
    "recognition": Rebuilding._recognition,  # noqa: SLF001 - as above
    "freeze": Rebuilding._freeze,  # noqa: SLF001 - as above
    "unfreeze": Rebuilding._freeze,  # noqa: SLF001 - as above
    "correction": Rebuilding._correction,  # noqa: SLF001 - as above
    "reconciliation": Rebuilding._reconciliation,  # noqa: SLF001 - as above
    "bridge_epoch": Rebuilding._epoch,  # noqa: SLF001 - as above
    WITNESS_GROUP_KIND: Rebuilding._witness_group,  # noqa: SLF001 - as above
    LOCATION_ROOT_KIND: Rebuilding._nothing,  # noqa: SLF001 - as above
}


def _lock_of(beside: _Beside) -> Any:  # noqa: ANN401 - a LockAssertion or a Use, None where it is not kept
    envelope = beside.envelopes.get(beside.leaf.message_hashes[0])
    if envelope is None:
        return None
    kind = messages_pb2.Use if envelope.payload_type == USE_TYPE else messages_pb2.LockAssertion
    return kind.FromString(envelope.payload)


def _run_row(beside: _Beside, stated: envelope_pb2.Envelope, ended: envelope_pb2.Envelope) -> tuple[Any, ...]:
    statement = reconcile_pb2.ReconcileStatement.FromString(stated.payload)
    result = reconcile_pb2.ReconcileResult.FromString(ended.payload)
    return (
        result.run_id,
        beside.text("region"),
        int(result.depth),
        int(result.state),
        beside.record.started_at,
        beside.record.recorded_at,
        result.applied_index,
        beside.log_index,
        statement.series_count,
        statement.block_count,
        statement.quantity_kg,
        stated.SerializeToString(),
        ended.SerializeToString(),
    )


def _is_location_root(data: bytes) -> bool:
    return data.startswith(_ROOT_START)
