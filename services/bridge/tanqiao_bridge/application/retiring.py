"""Claims whose reductions are used up (CLAIMS section 1): ISSUED becomes RETIRED.

A claim is RETIRED once nothing of what was issued on it is held any more and some of it was used; what was
cancelled was not. It stays live for ever either way. The bridge moves it by itself, with a leaf and a
receipt, and its region is told; it looks behind the decisions, in the order of the log, so that a use costs
nothing for it, and where it stands is durable.

A round looks at the claims of the units that were used since the last one, and at no others: nothing else can
have made one of them RETIRED. One whose next units are held beside those just used costs no more than that;
of another, the rows of its units are read up to the first that is held.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.node_state import get_state, set_state
from tanqiao.db.spans import rows_within
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import Kind, Outcome
from tanqiao_bridge.application.claim_aliases import lock_keys
from tanqiao_bridge.application.claim_notices import tell_moved
from tanqiao_bridge.application.claim_receipts import move_by_bridge
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.judging import read_stored
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import locations, log
from tanqiao_bridge.storage.tables import (
    claim,
    decision,
    decision_block,
    issue,
    location,
    node_state,
)

LEAVES_PER_ROUND_MAX: Final = 5_000
REASON: Final = "all its units are used"
_ISSUED: Final = int(claims_pb2.CLAIM_STATUS_ISSUED)
_ISSUED_UNITS: Final = ("series_id", "start_serial", "end_serial", "claim_id")
_ISSUE: Final = ("claim_id", "accepted", "series_id", "start_serial", "end_serial")
_CURSOR: Final = "retired_looked_to"
_BEFORE_ALL: Final = -1


class RetireClaims:
    """Look for claims of which the last unit was used."""


def retire_claims(group: Group, _command: object) -> int:
    """Walk on through the log; how many leaves of a round are still ahead. A bridge that recovers waits."""
    if not group.context.recovery.is_over:
        return 0
    after = int(get_state(group.connection, node_state, _CURSOR) or _BEFORE_ALL)
    last = log.log_size(group.connection) - 1
    upto = min(last, after + LEAVES_PER_ROUND_MAX)
    if upto <= after:
        return 0
    table = decision.c
    uses = sa.select(table.log_index).where(
        table.log_index > after,
        table.log_index <= upto,
        table.kind.in_((int(Kind.RETIRE), int(Kind.CANCEL))),  # whichever of the two was the last
        table.outcome == int(Outcome.COMMIT),
    )
    blocks = decision_block.c
    used = group.connection.execute(
        sa.select(blocks.series_id, blocks.start_serial, blocks.end_serial).where(blocks.log_index.in_(uses))
    )
    done = _due(group.connection, [UnitBlock(*row) for row in used])
    if done:
        lock_keys(group.connection, {key for row in done for key in read_stored(row).locks})
        tell_moved(group, *move_by_bridge(group, done, claims_pb2.CLAIM_STATUS_RETIRED, REASON))
    set_state(group.connection, node_state, _CURSOR, str(upto))
    return last - upto


def _due(connection: sa.Connection, used: Sequence[UnitBlock]) -> list[claim_rows.ClaimRow]:
    """Give the ISSUED claims of these units that hold nothing any more, by id."""
    beside = [row.block for row in locations.load_touched(connection, used) if row.state == locations.HELD]
    found = rows_within(connection, issue, used, _ISSUED_UNITS, only="accepted")
    holding = _touching([(UnitBlock(*row[:3]), row[3]) for row in found], beside)
    wanted = sorted({row[3] for row in found} - holding)
    keys = [(claim_id, _ISSUED) for claim_id in wanted]
    ids = sorted(
        row[0] for row in rows_by_key(connection, claim, ("claim_id", "status"), keys, ("claim_id",))
    )
    blocks: dict[str, list[UnitBlock]] = {}
    for claim_id, accepted, *block in rows_by_key(
        connection, issue, ("claim_id",), [(one,) for one in ids], _ISSUE
    ):
        if accepted:
            blocks.setdefault(claim_id, []).append(UnitBlock(*block))
    used_up = [claim_id for claim_id in ids if _is_used_up(connection, blocks[claim_id])]
    rows = claim_rows.load_claims(connection, used_up)
    return [rows[claim_id] for claim_id in used_up]


def _touching(issued: Sequence[tuple[UnitBlock, str]], held: Iterable[UnitBlock]) -> set[str]:
    """Give the claims on whose units something is held; the units of two claims are disjoint."""
    ordered = sorted(issued)
    starts = [(units.series_id, units.start) for units, _ in ordered]
    found: set[str] = set()
    for block in held:
        first = max(0, bisect_right(starts, (block.series_id, block.start)) - 1)
        last = bisect_left(starts, (block.series_id, block.end))
        found.update(claim_id for units, claim_id in ordered[first:last] if units.overlaps(block))
    return found


def _is_used_up(connection: sa.Connection, blocks: Sequence[UnitBlock]) -> bool:
    """Whether nothing of some blocks is held, and not all of it was cancelled."""
    held = any(_has(connection, block, locations.HELD) for block in blocks)
    return not held and any(_has(connection, block, locations.USED) for block in blocks)


def _has(connection: sa.Connection, block: UnitBlock, state: int) -> bool:
    """Whether a row of the block is in a state: read from its first row on, up to the one that is."""
    columns = location.c
    before = sa.select(sa.func.max(columns.start_serial)).where(
        columns.series_id == block.series_id, columns.start_serial <= block.start
    )
    wanted = sa.select(columns.start_serial).where(
        columns.series_id == block.series_id,
        columns.start_serial >= sa.func.coalesce(before.scalar_subquery(), block.start),
        columns.start_serial < block.end,
        columns.end_serial > block.start,
        columns.state == state,
    )
    return connection.execute(wanted.limit(1)).first() is not None
