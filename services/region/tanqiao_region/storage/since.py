"""What the books gained and lost since an index of the journal: what they held then is the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao_region.storage.disclosure import YEAR
from tanqiao_region.storage.packing import unpack_blocks
from tanqiao_region.storage.tables import journal, outgoing_transfer, retirement

ENTRIES_PER_PAGE: Final = 1000

_ISSUED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_ISSUED
_MOVED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_MOVED
_RETIRING: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_RETIRING
_RETIRED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_RETIRED
_CANCELLED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_CANCELLED
_RETURNED: Final = journal_pb2.JOURNAL_EVENT_KIND_USE_RETURNED
_BY_EFFECTS: Final = (
    _ISSUED,
    journal_pb2.JOURNAL_EVENT_KIND_UNITS_CREDITED,
    journal_pb2.JOURNAL_EVENT_KIND_UNITS_CORRECTED,
)
"""Entries whose effects say what came or went; units that are locked are held until another entry ends it."""
_BY_TRANSFER: Final = (_MOVED, _RETIRING, _RETIRED, _CANCELLED, _RETURNED)
"""Entries about a transfer or use, whose blocks stand in its row."""
_KINDS: Final = tuple(int(kind) for kind in (*_BY_EFFECTS, *_BY_TRANSFER))


@dataclass(frozen=True, slots=True)
class Since:
    """What has changed behind an index, up to another one.

    Attributes:
        up_to: index of the last entry that is counted.
        issued: issuances whose units were created.
        held_kg: by series, locked and retiring ones too.
        cancelled_kg: by series.
        used_kg: by series, purpose and year of the decision.
        claimed_kg: used or being used, by purpose and compliance year.
    """

    up_to: int
    issued: set[str] = field(default_factory=set)
    held_kg: Counter[str] = field(default_factory=Counter)
    cancelled_kg: Counter[str] = field(default_factory=Counter)
    used_kg: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    claimed_kg: Counter[tuple[str, int]] = field(default_factory=Counter)

    def copy(self, up_to: int) -> Since:
        """Give one that can be counted on with."""
        return Since(
            up_to,
            set(self.issued),
            Counter(self.held_kg),
            Counter(self.cancelled_kg),
            Counter(self.used_kg),
            Counter(self.claimed_kg),
        )


def counted_on(connection: sa.Connection, known: Since, head: int) -> Since:
    """Count the entries behind `known.up_to` up to the head of this snapshot; `known` stays as it is."""
    since = known.copy(head)
    columns = journal.c
    last = known.up_to
    while last < head:
        rows = connection.execute(
            sa.select(columns.journal_index, columns.kind, columns.subject_id, columns.entry)
            .where(columns.journal_index > last, columns.journal_index <= head, columns.kind.in_(_KINDS))
            .order_by(columns.journal_index)
            .limit(ENTRIES_PER_PAGE)
        ).all()
        _count_effects(since, (row for row in rows if row.kind in _BY_EFFECTS))
        _count_transfers(connection, since, [row for row in rows if row.kind in _BY_TRANSFER])
        last = rows[-1].journal_index if len(rows) == ENTRIES_PER_PAGE else head
    return since


def _count_effects(since: Since, rows: Iterable[Any]) -> None:
    for row in rows:
        if row.kind == _ISSUED:
            since.issued.add(row.subject_id)
        for effect in journal_pb2.JournalEntry.FromString(bytes(row.entry)).effects:
            for sign, blocks in ((1, effect.added), (-1, effect.removed)):
                for block in blocks:
                    since.held_kg[block.series_id] += sign * (block.end_serial - block.start_serial)


def _count_transfers(connection: sa.Connection, since: Since, rows: list[Any]) -> None:
    ids = {bytes.fromhex(row.subject_id) for row in rows}
    keys = [(one,) for one in ids]
    known = {
        bytes(found[0]): unpack_blocks(found[1])
        for found in rows_by_key(
            connection, outgoing_transfer, ("transfer_id",), keys, ("transfer_id", "blocks")
        )
    }
    wanted = ("transfer_id", "purpose", "decision_date", "compliance_year")
    uses = {
        bytes(found[0]): (found[1], found[2][:YEAR], found[3])
        for found in rows_by_key(connection, retirement, ("transfer_id",), keys, wanted)
    }
    for row in rows:
        transfer_id = bytes.fromhex(row.subject_id)
        purpose, year, compliance_year = uses.get(transfer_id, ("", "", 0))
        for block in known.get(transfer_id, ()):
            if row.kind in (_MOVED, _RETIRED, _CANCELLED):
                since.held_kg[block.series_id] -= block.quantity_kg
            if row.kind == _CANCELLED:
                since.cancelled_kg[block.series_id] += block.quantity_kg
            elif row.kind == _RETIRED:
                since.used_kg[block.series_id, purpose, year] += block.quantity_kg
            elif row.kind in (_RETIRING, _RETURNED):
                sign = 1 if row.kind == _RETIRING else -1
                since.claimed_kg[purpose, compliance_year] += sign * block.quantity_kg
