"""Write `cases.json`: our own worked cases, a case for every cell of the matrix and every edge.

Expectations are written by hand from CLAIMS section 2 and the numbered rules of the worked cases; nothing
here calls the engine. Topics of the form ``cell:<row>:<column>`` say which cell of the matrix a case is for.
Run ``python -m tests.golden.claims.make_cases`` to write the file again; a test compares both.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.golden.claims.builders import CASES, Json
from tests.golden.claims.cities import shenzhen_and_shanghai, subjects
from tests.golden.claims.instalments import issue_under_the_notice
from tests.golden.claims.national import ccer, notice
from tests.golden.claims.others import foreign_and_reserve
from tests.golden.claims.pending import precedence_and_silence
from tests.golden.claims.periods import intervals
from tests.golden.claims.sales import sales
from tests.golden.claims.same_assets import same_assets
from tests.golden.claims.second_reading import second_reading

FILE = Path(__file__).parent / "cases.json"


def document() -> Json:
    """The whole document, with cases numbered in order."""
    CASES.clear()
    for chapter in (
        shenzhen_and_shanghai,
        subjects,
        intervals,
        same_assets,
        ccer,
        notice,
        issue_under_the_notice,
        sales,
        foreign_and_reserve,
        precedence_and_silence,
        second_reading,
    ):
        chapter()
    return {
        "schema": "tanqiao-verdict-cases/1",
        "title": "Every cell of the matrix and every edge",
        "disclaimer": "All assets, references, owners, dates, quantities and states are invented.",
        "licence": "as this repository",
        "parameters": {
            "time_zone": "Asia/Shanghai",
            "share_whole_ppm": 1_000_000,
            "polygon_overlap_tolerance_m2": 500,
            "polygon_crs": "CGCS2000 (EPSG:4490), longitude before latitude",
            "coordination_notice_valid": {"from": "2024-10-01", "to": "2026-10-01"},
        },
        "cases": list(CASES),
    }


def render() -> str:
    """The text of the file."""
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
    print(f"wrote {len(CASES)} cases")
