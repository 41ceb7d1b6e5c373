"""Who goes first between two pending claims (bridge policy; rule 14 of the worked cases).

Applies only while both are DECLARED and belong to CCER or a region: national before provincial before
municipal, then the earlier signed bridge time, then the lower claim id.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from tanqiao.claims.model import Claim, ClaimStatus, Programme

_NATIONAL: Final = 0
_PROVINCIAL: Final = 1
_MUNICIPAL: Final = 2
_DISTRICT: Final = 3

_HOME: Final[Mapping[Programme, str]] = MappingProxyType(
    {Programme.SZ_PHCER: "440300", Programme.SH_SHCER: "310000", Programme.YN_RESERVE: "530000"}
)
"""Division (GB/T 2260) of a programme, for a claim that does not name its region."""


class Precedence(Enum):
    """Outcome for the applicant."""

    NOT_APPLICABLE = "not_applicable"
    APPLICANT_FIRST = "applicant_first"
    INCUMBENT_FIRST = "incumbent_first"


def precedence(applicant: Claim, incumbent: Claim) -> Precedence:
    """Tell who goes first; an incumbent without a signed bridge time is not proved to be later."""
    if applicant.status is not ClaimStatus.DECLARED or incumbent.status is not ClaimStatus.DECLARED:
        return Precedence.NOT_APPLICABLE
    applicant_rank, incumbent_rank = _rank(applicant), _rank(incumbent)
    if applicant_rank is None or incumbent_rank is None:
        return Precedence.NOT_APPLICABLE
    if applicant_rank != incumbent_rank:
        first = applicant_rank < incumbent_rank
    elif applicant.declared_microsecond != incumbent.declared_microsecond:
        first = _earlier(applicant.declared_microsecond, incumbent.declared_microsecond)
    else:
        first = applicant.claim_id < incumbent.claim_id
    return Precedence.APPLICANT_FIRST if first else Precedence.INCUMBENT_FIRST


def _earlier(applicant_microsecond: int | None, incumbent_microsecond: int | None) -> bool:
    if applicant_microsecond is None or incumbent_microsecond is None:
        return False
    return applicant_microsecond < incumbent_microsecond


def _rank(claim: Claim) -> int | None:
    """Level of the authority behind a claim, or None for a programme that is no authority's."""
    programme = claim.programme
    if programme is Programme.CCER:
        return _NATIONAL
    if programme is not Programme.REGIONAL and programme not in _HOME:
        return None
    region = claim.region_code or _HOME.get(programme, "")
    if region.endswith("0000"):
        return _PROVINCIAL
    return _MUNICIPAL if region.endswith("00") else _DISTRICT
