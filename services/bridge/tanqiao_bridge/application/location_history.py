"""The location map from what is append-only: Issues, COMMITs and corrections in the order of the log.

`fsck` replays all of it and compares; a proof of an older location root replays one series up to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.corrections import move_to
from tanqiao.protocol.locations import LocationBook
from tanqiao.protocol.types import SINK, Kind, Outcome
from tanqiao_bridge.storage.locations import CANCELLED, HELD, USED
from tanqiao_bridge.storage.tables import correction, correction_block, decision, decision_block, issue

ISSUED: Final = 0
CORRECTED: Final = -1
_END: Final = {Kind.RETIRE: USED, Kind.CANCEL: CANCELLED}


class LocationEvent(NamedTuple):
    """A block that was issued or moved; `kind` is that of a decision, or one of the two above."""

    log_index: int
    block: UnitBlock
    source: str
    destination: str
    kind: int


def location_events(
    connection: sa.Connection, series_id: str = "", *, first_index: int = 0, limit: int | None = None
) -> list[LocationEvent]:
    """Give the events of a series, or of all, from an index of the log on, oldest first."""
    issues = sa.select(
        issue.c.log_index, issue.c.series_id, issue.c.start_serial, issue.c.end_serial, issue.c.region
    ).where(issue.c.accepted, issue.c.log_index >= first_index)
    moves = (
        sa.select(
            decision.c.log_index,
            decision_block.c.series_id,
            decision_block.c.start_serial,
            decision_block.c.end_serial,
            decision.c.source,
            decision.c.destination,
            decision.c.kind,
        )
        .join(decision_block, decision_block.c.log_index == decision.c.log_index)
        .where(decision.c.outcome == int(Outcome.COMMIT), decision_block.c.log_index >= first_index)
    )
    corrected = (
        sa.select(
            correction.c.log_index,
            correction_block.c.series_id,
            correction_block.c.start_serial,
            correction_block.c.end_serial,
            correction.c.from_region,
            correction.c.to_region,
        )
        .join(correction_block, correction_block.c.log_index == correction.c.log_index)
        .where(correction_block.c.log_index >= first_index)
    )
    if series_id:
        issues = issues.where(issue.c.series_id == series_id)
        moves = moves.where(decision_block.c.series_id == series_id)
        corrected = corrected.where(correction_block.c.series_id == series_id)
    found = [
        LocationEvent(row[0], UnitBlock(*row[1:4]), "", row[4], ISSUED)
        for row in connection.execute(issues.limit(limit))
    ]
    found.extend(
        LocationEvent(row[0], UnitBlock(*row[1:4]), *row[4:7])
        for row in connection.execute(moves.limit(limit))
    )
    found.extend(
        LocationEvent(row[0], UnitBlock(*row[1:4]), *row[4:6], CORRECTED)
        for row in connection.execute(corrected.limit(limit))
    )
    return sorted(found, key=lambda event: (event.log_index, event.block))


def replay_into(
    book: LocationBook[tuple[str, int]], events: list[LocationEvent]
) -> Iterator[tuple[int, tuple[UnitBlock, ...]]]:
    """Apply events in order; for each its index, and the parts that were not where it needs them."""
    for log_index, block, source, destination, kind in events:
        if kind == ISSUED:
            failing = book.register([block], (destination, HELD))
        elif kind == CORRECTED:
            failing = move_to(book, (block,), (source, HELD), (destination, HELD))
        else:
            place = (destination, HELD) if destination != SINK else (source, _END[Kind(kind)])
            failing = book.move([block], (source, HELD), place)
        yield log_index, failing
