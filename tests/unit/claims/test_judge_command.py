from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tanqiao.cli.claims_judge import judge_command
from tests.golden.claims.make_cases import FILE, document


def run(*arguments: str) -> Result:
    return CliRunner().invoke(judge_command, list(arguments))


def write(path: Path, value: object) -> str:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_our_own_cases_pass_and_each_gets_one_json_line() -> None:
    result = run(str(FILE), "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["case_id"] for line in lines] == [case["case_id"] for case in document()["cases"]]
    assert lines[0] == {
        "case_id": "T001",
        "verdict": "BLOCK",
        "level": "project",
        "article": "SZ-22",
        "colliding_claims": ["e1"],
    }


def test_without_json_a_line_is_for_a_reader(tmp_path: Path) -> None:
    cases = document()
    cases["cases"] = [case for case in cases["cases"] if case["case_id"] in ("T001", "T005")]
    result = run(write(tmp_path / "cases.json", cases))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["T001  BLOCK  project  e1  SZ-22", "T005  ALLOW  -  -  SZ-22"]


def test_another_expected_verdict_ends_with_one_and_says_which(tmp_path: Path) -> None:
    cases = document()
    cases["cases"] = cases["cases"][:2]
    cases["cases"][1]["expected"]["verdict"] = "ALLOW"
    result = run(write(tmp_path / "cases.json", cases), "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "T002: verdict: expected 'ALLOW', found 'BLOCK'\n"


def test_a_case_without_an_expectation_is_only_judged(tmp_path: Path) -> None:
    cases = document()
    cases["cases"] = cases["cases"][:1]
    del cases["cases"][0]["expected"]
    result = run(write(tmp_path / "cases.json", cases))
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "an object is expected"),
        (b'{"schema": "other/1"}', "schema: tanqiao-verdict-cases/1 is expected"),
    ],
)
def test_an_unreadable_file_ends_with_two_and_one_clear_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "cases.json"
    file.write_bytes(content)
    result = run(str(file))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_missing_file_or_a_folder_ends_with_two(tmp_path: Path, name: str) -> None:
    result = run(str(tmp_path / name))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_case_that_cannot_be_read_is_named_and_the_others_are_judged(tmp_path: Path) -> None:
    cases = document()
    cases["cases"] = cases["cases"][:2]
    del cases["cases"][0]["decided_on"]
    result = run(write(tmp_path / "cases.json", cases), "--json")
    assert result.exit_code == 2
    assert [json.loads(line)["case_id"] for line in result.stdout.splitlines()] == ["T002"]
    assert result.stderr.strip().endswith("T001: T001.decided_on: is missing")


@pytest.mark.parametrize(
    ("key", "value"),
    [("case_id", "\ud800"), ("assets", [{"asset_id": "a1", "kind": "csp", "capacity_kw": 10**400}])],
)
def test_what_json_can_say_and_nobody_can_write_stops_no_other_case(
    tmp_path: Path, key: str, value: object
) -> None:
    cases = document()
    cases["cases"] = cases["cases"][:2]
    cases["cases"][0][key] = value
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases), encoding="ascii")
    result = run(str(file), "--json")
    assert result.exit_code == 2
    assert [json.loads(line)["case_id"] for line in result.stdout.splitlines()] == ["T002"]
    assert len(result.stderr.splitlines()) == 1


def test_a_period_since_the_first_day_of_the_calendar_is_printed(tmp_path: Path) -> None:
    cases = document()
    case = next(case for case in cases["cases"] if case["expected"]["allowed"] is not None)
    start = case["applicant_claim"]["from"]
    text = json.dumps(case, ensure_ascii=False).replace(f'"from": "{start}"', '"from": "0001-01-01"')
    cases["cases"] = [json.loads(text)]
    result = run(write(tmp_path / "cases.json", cases), "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["verdict"] == "SPLIT"


def test_a_polygon_that_crosses_itself_is_named(tmp_path: Path) -> None:
    cases = document()
    case = next(case for case in cases["cases"] if "polygon_overlap" in case["topics"])
    ring = [[100, 25], [101, 26], [101, 25], [100, 26], [100, 25]]
    case["assets"][0]["polygon"] = {"type": "Polygon", "coordinates": [ring]}
    cases["cases"] = [case]
    result = run(write(tmp_path / "cases.json", cases))
    assert result.exit_code == 2
    assert "Self-intersection" in result.stderr
