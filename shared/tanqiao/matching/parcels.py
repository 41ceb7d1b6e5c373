"""Parcels of two files that have area in common: GeoJSON and Shapefiles, in degrees of CGCS2000 or WGS 84.

What is found is an area in square metres, on the ellipsoid; whether two parcels are one asset is for the
matrix (its tolerance) and for people to say. A file is read whole or not at all: every feature that cannot be
read is named with its number, its column and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from tanqiao.claims.geometry import Polygons, parse_polygons
from tanqiao.kernel.errors import DomainError
from tanqiao.matching.polygons import area_of, geometry, overlap_area_m2
from tanqiao.matching.shapefiles import FILE_BYTES_MAX, Rings, read_attributes, read_shapes

FEATURES_MAX: Final = 1_000_000
FAULTS_SHOWN_MAX: Final = 1_000
GEOMETRY: Final = "geometry"
_SYSTEMS: Final = ("4490", "4326", "CRS84", "CGCS2000")
_LONGITUDES: Final = (73.0, 136.0)
_LATITUDES: Final = (3.0, 54.0)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One feature of a file: its number (1 is the first), its id and its polygons."""

    number: int
    parcel_id: str
    polygons: Polygons


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a feature cannot be taken."""

    number: int
    column: str
    refusal: DomainError


@dataclass(slots=True)
class Parcels:
    """What was read of a file; with a fault none of it may be used."""

    rows: list[Parcel] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    faults_count: int = 0

    def reject(self, fault: Fault) -> None:
        """Note a fault; the first `FAULTS_SHOWN_MAX` are kept, all are counted."""
        self.faults_count += 1
        if len(self.faults) < FAULTS_SHOWN_MAX:
            self.faults.append(fault)


@dataclass(frozen=True, slots=True)
class CommonArea:
    """Two parcels with the area that they share, and how much each has, in whole square metres."""

    left_id: str
    right_id: str
    common_m2: int
    left_m2: int
    right_m2: int


def read_parcels(path: Path, id_column: str) -> Parcels:
    """Read a GeoJSON FeatureCollection, or a Shapefile by its `.shp`.

    Args:
        path: of the file.
        id_column: property of GeoJSON, or attribute of the Shapefile, that names a parcel.

    Raises:
        DomainError: FILE_MISSING, FILE_EMPTY, FILE_TOO_LARGE, ROW_INVALID and FIELD_INVALID where the file as
            a whole cannot be used; what is wrong with single features stands among the faults.
    """
    features = _of_shapefile(path) if path.suffix.lower() == ".shp" else _of_geojson(path)
    found = Parcels()
    seen: dict[str, int] = {}
    for number, (properties, shape) in enumerate(features, start=1):
        if number > FEATURES_MAX:
            raise DomainError("FILE_TOO_LARGE", file=path.name, size=number, limit=FEATURES_MAX)
        column = id_column
        try:
            parcel_id = str(properties.get(id_column) or "").strip()
            if not parcel_id:
                raise DomainError("FIELD_MISSING", field=id_column)  # noqa: TRY301 - a fault of this feature
            if seen.setdefault(parcel_id, number) != number:
                where = f"{seen[parcel_id]}, {number}"
                raise DomainError("DUPLICATE_KEY", key=parcel_id, where=where)  # noqa: TRY301
            column = GEOMETRY
            polygons = _polygons(shape)
            geometry(polygons)
            _require_in_china(polygons)
        except DomainError as refusal:
            found.reject(Fault(number, column, refusal))
            continue
        found.rows.append(Parcel(number, parcel_id, polygons))
    if not found.rows and not found.faults:
        raise DomainError("FILE_EMPTY", file=path.name)
    return found


def common_areas(left: list[Parcel], right: list[Parcel], tolerance_m2: int) -> Iterator[CommonArea]:
    """Give the pairs whose common area exceeds the tolerance, in the order of the left file."""
    tree = shapely.STRtree([geometry(one.polygons) for one in right])
    for one in left:
        shape = geometry(one.polygons)
        for place in sorted(int(index) for index in tree.query(shape, predicate="intersects")):
            other = right[place]
            common = overlap_area_m2(one.polygons, other.polygons)
            if common > tolerance_m2:
                areas = (round(area_of(shape)), round(area_of(geometry(other.polygons))))
                yield CommonArea(one.parcel_id, other.parcel_id, common, *areas)


# -- files -------------------------------------------------------------------------------------------------


def _of_geojson(path: Path) -> Iterator[tuple[Mapping[str, Any], Any]]:
    if not path.is_file():
        raise DomainError("FILE_MISSING", path=str(path))
    size = path.stat().st_size
    if size > FILE_BYTES_MAX:
        raise DomainError("FILE_TOO_LARGE", file=path.name, size=size, limit=FILE_BYTES_MAX)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DomainError("FILE_NOT_UTF8", file=path.name, line=1) from error
    except (ValueError, RecursionError) as error:
        raise DomainError("ROW_INVALID", row=1, file=path.name, detail=str(error)[:200]) from None
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise DomainError("FIELD_INVALID", field="features", detail="a FeatureCollection is wanted")
    stated = json.dumps(document.get("crs"))
    if document.get("crs") is not None and not any(name in stated for name in _SYSTEMS):
        raise DomainError("FIELD_INVALID", field="crs", detail=stated[:128])
    for feature in features:
        feature_of = feature if isinstance(feature, dict) else {}
        properties = feature_of.get("properties")
        yield (properties if isinstance(properties, dict) else {}), feature_of.get(GEOMETRY)


def _of_shapefile(path: Path) -> Iterator[tuple[Mapping[str, Any], Any]]:
    attributes = read_attributes(path)
    count = 0
    for shape in read_shapes(path):
        if count >= len(attributes):
            raise DomainError("ROW_INVALID", row=count + 1, file=path.name, detail="more shapes than records")
        yield attributes[count], shape
        count += 1
    if count != len(attributes):
        raise DomainError("ROW_INVALID", row=count + 1, file=path.name, detail="more records than shapes")


def _polygons(shape: Any) -> Polygons:  # noqa: ANN401 - GeoJSON of any kind, or rings
    if shape is None:
        raise DomainError("FIELD_MISSING", field=GEOMETRY)
    return _of_rings(shape) if isinstance(shape, list) else parse_polygons(shape, GEOMETRY)


def _of_rings(rings: Rings) -> Polygons:
    """Tell outer rings from holes: a Shapefile writes outer rings clockwise and holes the other way round."""
    outers: list[tuple[BaseGeometry, list[Any]]] = []
    holes = []
    for ring in rings:
        # Read as GeoJSON is: closed, long enough, within the range of degrees.
        (parsed,) = parse_polygons(
            {"type": "Polygon", "coordinates": [[list(one) for one in ring]]}, GEOMETRY
        )
        geometry((parsed,))
        outline = Polygon(parsed[0])
        if outline.exterior.is_ccw:
            holes.append((outline, parsed[0]))
        else:
            outers.append((outline, [parsed[0]]))
    if not outers:  # written by a program that does not keep to the order of rings
        outers, holes = [(outline, [list(orient(outline).exterior.coords)]) for outline, _ in holes], []
    for hole, inner in holes:
        holder = next((parts for outline, parts in outers if outline.contains(hole)), None)
        if holder is None:
            raise DomainError("FIELD_INVALID", field=GEOMETRY, detail="a hole that lies in no outer ring")
        holder.append(inner)
    return tuple(tuple(tuple(ring) for ring in parts) for _, parts in outers)


def _require_in_china(polygons: Polygons) -> None:
    """Refuse a parcel that cannot be in China; says so where longitude and latitude were swapped."""
    positions = [position for rings in polygons for position in rings[0]]
    if all(_within(one, _LONGITUDES) and _within(other, _LATITUDES) for one, other in positions):
        return
    swapped = all(_within(other, _LONGITUDES) and _within(one, _LATITUDES) for one, other in positions)
    detail = "longitude and latitude are swapped" if swapped else "outside of China"
    raise DomainError("FIELD_INVALID", field=GEOMETRY, detail=detail)


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
