"""Fingerprints of ranges, what differs between two books, and what is taken back behind a cut."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.protocol.reconciliation import (
    ABSENT,
    CANCELLED,
    HELD,
    LEAF_BLOCKS_MAX,
    USED,
    Difference,
    Movement,
    Piece,
    SeriesBlocks,
    as_of,
    differences,
    root_of,
    span_of,
    split,
)

SERIALS = 40
STATES = st.lists(st.sampled_from((ABSENT, HELD, USED, CANCELLED)), min_size=SERIALS, max_size=SERIALS)


def pieces_of(states: list[int], cut: random.Random | None = None) -> list[Piece]:
    """Give the pieces of a list of states; cut anywhere where a source of chance is given."""
    found: list[Piece] = []
    for serial, state in enumerate(states):
        last = found[-1] if found else None
        joins = last is not None and last.end == serial and last.state == state
        if state != ABSENT and joins and (cut is None or cut.random() < 0.5):
            found[-1] = Piece(found[-1].start, serial + 1, state)
        elif state != ABSENT:
            found.append(Piece(serial, serial + 1, state))
    return found


def many(count: int) -> list[Piece]:
    """Give blocks of which no two are one."""
    return [Piece(10 * number, 10 * number + 10, HELD + number % 2) for number in range(count)]


@given(STATES, st.integers())
def test_how_rows_are_cut_changes_no_fingerprint(states: list[int], seed: int) -> None:
    whole = SeriesBlocks(pieces_of(states)).summary("s")
    assert SeriesBlocks(pieces_of(states, random.Random(seed))).summary("s") == whole


@given(STATES, STATES)
def test_two_books_have_one_fingerprint_exactly_if_they_are_the_same(a: list[int], b: list[int]) -> None:
    first, second = SeriesBlocks(pieces_of(a)), SeriesBlocks(pieces_of(b))
    span = span_of(SERIALS)
    assert (first.fingerprint(0, span) == second.fingerprint(0, span)) == (a == b)


@given(STATES, STATES)
def test_every_serial_that_differs_is_named_and_no_other(a: list[int], b: list[int]) -> None:
    found = differences(pieces_of(a), pieces_of(b))
    named = {
        serial: (one.bridge_state, one.region_state) for one in found for serial in range(one.start, one.end)
    }
    assert named == {
        serial: (here, there) for serial, (here, there) in enumerate(zip(a, b, strict=True)) if here != there
    }


def test_an_altered_block_among_many_is_found_by_its_ranges() -> None:
    rows = many(20_000)
    books = SeriesBlocks(rows)
    rows[13_579] = Piece(135_790, 135_799, rows[13_579].state)
    altered = SeriesBlocks(rows)
    low, high, levels = 0, span_of(books.end), 0
    while books.count(low, high) > LEAF_BLOCKS_MAX:
        (bad,) = [part for part in split(low, high) if books.fingerprint(*part) != altered.fingerprint(*part)]
        low, high, levels = *bad, levels + 1
    assert 0 < levels < 6
    assert differences(books.pieces(low, high), altered.pieces(low, high)) == [
        Difference(135_799, 135_800, USED, ABSENT)
    ]


def test_two_changes_that_a_sum_or_xor_would_not_show_differ() -> None:
    first = [Piece(0, 10, HELD), Piece(10, 20, USED), Piece(20, 30, HELD), Piece(30, 40, USED)]
    second = [Piece(0, 10, USED), Piece(10, 20, HELD), Piece(20, 30, USED), Piece(30, 40, HELD)]
    a, b = SeriesBlocks(first).summary("s"), SeriesBlocks(second).summary("s")
    assert (a.held_kg, a.used_kg, a.block_count) == (b.held_kg, b.used_kg, b.block_count)
    assert a.fingerprint != b.fingerprint
    assert root_of([a]) != root_of([b])


@given(STATES, st.data())
def test_what_lies_behind_the_cut_is_taken_back(before: list[int], data: st.DataObject) -> None:
    now, moved = list(before), []
    for index in range(data.draw(st.integers(0, 6))):
        start = data.draw(st.integers(0, SERIALS - 1))
        end = start
        while end < SERIALS and now[end] == now[start]:
            end += 1
        end = data.draw(st.integers(start + 1, end))
        moved.append(Movement(index, start, end, now[start]))
        now[start:end] = [data.draw(st.sampled_from((ABSENT, HELD, USED)))] * (end - start)
    data.draw(st.randoms()).shuffle(moved)
    assert SeriesBlocks(as_of(pieces_of(now), moved)).pieces(0, SERIALS) == pieces_of(before)


@pytest.mark.parametrize(("start", "end"), [(0, 16), (0, 4096), (32, 48), (0, 100)])
def test_a_range_is_cut_into_parts_without_gaps(start: int, end: int) -> None:
    parts = split(start, end)
    assert parts[0][0] == start
    assert parts[-1][1] == end
    assert all(first[1] == second[0] for first, second in itertools.pairwise(parts))


def test_pieces_of_a_range_are_cut_at_its_ends() -> None:
    blocks = SeriesBlocks([Piece(0, 10, HELD), Piece(20, 30, USED)])
    assert blocks.pieces(5, 25) == [Piece(5, 10, HELD), Piece(20, 25, USED)]
    assert blocks.pieces(12, 18) == []
    assert blocks.count(9, 10) == 1
