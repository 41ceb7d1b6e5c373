"""Plug-ins by the name that methodologies call, and their parameters from a methodology of a pack."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tanqiao.kernel.errors import DomainError
from tanqiao_region.domain.quantification.base import Parameters, PlugIn
from tanqiao_region.domain.quantification.battery_car import BatteryCar
from tanqiao_region.domain.quantification.distributed_pv import DistributedPv
from tanqiao_region.domain.quantification.grid_renewable import GridRenewable
from tanqiao_region.domain.quantification.household_electricity import (
    HouseholdElectricity,
    HouseholdElectricityPeakValley,
)
from tanqiao_region.domain.quantification.methane import MethaneDestruction
from tanqiao_region.domain.quantification.sinks import StockChange
from tanqiao_region.domain.quantification.travel import Travel
from tanqiao_region.domain.rules.pack import MethodologyTemplate

DEMONSTRATION: Final = "demonstration"

_ALL: Final[tuple[PlugIn[Any], ...]] = (
    DistributedPv(),
    HouseholdElectricity(),
    HouseholdElectricityPeakValley(),
    Travel(),
    BatteryCar(),
    GridRenewable(),
    StockChange(),
    MethaneDestruction(),
)
PLUG_INS: Final[Mapping[str, PlugIn[Any]]] = MappingProxyType({plug_in.name: plug_in for plug_in in _ALL})


def plug_in_of(name: str) -> PlugIn[Any]:
    """Give the plug-in of this name.

    Raises:
        DomainError: PARAMETER_NOT_SET, if no plug-in computes it.
    """
    if name not in PLUG_INS:
        raise DomainError("PARAMETER_NOT_SET", parameter=f"quantification plug-in {name}")
    return PLUG_INS[name]


def parameters_of(
    template: MethodologyTemplate,
    *,
    number: str,
    grain_kg: int,
    site: Mapping[str, int],
    is_test_network: bool,
) -> Parameters:
    """Give the parameters of a methodology that a pack ships.

    Demonstration factors count on test networks only: elsewhere they are as if nobody had given them, so
    that a computation which needs one is refused.

    Args:
        template: the methodology as the pack states it.
        number: number under which the node published it.
        grain_kg: least quantity of issue.
        site: facts of the site.
        is_test_network: whether demonstration values count.
    """
    counts = template.provenance != DEMONSTRATION or is_test_network
    return Parameters.of(number, grain_kg, template.factors if counts else {}, site)
