"""Integer arithmetic for grams, kilograms, watt-hours and shares; no floats near a quantity.

Every function that divides gives its remainder back, for what lies below the grain is carried to the next
period and never lost (ARCHITECTURE section 3, DOMAIN section 7).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

GRAMS_PER_KG: Final = 1_000
KG_PER_TONNE: Final = 1_000
GRAMS_PER_TONNE: Final = 1_000_000
WH_PER_KWH: Final = 1_000
WH_PER_MWH: Final = 1_000_000
PPM_WHOLE: Final = 1_000_000
"""A share of one, in parts per million."""
DECIMALS_MAX: Final = 18
DECIMAL_TEXT_LENGTH_MAX: Final = 40

_DECIMAL: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def floor_to_grain(value: int, grain: int) -> tuple[int, int]:
    """Split a value into the greatest multiple of the grain within it and the remainder.

    The two add up to the value. A negative value holds no whole grain: it stays, as a remainder, the debit
    that it is (DOMAIN section 7, rounding).
    """
    require(grain > 0, "a grain is positive")
    if value < 0:
        return 0, value
    remainder = value % grain
    return value - remainder, remainder


def grams_to_kg(grams: int) -> tuple[int, int]:
    """Give whole kilograms and the grams left; a negative value has no whole kilograms."""
    whole_grams, remainder_grams = floor_to_grain(grams, GRAMS_PER_KG)
    return whole_grams // GRAMS_PER_KG, remainder_grams


def multiply_ratio(value: int, numerator: int, denominator: int) -> tuple[int, int]:
    """Give floor(value * numerator / denominator) and the remainder, 0 <= remainder < denominator."""
    require(denominator > 0, "a denominator is positive")
    return divmod(value * numerator, denominator)


def grams_from_energy(energy_wh: int, factor_grams_per_mwh: int) -> tuple[int, int]:
    """Give the grams of CO2e that an energy stands for, and the remainder in millionths of a gram.

    Args:
        energy_wh: energy in watt-hours.
        factor_grams_per_mwh: factor of the methodology version; 0.5306 kg/kWh is 530,600 g/MWh.
    """
    return multiply_ratio(energy_wh, factor_grams_per_mwh, WH_PER_MWH)


def share_of(value: int, share_ppm: int) -> tuple[int, int]:
    """Give the floor of a share of the value, and the remainder in millionths."""
    require(0 <= share_ppm <= PPM_WHOLE, f"a share lies between 0 and {PPM_WHOLE} ppm")
    return multiply_ratio(value, share_ppm, PPM_WHOLE)


def split_by_shares(total: int, shares_ppm: Sequence[int]) -> tuple[int, ...]:
    """Split a total by shares that add up to one, so that the parts add up to the total.

    Each part is the floor of its share; the units left over go to the largest remainders, the earlier share
    first where they are equal.
    """
    require(total >= 0, "a total to be split is not negative")
    require(sum(shares_ppm) == PPM_WHOLE, f"the shares must add up to {PPM_WHOLE} ppm")
    parts = [share_of(total, share_ppm) for share_ppm in shares_ppm]
    left_over = total - sum(whole for whole, _ in parts)
    by_remainder = sorted(range(len(parts)), key=lambda index: (-parts[index][1], index))
    favoured = frozenset(by_remainder[:left_over])
    return tuple(whole + (1 if index in favoured else 0) for index, (whole, _) in enumerate(parts))


def parse_decimal(text: str, decimals: int, *, field: str = "quantity", allow_negative: bool = False) -> int:
    """Read decimal text as an integer of 10**-decimals, exactly: ``12.5`` with three decimals is 12500.

    No exponent, no separator, no plus sign, no blank; digits beyond the decimals must be zeros.

    Raises:
        DomainError: FIELD_INVALID.
    """
    require(0 <= decimals <= DECIMALS_MAX, f"at most {DECIMALS_MAX} decimals")
    match = _DECIMAL.fullmatch(text) if len(text) <= DECIMAL_TEXT_LENGTH_MAX else None
    if match is None:
        raise DomainError("FIELD_INVALID", field=field, detail=text[:DECIMAL_TEXT_LENGTH_MAX])
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if fraction[decimals:].strip("0") or (sign and not allow_negative):
        raise DomainError("FIELD_INVALID", field=field, detail=text)
    magnitude = int(whole + fraction[:decimals].ljust(decimals, "0"))
    return -magnitude if sign else magnitude


def format_decimal(value: int, decimals: int) -> str:
    """Write an integer of 10**-decimals without trailing zeros: 12500 with three decimals is ``12.5``."""
    require(0 <= decimals <= DECIMALS_MAX, f"at most {DECIMALS_MAX} decimals")
    whole, fraction = divmod(abs(value), 10**decimals)
    sign = "-" if value < 0 else ""
    digits = f"{fraction:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
