"""Opening a session: the newest number fences the older ones.

And what waits for the region is offered again.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao.protocol import notary
from tanqiao.protocol.effects import SendPrepare
from tanqiao.protocol.numbering import check_session
from tanqiao.protocol.types import TransferKey, TransferView
from tanqiao_bridge.application.commands import Answer, OfferAgain, OpenSession
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.memory import OpenEntry
from tanqiao_bridge.storage.tables import inbox, outbox, region


def open_session(group: Group, command: OpenSession) -> Answer:
    """Fence older sessions of the region, note its incarnation, and offer its Prepares again.

    Raises:
        DomainError: REGION_UNKNOWN, SESSION_FENCED, INCARNATION_STALE.
    """
    answer = Answer()
    hello = command.hello
    row = group.connection.execute(
        sa.select(region.c.incarnation, region.c.session_number).where(region.c.region == command.party)
    ).first()
    if row is None:
        raise DomainError("REGION_UNKNOWN", region=command.party)
    refusal = check_session(row.session_number, hello.session_number)
    if refusal is not None:
        raise DomainError(refusal.symbol, **dict(refusal.metadata))
    if hello.incarnation < row.incarnation:
        raise DomainError("INCARNATION_STALE", incarnation=hello.incarnation, expected=row.incarnation)
    group.connection.execute(
        sa.update(region)
        .where(region.c.region == command.party)
        .values(incarnation=hello.incarnation, session_number=hello.session_number, last_seen_at=group.now)
    )
    answer.received_number = inbox.received(group.connection, command.party, hello.incarnation)
    answer.last_number, answer.acknowledged_number = outbox.marks(
        group.connection, command.party, group.context.epoch
    )
    group.sessions[command.party] = hello.session_number
    _offer(group, command.party, group.context.transfers.towards(command.party))
    return answer


def offer_again(group: Group, command: OfferAgain) -> Answer:
    """Offer Prepares again for which a region was too busy; what is decided meanwhile is not offered."""
    transfers = group.context.transfers
    if command.transfer_ids is None:
        _offer(group, command.party, transfers.towards(command.party))
        return Answer()
    keys = [
        TransferKey(source, transfer_id)
        for transfer_id in command.transfer_ids
        for source in sorted(group.known_regions())
    ]
    _offer(group, command.party, [(key, entry) for key in keys if (entry := transfers.get(key)) is not None])
    return Answer()


def _offer(group: Group, party: str, entries: Iterable[tuple[TransferKey, OpenEntry]]) -> None:
    for key, entry in entries:
        if group.overlay.get(key) is not entry or entry.transfer.destination != party:
            continue
        after = notary.on_session_opened(TransferView(entry.transfer), party)
        if any(isinstance(effect, SendPrepare) for effect in after.effects):
            group.prepares.append(key)
