"""The catalogue of reasons: append-only, published as data (PROTOCOL section 9, RULES section 14).

A number or a symbol that was published is never given to another reason; one that is no longer raised
stays in its family module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from tanqiao.kernel.invariants import require
from tanqiao.kernel.reasons import (
    account,
    claims,
    envelope,
    reconcile,
    rules,
    sequence,
    shape,
    system,
    unit,
)
from tanqiao.kernel.reasons.model import FAMILY_NAMES, FAMILY_SIZE, Reason, Retry, Severity

__all__ = [
    "CATALOGUE",
    "FAMILY_NAMES",
    "FAMILY_SIZE",
    "REASONS_BY_NUMBER",
    "Reason",
    "Retry",
    "Severity",
    "build_catalogue",
]


def build_catalogue(families: Mapping[int, Iterable[Reason]]) -> Mapping[str, Reason]:
    """Join the families by symbol, in order of number.

    Raises:
        InvariantBroken: a number or symbol is used twice, or a reason lies outside its family.
    """
    catalogue: dict[str, Reason] = {}
    numbers: set[int] = set()
    for family in sorted(families):
        for reason in sorted(families[family], key=lambda entry: entry.number):
            require(reason.family == family, f"{reason.symbol} ({reason.number}) is not of family {family}")
            require(reason.number not in numbers, f"reason number {reason.number} is used twice")
            require(reason.symbol not in catalogue, f"reason symbol {reason.symbol} is used twice")
            numbers.add(reason.number)
            catalogue[reason.symbol] = reason
    return MappingProxyType(catalogue)


CATALOGUE: Final[Mapping[str, Reason]] = build_catalogue(
    {
        1: envelope.REASONS,
        2: shape.REASONS,
        3: sequence.REASONS,
        4: account.REASONS,
        5: unit.REASONS,
        6: rules.REASONS,
        7: claims.REASONS,
        8: reconcile.REASONS,
        9: system.REASONS,
    }
)
REASONS_BY_NUMBER: Final[Mapping[int, Reason]] = MappingProxyType(
    {reason.number: reason for reason in CATALOGUE.values()}
)
