"""What a correction does to the books, from any state of three regions (PROTOCOL row 14)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import corrections
from tanqiao.protocol.locations import LocationBook, LocationRow

SERIES = "310000:P:own:2025:1"
PLACES = ("first", "second", "third")
BLOCKS = st.lists(st.tuples(st.integers(0, 29), st.integers(1, 6)), min_size=1, max_size=4).map(
    lambda drawn: tuple(UnitBlock(SERIES, start, start + length) for start, length in drawn)
)


def apart(blocks: tuple[UnitBlock, ...]) -> tuple[UnitBlock, ...]:
    kept: list[UnitBlock] = []
    for block in sorted(blocks):
        if not any(block.overlaps(other) for other in kept):
            kept.append(block)
    return tuple(kept)


def serials(blocks: list[UnitBlock] | tuple[UnitBlock, ...]) -> set[int]:
    return {serial for block in blocks for serial in range(block.start, block.end)}


@given(st.lists(st.sampled_from(PLACES), min_size=36, max_size=36), BLOCKS.map(apart))
def test_the_bridge_moves_what_is_at_the_first_region_and_takes_nothing_from_a_third(
    places: list[str], blocks: tuple[UnitBlock, ...]
) -> None:
    book = LocationBook([LocationRow(SERIES, at, at + 1, place) for at, place in enumerate(places)])
    failing = corrections.move_to(book, blocks, "first", "second")
    named = serials(blocks)
    after = [book.place_of(SERIES, at) for at in range(len(places))]
    assert serials(failing) == {at for at in named if places[at] == "third"}
    if failing:
        assert after == places
    else:
        assert after == ["second" if at in named else place for at, place in enumerate(places)]


@given(BLOCKS.map(apart), BLOCKS.map(apart), BLOCKS.map(apart))
def test_what_is_locked_is_given_up_once_and_only_as_it_is_released(
    first: tuple[UnitBlock, ...], second: tuple[UnitBlock, ...], released: tuple[UnitBlock, ...]
) -> None:
    waits = corrections.waiting(corrections.waiting((), first, b"1"), second, b"2")
    assert serials([block for block, _ in waits]) == serials(first) | serials(second)
    taken = corrections.taken_after_abort(waits, released)
    assert serials(taken.get(b"2", [])) == serials(second) & serials(released)
    assert serials(taken.get(b"1", [])) == (serials(first) - serials(second)) & serials(released)
    given_up = [block for gone in taken.values() for block in gone]
    left = corrections.waits_without(waits, given_up)
    assert not corrections.taken_after_abort(left, released)
    assert serials([block for block, _ in left]) == serials([block for block, _ in waits]) - serials(released)


@given(BLOCKS.map(apart), BLOCKS.map(apart))
def test_the_second_region_credits_what_it_has_not(
    blocks: tuple[UnitBlock, ...], here: tuple[UnitBlock, ...]
) -> None:
    missing = corrections.missing(blocks, here)
    assert serials(missing) == serials(blocks) - serials(here)
    assert sum(block.quantity_kg for block in missing) == len(serials(missing))
