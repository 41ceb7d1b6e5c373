"""Opening a session: the newest number fences the older ones.

And what waits for the region is offered again.
"""

from __future__ import annotations

import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao.protocol import notary
from tanqiao.protocol.effects import SendPrepare
from tanqiao.protocol.numbering import check_session
from tanqiao.protocol.types import TransferView
from tanqiao_bridge.application.commands import Answer, OpenSession
from tanqiao_bridge.application.context import Group
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
    for key, entry in group.context.transfers.towards(command.party):
        if group.overlay.get(key) is not entry:
            continue
        after = notary.on_session_opened(TransferView(entry.transfer), command.party)
        if any(isinstance(effect, SendPrepare) for effect in after.effects):
            group.prepares.append(key)
    return answer
