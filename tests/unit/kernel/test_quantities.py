from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError, InvariantBroken
from tanqiao.kernel.quantities import (
    PPM_WHOLE,
    floor_to_grain,
    format_decimal,
    grams_from_energy,
    grams_to_kg,
    multiply_ratio,
    parse_decimal,
    share_of,
    split_by_shares,
)

AMOUNTS = st.integers(-(10**15), 10**15)
COUNTS = st.integers(0, 10**15)


@st.composite
def shares(draw: st.DrawFn) -> list[int]:
    cuts = sorted(draw(st.lists(st.integers(0, PPM_WHOLE), max_size=6)))
    bounds = [0, *cuts, PPM_WHOLE]
    return [later - earlier for earlier, later in zip(bounds, bounds[1:], strict=False)]  # noqa: RUF007


@pytest.mark.parametrize(
    ("value", "grain", "expected"),
    [
        (2500, 1000, (2000, 500)),
        (2000, 1000, (2000, 0)),
        (999, 1000, (0, 999)),
        (7, 1, (7, 0)),
        (0, 1000, (0, 0)),
    ],
)
def test_a_value_is_floored_to_its_grain_and_the_rest_is_kept(
    value: int, grain: int, expected: tuple[int, int]
) -> None:
    assert floor_to_grain(value, grain) == expected


def test_a_negative_value_holds_no_grain_and_stays_a_debit() -> None:
    assert floor_to_grain(-1500, 1000) == (0, -1500)
    assert grams_to_kg(-1) == (0, -1)


@given(AMOUNTS, st.integers(1, 10**6))
def test_flooring_conserves_the_value(value: int, grain: int) -> None:
    whole, remainder = floor_to_grain(value, grain)
    assert whole + remainder == value
    assert whole % grain == 0
    assert whole >= 0
    assert remainder < grain


@given(COUNTS)
def test_grams_become_kilograms_without_loss(grams: int) -> None:
    kilograms, rest_grams = grams_to_kg(grams)
    assert kilograms * 1000 + rest_grams == grams
    assert 0 <= rest_grams < 1000


def test_a_grain_of_zero_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken):
        floor_to_grain(1, 0)


def test_energy_times_the_national_factor_of_2023_is_exact() -> None:
    assert grams_from_energy(1_000_000, 530_600) == (530_600, 0)
    assert grams_from_energy(1, 530_600) == (0, 530_600)


@given(AMOUNTS, st.integers(-(10**9), 10**9), st.integers(1, 10**9))
def test_a_ratio_is_floored_and_its_remainder_completes_it(
    value: int, numerator: int, denominator: int
) -> None:
    quotient, remainder = multiply_ratio(value, numerator, denominator)
    assert 0 <= remainder < denominator
    assert quotient + Fraction(remainder, denominator) == Fraction(value * numerator, denominator)


@given(COUNTS, shares())
def test_parts_add_up_to_the_total_and_lie_within_one_of_their_share(
    total: int, shares_ppm: list[int]
) -> None:
    parts = split_by_shares(total, shares_ppm)
    assert sum(parts) == total
    for part, share_ppm in zip(parts, shares_ppm, strict=True):
        assert 0 <= part - share_of(total, share_ppm)[0] <= 1


def test_what_is_left_over_goes_to_the_largest_remainder_then_to_the_earlier_share() -> None:
    assert split_by_shares(10, [333_333, 333_333, 333_334]) == (3, 3, 4)
    assert split_by_shares(1, [500_000, 500_000]) == (1, 0)


def test_shares_that_do_not_add_up_to_one_break_an_invariant() -> None:
    with pytest.raises(InvariantBroken):
        split_by_shares(10, [500_000, 499_999])
    with pytest.raises(InvariantBroken):
        share_of(10, PPM_WHOLE + 1)


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [("12.5", 3, 12500), ("0", 0, 0), ("007", 0, 7), ("0.5306", 4, 5306), ("1.2300", 2, 123), ("5", 3, 5000)],
)
def test_decimal_text_is_read_exactly(text: str, decimals: int, expected: int) -> None:
    assert parse_decimal(text, decimals) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ".5",
        "5.",
        "1e3",
        "1,000",
        "+1",
        "-1",
        " 1",
        "1 ",
        "0x10",
        "NaN",
        "inf",
        "1.001",
        "１",
        "1" * 41,
        "1_0",
    ],
)
def test_text_that_is_not_exactly_a_number_of_the_scale_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        parse_decimal(text, 2, field="capacity_kw")
    assert refusal.value.symbol == "FIELD_INVALID"
    assert refusal.value.field == "capacity_kw"


@given(AMOUNTS, st.integers(0, 9))
def test_reading_a_written_decimal_gives_the_same_integer_and_agrees_with_decimal(
    value: int, decimals: int
) -> None:
    text = format_decimal(value, decimals)
    assert parse_decimal(text, decimals, allow_negative=True) == value
    assert Decimal(text) == Decimal(value).scaleb(-decimals)
