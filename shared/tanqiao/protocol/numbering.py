"""Numbered traffic and sessions (PROTOCOL section 3): dense numbers per peer and incarnation of the sender.

At least once on the wire, exactly once in effect: the receiver takes each number once and in order and
acknowledges it when its effect is durable; the sender sends again from the first number not acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence

from tanqiao.kernel.invariants import require
from tanqiao.kernel.record import record
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import ReasonFacts

MESSAGE_VERSIONS = (1,)
"""Versions of messages that this program speaks, as its Hello says them."""
FIRST_NUMBER = 1
"""Number of the first message of an incarnation; 0 means that nothing has been received."""


@record
class InboxState:
    """Highest number whose effect is durable here, and the sender's incarnation that it belongs to."""

    incarnation: int = 0
    received_number: int = 0


@record
class OutboxState:
    """The sender's side: its incarnation, the last number given, the last acknowledged."""

    incarnation: int
    last_number: int = 0
    acknowledged_number: int = 0


@record
class Arrival:
    """What to do with a numbered batch.

    The first `known` messages have been taken before; the next `fresh` are new and to be applied in the
    transaction that stores `inbox`. On a refusal none is.
    """

    inbox: InboxState
    known: int
    fresh: int
    refusal: ReasonFacts | None = None


def on_numbered(inbox: InboxState, incarnation: int, first_number: int, count: int) -> Arrival:
    """Sort out a batch numbered `first_number` and up without gaps.

    A newer incarnation starts again at 1; an older one is stale. A gap is refused, so that the sender sends
    again from the number that is expected.
    """
    require(first_number >= FIRST_NUMBER and count >= 0, "numbers start at 1")
    if incarnation < inbox.incarnation:
        return _refused(
            inbox, reason("INCARNATION_STALE", incarnation=str(incarnation), expected=str(inbox.incarnation))
        )
    received = inbox.received_number if incarnation == inbox.incarnation else 0
    if first_number > received + 1:
        return _refused(inbox, reason("SEQUENCE_GAP", expected=str(received + 1), received=str(first_number)))
    last = first_number + count - 1
    fresh = max(0, last - received)
    return Arrival(InboxState(incarnation, max(last, received)), count - fresh, fresh)


def on_acknowledge(outbox: OutboxState, incarnation: int, up_to_number: int) -> OutboxState:
    """Note an acknowledgement; one of another incarnation, an older one, or one beyond all is no news."""
    if incarnation != outbox.incarnation or up_to_number > outbox.last_number:
        return outbox
    if up_to_number <= outbox.acknowledged_number:
        return outbox
    return OutboxState(outbox.incarnation, outbox.last_number, up_to_number)


def next_numbers(outbox: OutboxState, count: int) -> tuple[OutboxState, int]:
    """Give the outbox after `count` more messages, and the number of the first of them."""
    require(count >= 0, "a count is not negative")
    first = outbox.last_number + 1
    return OutboxState(outbox.incarnation, outbox.last_number + count, outbox.acknowledged_number), first


@record
class Resumption:
    """What a peer's Hello means for the sender of numbered traffic.

    `send_from` is the first number to send. `sender_lost_numbers` is true if the peer has received more than
    this sender knows to have sent: it was restored from an old backup and must recover (section 6).
    `outbox` counts what the peer has received as acknowledged: the acknowledgement itself may be lost, and
    what was received is not sent again.
    """

    send_from: int
    sender_lost_numbers: bool
    outbox: OutboxState


def on_hello(outbox: OutboxState, received_incarnation: int, received_number: int) -> Resumption:
    """Resume numbered traffic where the peer's Hello says that it stands."""
    if received_incarnation != outbox.incarnation:
        return Resumption(FIRST_NUMBER, received_incarnation > outbox.incarnation, outbox)
    if received_number > outbox.last_number:
        return Resumption(outbox.last_number + 1, sender_lost_numbers=True, outbox=outbox)
    acknowledged = on_acknowledge(outbox, received_incarnation, received_number)
    return Resumption(received_number + 1, sender_lost_numbers=False, outbox=acknowledged)


def check_session(current_session: int, offered_session: int) -> ReasonFacts | None:
    """Refuse a session that is not newer than the current one: the newest fences the older."""
    if offered_session > current_session:
        return None
    return reason("SESSION_FENCED", session=str(offered_session), newest=str(current_session))


def check_versions(said: Sequence[int]) -> ReasonFacts | None:
    """Refuse a peer whose Hello names no version of messages that is spoken here."""
    if set(said) & set(MESSAGE_VERSIONS):
        return None
    return reason(
        "VERSION_NOT_SUPPORTED",
        version=", ".join(map(str, said[:VERSIONS_SHOWN_MAX])) or "none",
        supported=", ".join(map(str, MESSAGE_VERSIONS)),
    )


VERSIONS_SHOWN_MAX = 8


def _refused(inbox: InboxState, refusal: ReasonFacts) -> Arrival:
    return Arrival(inbox, 0, 0, refusal)
