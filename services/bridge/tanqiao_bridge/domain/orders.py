"""Who may order what: the authority of a region about its own, the bridge's authority about everybody.

Row 10 leaves it to the authorities; this is the rule of this bridge. A regional authority freezes its own
region, a pair that its region is part of, a holder of its region, and units that its region has issued or
that are there. Who lifts a freeze: `tanqiao.protocol.frozen.lifts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tanqiao.kernel.units import UnitBlock

BRIDGE = "bridge"
BRIDGE_AUTHORITY = "authority/bridge"


def may_order_about_region(authority: str, regions: Sequence[str]) -> bool:
    """Whether an authority may freeze one of these regions, their traffic, or a holder there."""
    return authority == BRIDGE_AUTHORITY or region_of(authority) in regions


def blocks_beyond(
    authority: str,
    blocks: Sequence[UnitBlock],
    issued_by: Mapping[str, str],
    places: Sequence[tuple[UnitBlock, str]],
) -> tuple[UnitBlock, ...]:
    """Name the blocks about which a regional authority may order nothing.

    Args:
        authority: who orders.
        blocks: that the order names.
        issued_by: region that issued each series.
        places: rows of the location table that touch the blocks, with their regions.
    """
    if authority == BRIDGE_AUTHORITY:
        return ()
    region = region_of(authority)
    beyond = []
    for block in blocks:
        if issued_by.get(block.series_id) == region:
            continue
        at_home = [place for place, where in places if where == region and place.overlaps(block)]
        if sum(min(place.end, block.end) - max(place.start, block.start) for place in at_home) < (
            block.end - block.start
        ):
            beyond.append(block)
    return tuple(beyond)


def region_of(authority: str) -> str:
    """Give the region of an authority; the bridge's has none."""
    name = authority.removeprefix("authority/")
    return "" if name == BRIDGE else f"region/{name}"
