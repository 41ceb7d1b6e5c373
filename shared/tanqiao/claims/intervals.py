"""Which claims to one attribute of one asset collide in time (rules 1 and 4 of the worked cases).

Intervals are half-open: those that touch never collide. Shares collide where, at any moment of the
applicant's interval, they add up to more than the whole; a claim without a part is the whole, different
meters do not meet, and a meter against a share or a whole counts as the whole.
A claim whose grain is the year lies somewhere inside its interval: it collides for certain only with claims
that cover that whole interval, otherwise a person must look; two such claims never collide for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tanqiao.claims.model import SHARE_WHOLE_PPM, Claim, Grain, Part
from tanqiao.claims.moments import Interval

Collisions = tuple[frozenset[str], frozenset[str]]
"""Ids of the claims that collide for certain, and of those that collide only perhaps (disjoint)."""

NO_COLLISIONS: Final[Collisions] = (frozenset(), frozenset())


def share_ppm(part: Part | None) -> int:
    """Give the share that a part takes of its asset: a meter counts as the whole."""
    return SHARE_WHOLE_PPM if part is None or part.share_ppm is None else part.share_ppm


def parts_meet(first: Part | None, second: Part | None) -> bool:
    """Whether two claims to these parts at one moment are too much."""
    if first is None or second is None:
        return True
    if first.meter is not None and second.meter is not None:
        return first.meter == second.meter
    return share_ppm(first) + share_ppm(second) > SHARE_WHOLE_PPM


def meet(first: Claim, second: Claim) -> bool:
    """Whether the intervals of two claims have a moment in common, whatever their grain."""
    return first.interval.meets(second.interval)


def meets_for_certain(first: Claim, second: Claim) -> bool:
    """Whether two claims whose intervals meet do so whatever lies behind a year."""
    first_is_year = first.grain is Grain.YEAR
    second_is_year = second.grain is Grain.YEAR
    if first_is_year and second_is_year:
        return False
    if first_is_year:
        return second.interval.covers(first.interval)
    return not second_is_year or first.interval.covers(second.interval)


def collisions(applicant: Claim, claims: Sequence[Claim]) -> Collisions:
    """Find which of the claims (of the same asset and attribute, all live) collide with the applicant.

    The order of the claims does not matter. A moment at which the shares are too much names all claims that
    are active at it.
    """
    meeting = [claim for claim in claims if meet(applicant, claim)]
    if not meeting:
        return NO_COLLISIONS
    part = applicant.part
    if part is None or part.share_ppm is None:
        return _pairwise(applicant, [claim for claim in meeting if parts_meet(part, claim.part)])
    return _shares(applicant, meeting)


def _pairwise(applicant: Claim, meeting: Sequence[Claim]) -> Collisions:
    """The applicant takes the whole of what it meets: each claim collides by itself."""
    certain = frozenset(claim.claim_id for claim in meeting if meets_for_certain(applicant, claim))
    return certain, frozenset(claim.claim_id for claim in meeting if claim.claim_id not in certain)


def _shares(applicant: Claim, meeting: Sequence[Claim]) -> Collisions:
    fine = [claim for claim in meeting if claim.grain is not Grain.YEAR]
    if applicant.grain is Grain.YEAR:
        certain = _certain_for_year(applicant, applicant.interval, fine)
    else:
        certain = _over_full(applicant, fine)
        for claim in meeting:
            if claim.grain is Grain.YEAR and applicant.interval.covers(claim.interval):
                certain |= _certain_for_year(applicant, claim.interval, [*fine, claim])
    return frozenset(certain), frozenset(_over_full(applicant, meeting) - certain)


def _certain_for_year(applicant: Claim, year: Interval, claims: Sequence[Claim]) -> set[str]:
    """Claims that are too much wherever in its interval the one known by the year lies."""
    covering = [claim for claim in claims if claim.interval.covers(year)]
    total = share_ppm(applicant.part) + sum(share_ppm(claim.part) for claim in covering)
    return {claim.claim_id for claim in covering} if total > SHARE_WHOLE_PPM else set()


def _over_full(applicant: Claim, claims: Sequence[Claim]) -> set[str]:
    """Claims active at a moment of the applicant's interval at which the shares are too much.

    The set of active claims changes only where one starts, so the applicant's start and the starts inside
    its interval are all the moments that need a look.
    """
    start = applicant.interval.start_second
    moments = {
        start,
        *(claim.interval.start_second for claim in claims if claim.interval.start_second > start),
    }
    found: set[str] = set()
    for moment in moments:
        active = [
            claim for claim in claims if claim.interval.start_second <= moment < claim.interval.end_second
        ]
        total = share_ppm(applicant.part) + sum(share_ppm(claim.part) for claim in active)
        if total > SHARE_WHOLE_PPM:
            found.update(claim.claim_id for claim in active)
    return found
