"""Location maps in proof files: what stands between a row and the root, and pages and buckets that lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tanqiao.offline.location_map import (
    BUCKETS,
    LocationMap,
    MapBucket,
    MapPage,
    MapRow,
    bucket_of,
    location_root_leaf,
    page_of_rows,
)
from tanqiao.offline.paths import encode_path
from tanqiao.offline.replay import Claim
from tanqiao.tlog.merkle import hash_leaf
from tests.golden.museum import federation as f

Parts = list[tuple[str, bytes]]
Case = Callable[..., Any]


def parts_above(page: MapPage, located: LocationMap) -> Parts:
    """Give what stands between a page and the root of a map."""
    number = bucket_of(page.key)
    return [
        ("page", page.encode()),
        ("page-path", encode_path(*located.page_path(page.key))),
        ("bucket", located.bucket(number).encode()),
        ("bucket-path", encode_path(number, located.bucket_path(number))),
    ]


def changed(parts: Parts, **changes: bytes) -> Parts:
    """Give the parts with some of them replaced; ``_`` stands for the hyphen of a name."""
    return [(name, changes.get(name.replace("-", "_"), data)) for name, data in parts]


def bad_pages(case: Case, row_parts: Parts) -> Iterator[Any]:
    """Pages of a location map that are not what the leaf commits to."""
    kind = "location-root"
    wrong = MapRow(f.SERIES, 1000, 2000, f.SHANGHAI, 1)
    forged = page_of_rows((f.SERIES, 0), [wrong.values])
    assert forged is not None
    one_row = encode_path(0, ())
    yield case(
        "page-forged",
        "INCLUSION_NOT_PROVEN",
        "a page with the units claimed back",
        changed(row_parts, row=wrong.encode(), row_path=one_row, page=forged.encode()),
        kind,
    )
    yield case(
        "page-not-canonical",
        "LOCATION_ROW",
        "a page with a value more",
        changed(row_parts, page=f.map_page().encode() + b"\0\0"),
        kind,
    )
    yield case(
        "row-of-another-page",
        "LOCATION_ROW",
        "a row in a page where it does not begin",
        _misplaced(wrong, MapPage(f.SERIES, 7, 1, hash_leaf(wrong.encode()))),
        kind,
    )
    yield case(
        "bucket-not-canonical",
        "LOCATION_ROW",
        "a bucket with a value more",
        changed(row_parts, bucket=f.MAP.bucket(bucket_of(f.map_page().key)).encode() + b"\0\0"),
        kind,
    )
    other = (bucket_of(f.map_page().key) + 1) % BUCKETS
    yield case(
        "page-of-another-bucket",
        "INCLUSION_NOT_PROVEN",
        "the empty bucket beside that of the page",
        changed(
            row_parts,
            bucket=MapBucket(1, hash_leaf(f.map_page().encode())).encode(),
            bucket_path=encode_path(other, f.MAP.bucket_path(other)),
        ),
        kind,
    )


def _misplaced(row: MapRow, page: MapPage) -> Parts:
    """Give a cosigned map whose page lists a row that belongs elsewhere: no honest witness cosigned it."""
    located = LocationMap()
    located.put({page.key: page})
    root = location_root_leaf(1, located.root, f.MAP_AT).encode()
    log = f.SmallLog([*f.LOG_OF_FEDERATION.leaves[: f.MAP_AT], root])
    return [
        ("claim", Claim(series_id=f.SERIES, serial=1500).encode()),
        ("checkpoint", log.checkpoint),
        *log.leaf(f.MAP_AT),
        ("row", row.encode()),
        ("row-path", encode_path(0, ())),
        *parts_above(page, located),
    ]
