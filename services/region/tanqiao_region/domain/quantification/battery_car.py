"""Battery-electric cars: ER = km * EF_ice - kWh * EF_grid.

The form is general knowledge, the factors are unknown (DOMAIN section 7): a methodology version has to fix
them. What is charged is taken as metered where it is, and by a factor per kilometre where it is not.
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

METRES_PER_DAY_MAX: Final = 2_500_000
"""More than a car can drive in a day; a higher reading is a wrong unit."""


class CarReading(NamedTuple):
    """One car over whole days.

    Args:
        car: token of the car, never its VIN.
        start: first day.
        end: day after the last day.
        distance_m: distance driven by the odometer, metres.
        charged_wh: electricity charged, watt-hours; None where it is not metered.
    """

    car: str
    start: date
    end: date
    distance_m: int
    charged_wh: int | None


class BatteryCar:
    """Kilometres of a combustion car avoided, less the electricity charged; may be negative."""

    name: Final = "battery_car"
    activity_unit: Final = "m"
    factors_needed: Final = frozenset({"combustion_kg_per_km", "emission_factor_kg_per_kwh"})

    def quantify(self, records: Sequence[CarReading], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction; see `tanqiao_region.domain.quantification.base.PlugIn`."""
        combustion = parameters.factor("combustion_kg_per_km")
        grid = parameters.factor("emission_factor_kg_per_kwh")
        check_count(records)
        check_apart(((reading.car, reading.start, reading.end) for reading in records), "CarReading")
        lines: list[EvidenceLine] = []
        total, driven_m = 0, 0
        for car, start, end, distance_m, metered_wh in records:
            if not 0 <= distance_m <= METRES_PER_DAY_MAX * (end - start).days:
                raise DomainError("FIELD_INVALID", field="distance_m", detail=f"{car} {start}: {distance_m}")
            charged_wh = metered_wh if metered_wh is not None else self._charged_wh(distance_m, parameters)
            if charged_wh < 0:
                raise DomainError("FIELD_INVALID", field="charged_wh", detail=f"{car} {start}: {charged_wh}")
            saved = distance_m * combustion - charged_wh * grid
            total += saved
            driven_m += distance_m
            lines.append(EvidenceLine(f"{car} {start}/{end}", distance_m, saved // FACTOR_SCALE))
        return settle(
            self, parameters, carried_in, exact=total, scale=FACTOR_SCALE, activity=driven_m, lines=lines
        )

    @staticmethod
    def _charged_wh(distance_m: int, parameters: Parameters) -> int:
        """Watt-hours by the factor per kilometre, rounded up: less is never assumed than was used."""
        used = distance_m * parameters.factor("consumption_kwh_per_km")
        return -(-used // FACTOR_SCALE)
