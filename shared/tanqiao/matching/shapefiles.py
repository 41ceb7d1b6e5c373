"""Polygons of an ESRI Shapefile (ESRI White Paper, July 1998): geometry, attributes and coordinate system.

Read are polygons, with or without heights and measures (types 5, 15, 25), in degrees of CGCS2000 or WGS 84 as
the `.prj` beside them says. Attributes come from the `.dbf`, in the encoding that a `.cpg` names, else UTF-8
or GB18030. Nothing is projected: a file in metres is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from tanqiao.kernel.errors import DomainError

FILE_BYTES_MAX: Final = 512 << 20
FILE_CODE: Final = 9994
HEADER_BYTES: Final = 100
POLYGON_TYPES: Final = frozenset({5, 15, 25})
NULL_SHAPE: Final = 0
RECORD_HEADER_BYTES: Final = 8
KIND_BYTES: Final = 4
_POLYGON_HEAD: Final = struct.Struct("<i4d2i")
_DBF_HEAD_BYTES: Final = 32
_DBF_DELETED: Final = 0x2A
_GEOGRAPHIC: Final = (
    "CGCS2000",
    "CGCS_2000",
    "CHINA_2000",
    "CHINA_GEODETIC_COORDINATE_SYSTEM_2000",
    "WGS_1984",
)

Rings = list[list[tuple[float, float]]]


def read_shapes(path: Path) -> Iterator[Rings | None]:
    """Give the rings of each record, in order; None where it has no shape.

    Raises:
        DomainError: FILE_TOO_LARGE, FILE_MISSING for the files beside it, FIELD_INVALID for another kind of
            shape or another coordinate system, ROW_INVALID where a record is not whole.
    """
    _require_degrees(path.with_suffix(".prj"))
    data = _bytes_of(path)
    if len(data) < HEADER_BYTES or struct.unpack(">i", data[:4])[0] != FILE_CODE:
        raise _invalid(path, "the file code of a Shapefile is missing")
    kind = struct.unpack("<i", data[32:36])[0]
    if kind not in POLYGON_TYPES:
        raise _invalid(path, f"shapes of type {kind}; polygons are wanted")
    at, number = HEADER_BYTES, 0
    while at < len(data):
        number += 1
        if at + RECORD_HEADER_BYTES > len(data):
            raise _broken(path, number)
        length = struct.unpack(">i", data[at + 4 : at + 8])[0] * 2
        body = data[at + RECORD_HEADER_BYTES : at + RECORD_HEADER_BYTES + length]
        if length <= 0 or len(body) != length:
            raise _broken(path, number)
        yield _rings(path, number, body)
        at += RECORD_HEADER_BYTES + length


def _rings(path: Path, number: int, body: bytes) -> Rings | None:
    if len(body) < KIND_BYTES:
        raise _broken(path, number)
    kind = struct.unpack("<i", body[:KIND_BYTES])[0]
    if kind == NULL_SHAPE:
        return None
    if kind not in POLYGON_TYPES or len(body) < _POLYGON_HEAD.size:
        raise _broken(path, number)
    *_, parts, points = _POLYGON_HEAD.unpack(body[: _POLYGON_HEAD.size])
    first = _POLYGON_HEAD.size + 4 * parts
    if parts <= 0 or points <= 0 or len(body) < first + 16 * points:
        raise _broken(path, number)
    starts = [*struct.unpack(f"<{parts}i", body[_POLYGON_HEAD.size : first]), points]
    if starts[0] != 0 or any(one >= after for one, after in pairwise(starts)):
        raise _broken(path, number)
    numbers = struct.unpack(f"<{2 * points}d", body[first : first + 16 * points])
    positions = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [positions[one:after] for one, after in pairwise(starts)]


def read_attributes(path: Path) -> list[dict[str, str]]:
    """Give the attributes of each record of a Shapefile, in order, as text.

    Raises:
        DomainError: FILE_TOO_LARGE, FILE_MISSING, ROW_INVALID, FILE_NOT_UTF8 with the record.
    """
    table = path.with_suffix(".dbf")
    data = _bytes_of(table)
    if len(data) < _DBF_HEAD_BYTES:
        raise _broken(table, 0)
    count, head, size = struct.unpack("<IHH", data[4:12])
    names, widths = [], []
    for at in range(_DBF_HEAD_BYTES, max(head - 1, _DBF_HEAD_BYTES), _DBF_HEAD_BYTES):
        field = data[at : at + _DBF_HEAD_BYTES]
        if field[:1] == b"\x0d" or len(field) < _DBF_HEAD_BYTES:
            break
        names.append(field[:11].split(b"\0")[0].decode("ascii", "replace"))
        widths.append(field[16])
    if sum(widths) + 1 != size or len(data) < head + count * size:
        raise _broken(table, 0)
    encodings = _encodings(path.with_suffix(".cpg"))
    rows = []
    for number in range(count):
        record = data[head + number * size : head + (number + 1) * size]
        if record[0] == _DBF_DELETED:
            raise DomainError("ROW_INVALID", row=number + 1, file=table.name, detail="the record is deleted")
        at, row = 1, {}
        for name, width in zip(names, widths, strict=True):
            row[name] = _text(record[at : at + width], encodings, table, number + 1)
            at += width
        rows.append(row)
    return rows


def _text(cell: bytes, encodings: tuple[str, ...], table: Path, number: int) -> str:
    for encoding in encodings:
        try:
            return cell.decode(encoding).strip(" \0")
        except UnicodeDecodeError:
            continue
    raise DomainError("FILE_NOT_UTF8", file=table.name, line=number)


def _encodings(path: Path) -> tuple[str, ...]:
    stated = path.read_text(encoding="ascii", errors="replace").strip().upper() if path.is_file() else ""
    if stated in ("UTF-8", "UTF8", "65001"):
        return ("utf-8",)
    if stated in ("GB18030", "GBK", "GB2312", "936", "CP936"):
        return ("gb18030",)
    return ("utf-8", "gb18030")


def _require_degrees(path: Path) -> None:
    """Demand degrees of CGCS2000 or WGS 84: their ellipsoids differ by less than a millimetre."""
    text = _bytes_of(path).decode("utf-8", "replace").upper()
    if text.lstrip().startswith("PROJCS") or not any(name in text for name in _GEOGRAPHIC):
        raise _invalid(path, "degrees of CGCS2000 (EPSG:4490) or WGS 84 are wanted")


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise DomainError("FILE_MISSING", path=str(path))
    if path.stat().st_size > FILE_BYTES_MAX:
        raise DomainError("FILE_TOO_LARGE", file=path.name, size=path.stat().st_size, limit=FILE_BYTES_MAX)
    return path.read_bytes()


def _broken(path: Path, number: int) -> DomainError:
    return DomainError("ROW_INVALID", row=number, file=path.name, detail="the record is not whole")


def _invalid(path: Path, detail: str) -> DomainError:
    return DomainError("FIELD_INVALID", field=path.name, detail=detail)
