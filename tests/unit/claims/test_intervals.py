from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from tanqiao.claims.intervals import collisions, parts_meet
from tanqiao.claims.model import SHARE_WHOLE_PPM, Claim, Grain, Part
from tanqiao.claims.moments import SECONDS_OF_A_DAY, Interval, second_of_date
from tests.unit.claims.builders import a_claim, an_applicant

START = second_of_date(date(2025, 1, 1))


def days(first: int, after: int) -> Interval:
    return Interval(START + first * SECONDS_OF_A_DAY, START + after * SECONDS_OF_A_DAY)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    first = draw(st.integers(0, 30))
    return days(first, first + draw(st.integers(1, 20)))


parts = st.one_of(
    st.none(),
    st.builds(Part, share_ppm=st.integers(1, SHARE_WHOLE_PPM)),
    st.builds(lambda share: Part(share_ppm=share), st.sampled_from([250_000, 333_333, 333_334, 500_000])),
    st.builds(lambda meter: Part(meter=meter), st.sampled_from(["M1", "M2"])),
)
grains = st.sampled_from([Grain.DAY, Grain.MONTH, Grain.YEAR])


@st.composite
def existing_claims(draw: st.DrawFn) -> list[Claim]:
    shapes = draw(st.lists(st.tuples(intervals(), parts, grains), max_size=6))
    return [
        a_claim(f"e{index}", interval=interval, part=part, grain=grain)
        for index, (interval, part, grain) in enumerate(shapes)
    ]


applicants = st.builds(
    lambda interval, part, grain: an_applicant(interval=interval, part=part, grain=grain),
    intervals(),
    parts,
    grains,
)


@given(applicants, existing_claims())
def test_only_claims_that_meet_in_time_and_part_collide(applicant: Claim, claims: list[Claim]) -> None:
    certain, perhaps = collisions(applicant, claims)
    assert certain.isdisjoint(perhaps)
    for claim in claims:
        if claim.claim_id in certain | perhaps:
            assert claim.interval.meets(applicant.interval)


@given(applicants, existing_claims(), st.randoms(use_true_random=False))
def test_the_order_of_the_claims_does_not_matter(
    applicant: Claim, claims: list[Claim], random: object
) -> None:
    shuffled = list(claims)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert collisions(applicant, claims) == collisions(applicant, shuffled)


@given(applicants, existing_claims(), st.integers(0, 5))
def test_one_claim_more_never_makes_a_collision_go_away(
    applicant: Claim, claims: list[Claim], left_out: int
) -> None:
    fewer = [claim for claim in claims if claim.claim_id != f"e{left_out}"]
    certain_before, perhaps_before = collisions(applicant, fewer)
    certain, perhaps = collisions(applicant, claims)
    assert certain_before <= certain
    assert perhaps_before <= certain | perhaps


@given(intervals(), st.integers(1, 20), st.integers(1, 20), parts, parts, grains, grains)
def test_touching_intervals_never_collide(
    interval: Interval,
    before: int,
    after: int,
    part: Part | None,
    other_part: Part | None,
    grain: Grain,
    other_grain: Grain,
) -> None:
    applicant = an_applicant(interval=interval, part=part, grain=grain)
    earlier = Interval(interval.start_second - before, interval.start_second)
    later = Interval(interval.end_second, interval.end_second + after)
    claims = [
        a_claim("e1", interval=earlier, part=other_part, grain=other_grain),
        a_claim("e2", interval=later, part=other_part, grain=other_grain),
    ]
    assert collisions(applicant, claims) == (frozenset(), frozenset())


def reference_over_full_days(applicant: Claim, claims: list[Claim]) -> set[str]:
    """Day by day, for claims of shares that are known by the day."""
    found: set[str] = set()
    for day in range(60):
        moment = START + day * SECONDS_OF_A_DAY
        active = [
            claim for claim in claims if claim.interval.start_second <= moment < claim.interval.end_second
        ]
        if not applicant.interval.start_second <= moment < applicant.interval.end_second:
            continue
        shares = [claim.part.share_ppm or 0 for claim in (applicant, *active) if claim.part is not None]
        if sum(shares) > SHARE_WHOLE_PPM:
            found |= {claim.claim_id for claim in active}
    return found


shares = st.builds(lambda share: Part(share_ppm=share), st.integers(1, SHARE_WHOLE_PPM))


@given(intervals(), shares, st.lists(st.tuples(intervals(), shares), max_size=6))
def test_shares_collide_on_exactly_the_days_on_which_they_are_too_much(
    interval: Interval, part: Part, shapes: list[tuple[Interval, Part]]
) -> None:
    applicant = an_applicant(interval=interval, part=part)
    claims = [a_claim(f"e{index}", interval=where, part=share) for index, (where, share) in enumerate(shapes)]
    certain, perhaps = collisions(applicant, claims)
    assert certain == reference_over_full_days(applicant, claims)
    assert perhaps == frozenset()


def test_a_meter_counts_as_the_whole_against_a_share_and_against_the_whole() -> None:
    meter, share = Part(meter="M1"), Part(share_ppm=1)
    assert parts_meet(meter, share)
    assert parts_meet(share, meter)
    assert parts_meet(meter, None)
    assert parts_meet(None, meter)
    assert parts_meet(meter, meter)
    assert not parts_meet(meter, Part(meter="M2"))


def test_two_halves_are_the_whole_and_one_ppm_more_is_too_much() -> None:
    half = Part(share_ppm=500_000)
    assert not parts_meet(half, half)
    assert parts_meet(half, Part(share_ppm=500_001))


def test_a_year_collides_for_certain_with_shares_that_are_too_much_all_the_year() -> None:
    year = days(0, 365)
    share = Part(share_ppm=400_000)
    applicant = an_applicant(interval=days(0, 400), part=share)
    known_by_year = a_claim("e1", interval=year, part=share, grain=Grain.YEAR)
    all_year = a_claim("e2", interval=days(0, 365), part=share)
    half_year = a_claim("e2", interval=days(0, 180), part=share)
    assert collisions(applicant, [known_by_year, all_year]) == (frozenset({"e1", "e2"}), frozenset())
    assert collisions(applicant, [known_by_year, half_year]) == (frozenset(), frozenset({"e1", "e2"}))
