"""The bridge's books as one region's reconciliation sees them: at a cut of the log, series by series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.protocol.reconciliation import ABSENT, HELD, Movement, SeriesBlocks, Summary, as_of
from tanqiao.protocol.types import Outcome
from tanqiao_bridge.storage.tables import decision, decision_block, issue, location, recovery_item

ROWS_PER_FETCH: Final = 20_000
SERIES_PER_QUERY: Final = 500
TRAIL_MAX: Final = 20
"""Latest leaves that are named for a block."""


def movements_behind(connection: sa.Connection, region: str, cut: int) -> dict[str, list[Movement]]:
    """Give by series what leaves behind the cut did with units of a region, seen from it.

    What a restored bridge adopted from this region's own report is in the region's books already, whatever
    the index that it has now.
    """
    moved: dict[str, list[Movement]] = {}
    own = sa.select(recovery_item.c.log_index).where(
        recovery_item.c.region == region, recovery_item.c.log_index.is_not(None)
    )
    rows = connection.execute(
        sa.select(
            decision_block.c.series_id,
            decision_block.c.log_index,
            decision_block.c.start_serial,
            decision_block.c.end_serial,
            decision.c.source,
        )
        .join(decision, decision.c.log_index == decision_block.c.log_index)
        .where(
            decision.c.log_index > cut,
            decision.c.outcome == int(Outcome.COMMIT),
            sa.or_(decision.c.source == region, decision.c.destination == region),
            decision.c.log_index.not_in(own),
        )
    )
    for series_id, log_index, start, end, source in rows:
        before = HELD if source == region else ABSENT
        moved.setdefault(series_id, []).append(Movement(log_index, start, end, before))
    issued = connection.execute(
        sa.select(issue.c.series_id, issue.c.log_index, issue.c.start_serial, issue.c.end_serial).where(
            issue.c.region == region, issue.c.accepted, issue.c.log_index > cut, issue.c.log_index.not_in(own)
        )
    )
    for series_id, log_index, start, end in issued:
        moved.setdefault(series_id, []).append(Movement(log_index, start, end, ABSENT))
    return moved


Rows = Iterator[Sequence[Any]]


def _rows(connection: sa.Connection, region: str, series_ids: Sequence[str] | None) -> Rows:
    columns = location.c
    statement = (
        sa.select(columns.series_id, columns.start_serial, columns.end_serial, columns.state)
        .where(columns.region == region)
        .order_by(columns.series_id, columns.start_serial)
    )
    if series_ids is not None:
        statement = statement.where(columns.series_id.in_(series_ids))
    result = connection.execution_options(yield_per=ROWS_PER_FETCH).execute(statement)
    for part in result.partitions():
        yield from part


def books_of(
    connection: sa.Connection, region: str, cut: int, series_ids: Sequence[str] | None = None
) -> Iterator[tuple[str, SeriesBlocks]]:
    """Give the blocks of a region as of the cut, series by series, in no order that counts."""
    moved = movements_behind(connection, region, cut)
    seen: set[str] = set()
    for wanted in _parts(series_ids):
        for series_id, rows in groupby(_rows(connection, region, wanted), key=lambda row: row[0]):
            seen.add(series_id)
            now = ((row[1], row[2], row[3]) for row in rows)
            movements = moved.get(series_id)
            yield series_id, SeriesBlocks(as_of(now, movements) if movements else now)
    for series_id, movements in moved.items():
        if series_id not in seen and (series_ids is None or series_id in series_ids):
            yield series_id, SeriesBlocks(as_of((), movements))


def _parts(series_ids: Sequence[str] | None) -> Iterator[Sequence[str] | None]:
    if series_ids is None:
        yield None
        return
    for at in range(0, len(series_ids), SERIES_PER_QUERY):
        yield series_ids[at : at + SERIES_PER_QUERY]


def summaries_of(connection: sa.Connection, region: str, cut: int) -> list[Summary]:
    """Give totals and fingerprints of the series that the region has units of, in order of their ids."""
    found = [
        blocks.summary(series_id) for series_id, blocks in books_of(connection, region, cut) if len(blocks)
    ]
    return sorted(found, key=lambda one: one.series_id)


def series_with_units(connection: sa.Connection, region: str, cut: int) -> set[str]:
    """Give the ids of the series of which the region has units at the cut, or had behind it."""
    held = connection.execute(
        sa.select(location.c.series_id).where(location.c.region == region).distinct()
    ).scalars()
    return {*held, *movements_behind(connection, region, cut)}


def unaccounted(connection: sa.Connection, region: str) -> list[tuple[str, int, int, int]]:
    """I1 of the region's own series, block by block: (series, start, end, state that is too much or 0).

    What was issued and is nowhere has state 0; what is somewhere and was never issued has its state.
    """
    issued = _joined(
        connection.execute(
            sa.select(issue.c.series_id, issue.c.start_serial, issue.c.end_serial)
            .where(issue.c.region == region, issue.c.accepted)
            .order_by(issue.c.series_id, issue.c.start_serial)
        )
    )
    columns = location.c
    own = sa.select(issue.c.series_id).where(issue.c.region == region, issue.c.accepted)
    result = connection.execution_options(yield_per=ROWS_PER_FETCH).execute(
        sa.select(columns.series_id, columns.start_serial, columns.end_serial)
        .where(columns.series_id.in_(own))
        .order_by(columns.series_id, columns.start_serial)
    )
    located = _joined(row for part in result.partitions() for row in part)
    found: list[tuple[str, int, int, int]] = []
    for series_id in sorted(issued.keys() | located.keys()):
        given, there = issued.get(series_id, []), located.get(series_id, [])
        if given != there:
            found += [(series_id, *gap, ABSENT) for gap in _outside(given, there)]
            found += [(series_id, *gap, HELD) for gap in _outside(there, given)]
    return found


Span = tuple[int, int]


def _joined(rows: Iterable[Sequence[Any]]) -> dict[str, list[Span]]:
    spans: dict[str, list[Span]] = {}
    for series_id, start, end in rows:
        known = spans.setdefault(series_id, [])
        if known and known[-1][1] == start:
            known[-1] = (known[-1][0], end)
        else:
            known.append((start, end))
    return spans


def _outside(spans: Sequence[Span], others: Sequence[Span]) -> Iterator[Span]:
    """Give the parts of ordered spans that no other covers."""
    at = 0
    for start, end in spans:
        serial = start
        while at < len(others) and others[at][1] <= serial:
            at += 1
        look = at
        while look < len(others) and others[look][0] < end:
            if serial < others[look][0]:
                yield serial, others[look][0]
            serial = max(serial, others[look][1])
            look += 1
        if serial < end:
            yield serial, end


def trail_of(connection: sa.Connection, series_id: str, start: int, end: int) -> list[int]:
    """Give the indexes of the latest leaves that moved a part of the block, oldest first."""
    moves = connection.execute(
        sa.select(decision_block.c.log_index)
        .where(
            decision_block.c.series_id == series_id,
            decision_block.c.start_serial < end,
            decision_block.c.end_serial > start,
        )
        .order_by(decision_block.c.log_index.desc())
        .limit(TRAIL_MAX)
    ).scalars()
    issued = connection.execute(
        sa.select(issue.c.log_index).where(
            issue.c.series_id == series_id,
            issue.c.accepted,
            issue.c.start_serial < end,
            issue.c.end_serial > start,
        )
    ).scalars()
    return sorted({*moves, *issued})[-TRAIL_MAX:]
