"""Parcels of GeoJSON files and Shapefiles: what they have in common, and what cannot be read (虚构)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tanqiao.cli.claims_overlaps import overlaps_command
from tanqiao.kernel.errors import DomainError
from tanqiao.matching.parcels import common_areas, read_parcels

Ring = Sequence[tuple[float, float]]
CGCS2000 = (
    'GEOGCS["GCS_China_Geodetic_Coordinate_System_2000",DATUM["D_China_2000",SPHEROID["CGCS2000",6378137.0]]]'
)
METRES = 'PROJCS["CGCS2000_3_Degree_GK_Zone_39",GEOGCS["GCS_China_Geodetic_Coordinate_System_2000"]]'
POLYGON, POLYGON_Z, POINT = 5, 15, 1
HUNDREDTH_M2 = 1_113_195 * 1_105_852 / 1e12 * 1e6
"""Area in square metres of a hundredth of a degree squared at the equator; times cos(latitude) elsewhere."""


def square(west: float, south: float, size: float = 0.01) -> list[tuple[float, float]]:
    """Corners clockwise, as a Shapefile writes an outer ring."""
    east, north = west + size, south + size
    return [(west, south), (west, north), (east, north), (east, south), (west, south)]


BOW_TIE = [(120.0, 30.0), (120.01, 30.01), (120.01, 30.0), (120.0, 30.01), (120.0, 30.0)]


def geojson(path: Path, *features: tuple[Any, Ring | None], crs: str = "") -> Path:
    written = [
        {
            "type": "Feature",
            "properties": {"小班号": name},
            "geometry": None if ring is None else {"type": "Polygon", "coordinates": [ring]},
        }
        for name, ring in features
    ]
    document: dict[str, Any] = {"type": "FeatureCollection", "features": written}
    if crs:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def shapefile(
    path: Path,
    *records: tuple[str, Sequence[Ring]],
    kind: int = POLYGON,
    system: str = CGCS2000,
    encoding: str = "utf-8",
) -> Path:
    """Write a Shapefile byte by byte, as its description says."""
    body = b""
    for number, (_, rings) in enumerate(records, start=1):
        points = [point for ring in rings for point in ring]
        starts, at = [], 0
        for ring in rings:
            starts.append(at)
            at += len(ring)
        shape = struct.pack("<i", 0)
        if rings:
            longitudes, latitudes = [one for one, _ in points], [one for _, one in points]
            box = (min(longitudes), min(latitudes), max(longitudes), max(latitudes))
            shape = struct.pack("<i4d2i", kind, *box, len(rings), len(points))
            shape += struct.pack(f"<{len(starts)}i", *starts)
            shape += b"".join(struct.pack("<2d", *point) for point in points)
            if kind == POLYGON_Z:
                shape += struct.pack("<2d", 0, 0) + struct.pack(f"<{len(points)}d", *[5.0] * len(points))
        body += struct.pack(">2i", number, len(shape) // 2) + shape
    head = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, (100 + len(body)) // 2)
    head += struct.pack("<2i", 1000, kind) + bytes(64)
    path.write_bytes(head + body)
    width = 40
    names = [name.encode(encoding).ljust(width) for name, _ in records]
    dbf = struct.pack("<B3BIHH20x", 3, 126, 1, 1, len(names), 32 + 32 + 1, width + 1)
    dbf += b"XIAOBAN".ljust(11, b"\0") + b"C" + bytes(4) + bytes([width]) + bytes(15) + b"\r"
    path.with_suffix(".dbf").write_bytes(dbf + b"".join(b" " + name for name in names) + b"\x1a")
    path.with_suffix(".prj").write_text(system, encoding="utf-8")
    return path


def run(left: Path, right: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(
        overlaps_command,
        [
            f"--left={left}",
            f"--right={right}",
            "--left-id=小班号",
            "--right-id=XIAOBAN",
            f"--out={out}",
            *more,
        ],
    )


@pytest.mark.parametrize("kind", [POLYGON, POLYGON_Z])
def test_parcels_of_a_shapefile_and_of_geojson_are_measured_against_each_other(
    tmp_path: Path, kind: int
) -> None:
    left = geojson(
        tmp_path / "ccer.geojson",
        ("林-1", square(110.0, 0.0 + 25.0)),
        ("林-2", square(110.5, 25.0)),
        crs="urn:ogc:def:crs:EPSG::4490",
    )
    hole = list(reversed(square(110.006, 25.001, 0.002)))
    right = shapefile(
        tmp_path / "vcs.shp",
        ("half", [square(110.005, 25.0)]),
        ("with a hole", [square(110.005, 25.0), hole]),
        ("beside", [square(110.01, 25.0)]),  # a common edge is no area
        ("two parts", [square(110.5, 25.0, 0.001), square(111.0, 25.0)]),
        kind=kind,
    )
    out = tmp_path / "overlaps.csv"
    answer = run(left, right, out, "--json")
    assert answer.exit_code == 0, answer.output
    found = {
        (row["left_id"], row["right_id"]): row
        for line in answer.stdout.splitlines()
        if line.startswith("{")
        for row in [json.loads(line)]
    }
    assert sorted(found) == [("林-1", "half"), ("林-1", "with a hole"), ("林-2", "two parts")]
    half, holed = found["林-1", "half"], found["林-1", "with a hole"]
    whole = HUNDREDTH_M2 * 0.9068  # cos 25.005 degrees, and the longer degree of latitude there
    assert half["common_m2"] == pytest.approx(whole / 2, rel=0.01)
    assert half["left_m2"] == pytest.approx(2 * half["common_m2"], rel=0.001)
    assert half["common_m2"] - holed["common_m2"] == pytest.approx(whole * 0.04, rel=0.02)
    assert found["林-2", "two parts"]["common_m2"] == pytest.approx(whole / 100, rel=0.02)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "left_id,right_id,common_m2,left_m2,right_m2"
    assert len(lines) == 4
    # The tolerance of the matrix hides what a boundary drawn anew has in common; another one may be named.
    assert run(left, right, out, f"--tolerance-m2={half['common_m2']}").exit_code == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1


def test_every_feature_that_cannot_be_read_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    left = geojson(
        tmp_path / "bad.geojson",
        ("林-1", square(120.0, 30.0)),
        ("林-2", BOW_TIE),
        ("林-3", [(latitude, longitude) for longitude, latitude in square(80.0, 30.0)]),
        ("林-1", square(121.0, 30.0)),
        ("", square(122.0, 30.0)),
        ("林-6", None),
        ("林-7", square(120.0, 30.0)[:-1]),
        ("林-8", square(2.0, 48.0)),
        ("林-9", [(latitude, longitude) for longitude, latitude in square(120.0, 30.0)]),
    )
    faults = read_parcels(left, "小班号").faults
    assert [(one.number, one.column, one.refusal.symbol) for one in faults] == [
        (2, "geometry", "FIELD_INVALID"),
        (3, "geometry", "FIELD_INVALID"),
        (4, "小班号", "DUPLICATE_KEY"),
        (5, "小班号", "FIELD_MISSING"),
        (6, "geometry", "FIELD_MISSING"),
        (7, "geometry", "FIELD_INVALID"),
        (8, "geometry", "FIELD_INVALID"),
        (9, "geometry", "FIELD_INVALID"),
    ]
    said = [one.refusal.sentence("en") for one in faults]
    assert "Self-intersection" in said[0]
    assert "swapped" in said[1]
    assert "1, 4" in said[2]
    assert "longitude stands first" in said[-1]
    right = shapefile(tmp_path / "vcs.shp", ("a", [square(120.0, 30.0)]))
    out = tmp_path / "overlaps.csv"
    answer = run(left, right, out)
    assert answer.exit_code == 2
    assert "feature 2, geometry: FIELD_INVALID" in answer.stderr
    assert "8 features" in answer.stderr
    assert not out.exists()


def test_a_shapefile_with_bad_records_names_them(tmp_path: Path) -> None:
    outside = list(reversed(square(121.0, 30.0, 0.001)))
    path = shapefile(
        tmp_path / "a.shp",
        ("一号小班", [square(120.0, 30.0)]),
        ("二号小班", []),
        ("三号小班", [BOW_TIE]),
        ("四号小班", [square(120.0, 30.0), outside]),
        encoding="gb18030",
    )
    found = read_parcels(path, "XIAOBAN")
    assert [one.parcel_id for one in found.rows] == ["一号小班"]
    assert [(one.number, one.column, one.refusal.symbol) for one in found.faults] == [
        (2, "geometry", "FIELD_MISSING"),
        (3, "geometry", "FIELD_INVALID"),
        (4, "geometry", "FIELD_INVALID"),
    ]
    assert "lies in no outer ring" in found.faults[2].refusal.sentence("en")


@pytest.mark.parametrize(
    ("spoil", "symbol"),
    [
        ("metres", "FIELD_INVALID"),
        ("points", "FIELD_INVALID"),
        ("no prj", "FILE_MISSING"),
        ("no dbf", "FILE_MISSING"),
        ("cut", "ROW_INVALID"),
        ("no code", "FIELD_INVALID"),
        ("a record too few", "ROW_INVALID"),
        ("other encoding", "FILE_NOT_UTF8"),
    ],
)
def test_a_shapefile_that_cannot_be_used_is_refused_as_a_whole(
    tmp_path: Path, spoil: str, symbol: str
) -> None:
    path = tmp_path / "a.shp"
    kind, system = (POINT if spoil == "points" else POLYGON), (METRES if spoil == "metres" else CGCS2000)
    shapefile(path, ("小班", [square(120.0, 30.0)]), kind=kind, system=system, encoding="gb18030")
    match spoil:
        case "no prj":
            path.with_suffix(".prj").unlink()
        case "no dbf":
            path.with_suffix(".dbf").unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-8])
        case "no code":
            path.write_bytes(b"PK" + path.read_bytes()[2:])
        case "a record too few":
            data = bytearray(path.with_suffix(".dbf").read_bytes())
            data[4:8] = struct.pack("<I", 0)
            path.with_suffix(".dbf").write_bytes(bytes(data))
        case "other encoding":
            path.with_suffix(".cpg").write_text("UTF-8", encoding="ascii")
    with pytest.raises(DomainError) as caught:
        read_parcels(path, "XIAOBAN")
    assert caught.value.symbol == symbol


def test_what_is_no_collection_or_in_another_system_is_refused(tmp_path: Path) -> None:
    one = geojson(tmp_path / "a.geojson", ("a", square(120.0, 30.0)), crs="urn:ogc:def:crs:EPSG::3857")
    for text, symbol in (
        (one.read_text(encoding="utf-8"), "FIELD_INVALID"),
        ("[]", "FIELD_INVALID"),
        ("{", "ROW_INVALID"),
        ('{"features": []}', "FILE_EMPTY"),
    ):
        one.write_text(text, encoding="utf-8")
        with pytest.raises(DomainError) as caught:
            read_parcels(one, "小班号")
        assert caught.value.symbol == symbol
    with pytest.raises(DomainError) as caught:
        read_parcels(tmp_path / "none.geojson", "小班号")
    assert caught.value.symbol == "FILE_MISSING"


def test_many_parcels_meet_only_their_neighbours(tmp_path: Path) -> None:
    grid = [(f"p-{x}-{y}", square(110 + x / 50, 30 + y / 50)) for x in range(30) for y in range(30)]
    shifted = [(name, square(ring[0][0] + 0.005, ring[0][1])) for name, ring in grid]
    left = read_parcels(geojson(tmp_path / "a.geojson", *grid), "小班号").rows
    right = read_parcels(geojson(tmp_path / "b.geojson", *shifted), "小班号").rows
    assert [(one.left_id, one.right_id) for one in common_areas(left, right, 500)] == [
        (name, name) for name, _ in grid
    ]
