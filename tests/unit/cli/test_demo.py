"""What the story invents, and the lists that it builds."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from tanqiao.cli.demo.cast import INVENTED, RUNS_MAX, Cast, invented_filing_code, invented_uscc
from tanqiao.cli.demo.lists import DATA_VARIABLE, FUELS, load_sources, write_lists
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_gec_filing_code, check_uscc

DATA = Path(os.environ.get(DATA_VARIABLE, "../shared/data"))


@pytest.mark.parametrize("run", [1, 7, RUNS_MAX])
def test_invented_codes_have_the_form_of_real_ones(run: int) -> None:
    for number in (1, 2, 3, 99):
        check_gec_filing_code(invented_filing_code(run, number))
        assert check_uscc(invented_uscc(run, number))[2:8] == "999900"


def test_each_run_has_its_own_plants_and_all_are_marked() -> None:
    codes = set()
    for run in range(1, 50):
        cast = Cast(run)
        for plant in (cast.rooftop, cast.applied_elsewhere, cast.certificates_sold):
            assert INVENTED in plant.name
            assert INVENTED in plant.owner
            codes |= {plant.filing_code, plant.uscc}
        assert INVENTED in cast.buyer
        assert INVENTED in cast.event
    assert len(codes) == 49 * 6


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_without_data_the_built_in_facts_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    sources = load_sources()
    assert "内置" in sources.origin
    ccer, gec = write_lists(sources, tmp_path / "lists", run=2)
    assert (ccer.real_rows, ccer.invented_rows) == (len(sources.ccer), 2)
    assert (gec.real_rows, gec.invented_rows) == (len(sources.plants), 8)
    assert all(plant["fuel"] in FUELS for plant in sources.plants)


def test_what_is_invented_about_a_real_plant_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    ccer, gec = write_lists(load_sources(), tmp_path / "lists", run=1)
    assert all(row["invented"] == "true" and "虚构" in row["plant_name"] for row in _rows(gec.path))
    invented = [row for row in _rows(ccer.path) if row["invented"] == "true"]
    assert [row["project_name"] for row in invented] == [Cast(1).applied_elsewhere.name]
    assert all("虚构" not in row["project_name"] for row in _rows(ccer.path) if row["invented"] == "false")


def test_a_data_directory_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(DomainError) as caught:
        load_sources()
    assert caught.value.symbol == "DIRECTORY_MISSING"
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(DomainError) as caught:
        load_sources()
    assert caught.value.symbol == "FILE_MISSING"


@pytest.mark.skipif(not DATA.is_dir(), reason="the larger data set is not at hand: set TANQIAO_DATA")
def test_the_real_records_are_taken_from_the_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(DATA))
    sources = load_sources()
    assert len(sources.ccer) >= 9
    ccer, gec = write_lists(sources, tmp_path, run=1)
    references = [row["reference"] for row in _rows(gec.path)]
    assert len(set(references)) == len(references) > 1000
    assert sum(row["invented"] == "false" for row in _rows(ccer.path)) == len(sources.ccer)
