"""Opens what the bridge sends and makes commands of it: verification first, then facts, nothing decided here.

An item that does not verify is kept for itself; a numbered frame whose signature does not hold is kept item
by item, so that the stream goes on (PROTOCOL sections 2 and 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tanqiao.api.bridge.v1 import cases_pb2, messages_pb2, recovery_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.numbering import check_versions
from tanqiao.protocol.recovery import is_superseded
from tanqiao.rpc.protocol_facts import date_of, decision_facts, lock_facts, prepare_facts, receipt_facts
from tanqiao.signing.commitments import open_lock
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened, allow
from tanqiao_region.application.commands import (
    AdoptedItem,
    ApplyPrepares,
    DecisionItem,
    Frame,
    NumberedItem,
    PrepareItem,
    TakeNumbered,
    Unacceptable,
)
from tanqiao_region.application.context import BRIDGE, RegionContext
from tanqiao_region.application.offering import check_address
from tanqiao_region.application.papers import OwnPapers, open_papers

FROM_BRIDGE: Final = (BRIDGE,)
HELLO: Final = allow(sync_pb2.Hello, senders=FROM_BRIDGE)
OFFERED: Final = allow(messages_pb2.Prepare, senders=FROM_BRIDGE)
REPEATED: Final = frozenset(
    {payload_type_of(messages_pb2.Decision), payload_type_of(messages_pb2.IssueReceipt)}
)
"""Stored answers of replays. What they say comes by its number as well and takes effect in that order alone:
units that come back must not arrive before the COMMIT that let them go (`protocol.effects.SendStored`)."""
NUMBERED: Final = {
    # These name their index in the log, and the key is judged at it, however far this node has come.
    **allow(
        messages_pb2.Decision,
        messages_pb2.IssueReceipt,
        messages_pb2.RecordNotice,
        messages_pb2.HomeNotice,
        cases_pb2.ClaimNotice,
        recovery_pb2.AdoptedNotice,
        senders=FROM_BRIDGE,
        index_field="log_index",
    ),
    **allow(messages_pb2.Nack, senders=FROM_BRIDGE),
}
ADOPTED: Final = allow(messages_pb2.Decision, senders=FROM_BRIDGE, index_field="log_index")
EMBEDDED_LOCK: Final = allow(messages_pb2.LockAssertion, senders=("region/*",), audience=BRIDGE)


class Opener:
    """Verifies for the node."""

    def __init__(self, context: RegionContext) -> None:
        self._context = context

    @property
    def _index(self) -> int:
        """Validity of a key whose message names no index is judged at the one that is known here."""
        return self._context.known_index

    def hello(self, envelope: envelope_pb2.Envelope) -> sync_pb2.Hello:
        """Open the bridge's Hello."""
        context = self._context
        opened = context.verifier.open_envelope(
            envelope, context.directory, allowed=HELLO, peer=BRIDGE, at_index=self._index
        )
        hello: sync_pb2.Hello = opened.message
        refusal = check_versions(hello.message_versions)
        if refusal is not None:
            raise DomainError(refusal.symbol, **dict(refusal.metadata))
        return hello

    def offered(self, batch: envelope_pb2.EnvelopeBatch) -> tuple[ApplyPrepares | None, list[DomainError]]:
        """Open a frame of Prepares: the command, None for answers that come by number, and what was refused.

        Raises:
            DomainError: what concerns the whole frame; it promises nothing and will be made again.
        """
        if batch.payload_type in REPEATED:
            return None, []
        context = self._context
        items = context.verifier.open_batch(
            batch, context.directory, allowed=OFFERED, peer=BRIDGE, at_index=self._index
        )
        refused = [item for item in items if isinstance(item, DomainError)]
        prepares = []
        for item in items:
            if isinstance(item, Opened):
                try:
                    prepares.append(self._prepare(batch, item))
                except DomainError as refusal:
                    refused.append(refusal)
        return ApplyPrepares(Frame(batch, hashes=_hashes_of(items)), tuple(prepares)), refused

    def _prepare(self, batch: envelope_pb2.EnvelopeBatch, item: Opened) -> PrepareItem:
        context = self._context
        lock = context.verifier.open_envelope(
            item.message.lock, context.directory, allowed=EMBEDDED_LOCK, peer=None, at_index=self._index
        )
        companion = batch.companions[item.envelope_index] if batch.companions else b""
        facts = prepare_facts(item, lock_facts(lock))
        try:
            address = open_lock(lock.message, companion).receiving_address
            check_address(address)
        except DomainError as refusal:  # the destination's answer names it
            return PrepareItem(facts, item, lock, companion, "", refusal)
        return PrepareItem(facts, item, lock, companion, address)

    def _facts(self, item: Opened, papers: OwnPapers | None) -> DecisionItem | AdoptedItem | Opened:
        """Read a decision's facts; of the other messages the shape is checked where it is cheap.

        Raises:
            DomainError: BRIDGE_EPOCH_SUPERSEDED for what an older epoch of the bridge signed beyond the index
                from which the present one continues, unless a leaf of the present one names it.
        """
        if isinstance(item.message, messages_pb2.Decision):
            decision = self._decision(item)
            start = self._context.epoch_start
            if is_superseded(start, item.message.bridge_epoch, decision.facts):
                raise DomainError(
                    "BRIDGE_EPOCH_SUPERSEDED", epoch=item.message.bridge_epoch, index=start.continues_from
                )
            return decision
        if isinstance(item.message, recovery_pb2.AdoptedNotice):
            return self._adopted(item.message, papers)
        if isinstance(item.message, messages_pb2.IssueReceipt):
            receipt_facts(item)
        return item

    @staticmethod
    def _decision(item: Opened) -> DecisionItem:
        # Read where a Use has ended: a day that is none must be known before the group, not break it.
        date_of(item.message.legal_date, "legal_date")
        return DecisionItem(decision_facts(item), item)

    def _adopted(
        self, notice: recovery_pb2.AdoptedNotice, papers: OwnPapers | None
    ) -> DecisionItem | AdoptedItem | Opened:
        """Open what a leaf of the present epoch names; the leaf's index counts."""
        context = self._context
        opened = context.verifier.open_envelope(
            notice.message, context.directory, allowed=ADOPTED, peer=None, at_index=self._index
        )
        decision = self._decision(opened)
        beside = {} if papers is None else {opened.envelope_index: papers}
        return AdoptedItem(
            DecisionItem(replace(decision.facts, log_index=notice.log_index), opened),
            Frame(envelope_pb2.EnvelopeBatch(payload_type=opened.payload_type), beside, notice.message),
        )

    def _papers(self, batch: envelope_pb2.EnvelopeBatch) -> dict[int, OwnPapers]:
        """Open what travels beside the items while this node recovers."""
        found = {}
        for position, data in enumerate(batch.companions):
            papers = open_papers(self._context, data, self._index) if data else None
            if papers is not None:
                found[position] = papers
        return found

    def numbered(self, frame: sync_pb2.NumberedBatch) -> TakeNumbered:
        """Open a numbered frame; what cannot be accepted stands in it as such."""
        context, batch = self._context, frame.batch
        try:
            opened = context.verifier.open_batch(
                batch, context.directory, allowed=NUMBERED, peer=BRIDGE, at_index=self._index
            )
        except DomainError as refusal:
            opened = [refusal] * len(batch.payloads)
        papers = self._papers(batch)
        items: list[NumberedItem] = []
        for position, item in enumerate(opened):
            try:
                if isinstance(item, DomainError):
                    raise item
                items.append(self._facts(item, papers.get(position)))
            except DomainError as refusal:
                payload = batch.payloads[position]
                items.append(Unacceptable(_hash_of(batch.payload_type, payload), payload, refusal))
        own = Frame(batch, papers, hashes=_hashes_of(opened))
        return TakeNumbered(own, frame.incarnation, frame.first_number, tuple(items))


def _hashes_of(items: Sequence[Opened | DomainError]) -> Sequence[bytes]:
    """Give the hashes that were made to verify a batch; none where nothing of it can be used."""
    return next((item.tree.hashes for item in items if isinstance(item, Opened)), ())


def _hash_of(payload_type: str, payload: bytes) -> bytes:
    try:
        return message_hash(payload_type, payload)
    except DomainError:  # a type that is no text has no hash
        return b""
