"""Parameters of the claim checks: what the texts leave open, as dated configuration (RULES section 13).

A parameter set is part of the facts of a verdict; the bridge keeps the version that it used. The defaults
are those of RULES section 13 and of the worked cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from tanqiao.kernel.errors import require


class Bar(StrEnum):
    """Three positions of a switch on which the text is silent."""

    ALLOW = "allow"
    HOLD = "hold"
    BLOCK = "block"


class CommitmentScope(StrEnum):
    """How far Shanghai's commitment reaches beyond the asset (`sh.commitment.scope`)."""

    ASSET_ONLY = "asset_only"
    ASSET_BLOCK_SUBJECT_HOLD = "asset_block_subject_hold"
    SUBJECT_BLOCK = "subject_block"


@dataclass(frozen=True, slots=True)
class Validity:
    """Half-open interval ``[start, end)`` of legal dates in which a rule holds."""

    start: date
    end: date

    def __post_init__(self) -> None:
        require(self.start < self.end, "a validity ends after it starts")

    def contains(self, day: date) -> bool:
        """Whether the rule holds on the day."""
        return self.start <= day < self.end


COORDINATION_NOTICE_VALIDITY: Final = Validity(date(2024, 10, 1), date(2026, 10, 1))
"""国能综通新能〔2024〕124号: two years from 2024-10-01; no successor is known (DOMAIN section 3.1)."""

EXCLUDED_PROGRAMMES: Final = frozenset({"CCER", "GEC", "GREEN_POWER", "VCS", "GS", "CDM"})
"""`sz.exclusion.excluded_programmes` and `sh.…`; other provinces' units count at interval level."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Values of the parameters, each named by the key of RULES section 13 that it answers.

    Areas are in square metres, distances and depths in millimetres.
    """

    polygon_overlap_tolerance_m2: int = 500
    coordination_notice_valid: Validity = COORDINATION_NOTICE_VALIDITY
    coordination_offshore_distance_over_mm: int = 30_000_000
    coordination_water_depth_over_mm: int = 30_000
    shenzhen_withdrawn_application_bars: Bar = Bar.HOLD
    """`sz.exclusion.withdrawn_application_bars`."""
    shenzhen_automatic_certificate_is_application: Bar = Bar.HOLD
    """`sz.exclusion.automatic_certificate_is_application`; hold = HOLD unless the owner consents."""
    shenzhen_excluded_programmes: frozenset[str] = EXCLUDED_PROGRAMMES
    shanghai_excluded_programmes: frozenset[str] = EXCLUDED_PROGRAMMES
    shanghai_commitment_scope: CommitmentScope = CommitmentScope.ASSET_BLOCK_SUBJECT_HOLD
    """`sh.commitment.scope`."""
    shanghai_ets_exclusion: Bar = Bar.HOLD
    """`sh.ets_exclusion`: hold under the draft, block only under the text in force (RULES section 16)."""
    other_region_at_project_level: bool = False
    """Whether another region's claim bars the asset whatever the period (RULES section 13, inferred)."""


DEFAULT_PARAMETERS: Final = Parameters()
