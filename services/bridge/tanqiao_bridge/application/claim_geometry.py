"""Polygons of claims: read once, found by grid cells, compared by the area that they have in common.

The engine takes areas as facts (CLAIMS sections 1 and 3); they are measured here, for the claims that share a
cell of the fixed grid, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from tanqiao.claims.geometry import Polygons, parse_polygons
from tanqiao.claims.model import PolygonOverlap
from tanqiao.kernel.errors import DomainError

GEOMETRY_LENGTH_MAX: Final = 256 * 1024
"""Longest GeoJSON text of one claim, in characters."""
GEOMETRIES_KEPT_MAX: Final = 256
FIELD: Final = "claim.asset.geometry"


@lru_cache(maxsize=GEOMETRIES_KEPT_MAX)
def read_geometry(text: str) -> Polygons | None:
    """Read the GeoJSON of a claim; None where it has none.

    Raises:
        DomainError: TEXT_TOO_LONG, FIELD_INVALID with what is wrong: no GeoJSON, outside the range of
            degrees (as of swapped coordinates), a ring that is not closed or crosses itself.
    """
    if not text:
        return None
    if len(text) > GEOMETRY_LENGTH_MAX:
        raise DomainError("TEXT_TOO_LONG", field=FIELD, limit=GEOMETRY_LENGTH_MAX)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DomainError("FIELD_INVALID", field=FIELD, detail="not JSON") from error
    polygons = parse_polygons(value, FIELD)
    from tanqiao.matching.polygons import geometry  # noqa: PLC0415 - loads numpy, which a start does not need

    try:
        geometry(polygons)
    except DomainError as error:
        raise DomainError("FIELD_INVALID", field=FIELD, detail=error.metadata.get("detail", "")) from error
    return polygons


def overlaps_with(
    asset_id: str, polygons: Polygons | None, others: Iterable[tuple[str, Polygons | None]]
) -> tuple[PolygonOverlap, ...]:
    """Measure the area that a claim's polygon has in common with each of the others."""
    if polygons is None:
        return ()
    from tanqiao.matching.polygons import overlap_area_m2  # noqa: PLC0415 - as above

    return tuple(
        PolygonOverlap(asset_id, other_id, overlap_area_m2(polygons, other))
        for other_id, other in others
        if other is not None
    )
