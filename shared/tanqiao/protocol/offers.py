"""What a region offers when a session opens (PROTOCOL section 3): its state is the outbox.

Offered traffic carries no number. It is offered again at every new session and after BUSY, until a decision
or a receipt changes the state; nothing else takes an offer back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tanqiao.protocol.effects import OfferKind
from tanqiao.protocol.types import (
    DestinationRecord,
    DestinationState,
    IssueRecord,
    IssueState,
    SourceRecord,
    SourceState,
    TransferKey,
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One stored message to be offered: of a transfer (`key`) or of an issuance (`issue_id`)."""

    kind: OfferKind
    key: TransferKey | None = None
    issue_id: bytes = b""


def offers_of_source(record: SourceRecord) -> tuple[Offer, ...]:
    """Give the lock or Use while undecided, and the Withdraw, always behind its lock."""
    if record.state is SourceState.LOCKED:
        lock = Offer(OfferKind.LOCK, record.key)
        return (lock, Offer(OfferKind.WITHDRAW, record.key)) if record.withdrawn else (lock,)
    if record.state is SourceState.RETIRING:
        return (Offer(OfferKind.USE, record.key),)
    return ()


def offers_of_destination(record: DestinationRecord) -> tuple[Offer, ...]:
    """Give the stored Ready or Refuse until the transfer is decided."""
    if record.state is DestinationState.READY:
        return (Offer(OfferKind.READY, record.key),)
    if record.state is DestinationState.REFUSED:
        return (Offer(OfferKind.REFUSE, record.key),)
    return ()


def offers_of_issue(record: IssueRecord) -> tuple[Offer, ...]:
    """Give the Issue until its receipt came."""
    return (Offer(OfferKind.ISSUE, None, record.issue_id),) if record.state is IssueState.ISSUING else ()


def offers_of(
    source_records: Iterable[SourceRecord],
    destination_records: Iterable[DestinationRecord],
    issue_records: Iterable[IssueRecord],
) -> tuple[Offer, ...]:
    """Give all that a region offers when a session opens, in the order given; answers come last."""
    issues = [offer for issue in issue_records for offer in offers_of_issue(issue)]
    locks = [offer for source in source_records for offer in offers_of_source(source)]
    answers = [offer for record in destination_records for offer in offers_of_destination(record)]
    return (*issues, *locks, *answers)
