"""Two small invented lists are screened; look-alikes stay apart, bad files are refused with their line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tanqiao.cli.claims_screen import screen_command
from tanqiao.matching.model import FEATURES, shipped_parameters
from tanqiao.matching.records import Record, ScreeningError, read_mapping, read_records
from tanqiao.matching.screening import Candidate, one_to_one, screen

MAPPING = """
[left]
id = "number"
name = ["title"]
technology = "kind"
capacity_mw = "mw"
latitude = "north"
longitude = "east"

[right]
id = "ref"
name = ["name"]
capacity_mw = "mw"
latitude = "north"
longitude = "east"
"""
LEFT = """number,title,kind,mw,north,east
L1,Hongshan Qingtan,Wind,49,41.1,115.2
L2,Hongshan Qingtan Phase 2,Wind,49,41.1,115.2
L3,甘肃白石沟水电站,Hydro,12,,
L4,Heilin Coal Station,Coal,600,35.1,110.2
"""
RIGHT = """ref,name,mw,north,east
R1,Hebei Hongshan Qingtan 49.5MW Wind Farm Project,49.5,115.2,41.1
R2,Hebei Hongshan Qingtan Wind Farm Phase II Project,49.5,41.1,115.2
R3,Gansu Baishigou 12.5 MW Hydropower Project,12.5,36.0,104.0
R4,Hebei Hongshan Qingtan Wind Farm Phase III Project,49.5,41.1,115.2
R5,Xiaoheishan Landfill Gas Project,3,30.0,104.0
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for name, text in (("mapping.toml", MAPPING), ("left.csv", LEFT), ("right.csv", RIGHT)):
        found[name] = tmp_path / name
        found[name].write_text(text, encoding="utf-8")
    return found


def run(files: dict[str, Path], out: Path, *more: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(
        screen_command,
        [
            *("--left", str(files["left.csv"]), "--right", str(files["right.csv"])),
            *("--mapping", str(files["mapping.toml"]), "--out", str(out), *more),
        ],
    )
    return result.exit_code, result.stdout, result.stderr


def records(files: dict[str, Path]) -> tuple[list[Record], list[Record]]:
    mapping = read_mapping(files["mapping.toml"])
    return read_records(files["left.csv"], mapping.left).rows, read_records(
        files["right.csv"], mapping.right
    ).rows


def test_the_same_assets_are_nominated_and_phases_stay_apart(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "pairs.csv"
    code, printed, progress = run(files, out)
    assert (code, printed) == (0, "")
    assert "comparing" in progress
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["left_id"], row["right_id"]) for row in rows} == {("L1", "R1"), ("L2", "R2"), ("L3", "R3")}
    assert list(rows[0]) == ["left_id", "right_id", "probability"]
    threshold = shipped_parameters().threshold
    assert all(threshold <= float(row["probability"]) <= 1 for row in rows)


def test_every_score_is_explained_feature_by_feature(files: dict[str, Path], tmp_path: Path) -> None:
    code, printed, _ = run(files, tmp_path / "pairs.csv", "--json")
    assert code == 0
    found = [json.loads(line) for line in printed.splitlines()]
    assert found
    for one in found:
        assert [part["feature"] for part in one["explanation"]] == [feature.name for feature in FEATURES]
    code, printed, _ = run(files, tmp_path / "pairs.csv", "--explain")
    assert code == 0
    assert "same words" in printed


def test_a_lower_probability_lets_more_in(files: dict[str, Path]) -> None:
    left, right = records(files)
    parameters = shipped_parameters()
    usual = screen(left, right, parameters, assign_one_to_one=False)
    fewer = screen(left, right, parameters, assign_one_to_one=False, probability_min=0.9)
    assert {(one.left_id, one.right_id) for one in fewer} < {(one.left_id, one.right_id) for one in usual}


def test_the_order_of_the_rows_changes_nothing(files: dict[str, Path]) -> None:
    left, right = records(files)
    parameters = shipped_parameters()
    forwards = screen(left, right, parameters, assign_one_to_one=True)
    backwards = screen(left[::-1], right[::-1], parameters, assign_one_to_one=True)
    assert forwards == backwards


def test_an_empty_side_has_no_candidates(files: dict[str, Path]) -> None:
    left, _ = records(files)
    assert screen(left, [], shipped_parameters(), assign_one_to_one=True) == []


def test_one_to_one_keeps_the_best_pair_of_each_row() -> None:
    def pair(left: str, right: str, weight: float) -> Candidate:
        return Candidate(left, right, 0.9, weight, (), ())

    kept = one_to_one([pair("a", "x", 1.0), pair("a", "y", 3.0), pair("b", "y", 2.0), pair("b", "x", 0.5)])
    assert [(one.left_id, one.right_id) for one in kept] == [("a", "y"), ("b", "x")]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("left.csv", LEFT.replace("mw,north", "power,north"), "line 1: has no column 'mw'"),
        ("left.csv", LEFT + "L5,Shifted,Wind,49\n", "line 6: has 4 cells, the header has 6"),
        ("left.csv", LEFT + ",Nameless,Wind,49,,\n", "line 6: column 'number' is empty"),
        (
            "left.csv",
            LEFT + "L1,Another,Wind,49,,\n",
            "line 6: column 'number': 'L1' stands for another row too",
        ),
        ("mapping.toml", MAPPING + 'owner = "owner"\n', "features that do not exist: owner"),
        ("mapping.toml", MAPPING.replace('longitude = "east"\n\n', "\n", 1), "one half of a position"),
        ("mapping.toml", "[left", "cannot be read as a mapping"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_written(
    files: dict[str, Path], tmp_path: Path, name: str, text: str, said: str
) -> None:
    files[name].write_text(text, encoding="utf-8")
    out = tmp_path / "pairs.csv"
    code, _, errors = run(files, out)
    assert code == 2
    assert said in errors
    assert not out.exists()


def test_gb18030_is_read_and_a_repeated_row_and_a_bad_number_are_warned_of(files: dict[str, Path]) -> None:
    text = LEFT + "L4,Heilin Coal Station,Coal,600,35.1,110.2\nL6,Lanshan,Wind,many,,\n"
    files["left.csv"].write_bytes(text.encode("gb18030"))
    found = read_records(files["left.csv"], read_mapping(files["mapping.toml"]).left)
    assert [row.id for row in found.rows] == ["L1", "L2", "L3", "L4", "L6"]
    assert found.rows[2].parts.compact == "baishigou"
    assert found.rows[-1].capacity_mw is None
    assert len(found.warnings) == 2
    files["left.csv"].write_bytes(b"\xff\xff\xff")
    with pytest.raises(ScreeningError, match="neither UTF-8 nor GB18030"):
        read_records(files["left.csv"], read_mapping(files["mapping.toml"]).left)


def test_the_shipped_parameters_are_odds_of_every_level() -> None:
    parameters = shipped_parameters()
    assert 0 < parameters.prior < parameters.threshold < 1
    for feature in FEATURES:
        assert len(parameters.levels[feature.name]) == len(feature.levels)
        assert all(0 < m < 1 and 0 < u < 1 for m, u in parameters.levels[feature.name])
    assert {feature.name for feature in FEATURES}.isdisjoint({"owner", "commissioning_year"})
