"""The auditor's own picture of what is frozen and what was corrected: serial by serial, in plain sets.

It shares no code with the core: it reads the public fields of orders and knows scopes by their names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Serial = tuple[str, int]


class Frozen:
    """What is frozen, thing by thing, and by whom.

    A thing is ``("REGION", a)``, ``("PAIR", a, b)`` or ``("PSEUDONYM", p)``; of blocks every serial is one.
    """

    def __init__(self) -> None:
        self._things: dict[str, set[tuple[Any, ...]]] = {}
        self._serials: dict[str, dict[str, set[int]]] = {}

    def take(self, order: Any) -> None:  # noqa: ANN401
        """Follow one order: an authority lifts what it froze itself, and nothing else."""
        things = self._things.setdefault(order.ordered_by, set())
        serials = self._serials.setdefault(order.ordered_by, {})
        for row in order.rows:
            name = row.scope.name
            if name == "BLOCK":
                change = serials.setdefault(row.series_id, set())
                numbers = range(row.start, row.end)
                (change.difference_update if order.unfreeze else change.update)(numbers)
            else:
                thing = {
                    "REGION": ("REGION", row.region),
                    "PAIR": ("PAIR", *sorted((row.region, row.other_region))),
                    "PSEUDONYM": ("PSEUDONYM", row.pseudonym),
                }[name]
                (things.discard if order.unfreeze else things.add)(thing)

    def touches(self, source: str, destination: str, blocks: Iterable[Any], pseudonym: bytes) -> bool:
        """Whether anything frozen is part of this transfer or use."""
        parts = {
            ("REGION", source),
            ("REGION", destination),
            ("PAIR", *sorted((source, destination))),
            ("PSEUDONYM", pseudonym),
        }
        if any(not parts.isdisjoint(things) for things in self._things.values()):
            return True
        return any(self._has(block) for block in blocks)

    def touches_issue(self, region: str, block: Any) -> bool:  # noqa: ANN401
        """Whether anything frozen is part of this issue."""
        return any(("REGION", region) in things for things in self._things.values()) or self._has(block)

    def _has(self, block: Any) -> bool:  # noqa: ANN401
        numbers = range(block.start, block.end)
        return any(
            not series.get(block.series_id, set()).isdisjoint(numbers) for series in self._serials.values()
        )


class Corrected:
    """Serials that corrections have moved, and how far the two regions of each have followed."""

    def __init__(self) -> None:
        self.orders: dict[Any, Any] = {}
        self._moved: dict[Serial, tuple[Any, str, str]] = {}
        self._applied: set[tuple[str, Any]] = set()

    def at_bridge(self, order_id: object, order: Any, owners: list[str]) -> list[int]:  # noqa: ANN401
        """Note a correction that became durable; gives the serials that are at neither of its regions."""
        self.orders[order_id] = order
        astray = []
        for block in order.blocks:
            for number in range(block.start, block.end):
                owner = owners[number] if number < len(owners) else ""
                if owner == order.from_region:
                    owners[number] = order.to_region
                    self._moved[block.series_id, number] = (order_id, order.from_region, order.to_region)
                elif owner != order.to_region:
                    astray.append(number)
        return astray

    def at_region(self, region: str, order_id: object) -> None:
        """Note that a region has followed a correction."""
        self._applied.add((region, order_id))

    def followed(self, region: str, order_id: object) -> bool:
        """Whether it has."""
        return (region, order_id) in self._applied

    def may_be_at(self, region: str, serial: Serial) -> bool:
        """Whether a region may still have what a correction took from it: it has not followed yet."""
        moved = self._moved.get(serial)
        return moved is not None and moved[1] == region and (region, moved[0]) not in self._applied

    def took(self, region: str, serial: Serial) -> bool:
        """Whether a correction that the region knows took this serial from it."""
        moved = self._moved.get(serial)
        return moved is not None and moved[1] == region and (region, moved[0]) in self._applied

    def uncounted(self, waits: dict[str, set[Serial]]) -> int:
        """Units that regions count too few because one has given up what the other has not taken in yet.

        Negative for too many. `waits` are serials that a region will give up after an ABORT.
        """
        counted = 0
        for serial, (order_id, origin, target) in self._moved.items():
            given_up = (origin, order_id) in self._applied and serial not in waits.get(origin, set())
            counted += given_up - ((target, order_id) in self._applied)
        return counted
