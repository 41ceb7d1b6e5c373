"""The map of serials, against a plain dictionary with one entry a serial."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tanqiao.client.serial_map import SerialMap
from tanqiao.kernel.units import UnitBlock

LENGTH = 24
ranges = st.tuples(st.integers(0, LENGTH - 1), st.integers(1, LENGTH)).map(
    lambda pair: (min(pair), max(pair) if max(pair) > min(pair) else min(pair) + 1)
)
changes = st.lists(st.tuples(ranges, st.sampled_from(["a", "b", None])), max_size=20)


@given(changes, ranges)
def test_it_says_what_a_dictionary_of_serials_says(
    steps: list[tuple[tuple[int, int], str | None]], asked: tuple[int, int]
) -> None:
    tested: SerialMap[str] = SerialMap()
    model: dict[int, str] = {}
    for (start, end), value in steps:
        if value is None:
            tested.erase(UnitBlock("s", start, end))
            for serial in range(start, end):
                model.pop(serial, None)
        else:
            tested.paint(UnitBlock("s", start, end), value)
            model |= dict.fromkeys(range(start, end), value)
    assert {serial: value for piece, value in tested for serial in range(piece.start, piece.end)} == model
    question = UnitBlock("s", *asked)
    inside = {serial: model[serial] for serial in range(*asked) if serial in model}
    found = tested.pieces_in(question)
    assert {serial: value for piece, value in found for serial in range(piece.start, piece.end)} == inside
    assert tested.is_empty(question) == (not inside)
    assert tested.covers(question, "a") == (inside == dict.fromkeys(range(*asked), "a"))
    pieces = list(tested)
    assert all(first[0].end < second[0].start or first[1] != second[1] for first, second in pairwise(pieces))


def test_series_are_apart_and_come_in_order() -> None:
    tested: SerialMap[int] = SerialMap()
    tested.paint(UnitBlock("t", 0, 5), 1)
    tested.paint(UnitBlock("s", 3, 9), 2)
    assert list(tested) == [(UnitBlock("s", 3, 9), 2), (UnitBlock("t", 0, 5), 1)]
