"""Leases of declared claims (CLAIMS section 3).

A declared claim lapses after its lease and the bridge's downtime, unless its notice opens. Leases run in the
bridge's running time: its clock less all the time that it was down, which is measured at each start against
the moment at which it was last known to run. So a bridge that was down lets nobody's claim lapse for it, and
one that dies while it lets claims lapse finds those that are left at the next tick. Each lapse is a leaf and
a receipt, and the claim's region is told.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao_bridge.application.claim_aliases import lock_keys
from tanqiao_bridge.application.claim_notices import tell_moved
from tanqiao_bridge.application.claim_receipts import move_by_bridge
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.judging import read_stored
from tanqiao_bridge.application.outages import note_outage
from tanqiao_bridge.application.registry_ordering import release_frozen
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.claim_tables import bridge_time

LAPSES_PER_GROUP_MAX: Final = 500
KEEP_SECONDS: Final = 60
"""How often the bridge notes that it runs; so much of a lease a downtime may cost."""
ALIVE_AT: Final = "alive_at"
DOWN_SECONDS: Final = "down_seconds"
REASON: Final = "the lease ran out before the notice opened"


class LapseClaims:
    """Let the claims lapse whose lease is over, and note that the bridge runs."""


def lapse_claims(group: Group, _command: object) -> int:
    """Let at most `LAPSES_PER_GROUP_MAX` claims lapse; how many did.

    A bridge that recovers waits: a claim that it does not know yet may have moved on.
    """
    if not group.context.recovery.is_over:
        return 0
    running_seconds = group.now - group.context.down_seconds
    due = claim_rows.lapsing(group.connection, running_seconds, limit=LAPSES_PER_GROUP_MAX)
    if due:
        lock_keys(group.connection, {key for row in due for key in read_stored(row).locks})
        made, receipts = move_by_bridge(group, due, claims_pb2.CLAIM_STATUS_LAPSED, REASON)
        tell_moved(group, made, receipts)
        for one in made:
            release_frozen(group, one.claim_id, one.receipt_hash, one.log_index)
    _note(group.connection, ALIVE_AT, group.now)
    return len(due)


def measure_downtime(connection: sa.Connection, now: int) -> int:
    """Add the time since the bridge was last known to run; how long it was down in all, in seconds."""
    values = {row.name: int(row.value) for row in connection.execute(sa.select(bridge_time))}
    seconds = max(0, now - values.get(ALIVE_AT, now))
    note_outage(connection, now, seconds)
    down = values.get(DOWN_SECONDS, 0) + seconds
    _note(connection, DOWN_SECONDS, down)
    _note(connection, ALIVE_AT, now)
    return down


def _note(connection: sa.Connection, name: str, value: int) -> None:
    changed = connection.execute(sa.update(bridge_time).where(bridge_time.c.name == name).values(value=value))
    if changed.rowcount == 0:
        connection.execute(sa.insert(bridge_time).values(name=name, value=value))
