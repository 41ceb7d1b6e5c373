"""Many refusals in one test: each that is not as it must be is told by its name, and none may change a row.

A test for every refusal compared the whole database twice for each. Here the state is taken once before and
once after a row of refusals; where taking it costs nothing (SQLite tells that nobody has written) it is taken
after each, so that the one which changed something is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

TOLD_MAX: Final = 20
"""Faults that a message tells in full."""


class Refusals:
    """A row of requests that are refused and change nothing.

    Args:
        state: gives the digest of every row.
        after_each: whether the state is compared after each request, or after the last alone.
    """

    def __init__(self, state: Callable[[], str], *, after_each: bool) -> None:
        self._state = state
        self._after_each = after_each
        self._before = state()
        self._names: list[str] = []
        self._faults: list[str] = []

    @contextmanager
    def of(self, name: object) -> Iterator[None]:
        """Try one request: what fails inside is told under this name, and the others are tried as well."""
        self._names.append(str(name))
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, it is told
            self._faults.append(f"{name}: {type(error).__name__}: {error}")
        if self._after_each:
            self._compare(str(name))

    def require_none_wrong(self) -> None:
        """Fail with every fault found; a row without a request proves nothing and fails as well."""
        assert self._names, "nothing was tried"
        if not self._after_each:
            self._compare(f"one of {len(self._names)} ({', '.join(self._names)})")
        told = "\n".join(self._faults[:TOLD_MAX])
        assert not self._faults, f"{len(self._faults)} of {len(self._names)}:\n{told}"

    def _compare(self, whose: str) -> None:
        now = self._state()
        if now != self._before:
            self._faults.append(f"{whose}: changed the database")
            self._before = now


@contextmanager
def refusals(state: Callable[[], str], dialect: str) -> Iterator[Refusals]:
    """Give a row of refusals on a database of this dialect; it is judged when the block ends."""
    row = Refusals(state, after_each=dialect == "sqlite")
    yield row
    row.require_none_wrong()
