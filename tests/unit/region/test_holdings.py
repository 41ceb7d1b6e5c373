"""Units of a group: what is chosen, moved, registered and removed, against a count of single serials."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationRow
from tanqiao_region.application.holdings import Holdings, held_by
from tanqiao_region.storage.holdings import LOCKED, USED, Place
from tanqiao_region.storage.packing import pack_blocks, unpack_blocks

SERIES = ("s:a", "s:b")
ACCOUNTS = ("A1", "A2")
SERIALS = 40


def block(start: int, end: int, series_id: str = SERIES[0]) -> UnitBlock:
    return UnitBlock(series_id, start, end)


def rows(*spans: tuple[int, int, Place], series_id: str = SERIES[0]) -> list[LocationRow[Place]]:
    return [LocationRow(series_id, start, end, place) for start, end, place in spans]


def symbol_of(holdings: Holdings, account_id: str, *blocks: UnitBlock) -> tuple[str, tuple[UnitBlock, ...]]:
    with pytest.raises(DomainError) as refusal:
        holdings.require_held(account_id, blocks)
    return refusal.value.symbol, refusal.value.blocks


def test_each_reason_is_told_with_the_parts_that_it_is_about() -> None:
    holdings = Holdings(
        rows(
            (0, 10, held_by("A1")),
            (10, 20, ("A1", LOCKED, b"t")),
            (20, 30, ("A1", USED, b"u")),
            (30, 40, held_by("A2")),
        )
    )
    assert symbol_of(holdings, "A1", block(5, 15)) == ("UNIT_LOCKED", (block(10, 15),))
    assert symbol_of(holdings, "A1", block(25, 26)) == ("UNIT_USED", (block(25, 26),))
    assert symbol_of(holdings, "A1", block(35, 45)) == ("NOT_HELD", (block(35, 40), block(40, 45)))
    assert symbol_of(holdings, "A1", block(0, 1, "s:b")) == ("NOT_HELD", (block(0, 1, "s:b"),))
    holdings.require_held("A1", (block(0, 10),))


def test_a_selection_sees_what_the_group_has_done_before() -> None:
    holdings = Holdings(rows((0, 10, held_by("A1")), (20, 30, held_by("A2"))), ("A1", "A2"))
    first = holdings.take("A1", "", 4)
    assert first == (block(0, 4),)
    assert not holdings.move(first, held_by("A1"), held_by("A2"))
    assert holdings.take("A1", "", 6) == (block(4, 10),)
    assert holdings.take("A2", "", 10) == (block(0, 4), block(20, 26))
    with pytest.raises(DomainError) as refusal:
        holdings.take("A1", "", 7)
    assert refusal.value.metadata == {"asked_kg": "7", "available_kg": "6"}


@dataclass
class Count:
    """The same, serial by serial."""

    places: dict[tuple[str, int], Place] = field(default_factory=dict)

    def at(self, block: UnitBlock) -> set[Place | None]:
        return {self.places.get((block.series_id, serial)) for serial in range(block.start, block.end)}

    def put(self, block: UnitBlock, place: Place | None) -> None:
        for serial in range(block.start, block.end):
            if place is None:
                del self.places[block.series_id, serial]
            else:
                self.places[block.series_id, serial] = place

    def lowest(self, account_id: str, series_id: str, quantity_kg: int) -> list[tuple[str, int]] | None:
        held = sorted(
            key
            for key, place in self.places.items()
            if place == held_by(account_id) and series_id in ("", key[0])
        )
        return held[:quantity_kg] if len(held) >= quantity_kg else None


BLOCKS = st.builds(
    lambda series_id, start, length: block(start, start + length, series_id),
    st.sampled_from(SERIES),
    st.integers(0, SERIALS),
    st.integers(1, 12),
)
PLACES = st.sampled_from(
    [held_by("A1"), held_by("A2"), ("A1", LOCKED, b"t"), ("A2", LOCKED, b"u"), ("A1", USED, b"v")]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), BLOCKS, PLACES, PLACES),
        st.tuples(st.just("move"), BLOCKS, PLACES, PLACES),
        st.tuples(st.just("remove"), BLOCKS, PLACES, PLACES),
        st.tuples(st.just("take"), BLOCKS, PLACES, PLACES),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_no_serial_is_lost_or_doubled_and_the_lowest_are_taken(
    steps: list[tuple[str, UnitBlock, Place, Place]],
) -> None:
    holdings, count = Holdings((), ACCOUNTS), Count()
    for step, chosen, place, target in steps:
        if step == "register":
            expected = count.at(chosen) == {None}
            assert (holdings.register((chosen,), place) == ()) == expected
            if expected:
                count.put(chosen, place)
        elif step == "move":
            expected = count.at(chosen) == {place}
            assert (holdings.move((chosen,), place, target) == ()) == expected
            if expected:
                count.put(chosen, target)
        elif step == "remove":
            expected = count.at(chosen) == {place}
            assert (holdings.remove((chosen,), place) == ()) == expected
            if expected:
                count.put(chosen, None)
        else:
            lowest = count.lowest(place[0], chosen.series_id, chosen.quantity_kg)
            if lowest is None:
                with pytest.raises(DomainError):
                    holdings.take(place[0], chosen.series_id, chosen.quantity_kg)
            else:
                taken = holdings.take(place[0], chosen.series_id, chosen.quantity_kg)
                assert [(b.series_id, n) for b in taken for n in range(b.start, b.end)] == lowest
    inserted = holdings.difference().inserted
    written = {(row.series_id, n): row.place for row in inserted for n in range(row.start, row.end)}
    assert written == count.places
    assert len(written) == sum(row.end - row.start for row in inserted)


@given(st.lists(BLOCKS, max_size=5))
def test_blocks_are_read_back_as_they_were_packed(blocks: list[UnitBlock]) -> None:
    assert unpack_blocks(pack_blocks(blocks)) == tuple(blocks)
