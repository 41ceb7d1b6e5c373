"""Positions that cannot be in China are read in the ways that put them there."""

from __future__ import annotations

import math

import pytest

from tanqiao.matching.positions import NOMINATIONS_MAX, nominations


def test_a_plausible_position_is_left_alone() -> None:
    assert nominations(30.5, 104.1) == ((30.5, 104.1),)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (104.1, 30.5),
        (30.5, -104.1),
        (-30.5, 104.1),
        (305000.0, 1041000.0),
        (30.5, 4.1),
        (303000.0, 1040600.0),
    ],
)
def test_swapped_signs_scales_and_lost_digits_are_nominated(latitude: float, longitude: float) -> None:
    found = nominations(latitude, longitude)
    assert 0 < len(found) <= NOMINATIONS_MAX
    assert any(
        math.isclose(north, 30.5, abs_tol=0.9) and math.isclose(east, 104.1, abs_tol=0.4)
        for north, east in found
    )


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(None, 104.1), (30.5, None), (math.nan, 104.1), (99.02, 99.02), (0.0, 0.0)]
)
def test_what_cannot_be_read_nominates_nothing(latitude: float | None, longitude: float | None) -> None:
    assert nominations(latitude, longitude) == ()
