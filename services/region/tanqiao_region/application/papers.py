"""What the bridge sends beside a message to a node that recovers: the papers that the message rests on.

A promise that this node's own key signed is honoured even if a restore forgot it (PROTOCOL R9, section 6).
The papers are verified like any message; what does not verify is as if it had not been sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import IssueFacts, LockFacts, PrepareFacts, ReadyFacts
from tanqiao.rpc.protocol_facts import date_of, issue_facts, lock_facts, ready_facts
from tanqiao.signing.commitments import open_lock
from tanqiao.signing.verify import AllowedMessage, Opened, allow
from tanqiao_region.application.context import BRIDGE, RegionContext
from tanqiao_region.storage.holdings import SeriesRow

LOCKS: Final = allow(
    messages_pb2.LockAssertion,
    messages_pb2.Use,
    senders=("region/*",),
    audience=BRIDGE,
    ended_allowed=True,
)


@dataclass(frozen=True, slots=True)
class OwnPapers:
    """Papers that verified; each is None where it was not sent or is of no use here.

    Args:
        lock: the source's promise with its message, its envelope and the openings beside it.
        ready: this node's Ready.
        issue: this node's Issue.
        has_final: whether the bridge has this node's receipt: then no other is given (R4).
        series: series that the blocks name.
    """

    lock: tuple[LockFacts, Opened, envelope_pb2.Envelope] | None
    openings: bytes
    ready: tuple[ReadyFacts, Opened, envelope_pb2.Envelope] | None
    issue: tuple[IssueFacts, Opened, envelope_pb2.Envelope] | None
    has_final: bool
    series: tuple[SeriesRow, ...]

    def own_lock(self, party: str) -> LockFacts | None:
        """Give the lock if it is this node's own."""
        return self.lock[0] if self.lock is not None and self.lock[0].key.source == party else None

    def own_ready(self) -> tuple[ReadyFacts, PrepareFacts] | None:
        """Give the Ready, and the Prepare that it answers as the Ready names it.

        The bridge keeps no Prepare, which promises nothing; the Ready names the lock's hash as well.
        """
        if self.ready is None or self.lock is None:
            return None
        facts, opened, _ = self.ready
        day = date_of(opened.message.legal_date, "legal_date").isoformat()
        return facts, PrepareFacts(facts.key, facts.prepare_hash, self.lock[0], day)


def open_papers(context: RegionContext, data: bytes, at_index: int) -> OwnPapers | None:
    """Open what travelled beside a message; None if it is no papers at all."""
    try:
        papers = recovery_pb2.Papers.FromString(data)
    except DecodeError:
        return None
    own = (context.party,)
    ready = allow(messages_pb2.Ready, senders=own, audience=BRIDGE, ended_allowed=True)
    final = allow(
        messages_pb2.SourceFinal, messages_pb2.DestFinal, senders=own, audience=BRIDGE, ended_allowed=True
    )
    issue = allow(messages_pb2.Issue, senders=own, audience=BRIDGE, ended_allowed=True)

    def opened(envelope: envelope_pb2.Envelope, allowed: dict[str, AllowedMessage]) -> Opened | None:
        if not envelope.payload:
            return None
        try:
            return context.verifier.open_envelope(
                envelope, context.directory, allowed=allowed, peer=None, at_index=at_index
            )
        except DomainError:
            return None

    def facts(
        read: Any,  # noqa: ANN401 - one of the readers of facts
        envelope: envelope_pb2.Envelope,
        allowed: dict[str, AllowedMessage],
    ) -> Any:  # noqa: ANN401 - the facts that it gives
        message = opened(envelope, allowed)
        if message is None:
            return None
        try:
            return read(message), message, envelope
        except DomainError:
            return None

    return OwnPapers(
        facts(lock_facts, papers.lock, LOCKS),
        papers.openings.SerializeToString(),
        facts(ready_facts, papers.ready, ready),
        facts(issue_facts, papers.issue, issue),
        opened(papers.final, final) is not None,
        tuple(
            SeriesRow(
                one.series_id,
                one.region_code,
                one.programme,
                one.source_id,
                one.vintage_year,
                one.batch_number,
                one.methodology_id,
                one.unit_class,
            )
            for one in papers.series
        ),
    )


def receiving_address(papers: OwnPapers) -> str:
    """Give the receiving address that the openings state, if they fit the lock's commitments."""
    if papers.lock is None:
        return ""
    try:
        return open_lock(papers.lock[1].message, papers.openings).receiving_address
    except DomainError:
        return ""


def touched(papers: OwnPapers | None) -> tuple[UnitBlock, ...]:
    """Name the units that papers speak of, so that they are loaded with the group."""
    if papers is None:
        return ()
    blocks = () if papers.lock is None else papers.lock[0].blocks
    return blocks if papers.issue is None else (*blocks, papers.issue[0].block)
