"""Freezes, their lifting, and corrections of the simulation: what authorities sign, what nodes keep of it.

The rules are the core's (`tanqiao.protocol.frozen`, `tanqiao.protocol.corrections`); here are the tables that
a shell keeps for them, and the messages that tell the regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import corrections
from tanqiao.protocol.corrections import Wait
from tanqiao.protocol.frozen import FrozenRow, FrozenThings, replay
from tanqiao.testing.simulation.messages import Message, compose
from tanqiao.testing.simulation.node import Place, Work

HELD: Final = "HELD"
_TAKEN_LATER: Final = frozenset({"LOCKED", "RETIRING"})


@dataclass(frozen=True, slots=True)
class FreezeOrder:
    """What two approvers of an authority freeze or lift; all rows are of one scope."""

    order_id: bytes
    ordered_by: str
    unfreeze: bool
    rows: tuple[FrozenRow, ...]


@dataclass(frozen=True, slots=True)
class CorrectionOrder:
    """What two approvers of each of two authorities say: these blocks, of one series, are at `to_region`."""

    order_id: bytes
    from_region: str
    to_region: str
    blocks: tuple[UnitBlock, ...]


Order = FreezeOrder | CorrectionOrder


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What a notice to a region states."""

    message_hash: bytes
    order: Order


def notice_of(sender: str, order: Order) -> Message:
    """Make the message by which the bridge tells a region of an order."""
    kind = "freeze" if isinstance(order, FreezeOrder) else "correction"
    message = compose(kind, sender, order.order_id, order)
    message.facts = OrderFacts(message.message_hash, order)
    return message


class Freezes:
    """What the orders on a disk freeze; made again only when there is one more of them."""

    __slots__ = ("_orders", "_things")

    def __init__(self) -> None:
        self._orders: tuple[FreezeOrder, ...] = ()
        self._things = FrozenThings(())

    def things(self, work: Work) -> FrozenThings:
        """Give what is frozen as this transaction sees it."""
        orders = orders_of(work)
        if orders is not self._orders:
            self._orders, self._things = orders, FrozenThings(frozen_by(orders))
        return self._things


def orders_of(work: Work) -> tuple[FreezeOrder, ...]:
    """Give the freezes and liftings that a node knows, in their order."""
    return work.transaction.get("meta", "orders") or ()


def frozen_by(orders: tuple[FreezeOrder, ...]) -> list[FrozenRow]:
    """Give what these orders leave frozen, by the rule of the core."""
    return replay((one.unfreeze, one.ordered_by, one.rows) for one in orders)


def keep_order(work: Work, order: FreezeOrder) -> None:
    """Write an order down."""
    work.transaction.put("meta", "orders", (*orders_of(work), order))
    work.transaction.put("order", order.order_id, order)


# ----------------------------------------------------------------------------------------------------
# What a correction does to the books of a region.


def correct_books(work: Work, region: str, order: CorrectionOrder) -> None:
    """Give up, or take in, what a correction says (row 14)."""
    work.transaction.put("correction", order.order_id, order)
    if region == order.from_region:
        _take_out(work, order)
    elif region == order.to_region:
        _put_in(work, order)


def give_up_released(work: Work, blocks: tuple[UnitBlock, ...], held: Place) -> None:
    """Take what a correction waits for out of units that an ABORT has just given back."""
    waits = _waits(work)
    taken = corrections.taken_after_abort(waits, blocks)
    for gone in taken.values():
        _must_leave(work, tuple(gone), held)
    if taken:
        given_up = [block for gone in taken.values() for block in gone]
        _set_waits(work, corrections.waits_without(waits, given_up))


def _take_out(work: Work, order: CorrectionOrder) -> None:
    waiting: list[UnitBlock] = []
    for piece, place in _pieces(work, order.blocks):
        if place[0] == HELD:
            _must_leave(work, (piece,), place)
        else:
            require(place[0] in _TAKEN_LATER, f"what the bridge has at a region is used up there: {piece}")
            waiting.append(piece)
    if waiting:
        _set_waits(work, corrections.waiting(_waits(work), waiting, order.order_id))


def _put_in(work: Work, order: CorrectionOrder) -> None:
    _set_waits(work, corrections.waits_without(_waits(work), order.blocks))
    missing = corrections.missing(order.blocks, [piece for piece, _ in _pieces(work, order.blocks)])
    if missing:
        failing = work.book(missing[0].series_id).register(missing, (HELD, ""))
        require(not failing, f"what is missing is here: {failing}")


def _pieces(work: Work, blocks: tuple[UnitBlock, ...]) -> list[tuple[UnitBlock, Place]]:
    return [
        (common, row.place)
        for row in work.book(blocks[0].series_id).rows()
        for block in blocks
        if (common := block.intersection(UnitBlock(row.series_id, row.start, row.end))) is not None
    ]


def _must_leave(work: Work, blocks: tuple[UnitBlock, ...], place: Place) -> None:
    failing = work.book(blocks[0].series_id).remove(blocks, place)
    require(not failing, f"not at {place}: {failing}")


def _waits(work: Work) -> tuple[Wait, ...]:
    return work.transaction.get("meta", "waits") or ()


def _set_waits(work: Work, waits: list[Wait]) -> None:
    if tuple(waits) != _waits(work):
        work.transaction.put("meta", "waits", tuple(waits))
