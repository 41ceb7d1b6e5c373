"""When the bridge was down, as far as it still matters: time in which nobody could have answered it.

The whole of its downtime is in `bridge_time`; what began at a moment of the past needs to know how much of
that came after. Each start notes what it finds, and drops what every term that is asked about lies behind.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.node_state import get_state, set_state
from tanqiao_bridge.storage.tables import node_state

REMEMBERED_SECONDS: Final = 7 * 86_400
"""Longest term that may be asked about, in running time."""
OUTAGES_MAX: Final = 200
"""Of more than these the two oldest count as one that ended with the later: terms end later for it."""
_OUTAGES: Final = "outages"


class Outage(NamedTuple):
    """One time of being down: the epoch second at which it ended, and its length in seconds."""

    ended_at: int
    seconds: int


def load_outages(connection: sa.Connection) -> list[Outage]:
    """Give the outages that are remembered, oldest first."""
    return [Outage(*one) for one in json.loads(get_state(connection, node_state, _OUTAGES) or "[]")]


def note_outage(connection: sa.Connection, ended_at: int, seconds: int) -> None:
    """Remember that the bridge was down for so many seconds until a moment; of none, nothing."""
    if seconds <= 0:
        return
    outages = [*load_outages(connection), Outage(ended_at, seconds)]
    since = moment_before(outages, ended_at, REMEMBERED_SECONDS)
    outages = [one for one in outages if one.ended_at > since]
    while len(outages) > OUTAGES_MAX:
        first, second, *rest = outages
        outages = [Outage(second.ended_at, first.seconds + second.seconds), *rest]
    set_state(connection, node_state, _OUTAGES, json.dumps(outages))


def moment_before(outages: Sequence[Outage], now: int, running_seconds: int) -> int:
    """Give the moment since which the bridge has run for so long, at most `REMEMBERED_SECONDS`.

    Args:
        outages: those remembered, oldest first.
        now: epoch second.
        running_seconds: time of running.

    Returns:
        Epoch second. What began then or before has had so much time in which the bridge could be reached.
    """
    moment = now - running_seconds
    for one in reversed(outages):
        if moment < one.ended_at:
            moment -= one.seconds
    return moment
