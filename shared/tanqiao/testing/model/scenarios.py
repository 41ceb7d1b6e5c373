"""The worlds that are explored: two or three transfers and Uses over one block, honest or with one liar."""

from __future__ import annotations

from typing import Final

from tanqiao.protocol.types import SINK, Kind
from tanqiao.testing.model.world import BRIDGE, DESTINATION, SOURCE, Plan, Scenario

_OUT: Final = Plan(SOURCE, Kind.TRANSFER, DESTINATION, 0, 2)
_PART_OUT: Final = Plan(SOURCE, Kind.TRANSFER, DESTINATION, 0, 1)
_BACK: Final = Plan(DESTINATION, Kind.TRANSFER, SOURCE, 0, 2)
_USE: Final = Plan(SOURCE, Kind.RETIRE, SINK, 0, 2)
_USE_THERE: Final = Plan(DESTINATION, Kind.CANCEL, SINK, 0, 1)

PLANS: Final[dict[str, tuple[Plan, ...]]] = {
    "transfer, then use of a part": (_OUT, _USE_THERE),
    "transfer or use": (_OUT, _USE),
    "there and back": (_OUT, _BACK),
    "two transfers of one block": (_OUT, _PART_OUT),
}
THREE_PLANS: Final[dict[str, tuple[Plan, ...]]] = {
    "twice out, once back": (_OUT, _BACK, _PART_OUT),
    "out, back and use": (_OUT, _BACK, _USE),
}
"""Explored among the honest."""
UNIT_COUNT: Final = 2


def all_scenarios() -> tuple[Scenario, ...]:
    """Give every world: all honest, with orders to freeze; and each of the three parties lying."""
    worlds = []
    for name, plans in PLANS.items():
        worlds.append(Scenario(name, plans, UNIT_COUNT, freezes=True))
        worlds += [
            Scenario(name, plans, UNIT_COUNT, liar, finals=False) for liar in (SOURCE, DESTINATION, BRIDGE)
        ]
    for name, plans in THREE_PLANS.items():
        worlds.append(Scenario(name, plans, UNIT_COUNT, freezes=True))
    for plans in ((_OUT,), (_USE,)):
        worlds += [Scenario("false receipts", plans, UNIT_COUNT, liar) for liar in (SOURCE, DESTINATION)]
    return tuple(worlds)
