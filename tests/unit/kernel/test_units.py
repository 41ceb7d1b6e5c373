from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError, InvariantBroken, RegionCode, Series, UnitBlock
from tanqiao.kernel.regions import SHANGHAI
from tanqiao.kernel.units import (
    BATCH_MAX,
    SERIAL_MAX,
    VINTAGE_MAX,
    VINTAGE_MIN,
    coalesce,
    find_overlap,
    subtract_blocks,
    take_quantity,
    total_quantity_kg,
)

SERIES_ID = "310000:SHCER:P-0001:2026:1"
OTHER_SERIES_ID = "310000:SHCER:P-0002:2026:1"
SMALL_BLOCKS = st.builds(
    lambda series_id, start, length: UnitBlock(series_id, start, start + length),
    st.sampled_from([SERIES_ID, OTHER_SERIES_ID]),
    st.integers(0, 60),
    st.integers(1, 20),
)
WIDE_BLOCKS = (
    st.lists(st.integers(0, SERIAL_MAX), min_size=2, max_size=2, unique=True)
    .map(sorted)
    .map(lambda bounds: UnitBlock(SERIES_ID, bounds[0], bounds[1]))
)
SERIES = st.builds(
    Series,
    st.sampled_from(["310000", "440300", "530000", "440300.L01"]).map(RegionCode),
    st.from_regex(r"[A-Z][A-Z0-9_]{0,31}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    st.integers(VINTAGE_MIN, VINTAGE_MAX),
    st.integers(0, BATCH_MAX),
)


def block(start: int, end: int, series_id: str = SERIES_ID) -> UnitBlock:
    return UnitBlock(series_id, start, end)


def serials_of(*blocks: UnitBlock) -> set[tuple[str, int]]:
    return {(each.series_id, serial) for each in blocks for serial in range(each.start, each.end)}


@st.composite
def disjoint_blocks(draw: st.DrawFn) -> list[UnitBlock]:
    """Disjoint blocks of two series, some adjacent, in any order."""
    blocks = []
    for series_id in (SERIES_ID, OTHER_SERIES_ID):
        position = 0
        for gap, length in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=6)):
            blocks.append(UnitBlock(series_id, position + gap, position + gap + length))
            position += gap + length
    return draw(st.permutations(blocks))


def test_a_series_is_printed_with_its_region_and_read_back() -> None:
    series = Series(SHANGHAI, "SHCER", "P-0001", 2026, 1)
    assert series.series_id == str(series) == SERIES_ID
    assert Series.parse(SERIES_ID) == series


@given(SERIES)
def test_reading_a_printed_series_gives_the_same_series(series: Series) -> None:
    assert Series.parse(series.series_id) == series
    assert UnitBlock(series.series_id, 0, 1).series_id == series.series_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "310000:SHCER:P-0001:2026",
        "310000:SHCER:P-0001:2026:1:1",
        "310000:shcer:P-0001:2026:1",
        "310000:SHCER::2026:1",
        "310000:SHCER:P 1:2026:1",
        "310000:SHCER:P-0001:02026:1",
        "310000:SHCER:P-0001:2026:01",
        "310000:SHCER:P-0001:2026:-1",
        "310000:SHCER:P-0001:1989:1",
        "310000:SHCER:P-0001:2026:2147483648",
        "310000:SHCER:项目:2026:1",
        "310000:SHCER:P-0001:２０２６:1",
        "310000:SHCER:P-0001:2026:1\n",
    ],
)
def test_text_that_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        Series.parse(text)
    assert refusal.value.symbol == "FIELD_INVALID"


def test_a_series_of_an_unknown_region_is_refused() -> None:
    with pytest.raises(DomainError) as refusal:
        Series.parse("990000:SHCER:P-0001:2026:1")
    assert refusal.value.symbol == "REGION_UNKNOWN"


def test_the_quantity_of_a_block_is_its_number_of_serials() -> None:
    assert block(10, 15).quantity_kg == 5
    assert block(0, SERIAL_MAX).quantity_kg == SERIAL_MAX
    assert str(block(10, 15)) == f"{SERIES_ID}[10,15)"


@pytest.mark.parametrize(
    ("start", "end", "symbol"),
    [
        (5, 5, "RANGE_REVERSED"),
        (6, 5, "RANGE_REVERSED"),
        (-1, 5, "FIELD_INVALID"),
        (0, SERIAL_MAX + 1, "FIELD_INVALID"),
        (SERIAL_MAX + 1, SERIAL_MAX + 2, "FIELD_INVALID"),
    ],
)
def test_a_range_that_is_not_of_serials_is_refused(start: int, end: int, symbol: str) -> None:
    with pytest.raises(DomainError) as refusal:
        block(start, end)
    assert refusal.value.symbol == symbol


@pytest.mark.parametrize("series_id", ["", "two words", "S[1", "S]1", "S" * 161, "系列", "S\n"])
def test_a_series_id_that_could_not_be_printed_is_refused(series_id: str) -> None:
    with pytest.raises(DomainError) as refusal:
        block(0, 1, series_id)
    assert refusal.value.symbol == "FIELD_INVALID"


@pytest.mark.parametrize("bound", [1.0, True, "1"])
def test_a_bound_that_is_no_integer_breaks_an_invariant(bound: object) -> None:
    with pytest.raises(InvariantBroken, match="not an integer"):
        block(0, bound)  # type: ignore[arg-type]


@given(WIDE_BLOCKS)
def test_reading_a_printed_block_gives_the_same_block(given_block: UnitBlock) -> None:
    assert UnitBlock.parse(str(given_block)) == given_block


@pytest.mark.parametrize(
    "text", ["", "S[0,1]", "S[0,1) ", "S(0,1)", "S[00,1)", "S[0, 1)", "[0,1)", "S[-1,1)", "S[0,1)[2,3)"]
)
def test_text_that_is_no_block_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        UnitBlock.parse(text)
    assert refusal.value.symbol == "FIELD_INVALID"


def test_blocks_that_touch_are_adjacent_and_do_not_overlap() -> None:
    assert block(0, 5).adjacent(block(5, 9))
    assert block(5, 9).adjacent(block(0, 5))
    assert not block(0, 5).overlaps(block(5, 9))
    assert block(0, 5).intersection(block(5, 9)) is None
    assert not block(0, 5).adjacent(block(5, 9, OTHER_SERIES_ID))
    assert not block(0, 5).overlaps(block(0, 5, OTHER_SERIES_ID))
    assert not block(0, 5).contains(block(0, 5, OTHER_SERIES_ID))


@given(SMALL_BLOCKS, SMALL_BLOCKS)
def test_arithmetic_on_two_blocks_is_that_of_their_serials(first: UnitBlock, second: UnitBlock) -> None:
    common = first.intersection(second)
    assert serials_of(*([common] if common else [])) == serials_of(first) & serials_of(second)
    assert serials_of(*first.subtract(second)) == serials_of(first) - serials_of(second)
    assert first.overlaps(second) is second.overlaps(first) is bool(serials_of(first) & serials_of(second))
    assert first.contains(second) is (serials_of(second) <= serials_of(first))


@given(SMALL_BLOCKS, st.data())
def test_taking_splits_off_the_lowest_serials_and_merging_restores_the_block(
    given_block: UnitBlock, data: st.DataObject
) -> None:
    quantity_kg = data.draw(st.integers(1, given_block.quantity_kg))
    taken, rest = given_block.take(quantity_kg)
    assert taken.quantity_kg == quantity_kg
    assert taken.start == given_block.start
    if rest is None:
        assert taken == given_block
    else:
        assert taken.merge(rest) == rest.merge(taken) == given_block


@pytest.mark.parametrize(
    ("quantity_kg", "symbol"),
    [(0, "QUANTITY_NOT_POSITIVE"), (-1, "QUANTITY_NOT_POSITIVE"), (6, "UNITS_INSUFFICIENT")],
)
def test_what_a_block_does_not_hold_cannot_be_taken(quantity_kg: int, symbol: str) -> None:
    for attempt in (lambda: block(0, 5).take(quantity_kg), lambda: take_quantity([block(0, 5)], quantity_kg)):
        with pytest.raises(DomainError) as refusal:
            attempt()
        assert refusal.value.symbol == symbol


@pytest.mark.parametrize(
    "other", [block(4, 9), block(6, 9), block(0, 5), block(5, 9, OTHER_SERIES_ID)], ids=str
)
def test_merging_blocks_that_are_not_adjacent_breaks_an_invariant(other: UnitBlock) -> None:
    with pytest.raises(InvariantBroken, match="not adjacent"):
        block(0, 5).merge(other)


@given(disjoint_blocks())
def test_coalescing_conserves_serials_and_leaves_nothing_to_merge(blocks: list[UnitBlock]) -> None:
    joined = coalesce(blocks)
    assert serials_of(*joined) == serials_of(*blocks)
    assert total_quantity_kg(joined) == total_quantity_kg(blocks)
    assert list(joined) == sorted(joined)
    assert not any(earlier.adjacent(later) for earlier in joined for later in joined)
    assert coalesce(joined) == joined


@given(disjoint_blocks(), st.integers(0, 2**32))
def test_coalescing_does_not_depend_on_the_order(blocks: list[UnitBlock], seed: int) -> None:
    shuffled = list(blocks)
    random.Random(seed).shuffle(shuffled)
    assert coalesce(shuffled) == coalesce(blocks)


def test_coalescing_overlapping_blocks_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken, match="overlap"):
        coalesce([block(0, 5), block(4, 6)])
    with pytest.raises(InvariantBroken, match="overlap"):
        coalesce([block(0, 5), block(0, 5)])


@given(disjoint_blocks(), st.integers(1, 120))
def test_taking_a_quantity_conserves_serials_and_takes_the_lowest(
    blocks: list[UnitBlock], quantity_kg: int
) -> None:
    available_kg = total_quantity_kg(blocks)
    if available_kg < quantity_kg:
        with pytest.raises(DomainError) as refusal:
            take_quantity(blocks, quantity_kg)
        assert refusal.value.symbol == "UNITS_INSUFFICIENT"
        assert refusal.value.metadata == {"asked_kg": str(quantity_kg), "available_kg": str(available_kg)}
        return
    taken, left = take_quantity(blocks, quantity_kg)
    assert total_quantity_kg(taken) == quantity_kg
    assert sorted(serials_of(*taken)) == sorted(serials_of(*blocks))[:quantity_kg]
    assert serials_of(*left) == serials_of(*blocks) - serials_of(*taken)


@given(disjoint_blocks(), disjoint_blocks())
def test_subtracting_sets_of_blocks_is_subtracting_their_serials(
    blocks: list[UnitBlock], removed: list[UnitBlock]
) -> None:
    left = subtract_blocks(blocks, removed)
    assert serials_of(*left) == serials_of(*blocks) - serials_of(*removed)
    assert total_quantity_kg(left) == len(serials_of(*left))
    assert list(left) == sorted(left)


@given(st.lists(SMALL_BLOCKS, max_size=8))
def test_an_overlap_is_found_exactly_when_a_serial_occurs_twice(blocks: list[UnitBlock]) -> None:
    found = find_overlap(blocks)
    occurs_twice = total_quantity_kg(blocks) != len(serials_of(*blocks))
    assert (found is not None) is occurs_twice
    if found is not None:
        assert found[0].overlaps(found[1])


def test_a_serial_lies_within_its_block_only() -> None:
    assert [serial for serial in range(8) if block(2, 5).contains_serial(serial)] == [2, 3, 4]
