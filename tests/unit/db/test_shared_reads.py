from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tanqiao.db.shared_reads import SharedReads
from tanqiao.kernel.errors import DomainError

CALLERS = 8
WAIT_SECONDS = 60.0


class Looked:
    """A look that begins when it may, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, keys: Sequence[int]) -> dict[int, str]:
        self.asked.append(keys)
        self.begun.set()
        assert self.may_end.wait(WAIT_SECONDS)
        return {key: f"value {key}" for key in keys if key >= 0}


def test_those_who_ask_while_another_looks_share_the_next_look() -> None:
    look = Looked()
    reads = SharedReads(look)
    with ThreadPoolExecutor(CALLERS + 1) as pool:
        first = pool.submit(reads.get, 0)
        assert look.begun.wait(WAIT_SECONDS)
        others = [pool.submit(reads.get, key) for key in range(1, CALLERS + 1)]
        while len(reads._asked) < CALLERS:
            threading.Event().wait(0.001)
        look.may_end.set()
        assert first.result(WAIT_SECONDS) == "value 0"
        assert [one.result(WAIT_SECONDS) for one in others] == [
            f"value {key}" for key in range(1, CALLERS + 1)
        ]
    assert [sorted(keys) for keys in look.asked] == [[0], list(range(1, CALLERS + 1))]


def test_a_look_is_bounded_and_every_caller_is_answered() -> None:
    look = Looked()
    look.may_end.set()
    reads = SharedReads(look, keys_per_look_max=2)
    with ThreadPoolExecutor(CALLERS) as pool:
        found = list(pool.map(reads.get, range(CALLERS)))
    assert found == [f"value {key}" for key in range(CALLERS)]
    assert max(map(len, look.asked)) <= 2


def test_what_is_not_there_is_none() -> None:
    look = Looked()
    look.may_end.set()
    assert SharedReads(look).get(-1) is None


def test_a_failed_look_fails_its_callers_and_no_later_one() -> None:
    refusals = [DomainError("BUSY", detail="the first look")]

    def look(keys: Sequence[int]) -> dict[int, str]:
        if refusals:
            raise refusals.pop()
        return dict.fromkeys(keys, "there")

    reads: SharedReads[int, str] = SharedReads(look)
    with pytest.raises(DomainError) as refused:
        reads.get(1)
    assert refused.value.symbol == "BUSY"
    assert reads.get(1) == "there"
