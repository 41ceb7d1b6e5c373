"""Quantities of electricity compared as integers: certificates are whole MWh, meters may read kWh."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

KWH_OF_UNIT: Final[Mapping[str, int]] = MappingProxyType({"kWh": 1, "MWh": 1_000, "GWh": 1_000_000})
"""Units of electricity that are understood; anything else is for a person to see."""


def kwh(quantity: int, unit: str) -> int | None:
    """Give the quantity in kWh, or None for a unit that is none of electricity."""
    factor = KWH_OF_UNIT.get(unit)
    return None if factor is None else quantity * factor


def whole_units_covering(quantity_kwh: int, unit: str) -> int:
    """Give the least whole number of units that covers the quantity: certificates are rounded up."""
    return -(-quantity_kwh // KWH_OF_UNIT[unit])


def whole_units_within(quantity_kwh: int, unit: str) -> int:
    """Give the greatest whole number of units that fits: what is allowed is rounded down."""
    return quantity_kwh // KWH_OF_UNIT[unit]
