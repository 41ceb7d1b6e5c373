"""Encumbered units stay where they are; finance itself is no business of the registry."""

from __future__ import annotations

from tanqiao_region.domain.rules import DatedParameters, Outcomes, rule
from tanqiao_region.domain.rules.checks import encumbered
from tanqiao_region.domain.rules.facts import Cancel, Encumber, Retire, TransferLocal, TransferOut


@rule("POLICY-encumbrance", article="节点政策：设质须双方解除 node policy: both sides release", mark="POLICY")
def encumbered_units_stay(
    facts: TransferLocal | TransferOut | Retire | Cancel | Encumber, _parameters: DatedParameters
) -> Outcomes:
    """Units in which a creditor has a right are neither moved, used, cancelled nor encumbered again."""
    return encumbered(facts.lots)
