"""Comparing what is with what must be: the pieces of which a service's `fsck` is made.

A service rebuilds balances or locations from its journal and compares them with the tables it keeps. Where
both sides are queries the database compares them; where one is computed, two sorted streams are merged, so
that a million rows need no more memory than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.kernel.invariants import require

DIFFERENCES_MAX: Final = 100

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One row on which the two sides differ; None for the side that lacks it."""

    subject: str
    expected: Values | None
    found: Values | None

    def __str__(self) -> str:
        if self.expected is None:
            return f"{self.subject}: {self.found} should not be there"
        if self.found is None:
            return f"{self.subject}: {self.expected} is missing"
        return f"{self.subject}: {self.found} should be {self.expected}"


def compare_queries(
    connection: sa.Connection,
    subject: str,
    expected: sa.Select[Any],
    found: sa.Select[Any],
    *,
    limit: int = DIFFERENCES_MAX,
) -> list[Difference]:
    """Give up to `limit` differences of each kind between two queries, each of which gives a row once.

    Args:
        connection: inside a read-only snapshot.
        subject: what is compared, for the report.
        expected: what must be, recomputed from the journal.
        found: what is kept, the same columns in the same order.
        limit: bound of the rows missing, and of the rows that should not be there.
    """
    _require_same_shape(expected, found)
    missing = connection.execute(sa.except_(expected, found).limit(limit)).all()
    surplus = connection.execute(sa.except_(found, expected).limit(limit)).all()
    return [Difference(subject, tuple(row), None) for row in missing] + [
        Difference(subject, None, tuple(row)) for row in surplus
    ]


def compare_sorted(
    subject: str,
    expected: Iterable[Values],
    found: Iterable[Values],
    *,
    key_length: int,
    limit: int = DIFFERENCES_MAX,
) -> list[Difference]:
    """Give up to `limit` differences between two streams sorted by their first `key_length` values.

    A row whose key both sides have, with other values, is one difference. An order that breaks the promise
    breaks an invariant, for a comparison of unsorted streams proves nothing.
    """
    differences: list[Difference] = []
    left, right = _ascending(expected, key_length), _ascending(found, key_length)
    wanted, present = next(left, None), next(right, None)
    while (wanted is not None or present is not None) and len(differences) < limit:
        if present is None or (wanted is not None and wanted[:key_length] < present[:key_length]):
            differences.append(Difference(subject, wanted, None))
            wanted = next(left, None)
        elif wanted is None or present[:key_length] < wanted[:key_length]:
            differences.append(Difference(subject, None, present))
            present = next(right, None)
        else:
            if wanted != present:
                differences.append(Difference(subject, wanted, present))
            wanted, present = next(left, None), next(right, None)
    return differences


def _ascending(rows: Iterable[Values], key_length: int) -> Iterator[Values]:
    last: Values | None = None
    for row in rows:
        values = tuple(row)
        key = values[:key_length]
        require(last is None or last < key, f"rows compared in order are not sorted at {key}")
        last = key
        yield values


def _require_same_shape(expected: sa.Select[Any], found: sa.Select[Any]) -> None:
    sizes = len(expected.selected_columns), len(found.selected_columns)
    require(sizes[0] == sizes[1], f"queries of {sizes[0]} and {sizes[1]} columns cannot be compared")
