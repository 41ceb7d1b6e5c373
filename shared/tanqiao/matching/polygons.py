"""Areas that two polygons have in common, in square metres.

Polygons come in degrees of CGCS2000 (EPSG:4490) or WGS 84, whose ellipsoids differ by less than a tenth of
a millimetre. They are cut in longitude and latitude, where the edges of a parcel are straight by convention;
the cut is then laid out on the equal-area cylinder of the ellipsoid (authalic latitude), on which areas are
true. Long edges are divided before, so that the error of an edge that is straight on the one and bent on the
other stays below a millionth of the area.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from tanqiao.claims.geometry import Polygons
from tanqiao.kernel.errors import DomainError

_Array = npt.NDArray[np.float64]

SEMI_MAJOR_AXIS_M: Final = 6_378_137.0
FLATTENING: Final = 1 / 298.257222101
"""Ellipsoid of CGCS2000 (GB 22021-2008)."""

EDGE_MAX_DEGREES: Final = 0.01
"""Edges are divided into pieces of at most this length before they are laid out."""

_AREA_OF_ROUNDING_M2: Final = 0.01
_ECCENTRICITY: Final = math.sqrt(FLATTENING * (2 - FLATTENING))


def overlap_area_m2(first: Polygons, second: Polygons) -> int:
    """Give the common area in whole square metres, rounded up; a shared edge or corner has none.

    Raises:
        DomainError: FIELD_INVALID, if a polygon crosses itself or its rings do not fit.
    """
    common = geometry(first).intersection(geometry(second))
    area_m2 = area_of(common)
    # Less than a square decimetre is what rounding leaves of a shared edge.
    return math.ceil(area_m2) if area_m2 > _AREA_OF_ROUNDING_M2 else 0


def geometry(polygons: Polygons) -> BaseGeometry:
    """Make the shapes and refuse those that are not valid.

    Raises:
        DomainError: FIELD_INVALID with what is wrong and where.
    """
    shapes = [Polygon(rings[0], list(rings[1:])) for rings in polygons]
    shape: BaseGeometry = shapes[0] if len(shapes) == 1 else MultiPolygon(shapes)
    if not shape.is_valid:
        raise DomainError("FIELD_INVALID", field="polygon", detail=shapely.is_valid_reason(shape))
    return shape


def area_of(shape: BaseGeometry) -> float:
    """Give the area of a shape in degrees, in square metres of the ellipsoid."""
    if shape.is_empty or shape.area <= 0:
        return 0.0
    divided = shapely.segmentize(shape, EDGE_MAX_DEGREES)
    return float(shapely.transform(divided, _equal_area).area)


def _equal_area(positions: _Array) -> _Array:
    """Lay positions out on the equal-area cylinder (Snyder, USGS Professional Paper 1395, eq. 3-12)."""
    e = _ECCENTRICITY
    sine = np.sin(np.radians(positions[:, 1]))
    logarithm = np.log((1 - e * sine) / (1 + e * sine)) / (2 * e)
    q = (1 - e * e) * (sine / (1 - (e * sine) ** 2) - logarithm)
    return np.column_stack((SEMI_MAJOR_AXIS_M * np.radians(positions[:, 0]), SEMI_MAJOR_AXIS_M * q / 2))
