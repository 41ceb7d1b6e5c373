"""Distributed photovoltaics: ER = EG * EF, for plants up to the capacity that the methodology allows.

EG is all electricity generated, on-grid and self-used. Source of the form, of the limit of 1 MW and of
0.42 t/MWh in one city: DOMAIN sections 6.2 and 7 (沪环气〔2022〕34号).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from tanqiao.kernel.errors import DomainError
from tanqiao_region.domain.quantification.base import (
    FACTOR_SCALE,
    EvidenceLine,
    Parameters,
    Result,
    check_apart,
    check_count,
    settle,
)

HOURS_PER_DAY: Final = 24
WATTS_PER_KW: Final = 1_000


class PvReading(NamedTuple):
    """Generation of one meter over whole days.

    Args:
        meter: number of the meter or generation account.
        start: first day.
        end: day after the last day.
        on_grid_wh: electricity fed into the grid, watt-hours.
        self_use_wh: electricity used on the site, watt-hours.
    """

    meter: str
    start: date
    end: date
    on_grid_wh: int
    self_use_wh: int


class DistributedPv:
    """Generation times the factor of the methodology version; site fact ``capacity_w`` is needed."""

    name: Final = "distributed_pv"
    activity_unit: Final = "Wh"
    factors_needed: Final = frozenset({"emission_factor_kg_per_kwh"})

    def quantify(self, records: Sequence[PvReading], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction; see `tanqiao_region.domain.quantification.base.PlugIn`.

        A plant above ``capacity_max_kw`` is outside the methodology; a reading above what the capacity can
        give in its hours is impossible. Readings of one meter may not overlap.
        """
        factor = parameters.factor("emission_factor_kg_per_kwh")
        capacity_w = self._capacity_w(parameters)
        check_count(records)
        check_apart(((reading.meter, reading.start, reading.end) for reading in records), "PvReading")
        lines: list[EvidenceLine] = []
        activity_wh = 0
        for meter, start, end, on_grid_wh, self_use_wh in records:
            generated_wh = on_grid_wh + self_use_wh
            if on_grid_wh < 0 or self_use_wh < 0:
                raise DomainError("FIELD_INVALID", field="on_grid_wh/self_use_wh", detail=f"{meter} {start}")
            if generated_wh > capacity_w * HOURS_PER_DAY * (end - start).days:
                detail = f"{meter} {start}: {generated_wh} Wh > {capacity_w} W"
                raise DomainError("FIELD_INVALID", field="on_grid_wh+self_use_wh", detail=detail)
            activity_wh += generated_wh
            lines.append(
                EvidenceLine(f"{meter} {start}/{end}", generated_wh, generated_wh * factor // FACTOR_SCALE)
            )
        return settle(
            self,
            parameters,
            carried_in,
            exact=activity_wh * factor,
            scale=FACTOR_SCALE,
            activity=activity_wh,
            lines=lines,
        )

    @staticmethod
    def _capacity_w(parameters: Parameters) -> int:
        capacity_w = parameters.known_site("capacity_w")
        if capacity_w <= 0:
            raise DomainError("FIELD_INVALID", field="capacity_w", detail=capacity_w)
        if "capacity_max_kw" in parameters.factors:
            limit_w = parameters.factors["capacity_max_kw"] * WATTS_PER_KW // FACTOR_SCALE
            if capacity_w > limit_w:
                shown = f"装机容量 capacity {capacity_w} W > {limit_w} W"
                raise DomainError("ASSESSMENT_NOT_PASSED", reasons=shown)
        return capacity_w
