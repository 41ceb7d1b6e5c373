"""Divisions of GB/T 2260 as the names of regions and areas.

A region is a division at or below a province, Hong Kong, Macao and Taiwan included. Two functional areas of
Shenzhen have no code in the standard, so that a local code, marked by ``.L`` and two digits behind the
division it lies in, is allowed (DOMAIN section 9.3). Codes below the province are not looked up here: they
change over time and are data of the registers, which is why an `Area` keeps the edition year.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, Self

from tanqiao.kernel.errors import DomainError

AreaLevel = Literal["province", "prefecture", "county", "local"]

FIRST_EDITION_YEAR: Final = 1980
LAST_EDITION_YEAR: Final = 2999

_CODE: Final = re.compile(r"[0-9]{6}(\.L[0-9]{2})?", re.ASCII)
_TEXT_SHOWN_MAX: Final = 16
_DIVISION_LENGTH: Final = 6
_PROVINCE_LENGTH: Final = 2
_PREFECTURE_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class RegionName:
    """Name of a region as screens and receipts show it."""

    zh: str
    en: str


PROVINCES: Final[Mapping[str, RegionName]] = MappingProxyType(
    {
        "11": RegionName("北京市", "Beijing"),
        "12": RegionName("天津市", "Tianjin"),
        "13": RegionName("河北省", "Hebei"),
        "14": RegionName("山西省", "Shanxi"),
        "15": RegionName("内蒙古自治区", "Inner Mongolia"),
        "21": RegionName("辽宁省", "Liaoning"),
        "22": RegionName("吉林省", "Jilin"),
        "23": RegionName("黑龙江省", "Heilongjiang"),
        "31": RegionName("上海市", "Shanghai"),
        "32": RegionName("江苏省", "Jiangsu"),
        "33": RegionName("浙江省", "Zhejiang"),
        "34": RegionName("安徽省", "Anhui"),
        "35": RegionName("福建省", "Fujian"),
        "36": RegionName("江西省", "Jiangxi"),
        "37": RegionName("山东省", "Shandong"),
        "41": RegionName("河南省", "Henan"),
        "42": RegionName("湖北省", "Hubei"),
        "43": RegionName("湖南省", "Hunan"),
        "44": RegionName("广东省", "Guangdong"),
        "45": RegionName("广西壮族自治区", "Guangxi"),
        "46": RegionName("海南省", "Hainan"),
        "50": RegionName("重庆市", "Chongqing"),
        "51": RegionName("四川省", "Sichuan"),
        "52": RegionName("贵州省", "Guizhou"),
        "53": RegionName("云南省", "Yunnan"),
        "54": RegionName("西藏自治区", "Tibet"),
        "61": RegionName("陕西省", "Shaanxi"),
        "62": RegionName("甘肃省", "Gansu"),
        "63": RegionName("青海省", "Qinghai"),
        "64": RegionName("宁夏回族自治区", "Ningxia"),
        "65": RegionName("新疆维吾尔自治区", "Xinjiang"),
        "71": RegionName("台湾省", "Taiwan"),
        "81": RegionName("香港特别行政区", "Hong Kong"),
        "82": RegionName("澳门特别行政区", "Macao"),
    }
)
CITIES: Final[Mapping[str, RegionName]] = MappingProxyType({"440300": RegionName("深圳市", "Shenzhen")})


class RegionCode(str):
    """Six digits of GB/T 2260, or such a code with a local marker: ``440300``, ``440300.L01``.

    It is text, so that it can be stored and sent as it is.

    Raises:
        DomainError: REGION_UNKNOWN, if the text is no such code or its province is unknown.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the form and the province of the code."""
        if _CODE.fullmatch(text) is None or text[:_PROVINCE_LENGTH] not in PROVINCES:
            raise DomainError("REGION_UNKNOWN", region=text[:_TEXT_SHOWN_MAX])
        return super().__new__(cls, text)

    @property
    def division(self) -> str:
        """The six digits, without the local marker."""
        return self[:_DIVISION_LENGTH]

    @property
    def province(self) -> RegionCode:
        """The province that the region lies in."""
        return RegionCode(self[:_PROVINCE_LENGTH] + "0000")

    @property
    def is_local(self) -> bool:
        """Whether the code is a local one, outside the standard."""
        return len(self) > _DIVISION_LENGTH

    @property
    def level(self) -> AreaLevel:
        """Level that the digits state."""
        if self.is_local:
            return "local"
        if self.endswith("0000"):
            return "province"
        return "prefecture" if self.endswith("00") else "county"

    def contains(self, other: RegionCode) -> bool:
        """Whether the other region is this one or, by its digits, lies within it."""
        match self.level:
            case "local":
                return self == other
            case "province":
                return self[:_PROVINCE_LENGTH] == other[:_PROVINCE_LENGTH]
            case "prefecture":
                return self[:_PREFECTURE_LENGTH] == other[:_PREFECTURE_LENGTH]
            case _:
                return self == other.division

    def name(self) -> RegionName:
        """Name of the region, or of its province with the code where only that is known."""
        if self in CITIES:
            return CITIES[self]
        province = PROVINCES[self[:_PROVINCE_LENGTH]]
        if self.level == "province":
            return province
        return RegionName(f"{province.zh}{self}", f"{province.en} {self}")


SHANGHAI: Final = RegionCode("310000")
SHENZHEN: Final = RegionCode("440300")
YUNNAN: Final = RegionCode("530000")


@dataclass(frozen=True, slots=True)
class Area:
    """A division as an asset's place states it: its code and the edition year of the list it comes from."""

    code: RegionCode
    edition_year: int

    def __post_init__(self) -> None:
        """Refuse an edition year that no list can have."""
        if not FIRST_EDITION_YEAR <= self.edition_year <= LAST_EDITION_YEAR:
            raise DomainError("FIELD_INVALID", field="edition_year", detail=self.edition_year)

    def __str__(self) -> str:
        return f"{self.code}@{self.edition_year}"

    @staticmethod
    def parse(text: str) -> Area:
        """Read what `str` writes: ``440305@2024``."""
        code, separator, year = text.partition("@")
        if not separator or not (year.isascii() and year.isdecimal() and len(year) == len("2024")):
            raise DomainError("FIELD_INVALID", field="area", detail=text[:32])
        return Area(RegionCode(code), int(year))
