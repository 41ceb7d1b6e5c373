"""What a correction does to the books (PROTOCOL row 14): at the bridge, and at the two regions that it names.

At the bridge units that are held at one of the two are held at the second from its index on. The first region
gives up what it holds; what is locked or being used there *waits* for the ABORT of its transfer, which the
bridge decides because the units are no longer there. The second region credits what it has not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from tanqiao.kernel.units import UnitBlock, coalesce, subtract_blocks
from tanqiao.protocol.locations import LocationBook

PlaceT = TypeVar("PlaceT", bound=Hashable)

Wait = tuple[UnitBlock, bytes]
"""Units that are to be given up once they are released, and the id of the correction that takes them."""


def move_to(
    book: LocationBook[PlaceT], blocks: tuple[UnitBlock, ...], origin: PlaceT, target: PlaceT
) -> tuple[UnitBlock, ...]:
    """Bring every part of the blocks that is at the origin to the target, or change nothing.

    Returns:
        The parts that are at neither; empty if the blocks are at the target now.
    """
    moving = book.elsewhere(blocks, target)
    return book.move(moving, origin, target) if moving else ()


def waiting(waits: Iterable[Wait], blocks: Sequence[UnitBlock], correction_id: bytes) -> list[Wait]:
    """Give what is waited for once this correction takes these too, which are locked or being used."""
    return [*waits_without(waits, blocks), *((block, correction_id) for block in blocks)]


def waits_without(waits: Iterable[Wait], blocks: Sequence[UnitBlock]) -> list[Wait]:
    """Give what is still waited for without these, which are taken or belong here again."""
    cuts = coalesce(blocks)
    return [
        (rest, correction_id) for block, correction_id in waits for rest in subtract_blocks((block,), cuts)
    ]


def taken_after_abort(waits: Iterable[Wait], released: Sequence[UnitBlock]) -> dict[bytes, list[UnitBlock]]:
    """Say what of the units that an ABORT gives back is given up at once, by correction."""
    taken: dict[bytes, list[UnitBlock]] = {}
    for block, correction_id in waits:
        for back in released:
            common = block.intersection(back)
            if common is not None:
                taken.setdefault(correction_id, []).append(common)
    return taken


def missing(blocks: Sequence[UnitBlock], here: Sequence[UnitBlock]) -> tuple[UnitBlock, ...]:
    """Say what of the blocks the second region has to credit: all that it does not have."""
    return subtract_blocks(coalesce(blocks), here)
