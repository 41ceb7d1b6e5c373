from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.claims.articles import ARTICLES
from tanqiao.claims.engine import COMMITMENT_MISSING, judge
from tanqiao.claims.keys import asset_ref
from tanqiao.claims.matrix import EDITIONS, edition_in_force
from tanqiao.claims.model import (
    STRICTNESS,
    Action,
    Asset,
    AssetLink,
    Attribute,
    Claim,
    ClaimFacts,
    ClaimObject,
    ClaimStatus,
    Evidence,
    GecState,
    GecStateName,
    Grain,
    Level,
    LinkRelation,
    Part,
    PolygonOverlap,
    Programme,
    Registry,
    RegistryAnswers,
    Subject,
    Verdict,
    VerdictKind,
)
from tanqiao.claims.parameters import Bar, CommitmentScope, Parameters, Validity
from tanqiao.kernel.errors import InvariantBroken
from tests.unit.claims.builders import MAY, ROOF, YEAR, a_certificate, a_claim, an_applicant, facts

OTHER_ROOF = Asset("a2", "pv_rooftop", (asset_ref("gec_filing_code", "99990000000000002"),))
UNLINKED = Asset("a3", "pv_rooftop", (asset_ref("vcs", "VCS9"),))
ASSETS = {asset.asset_id: asset for asset in (ROOF, OTHER_ROOF, UNLINKED)}

programmes = st.sampled_from([programme for programme in Programme if programme is not Programme.GEC])
statuses = st.sampled_from(list(ClaimStatus))
states = st.builds(GecState, st.sampled_from(list(GecStateName)), st.booleans(), st.none(), st.none())
parts = st.sampled_from(
    [None, Part(share_ppm=500_000), Part(share_ppm=1), Part(meter="M1"), Part(meter="M2")]
)


@st.composite
def claims(draw: st.DrawFn, claim_id: str) -> Claim:
    return a_claim(
        claim_id,
        draw(st.sampled_from(list(Programme))),
        asset_id=draw(st.sampled_from(sorted(ASSETS))),
        attribute=draw(st.sampled_from([Attribute.RE_GEN, Attribute.RE_GEN, Attribute.ELEC_SAVING])),
        interval=draw(st.sampled_from([YEAR, MAY])),
        status=draw(statuses),
        grain=draw(st.sampled_from([Grain.DAY, Grain.YEAR])),
        part=draw(parts),
        project=draw(st.sampled_from([None, "P1", "P2"])),
        object=draw(st.sampled_from(list(ClaimObject))),
        declared_microsecond=draw(st.sampled_from([None, 1, 2])),
        gec=draw(states),
    )


@st.composite
def any_facts(draw: st.DrawFn) -> ClaimFacts:
    applicant = replace(
        draw(claims("n1")),
        asset_id="a1",
        evidence=Evidence(draw(st.sampled_from([True, True, None])), draw(st.booleans())),
    )
    existing = tuple(draw(claims(f"e{index}")) for index in range(draw(st.integers(0, 5))))
    silent = draw(st.sampled_from([frozenset(Registry), frozenset(Registry) - {Registry.GS}]))
    links = draw(
        st.sampled_from(
            [
                (),
                (AssetLink("a1", "a3", LinkRelation.CANDIDATE),),
                (AssetLink("a1", "a3", LinkRelation.SAME),),
            ]
        )
    )
    return ClaimFacts(
        applicant,
        existing,
        ASSETS,
        draw(st.sampled_from([date(2026, 3, 12), date(2026, 10, 1)])),
        RegistryAnswers(silent),
        links,
    )


def essence(verdict: Verdict) -> tuple[object, ...]:
    return (
        verdict.verdict,
        verdict.level,
        verdict.article,
        frozenset(verdict.also_cited),
        frozenset(verdict.colliding_claims),
        frozenset(verdict.flagged_claims),
    )


@given(any_facts(), st.randoms(use_true_random=False))
def test_the_order_of_existing_claims_does_not_change_the_verdict(
    given_facts: ClaimFacts, random: object
) -> None:
    shuffled = list(given_facts.existing_claims)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = judge(replace(given_facts, existing_claims=tuple(shuffled)))
    assert essence(again) == essence(judge(given_facts))


@given(any_facts())
def test_the_verdict_is_the_strictest_finding_and_names_every_claim_that_bites(
    given_facts: ClaimFacts,
) -> None:
    verdict = judge(given_facts)
    biting = [finding for finding in verdict.findings if finding.verdict is not VerdictKind.ALLOW]
    strictest = max((STRICTNESS[finding.verdict] for finding in biting), default=0)
    assert STRICTNESS[verdict.verdict] == strictest
    named = {claim_id for finding in biting for claim_id in finding.claim_ids}
    assert set(verdict.colliding_claims) == named
    assert named.isdisjoint(verdict.flagged_claims)
    assert (verdict.level is None) == (verdict.verdict is VerdictKind.ALLOW)
    assert verdict.article in ARTICLES
    assert set(verdict.also_cited) <= set(ARTICLES)
    assert verdict.article not in verdict.also_cited


@given(any_facts())
def test_orders_are_given_with_freeze_and_split_only(given_facts: ClaimFacts) -> None:
    verdict = judge(given_facts)
    if verdict.verdict not in (VerdictKind.FREEZE_OTHER, VerdictKind.SPLIT):
        assert verdict.other_registry_orders == ()
        assert verdict.allowed is None
    assert {order.claim_id for order in verdict.other_registry_orders} <= set(verdict.colliding_claims)


@given(any_facts())
def test_silence_is_never_allowed_and_never_softens(given_facts: ClaimFacts) -> None:
    heard = judge(replace(given_facts, registry_answers=RegistryAnswers.all_answered()))
    unheard = judge(replace(given_facts, registry_answers=RegistryAnswers(frozenset())))
    assert unheard.verdict in (VerdictKind.HOLD, VerdictKind.BLOCK)
    assert STRICTNESS[unheard.verdict] >= STRICTNESS[heard.verdict]


@given(any_facts())
def test_a_nomination_never_blocks_by_itself(given_facts: ClaimFacts) -> None:
    nominated = replace(
        given_facts,
        existing_claims=tuple(replace(claim, asset_id="a3") for claim in given_facts.existing_claims),
        asset_links=(AssetLink("a3", "a1", LinkRelation.CANDIDATE),),
        applicant=replace(given_facts.applicant, programme=Programme.SZ_PHCER),
    )
    assert judge(nominated).verdict is not VerdictKind.BLOCK


@given(any_facts())
def test_the_own_row_in_the_index_is_not_held_against_the_applicant(given_facts: ClaimFacts) -> None:
    own = replace(given_facts.applicant, status=ClaimStatus.DECLARED)
    with_own = replace(given_facts, existing_claims=(own, *given_facts.existing_claims))
    assert essence(judge(with_own)) == essence(judge(given_facts))


@given(any_facts())
def test_the_reserve_is_never_blocked(given_facts: ClaimFacts) -> None:
    applicant = replace(given_facts.applicant, programme=Programme.YN_RESERVE)
    verdict = judge(replace(given_facts, applicant=applicant))
    assert verdict.verdict in (VerdictKind.ALLOW, VerdictKind.HOLD)


@given(any_facts())
def test_another_claim_never_makes_a_regional_verdict_softer(given_facts: ClaimFacts) -> None:
    applicant = replace(given_facts.applicant, programme=Programme.SH_SHCER)
    whole = replace(given_facts, applicant=applicant)
    fewer = replace(whole, existing_claims=given_facts.existing_claims[:-1])
    frozen = any(
        claim.gec is not None and claim.gec.state in (GecStateName.FROZEN, GecStateName.CANCELLED)
        for claim in given_facts.existing_claims
    )
    if not frozen:
        assert STRICTNESS[judge(whole).verdict] >= STRICTNESS[judge(fewer).verdict]


def test_every_finding_has_a_sentence_in_both_languages_that_names_its_article() -> None:
    verdict = judge(facts(an_applicant(), a_claim("e1", Programme.VCS)))
    (finding,) = verdict.findings
    assert finding.sentence_zh == (
        "项目层面冲突，不予通过：e1。（深圳市碳普惠管理办法（送审稿）第二十二条："
        "已在其他自愿减排机制、绿电或绿证中申报的项目，不再签发）"
    )
    assert finding.sentence_en == (
        "Collides at the project: e1. (Shenzhen carbon-inclusion measures (draft for review), Art. 22: "
        "a project applied for elsewhere gets no second issuance)"
    )


def test_a_verdict_names_the_overlap_of_each_colliding_claim_and_the_matrix() -> None:
    verdict = judge(facts(an_applicant(), a_claim("e1", interval=MAY)))
    (overlap,) = verdict.overlaps
    assert overlap.claim_id == "e1"
    assert overlap.interval == MAY
    assert verdict.matrix_version == EDITIONS[-1].version


def test_a_collision_at_project_level_may_have_no_overlap_in_time() -> None:
    verdict = judge(facts(an_applicant(interval=MAY), a_claim("e1", Programme.VCS, interval=MAY)))
    assert verdict.overlaps[0].interval == MAY
    earlier = replace(MAY, start_second=MAY.start_second - 10, end_second=MAY.start_second)
    verdict = judge(facts(an_applicant(interval=MAY), a_claim("e1", Programme.VCS, interval=earlier)))
    assert verdict.verdict is VerdictKind.BLOCK
    assert verdict.overlaps[0].interval is None


def test_an_overlap_of_polygons_carries_its_area() -> None:
    forest = Asset("a3", "forest", ())
    new = an_applicant(asset_id="a1", attribute=Attribute.CARBON_STOCK)
    old = a_claim("e1", Programme.VCS, asset_id="a3", attribute=Attribute.CARBON_STOCK)
    verdict = judge(
        facts(
            new, old, assets={"a1": ROOF, "a3": forest}, polygon_overlaps=(PolygonOverlap("a3", "a1", 501),)
        )
    )
    assert verdict.verdict is VerdictKind.BLOCK
    assert verdict.overlaps[0].area_m2 == 501


def test_the_tolerance_itself_is_no_conflict() -> None:
    forest = Asset("a3", "forest", ())
    verdict = judge(
        facts(
            an_applicant(),
            a_claim("e1", Programme.VCS, asset_id="a3"),
            assets={"a1": ROOF, "a3": forest},
            polygon_overlaps=(PolygonOverlap("a1", "a3", 500),),
        )
    )
    assert (verdict.verdict, verdict.article) == (VerdictKind.ALLOW, "POLICY-GEOMETRY")


def test_shanghai_without_a_commitment_is_refused_before_any_claim_is_compared() -> None:
    new = an_applicant(Programme.SH_SHCER, evidence=Evidence())
    verdict = judge(facts(new, a_claim("e1", Programme.VCS)))
    assert verdict.refusal == COMMITMENT_MISSING
    assert verdict.colliding_claims == ()
    assert (verdict.verdict, verdict.level) == (VerdictKind.BLOCK, Level.SUBJECT)


def test_a_claim_on_an_unknown_asset_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken):
        judge(facts(an_applicant(), a_claim("e1", asset_id="a9")))


@pytest.mark.parametrize(
    ("bar", "expected"),
    [(Bar.ALLOW, VerdictKind.ALLOW), (Bar.HOLD, VerdictKind.HOLD), (Bar.BLOCK, VerdictKind.BLOCK)],
)
def test_whether_a_withdrawn_application_bars_is_a_parameter(bar: Bar, expected: VerdictKind) -> None:
    parameters = Parameters(shenzhen_withdrawn_application_bars=bar)
    old = a_claim("e1", Programme.CCER, status=ClaimStatus.WITHDRAWN)
    assert judge(facts(an_applicant(), old, parameters=parameters)).verdict is expected


@pytest.mark.parametrize(
    ("bar", "consent", "expected"),
    [
        (Bar.ALLOW, False, VerdictKind.ALLOW),
        (Bar.HOLD, False, VerdictKind.HOLD),
        (Bar.HOLD, True, VerdictKind.FREEZE_OTHER),
        (Bar.BLOCK, True, VerdictKind.BLOCK),
    ],
)
def test_whether_an_automatic_certificate_is_an_application_is_a_parameter(
    bar: Bar, consent: bool, expected: VerdictKind
) -> None:
    parameters = Parameters(shenzhen_automatic_certificate_is_application=bar)
    new = an_applicant(evidence=Evidence(gec_freeze_consent=consent))
    assert judge(facts(new, a_certificate(), parameters=parameters)).verdict is expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (CommitmentScope.ASSET_ONLY, VerdictKind.ALLOW),
        (CommitmentScope.ASSET_BLOCK_SUBJECT_HOLD, VerdictKind.HOLD),
        (CommitmentScope.SUBJECT_BLOCK, VerdictKind.BLOCK),
    ],
)
def test_how_far_the_commitment_reaches_is_a_parameter(scope: CommitmentScope, expected: VerdictKind) -> None:
    new = an_applicant(Programme.SH_SHCER)
    old = a_claim("e1", Programme.VCS, asset_id="a2", subject=new.subject)
    parameters = Parameters(shanghai_commitment_scope=scope)
    assert judge(facts(new, old, assets=ASSETS, parameters=parameters)).verdict is expected


@pytest.mark.parametrize(
    ("bar", "expected"),
    [(Bar.ALLOW, VerdictKind.ALLOW), (Bar.HOLD, VerdictKind.HOLD), (Bar.BLOCK, VerdictKind.BLOCK)],
)
def test_shanghais_exclusion_of_covered_sites_is_a_parameter(bar: Bar, expected: VerdictKind) -> None:
    site = replace(ROOF, ets_covered=True)
    parameters = Parameters(shanghai_ets_exclusion=bar)
    verdict = judge(facts(an_applicant(Programme.SH_SHCER), assets={"a1": site}, parameters=parameters))
    assert verdict.verdict is expected


@pytest.mark.parametrize("programme", [Programme.SZ_PHCER, Programme.SH_SHCER])
def test_a_programme_may_be_taken_off_the_excluded_ones(programme: Programme) -> None:
    without = frozenset({"CCER", "GEC"})
    parameters = Parameters(shenzhen_excluded_programmes=without, shanghai_excluded_programmes=without)
    new, old = an_applicant(programme), a_claim("e1", Programme.VCS)
    assert judge(facts(new, old, parameters=parameters)).verdict is VerdictKind.ALLOW
    assert judge(facts(new, old)).verdict is VerdictKind.BLOCK


def test_another_regions_claim_may_be_widened_to_the_project() -> None:
    earlier = replace(MAY, start_second=MAY.start_second - 10, end_second=MAY.start_second)
    new, old = an_applicant(interval=MAY), a_claim("e1", Programme.SH_SHCER, interval=earlier)
    parameters = Parameters(other_region_at_project_level=True)
    widened = judge(facts(new, old, parameters=parameters))
    assert (widened.verdict, widened.level, widened.article) == (VerdictKind.BLOCK, Level.PROJECT, "SZ-22")
    assert judge(facts(new, old)).verdict is VerdictKind.ALLOW


def test_a_successor_of_the_notice_is_loaded_as_a_parameter() -> None:
    solar = replace(ROOF, kind="csp")
    new = an_applicant(Programme.CCER, object=ClaimObject.PROJECT, project="P1", action=Action.REGISTER)
    later = date(2027, 1, 1)
    loaded = Parameters(coordination_notice_valid=Validity(date(2024, 10, 1), date(2028, 10, 1)))
    without = facts(new, assets={"a1": solar}, decided_on=later)
    assert judge(without).article == "N124-END"
    assert judge(replace(without, parameters=loaded)).verdict is VerdictKind.ALLOW


def test_the_first_edition_reaches_back_without_end() -> None:
    assert edition_in_force(date(1999, 1, 1)) is EDITIONS[0]
    assert edition_in_force(date(2026, 11, 21)) is EDITIONS[-1]


def test_two_persons_without_credit_codes_are_not_one_subject() -> None:
    nobody = Subject("", None)
    new = an_applicant(Programme.SH_SHCER, subject=nobody)
    old = a_claim("e1", Programme.VCS, asset_id="a2", subject=nobody)
    assert judge(facts(new, old, assets=ASSETS)).verdict is VerdictKind.ALLOW
