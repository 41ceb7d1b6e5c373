"""A row of refusals finds what it is for: a request that is not refused, and a refusal that changes a row."""

from __future__ import annotations

import pytest

from tests.contract.refusing import Refusals


class Rows:
    """A state that can be changed."""

    def __init__(self) -> None:
        self.state = "before"
        self.taken = 0

    def digest(self) -> str:
        self.taken += 1
        return self.state


def test_each_that_is_not_refused_is_told_and_the_others_are_tried() -> None:
    rows, tried = Rows(), []
    row = Refusals(rows.digest, after_each=False)
    with row.of("a"), pytest.raises(ValueError, match="never"):
        tried.append("a")
    with row.of("b"):
        tried.append("b")
    with row.of("c"):
        tried.append("c")
        assert tried == ["c"]
    assert tried == ["a", "b", "c"]
    with pytest.raises(AssertionError, match=r"^2 of 3:\na: Failed: DID NOT RAISE.*\nc: AssertionError"):
        row.require_none_wrong()
    assert rows.taken == 2


def test_the_one_that_changed_a_row_is_named_where_each_is_looked_at() -> None:
    rows = Rows()
    row = Refusals(rows.digest, after_each=True)
    for name in "abc":
        with row.of(name):
            rows.state = "after" if name == "b" else rows.state
    with pytest.raises(AssertionError, match=r"^1 of 3:\nb: changed the database$"):
        row.require_none_wrong()


def test_a_change_is_found_at_the_end_where_only_the_last_is_looked_at() -> None:
    rows = Rows()
    row = Refusals(rows.digest, after_each=False)
    for name in "ab":
        with row.of(name):
            rows.state = name
    with pytest.raises(AssertionError, match=r"^1 of 2:\none of 2 \(a, b\): changed the database$"):
        row.require_none_wrong()


def test_a_row_of_nothing_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="nothing was tried"):
        Refusals(Rows().digest, after_each=True).require_none_wrong()
