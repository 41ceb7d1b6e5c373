"""Where a plant may stand, when a list got its position wrong.

Lists swap latitude and longitude, lose a sign, or write degrees, minutes and seconds as one number. A
published
position that cannot be in China is therefore read in each way that puts it there; what comes out is a
*nomination* to compare with, never a correction of the record.
"""

from __future__ import annotations

import math
from typing import Final

LATITUDE_MIN, LATITUDE_MAX = 3.0, 54.0
LONGITUDE_MIN, LONGITUDE_MAX = 73.0, 136.0
"""Box around China with its sea areas, degrees."""

NOMINATIONS_MAX: Final = 2
WRITTEN_AS_ONE_NUMBER: Final = 10_000
"""From here on a number may be degrees, minutes and seconds: 330428.15 is 33°04′28.15″."""
SIXTY: Final = 60

Position = tuple[float, float]
"""Latitude and longitude, degrees."""


def _in_box(latitude: float, longitude: float) -> bool:
    return LATITUDE_MIN <= latitude <= LATITUDE_MAX and LONGITUDE_MIN <= longitude <= LONGITUDE_MAX


def _readings(value: float, low: float, high: float) -> list[float]:
    """Read one number in every way that puts it between the bounds, the likeliest first."""
    value = abs(value)
    found = [value] if low <= value <= high else []
    if value >= WRITTEN_AS_ONE_NUMBER:
        seconds = math.fmod(value, 100)
        minutes = math.fmod(value // 100, 100)
        if max(seconds, minutes) < SIXTY:
            found.append(value // 10_000 + minutes / SIXTY + seconds / SIXTY**2)
    found += [value / scale for scale in (1e4, 1e5, 1e6)]
    # A lost first digit: 14.38 for 114.38.
    found += [value + lost for lost in (100.0, 20.0, 30.0) if value < low and lost < high]
    return [one for one in found if low <= one <= high]


def nominations(latitude: float | None, longitude: float | None) -> tuple[Position, ...]:
    """Give the positions to compare, at most `NOMINATIONS_MAX`; none where nothing can be read."""
    if latitude is None or longitude is None or not (math.isfinite(latitude) and math.isfinite(longitude)):
        return ()
    if latitude == longitude == 0:  # what a list writes for "not known"
        return ()
    if _in_box(latitude, longitude):
        return ((latitude, longitude),)
    found: dict[Position, None] = {}
    if _in_box(longitude, latitude):
        found[longitude, latitude] = None
    for first, second in ((latitude, longitude), (longitude, latitude)):
        for north in _readings(first, LATITUDE_MIN, LATITUDE_MAX):
            for east in _readings(second, LONGITUDE_MIN, LONGITUDE_MAX):
                found[round(north, 6), round(east, 6)] = None
    return tuple(found)[:NOMINATIONS_MAX]
