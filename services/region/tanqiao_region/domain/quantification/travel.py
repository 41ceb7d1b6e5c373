"""Low-carbon travel: ER = sum over trips of max(0, EF_base - EF_mode) * distance * persons.

The principle (per person-km times distance) is published; the maximum and the test that the trip lies inside
the city are inferred (DOMAIN section 7). No factor in circulation is official.
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

DISTANCE_M_MAX: Final = 500_000
"""Longest trip that a city can hold; a longer one is a wrong unit."""


class Trip(NamedTuple):
    """One trip.

    Args:
        order_id: number of the operator's order.
        distance_m: distance, metres.
        persons: passengers of the order.
        inside_city: whether start and end lie inside the city.
    """

    order_id: str
    distance_m: int
    persons: int
    inside_city: bool


class Travel:
    """Trips by bus, metro, bicycle or on foot against the city's mean way of travelling."""

    name: Final = "travel"
    activity_unit: Final = "person-m"
    factors_needed: Final = frozenset({"baseline_kg_per_person_km", "mode_kg_per_person_km"})

    def quantify(self, records: Sequence[Trip], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction; see `tanqiao_region.domain.quantification.base.PlugIn`.

        An order may occur once; a trip that leaves the city is listed and does not count.
        """
        baseline = parameters.factor("baseline_kg_per_person_km")
        saved = max(0, baseline - parameters.factor("mode_kg_per_person_km"))
        check_count(records)
        check_unique([trip.order_id for trip in records], "Trip")
        lines: list[EvidenceLine] = []
        person_m = 0
        for order_id, distance_m, persons, inside_city in records:
            if not 0 <= distance_m <= DISTANCE_M_MAX or persons <= 0:
                detail = f"{order_id}: {distance_m} m, {persons}"
                raise DomainError("FIELD_INVALID", field="distance_m/persons", detail=detail)
            activity = distance_m * persons
            if not inside_city:
                lines.append(EvidenceLine(order_id, activity, 0, "市外行程 outside the city"))
                continue
            person_m += activity
            lines.append(EvidenceLine(order_id, activity, activity * saved // FACTOR_SCALE))
        return settle(
            self,
            parameters,
            carried_in,
            exact=person_m * saved,
            scale=FACTOR_SCALE,
            activity=person_m,
            lines=lines,
        )
