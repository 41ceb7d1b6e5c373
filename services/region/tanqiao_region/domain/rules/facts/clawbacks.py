"""Facts of clawbacks: units found wrongly issued, and those that replace them."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.parties import Subject
from tanqiao_region.domain.rules.facts.units import UnitLot


@dataclass(frozen=True, slots=True, kw_only=True)
class ClawBack(Facts):
    """Units were wrongly issued, and two approvers have said so.

    Args:
        lots: the units.
        debtor: to whom they were issued.
        reason: why.
        document: what it rests on.
        to_replace_kg: what is neither cancelled nor held here.
    """

    lots: tuple[UnitLot, ...]
    debtor: Subject
    reason: str
    document: str
    to_replace_kg: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceClawedUnits(Facts):
    """Units are handed in for those that were wrongly issued.

    Args:
        lots: the units.
        holder: who hands them in.
        programme: of the units that were wrongly issued.
    """

    lots: tuple[UnitLot, ...]
    holder: Subject
    programme: str
