"""Destruction of coal-mine methane: ER = CH4 destroyed * GWP + displaced power * EF - PE.

Scope: gas with less than eight per cent CH4; reductions count only while the data link to the national
system stands (DOMAIN sections 2.5 and 7). Destroying methane and displacing power are two attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tanqiao.kernel.errors import DomainError
from tanqiao_region.domain.quantification.base import (
    FACTOR_SCALE,
    EvidenceLine,
    Parameters,
    Result,
    check_count,
    check_unique,
    settle,
)

PPM_WHOLE: Final = 1_000_000


class MethaneReading(NamedTuple):
    """One metering interval of an emission point.

    Args:
        reference: point and interval.
        destroyed_g: CH4 destroyed, grams.
        concentration_ppm: CH4 in the gas by volume, parts per million.
        displaced_wh: electricity displaced, watt-hours.
        project_emissions_g: emissions of the project itself, grams of CO2e.
        networked: whether the data link to the national system stood.
    """

    reference: str
    destroyed_g: int
    concentration_ppm: int
    displaced_wh: int
    project_emissions_g: int
    networked: bool


class MethaneDestruction:
    """Methane times its warming potential, plus displaced power, less project emissions."""

    name: Final = "methane_destruction"
    activity_unit: Final = "g"
    factors_needed: Final = frozenset(
        {"warming_potential", "emission_factor_kg_per_kwh", "concentration_limit"}
    )

    def quantify(self, records: Sequence[MethaneReading], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction; see `tanqiao_region.domain.quantification.base.PlugIn`.

        An interval without data link, or with gas at or above the limit of concentration, does not count;
        the project's own emissions of such an interval do.
        """
        potential = parameters.factor("warming_potential")
        grid = parameters.factor("emission_factor_kg_per_kwh")
        limit_ppm = parameters.factor("concentration_limit") * PPM_WHOLE // FACTOR_SCALE
        check_count(records)
        check_unique([reading.reference for reading in records], "MethaneReading")
        lines: list[EvidenceLine] = []
        total, counted_g = 0, 0
        for reference, destroyed_g, concentration_ppm, displaced_wh, emitted_g, networked in records:
            if min(destroyed_g, displaced_wh, emitted_g) < 0 or not 0 <= concentration_ppm <= PPM_WHOLE:
                raise DomainError("FIELD_INVALID", field="MethaneReading", detail=reference)
            excluded = ""
            if not networked:
                excluded = "未联网 no data link"
            elif concentration_ppm >= limit_ppm:
                excluded = "浓度超限 concentration above the limit"
            gained = 0 if excluded else destroyed_g * potential + displaced_wh * grid
            saved = gained - emitted_g * FACTOR_SCALE
            total += saved
            counted_g += 0 if excluded else destroyed_g
            lines.append(EvidenceLine(reference, destroyed_g, saved // FACTOR_SCALE, excluded))
        return settle(
            self, parameters, carried_in, exact=total, scale=FACTOR_SCALE, activity=counted_g, lines=lines
        )
