"""Builders of claims for tests; what is not named does not matter to the test."""

from __future__ import annotations

from datetime import date
from typing import Any

from tanqiao.claims.keys import asset_ref
from tanqiao.claims.model import (
    Action,
    Activity,
    Asset,
    Attribute,
    Claim,
    ClaimFacts,
    ClaimObject,
    ClaimStatus,
    Evidence,
    GecState,
    GecStateName,
    Grain,
    Programme,
    Subject,
)
from tanqiao.claims.moments import Interval

Value = Any
"""A field of a claim; the builders pass it through."""

YEAR = Interval.of_dates(date(2025, 1, 1), date(2026, 1, 1))
MAY = Interval.of_dates(date(2025, 5, 1), date(2025, 6, 1))
DECISION_DAY = date(2026, 3, 12)
ROOF = Asset("a1", "pv_rooftop", (asset_ref("gec_filing_code", "99990000000000001"),))


def a_claim(claim_id: str = "e1", programme: Programme = Programme.SZ_PHCER, **more: Value) -> Claim:
    """An issued claim to the power of the roof."""
    values: dict[str, Any] = {
        "object": ClaimObject.ISSUANCE,
        "asset_id": "a1",
        "attribute": Attribute.RE_GEN,
        "interval": YEAR,
        "status": ClaimStatus.ISSUED,
        "grain": Grain.DAY,
        "subject": Subject("测试", "91440300TQ0020584P"),
    }
    return Claim(claim_id=claim_id, programme=programme, **(values | more))


def an_applicant(programme: Programme = Programme.SZ_PHCER, **more: Value) -> Claim:
    """The applicant, about to issue, with its commitment."""
    values: dict[str, Any] = {
        "status": ClaimStatus.NOTICE,
        "action": Action.ISSUE,
        "subject": Subject("测试", "91440300TQ00300377"),
        "evidence": Evidence(no_duplicate_commitment=True),
    }
    return a_claim("n1", programme, **(values | more))


def a_certificate(claim_id: str = "e1", state: GecStateName = GecStateName.ISSUED, **more: Value) -> Claim:
    """A tradable batch of 40 certificates of May."""
    gec = GecState(state, tradable=more.pop("tradable", True), frozen_for=more.pop("frozen_for", None))
    values: dict[str, Any] = {
        "object": ClaimObject.CERTIFICATE,
        "interval": MAY,
        "grain": Grain.MONTH,
        "activity": Activity(40, "MWh"),
        "gec": gec,
    }
    return a_claim(claim_id, Programme.GEC, **(values | more))


def facts(applicant: Claim, *existing: Claim, **more: Value) -> ClaimFacts:
    """Facts of one decision on the roof."""
    values: dict[str, Any] = {"assets": {"a1": ROOF}, "decided_on": DECISION_DAY}
    return ClaimFacts(applicant, tuple(existing), **(values | more))
