from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.bench.limits import Work, items_per_second
from tests.bench.results import Report, Result, number

MEASURED = Result(
    "bridge", "batches", "sqlite", "transfers/s", (900.0, 1200.0, 1000.0), (4000.0, 5000.0), "bare"
)


def test_a_ratio_is_that_of_the_medians() -> None:
    assert MEASURED.median == 1000.0
    assert MEASURED.ratio == pytest.approx(1000 / 4500)


def test_without_a_limit_there_is_no_ratio() -> None:
    assert Result("nodes", "start", "", "s", (1.0,)).ratio is None


def test_the_table_shows_minimum_median_maximum_limit_and_ratio() -> None:
    report = Report({"cores": "2"}, [MEASURED], ["regions sqlite: no"])
    output = io.StringIO()
    report.show(Console(file=output, width=160))
    text = output.getvalue()
    row = next(line for line in text.splitlines() if "batches" in line and "│" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "batches",
        "sqlite",
        "transfers/s",
        "900",
        "1,000",
        "1,200",
        "4,500",
        "0.222",
    ]
    assert "limit of batches: bare" in text
    assert "FAILED regions sqlite: no" in text
    assert "cores 2" in text


def test_numbers_are_short_and_keep_three_digits() -> None:
    assert [number(12345.6), number(99.94), number(0.01234)] == ["12,346", "99.9", "0.0123"]


def test_a_limit_counts_every_item_of_every_group(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("limit")
    rate = items_per_second(Work(1, 1, 1), 1000, folder, seconds=0.05)
    assert rate >= 1000 / 10
    assert not list(folder.iterdir())
