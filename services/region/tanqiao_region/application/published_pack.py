"""The rule pack of a legal date with the values that have been published at this node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.storage.parameter_tables import ParameterRow

Published = Callable[[RulePack, Sequence[ParameterRow]], RulePack]


class PublishedPack:
    """Gives the pack in force, each made once with the values.

    Args:
        base: rules in force on a legal date, as they were shipped.
        rows: published values, in the order of the journal.
        published: puts values into a pack.
    """

    def __init__(
        self, base: Callable[[date], RulePack], rows: Sequence[ParameterRow], published: Published
    ) -> None:
        self._base = base
        self._rows = tuple(rows)
        self._published = published
        self._made: dict[int, tuple[RulePack, RulePack]] = {}

    def __call__(self, day: date) -> RulePack:
        """Give the rules of a legal date."""
        shipped = self._base(day)
        if not self._rows:
            return shipped
        known = self._made.get(id(shipped))
        if known is None:
            known = (shipped, self._published(shipped, self._rows))
            self._made[id(shipped)] = known
        return known[1]

    def with_rows(self, rows: Sequence[ParameterRow]) -> PublishedPack:
        """Give the same packs with these values in the place of those before."""
        return PublishedPack(self._base, rows, self._published)
