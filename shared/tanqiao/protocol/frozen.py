"""What is frozen, and which of its freezes touch a transfer, a use or an issue (PROTOCOL rows 9 and 10).

At the bridge a freeze stops decisions and issues, at a region the commands of holders. Rows come in, reasons
go out; who may order a freeze and lift it is for the parties to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import ReasonFacts, Reasons


class Scope(IntEnum):
    """What a freeze is about, numbered as ``tanqiao.api.bridge.v1.FreezeScope``."""

    BLOCK = 1
    PSEUDONYM = 2
    REGION = 3
    PAIR = 4


@dataclass(frozen=True, slots=True)
class FrozenRow:
    """One thing that one order froze; the fields that its scope does not use are empty.

    `region` of a pseudonym is the region that it is of; `ordered_by` is an authority, or the bridge on
    evidence alone.
    """

    scope: int
    series_id: str
    start: int
    end: int
    pseudonym: bytes
    region: str
    other_region: str
    document: str
    order_id: bytes = b""
    ordered_by: str = ""

    @property
    def subject(self) -> tuple[int, str, bytes, frozenset[str]]:
        """What is frozen, serials apart: two orders with the same one overlap in effect."""
        regions = frozenset({self.region, self.other_region} - {""})
        return self.scope, self.series_id, self.pseudonym, regions


class FrozenThings:
    """Everything that is frozen now, looked up by what a transfer touches.

    Args:
        rows: in the order in which they were frozen; blocks may overlap where two orders name them.
    """

    __slots__ = ("_blocks", "_pairs", "_pseudonyms", "_reach", "_regions")

    def __init__(self, rows: Iterable[FrozenRow]) -> None:
        self._regions: dict[str, list[FrozenRow]] = {}
        self._pairs: dict[frozenset[str], list[FrozenRow]] = {}
        self._pseudonyms: dict[bytes, list[FrozenRow]] = {}
        self._blocks: dict[str, list[FrozenRow]] = {}
        self._reach: dict[str, int] = {}
        for row in rows:
            match row.scope:
                case Scope.REGION:
                    self._regions.setdefault(row.region, []).append(row)
                case Scope.PAIR:
                    self._pairs.setdefault(frozenset((row.region, row.other_region)), []).append(row)
                case Scope.PSEUDONYM:
                    self._pseudonyms.setdefault(row.pseudonym, []).append(row)
                case _:
                    self._blocks.setdefault(row.series_id, []).append(row)
                    longest = max(self._reach.get(row.series_id, 0), row.end - row.start)
                    self._reach[row.series_id] = longest
        for listed in self._blocks.values():
            listed.sort(key=_by_start)

    def __bool__(self) -> bool:
        """Whether anything is frozen at all."""
        return bool(self._regions or self._pairs or self._pseudonyms or self._blocks)

    @property
    def blocks(self) -> tuple[UnitBlock, ...]:
        """Every frozen block, in order; blocks of several orders may overlap."""
        return tuple(
            UnitBlock(row.series_id, row.start, row.end)
            for _, rows in sorted(self._blocks.items())
            for row in rows
        )

    @property
    def has_pseudonyms(self) -> bool:
        """Whether a holder is frozen, so that the openings have to be read."""
        return bool(self._pseudonyms)

    def reasons(
        self, source: str, destination: str, blocks: Sequence[UnitBlock], pseudonym: bytes = b""
    ) -> Reasons:
        """Give one reason for each freeze that a transfer or use touches; empty if none does."""
        pairs = self._pairs.get(frozenset((source, destination)), ())
        holders = self._pseudonyms.get(pseudonym, ()) if pseudonym else ()
        return (
            *self._of_regions((source, destination)),
            *(
                reason("FROZEN", what=f"{row.region} – {row.other_region}", document=row.document)
                for row in pairs
            ),
            *(reason("FROZEN", what=row.pseudonym.hex(), document=row.document) for row in holders),
            *self._of_blocks(blocks),
        )

    def reasons_of_issue(self, region: str, block: UnitBlock) -> Reasons:
        """Give one reason for each freeze that an Issue touches."""
        return (*self._of_regions((region,)), *self._of_blocks((block,)))

    def _of_regions(self, parties: Sequence[str]) -> list[ReasonFacts]:
        return [
            reason("FROZEN", what=row.region, document=row.document)
            for party in parties
            for row in self._regions.get(party, ())
        ]

    def _of_blocks(self, blocks: Sequence[UnitBlock]) -> list[ReasonFacts]:
        touched: dict[tuple[UnitBlock, str], list[UnitBlock]] = {}
        for block in blocks:
            rows = self._blocks.get(block.series_id)
            if rows is None:
                continue
            # Rows are in order of their start; one that reaches the block begins at most `reach` before it.
            at = bisect_left(rows, block.start - self._reach[block.series_id], key=_by_start)
            while at < len(rows) and rows[at].start < block.end:
                row = rows[at]
                if row.end > block.start:
                    frozen = UnitBlock(row.series_id, row.start, row.end)
                    touched.setdefault((frozen, row.document), []).append(block)
                at += 1
        return [
            reason("FROZEN", tuple(named), what=str(frozen), document=document)
            for (frozen, document), named in touched.items()
        ]


def _by_start(row: FrozenRow) -> int:
    return row.start


def lift(row: FrozenRow, blocks: Sequence[UnitBlock]) -> tuple[FrozenRow, ...] | None:
    """Take blocks out of a frozen block: what stays frozen, or None if none of them touches it."""
    whole = UnitBlock(row.series_id, row.start, row.end)
    if not any(whole.overlaps(block) for block in blocks):
        return None
    return tuple(
        replace(row, start=piece.start, end=piece.end) for piece in subtract_blocks((whole,), blocks)
    )


def rest_of(row: FrozenRow, named: Sequence[FrozenRow]) -> tuple[FrozenRow, ...] | None:
    """Say what of a frozen thing stays when these are lifted; None if none of them touches it."""
    if row.scope == Scope.BLOCK:
        blocks = [UnitBlock(one.series_id, one.start, one.end) for one in named if one.scope == row.scope]
        return lift(row, blocks)
    return () if any(one.subject == row.subject for one in named) else None


def lifts(authority: str, ordered_by: str) -> bool:
    """Whether approvers of this authority lift what that one has frozen.

    What the bridge froze alone, on evidence, its authority lifts (row 10: only two approvers unfreeze).
    """
    return authority == ordered_by or (ordered_by, authority) == ("bridge", "authority/bridge")


def replay(orders: Iterable[tuple[bool, str, Sequence[FrozenRow]]]) -> list[FrozenRow]:
    """Rebuild what is frozen from (unfreeze, ordered by, rows) of every order, in the order of the log."""
    frozen: list[FrozenRow] = []
    for unfreeze, ordered_by, rows in orders:
        if not unfreeze:
            frozen.extend(rows)
            continue
        left: list[FrozenRow] = []
        for row in frozen:
            rest = rest_of(row, rows) if lifts(ordered_by, row.ordered_by) else None
            left.extend((row,) if rest is None else rest)
        frozen = left
    return frozen
