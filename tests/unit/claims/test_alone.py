"""A claim that meets nothing: what is kept for its programme is what the engine would say of it."""

from __future__ import annotations

from datetime import date
from itertools import cycle, product

import pytest

from tanqiao.claims.engine import ALONE_PROGRAMMES, judge, judge_alone
from tanqiao.claims.model import (
    Action,
    Activity,
    Asset,
    AssetRef,
    Attribute,
    Claim,
    ClaimFacts,
    ClaimObject,
    ClaimStatus,
    Evidence,
    Grain,
    Part,
    Programme,
    Registry,
    RegistryAnswers,
    Subject,
)
from tanqiao.claims.moments import Interval

SILENCES = ((), (Registry.CCER,), tuple(Registry))
DAYS = (date(2026, 3, 1), date(2026, 12, 1))


def test_programmes_that_look_at_a_meter_or_at_their_own_state_are_none_of_them() -> None:
    assert not ALONE_PROGRAMMES & {Programme.CCER, Programme.GEC, Programme.GREEN_POWER}


@pytest.mark.parametrize("programme", sorted(ALONE_PROGRAMMES))
@pytest.mark.parametrize("day", DAYS)
def test_what_is_kept_is_what_the_engine_says(programme: Programme, day: date) -> None:
    shapes = cycle(product(ClaimObject, Attribute, Action))
    papers = product((None, True, False), (None, True), (None, True, False), SILENCES, range(7))
    for number, (commitment, consent, covered, silent, _) in enumerate(papers):
        kind, attribute, action = next(shapes)
        plant = Asset("plant", "pv", (AssetRef("gec_filing_code", "X"),), ets_covered=covered)
        claim = Claim(
            f"claim:{number}",
            programme,
            kind,
            "plant",
            attribute,
            Interval(0, 86_400 * (1 + number)),
            (ClaimStatus.DECLARED, ClaimStatus.NOTICE, ClaimStatus.REGISTERED)[number % 3],
            grain=(Grain.DAY, Grain.YEAR)[number % 2],
            region_code="310000",
            project="P-1",
            subject=Subject("虚构", "91110000600037341L"),
            part=(None, Part(share_ppm=500_000))[number % 2],
            activity=(None, Activity(5, "MWh"))[number % 2],
            action=action,
            evidence=Evidence(commitment, consent),
        )
        heard = RegistryAnswers(frozenset(Registry).difference(silent))
        facts = ClaimFacts(claim, (), {"plant": plant}, day, registry_answers=heard)
        kept = judge_alone(programme, claim.evidence, ets_covered=covered, silent=silent, decided_on=day)
        assert judge(facts) == kept, claim
