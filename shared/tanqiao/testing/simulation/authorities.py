"""What authorities order in a schedule: freezes of every scope, their lifting, and corrections.

An order is handed in until the bridge has it, sometimes twice. Corrections name units that are where their
approvers say when they sign; half of them freeze the units first. No serial is corrected twice in a schedule:
there and back within the life of one transfer ends in a case for people, which no machine settles.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao.protocol.frozen import FrozenRow, Scope
from tanqiao.testing.simulation.messages import HOLDERS, holder_of
from tanqiao.testing.simulation.orders import HELD, CorrectionOrder, FreezeOrder, Order

if TYPE_CHECKING:
    from tanqiao.testing.simulation.bridge import BridgeNode
    from tanqiao.testing.simulation.network import Clock

BRIDGE_AUTHORITY: Final = "authority/bridge"
FREEZES_MAX: Final = 4
CORRECTIONS_MAX: Final = 3
TRIES_MAX: Final = 12
BLOCK_MAX: Final = 40
_AGAIN_MS: Final = 600
_TWICE_RATE: Final = 0.3
_STAYS_RATE: Final = 0.2
_WRONG_AUTHORITY_RATE: Final = 0.15
_PART_RATE: Final = 0.3


class Authorities:
    """Gives orders to the bridge at the times that `random` draws."""

    def __init__(self, clock: Clock, bridge: BridgeNode, random: Random, units: int) -> None:
        self.clock = clock
        self.bridge = bridge
        self.random = random
        self.units = units
        self._count = 0
        self._corrected: list[UnitBlock] = []

    def plan(self, series_ids: dict[str, str], work_ms: int) -> None:
        """Draw the orders of a schedule.

        Args:
            series_ids: the series that each region issued before the schedule.
            work_ms: time in which orders are given.
        """
        for _ in range(self.random.randint(0, FREEZES_MAX)):
            self._plan_freeze(series_ids, self.random.randint(0, work_ms))
        for _ in range(self.random.randint(0, CORRECTIONS_MAX)):
            home = self.random.choice(sorted(series_ids))
            freezes_first = self.random.random() < 0.5  # noqa: PLR2004 - half of them
            self.clock.after(self.random.randint(0, work_ms), self._correct, series_ids[home], freezes_first)

    def _plan_freeze(self, series_ids: dict[str, str], begin_ms: int) -> None:
        regions = sorted(series_ids)
        scope = self.random.choice(tuple(Scope))
        row = self._row(scope, regions, series_ids)
        authority = self.random.choice((BRIDGE_AUTHORITY, f"authority/{row.region or regions[0]}"))
        self.clock.after(begin_ms, self._hand_in, self._order(authority, (row,)), TRIES_MAX)
        if scope is Scope.REGION or self.random.random() >= _STAYS_RATE:
            lifts_ms = begin_ms + self.random.randint(100, 6_000)
            if self.random.random() < _WRONG_AUTHORITY_RATE:
                other = self._order("authority/another", (row,), unfreeze=True)
                self.clock.after(begin_ms + 50, self._hand_in, other, 1)
            lifted = self._part(row) if self.random.random() < _PART_RATE else row
            lift = self._order(authority, (lifted,), unfreeze=True)
            self.clock.after(lifts_ms, self._hand_in, lift, TRIES_MAX)

    def _row(self, scope: Scope, regions: list[str], series_ids: dict[str, str]) -> FrozenRow:
        first, second = self.random.sample(regions, 2)
        start = self.random.randrange(self.units)
        end = min(self.units, start + self.random.randint(1, BLOCK_MAX))
        holder = holder_of(first, bytes([self.random.randrange(HOLDERS)]))
        match scope:
            case Scope.BLOCK:
                return FrozenRow(scope, series_ids[first], start, end, b"", "", "", "order")
            case Scope.PSEUDONYM:
                return FrozenRow(scope, "", 0, 0, holder, first, "", "order")
            case Scope.REGION:
                return FrozenRow(scope, "", 0, 0, b"", first, "", "order")
            case _:
                return FrozenRow(scope, "", 0, 0, b"", first, second, "order")

    def _part(self, row: FrozenRow) -> FrozenRow:
        if row.scope != Scope.BLOCK or row.end - row.start == 1:
            return row
        middle = self.random.randrange(row.start + 1, row.end)
        return FrozenRow(row.scope, row.series_id, middle, row.end, b"", "", "", "order")

    def _correct(self, series_id: str, freezes_first: bool) -> None:  # noqa: FBT001 - an event's argument
        """Look where units are, and sign that a part of them is elsewhere."""
        book = self.bridge.disk.table("rows").get(series_id, ())
        held = [row for row in book if row.place[1] == HELD]
        if not held:
            return
        row = self.random.choice(held)
        start = self.random.randrange(row.start, row.end)
        drawn = UnitBlock(series_id, start, min(row.end, start + self.random.randint(1, BLOCK_MAX)))
        blocks = subtract_blocks((drawn,), self._corrected)
        target = self.random.choice([name for name in self.bridge.regions if name != row.place[0]])
        if not blocks:
            return
        self._corrected.extend(blocks)
        order = CorrectionOrder(self._id(), row.place[0], target, blocks)
        signed_ms = self.random.randint(200, 2_000)
        self.clock.after(signed_ms, self._hand_in, order, TRIES_MAX)
        if not freezes_first:
            return
        rows = tuple(
            FrozenRow(Scope.BLOCK, series_id, block.start, block.end, b"", "", "", "before a correction")
            for block in blocks
        )
        self._hand_in(self._order(BRIDGE_AUTHORITY, rows), TRIES_MAX)
        lift = self._order(BRIDGE_AUTHORITY, rows, unfreeze=True)
        self.clock.after(signed_ms + self.random.randint(100, 4_000), self._hand_in, lift, TRIES_MAX)

    def _hand_in(self, order: Order, tries: int) -> None:
        self.bridge.submit(order)
        again = not self.bridge.knows(order.order_id) or self.random.random() < _TWICE_RATE
        if again and tries > 1:
            self.clock.after(_AGAIN_MS, self._hand_in, order, tries - 1)

    def _order(self, authority: str, rows: tuple[FrozenRow, ...], *, unfreeze: bool = False) -> FreezeOrder:
        signed = tuple(replace(row, ordered_by=authority) for row in rows)
        return FreezeOrder(self._id(), authority, unfreeze, signed)

    def _id(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(16, "big")
