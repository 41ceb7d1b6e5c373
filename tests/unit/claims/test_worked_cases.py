from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tanqiao.claims.case_report import differences
from tanqiao.claims.cases import judge_document
from tanqiao.matching.polygons import overlap_area_m2

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("TANQIAO_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "verdict_cases.json"


@pytest.mark.skipif(not FILE.exists(), reason="the worked cases are not at hand (set TANQIAO_DATA)")
def test_every_worked_case_matches_in_every_field() -> None:
    results = judge_document(json.loads(FILE.read_text(encoding="utf-8")), overlap_area_m2)
    assert results
    assert {result.case_id: differences(result) for result in results if differences(result)} == {}
    assert [result.error for result in results if result.error is not None] == []
