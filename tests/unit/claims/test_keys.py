from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.claims.geometry import bounds_of
from tanqiao.claims.keys import (
    CELLS_MAX,
    Strength,
    asset_key,
    asset_ref,
    canonical_value,
    grid_keys,
    lock_keys,
    strength_of,
)
from tanqiao.claims.model import Asset, Bounds, Part, Programme, Subject
from tanqiao.kernel.errors import DomainError, InvariantBroken
from tests.unit.claims.builders import ROOF, a_claim


@pytest.mark.parametrize(
    ("scheme", "written", "canonical"),
    [
        ("vin", " lzzzz4cb6p0000001 ", "LZZZZ4CB6P0000001"),
        ("vin", "ＬＺＺＺＺ4ＣＢ6Ｐ0000001", "LZZZZ4CB6P0000001"),
        ("gec_filing_code", "9944 0300 0000 0070 5", "99440300000000705"),
        ("power_account", "4403-990000000705", "4403-990000000705"),
        ("cdm", "04696", "4696"),
        ("cdm", "CDM-4696", "4696"),
        ("vcs", "VCS 1435", "1435"),
        ("vcs", "1435", "1435"),
        ("gs", "gs001", "1"),
        ("plant_id", "p1926", "P1926"),
        ("parcel_code", "530902test0000000000000000710", "530902TEST0000000000000000710"),
        ("some_registry", "a b\tc", "ABC"),
    ],
)
def test_a_reference_has_one_canonical_form(scheme: str, written: str, canonical: str) -> None:
    assert canonical_value(scheme, written) == canonical
    assert canonical_value(scheme, canonical) == canonical


@pytest.mark.parametrize(
    ("scheme", "written"),
    [("cdm", "46a6"), ("vcs", "VCS"), ("vin", "LZZ ZZ?"), ("vin", "   "), ("plant_id", "x" * 129)],
)
def test_a_reference_that_is_not_of_its_scheme_is_refused_without_repeating_it(
    scheme: str, written: str
) -> None:
    with pytest.raises(DomainError) as refused:
        asset_ref(scheme, written)
    assert refused.value.symbol == "FIELD_INVALID"
    assert refused.value.field == scheme
    assert written.strip() == "" or written not in str(refused.value)


@pytest.mark.parametrize("scheme", ["", "Has Blank", "名称", "x" * 33])
def test_a_scheme_that_is_no_name_is_refused(scheme: str) -> None:
    with pytest.raises(DomainError):
        asset_ref(scheme, "1")


def test_an_alias_of_a_scheme_is_the_scheme() -> None:
    assert asset_ref("real_estate_unit", "1a") == asset_ref("parcel_code", "1A")


def test_names_prove_nothing_and_unknown_registries_prove_as_much_as_known_ones() -> None:
    assert strength_of("name") is Strength.DESCRIPTOR
    assert strength_of("vin") is Strength.LEGAL_ID
    assert strength_of("cdm") is Strength.OTHER_REGISTRY
    assert strength_of("some_registry") is Strength.OTHER_REGISTRY


def test_the_part_of_a_reference_is_not_in_its_key() -> None:
    assert asset_key(asset_ref("cdm", "1", Part(meter="M1"))) == "asset:cdm:1"


def test_a_declaration_locks_its_references_its_subject_and_its_cells() -> None:
    asset = Asset(
        "a1",
        "forest",
        (asset_ref("vcs", "VCS1"), asset_ref("name", "a forest"), asset_ref("parcel_code", "B2")),
        bounds=Bounds(100_040_000, 25_000_000, 100_060_000, 25_000_000),
    )
    claim = a_claim("n1", Programme.CCER, subject=Subject("x", "91440300TQ00300377"))
    assert lock_keys(claim, {"a1": asset}) == (
        "asset:parcel_code:B2",
        "asset:vcs:1",
        "cell:500:2000",
        "cell:500:2001",
        "subject:91440300TQ00300377",
    )


@pytest.mark.parametrize("programme", [Programme.SZ_PHCER, Programme.YN_RESERVE, Programme.REGIONAL])
def test_rows_that_do_not_look_at_the_subject_do_not_lock_it(programme: Programme) -> None:
    assert lock_keys(a_claim("n1", programme), {"a1": ROOF}) == ("asset:gec_filing_code:99990000000000001",)


def test_a_subject_without_a_code_locks_nothing() -> None:
    claim = a_claim("n1", Programme.SH_SHCER, subject=Subject("", None))
    assert all(not key.startswith("subject:") for key in lock_keys(claim, {"a1": ROOF}))


def test_an_unknown_asset_breaks_an_invariant() -> None:
    with pytest.raises(InvariantBroken):
        lock_keys(a_claim(asset_id="a9"), {"a1": ROOF})


def test_a_box_of_half_a_continent_is_refused() -> None:
    with pytest.raises(DomainError) as refused:
        list(grid_keys(Bounds(70_000_000, 20_000_000, 130_000_000, 50_000_000)))
    assert refused.value.metadata["detail"] == f"more than {CELLS_MAX} grid cells"


degrees = st.floats(min_value=-1.0, max_value=1.0, allow_nan=False)


@given(degrees, degrees, st.floats(0.0001, 0.2), degrees, degrees, st.floats(0.0001, 0.2))
def test_boxes_with_a_common_area_have_a_common_cell(
    west: float, south: float, edge: float, other_west: float, other_south: float, other_edge: float
) -> None:
    def box(x: float, y: float, size: float) -> Bounds:
        return bounds_of((((((x, y), (x + size, y), (x + size, y + size), (x, y))),),))

    meet = (
        west < other_west + other_edge
        and other_west < west + edge
        and south < other_south + other_edge
        and other_south < south + edge
    )
    first = set(grid_keys(box(west, south, edge)))
    second = set(grid_keys(box(other_west, other_south, other_edge)))
    if meet:
        assert not first.isdisjoint(second)


def test_cells_south_and_west_of_zero_have_keys_of_their_own() -> None:
    assert set(grid_keys(Bounds(-1, -1, 0, 0))) == {"cell:-1:-1", "cell:-1:0", "cell:0:-1", "cell:0:0"}
