"""fsck of clawbacks: their histories, what they stop, and that what has ended is cancelled or replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao.protocol.types import SourceState
from tanqiao_region.application.clawbacks import REGISTER, balance_of
from tanqiao_region.application.register_history import check_history
from tanqiao_region.storage.clawbacks import all_clawbacks, stopped_blocks, uses_of
from tanqiao_region.storage.holdings import HELD, load_touched


def check_clawbacks(
    connection: sa.Connection, outgoing: Mapping[bytes, SourceState], note: Callable[[str], None]
) -> int:
    """Compare clawbacks with their histories and with the books; how many there are.

    Args:
        connection: a snapshot.
        outgoing: states of transfers and uses as the journal gives them.
        note: takes a finding.
    """
    states: dict[str, tuple[int, str]] = {}
    for row in all_clawbacks(connection):
        shown = row.clawback_id.hex()
        states[shown] = (row.steps, row.state)
        for transfer_id in uses_of(connection, row.clawback_id):
            if outgoing.get(transfer_id) not in (
                SourceState.RETIRING,
                SourceState.CANCELLED,
                SourceState.RELEASED,
            ):
                note(f"clawback {shown}: {transfer_id.hex()} is no cancellation")
        stopped = [
            block
            for block, by_whom in stopped_blocks(connection, row.blocks[0].series_id)
            if by_whom == row.clawback_id
        ]
        if row.state == "COMPLETED":
            if stopped:
                note(f"clawback {shown} has ended and stops units")
            if balance_of(connection, row).outstanding:
                note(f"clawback {shown} has ended, and not everything is cancelled or replaced")
            continue
        held = [
            common
            for one in load_touched(connection, row.blocks)
            if one.place[1] == HELD
            for block in row.blocks
            if (common := UnitBlock(one.series_id, one.start, one.end).intersection(block)) is not None
        ]
        if subtract_blocks(held, stopped) or subtract_blocks(stopped, row.blocks):
            note(f"clawback {shown} does not stop what it names")
    check_history(connection, REGISTER, states, note)
    return len(states)
