"""What a pack says about its units and notices: programme, grain, classes, methodology numbers, notices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.kernel.working_days import Calendar
from tanqiao_region.domain.rules.facts import IssuanceSource, MethodologyVersion, Notice
from tanqiao_region.domain.rules.parameters import DatedParameters


@dataclass(frozen=True, slots=True)
class UnitRules:
    """Programme, classes and grain of a region's units; a region without units has an empty programme.

    Args:
        programme: symbol of the programme.
        classes: unit classes; empty where the region knows none.
        methodology_pattern: regular expression that the region's methodology numbers match whole.
        grain_parameters: for each source that can issue, the parameter that holds its grain in kilograms.
    """

    programme: str
    classes: frozenset[str]
    methodology_pattern: str
    grain_parameters: Mapping[IssuanceSource, str]

    @property
    def issues_units(self) -> bool:
        """Whether units of this region exist at all."""
        return bool(self.grain_parameters)

    def can_issue(self, source: IssuanceSource) -> bool:
        """Whether units can be issued from this source at all."""
        return source in self.grain_parameters

    def owns_methodology(self, methodology: MethodologyVersion, region: str) -> bool:
        """Whether the methodology is one of this region and this programme, by register and by number."""
        same = methodology.region == region and methodology.programme == self.programme
        return same and re.fullmatch(self.methodology_pattern, methodology.number) is not None

    def grain_kg(self, source: IssuanceSource, parameters: DatedParameters) -> int:
        """Give the least quantity that is issued from this source.

        Raises:
            DomainError: PARAMETER_NOT_SET, if no grain is set on the date; PARAMETER_INVALID, if it is not
                positive.
            InvariantBroken: nothing is issued from this source in this region; ask `can_issue` first.
        """
        if source not in self.grain_parameters:
            raise InvariantBroken(f"{source} issues no units here")
        key = self.grain_parameters[source]
        grain = parameters.integer(key)
        if grain <= 0:
            raise DomainError("PARAMETER_INVALID", parameter=key, value=grain, allowed="> 0")
        return grain


@dataclass(frozen=True, slots=True)
class NoticeRule:
    """How long a public notice runs: working days, and the parameter that says if the first day counts."""

    object_kind: str
    working_days: int
    first_day_parameter: str
    rule_id: str

    def open(self, first_day: date, calendar: Calendar, parameters: DatedParameters) -> Notice:
        """Compute the notice that opens on this day; what is computed is stored and never recomputed.

        Raises:
            DomainError: CALENDAR_NOT_LOADED or PARAMETER_NOT_SET.
        """
        counts = parameters.boolean(self.first_day_parameter)
        last_day = calendar.last_day(first_day, self.working_days, first_day_counts=counts)
        return Notice(
            first_day=first_day,
            last_day=last_day,
            working_days=self.working_days,
            first_day_counted=counts,
        )
