from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationBook, LocationRow

SERIALS_MAX = 24
SERIES = ("310000:P:plant:2025:1", "440300:P:plant:2025:1")
PLACES = ("shanghai", "shenzhen", "used")
Serials = dict[tuple[str, int], str]

ranges = (
    st.tuples(st.integers(0, SERIALS_MAX - 1), st.integers(1, 8))
    .map(lambda pair: (pair[0], min(SERIALS_MAX, pair[0] + pair[1])))
    .filter(lambda pair: pair[0] < pair[1])
)
blocks = st.builds(lambda series, span: UnitBlock(series, *span), st.sampled_from(SERIES), ranges)
operations = st.lists(
    st.tuples(
        st.sampled_from(("move", "register", "remove")),
        st.lists(blocks, min_size=1, max_size=3),
        st.sampled_from(PLACES),
        st.sampled_from(PLACES),
    ),
    max_size=25,
)


def serials_of(rows: tuple[LocationRow[str], ...]) -> Serials:
    held: Serials = {}
    for row in rows:
        for serial in range(row.start, row.end):
            assert (row.series_id, serial) not in held
            held[row.series_id, serial] = row.place
    return held


def serials_in(items: list[UnitBlock]) -> list[tuple[str, int]]:
    return [(block.series_id, serial) for block in items for serial in range(block.start, block.end)]


def apply_slowly(held: Serials, name: str, items: list[UnitBlock], place: str, to_place: str) -> bool:
    """Do one operation serial by serial; false and no change if it cannot be done."""
    named = serials_in(items)
    needed = None if name == "register" else place
    if len(set(named)) != len(named) or any(held.get(serial) != needed for serial in named):
        return False
    for serial in named:
        if name == "remove":
            del held[serial]
        else:
            held[serial] = to_place if name == "move" else place
    return True


@given(operations, operations)
def test_a_book_does_what_one_serial_after_the_other_would(
    before: list[tuple[str, list[UnitBlock], str, str]],
    group: list[tuple[str, list[UnitBlock], str, str]],
) -> None:
    held: Serials = {}
    first: LocationBook[str] = LocationBook()
    for name, items, place, to_place in before:
        apply_slowly(held, name, items, place, to_place)
        run(first, name, items, place, to_place)
    loaded = first.rows()
    book = LocationBook(reversed(loaded))
    for name, items, place, to_place in group:
        expected = apply_slowly(held, name, items, place, to_place)
        failing = run(book, name, items, place, to_place)
        assert (failing == ()) == expected
        assert set(serials_in(list(failing))) <= set(serials_in(items))
    assert serials_of(book.rows()) == held
    difference = book.difference()
    assert (set(loaded) - set(difference.deleted)) | set(difference.inserted) == set(book.rows())
    assert not set(difference.deleted) & set(difference.inserted)


def run(
    book: LocationBook[str], name: str, items: list[UnitBlock], place: str, to_place: str
) -> tuple[UnitBlock, ...]:
    if name == "move":
        return book.move(items, place, to_place)
    return book.register(items, place) if name == "register" else book.remove(items, place)


@given(operations)
def test_touching_rows_of_one_place_are_merged_where_they_are_made(
    group: list[tuple[str, list[UnitBlock], str, str]],
) -> None:
    book: LocationBook[str] = LocationBook()
    for name, items, place, to_place in group:
        run(book, name, items, place, to_place)
    rows = book.rows()
    for row, following in itertools.pairwise(rows):
        touching = row.series_id == following.series_id and row.end == following.start
        assert not (touching and row.place == following.place)


def book_of_one() -> LocationBook[str]:
    return LocationBook([LocationRow(SERIES[0], 0, 1000, "shanghai")])


def test_of_two_items_on_one_serial_the_first_wins_and_the_second_hears_which_blocks_it_lacks() -> None:
    book = book_of_one()
    assert book.move([UnitBlock(SERIES[0], 0, 100)], "shanghai", "shenzhen") == ()
    assert book.move([UnitBlock(SERIES[0], 50, 150)], "shanghai", "yunnan") == (
        UnitBlock(SERIES[0], 50, 100),
    )
    assert book.place_of(SERIES[0], 120) == "shanghai"


def test_an_item_of_several_blocks_moves_whole_or_not_at_all() -> None:
    book = book_of_one()
    wanted = [UnitBlock(SERIES[0], 0, 10), UnitBlock(SERIES[0], 995, 1005)]
    assert book.move(wanted, "shanghai", "shenzhen") == (UnitBlock(SERIES[0], 1000, 1005),)
    assert book.difference() == ((), ())


def test_a_block_named_twice_in_one_item_is_refused() -> None:
    book = book_of_one()
    wanted = [UnitBlock(SERIES[0], 0, 10), UnitBlock(SERIES[0], 5, 15)]
    assert book.move(wanted, "shanghai", "shenzhen") == (UnitBlock(SERIES[0], 5, 10),)
    assert book.register([UnitBlock(SERIES[1], 0, 2), UnitBlock(SERIES[1], 1, 3)], "x") == (
        UnitBlock(SERIES[1], 1, 2),
    )


def test_serials_that_were_never_loaded_are_at_no_place() -> None:
    book = book_of_one()
    assert book.move([UnitBlock(SERIES[1], 0, 5)], "shanghai", "shenzhen") == (UnitBlock(SERIES[1], 0, 5),)
    assert book.place_of(SERIES[1], 0) is None
    assert book.place_of(SERIES[0], 1000) is None
    assert book.occupied([UnitBlock(SERIES[0], 990, 1010)]) == (UnitBlock(SERIES[0], 990, 1000),)


def test_units_sent_there_and_back_in_one_group_leave_no_difference() -> None:
    book = book_of_one()
    block = [UnitBlock(SERIES[0], 100, 200)]
    assert book.move(block, "shanghai", "shenzhen") == ()
    assert book.move(block, "shenzhen", "shanghai") == ()
    assert book.difference() == ((), ())


def test_rows_that_overlap_or_hold_nothing_break_an_invariant() -> None:
    row = LocationRow(SERIES[0], 0, 10, "a")
    with pytest.raises(InvariantBroken, match="overlaps"):
        LocationBook([row, LocationRow(SERIES[0], 9, 12, "b")])
    with pytest.raises(InvariantBroken, match="no serial"):
        LocationBook([LocationRow(SERIES[0], 3, 3, "a")])
