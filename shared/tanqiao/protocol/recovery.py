"""Recovery from an old backup (PROTOCOL section 6): who has forgotten something, and what may be decided.

A region is known to have been restored when its peer has seen more of it than it knows of itself. A bridge
that was restored continues from an index in a new epoch; until a region has reported, nothing from or to it
is decided either way, and nothing about units of which a collected COMMIT still waits for what leads there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import DecisionFacts, TransferKey


@dataclass(frozen=True, slots=True)
class RegionMarks:
    """How far a region has come: as it knows it, or as the bridge has seen it.

    Attributes:
        incarnation: of the region.
        session_number: last session taken.
        sent_number: last number of its traffic in that incarnation.
        received_number: last number of the bridge's traffic, in the bridge's present epoch, whose effect the
            region has said to be durable.
    """

    incarnation: int
    session_number: int
    sent_number: int = 0
    received_number: int = 0


def has_forgotten(own: RegionMarks, seen: RegionMarks) -> bool:
    """Whether the bridge has seen more of the region than the region knows: it was restored."""
    if seen.incarnation != own.incarnation:
        return seen.incarnation > own.incarnation
    return (
        seen.session_number > own.session_number
        or seen.sent_number > own.sent_number
        or seen.received_number > own.received_number
    )


def next_life(own: RegionMarks, seen: RegionMarks) -> RegionMarks:
    """Give the marks with which a restored region begins: an incarnation that was never used."""
    return RegionMarks(
        max(own.incarnation, seen.incarnation) + 1, max(own.session_number, seen.session_number)
    )


@dataclass(frozen=True, slots=True)
class EpochStart:
    """An epoch of the bridge that continues from an index: what older epochs signed from there on is void.

    The first epoch continues from nothing.
    """

    epoch: int
    continues_from: int


FIRST_EPOCH: Final = EpochStart(1, 0)


def is_superseded(start: EpochStart, signed_in_epoch: int, facts: DecisionFacts) -> bool:
    """Whether a Decision was signed in an older epoch beyond the index from which the present one continues.

    It counts only where a leaf of the present epoch names its hash (`AdoptedNotice`).
    """
    return signed_in_epoch < start.epoch and facts.log_index >= start.continues_from


@dataclass(frozen=True, slots=True)
class RecoveringBridge:
    """What a bridge that was restored still waits for.

    Attributes:
        missing: regions that have not reported.
        waiting: blocks of collected COMMITs and Issues that cannot be adopted yet.
        unsettled: regions whose reports name them.
        awaited: transfers of collected decisions that cannot be adopted yet.
    """

    missing: frozenset[str] = frozenset()
    waiting: tuple[UnitBlock, ...] = ()
    unsettled: frozenset[str] = frozenset()
    awaited: frozenset[TransferKey] = frozenset()

    @property
    def is_over(self) -> bool:
        """Whether every region has reported and nothing waits."""
        return not self.missing and not self.waiting

    def may_take_receipts(self, party: str) -> bool:
        """Whether the numbered traffic of a region may be taken: its decisions are all known here again."""
        return party not in self.missing

    def may_reconcile(self, party: str) -> bool:
        """Whether the books of a region may be compared: what is missing may still be reported by others."""
        return party not in self.missing and not (self.missing and party in self.unsettled)

    def may_decide(self, parties: Iterable[str], blocks: Iterable[UnitBlock]) -> bool:
        """Whether a transfer, Use or Issue of these parties and blocks may be decided now."""
        if not self.missing.isdisjoint(parties):
            return False
        return not (self.waiting and any(block.overlaps(other) for block in blocks for other in self.waiting))


NOT_RECOVERING: Final = RecoveringBridge()
