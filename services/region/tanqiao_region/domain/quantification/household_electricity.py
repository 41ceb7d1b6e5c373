"""Electricity saved by households, in two forms.

`HouseholdElectricity`: a day below the allowance of the household (persons times a baseline) counts against
that allowance; any other day counts against the mean of the seven days before, and never below zero (DOMAIN
section 7, household electricity, the first of two forms; its figures are not public).

`HouseholdElectricityPeakValley`: the conditions are public (no third tier, no household with photovoltaics,
peak 6 to 22 h), the formula is not: it checks the file and refuses to compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple, NoReturn

from tanqiao.kernel.errors import DomainError
from tanqiao_region.domain.quantification.base import (
    FACTOR_SCALE,
    EvidenceLine,
    Parameters,
    Result,
    check_count,
    check_not_negative,
    check_unique,
    settle,
)

DAYS_BEFORE: Final = 7
GRAMS_PER_KG: Final = 1_000
TIERS: Final = (1, 2, 3)
TIER_EXCLUDED: Final = 3


class HouseholdDay(NamedTuple):
    """One day of one household.

    Args:
        household: token of the consumption account, never the account number itself.
        day: legal date.
        energy_wh: consumption of the day, watt-hours.
        persons: members of the household.
        before_wh: consumption of the seven days before, oldest first.
    """

    household: str
    day: date
    energy_wh: int
    persons: int
    before_wh: tuple[int, ...]


class HouseholdElectricity:
    """Saving against the household's allowance, else against its own week before."""

    name: Final = "household_electricity"
    activity_unit: Final = "Wh"
    factors_needed: Final = frozenset({"baseline_kg_per_person_day", "emission_factor_kg_per_kwh"})

    def quantify(self, records: Sequence[HouseholdDay], parameters: Parameters, carried_in: int) -> Result:
        """Compute the reduction; see `tanqiao_region.domain.quantification.base.PlugIn`.

        The sums run in 1/7 of 10**-9 grams, so that the mean of seven days is exact.
        """
        factor = parameters.factor("emission_factor_kg_per_kwh")
        baseline = parameters.factor("baseline_kg_per_person_day") * GRAMS_PER_KG
        check_count(records)
        check_unique([f"{record.household} {record.day}" for record in records], "HouseholdDay")
        check_not_negative(((record.household, record.energy_wh) for record in records), "energy_wh")
        scale = FACTOR_SCALE * DAYS_BEFORE
        total, activity_wh = 0, 0
        lines: list[EvidenceLine] = []
        for household, day, energy_wh, persons, before_wh in records:
            if persons <= 0:
                raise DomainError("FIELD_INVALID", field="persons", detail=f"{household} {day}: {persons}")
            emitted = energy_wh * factor
            allowance = persons * baseline
            if emitted < allowance:
                saved = (allowance - emitted) * DAYS_BEFORE
            else:
                if len(before_wh) != DAYS_BEFORE or min(before_wh) < 0:
                    missing = f"{household} {day}: {DAYS_BEFORE}"
                    raise DomainError("METERING_MISSING", missing=missing)
                saved = max(0, sum(before_wh) * factor - emitted * DAYS_BEFORE)
            total += saved
            activity_wh += energy_wh
            lines.append(EvidenceLine(f"{household} {day}", energy_wh, saved // scale))
        return settle(
            self, parameters, carried_in, exact=total, scale=scale, activity=activity_wh, lines=lines
        )


class HouseholdPeakValley(NamedTuple):
    """One day of one household by tariff period.

    Args:
        household: token of the consumption account.
        day: legal date.
        peak_wh: consumption from 6 to 22 h.
        valley_wh: consumption from 22 to 6 h.
        tier: tier of the yearly tariff, 1 to 3.
        has_pv: whether the household has photovoltaics.
    """

    household: str
    day: date
    peak_wh: int
    valley_wh: int
    tier: int
    has_pv: bool


class HouseholdElectricityPeakValley:
    """Peak and valley aware form: conditions are checked, the unknown formula is refused."""

    name: Final = "household_electricity_peak_valley"
    activity_unit: Final = "Wh"
    factors_needed: Final = frozenset({"formula"})

    def quantify(
        self, records: Sequence[HouseholdPeakValley], parameters: Parameters, carried_in: int
    ) -> NoReturn:
        """Refuse: the formula of the methodology is not public.

        Raises:
            DomainError: PARAMETER_NOT_SET always, unless the file itself is refused first.
        """
        check_count(records)
        check_unique([f"{record.household} {record.day}" for record in records], "HouseholdPeakValley")
        self.excluded(records)
        missing = f"methodology.{parameters.methodology}.formula"
        raise DomainError("PARAMETER_NOT_SET", parameter=missing, carried_in=carried_in)

    @staticmethod
    def excluded(records: Sequence[HouseholdPeakValley]) -> tuple[EvidenceLine, ...]:
        """Name the records that the methodology leaves out: third tier, households with photovoltaics.

        Raises:
            DomainError: FIELD_INVALID, for a tier that does not exist or a negative reading.
        """
        found: list[EvidenceLine] = []
        for record in records:
            if record.tier not in TIERS or record.peak_wh < 0 or record.valley_wh < 0:
                raise DomainError(
                    "FIELD_INVALID", field="tier/peak_wh/valley_wh", detail=f"{record.household} {record.day}"
                )
            reasons = []
            if record.tier == TIER_EXCLUDED:
                reasons.append("第三档用户 third tier")
            if record.has_pv:
                reasons.append("光伏用户 household with photovoltaics")
            if reasons:
                reference = f"{record.household} {record.day}"
                energy_wh = record.peak_wh + record.valley_wh
                found.append(EvidenceLine(reference, energy_wh, 0, "; ".join(reasons)))
        return tuple(found)
