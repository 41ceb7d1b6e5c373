from __future__ import annotations

import math

import pytest

from tanqiao.claims.geometry import Polygons, bounds_of, parse_polygons
from tanqiao.claims.model import Bounds
from tanqiao.kernel.errors import DomainError
from tanqiao.matching.polygons import overlap_area_m2

SEMI_MAJOR_AXIS_M = 6_378_137.0
ECCENTRICITY_SQUARED = 0.00669438002290


def box(west: float, south: float, east: float, north: float) -> Polygons:
    return ((((west, south), (east, south), (east, north), (west, north), (west, south)),),)


def area_of_box_m2(west: float, south: float, east: float, north: float) -> float:
    """The surface element of the ellipsoid summed over thin bands: a second way to the same area."""
    bands = 2_000
    step = math.radians(north - south) / bands
    total = 0.0
    for band in range(bands):
        sine = math.sin(math.radians(south) + (band + 0.5) * step)
        cosine = math.sqrt(1 - sine * sine)
        squared = (1 - ECCENTRICITY_SQUARED * sine * sine) ** 2
        total += SEMI_MAJOR_AXIS_M**2 * (1 - ECCENTRICITY_SQUARED) * cosine / squared * step
    return total * math.radians(east - west)


@pytest.mark.parametrize(
    "common", [(104.19, 24.07, 104.2, 24.08), (121.0, 31.0, 121.5, 31.4), (114.0, 22.5, 114.001, 22.501)]
)
def test_the_area_is_that_of_the_ellipsoid(common: tuple[float, float, float, float]) -> None:
    west, south, east, north = common
    first = box(west - 0.05, south - 0.05, east, north)
    second = box(west, south, east + 0.05, north + 0.05)
    expected = area_of_box_m2(*common)
    assert abs(overlap_area_m2(first, second) - expected) <= 1 + expected * 1e-6


def test_polygons_that_share_an_edge_or_a_corner_or_nothing_have_no_common_area() -> None:
    here = box(104.0, 24.6, 104.1, 24.7)
    assert overlap_area_m2(here, box(104.02, 24.7, 104.08, 24.75)) == 0
    assert overlap_area_m2(here, box(104.1, 24.7, 104.2, 24.8)) == 0
    assert overlap_area_m2(here, box(110.0, 24.7, 110.2, 24.8)) == 0


def test_a_hole_is_not_part_of_the_polygon() -> None:
    ((outer,),) = box(100.0, 25.0, 100.1, 25.1)
    ((hole,),) = box(100.02, 25.02, 100.08, 25.08)
    assert overlap_area_m2(((outer, hole),), box(100.03, 25.03, 100.07, 25.07)) == 0
    assert overlap_area_m2(((outer, hole),), box(100.01, 25.03, 100.07, 25.07)) > 0


def test_the_area_does_not_depend_on_the_order_or_the_direction_of_the_ring() -> None:
    first, second = box(100.0, 25.0, 100.1, 25.1), box(100.05, 25.05, 100.2, 25.2)
    reversed_ring = ((tuple(reversed(first[0][0])),),)
    assert overlap_area_m2(first, second) == overlap_area_m2(second, first)
    assert overlap_area_m2(reversed_ring, second) == overlap_area_m2(first, second)


def test_several_polygons_of_one_asset_count_together() -> None:
    two = (*box(100.0, 25.0, 100.01, 25.01), *box(100.02, 25.0, 100.03, 25.01))
    both = box(100.0, 25.0, 100.03, 25.01)
    one = overlap_area_m2(box(100.0, 25.0, 100.01, 25.01), both)
    assert overlap_area_m2(two, both) in range(2 * one - 2, 2 * one + 2)


def test_a_polygon_that_crosses_itself_is_refused_with_the_place() -> None:
    bow_tie: Polygons = ((((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),),)
    with pytest.raises(DomainError) as refused:
        overlap_area_m2(bow_tie, box(0.0, 0.0, 1.0, 1.0))
    assert refused.value.field == "polygon"
    assert "Self-intersection" in refused.value.metadata["detail"]


def test_the_box_is_rounded_outwards() -> None:
    assert bounds_of(box(100.0000001, -0.0000001, 100.1, 25.0000001)) == Bounds(
        100_000_000, -1, 100_100_000, 25_000_001
    )


SQUARE = [[0, 0], [1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (5, "p"),
        ({"type": "Point", "coordinates": [0, 0]}, "p.type"),
        ({"type": "Polygon"}, "p.coordinates"),
        ({"type": "Polygon", "coordinates": []}, "p.coordinates"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}, "p.coordinates[0]"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "p.coordinates[0]"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, True], [1, 1], [0, 0]]]}, "p.coordinates[0][1]"),
        ({"type": "Polygon", "coordinates": [[[0, 0], ["1", 0], [1, 1], [0, 0]]]}, "p.coordinates[0][1]"),
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [24.0, 104.0], [1, 1], [0, 0]]]},
            "p.coordinates[0][1]",
        ),
        ({"type": "Polygon", "coordinates": [[[0], [1, 0], [1, 1], [0]]]}, "p.coordinates[0][0]"),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [[[0, 0]]]]}, "p.coordinates[1][0]"),
    ],
)
def test_a_shape_that_is_no_polygon_is_refused_with_its_path(value: object, field: str) -> None:
    with pytest.raises(DomainError) as refused:
        parse_polygons(value, "p")
    assert refused.value.field == field


def test_a_multipolygon_is_read() -> None:
    polygons = parse_polygons({"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE]]}, "p")
    assert len(polygons) == 2
