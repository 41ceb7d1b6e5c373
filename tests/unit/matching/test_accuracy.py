"""On the labelled pairs that training did not see, the shipped search keeps what docs/screening.md says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts import train_screening as training
from tanqiao.matching import screening
from tanqiao.matching.model import shipped_parameters

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("TANQIAO_DATA", str(ROOT.parent / "shared" / "data")))
REPORTING_HALF = 1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "pairs_known.csv").is_file(), reason="the labelled pairs are not beside the project"
    ),
]


@pytest.fixture(scope="module")
def data() -> training.Data:
    return training.load(DATA)


def test_known_pairs_are_found_with_positions(data: training.Data) -> None:
    found = screening.screen(data.plants, data.projects, shipped_parameters(), assign_one_to_one=True)
    recall, precision, _, _ = training.measure(found, data.pairs, REPORTING_HALF)
    assert recall >= 0.97
    assert precision >= 0.97


def test_known_pairs_are_found_without_the_positions_of_plants(data: training.Data) -> None:
    plants = training.without_positions(data.plants)
    found = screening.screen(plants, data.projects, shipped_parameters(), assign_one_to_one=True)
    recall, precision, _, _ = training.measure(found, data.pairs, REPORTING_HALF)
    assert recall >= 0.95
    assert precision >= 0.97


def test_look_alikes_are_not_joined(data: training.Data) -> None:
    found = screening.screen(
        data.lookalikes_a, data.lookalikes_b, shipped_parameters(), assign_one_to_one=False
    )
    count, total = training.joined(found, data.lookalikes, REPORTING_HALF)
    assert count <= 0.02 * total
