"""The other methodologies of DOMAIN section 7, against figures worked by hand beside each test."""

from __future__ import annotations

from datetime import date

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao_region.domain.quantification import PLUG_INS, Parameters, parameters_of, plug_in_of
from tanqiao_region.domain.quantification.battery_car import BatteryCar, CarReading
from tanqiao_region.domain.quantification.grid_renewable import GridRenewable, UnitReading
from tanqiao_region.domain.quantification.household_electricity import (
    HouseholdDay,
    HouseholdElectricity,
    HouseholdElectricityPeakValley,
    HouseholdPeakValley,
)
from tanqiao_region.domain.quantification.methane import MethaneDestruction, MethaneReading
from tanqiao_region.domain.quantification.sinks import StockChange, StratumChange
from tanqiao_region.domain.quantification.travel import Travel, Trip
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, load_pack

YEAR = (date(2025, 1, 1), date(2026, 1, 1))
DAY = date(2026, 3, 2)


def _symbol(call: object) -> str:
    assert callable(call)
    with pytest.raises(DomainError) as raised:
        call()
    return raised.value.symbol


# --- Grid-connected renewable power -----------------------------------------------------------------------

SOUTH_2019 = {  # OM / BM of the South grid, 2019: 0.8042 / 0.2135 t/MWh (DOMAIN section 8)
    "operating_margin_kg_per_kwh": "0.8042",
    "build_margin_kg_per_kwh": "0.2135",
    "operating_margin_weight": "0.5",
    "build_margin_weight": "0.5",
}


def test_the_public_offshore_wind_sample_is_met() -> None:
    # Half of each margin: (0.8042 + 0.2135) / 2 = 0.50885 t/MWh. The sample registers 225,714 t;
    # 225,714 / 0.50885 = 443,576.7 MWh (DOMAIN section 3.1 rounds to 443,577 MWh).
    # 443,577 MWh x 0.50885 = 225,714.15645 t.
    parameters = Parameters.of("CCER-01-002-V01", 1000, SOUTH_2019)
    result = GridRenewable().quantify([UnitReading("U1", *YEAR, 443_577_000_000, 0, 0)], parameters, 0)
    assert result.grams == 225_714_156_450
    assert (result.units_kg, result.carried_out_grams) == (225_714_000, 156_450)


def test_expected_output_of_the_sample_has_plausible_full_load_hours() -> None:
    # 804,345 t a year / 0.50885 t/MWh = 1,580,712 MWh; / 500 MW = 3,161 h (DOMAIN section 7).
    parameters = Parameters.of("CCER-01-002-V01", 1000, SOUTH_2019)
    result = GridRenewable().quantify(
        [UnitReading("U1", *YEAR, 500 * 3_161 * 1_000_000, 0, 0)], parameters, 0
    )
    assert abs(result.grams - 804_345_000_000) < 200_000_000


def test_imports_and_project_emissions_are_taken_off() -> None:
    # (1,000 - 100) MWh x 0.50885 = 457.965 t, less 7.965 t = 450 t.
    parameters = Parameters.of("CCER-01-002-V01", 1000, SOUTH_2019)
    reading = UnitReading("U1", *YEAR, 1_000_000_000, 100_000_000, 7_965_000)
    result = GridRenewable().quantify([reading], parameters, 0)
    assert (result.grams, result.units_kg, result.carried_out_grams) == (450_000_000, 450_000, 0)


def test_a_plant_that_only_draws_power_has_a_debit_and_no_units() -> None:
    # 100 MWh drawn x 0.50885 = 50.885 t of debit; the 600 kg that were carried stay carried.
    parameters = Parameters.of("CCER-01-002-V01", 1000, SOUTH_2019)
    result = GridRenewable().quantify([UnitReading("U1", *YEAR, 0, 100_000_000, 0)], parameters, 600_000)
    assert (result.grams, result.debit_grams) == (-50_885_000, 50_885_000)
    assert (result.units_kg, result.carried_out_grams) == (0, 600_000)


def test_weights_that_are_no_whole_are_refused() -> None:
    factors = {**SOUTH_2019, "build_margin_weight": "0.25"}
    reading = [UnitReading("U1", *YEAR, 1, 0, 0)]
    parameters = Parameters.of("M", 1, factors)
    assert _symbol(lambda: GridRenewable().quantify(reading, parameters, 0)) == "PARAMETER_INVALID"


# --- Household electricity --------------------------------------------------------------------------------

HOUSEHOLD = {"baseline_kg_per_person_day": "0.5", "emission_factor_kg_per_kwh": "0.4403"}
# Baseline invented for the test; 0.4403 kg/kWh is the provincial factor of 2022 (DOMAIN section 8).


def _household(energy_wh: int, persons: int = 3, before: tuple[int, ...] = (6_000,) * 7) -> HouseholdDay:
    return HouseholdDay("H1", DAY, energy_wh, persons, before)


def test_a_day_below_the_allowance_counts_against_the_allowance() -> None:
    # 3 persons x 0.5 kg = 1.5 kg; 2 kWh x 0.4403 = 0.8806 kg; saved 619.4 g.
    result = HouseholdElectricity().quantify([_household(2_000)], Parameters.of("SZ-HE", 1, HOUSEHOLD), 0)
    assert (result.grams, result.units_kg, result.carried_out_grams) == (619, 0, 619)


def test_a_day_above_the_allowance_counts_against_the_week_before() -> None:
    # 5 kWh x 0.4403 = 2.2015 kg > 1.5 kg; mean of (6, 6, 6, 6, 6, 6, 7) kWh = 43/7 kWh;
    # 43/7 x 440.3 g = 2,704.7 g; less 2,201.5 g = 503.2 g.
    before = (6_000, 6_000, 6_000, 6_000, 6_000, 6_000, 7_000)
    result = HouseholdElectricity().quantify(
        [_household(5_000, before=before)], Parameters.of("SZ-HE", 1, HOUSEHOLD), 0
    )
    assert result.grams == 503


def test_a_day_above_both_saves_nothing() -> None:
    result = HouseholdElectricity().quantify([_household(9_000)], Parameters.of("SZ-HE", 1, HOUSEHOLD), 0)
    assert (result.grams, result.debit_grams) == (0, 0)


def test_a_day_that_needs_the_week_before_and_lacks_it_is_refused() -> None:
    parameters = Parameters.of("SZ-HE", 1, HOUSEHOLD)
    short = [_household(5_000, before=(6_000,) * 6)]
    assert _symbol(lambda: HouseholdElectricity().quantify(short, parameters, 0)) == "METERING_MISSING"
    assert HouseholdElectricity().quantify([_household(2_000, before=())], parameters, 0).grams == 619


@pytest.mark.parametrize(
    ("days", "symbol"),
    [
        ([_household(2_000), _household(2_000)], "DUPLICATE_KEY"),
        ([_household(-1)], "FIELD_INVALID"),
        ([_household(2_000, persons=0)], "FIELD_INVALID"),
        ([], "BATCH_EMPTY"),
    ],
    ids=["the same day twice", "negative", "nobody lives there", "empty"],
)
def test_impossible_household_days_are_refused(days: list[HouseholdDay], symbol: str) -> None:
    parameters = Parameters.of("SZ-HE", 1, HOUSEHOLD)
    assert _symbol(lambda: HouseholdElectricity().quantify(days, parameters, 0)) == symbol


def _peak_valley(tier: int = 1, *, has_pv: bool = False) -> HouseholdPeakValley:
    return HouseholdPeakValley("H1", DAY, 3_000, 1_000, tier, has_pv)


def test_the_unknown_formula_of_the_peak_and_valley_form_is_refused() -> None:
    plug_in = HouseholdElectricityPeakValley()
    parameters = Parameters.of("SHCER02010022024II", 1, {})
    with pytest.raises(DomainError) as raised:
        plug_in.quantify([_peak_valley()], parameters, 0)
    assert raised.value.symbol == "PARAMETER_NOT_SET"
    assert raised.value.metadata["parameter"] == "methodology.SHCER02010022024II.formula"


def test_third_tier_users_and_households_with_photovoltaics_are_left_out() -> None:
    excluded = HouseholdElectricityPeakValley.excluded(
        [_peak_valley(), _peak_valley(3), _peak_valley(has_pv=True), _peak_valley(3, has_pv=True)]
    )
    assert [line.excluded for line in excluded] == [
        "第三档用户 third tier",
        "光伏用户 household with photovoltaics",
        "第三档用户 third tier; 光伏用户 household with photovoltaics",
    ]
    assert _symbol(lambda: HouseholdElectricityPeakValley.excluded([_peak_valley(4)])) == "FIELD_INVALID"


# --- Travel -----------------------------------------------------------------------------------------------

RAIL = {"baseline_kg_per_person_km": "0.130", "mode_kg_per_person_km": "0.033"}
# Figures that circulate and are not official (DOMAIN section 7): demonstration only.


def test_trips_count_by_person_and_distance() -> None:
    # (0.130 - 0.033) kg x (12.5 km x 1 + 3 km x 2) = 0.097 x 18.5 = 1.7945 kg.
    trips = [Trip("O1", 12_500, 1, inside_city=True), Trip("O2", 3_000, 2, inside_city=True)]
    result = Travel().quantify(trips, Parameters.of("SH-RAIL", 1, RAIL), 0)
    assert (result.activity, result.grams) == (18_500, 1_794)
    assert (result.units_kg, result.carried_out_grams) == (1, 794)


def test_a_trip_out_of_the_city_is_listed_and_does_not_count() -> None:
    trips = [Trip("O1", 10_000, 1, inside_city=True), Trip("O2", 10_000, 1, inside_city=False)]
    result = Travel().quantify(trips, Parameters.of("SH-RAIL", 1, RAIL), 0)
    assert result.grams == 970
    assert [line.reference for line in result.excluded] == ["O2"]


def test_a_mode_worse_than_the_baseline_saves_nothing() -> None:
    factors = {"baseline_kg_per_person_km": "0.100", "mode_kg_per_person_km": "0.130"}
    result = Travel().quantify([Trip("O1", 9_000, 1, inside_city=True)], Parameters.of("X", 1, factors), 0)
    assert (result.grams, result.debit_grams) == (0, 0)


@pytest.mark.parametrize(
    ("trips", "symbol"),
    [
        ([Trip("O1", 1, 1, inside_city=True)] * 2, "DUPLICATE_KEY"),
        ([Trip("O1", -1, 1, inside_city=True)], "FIELD_INVALID"),
        ([Trip("O1", 500_001, 1, inside_city=True)], "FIELD_INVALID"),
        ([Trip("O1", 1, 0, inside_city=True)], "FIELD_INVALID"),
    ],
    ids=["one order twice", "negative", "kilometres taken for metres", "nobody"],
)
def test_impossible_trips_are_refused(trips: list[Trip], symbol: str) -> None:
    assert _symbol(lambda: Travel().quantify(trips, Parameters.of("X", 1, RAIL), 0)) == symbol


# --- Battery cars -----------------------------------------------------------------------------------------

CAR = {
    "combustion_kg_per_km": "0.2",
    "emission_factor_kg_per_kwh": "0.4403",
    "consumption_kwh_per_km": "0.15",
}
# 0.2 kg/km and 0.15 kWh/km are invented for the test: no factor is public.


def test_kilometres_less_what_was_charged() -> None:
    # 1,000 km x 0.2 = 200 kg; 150 kWh x 0.4403 = 66.045 kg; 133.955 kg.
    reading = CarReading("C1", *YEAR, 1_000_000, 150_000)
    result = BatteryCar().quantify([reading], Parameters.of("SH-BEV", 1, CAR), 0)
    assert (result.grams, result.units_kg, result.carried_out_grams) == (133_955, 133, 955)


def test_an_unmetered_car_is_charged_by_the_factor_rounded_up() -> None:
    # 1 m x 0.15 Wh/m = 0.15 Wh, taken as 1 Wh: 0.2 g - 0.4403 g is negative, a debit of 1 g after rounding.
    result = BatteryCar().quantify([CarReading("C1", *YEAR, 1, None)], Parameters.of("X", 1, CAR), 0)
    assert (result.grams, result.debit_grams, result.units_kg) == (-1, 1, 0)


def test_a_car_cannot_drive_more_than_a_day_holds() -> None:
    reading = [CarReading("C1", DAY, date(2026, 3, 3), 2_500_001, 0)]
    assert _symbol(lambda: BatteryCar().quantify(reading, Parameters.of("X", 1, CAR), 0)) == "FIELD_INVALID"


# --- Sinks and methane ------------------------------------------------------------------------------------


def test_growth_less_leakage_and_discount() -> None:
    # (1,500 - 1,000) t - 20 t leakage = 480 t; less 10 % for non-permanence = 432 t.
    stratum = StratumChange("P1/S1", *YEAR, 1_000_000_000, 1_500_000_000, 20_000_000)
    parameters = Parameters.of("CCER-14-001-V01", 1000, {"non_permanence_discount": "0.1"})
    result = StockChange().quantify([stratum], parameters, 0)
    assert (result.grams, result.units_kg) == (432_000_000, 432_000)


def test_a_fire_is_a_debit_that_no_discount_makes_smaller() -> None:
    stratum = StratumChange("P1/S1", *YEAR, 1_000_000_000, 900_000_000, 0)
    parameters = Parameters.of("CCER-14-001-V01", 1000, {"non_permanence_discount": "0.1"})
    result = StockChange().quantify([stratum], parameters, 0)
    assert (result.units_kg, result.debit_grams) == (0, 100_000_000)


METHANE = {"warming_potential": "28", "emission_factor_kg_per_kwh": "0.5366", "concentration_limit": "0.08"}
# 28 is the potential of the fifth assessment report; 0.5366 the national factor of 2022 (DOMAIN section 8).


def _methane(reference: str, ppm: int = 5_000, *, networked: bool = True) -> MethaneReading:
    return MethaneReading(reference, 1_000_000, ppm, 2_000_000, 500_000, networked)


def test_methane_and_displaced_power_count_together_less_own_emissions() -> None:
    # 1 t CH4 x 28 = 28 t; 2 MWh x 0.5366 = 1.0732 t; less 0.5 t = 28.5732 t.
    parameters = Parameters.of("CCER-10-001-V01", 1, METHANE)
    result = MethaneDestruction().quantify([_methane("T1")], parameters, 0)
    assert (result.grams, result.units_kg, result.carried_out_grams) == (28_573_200, 28_573, 200)


def test_an_interval_without_data_link_or_with_rich_gas_counts_only_its_own_emissions() -> None:
    readings = [_methane("T1"), _methane("T2", networked=False), _methane("T3", ppm=80_000)]
    result = MethaneDestruction().quantify(readings, Parameters.of("CCER-10-001-V01", 1, METHANE), 0)
    assert result.grams == 28_573_200 - 2 * 500_000
    assert [line.reference for line in result.excluded] == ["T2", "T3"]


# --- The catalogue ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PLUG_INS))
def test_every_plug_in_names_the_first_factor_that_nobody_gave(name: str) -> None:
    records: dict[str, list[object]] = {
        "battery_car": [CarReading("C1", *YEAR, 1, 1)],
        "distributed_pv": [("M1", *YEAR, 1, 0)],
        "grid_renewable": [UnitReading("U1", *YEAR, 1, 0, 0)],
        "household_electricity": [_household(1)],
        "household_electricity_peak_valley": [_peak_valley()],
        "methane_destruction": [_methane("T1")],
        "stock_change": [StratumChange("S", *YEAR, 0, 1, 0)],
        "travel": [Trip("O1", 1, 1, inside_city=True)],
    }
    plug_in = PLUG_INS[name]
    with pytest.raises(DomainError) as raised:
        plug_in.quantify(records[name], Parameters.of("M", 1, {}, {"capacity_w": 1}), 0)
    assert raised.value.symbol == "PARAMETER_NOT_SET"
    assert raised.value.metadata["parameter"].removeprefix("methodology.M.") in plug_in.factors_needed


def test_a_methodology_without_a_plug_in_is_refused() -> None:
    assert _symbol(lambda: plug_in_of("perpetual_motion")) == "PARAMETER_NOT_SET"


@pytest.mark.parametrize("pack_name", ["sh_draft", "sz_draft"])
def test_every_methodology_of_a_pack_has_a_plug_in_and_demonstration_factors_stay_on_test_networks(
    pack_name: str,
) -> None:
    pack = load_pack(SHIPPED_PACKS / pack_name, network_id="test-1")
    for template in pack.data.methodologies:
        plug_in = plug_in_of(template.plug_in)
        on_test, elsewhere = (
            parameters_of(template, number="M", grain_kg=1, site={}, is_test_network=is_test)
            for is_test in (True, False)
        )
        demonstration = template.provenance == "demonstration"
        assert bool(elsewhere.factors) == (bool(template.factors) and not demonstration)
        missing = plug_in.factors_needed - set(on_test.factors)
        assert bool(missing) == bool(template.unknown)


def test_a_factor_is_read_exactly_or_not_at_all() -> None:
    assert Parameters.of("M", 1, {"x": "0.4403"}).factor("x") == 440_300_000
    assert _symbol(lambda: Parameters.of("M", 1, {"x": "0.42e0"})) == "FIELD_INVALID"
    assert _symbol(lambda: Parameters.of("M", 1, {"x": "0.0000000001"})) == "FIELD_INVALID"
