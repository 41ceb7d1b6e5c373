"""What the bridge's handlers stand on.

Keys, clock, random bytes, the memory of open transfers; and one group's work.

A `Group` lives for one transaction. Everything it notes (overlay, outgoing messages, wake-ups) takes effect
after the commit; a rolled-back group leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.signatures import store_batch, store_envelope
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.clock import Clock
from tanqiao.offline.location_map import PageKey, page_key
from tanqiao.protocol.effects import Decide
from tanqiao.protocol.frozen import FrozenThings
from tanqiao.protocol.recovery import NOT_RECOVERING, RecoveringBridge
from tanqiao.protocol.types import DecisionRecord, TransferKey
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.envelope import Signer, build_header
from tanqiao.signing.federation import NO_WITNESSES
from tanqiao.signing.own_keys import OwnKeys
from tanqiao.signing.witness_groups import WitnessGroups
from tanqiao_bridge.application.commands import Answer, Material, Outgoing
from tanqiao_bridge.application.memory import ChangedPages, OpenTransfers, Overlay, RecentDecisions
from tanqiao_bridge.storage import locations, orders, policy
from tanqiao_bridge.storage.decisions import DecisionRow, MessageRow
from tanqiao_bridge.storage.leaf_kinds import require_announced
from tanqiao_bridge.storage.tables import signature

BRIDGE = "bridge"
NO_TRANSFER = TransferKey("", b"")
"""Of a message that is about no transfer."""


@dataclass(slots=True)
class BridgeContext:
    """The node's own things, made once by bootstrap.

    Args:
        network_id: of every header.
        signer: the bridge's message key that signs now.
        own_keys: its ring, from which `signer` changes when a new key begins; without it the key stays.
        clock: wall clock; its day in Asia/Shanghai is the legal date.
        monotonic_ms: monotonic clock of the decisions' deadlines.
        random_bytes: source of message ids and salts.
        directory: keys known now; replaced as a whole by the writer.
        epoch: incarnation of the bridge.
        decide_by_ms: time for a destination's answer.
        log_size: number of leaves that are durable.
        changed_pages: of the location map, since its root was looked at last.
        recovery: what a bridge that was restored still waits for; replaced by the writer.
        epoch_record: proves the present epoch to the regions; none in the first.
        claim_lease_seconds: after which a declared claim lapses whose notice has not opened; 0: never.
        down_seconds: how long the bridge was down, in all, when this process began.
        witness_groups: who makes the log final, by its size.
        tokens_per_day: blinded elements that are evaluated for a region on a legal date.
    """

    network_id: str
    signer: Signer
    clock: Clock
    monotonic_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    directory: KeyDirectory
    epoch: int
    decide_by_ms: int
    log_size: int = 0
    transfers: OpenTransfers = field(default_factory=OpenTransfers)
    recent: RecentDecisions = field(default_factory=RecentDecisions)
    recovery: RecoveringBridge = NOT_RECOVERING
    epoch_record: envelope_pb2.Envelope | None = None
    connected: Callable[[str], bool] = lambda _party: False
    own_keys: OwnKeys | None = None
    claim_lease_seconds: int = 0
    down_seconds: int = 0
    witness_groups: WitnessGroups = field(default_factory=lambda: WitnessGroups(NO_WITNESSES))
    tokens_per_day: int = 0
    changed_pages: ChangedPages = field(default_factory=ChangedPages)

    def runs(self, payload_type: str, payloads: Sequence[bytes]) -> Iterator[tuple[int, int, Signer]]:
        """Cut payloads into runs that one key signs: (start, end, key)."""
        if self.own_keys is None:
            yield 0, len(payloads), self.signer
        else:
            yield from self.own_keys.runs(payload_type, payloads)

    def signer_of(self, payload_type: str, payload: bytes) -> Signer:
        """Give the key whose epoch the payload's header names."""
        return self.signer if self.own_keys is None else self.own_keys.signer_of(payload_type, payload)

    def renew_signer(self, *, directory_changed: bool) -> None:
        """Take the key that is valid now; called by the writer alone, between two groups."""
        if self.own_keys is not None and (directory_changed or self.own_keys.is_due(self.log_size)):
            self.signer = self.own_keys.choose(self.directory, self.log_size)

    def header(
        self,
        audience: tuple[str, ...],
        *,
        source: str = "",
        transfer_id: bytes = b"",
        prev_hash: bytes = b"",
    ) -> envelope_pb2.Header:
        """Give the header of a message of the bridge with a fresh message id."""
        return build_header(
            self.signer,
            network_id=self.network_id,
            audience=audience,
            message_id=self.random_bytes(16),
            source=source,
            transfer_id=transfer_id,
            prev_hash=prev_hash,
        )


@dataclass(slots=True)
class PendingDecision:
    """A transfer that this group decides, and what is wished."""

    key: TransferKey
    wish: Decide


@dataclass(slots=True)
class Group:
    """The work of one transaction."""

    context: BridgeContext
    connection: sa.Connection
    now: int
    legal_date: str
    overlay: Overlay
    decisions: dict[TransferKey, DecisionRecord] = field(default_factory=dict)
    pending: dict[TransferKey, PendingDecision] = field(default_factory=dict)
    decided_rows: list[DecisionRow] = field(default_factory=list)
    messages: list[MessageRow] = field(default_factory=list)
    numbered: list[OutboxMessage] = field(default_factory=list)
    prepares: list[TransferKey] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    stored_decisions: list[tuple[Answer, str, TransferKey]] = field(default_factory=list)
    directory: KeyDirectory | None = None
    witness_groups: WitnessGroups | None = None
    """Who makes the log final, where this group changed it."""
    wake: set[str] = field(default_factory=set)
    sessions: dict[str, int] = field(default_factory=dict)
    log_size: int = 0
    recovery: RecoveringBridge | None = None
    """What is still waited for, where this group changed it."""
    frozen: FrozenThings | None = None
    evidence_kind: str = ""
    evidence_hashes: tuple[bytes, ...] = ()
    """The evidence that was stored last: what a freeze on it names."""
    touched_pages: set[PageKey] = field(default_factory=set)
    """Pages of the location map in which this group wrote."""
    undecided: set[TransferKey] = field(default_factory=set)
    """Keys that were looked up and have no decision in the tables."""
    _signatures: dict[int, int] = field(default_factory=dict)
    _regions: frozenset[str] | None = None
    _agreements: dict[tuple[str, str], list[policy.AgreementRow]] = field(default_factory=dict)
    _series: dict[str, policy.SeriesRow] = field(default_factory=dict)
    _kept: list[object] = field(default_factory=list)

    def known_regions(self) -> frozenset[str]:
        """Give the parties that are regions; read once for the group."""
        if self._regions is None:
            self._regions = policy.known_regions(self.connection)
        return self._regions

    def frozen_things(self) -> FrozenThings:
        """Give what is frozen as this group sees it; read once, and again after an order."""
        if self.frozen is None:
            self.frozen = FrozenThings(orders.load_frozen(self.connection))
        return self.frozen

    def agreements_of(
        self, pairs: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], list[policy.AgreementRow]]:
        """Give the agreements of these directions, oldest first; each is read once for the group."""
        wanted = set(pairs)
        missing = wanted - self._agreements.keys()
        if missing:
            self._agreements.update((pair, []) for pair in missing)
            for row in policy.load_agreements(self.connection, missing):
                self._agreements[row.from_region, row.to_region].append(row)
        return {pair: self._agreements[pair] for pair in wanted}

    def announced(self, kind: str) -> str:
        """Give a kind that came after the first version; LEAF_KIND_NOT_ANNOUNCED while it must wait."""
        groups = self.witness_groups or self.context.witness_groups
        return require_announced(self.connection, groups.newest.witnesses, kind)

    def series_of(self, series_ids: Iterable[str]) -> dict[str, policy.SeriesRow]:
        """Give the registered ones of these series; a row never changes and is read once for the group."""
        wanted = set(series_ids)
        missing = wanted - self._series.keys()
        if missing:
            self._series.update(policy.load_series(self.connection, missing))
        return {name: self._series[name] for name in wanted if name in self._series}

    def forget_policy(self) -> None:
        """Read regions and agreements again: a command of this group has changed them."""
        self._regions = None
        self._agreements.clear()

    def write_locations(
        self, deleted: Sequence[locations.LocationRow], inserted: Sequence[locations.LocationRow]
    ) -> None:
        """Write a difference of the location map, and note the pages that it changes."""
        locations.write_difference(self.connection, deleted, inserted)
        for rows in (deleted, inserted):
            self.touched_pages.update(page_key(row.block.series_id, row.block.start) for row in rows)

    def signature_of(self, material: Material) -> tuple[int, int]:
        """Keep the signature that a message came under, once for its batch; (signature id, item index)."""
        batch = material.batch
        if batch is None:
            envelope = material.envelope
            if envelope is None:
                envelope = envelope_pb2.Envelope()
            return store_envelope(self.connection, signature, envelope), 0
        known = self._signatures.get(id(batch))
        if known is None:
            known = store_batch(self.connection, signature, batch, material.opened.tree.hashes)
            self._signatures[id(batch)] = known
            self._kept.append(batch)  # so that its id is not given to another batch of this group
        return known, material.opened.envelope_index

    def keep_record(self, envelope: envelope_pb2.Envelope, message_hash: bytes, sender: str) -> None:
        """Keep a record as its authorities signed it: it travels beside its leaf."""
        signature_id = store_envelope(self.connection, signature, envelope)
        self.messages.append(
            MessageRow(
                message_hash,
                envelope.payload_type,
                sender,
                NO_TRANSFER,
                envelope.payload,
                signature_id,
                0,
                None,
            )
        )

    def keep_message(self, material: Material, key: TransferKey) -> None:
        """Keep a message that a decision, a receipt or a case names."""
        signature_id, item_index = self.signature_of(material)
        opened = material.opened
        self.messages.append(
            MessageRow(
                opened.message_hash,
                opened.payload_type,
                opened.signed_by[0].owner,  # who is the header's sender: verified
                key,
                opened.payload,
                signature_id,
                item_index,
                material.companion or None,
            )
        )
