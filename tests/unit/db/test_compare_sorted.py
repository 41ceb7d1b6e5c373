"""Merging two sorted streams finds exactly the rows on which they differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.db.fsck import compare_sorted
from tanqiao.kernel.invariants import InvariantBroken

tables = st.dictionaries(st.integers(0, 20), st.integers(0, 2))


@given(expected=tables, found=tables)
def test_the_differences_are_those_of_the_sets(expected: dict[int, int], found: dict[int, int]) -> None:
    differences = compare_sorted(
        "balance", sorted(expected.items()), sorted(found.items()), key_length=1, limit=1_000
    )
    told = {(difference.expected or difference.found or (None,))[0] for difference in differences}
    assert told == {key for key in expected | found if expected.get(key) != found.get(key)}
    for difference in differences:
        for side, table in ((difference.expected, expected), (difference.found, found)):
            assert side is None or table[side[0]] == side[1]


def test_a_wrong_row_is_one_difference_in_words() -> None:
    (difference,) = compare_sorted("balance", [("a", 1), ("b", 2)], [("a", 1), ("b", 3)], key_length=1)
    assert str(difference) == "balance: ('b', 3) should be ('b', 2)"


def test_the_report_is_bounded_and_the_streams_are_read_no_further() -> None:
    read: list[int] = []

    def numbers() -> list[tuple[int]]:
        return [(number,) for number in range(1_000)]

    def lazily() -> object:
        for row in numbers():
            read.append(row[0])
            yield row

    assert len(compare_sorted("x", lazily(), [], key_length=1, limit=5)) == 5  # type: ignore[arg-type]
    assert len(read) < 10


@pytest.mark.parametrize("rows", [[(2,), (1,)], [(1,), (1,)]])
def test_streams_out_of_order_prove_nothing(rows: list[tuple[int]]) -> None:
    with pytest.raises(InvariantBroken):
        compare_sorted("x", rows, [], key_length=1)
