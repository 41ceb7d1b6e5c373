"""Opens what a region reports to a bridge that was restored: every message under its own signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import DecisionFacts, LockFacts
from tanqiao.rpc.protocol_facts import decision_facts, issue_facts, lock_facts
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import AllowedMessage, Opened, Verifier, allow
from tanqiao_bridge.application.adopting_orders import ORDER_TYPES, order_item
from tanqiao_bridge.application.commands import Material
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.storage.recovery import Item, Paper

REGIONS: Final = ("region/*",)
OWN: Final = allow(
    messages_pb2.Decision,
    messages_pb2.IssueReceipt,
    claims_pb2.ClaimReceipt,
    senders=(BRIDGE,),
    index_field="log_index",
)
RECORDS: Final = {
    **allow(messages_pb2.KeyRecord, senders=("authority/*",), role=KeyRole.ROOT, audience=BRIDGE),
    **allow(
        messages_pb2.RecognitionRecord,
        senders=("authority/*",),
        role=KeyRole.ROOT,
        audience=BRIDGE,
        signatures_max=2,
    ),
}
PAPERS: Final = allow(
    messages_pb2.LockAssertion,
    messages_pb2.Use,
    messages_pb2.Ready,
    messages_pb2.Refuse,
    messages_pb2.Issue,
    messages_pb2.SourceFinal,
    messages_pb2.DestFinal,
    claims_pb2.DeclareStatement,
    claims_pb2.ClaimStatement,
    senders=REGIONS,
    audience=BRIDGE,
    revoked_allowed=True,
    ended_allowed=True,
)
PROMISED: Final = {
    name: PAPERS[name]
    for name in map(payload_type_of, (messages_pb2.LockAssertion, messages_pb2.Use, messages_pb2.Ready))
}
"""What a region may report undecided."""


@dataclass(frozen=True, slots=True)
class OpenedItem:
    """A reported message with what it rests on; each part is None where it was not reported."""

    row: Item
    envelope: envelope_pb2.Envelope
    opened: Opened
    decision: DecisionFacts | None
    lock: tuple[LockFacts, Material] | None
    ready: Material | None
    issue: Opened | None
    statement: Opened | None
    papers: recovery_pb2.Papers


@dataclass(frozen=True, slots=True)
class Promise:
    """A lock or Use, or a Ready, that a region reported undecided; or its receipt of what waits."""

    lock: tuple[LockFacts, Material] | None
    ready: Material | None
    final: Material | None


class ReportOpener:
    """Verifies for a bridge that recovers.

    Keys are judged at the index that the bridge has: what was added later is reported with the rest.
    """

    def __init__(self, context: BridgeContext) -> None:
        self._context = context
        self._verifier = Verifier(context.network_id, BRIDGE)

    def read(self, party: str, item: recovery_pb2.ReportItem) -> Item:
        """Verify the main message of an item, and give the row that keeps it.

        Raises:
            DomainError: what is wrong with it: nothing but the bridge's own words and the roots' count.
        """
        if item.message.payload_type in ORDER_TYPES:
            return order_item(party, item)
        opened = self._main(party, item.message)
        old_index = int(getattr(opened.message, "log_index", -1))
        return Item(opened.message_hash, party, opened.payload_type, old_index, item.SerializeToString())

    def read_paper(self, party: str, papers: recovery_pb2.Papers) -> Paper:
        """Verify an undecided promise of a region, and give the row that keeps it.

        Raises:
            DomainError: what is wrong with it: nothing but a region's own lock, Use or Ready counts.
        """
        envelope = papers.ready if papers.HasField("ready") else papers.lock
        opened = self._open(self._verifier, envelope, PROMISED, party)
        header = opened.header
        if papers.HasField("ready") != isinstance(opened.message, messages_pb2.Ready):
            raise DomainError("FIELD_INVALID", field="undecided", detail=opened.payload_type)
        return Paper(
            header.source, header.transfer_id, opened.message_hash, party, papers.SerializeToString()
        )

    def open_paper(self, row: Paper) -> Promise:
        """Open a kept promise; one that does not verify any more is empty."""
        return self._promise(recovery_pb2.Papers.FromString(row.paper))

    def _promise(self, papers: recovery_pb2.Papers) -> Promise:
        lock, facts = self._paper(papers.lock), None
        if lock is not None and isinstance(lock.message, messages_pb2.LockAssertion | messages_pb2.Use):
            openings = papers.openings.SerializeToString()
            facts = (lock_facts(lock), Material(lock, None, papers.lock, openings))
        ready, final = self._paper(papers.ready), self._paper(papers.final)
        return Promise(
            facts,
            Material(ready, None, papers.ready) if ready is not None else None,
            Material(final, None, papers.final) if final is not None else None,
        )

    def open(self, row: Item) -> OpenedItem:
        """Open a kept item; papers that do not verify are left out, and what its message does not answer."""
        item = recovery_pb2.ReportItem.FromString(row.item)
        opened = self._main(row.region, item.message)
        promise = self._promise(item.papers)
        decision = decision_facts(opened) if isinstance(opened.message, messages_pb2.Decision) else None
        issue, statement = self._paper(item.papers.issue), self._paper(item.statement)
        if issue is not None:
            issue_facts(issue)
        return OpenedItem(
            row,
            item.message,
            opened,
            decision,
            promise.lock,
            promise.ready,
            issue if _is_answered(opened, issue) else None,
            statement if _is_answered(opened, statement) else None,
            item.papers,
        )

    def _main(self, party: str, envelope: envelope_pb2.Envelope) -> Opened:
        is_own = envelope.payload_type in OWN
        verifier = Verifier(self._context.network_id, party) if is_own else self._verifier
        return self._open(verifier, envelope, OWN if is_own else RECORDS)

    def _paper(self, envelope: envelope_pb2.Envelope) -> Any:  # noqa: ANN401 - an `Opened`, or None
        if not envelope.payload:
            return None
        try:
            return self._open(self._verifier, envelope, PAPERS)
        except DomainError:
            return None

    def _open(
        self,
        verifier: Verifier,
        envelope: envelope_pb2.Envelope,
        allowed: dict[str, AllowedMessage],
        peer: str | None = None,
    ) -> Opened:
        return verifier.open_envelope(
            envelope, self._context.directory, allowed=allowed, peer=peer, at_index=self._context.log_size
        )


def _is_answered(receipt: Opened, paper: Opened | None) -> bool:
    """Whether a receipt names this Issue or statement: of another one the bridge has said nothing."""
    return paper is not None and paper.message_hash == receipt.header.prev_hash
