"""Grid-connected renewable power: ER = EG_net * (w_OM * EF_OM + w_BM * EF_BM) - PE.

Weights of one half each are inferred from a public sample (DOMAIN section 7); the edition of the two factors
belongs to the methodology version.
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


class UnitReading(NamedTuple):
    """One generating unit over whole days.

    Args:
        unit: number of the unit or meter.
        start: first day.
        end: day after the last day.
        exported_wh: electricity fed into the grid, watt-hours.
        imported_wh: electricity drawn from the grid, watt-hours.
        project_emissions_g: emissions of the project itself, grams.
    """

    unit: str
    start: date
    end: date
    exported_wh: int
    imported_wh: int
    project_emissions_g: int


class GridRenewable:
    """Net electricity times the combined margin, less project emissions; may be negative."""

    name: Final = "grid_renewable"
    activity_unit: Final = "Wh"
    factors_needed: Final = frozenset(
        {
            "operating_margin_kg_per_kwh",
            "build_margin_kg_per_kwh",
            "operating_margin_weight",
            "build_margin_weight",
        }
    )

    def quantify(self, records: Sequence[UnitReading], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction; see `tanqiao_region.domain.quantification.base.PlugIn`.

        Raises:
            DomainError: PARAMETER_INVALID too, if the two weights do not add up to one.
        """
        margin = self._combined_margin(parameters)
        scale = FACTOR_SCALE * FACTOR_SCALE
        check_count(records)
        check_apart(((reading.unit, reading.start, reading.end) for reading in records), "UnitReading")
        lines: list[EvidenceLine] = []
        total, net_wh = 0, 0
        for unit, start, end, exported_wh, imported_wh, emitted_g in records:
            if min(exported_wh, imported_wh, emitted_g) < 0:
                raise DomainError("FIELD_INVALID", field="UnitReading", detail=f"{unit} {start}")
            energy_wh = exported_wh - imported_wh
            saved = energy_wh * margin - emitted_g * scale
            total += saved
            net_wh += energy_wh
            lines.append(EvidenceLine(f"{unit} {start}/{end}", energy_wh, saved // scale))
        return settle(self, parameters, carried_in, exact=total, scale=scale, activity=net_wh, lines=lines)

    @staticmethod
    def _combined_margin(parameters: Parameters) -> int:
        """Give the combined margin in 10**-18 grams per watt-hour."""
        weights = parameters.factor("operating_margin_weight"), parameters.factor("build_margin_weight")
        if sum(weights) != FACTOR_SCALE or min(weights) < 0:
            raise DomainError(
                "PARAMETER_INVALID",
                parameter=f"methodology.{parameters.methodology}.operating_margin_weight",
                value=list(weights),
                allowed="weights that add up to 1",
            )
        operating = parameters.factor("operating_margin_kg_per_kwh")
        build = parameters.factor("build_margin_kg_per_kwh")
        return weights[0] * operating + weights[1] * build
