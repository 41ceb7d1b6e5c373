"""A record whose list does not tell what it sells is a matter for a person, not nothing and not a bar."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from tanqiao.claims.engine import judge
from tanqiao.claims.model import (
    Asset,
    AssetRef,
    Attribute,
    Claim,
    ClaimFacts,
    ClaimObject,
    ClaimStatus,
    Evidence,
    Level,
    Programme,
    VerdictKind,
)
from tanqiao.claims.moments import Interval, second_of_date

YEAR = Interval(second_of_date(date(2026, 1, 1)), second_of_date(date(2027, 1, 1)))


def facts(programme: Programme, incumbent: Programme, **changes: object) -> ClaimFacts:
    """An applicant to the power of a plant, and a record on the same plant."""
    applicant = Claim(
        "mine", programme, ClaimObject.PROJECT, "a", Attribute.RE_GEN, YEAR, ClaimStatus.DECLARED,
        evidence=Evidence(no_duplicate_commitment=True),
    )  # fmt: skip
    record = Claim(
        "cdm:1", incumbent, ClaimObject.PROJECT, "b", Attribute.OTHER, YEAR, ClaimStatus.REGISTERED
    )
    record = replace(record, **changes)  # type: ignore[arg-type]
    assets = {name: Asset(name, "pv", (AssetRef("cdm", "1"),)) for name in ("a", "b")}
    return ClaimFacts(applicant, (record,), assets, date(2026, 3, 2))


@pytest.mark.parametrize("programme", [Programme.SZ_PHCER, Programme.SH_SHCER])
@pytest.mark.parametrize("incumbent", [Programme.CDM, Programme.VCS, Programme.GS])
def test_a_record_of_no_known_attribute_is_held(programme: Programme, incumbent: Programme) -> None:
    verdict = judge(facts(programme, incumbent, attribute_known=False))
    assert (verdict.verdict, verdict.level) == (VerdictKind.HOLD, Level.POLICY)
    assert verdict.article == "POLICY-ATTRIBUTE-UNKNOWN"
    assert verdict.colliding_claims == ("cdm:1",)
    known = judge(facts(programme, incumbent))
    assert (known.verdict, known.article) == (VerdictKind.ALLOW, "POLICY-ATTRIBUTE")
    same = judge(facts(programme, incumbent, attribute=Attribute.RE_GEN))
    assert same.verdict is VerdictKind.BLOCK


def test_it_is_held_for_the_sale_of_a_certificate_and_only_shown_to_a_reserve() -> None:
    sale = judge(facts(Programme.GEC, Programme.VCS, attribute_known=False))
    assert (sale.verdict, sale.article) == (VerdictKind.HOLD, "POLICY-ATTRIBUTE-UNKNOWN")
    shown = judge(facts(Programme.YN_RESERVE, Programme.VCS, attribute_known=False))
    assert (shown.verdict, shown.flagged_claims) == (VerdictKind.ALLOW, ("cdm:1",))


def test_one_that_ended_holds_nobody() -> None:
    ended = facts(Programme.SH_SHCER, Programme.CDM, attribute_known=False, status=ClaimStatus.CANCELLED)
    assert judge(ended).verdict is VerdictKind.ALLOW
