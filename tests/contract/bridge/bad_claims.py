"""Claims in which something is wrong, as data: what, the reason expected, the fields changed."""

from __future__ import annotations

import json
from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2
from tests.contract.bridge.harness import claim_of
from tests.contract.bridge.unchanged import (
    BIG,
    period,
    spoil,
)


def wrong_claim(**changes: Any) -> claims_pb2.Claim:
    """Give a good claim with fields changed; ``__`` steps into a message, None clears."""
    claim = claim_of("310000:instalment:bad", filing_code="99310000000000777")
    spoilt: claims_pb2.Claim = spoil(claim, **changes)
    return spoilt


def ring(*positions: tuple[float, float]) -> str:
    """Give a polygon of these corners as GeoJSON."""
    return json.dumps({"type": "Polygon", "coordinates": [[*positions, positions[0]]]})


BAD_CLAIMS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("no id", "FIELD_MISSING", {"claim_id": ""}),
    ("a long id", "TEXT_TOO_LONG", {"claim_id": "x" * 97}),
    ("a control character in the id", "FIELD_INVALID", {"claim_id": "310000:\x00"}),
    ("no object", "FIELD_MISSING", {"object": 0}),
    ("an unknown object", "ENUM_UNKNOWN", {"object": 99}),
    ("no programme", "FIELD_MISSING", {"programme": 0}),
    ("an unknown programme", "ENUM_UNKNOWN", {"programme": 99}),
    ("no attribute", "FIELD_MISSING", {"attribute": 0}),
    ("an unknown attribute", "ENUM_UNKNOWN", {"attribute": 99}),
    ("an unknown grain", "ENUM_UNKNOWN", {"grain": 99}),
    ("an unknown status", "ENUM_UNKNOWN", {"status": 99}),
    ("no references", "FIELD_MISSING", {"asset__references": None}),
    (
        "seventeen references",
        "BATCH_TOO_LARGE",
        {
            "asset__references": [
                claims_pb2.AssetReference(scheme="vcs", value=str(number)) for number in range(17)
            ]
        },
    ),
    ("a geometry that is no JSON", "FIELD_INVALID", {"asset__geometry": "{"}),
    ("a point", "FIELD_INVALID", {"asset__geometry": '{"type": "Point", "coordinates": [121, 31]}'}),
    ("swapped coordinates", "FIELD_INVALID", {"asset__geometry": ring((31, 121), (31, 122), (32, 122))}),
    (
        "a polygon that crosses itself",
        "FIELD_INVALID",
        {"asset__geometry": ring((121, 31), (121.01, 31.01), (121.01, 31), (121, 31.01))},
    ),
    ("a polygon of a province", "FIELD_INVALID", {"asset__geometry": ring((100, 20), (110, 20), (110, 30))}),
    ("a long geometry", "TEXT_TOO_LONG", {"asset__geometry": " " * 262_145}),
    ("seventeen superseded claims", "BATCH_TOO_LARGE", {"supersedes": ["x"] * 17}),
    ("a scheme that is none", "FIELD_INVALID", {"asset__references__0__scheme": "No Scheme!"}),
    ("an empty reference", "FIELD_INVALID", {"asset__references__0__value": " "}),
    ("a long reference", "FIELD_INVALID", {"asset__references__0__value": "9" * 200}),
    ("no period", "FIELD_MISSING", {"period": None}),
    ("a reversed period", "RANGE_REVERSED", {"period": period((2026, 2, 1), (2026, 1, 1))}),
    ("an empty period", "RANGE_REVERSED", {"period": period((2026, 1, 1), (2026, 1, 1))}),
    ("no such day", "FIELD_INVALID", {"period": period((2026, 2, 30), (2026, 3, 1))}),
    ("no such year", "FIELD_INVALID", {"period": period((2026, 2, 1), (99999, 3, 1))}),
    ("a negative quantity", "QUANTITY_NOT_POSITIVE", {"quantity_kg": -1}),
    ("the least integer", "QUANTITY_NOT_POSITIVE", {"quantity_kg": -(2**63)}),
    ("the greatest integer", "QUANTITY_TOO_LARGE", {"quantity_kg": BIG}),
    ("a negative activity", "QUANTITY_NOT_POSITIVE", {"activity_quantity": -1}),
    ("a negative capacity", "QUANTITY_NOT_POSITIVE", {"asset__capacity_kw": -1}),
    ("a share of nothing", "FIELD_INVALID", {"part__share_ppm": 0}),
    ("more than the whole", "FIELD_INVALID", {"part__share_ppm": 1_000_001}),
    ("a meter without a number", "FIELD_MISSING", {"part__meter": " "}),
    ("a long meter", "TEXT_TOO_LONG", {"part__meter": "7" * 65}),
    ("a credit code whose check fails", "IDENTITY_CODE_INVALID", {"subject_uscc": "91110000600037341M"}),
    ("a long project id", "TEXT_TOO_LONG", {"project_id": "x" * 97}),
    ("a zero byte in the project id", "FIELD_INVALID", {"project_id": "P\x00"}),
    ("a long programme code", "TEXT_TOO_LONG", {"programme_code": "x" * 33}),
    ("a long name", "TEXT_TOO_LONG", {"asset__name": "x" * 257}),
    ("a region that is none", "FIELD_INVALID", {"region": "bridge"}),
    ("a region that GB/T 2260 does not know", "REGION_UNKNOWN", {"region": "region/999999"}),
)
