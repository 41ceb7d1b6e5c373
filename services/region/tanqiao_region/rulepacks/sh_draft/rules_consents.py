"""Consents of users: the draft has no article, the law on personal information has."""

from __future__ import annotations

from tanqiao_region.domain.rules import DatedParameters, Outcomes, refuse, rule
from tanqiao_region.domain.rules.facts import SubmitActivityData


@rule(
    "POLICY-consent",
    article="节点政策：个人信息保护法第十五条 node policy: Personal Information Protection Law Art. 15",
    mark="POLICY",
)
def data_after_a_withdrawal(facts: SubmitActivityData, _parameters: DatedParameters) -> Outcomes:
    """What a user has taken back is neither handed in nor used any more."""
    return refuse("CONSENT_MISSING", n=facts.lines_withdrawn) if facts.lines_withdrawn else None
