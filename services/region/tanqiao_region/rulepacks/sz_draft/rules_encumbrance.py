"""Encumbered units stay where they are (task 16 of the plan: pledge of carbon assets)."""

from __future__ import annotations

from tanqiao_region.domain.rules import DatedParameters, Outcomes, rule
from tanqiao_region.domain.rules.checks import encumbered
from tanqiao_region.domain.rules.facts import Cancel, Encumber, Retire, TransferLocal, TransferOut


@rule("SP-16", article="16", mark="SHOULD")
def encumbered_units_stay(
    facts: TransferLocal | TransferOut | Retire | Cancel | Encumber, _parameters: DatedParameters
) -> Outcomes:
    """Units in which a creditor has a right are neither moved, used, cancelled nor encumbered again."""
    return encumbered(facts.lots)
