"""Polygons as they are written in cases and lists: GeoJSON, CGCS2000, longitude before latitude.

Reading only: shape, closure and range are checked here, validity and areas are measured outside
(`tanqiao.matching.polygons`), because the engine takes areas as facts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tanqiao.claims.model import Bounds
from tanqiao.kernel.errors import DomainError

Position = tuple[float, float]
Ring = tuple[Position, ...]
PolygonRings = tuple[Ring, ...]
"""Outer ring first, then the holes."""
Polygons = tuple[PolygonRings, ...]

OverlapMeasure = Callable[[Polygons, Polygons], int]
"""Port: common area of two sets of polygons in whole square metres, rounded up where it is not nothing."""

POSITIONS_MAX: Final = 200_000
"""Most positions of one asset's polygons."""

_RING_POSITIONS_MIN: Final = 4
_MICRODEGREES: Final = 1_000_000
_LONGITUDE_MAX: Final = 180.0
_LATITUDE_MAX: Final = 90.0
_OUTSIDE: Final = "outside the range of degrees, longitude stands first"


def parse_polygons(value: object, path: str) -> Polygons:
    """Read a GeoJSON Polygon or MultiPolygon.

    Raises:
        DomainError: FIELD_INVALID with the path of what is wrong.
    """
    if not isinstance(value, Mapping):
        raise _invalid(path, "a GeoJSON object is expected")
    kind = value.get("type")
    coordinates = value.get("coordinates")
    if kind == "Polygon":
        polygons: Polygons = (_rings(coordinates, f"{path}.coordinates"),)
    elif kind == "MultiPolygon":
        members = _list(coordinates, f"{path}.coordinates")
        polygons = tuple(
            _rings(member, f"{path}.coordinates[{index}]") for index, member in enumerate(members)
        )
    else:
        raise _invalid(f"{path}.type", "Polygon or MultiPolygon is expected")
    if sum(len(ring) for polygon in polygons for ring in polygon) > POSITIONS_MAX:
        raise _invalid(path, f"more than {POSITIONS_MAX} positions")
    return polygons


def bounds_of(polygons: Polygons) -> Bounds:
    """Give the bounding box in microdegrees, rounded outwards."""
    positions = [position for polygon in polygons for position in polygon[0]]
    longitudes = [longitude for longitude, _ in positions]
    latitudes = [latitude for _, latitude in positions]
    return Bounds(
        math.floor(min(longitudes) * _MICRODEGREES),
        math.floor(min(latitudes) * _MICRODEGREES),
        math.ceil(max(longitudes) * _MICRODEGREES),
        math.ceil(max(latitudes) * _MICRODEGREES),
    )


def _rings(value: object, path: str) -> PolygonRings:
    return tuple(_ring(ring, f"{path}[{index}]") for index, ring in enumerate(_list(value, path)))


def _ring(value: object, path: str) -> Ring:
    ring = tuple(_position(position, f"{path}[{index}]") for index, position in enumerate(_list(value, path)))
    if len(ring) < _RING_POSITIONS_MIN:
        raise _invalid(path, "a ring has at least four positions")
    if ring[0] != ring[-1]:
        raise _invalid(path, "a ring ends where it began")
    return ring


def _position(value: object, path: str) -> Position:
    members = _list(value, path)
    if len(members) not in (2, 3):
        raise _invalid(path, "a position is longitude and latitude")
    longitude, latitude = _degrees(members[0], path), _degrees(members[1], path)
    if abs(latitude) > _LATITUDE_MAX:
        raise _invalid(path, _OUTSIDE)
    return longitude, latitude


def _degrees(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(path, "a number of degrees is expected")
    if isinstance(value, float) and not math.isfinite(value):
        raise _invalid(path, "a number of degrees is expected")
    if abs(value) > _LONGITUDE_MAX:  # before the conversion: a great int is no float
        raise _invalid(path, _OUTSIDE)
    return float(value)


def _list(value: object, path: str) -> Sequence[object]:
    if not isinstance(value, list | tuple) or not value:
        raise _invalid(path, "a list that is not empty is expected")
    return value


def _invalid(path: str, reason: str) -> DomainError:
    return DomainError("FIELD_INVALID", field=path, detail=reason)
