"""fsck of mandates to trade: each stands in the journal as it was given, and as it was ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import sqlalchemy as sa

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.kernel.periods import Period
from tanqiao_region.application import journal
from tanqiao_region.storage.tables import journal as journal_table
from tanqiao_region.storage.trading_mandates import MandateRow, all_mandates


class Told(NamedTuple):
    """What the journal says of a mandate; `ended` is ISO text, empty while it stands."""

    sides: tuple[str, ...]
    by: str
    period: str
    ended: str = ""


def check_mandates(connection: sa.Connection, note: Callable[[str], None]) -> int:
    """Compare mandates with the journal; how many there are.

    Args:
        connection: a snapshot.
        note: takes a finding.
    """
    told = _told(connection, note)
    count = 0
    for row in all_mandates(connection):
        count += 1
        if told.pop(row.mandate_id, None) != _stored(row):
            note(f"mandate {row.mandate_id} is not what the journal gives")
    for mandate_id in sorted(told):
        note(f"mandate {mandate_id} of the journal is not on record")
    return count


def _told(connection: sa.Connection, note: Callable[[str], None]) -> dict[str, Told]:
    columns = journal_table.c
    told: dict[str, Told] = {}
    for row in connection.execute(
        sa.select(columns.journal_index, columns.subject_id, columns.entry)
        .where(columns.kind == journal.MANDATE_CHANGED)
        .order_by(columns.journal_index)
    ):
        entry = journal_pb2.JournalEntry.FromString(bytes(row.entry))
        sides = tuple(effect.account_id for effect in entry.effects)
        known = told.get(row.subject_id)
        ended = entry.details.get("ended", "")
        if known is None and not ended:
            told[row.subject_id] = Told(sides, entry.details["by"], entry.details["period"])
        elif known is not None and ended and not known.ended and known.sides == sides:
            told[row.subject_id] = known._replace(ended=ended)
        else:
            note(f"journal {row.journal_index}: the mandate {row.subject_id} cannot be given or ended there")
    return told


def _stored(row: MandateRow) -> Told:
    period = Period(date.fromisoformat(row.start_date), date.fromisoformat(row.stop_date))
    return Told((row.principal_account_id, row.agent_account_id), row.given_by, str(period), row.end_date)
