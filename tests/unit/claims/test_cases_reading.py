from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tanqiao.claims.cases import CaseResult, judge_document, read_facts, read_parameters
from tanqiao.claims.documents import Node
from tanqiao.claims.geometry import Polygons
from tanqiao.claims.model import Part, Registry
from tanqiao.claims.parameters import DEFAULT_PARAMETERS, Bar, CommitmentScope
from tanqiao.kernel.errors import DomainError
from tests.golden.claims.make_cases import document

Json = dict[str, Any]


def no_polygons(_first: Polygons, _second: Polygons) -> int:
    raise AssertionError("no polygon was given")


def first_case() -> Json:
    return copy.deepcopy(document()["cases"][0])


def judged(case: object) -> CaseResult:
    (result,) = judge_document({"schema": "tanqiao-verdict-cases/1", "cases": [case]}, no_polygons)
    return result


def change(path: str, value: object) -> Callable[[Json], None]:
    """Set, or with Ellipsis remove, one key below the case."""

    def apply(case: Json) -> None:
        *parents, last = path.split("/")
        target: Any = case
        for parent in parents:
            target = target[int(parent)] if parent.isdigit() else target[parent]
        key: Any = int(last) if last.isdigit() else last
        if value is ...:
            del target[key]
        else:
            target[key] = value

    return apply


APPLICANT = "applicant_claim"
FIRST, FIRST_AT = "existing_claims/0", "existing_claims[0]"
CONSENT_OF_ONE = {"gec_freeze_consent": 1}
OPEN_PERIOD = [{"from": "2025-01-01"}]
BEYOND_FLOATS = {"type": "Polygon", "coordinates": [[[10**400, 0], [1, 0], [1, 1], [10**400, 0]]]}


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        (change("assets", 5), "assets"),
        (change("assets", [5]), "assets[0]"),
        (change("assets/0/asset_id", ...), "assets[0].asset_id"),
        (change("assets/0/kind", ""), "assets[0].kind"),
        (change("assets/0/refs/0/scheme", 7), "assets[0].refs[0].scheme"),
        (change("assets/0/refs/0", {"scheme": "cdm", "value": "x" * 129}), "assets[0].refs[0].value"),
        (change("assets/0/refs/0", {"scheme": "No Scheme", "value": "x"}), "assets[0].refs[0].value"),
        (change("assets/0/facts", {"ets_covered": "yes"}), "assets[0].facts.ets_covered"),
        (change("assets/0/facts", {"offshore_distance_km": "31"}), "assets[0].facts.offshore_distance_km"),
        (change("assets/0/facts", {"water_depth_m": -1}), "assets[0].facts.water_depth_m"),
        (change("assets/0/facts", {"water_depth_m": float("nan")}), "assets[0].facts.water_depth_m"),
        (change("assets/0/facts", {"commissioned": "lately"}), "assets[0].facts.commissioned"),
        (change("assets/0/capacity_kw", "7"), "assets[0].capacity_kw"),
        (change("assets/0/polygon", {"type": "Point"}), "assets[0].polygon.type"),
        (change("asset_links", [{"a": "a1", "b": "a9", "relation": "same"}]), "asset_links[0].b"),
        (change("asset_links", [{"a": "a1", "b": "a1", "relation": "alike"}]), "asset_links[0].relation"),
        (change("registry_answers", ...), "registry_answers"),
        (change("registry_answers/ccer", "maybe"), "registry_answers.ccer"),
        (change("decided_on", "2026-02-30"), "decided_on"),
        (change("existing_claims", {}), "existing_claims"),
        (change("existing_claims/0/claim_id", "n1"), "existing_claims"),
        (change("existing_claims/0/asset_id", "a9"), "existing_claims[0].asset_id"),
        (change("existing_claims/0/programme", "JCM"), "existing_claims[0].programme"),
        (change("existing_claims/0/programme", "GEC"), "existing_claims[0].gec"),
        (change("existing_claims/0/status", "LIVE"), "existing_claims[0].status"),
        (change("existing_claims/0/attribute", None), "existing_claims[0].attribute"),
        (change("existing_claims/0/grain", "week"), "existing_claims[0].grain"),
        (change("existing_claims/0/object", "instalment"), "existing_claims[0].object"),
        (change("existing_claims/0/from", "2026-01-01T00:00:00"), "existing_claims[0].from"),
        (change("existing_claims/0/to", "2015-01-01"), "existing_claims[0].to"),
        (change("existing_claims/0/declared_at", "soon"), "existing_claims[0].declared_at"),
        (change("existing_claims/0/part", {}), "existing_claims[0].part"),
        (change("existing_claims/0/part", {"share_ppm": 0}), "existing_claims[0].part.share_ppm"),
        (change("existing_claims/0/part", {"share_ppm": 1_000_001}), "existing_claims[0].part.share_ppm"),
        (change("existing_claims/0/part", {"share_ppm": 1, "meter": "M"}), "existing_claims[0].part"),
        (change("existing_claims/0/part", 500_000), "existing_claims[0].part"),
        (change(f"{FIRST}/activity", {"quantity": 1.0, "unit": "MWh"}), f"{FIRST_AT}.activity.quantity"),
        (change(f"{FIRST}/activity", {"quantity": -1, "unit": "MWh"}), f"{FIRST_AT}.activity.quantity"),
        (change(f"{FIRST}/activity", {"quantity": True, "unit": "MWh"}), f"{FIRST_AT}.activity.quantity"),
        (change("existing_claims/0/activity", {"quantity": 1}), "existing_claims[0].activity.unit"),
        (change(f"{FIRST}/gec", {"state": "SOLD", "tradable": True}), f"{FIRST_AT}.gec.state"),
        (change("existing_claims/0/gec", {"state": "ISSUED"}), "existing_claims[0].gec.tradable"),
        (change(APPLICANT, ...), APPLICANT),
        (change(f"{APPLICANT}/action", "BUY"), f"{APPLICANT}.action"),
        (change(f"{APPLICANT}/supersedes", "e1"), f"{APPLICANT}.supersedes"),
        (change(f"{APPLICANT}/supersedes", [1]), f"{APPLICANT}.supersedes[0]"),
        (change(f"{APPLICANT}/evidence", CONSENT_OF_ONE), f"{APPLICANT}.evidence.gec_freeze_consent"),
        (change(f"{APPLICANT}/activity_by_period", OPEN_PERIOD), f"{APPLICANT}.activity_by_period[0].to"),
        (change("metering", [{"asset_id": "a9"}]), "metering[0].asset_id"),
        (change("expected", "ALLOW"), "expected"),
        (change("assets/0/capacity_kw", 10**400), "assets[0].capacity_kw"),
        (change("assets/0/facts", {"water_depth_m": 1e308}), "assets[0].facts.water_depth_m"),
        (change("assets/0/polygon", BEYOND_FLOATS), "assets[0].polygon.coordinates[0][0]"),
        (change(f"{FIRST}/activity", {"quantity": 10**16, "unit": "km"}), f"{FIRST_AT}.activity.quantity"),
        (change(f"{FIRST}/claim_id", "e\ud800"), f"{FIRST_AT}.claim_id"),
        (change("decided_on", "2026-W11-4"), "decided_on"),
        (change("decided_on", "20260312"), "decided_on"),
        (change(f"{FIRST}/from", "2025-W01-1"), f"{FIRST_AT}.from"),
        (change(f"{FIRST}/to", "9999-12-31T23:59:59-12:00"), f"{FIRST_AT}.to"),
    ],
)  # fmt: skip
def test_a_case_that_cannot_be_read_says_where_and_why(fault: Callable[[Json], None], field: str) -> None:
    case = first_case()
    fault(case)
    result = judged(case)
    assert result.verdict is None
    assert isinstance(result.error, DomainError)
    assert result.error.symbol == "FIELD_INVALID"
    assert result.error.field == f"T001.{field}"
    assert result.error.metadata["detail"]


def test_an_asset_id_used_twice_is_refused() -> None:
    case = first_case()
    case["assets"].append(copy.deepcopy(case["assets"][0]))
    error = judged(case).error
    assert error is not None
    assert error.field == "T001.assets[1].asset_id"


@pytest.mark.parametrize("case", [5, {}, {"case_id": ""}])
def test_a_case_without_an_id_is_named_by_its_place(case: object) -> None:
    result = judged(case)
    assert result.case_id == "cases[0]"
    assert result.error is not None
    assert str(result.error.field).startswith("cases[0]")


def test_one_bad_case_does_not_keep_the_others_from_being_judged() -> None:
    good = document()
    good["cases"][1] = {"case_id": "broken"}
    good["cases"] = good["cases"][:3]
    results = judge_document(good, no_polygons)
    assert [result.case_id for result in results] == ["T001", "broken", "T003"]
    assert [result.verdict is None for result in results] == [False, True, False]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], ""),
        ({}, "schema"),
        ({"schema": "tanqiao-verdict-cases/2", "cases": []}, "schema"),
        ({"schema": "tanqiao-verdict-cases/1"}, "cases"),
        ({"schema": "tanqiao-verdict-cases/1", "cases": {}}, "cases"),
        ({"schema": "tanqiao-verdict-cases/1", "cases": [], "parameters": []}, "parameters"),
        (
            {"schema": "tanqiao-verdict-cases/1", "cases": [], "parameters": {"share_whole_ppm": 100}},
            "parameters.share_whole_ppm",
        ),
        (
            {"schema": "tanqiao-verdict-cases/1", "cases": [], "parameters": {"time_zone": "UTC"}},
            "parameters.time_zone",
        ),
        (
            {
                "schema": "tanqiao-verdict-cases/1",
                "cases": [],
                "parameters": {"coordination_notice_valid": {"from": "2026-10-01", "to": "2024-10-01"}},
            },
            "parameters.coordination_notice_valid.to",
        ),
    ],
)
def test_a_document_of_another_kind_is_refused(value: object, field: str) -> None:
    with pytest.raises(DomainError) as refused:
        judge_document(value, no_polygons)
    assert refused.value.field == field


def test_parameters_that_are_not_named_keep_their_defaults() -> None:
    assert read_parameters(None) == DEFAULT_PARAMETERS
    assert read_parameters(Node({"time_zone": "Asia/Shanghai"}, "parameters")) == DEFAULT_PARAMETERS


def test_switches_are_read_under_the_keys_of_the_rules() -> None:
    node = Node(
        {
            "polygon_overlap_tolerance_m2": 0,
            "sz.exclusion.withdrawn_application_bars": "block",
            "sz.exclusion.automatic_certificate_is_application": "allow",
            "sh.commitment.scope": "subject_block",
            "sh.ets_exclusion": "off",
        },
        "parameters",
    )
    parameters = read_parameters(node)
    assert parameters.polygon_overlap_tolerance_m2 == 0
    assert parameters.shenzhen_withdrawn_application_bars is Bar.BLOCK
    assert parameters.shenzhen_automatic_certificate_is_application is Bar.ALLOW
    assert parameters.shanghai_commitment_scope is CommitmentScope.SUBJECT_BLOCK
    assert parameters.shanghai_ets_exclusion is Bar.ALLOW


def test_every_field_of_a_claim_is_read() -> None:
    case = first_case()
    case["existing_claims"][0] |= {
        "part": {"share_ppm": 5},
        "declared_at": "2026-01-01T00:00:00+08:00",
        "activity": {"quantity": 7, "unit": "km"},
        "quantity_kg_co2e": 9,
        "methodology": "M",
        "project": "P",
    }
    (claim,) = read_facts(Node(case, "T001"), DEFAULT_PARAMETERS, no_polygons).existing_claims
    assert claim.part == Part(share_ppm=5)
    assert claim.declared_microsecond == 1_767_196_800_000_000
    assert claim.activity is not None
    assert (claim.activity.quantity, claim.activity.unit) == (7, "km")
    assert (claim.quantity_kg, claim.methodology, claim.project) == (9, "M", "P")


def test_a_registry_that_is_not_named_did_not_answer() -> None:
    case = first_case()
    del case["registry_answers"]["gs"]
    answers = read_facts(Node(case, "T001"), DEFAULT_PARAMETERS, no_polygons).registry_answers
    assert answers.silent == (Registry.GS,)


def test_a_distance_is_kept_to_the_millimetre_and_never_rounded_down() -> None:
    case = first_case()
    case["assets"][0]["facts"] = {"offshore_distance_km": 30.0000001, "water_depth_m": 30}
    asset = read_facts(Node(case, "T001"), DEFAULT_PARAMETERS, no_polygons).assets["a1"]
    assert asset.offshore_distance_mm == 30_000_001
    assert asset.water_depth_mm == 30_000


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2022-12-31", date(2022, 12, 31)),
        ("2022-12", date(2022, 12, 1)),
        ("2022", date(2022, 1, 1)),
        (2022, date(2022, 1, 1)),
    ],
)
def test_a_commissioning_may_be_known_by_the_month_or_year(written: object, day: date) -> None:
    case = first_case()
    case["assets"][0]["facts"] = {"commissioned": written}
    asset = read_facts(Node(case, "T001"), DEFAULT_PARAMETERS, no_polygons).assets["a1"]
    assert asset.commissioned == day


def test_an_invented_reference_need_not_be_of_its_registrys_form() -> None:
    case = first_case()
    case["assets"][0]["refs"] = [
        {"scheme": "vcs", "value": "vcs-test-1"},
        {"scheme": "cdm", "value": "CDM 0042"},
    ]
    asset = read_facts(Node(case, "T001"), DEFAULT_PARAMETERS, no_polygons).assets["a1"]
    assert [(ref.scheme, ref.value) for ref in asset.references] == [("vcs", "VCS-TEST-1"), ("cdm", "42")]
