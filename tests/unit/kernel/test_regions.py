from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError, RegionCode
from tanqiao.kernel.regions import PROVINCES, SHANGHAI, SHENZHEN, YUNNAN, Area


def test_the_three_regions_have_their_codes_and_names() -> None:
    assert (SHANGHAI, SHENZHEN, YUNNAN) == ("310000", "440300", "530000")
    assert [region.name().zh for region in (SHANGHAI, SHENZHEN, YUNNAN)] == ["上海市", "深圳市", "云南省"]
    assert [region.name().en for region in (SHANGHAI, SHENZHEN, YUNNAN)] == ["Shanghai", "Shenzhen", "Yunnan"]


def test_a_region_without_an_own_name_is_shown_by_its_province_and_code() -> None:
    assert RegionCode("530100").name().zh == "云南省530100"


@pytest.mark.parametrize("text", ["440300", "310101", "533100", "710000", "810000", "820000", "440300.L01"])
def test_a_code_of_a_known_province_is_accepted_and_stays_its_own_text(text: str) -> None:
    assert str(RegionCode(text)) == text
    assert pickle.loads(pickle.dumps(RegionCode(text))) == text  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "text",
    ["", "44030", "4403000", "440300 ", "44030a", "000000", "990000", "160000", "４４０３００", "440300L01",
     "440300.L1", "440300.L001", "440300.l01", "440300.X01", "440300\n"],
)  # fmt: skip
def test_what_is_no_division_of_a_known_province_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        RegionCode(text)
    assert refusal.value.symbol == "REGION_UNKNOWN"


def test_levels_and_provinces_are_read_from_the_digits() -> None:
    levels = [RegionCode(code).level for code in ("440000", "440300", "440305", "440300.L01")]
    assert levels == ["province", "prefecture", "county", "local"]
    assert RegionCode("440300.L01").province == "440000"
    assert RegionCode("440300.L01").division == "440300"


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("440000", "440305", True),
        ("440300", "440305", True),
        ("440300", "440300.L01", True),
        ("440300.L01", "440300.L01", True),
        ("440300.L01", "440300.L02", False),
        ("440305", "440305.L01", True),
        ("440305", "440306", False),
        ("440300", "440100", False),
        ("440300", "440000", False),
        ("310000", "440300", False),
    ],
)
def test_containment_follows_the_digits(outer: str, inner: str, expected: bool) -> None:
    assert RegionCode(outer).contains(RegionCode(inner)) is expected


def test_an_area_keeps_the_edition_of_its_code() -> None:
    area = Area(RegionCode("440305"), 2024)
    assert str(area) == "440305@2024"
    assert Area.parse("440305@2024") == area
    assert Area.parse("440305@2024") != Area.parse("440305@2010")


@pytest.mark.parametrize(
    "text", ["440305", "440305@", "440305@24", "440305@٢٠٢٤", "440305@1979", "440305@2024@1"]
)
def test_an_area_without_a_sound_edition_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        Area.parse(text)
    assert refusal.value.symbol == "FIELD_INVALID"


@given(st.sampled_from(sorted(PROVINCES)), st.integers(0, 9999))
def test_every_code_lies_within_its_province_and_within_itself(province: str, rest: int) -> None:
    region = RegionCode(f"{province}{rest:04d}")
    assert region.contains(region)
    assert region.province.contains(region)
