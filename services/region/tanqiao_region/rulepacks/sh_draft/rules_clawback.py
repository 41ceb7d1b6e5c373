"""Units that were wrongly issued: the draft is silent, and the node cites its policy (RULES section 15)."""

from __future__ import annotations

from tanqiao_region.domain.rules import DatedParameters, Outcomes, refuse, rule
from tanqiao_region.domain.rules.checks import encumbered, ranges
from tanqiao_region.domain.rules.facts import ClawBack, ReplaceClawedUnits


@rule(
    "POLICY-clawback",
    article="节点政策：错误签发须追回 node policy: wrong issuance is clawed back",
    mark="POLICY",
)
def clawed_back_within_a_term(facts: ClawBack, parameters: DatedParameters) -> Outcomes:
    """A clawback has a reason and a document; where units must be replaced, the term must be published."""
    if not facts.reason.strip() or not facts.document.strip():
        return refuse("REASON_REQUIRED")
    if facts.to_replace_kg:
        parameters.integer("sh.clawback_term_working_days")
    return None


@rule(
    "POLICY-replacement", article="节点政策：以等量补足 node policy: replaced by as many units", mark="POLICY"
)
def replaced_by_own_units(facts: ReplaceClawedUnits, _parameters: DatedParameters) -> Outcomes:
    """Only free units of the same programme and region stand in for those that were wrongly issued."""
    kind = (facts.programme, facts.node_region)
    other = [lot for lot in facts.lots if (lot.programme, lot.origin_region) != kind]
    bound = encumbered(facts.lots)
    found = [] if bound is None else [bound]
    if other:
        region = other[0].origin_region
        found.append(refuse("FOREIGN_UNIT_STAYS_FOREIGN", region=region, ranges=ranges(other)))
    return tuple(found)
