"""Distributed photovoltaics against figures worked by hand.

Sources: factor 0.42 t/MWh and limits of the Shanghai methodology (沪环气〔2022〕34号); 1 MW x 1,100 h gives
462 t a year (DOMAIN section 6.2: a press figure of 462 万吨 is wrong by 10**4).
"""

from __future__ import annotations

import time
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao_region.domain.quantification import Parameters, parameters_of, plug_in_of
from tanqiao_region.domain.quantification.distributed_pv import DistributedPv, PvReading
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, load_pack

PV = DistributedPv()
FACTORS = {"emission_factor_kg_per_kwh": "0.42", "capacity_max_kw": "1000"}


def _parameters(grain_kg: int = 1000, capacity_w: int = 1_000_000) -> Parameters:
    return Parameters.of("SHCER01010012024I", grain_kg, FACTORS, {"capacity_w": capacity_w})


def _month(number: int, on_grid_wh: int, self_use_wh: int = 0, meter: str = "M1") -> PvReading:
    start = date(2026, number, 1)
    end = date(2026, number + 1, 1) if number < 12 else date(2027, 1, 1)
    return PvReading(meter, start, end, on_grid_wh, self_use_wh)


def test_one_megawatt_with_1100_hours_gives_462_tonnes() -> None:
    # 1,100 MWh x 0.42 t/MWh = 462 t. Spread over the year: 11 months of 92 MWh and one of 88 MWh.
    year = [_month(number, 92_000_000) for number in range(1, 12)] + [_month(12, 88_000_000)]
    result = PV.quantify(year, _parameters(), 0)
    assert result.activity == 1_100_000_000
    assert (result.grams, result.units_kg, result.carried_out_grams) == (462_000_000, 462_000, 0)


def test_on_grid_and_self_used_electricity_both_count() -> None:
    # 30.5 MWh on grid + 12.25 MWh self-used = 42.75 MWh; x 0.42 = 17.955 t: 17 t issued, 955 kg left.
    result = PV.quantify([_month(1, 30_500_000, 12_250_000)], _parameters(), 0)
    assert (result.grams, result.units_kg, result.carried_out_grams) == (17_955_000, 17_000, 955_000)
    assert result.lines[0].grams == 17_955_000


def test_the_remainder_of_one_month_is_issued_with_the_next() -> None:
    # January leaves 955 kg; February 35.5 MWh x 0.42 = 14.91 t; together 15.865 t: 15 t issued, 865 kg left.
    first = PV.quantify([_month(1, 42_750_000)], _parameters(), 0)
    second = PV.quantify([_month(2, 35_500_000)], _parameters(), first.carried_out_grams)
    assert (second.carried_in_grams, second.units_kg, second.carried_out_grams) == (955_000, 15_000, 865_000)


def test_a_fraction_of_a_gram_is_rounded_down_once_over_the_period() -> None:
    # 1 Wh x 0.42 = 0.42 g; three readings of 1 Wh give 1.26 g, of which 1 g is kept: not 3 x 0 g.
    readings = [_month(number, 1) for number in (1, 2, 3)]
    result = PV.quantify(readings, _parameters(grain_kg=1), 0)
    assert result.grams == 1
    assert [line.grams for line in result.lines] == [0, 0, 0]


def test_a_plant_above_the_limit_is_outside_the_methodology() -> None:
    with pytest.raises(DomainError) as raised:
        PV.quantify([_month(1, 1)], _parameters(capacity_w=1_000_001), 0)
    assert raised.value.symbol == "ASSESSMENT_NOT_PASSED"
    assert PV.quantify([_month(1, 1)], _parameters(capacity_w=1_000_000), 0).grams == 0


def test_more_electricity_than_the_capacity_can_give_is_impossible() -> None:
    # 1 MW x 31 days x 24 h = 744 MWh.
    assert PV.quantify([_month(1, 744_000_000)], _parameters(), 0).activity == 744_000_000
    with pytest.raises(DomainError) as raised:
        PV.quantify([_month(1, 744_000_000, 1)], _parameters(), 0)
    assert raised.value.symbol == "FIELD_INVALID"


@pytest.mark.parametrize(
    ("readings", "symbol"),
    [
        ([], "BATCH_EMPTY"),
        ([_month(1, -1)], "FIELD_INVALID"),
        ([_month(1, 1, -1)], "FIELD_INVALID"),
        ([_month(1, 5), _month(1, 5)], "DUPLICATE_KEY"),
        ([_month(1, 5), PvReading("M1", date(2026, 1, 31), date(2026, 2, 2), 1, 0)], "DUPLICATE_KEY"),
        ([PvReading("M1", date(2026, 2, 1), date(2026, 2, 1), 0, 0)], "RANGE_REVERSED"),
    ],
    ids=["empty", "negative on-grid", "negative self-use", "the same month twice", "overlap", "no days"],
)
def test_impossible_files_are_refused_with_their_reason(readings: list[PvReading], symbol: str) -> None:
    with pytest.raises(DomainError) as raised:
        PV.quantify(readings, _parameters(), 0)
    assert raised.value.symbol == symbol


def test_two_meters_of_one_plant_may_report_the_same_month() -> None:
    result = PV.quantify([_month(1, 1_000_000), _month(1, 1_000_000, meter="M2")], _parameters(), 0)
    assert result.grams == 840_000


def test_an_unknown_factor_refuses_and_names_the_methodology() -> None:
    with pytest.raises(DomainError) as raised:
        PV.quantify([_month(1, 1)], Parameters.of("SZ-PV-01", 1000, {}, {"capacity_w": 1}), 0)
    assert raised.value.symbol == "PARAMETER_NOT_SET"
    assert raised.value.metadata["parameter"] == "methodology.SZ-PV-01.emission_factor_kg_per_kwh"


def test_an_unstated_capacity_breaks_the_chain_of_evidence() -> None:
    with pytest.raises(DomainError) as raised:
        PV.quantify([_month(1, 1)], Parameters.of("SHCER01010012024I", 1000, FACTORS), 0)
    assert raised.value.symbol == "EVIDENCE_CHAIN_BROKEN"


@pytest.mark.parametrize("carried_in", [-1, 1_000_000])
def test_what_is_carried_in_lies_below_one_grain(carried_in: int) -> None:
    with pytest.raises(InvariantBroken):
        PV.quantify([_month(1, 1)], _parameters(), carried_in)


@given(
    st.lists(st.integers(min_value=0, max_value=600_000_000), min_size=1, max_size=12),
    st.sampled_from([1, 7, 1000]),
)
def test_nothing_is_lost_or_made_over_the_months_of_a_year(generated: list[int], grain_kg: int) -> None:
    parameters = _parameters(grain_kg)
    carried, issued_kg, grams = 0, 0, 0
    for number, energy_wh in enumerate(generated, start=1):
        result = PV.quantify([_month(number, energy_wh)], parameters, carried)
        assert result.units_kg % grain_kg == 0
        assert 0 <= result.carried_out_grams < grain_kg * 1000
        carried, issued_kg, grams = (
            result.carried_out_grams,
            issued_kg + result.units_kg,
            grams + result.grams,
        )
    assert issued_kg * 1000 + carried == grams
    assert grams <= sum(generated) * 42 // 100


def test_the_methodology_that_the_pack_ships_gives_the_same_figure() -> None:
    pack = load_pack(SHIPPED_PACKS / "sh_draft", network_id="cn-pilot")
    template = next(entry for entry in pack.data.methodologies if entry.plug_in == "distributed_pv")
    parameters = parameters_of(
        template,
        number="SHCER01010012024I",
        grain_kg=1000,
        site={"capacity_w": 1_000_000},
        is_test_network=False,
    )
    result = plug_in_of(template.plug_in).quantify([_month(1, 42_750_000)], parameters, 0)
    assert result.units_kg == 17_000


def test_a_hundred_thousand_readings_are_computed_exactly() -> None:
    # 100,000 meters x 2.5 kWh a day x 0.42 = 105 t. Time is printed, not asserted: machines differ.
    day, after = date(2026, 6, 1), date(2026, 6, 1) + timedelta(days=1)
    readings = [PvReading(f"M{number:06d}", day, after, 2_000, 500) for number in range(100_000)]
    begun = time.perf_counter()
    result = PV.quantify(readings, _parameters(), 0)
    print(f"100,000 readings in {time.perf_counter() - begun:.3f} s")
    assert (result.grams, result.units_kg, len(result.lines)) == (105_000_000, 105_000, 100_000)
