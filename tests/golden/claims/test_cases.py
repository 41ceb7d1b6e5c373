from __future__ import annotations

import json

import pytest

from tanqiao.claims.case_report import differences
from tanqiao.claims.cases import CaseResult, judge_document
from tanqiao.claims.matrix import EDITIONS, FOREIGN_PROGRAMMES, Column
from tanqiao.claims.model import Programme, VerdictKind
from tanqiao.matching.polygons import overlap_area_m2
from tests.golden.claims.make_cases import FILE, document, render

RESULTS = judge_document(json.loads(FILE.read_text(encoding="utf-8")), overlap_area_m2)
CASES = {case["case_id"]: case for case in document()["cases"]}
WITHOUT_REGION_OF_ITS_OWN = {
    Programme.CCER,
    Programme.GEC,
    Programme.GREEN_POWER,
    Programme.YN_RESERVE,
    *FOREIGN_PROGRAMMES,
}


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.case_id)
def test_a_case_gets_what_it_expects_in_every_field(result: CaseResult) -> None:
    assert result.error is None, result.error
    assert differences(result) == {}, CASES[result.case_id]["title"]


def test_the_file_is_what_its_maker_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == render()


def cells_with_a_test() -> list[str]:
    """Cells by applicant; rows that several programmes share need one of them."""
    edition = EDITIONS[-1]
    cells: dict[tuple[int, Column], set[str]] = {}
    for programme, row in edition.rows.items():
        for column in row:
            if column is Column.SAME_REGION and programme in WITHOUT_REGION_OF_ITS_OWN:
                continue
            cells.setdefault((id(row), column), set()).add(f"cell:{programme}:{column}")
    return [" ".join(sorted(names)) for names in cells.values()]


@pytest.mark.parametrize("names", cells_with_a_test())
def test_every_cell_of_the_matrix_has_a_case(names: str) -> None:
    topics = {topic for case in CASES.values() for topic in case["topics"]}
    assert not topics.isdisjoint(names.split())


def test_every_verdict_and_every_level_is_expected_somewhere() -> None:
    verdicts = {case["expected"]["verdict"] for case in CASES.values()}
    levels = {case["expected"]["level"] for case in CASES.values()}
    assert verdicts == set(VerdictKind)
    assert levels == {"subject", "project", "interval", "quantity", "policy", None}


@pytest.mark.parametrize(
    "edge",
    [
        "half_open_touching",
        "share_sum",
        "retired_stays_live",
        "release_in_notice",
        "late_answer",
        "withdrawn_application",
        "no_answer",
        "n124_expiry",
        "precedence",
        "year_grain",
        "closure",
        "contradiction",
        "conversion",
        "polygon_tolerance",
        "several_findings",
    ],
)
def test_every_edge_has_a_case(edge: str) -> None:
    assert any(edge in case["topics"] for case in CASES.values())
