"""The claim index rebuilt from its leaves: claims, receipts, cases, aliases, orders to other registries.

What a claim states stands in no leaf, only its digest: the statement comes sealed, and has to have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2, coordination_pb2, mirror_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.model import Action
from tanqiao.db.bulk import insert_rows
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.pae import message_hash
from tanqiao.tlog.leaf import Leaf
from tanqiao_bridge.application.claim_aliases import alias_key, united
from tanqiao_bridge.application.claim_facts import ReadClaim, read_claim
from tanqiao_bridge.application.claim_tokens import store_tokens
from tanqiao_bridge.application.claims import claim_row
from tanqiao_bridge.storage import aliases, registry_orders
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.claim_tables import case_claim, case_event
from tanqiao_bridge.storage.tables import conflict_case

_CASE_COLUMNS = (
    "case_id",
    "kind",
    "state",
    "subject",
    "blocking",
    "details",
    "opened_at",
    "body",
    "deadline_at",
    "matrix_version",
    "article",
    "log_size",
)
_EVENT_COLUMNS = (
    "event_id",
    "case_id",
    "what",
    "party",
    "document",
    "happened_at",
    "log_index",
    "envelope",
)


@dataclass(slots=True)
class RebuiltClaims:
    """Gathers what a chunk of leaves says of claims; `flush` writes it.

    Args:
        connection: of the rebuild.
    """

    connection: sa.Connection
    _known: set[str] = field(default_factory=set)
    _declared: dict[str, tuple[claim_rows.ClaimRow, tuple[str, ...]]] = field(default_factory=dict)
    _statuses: dict[str, int] = field(default_factory=dict)
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    _receipts: list[claim_rows.ReceiptRow] = field(default_factory=list)
    _cases: dict[int, mirror_pb2.CaseRecord] = field(default_factory=dict)
    _locks: set[str] = field(default_factory=set)
    _with_tokens: list[ReadClaim] = field(default_factory=list)

    def receipt(
        self, log_index: int, leaf: Leaf, envelope: envelope_pb2.Envelope, record: mirror_pb2.LeafRecord
    ) -> None:
        """Take the leaf of a receipt: the first of a claim declares it, the others move it on.

        Raises:
            DomainError: MIRROR_RECORD_UNSOUND for a statement that has not the digest of the leaf.
        """
        receipt = claims_pb2.ClaimReceipt.FromString(envelope.payload)
        claim_id, status = receipt.claim_id, int(receipt.status)
        self._receipts.append(
            claim_rows.ReceiptRow(
                claim_id,
                log_index,
                leaf.message_hashes[0],
                status,
                envelope.payload,
                message_hash(envelope.payload_type, envelope.payload),
                envelope.SerializeToString(),
            )
        )
        if claim_id not in self._known:
            self._declare(log_index, leaf, receipt, record)
        else:
            self._statuses[claim_id] = status
            if receipt.bridge_reason and status == claims_pb2.CLAIM_STATUS_DECLARED:
                # A case let it stand again: its place in the queue is that of this receipt.
                self._places[claim_id] = (log_index, record.lapses_at)
        self.orders_of(log_index, record)
        self.cases_of(record)

    def _declare(
        self,
        log_index: int,
        leaf: Leaf,
        receipt: claims_pb2.ClaimReceipt,
        record: mirror_pb2.LeafRecord,
    ) -> None:
        content, status = record.claim_content, int(receipt.status)
        if hashlib.sha256(content).digest() != leaf.get("claim_digest"):
            detail = "the claim has not the digest that the leaf states"
            raise DomainError("MIRROR_RECORD_UNSOUND", index=log_index, detail=detail)
        claim = claims_pb2.Claim.FromString(content)
        read = read_claim(claim, action=Action.REGISTER, status=status, declared_index=log_index)
        region = (leaf.get("region") or b"").decode()
        row = replace(
            claim_row(read, region, status, record.recorded_at, log_index),
            content=content,
            content_digest=bytes(leaf.get("claim_digest") or b""),
            lapses_at=record.lapses_at,
        )
        self._known.add(receipt.claim_id)
        self._declared[receipt.claim_id] = (row, read.keys)
        self._locks.update(read.locks)
        if read.buckets:
            self._with_tokens.append(read)

    def issued(self, claim_id: str) -> None:
        """Note that an Issue was accepted on a claim."""
        if claim_id in self._known:
            self._statuses[claim_id] = int(claims_pb2.CLAIM_STATUS_ISSUED)

    def cases_of(self, record: mirror_pb2.LeafRecord) -> None:
        """Note the cases beside a leaf: each as it was last."""
        self._cases.update((case.case_id, case) for case in record.cases)

    def alias(self, log_index: int, envelope: envelope_pb2.Envelope) -> None:
        """Write a decision about two references."""
        decision = cases_pb2.AliasDecision.FromString(envelope.payload)
        first, second = sorted(
            alias_key(one.scheme, one.value, name)
            for name, one in (("first", decision.first), ("second", decision.second))
        )
        row = aliases.DecisionRow(
            log_index, first, second, int(decision.relation), envelope.SerializeToString()
        )
        aliases.insert_decision(self.connection, row)

    def orders_of(self, log_index: int, record: mirror_pb2.LeafRecord) -> None:
        """Write the orders to other registries beside a leaf; each names the claim that it is for."""
        for order in record.registry_orders:
            claim_id = coordination_pb2.RegistryOrder.FromString(order.payload).claim_id
            self._order(claim_id, log_index, order)

    def _order(self, claim_id: str, log_index: int, order: mirror_pb2.RegistryOrderRecord) -> None:
        registry_orders.insert_order(
            self.connection,
            registry_orders.OrderRow(
                order.order_id,
                order.registry,
                claim_id,
                order.kind,
                order.statement_hash,
                order.order_hash,
                order.payload,
                order.envelope,
                order.ordered_at,
                log_index,
            ),
        )

    def flush(self) -> None:
        """Write what a chunk has said; claims before what moves them."""
        claim_rows.insert_claims(self.connection, list(self._declared.values()))
        store_tokens(self.connection, self._with_tokens)
        claim_rows.lock_rows(self.connection, self._locks)
        claim_rows.insert_receipts(self.connection, self._receipts)
        claim_rows.set_status(self.connection, list(self._statuses.items()))
        for claim_id, (declared_index, lapses_at) in self._places.items():
            claim_rows.set_place(self.connection, claim_id, declared_index, lapses_at)
        self._declared, self._statuses, self._places = {}, {}, {}
        self._receipts, self._locks, self._with_tokens = [], set(), []

    def finish(self) -> None:
        """Write the cases, and the classes that the decisions about references give."""
        cases = [self._cases[number] for number in sorted(self._cases)]
        insert_rows(
            self.connection,
            conflict_case,
            [tuple(getattr(case, name) for name in _CASE_COLUMNS) for case in cases],
            _CASE_COLUMNS,
        )
        insert_rows(
            self.connection,
            case_claim,
            [
                (case.case_id, claim_id, position == 0)
                for case in cases
                for position, claim_id in enumerate(case.claim_ids)
            ],
            ("case_id", "claim_id", "is_subject"),
        )
        events = sorted((event.event_id, case.case_id, event) for case in cases for event in case.events)
        insert_rows(
            self.connection,
            case_event,
            [
                (number, case_id, *(getattr(event, name) for name in _EVENT_COLUMNS[2:]))
                for number, case_id, event in events
            ],
            _EVENT_COLUMNS,
        )
        _go_on_behind(self.connection, conflict_case, "case_id", [case.case_id for case in cases])
        _go_on_behind(self.connection, case_event, "event_id", [number for number, _, _ in events])
        pairs = aliases.all_pairs(self.connection)
        keys = {key for first, second, _ in pairs for key in (first, second)}
        aliases.write_classes(self.connection, (), united(pairs, keys))


def _go_on_behind(connection: sa.Connection, table: sa.Table, column: str, numbers: Iterable[int]) -> None:
    """Let the database number on behind what was written with its number; SQLite does so itself."""
    last = max(numbers, default=0)
    if last and connection.dialect.name != "sqlite":
        # The service's role may draw numbers and not set them; the database is empty, so the first is 1.
        drawn = sa.func.nextval(sa.func.pg_get_serial_sequence(table.name, column))
        connection.execute(
            sa.select(sa.func.count(drawn)).select_from(sa.func.generate_series(1, last).alias("numbers"))
        )
